"""The stores of stable crystals: read back, queried from the shell, the same bytes each time."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import phonopy
import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from phonopy.physical_units import get_physical_units
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from cgwgan_core import store, tables
from cgwgan_core.crystal import atoms_of
from cgwgan_core.jobs import Provenance
from cgwgan_core.ranking import Library, row_structure

CRYSTALS = {
    "t1-Na-Cl": (bulk("NaCl", "rocksalt", a=5.64), 225, 0.02, "stable"),
    "t2-Mg-O": (bulk("MgO", "rocksalt", a=4.21), 225, 0.2, "stable"),
    "t3-Si": (bulk("Si", "diamond", a=5.43), 227, 0.02, "borderline"),
    "t4-K-Br": (bulk("KBr", "rocksalt", a=6.6), 225, 0.0, "unstable"),
    "t5-Ba-O": (bulk("BaO", "rocksalt", a=5.5), 225, 0.0, None),
    "t6-Na-Cl": (
        make_supercell(bulk("NaCl", "rocksalt", a=5.7), [[1, 1, 0], [0, 1, 0], [0, 0, 2]]),
        225,
        0.1,
        "stable",
    ),
    "t7-Ca-O": (bulk("CaO", "rocksalt", a=4.8), 225, 0.0, "stable"),
}
TIGHTER = -0.004
"""eV/atom by which the relaxation before the phonons lowers each energy."""


FREQUENCY = {"stable": 0.1, "borderline": -0.3, "unstable": -3.0, None: None}


def _springs(atoms: Atoms) -> list[float]:
    """Force constants of atoms each on a spring of its own, in 2 x 2 x 2 cells: phonopy's order is atom by atom."""
    constants = np.zeros((len(atoms), 8 * len(atoms), 3, 3))
    for i in range(len(atoms)):
        constants[i, 8 * i] = (5.0 + i) * np.eye(3)
    return constants.ravel().tolist()


def _known() -> Library:
    library = Library()
    library.add("mp-2605", row_structure(_columns(bulk("CaO", "rocksalt", a=4.84))))
    return library


def _columns(atoms: Atoms) -> dict[str, Any]:
    return {
        "lattice": atoms.cell.array.ravel().tolist(),
        "numbers": atoms.numbers.tolist(),
        "frac_coords": atoms.get_scaled_positions().ravel().tolist(),
    }


KNOWN_PHASES = tables.to_table(
    [
        {"material_id": "element-Na", "formula": "Na", "status": "ok"},
        {"material_id": "mp-22851", "formula": "NaCl", **_columns(bulk("NaCl", "cesiumchloride", a=3.4))},
        {"material_id": "mp-22862", "formula": "NaCl", **_columns(bulk("NaCl", "rocksalt", a=5.66))},
    ],
    tables.KNOWN_PHASES,
)


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
                "min_frequency": FREQUENCY[verdict],
                "verdict": verdict,
                "paper_stable": None if failed else FREQUENCY[verdict] >= -0.5,
                "supercell": None if failed else [2, 2, 2],
                "force_constants": _springs(atoms) if verdict in store.PASSES else None,
                "potential": "M3GNet-MP-2021.2.8-PES",
                **({} if failed else {**cell, "spacegroup": group, "energy_per_atom": -5.0 + TIGHTER}),
                "status": "not converged: 0.1 eV/Å" if failed else "ok",
            }
        )
    return tables.to_table(unique, tables.UNIQUE), tables.to_table(phonons, tables.PHONONS)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    found, _ = store.survivors(*_tables(), _known())
    store.add_nearest(found, KNOWN_PHASES)
    return found


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
    assert [row["verdict"] for row in rows] == ["stable", "borderline", "stable"]


def test_what_is_known_or_repeats_is_refused_with_its_match() -> None:
    kept, refused = store.survivors(*_tables(), _known())
    assert refused == [
        {"candidate_id": "t7-Ca-O", "reason": "known already", "match": "mp-2605"},
        {"candidate_id": "t6-Na-Cl", "reason": "repeats a better candidate", "match": "t1-Na-Cl"},
    ]
    assert len(kept) + len(refused) == sum(v in store.PASSES for v in _tables()[1]["verdict"].to_pylist())


