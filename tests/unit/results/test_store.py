"""The stores of survivors: read back, queried from the shell, the same bytes each time."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import phonopy
import pytest
from ase.io import read
from phonopy.physical_units import get_physical_units
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from cgwgan_core.results import store
from cgwgan_core.results.survivors import add_nearest, survivors
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance
from tests.support.judged import KNOWN_PHASES, judged, known


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """The survivors, by energy above the hull: NaCl, Si, MgO."""
    found, _ = survivors(*judged(), known())
    add_nearest(found, KNOWN_PHASES)
    return found


def ase_db(*arguments: str) -> str:
    """The output of ``ase db`` run from the shell."""
    program = Path(sys.executable).with_name("ase")
    done = subprocess.run([program, "db", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def test_phonopy_reads_its_files(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    table = judged()[1]
    shards = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    for i, path in enumerate(shards):
        tables.write(path, table.take(list(range(i, table.num_rows, 2))), tables.PHONONS, Provenance())
    store.write_phonopy(tmp_path / "phonopy", rows, shards)
    assert sorted(p.name for p in (tmp_path / "phonopy").iterdir()) == ["t1-Na-Cl", "t2-Mg-O", "t3-Si"]
    phonon = phonopy.load(tmp_path / "phonopy" / "t1-Na-Cl" / "phonopy.yaml", log_level=0)
    masses = phonon.primitive.masses
    expected = get_physical_units().DefaultToTHz * np.sqrt(np.array([5.0, 6.0]) / masses)
    assert phonon.run_qpoints([[0.5, 0, 0]]).frequencies[0] == pytest.approx(np.sort(np.repeat(expected, 3)), rel=1e-6)
    before = (tmp_path / "phonopy" / "t3-Si" / "phonopy.yaml").read_bytes()
    store.write_phonopy(tmp_path / "phonopy", rows, shards)
    assert (tmp_path / "phonopy" / "t3-Si" / "phonopy.yaml").read_bytes() == before


def test_ase_gui_opens_the_database(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    """It reads files as ``ase.io.read`` does."""
    store.write_database(tmp_path / "stable.db", rows)
    images = read(tmp_path / "stable.db", ":")
    assert [atoms.get_chemical_formula() for atoms in images] == ["ClNa", "Si2", "MgO"]
    assert [atoms.get_potential_energy() for atoms in images] == [r["energy_per_atom"] * r["n_atoms"] for r in rows]


def test_database_answers_the_shell(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    path = str(tmp_path / "stable.db")
    store.write_database(path, rows)
    assert ase_db(path, "-n").split() == ["3", "rows"]
    found = ase_db(path, "energy_above_hull<0.1,paper_stable=1", "-c", "candidate_id,min_frequency")
    assert [line.split("|")[0].strip() for line in found.splitlines()[1:3]] == ["t1-Na-Cl", "t3-Si"]
    found = ase_db(path, "hull<0.1,verdict=borderline", "-c", "candidate_id")
    assert [line.strip() for line in found.splitlines()[1:2]] == ["t3-Si"]
    assert ase_db(path, "Mg,potential=M3GNet-MP-2021.2.8-PES", "-n").split() == ["1", "row"]
    assert ase_db(path, "agreement=agreed stable", "-n").split() == ["2", "rows"]
    assert ase_db(path, "second_verdict=unstable,agreement=disputed", "-n").split() == ["1", "row"]
    assert "Fm-3m" in ase_db(path, "candidate_id=t2-Mg-O", "-l")


def test_database_holds_the_crystals(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    store.write_database(tmp_path / "stable.db", rows)
    with ase.db.connect(tmp_path / "stable.db") as database:
        for row in rows:
            found = database.get(candidate_id=row["candidate_id"])
            atoms = found.toatoms()
            assert atoms.cell.array.ravel() == pytest.approx(row["lattice"])
            assert atoms.get_scaled_positions().ravel() == pytest.approx(row["frac_coords"])
            assert atoms.get_potential_energy() == pytest.approx(row["energy_per_atom"] * row["n_atoms"])
            assert {key: found.get(key) for key in store.KEYS} == {key: row[key] for key in store.KEYS}
            assert found["hull"] == row["energy_above_hull"]
        assert database.metadata["key_descriptions"]["min_frequency"][2] == "THz"


def test_database_is_the_same_bytes(rows: list[dict[str, Any]], tmp_path: Path, monkeypatch) -> None:
    store.write_database(tmp_path / "a.db", rows)
    time.sleep(0.05)
    monkeypatch.setenv("USER", "another")
    store.write_database(tmp_path / "b.db", rows)
    assert (tmp_path / "a.db").read_bytes() == (tmp_path / "b.db").read_bytes()
    store.write_database(tmp_path / "a.db", rows[:1])
    assert ase_db(str(tmp_path / "a.db"), "-n").split() == ["1", "row"]
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


def test_likenesses_are_a_table(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    each = np.array([[1, 0.25, 0.5], [0.25, 1, 0.125], [0.5, 0.125, 1]])
    store.write_similarity(tmp_path / "xrd.csv", rows, each)
    lines = [line.split(",") for line in (tmp_path / "xrd.csv").read_text().splitlines()]
    assert lines[0] == ["candidate_id", *(row["candidate_id"] for row in rows)]
    assert [line[0] for line in lines[1:]] == lines[0][1:]
    assert [[float(x) for x in line[1:]] for line in lines[1:]] == each.tolist()


def test_stores_of_nothing(tmp_path: Path) -> None:
    tables.write(tmp_path / "phonons.parquet", judged()[1], tables.PHONONS, Provenance())
    store.write_phonopy(tmp_path / "phonopy", [], [tmp_path / "phonons.parquet"])
    store.write_database(tmp_path / "stable.db", [])
    store.write_cifs(tmp_path / "cif", [])
    store.write_similarity(tmp_path / "xrd.csv", [], np.zeros((0, 0)))
    assert list((tmp_path / "phonopy").iterdir()) == list((tmp_path / "cif").iterdir()) == []
    assert ase_db(str(tmp_path / "stable.db"), "verdict=stable", "-n").split() == ["0", "rows"]
    assert (tmp_path / "xrd.csv").read_text() == "candidate_id\n"
