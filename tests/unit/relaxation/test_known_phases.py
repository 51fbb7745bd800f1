"""The known phases of a chemistry, and their hull."""

import logging
from typing import Any

import pyarrow as pa
import pytest

from cgwgan_core.crystallography.structures import atoms_to_row, row_to_atoms
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.known_phases import KnownPhasesOptions, place_on_hull, relax_known_phases, within
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError


def on_hull(
    some: pa.Table, chemistry: list[str], potential: Potential, options: KnownPhasesOptions, share: float = 0.0
) -> list[dict[str, Any]]:
    """Known phases relaxed in one shard, on their hull."""
    shard = relax_known_phases(some, chemistry, potential, options, share)
    return place_on_hull([shard], chemistry, potential.energy_scale)


def test_within_takes_subsets_of_the_chemistry(structures: pa.Table) -> None:
    assert within(structures, ["Au", "Cu"])["material_id"].to_pylist() == ["a", "b", "d", "e"]
    assert within(structures, ["Na", "Cl", "Cu"])["material_id"].to_pylist() == ["b", "c"]
    assert within(structures.slice(1, 2), ["Na", "Cl"])["material_id"].to_pylist() == ["c"]
    assert within(structures.slice(0, 0), ["Cu"]).num_rows == 0


def test_known_phases_and_their_hull(structures: pa.Table, emt: Potential, caplog: pytest.LogCaptureFixture) -> None:
    some = within(structures, ["Au", "Cu"])
    with caplog.at_level(logging.INFO, logger="cgwgan"):
        rows = on_hull(some, ["Cu", "Au"], emt, KnownPhasesOptions(max_atoms=50))
    status = {row["material_id"]: row["status"] for row in rows}
    assert list(status) == ["element-Au", "element-Cu", "a", "b", "d", "e"]
    assert [status[name] for name in ("element-Au", "element-Cu", "a")] == ["ok", "ok", "ok"]
    assert status["b"] == "an element: its reference energy is used"
    assert status["d"] == "108 atoms, more than 50"
    assert status["e"].startswith("fell apart")
    table = pa.Table.from_pylist(rows, schema=tables.KNOWN_PHASES)
    hull, relaxed = Hull.from_known_phases(table), rows[2]
    expected = min(0.0, relaxed["formation_energy_per_atom"])
    assert hull.energy_per_atom("Cu3Au") == pytest.approx(expected)
    assert relaxed["energy_above_hull"] == pytest.approx(relaxed["formation_energy_per_atom"] - expected)
    assert "no compound" not in caplog.text


def test_shards_make_the_same_hull(structures: pa.Table, emt: Potential) -> None:
    some, options = within(structures, ["Au", "Cu"]), KnownPhasesOptions(max_atoms=50)
    shards = [relax_known_phases(some, ["Cu", "Au"], emt, options, shard=shard, shards=3) for shard in range(3)]
    assert [[row["material_id"] for row in rows] for rows in shards] == [["a", "e"], ["b"], ["d"]]
    assert place_on_hull(shards, ["Cu", "Au"], emt.energy_scale) == on_hull(some, ["Cu", "Au"], emt, options)


def test_a_database_without_compounds_is_told(
    structures: pa.Table, emt: Potential, caplog: pytest.LogCaptureFixture
) -> None:
    some = within(structures, ["Cu", "Ag"])
    with caplog.at_level(logging.INFO, logger="cgwgan"):
        rows = on_hull(some, ["Cu", "Ag"], emt, KnownPhasesOptions())
    assert "no compound of Cu-Ag" in caplog.text
    assert [row["status"] for row in rows].count("ok") == 2


def test_a_phase_that_does_not_converge_counts(
    structures: pa.Table, emt: Potential, caplog: pytest.LogCaptureFixture
) -> None:
    """Its energy is an upper bound."""
    options = KnownPhasesOptions(fmax=1e-9, max_steps=1)
    with caplog.at_level(logging.INFO, logger="cgwgan"):
        rows = on_hull(structures.slice(0, 1), ["Cu", "Au"], emt, options)
    assert (rows[-1]["material_id"], rows[-1]["status"]) == ("a", "ok")
    assert "1 phases did not converge; their energies are upper bounds" in caplog.text


def lower_twin(structures: pa.Table, energy: float | None) -> pa.Table:
    """The compound of the database, and an entry of the same crystal in a larger cell."""
    (row,) = structures.slice(0, 1).to_pylist()
    twin = {**row, **atoms_to_row(row_to_atoms(row).repeat((1, 1, 2))), "material_id": "twin"}
    return pa.Table.from_pylist([row, {**twin, "formation_energy_per_atom": energy}], schema=tables.STRUCTURES)


