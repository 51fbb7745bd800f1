"""The stores of stable crystals: read back, queried from the shell, the same bytes each time."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ase.db
import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from cgwgan_core import store, tables
from cgwgan_core.jobs import Provenance

CRYSTALS = {
    "t1-Na-Cl": (bulk("NaCl", "rocksalt", a=5.64), 225, 0.02, "stable"),
    "t2-Mg-O": (bulk("MgO", "rocksalt", a=4.21), 225, 0.2, "stable"),
    "t3-Si": (bulk("Si", "diamond", a=5.43), 227, 0.02, "stable"),
    "t4-K-Br": (bulk("KBr", "rocksalt", a=6.6), 225, 0.0, "unstable"),
    "t5-Ba-O": (bulk("BaO", "rocksalt", a=5.5), 225, 0.0, None),
}
TIGHTER = -0.004
"""eV/atom by which the relaxation before the phonons lowers each energy."""


def _tables() -> tuple[pa.Table, pa.Table]:
    unique, phonons = [], []
    for rank, (name, (atoms, group, hull, verdict)) in enumerate(CRYSTALS.items(), start=1):
        cell = {
            "lattice": atoms.cell.array.ravel().tolist(),
            "numbers": atoms.numbers.tolist(),
            "frac_coords": atoms.get_scaled_positions().ravel().tolist(),
        }
        unique.append(
            {
                "candidate_id": name,
                "template_id": name[:2],
                "formula": atoms.get_chemical_formula("metal", empirical=True),
                "rank": rank,
                **cell,
                "energy_per_atom": -5.0,
                "formation_energy_per_atom": -1.0,
                "energy_above_hull": hull - TIGHTER,
                "status": "ok",
                "phonon_rank": rank,
            }
        )
        failed = verdict is None
        phonons.append(
            {
                "candidate_id": name,
                "min_frequency": None if failed else 0.1 if verdict == "stable" else -3.0,
                "verdict": verdict,
                "potential": "M3GNet-MP-2021.2.8-PES",
                **({} if failed else {**cell, "spacegroup": group, "energy_per_atom": -5.0 + TIGHTER}),
                "status": "not converged: 0.1 eV/Å" if failed else "ok",
            }
        )
    return tables.to_table(unique, tables.UNIQUE), tables.to_table(phonons, tables.PHONONS)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return store.survivors(*_tables())


def _ase_db(*arguments: str) -> str:
    """The output of ``ase db`` run from the shell."""
    program = Path(sys.executable).with_name("ase")
    done = subprocess.run([program, "db", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def test_survivors(rows: list[dict[str, Any]]) -> None:
    assert [row["candidate_id"] for row in rows] == ["t1-Na-Cl", "t3-Si", "t2-Mg-O"]
    first = rows[0]
    assert first["energy_above_hull"] == pytest.approx(0.02)
    assert first["formation_energy_per_atom"] == pytest.approx(-1.0 + TIGHTER)
    assert first["energy_per_atom"] == -5.0 + TIGHTER
    assert (first["spacegroup_symbol"], first["n_atoms"]) == ("Fm-3m", 2)
    assert first["volume_per_atom"] == pytest.approx(5.64**3 / 8)
    assert set(first) == set(tables.STABLE.names)


def test_database_answers_the_shell(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    path = str(tmp_path / "stable.db")
    store.write_database(path, rows)
    assert _ase_db(path, "-n").split() == ["3", "rows"]
    found = _ase_db(path, "energy_above_hull<0.1,verdict=stable", "-c", "candidate_id,min_frequency")
    assert [line.split("|")[0].strip() for line in found.splitlines()[1:3]] == ["t1-Na-Cl", "t3-Si"]
    assert _ase_db(path, "Mg,potential=M3GNet-MP-2021.2.8-PES", "-n").split() == ["1", "row"]
    assert "Fm-3m" in _ase_db(path, "candidate_id=t2-Mg-O", "-l")


def test_database_holds_the_crystals(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    store.write_database(tmp_path / "stable.db", rows)
    with ase.db.connect(tmp_path / "stable.db") as database:
        for row in rows:
            found = database.get(candidate_id=row["candidate_id"])
            atoms = found.toatoms()
            assert atoms.cell.array.ravel() == pytest.approx(row["lattice"])
            assert atoms.get_scaled_positions().ravel() == pytest.approx(row["frac_coords"])
            assert atoms.get_potential_energy() == pytest.approx(row["energy_per_atom"] * row["n_atoms"])
            assert {key: found[key] for key in store.KEYS} == {key: row[key] for key in store.KEYS}
        assert database.metadata["key_descriptions"]["min_frequency"][2] == "THz"


def test_database_is_the_same_bytes(rows: list[dict[str, Any]], tmp_path: Path, monkeypatch) -> None:
    store.write_database(tmp_path / "a.db", rows)
    time.sleep(0.05)
    monkeypatch.setenv("USER", "another")
    store.write_database(tmp_path / "b.db", rows)
    assert (tmp_path / "a.db").read_bytes() == (tmp_path / "b.db").read_bytes()
    store.write_database(tmp_path / "a.db", rows[:1])
    assert _ase_db(str(tmp_path / "a.db"), "-n").split() == ["1", "row"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.db", "b.db"]


def test_cifs_are_symmetrised(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    store.write_cifs(tmp_path / "cif", rows)
    names = sorted(p.name for p in (tmp_path / "cif").iterdir())
    assert names == ["MgO_225_t2-Mg-O.cif", "NaCl_225_t1-Na-Cl.cif", "Si_227_t3-Si.cif"]
    structure = Structure.from_file(tmp_path / "cif" / "Si_227_t3-Si.cif")
    assert SpacegroupAnalyzer(structure).get_space_group_number() == 227
    assert structure.volume / len(structure) == pytest.approx(5.43**3 / 8, rel=1e-4)
    before = {p.name: p.read_bytes() for p in (tmp_path / "cif").iterdir()}
    store.write_cifs(tmp_path / "cif", rows)
    assert {p.name: p.read_bytes() for p in (tmp_path / "cif").iterdir()} == before


def test_no_survivors(tmp_path: Path) -> None:
    unique, phonons = _tables()
    unstable = phonons.filter(pa.compute.not_equal(phonons["verdict"], "stable"))
    rows = store.survivors(unique, unstable)
    assert rows == []
    assert "no crystal is phonon-stable" in store.summary(unstable)
    assert "no crystal is phonon-stable" not in store.summary(phonons)
    tables.write(tmp_path / "stable.parquet", rows, tables.STABLE, Provenance())
    store.write_database(tmp_path / "stable.db", rows)
    store.write_cifs(tmp_path / "cif", rows)
    assert tables.read(tmp_path / "stable.parquet", tables.STABLE).num_rows == 0
    assert _ase_db(str(tmp_path / "stable.db"), "verdict=stable", "-n").split() == ["0", "rows"]
    assert json.dumps([*(tmp_path / "cif").iterdir()]) == "[]"


def test_summary_counts_every_crystal() -> None:
    line = store.summary(_tables()[1])
    assert line == "5 crystals: 3 stable, 1 unstable, 1 not converged"


def test_hull_distance_may_be_unknown() -> None:
    unique, phonons = _tables()
    unknown = unique.set_column(
        unique.schema.get_field_index("energy_above_hull"), "energy_above_hull", pa.nulls(len(unique), pa.float64())
    )
    rows = store.survivors(unknown, phonons)
    assert [row["candidate_id"] for row in rows] == ["t1-Na-Cl", "t2-Mg-O", "t3-Si"]
    assert {row["energy_above_hull"] for row in rows} == {None}


def test_to_ase_keeps_the_cell() -> None:
    atoms = bulk("MgO", "rocksalt", a=4.21)
    row = {
        "lattice": atoms.cell.array.ravel().tolist(),
        "numbers": atoms.numbers.tolist(),
        "frac_coords": atoms.get_scaled_positions().ravel().tolist(),
    }
    back: Atoms = store.to_ase(row)
    assert back.cell.array == pytest.approx(atoms.cell.array)
    assert back.get_scaled_positions() == pytest.approx(atoms.get_scaled_positions())
    assert back.pbc.all()