def test_a_child_has_its_energy_from_its_parent() -> None:
    unique, phonons = _tables()
    rows = phonons.to_pylist()
    parent = next(row for row in rows if row["candidate_id"] == "t4-K-Br")
    lower = {"energy_per_atom": parent["energy_per_atom"] - 0.01, "energy_gain": 0.01, "verdict": "stable"}
    rows.append({**parent, **lower, "candidate_id": "t4-K-Br-child", "parent_id": "t4-K-Br"})
    kept, _ = store.survivors(unique, tables.to_table(rows, tables.PHONONS), _known())
    assert kept[0]["candidate_id"] == "t4-K-Br-child"
    assert kept[0]["energy_above_hull"] == pytest.approx(-0.01)
    assert (kept[0]["template_id"], kept[0]["parent_id"]) == ("t4", "t4-K-Br")


def test_nearest_in_diffraction(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    salt, silicon, magnesia = rows
    assert salt["nearest_known"] == "mp-22862"
    assert salt["nearest_known_similarity"] > 0.8
    assert silicon["nearest_known"] is None
    assert salt["nearest_survivor"] in ("t2-Mg-O", "t3-Si")
    assert magnesia["nearest_survivor_similarity"] < 0.8
    each = store.add_nearest(rows, KNOWN_PHASES)
    store.write_similarity(tmp_path / "xrd.csv", rows, each)
    lines = [line.split(",") for line in (tmp_path / "xrd.csv").read_text().splitlines()]
    assert lines[0] == ["candidate_id", *(row["candidate_id"] for row in rows)]
    assert float(lines[1][1]) == float(lines[3][3]) == 1
    assert float(lines[1][2]) == pytest.approx(each[0, 1], abs=1e-4)


def test_phonopy_reads_its_files(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    table = _tables()[1]
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


def test_database_answers_the_shell(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    path = str(tmp_path / "stable.db")
    store.write_database(path, rows)
    assert _ase_db(path, "-n").split() == ["3", "rows"]
    found = _ase_db(path, "energy_above_hull<0.1,paper_stable=1", "-c", "candidate_id,min_frequency")
    assert [line.split("|")[0].strip() for line in found.splitlines()[1:3]] == ["t1-Na-Cl", "t3-Si"]
    found = _ase_db(path, "hull<0.1,verdict=borderline", "-c", "candidate_id")
    assert [line.strip() for line in found.splitlines()[1:2]] == ["t3-Si"]
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
    unstable = phonons.filter(pa.compute.equal(phonons["verdict"], "unstable"))
    rows, refused = store.survivors(unique, unstable, _known())
    assert rows == refused == []
    assert store.add_nearest(rows, KNOWN_PHASES).shape == (0, 0)
    assert "no crystal is phonon-stable" in store.summary(unstable, 0)
    assert "no crystal is phonon-stable" not in store.summary(phonons, 3)
    tables.write(tmp_path / "phonons.parquet", unstable, tables.PHONONS, Provenance())
    store.write_phonopy(tmp_path / "phonopy", rows, [tmp_path / "phonons.parquet"])
    assert list((tmp_path / "phonopy").iterdir()) == []
    tables.write(tmp_path / "stable.parquet", rows, tables.STABLE, Provenance())
    store.write_database(tmp_path / "stable.db", rows)
    store.write_cifs(tmp_path / "cif", rows)
    assert tables.read(tmp_path / "stable.parquet", tables.STABLE).num_rows == 0
    assert _ase_db(str(tmp_path / "stable.db"), "verdict=stable", "-n").split() == ["0", "rows"]
    assert json.dumps([*(tmp_path / "cif").iterdir()]) == "[]"


def test_summary_counts_every_crystal() -> None:
    line = store.summary(_tables()[1], 3)
    assert line == "7 crystals: 4 stable, 1 borderline, 1 unstable, 1 not converged; 3 stored, novel and distinct"


def test_hull_distance_may_be_unknown() -> None:
    unique, phonons = _tables()
    unknown = unique.set_column(
        unique.schema.get_field_index("energy_above_hull"), "energy_above_hull", pa.nulls(len(unique), pa.float64())
    )
    rows, _ = store.survivors(unknown, phonons, _known())
    assert [row["candidate_id"] for row in rows] == ["t1-Na-Cl", "t2-Mg-O", "t3-Si"]
    assert {row["energy_above_hull"] for row in rows} == {None}


def test_rows_give_back_the_crystal() -> None:
    atoms = bulk("MgO", "rocksalt", a=4.21)
    row = {
        "lattice": atoms.cell.array.ravel().tolist(),
        "numbers": atoms.numbers.tolist(),
        "frac_coords": atoms.get_scaled_positions().ravel().tolist(),
    }
    back: Atoms = atoms_of(row)
    assert back.cell.array == pytest.approx(atoms.cell.array)
    assert back.get_scaled_positions() == pytest.approx(atoms.get_scaled_positions())
    assert back.pbc.all()