@pytest.mark.parametrize(("share", "expected"), [(0.9, "doubted: no energy in the database"), (0.65, "ok")])
def test_what_the_database_has_no_energy_of_is_left_out(
    structures: pa.Table, emt: Potential, share: float, expected: str
) -> None:
    """It is relaxed all the same, and still has its distance."""
    some = lower_twin(structures, None)
    _, _, first, twin = on_hull(some, ["Cu", "Au"], emt, KnownPhasesOptions(), share)
    assert (first["status"], twin["status"]) == ("ok", expected)
    assert twin["defect"] == (None if expected == "ok" else "no energy in the database")
    assert twin["energy_above_hull"] == pytest.approx(first["energy_above_hull"], abs=1e-3)
    kept = KnownPhasesOptions(leave_out=[])
    *_, twin = on_hull(some, ["Cu", "Au"], emt, kept, share)
    assert twin["status"] == "ok"


@pytest.mark.parametrize(
    ("most", "expected"), [(0.1, "0.150 eV/atom above the database's hull, more than 0.1"), (None, "ok")]
)
def test_what_lies_high_by_the_database_is_not_relaxed(
    structures: pa.Table, emt: Potential, most: float | None, expected: str
) -> None:
    options = KnownPhasesOptions(max_above_hull=most)
    *_, first, twin = on_hull(lower_twin(structures, 0.1), ["Cu", "Au"], emt, options)
    assert (first["status"], twin["status"]) == ("ok", expected)
    assert len(twin["numbers"]) == 8  # it still counts as known


def test_what_the_database_itself_puts_near_its_hull_is_relaxed(structures: pa.Table, emt: Potential) -> None:
    """Its formation energies may be of two schemes, and its distances of one."""
    first, twin = lower_twin(structures, 0.1).to_pylist()
    some = pa.Table.from_pylist([first, {**twin, "energy_above_hull": 0.02}], schema=tables.STRUCTURES)
    *_, twin = on_hull(some, ["Cu", "Au"], emt, KnownPhasesOptions(max_above_hull=0.1))
    assert twin["status"] == "ok"


def test_what_is_left_out_does_not_make_the_hull(structures: pa.Table, chgnet: Potential) -> None:
    """Salt lies 2.1 eV/atom below its elements, of which alone the hull then is made."""
    salt = within(structures, ["Na", "Cl"])
    kept, gone = (on_hull(salt, ["Na", "Cl"], chgnet, KnownPhasesOptions(leave_out=names)) for names in ([], ["c"]))
    assert (kept[-1]["status"], kept[-1]["energy_above_hull"]) == ("ok", 0)
    assert gone[-1]["status"] == "named in hull.leave_out"
    assert gone[-1]["energy_above_hull"] == gone[-1]["formation_energy_per_atom"] < -2
    hulls = [Hull.from_known_phases(pa.Table.from_pylist(rows, schema=tables.KNOWN_PHASES)) for rows in (kept, gone)]
    assert [hull.energy_per_atom("NaCl") for hull in hulls] == [kept[-1]["formation_energy_per_atom"], 0]


def test_a_misspelt_doubt_is_told(structures: pa.Table, emt: Potential) -> None:
    with pytest.raises(InputError, match=r"hull\.leave_out: chrages is neither .* nor the material_id .* of Cu-Au"):
        on_hull(structures.slice(0, 1), ["Cu", "Au"], emt, KnownPhasesOptions(leave_out=["chrages"]))


def test_an_entry_that_the_potential_contradicts_is_marked(structures: pa.Table, emt: Potential) -> None:
    some = lower_twin(structures, -3.0)
    *_, twin = on_hull(some, ["Cu", "Au"], emt, KnownPhasesOptions())
    assert twin["defect"].startswith("energies differ: by the potential +")
    assert twin["status"] == "ok"


@pytest.mark.parametrize("energy", [-9.0, None])
def test_the_last_line_names_doubted_entries_on_the_hull(
    structures: pa.Table, chgnet: Potential, caplog: pytest.LogCaptureFixture, energy: float | None
) -> None:
    (salt,) = within(structures, ["Na", "Cl"]).to_pylist()
    some = pa.Table.from_pylist([{**salt, "formation_energy_per_atom": energy}], schema=tables.STRUCTURES)
    with caplog.at_level(logging.INFO, logger="cgwgan"):
        place_on_hull(
            [relax_known_phases(some, ["Na", "Cl"], chgnet, KnownPhasesOptions())], ["Na", "Cl"], chgnet.energy_scale
        )
    assert "hull of Na-Cl: 1 known phases; on it are" in caplog.messages[-1]
    doubted = caplog.messages[-1].endswith("; doubted of these: NaCl (column defect)")
    assert doubted == (energy is not None)


@pytest.mark.parametrize("options", [{"fmax": 0.0}, {"max_steps": 0}, {"max_atoms": 0}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        KnownPhasesOptions(**options)
