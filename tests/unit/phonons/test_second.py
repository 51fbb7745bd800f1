"""A second potential's verdict on crystals that a first has judged."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk

from cgwgan_core.crystallography.structures import atoms_to_row, row_to_atoms
from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.phonons.second import second_rows
from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.files import KeptRows
from cgwgan_core.workflow.provenance import Provenance
from scripts.second_phonons import main
from tests.support.crystals import crystal_row, perovskite_atoms

OPTIONS = PhononOptions(min_length=None)
MAGNESIA, TITANATE = bulk("MgO", "rocksalt", a=4.25), perovskite_atoms(4.03, ("Ba", "Ti", "O"))
KNOWN = tables.to_table(
    [
        *({"material_id": f"element-{e}", "formula": e, "status": "ok"} for e in ("Ba", "Mg", "O", "Ti")),
        {"material_id": "mp-1265", "formula": "MgO", "status": "ok"} | atoms_to_row(MAGNESIA),
        {"material_id": "mp-2998", "formula": "BaTiO3", "status": "ok"} | atoms_to_row(TITANATE),
    ],
    tables.KNOWN_PHASES,
)


def judged(*crystals: tuple[str, Atoms, str | None]) -> pa.Table:
    """What another potential has judged: names, its minima, its verdicts."""
    rows = [crystal_row(atoms, candidate_id=name, verdict=verdict, status="ok") for name, atoms, verdict in crystals]
    return tables.to_table(rows, tables.PHONONS)


def rows_of(table: pa.Table, potential: Potential, folder: Path) -> list[dict[str, Any]]:
    with KeptRows(folder / "0.parquet", OPTIONS, potential.digest) as kept:
        rows = list(second_rows(table, KNOWN, potential, OPTIONS, kept))
        tables.write(folder / "0.parquet", rows, tables.SECOND_PHONONS, Provenance())
    return tables.read(folder / "0.parquet", tables.SECOND_PHONONS).to_pylist()


def test_every_verdict_is_given_again(chgnet: Potential, tmp_path: Path) -> None:
    wide = bulk("MgO", "rocksalt", a=4.40)
    table = judged(
        ("t1-Ba-Ti-O", TITANATE, "stable"),
        ("t2-Mg-O", MAGNESIA, None),  # the first has no verdict on it
        ("t3-Mg-O", wide, "unstable"),
    )
    titanate, magnesia = rows_of(table, chgnet, tmp_path)
    assert [row["candidate_id"] for row in (titanate, magnesia)] == ["t1-Ba-Ti-O", "t3-Mg-O"]
    assert {row["potential"] for row in (titanate, magnesia)} == {chgnet.name}
    # its own verdicts, whatever the first has said, and no child of the unstable one
    assert (titanate["verdict"], magnesia["verdict"]) == ("unstable", "stable")
    assert titanate["min_frequency"] < -3 < 0 < magnesia["min_frequency"]
    assert magnesia["mechanically_stable"] is True
    assert titanate["mechanically_stable"] is None
    # the phonons are those of its own minimum
    edge = (4 * row_to_atoms(magnesia).get_volume()) ** (1 / 3)
    assert edge == pytest.approx(4.25, abs=0.03)
    # the distance to the hull is that of the first one's geometries
    on, above = chgnet.evaluate([MAGNESIA, wide]).energy_per_atom
    assert magnesia["energy_above_hull"] == pytest.approx(above - on, abs=1e-5)
    assert above - on > 0.01
    assert titanate["energy_above_hull"] == pytest.approx(0, abs=1e-5)


def test_what_the_second_cannot_treat_is_a_row_with_its_reason(emt: Potential, tmp_path: Path) -> None:
    """EMT has no magnesium."""
    (row,) = rows_of(judged(("t1-Mg-O", MAGNESIA, "stable")), emt, tmp_path)
    assert row["candidate_id"] == "t1-Mg-O"
    assert row["status"].startswith("failed: ")
    assert (row["verdict"], row["min_frequency"], row["energy_above_hull"]) == (None, None, None)


def test_where_the_first_has_no_verdict_there_are_no_rows(chgnet: Potential, tmp_path: Path) -> None:
    assert rows_of(judged(("t1-Mg-O", MAGNESIA, None)), chgnet, tmp_path) == []


def test_the_script_writes_one_shard_with_the_checked_potential(chgnet: Potential, tmp_path: Path) -> None:
    names = ("judged.parquet", "known_phases.parquet", "second_potential.json", "0.parquet")
    first, phases, checked, output = (tmp_path / name for name in names)
    tables.write(first, judged(("t1-Mg-O", MAGNESIA, "stable")), tables.PHONONS, Provenance())
    tables.write(phases, KNOWN, tables.KNOWN_PHASES, Provenance())

    def run() -> None:
        main(
            judged=str(first),
            known_phases=str(phases),
            checked=str(checked),
            phonons=str(output),
            potential=PotentialOptions(name="chgnet"),
            options=PhononOptions(min_length=None, max_atoms=15),
            made_from=Provenance(),
        )

    report = {"name": chgnet.name, "energy_scale": chgnet.energy_scale, "digest": chgnet.digest}
    checked.write_text(json.dumps({**report, "digest": "of other weights"}))
    with pytest.raises(InputError, match=r"second_potential\.json"):
        run()
    checked.write_text(json.dumps(report))
    run()
    (row,) = tables.read(output, tables.SECOND_PHONONS).to_pylist()
    assert row["status"].startswith("refused: 16 atoms")
    assert row["energy_above_hull"] == pytest.approx(0, abs=1e-5)  # known though there are no phonons
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
