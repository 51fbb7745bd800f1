"""The shortlist: in its symmetry, without, and row by row."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.crystallography.templates import Templates, to_atoms
from cgwgan_core.potentials.load import load
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.known_phases import KnownPhasesOptions
from cgwgan_core.relaxation.relax import relax
from cgwgan_core.relaxation.shortlist import RelaxOptions, candidates_of_shard, rattled, relax_candidates, settled
from cgwgan_core.screening.energetics import Hull, formation_energies
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.provenance import Provenance
from scripts.known_phases import main as known_phases_script
from scripts.relax import main as relax_script
from scripts.relax_known_phases import main as relax_known_phases_script
from tests.support.crystals import perovskite_template
from tests.support.potentials import EMT, aucu4


def template_table() -> pa.Table:
    """AuCu3's and AuCu's templates."""
    templates = Templates(
        np.array([221, 123], dtype=np.int16),
        np.array([[3.9, 3.9, 3.9, 90, 90, 90], [2.9, 2.9, 3.7, 90, 90, 90]]),
        np.array([[0, 2], [0, 3]], dtype=np.int8),
        np.array([[[0, 0, 0], [0, 0.5, 0.5]], [[0, 0, 0], [0.5, 0.5, 0.5]]]),
    )
    return tables.to_table({"template_id": ["t0", "t1"], **templates.to_columns()}, tables.TEMPLATES)


def ranked_table() -> pa.Table:
    rows = [
        ("t0", ["Au", "Cu"], "Cu3Au"),
        ("t1", ["Au", "Cu"], "CuAu"),
        ("t9", ["Au", "Cu"], "CuAu"),
        ("t0", ["Cu", "Au"], "CuAu3"),
        ("t0", ["Ba", "Cu"], "BaCu3"),
    ]
    return pa.Table.from_pylist(
        [
            {
                "rank": i + 1,
                "candidate_id": f"{template}-{'-'.join(elements)}",
                "template_id": template,
                "elements": elements,
                "formula": formula,
                "volume_scale": 1.05,
            }
            for i, (template, elements, formula) in enumerate(rows)
        ],
        schema=tables.RANKED,
    )


def test_shards_deal_out_what_is_not_known() -> None:
    known = pa.array([None, "mp-1", None, None, None], pa.string())
    ranked = ranked_table()
    ranked = ranked.set_column(ranked.schema.get_field_index("known_match"), "known_match", known)
    dealt = [candidates_of_shard(ranked, shard, 3)["rank"].to_pylist() for shard in range(3)]
    assert dealt == [[1, 5], [3], [4]]


def test_a_saddle_point_is_left_and_a_minimum_is_not(emt: Potential) -> None:
    """AuCu4 as a perovskite is a saddle of EMT, as Heusler a minimum."""
    within, without = (RelaxOptions().relaxation(keep_symmetry=keep) for keep in (True, False))
    saddle = relax(aucu4(4.2), emt, within)
    free = relax(rattled(saddle, "one"), emt, without)
    assert saddle.ok
    assert free.ok
    assert free.energy_per_atom < saddle.energy_per_atom - 0.1
    assert free.spacegroup != saddle.spacegroup == 221
    # EMT remembers lists of neighbours, whose order changes last digits: each time a new one
    first, second = (relax(rattled(saddle, "one"), load(EMT), without).atoms for _ in range(2))
    assert first == second
    # settled: the same crystal, exactly in the symmetry that it was found to have
    exact = settled(free, emt, within)
    assert exact.ok
    assert exact.energy_per_atom == pytest.approx(free.energy_per_atom, abs=2e-3)
    assert exact.spacegroup_before == exact.spacegroup == free.spacegroup

    template = Templates(
        np.array([225], np.int16),
        np.array([[6.0, 6, 6, 90, 90, 90]]),
        np.array([[0, 1, 2]], np.int8),
        np.array([[[0, 0, 0], [0.5] * 3, [0.25] * 3]]),
    )
    heusler = relax(to_atoms(template, 0, ["Au", "Cu", "Cu"]), emt, within)
    stays = relax(rattled(heusler, "one"), emt, without)
    assert stays.energy_per_atom == pytest.approx(heusler.energy_per_atom, abs=1e-3)
    assert stays.spacegroup == heusler.spacegroup == 225


def test_candidates_leave_as_they_came_one_row_each(emt: Potential) -> None:
    hull = Hull([("Cu3Au", -0.03)], ["Ba"])
    rows = list(relax_candidates(ranked_table(), template_table(), emt, hull, RelaxOptions()))
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["status"].split(":")[0] for row in rows] == ["ok", "ok", "failed", "ok", "failed"]
    assert "t9" in rows[2]["status"]
    table = pa.Table.from_pylist(rows, schema=tables.RELAXED)
    assert table["spacegroup"].to_pylist()[:2] == [221, 123]
    atoms = row_to_atoms(rows[0])
    found = emt.evaluate([atoms], forces=True)
    assert found.energy_per_atom[0] == pytest.approx(rows[0]["energy_per_atom"], abs=1e-8)
    (formation,) = formation_energies([atoms], found.energy_per_atom, "mp_uncorrected")
    assert rows[0]["formation_energy_per_atom"] == pytest.approx(formation)
    assert rows[0]["energy_above_hull"] == pytest.approx(formation + 0.03)
    assert rows[4]["energy_per_atom"] is None


def test_candidates_leave_saddle_points_if_asked_to(emt: Potential) -> None:
    """The lower crystal goes on, and the row tells of both."""
    perovskite = perovskite_template(4.2)
    templates = tables.to_table({"template_id": ["t0"], **perovskite.to_columns()}, tables.TEMPLATES)
    row = {"candidate_id": "t0-Au-Cu-Cu", "template_id": "t0", "elements": ["Au", "Cu", "Cu"], "formula": "Cu4Au"}
    ranked = pa.Table.from_pylist([{**row, "rank": 1, "volume_scale": 1.0}], schema=tables.RANKED)
    hull = Hull([], ["Au", "Cu"])
    (free,) = relax_candidates(ranked, templates, emt, hull, RelaxOptions())
    (kept,) = relax_candidates(ranked, templates, emt, hull, RelaxOptions(unconstrained=False))
    assert (free["symmetry_broken"], kept["symmetry_broken"]) == (True, False)
    assert free["constrained_energy_per_atom"] == kept["energy_per_atom"] == kept["constrained_energy_per_atom"]
    assert free["energy_per_atom"] == pytest.approx(free["unconstrained_energy_per_atom"], abs=2e-3)
    assert free["energy_per_atom"] < kept["energy_per_atom"] - 0.1
    assert (free["constrained_spacegroup"], free["spacegroup"]) == (221, free["unconstrained_spacegroup"])
    assert kept["unconstrained_energy_per_atom"] is None
    assert free["n_steps"] > kept["n_steps"]
    atoms = row_to_atoms(free)
    assert emt.evaluate([atoms]).energy_per_atom[0] == pytest.approx(free["energy_per_atom"], abs=1e-8)
    start = to_atoms(perovskite, 0, ["Au", "Cu", "Cu"])
    change = atoms.get_volume() / len(atoms) / (start.get_volume() / len(start))
    assert free["volume_ratio"] == pytest.approx(change)


@pytest.mark.parametrize("options", [{"fmax": 0.0}, {"max_steps": 0}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        RelaxOptions(**options)


def test_scripts_from_structures_to_relaxed_shards(structures: pa.Table, tmp_path: Path) -> None:
    """The two stages on files, with a report of EMT as it would be had EMT passed; all shards make all rows."""
    emt = load(EMT)
    report = {"name": emt.name, "energy_scale": emt.energy_scale, "digest": emt.digest}
    checked = tmp_path / "potential.json"
    checked.write_text(str(report).replace("'", '"'))
    made_from = Provenance()
    path = {name: str(tmp_path / f"{name}.parquet") for name in ("structures", "known", "ranked", "templates")}
    tables.write(path["structures"], structures, tables.STRUCTURES, made_from)
    tables.write(path["ranked"], ranked_table().slice(0, 4), tables.RANKED, made_from)
    tables.write(path["templates"], template_table(), tables.TEMPLATES, made_from)
    relaxed = [str(tmp_path / f"known-{shard}.parquet") for shard in range(2)]

    def relax_known(shard: int) -> None:
        known = (path["structures"], str(checked), relaxed[shard], ["Au", "Cu"], EMT)
        relax_known_phases_script(*known, KnownPhasesOptions(), shard, 2, made_from)

    relax_known(0)
    relax_known(1)
    known_phases_script(relaxed, str(checked), path["known"], ["Au", "Cu"], made_from)
    shards = []
    for shard in range(3):
        output = str(tmp_path / f"relaxed-{shard}.parquet")
        arguments = (path["ranked"], path["templates"], path["known"], str(checked), output)
        relax_script(*arguments, EMT, RelaxOptions(), shard, 3, made_from)
        first = Path(output).read_bytes()
        relax_script(*arguments, EMT, RelaxOptions(), shard, 3, made_from)
        assert Path(output).read_bytes() == first
        shards.append(tables.read(output, tables.RELAXED)["rank"].to_pylist())
    assert shards == [[1, 4], [2], [3]]
    checked.write_text(checked.read_text().replace(emt.digest, "0" * 16))
    with pytest.raises(InputError, match="rerun verify_potential"):
        relax_known(1)
