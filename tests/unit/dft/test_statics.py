"""Energies of crystals: the lowest of all starts of the spins, and reasons where there is none."""

import sys
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.dft.ase_engine import AseEngine
from cgwgan_core.dft.calculation import CONVERGED
from cgwgan_core.dft.espresso import Espresso
from cgwgan_core.dft.statics import compute_statics, crystal_atoms, static, static_row
from cgwgan_core.dft.store import Store
from cgwgan_core.workflow import tables
from tests.support.workflow import ROOT

PYTHON = f"env PYTHONPATH={ROOT} {sys.executable}"


def nickel_aluminium() -> Atoms:
    """Ni3Al: three nickel atoms that symmetry turns into each other."""
    places = [(0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0), (0, 0, 0)]
    return Atoms("Ni3Al", scaled_positions=places, cell=[3.6] * 3, pbc=True)


def bare_energy(atoms: Atoms) -> float:
    atoms = atoms.copy()
    atoms.calc = EMT()
    return float(atoms.get_potential_energy())


def crystal(name: str, atoms: Atoms | None, **columns: Any) -> dict[str, Any]:
    cell = {"lattice": None, "numbers": None, "frac_coords": None} if atoms is None else atoms_to_row(atoms)
    formula = "none" if atoms is None else atoms.get_chemical_formula()
    return {"crystal_id": name, "kind": "known", "formula": formula, **cell, "status": "ok", **columns}


def store_of(folder: Path, function: str, command: str | None = PYTHON) -> Store:
    return Store(folder, AseEngine(f"tests.support.calculators:{function}", command))


# Of three pairs of nickel atoms (images are not counted) all are equal in FM, and one in AFM1.
@pytest.mark.parametrize(
    ("function", "order", "moment", "energies"),
    [
        ("ferromagnet", "FM", 2.25, [-0.03, 0.01, 0.0]),
        ("antiferromagnet", "AFM1", 0.75, [0.03, -0.01, 0.0]),
    ],
)
def test_the_lowest_start_counts(
    tmp_path: Path, function: str, order: str, moment: float, energies: list[float]
) -> None:
    atoms = nickel_aluminium()
    store = store_of(tmp_path, function)
    found = static(atoms, store)
    assert found.starts == ("FM", "AFM1", "NM")
    bare = bare_energy(atoms)
    assert [4 * e - bare for e in found.energies if e is not None] == pytest.approx(energies, abs=1e-9)
    assert found.order == order
    row = static_row(found)
    assert row["status"] == CONVERGED
    assert row["energy_per_atom"] == min(found.energies)  # type: ignore[type-var]
    assert abs(row["magnetic_moment"]) == pytest.approx(moment)
    assert row["fmax"] == pytest.approx(0.0, abs=1e-9)
    assert (tmp_path / row["calculation"] / "result.json").exists()
    # the same again is read, and one start alone is one calculation
    idle = store_of(tmp_path, function, "false")
    assert static_row(static(atoms, idle)) == row
    moments = found.calculation.atoms.get_initial_magnetic_moments()
    alone = static(atoms, idle, only=[(order, moments)])
    assert (alone.starts, alone.order, alone.calculation.key) == ((order,), order, row["calculation"])


def test_vanished_moments_leave_no_other_start_than_opposite_ones(tmp_path: Path) -> None:
    found = static(nickel_aluminium(), store_of(tmp_path, "collapsing"))
    assert found.starts == ("FM", "AFM1")
    assert found.energies[0] == found.energies[1]
    assert found.calculation.atoms.get_initial_magnetic_moments().tolist() == [1.5, 1.5, 1.5, 0.0]  # the first of both
    assert static_row(found)["magnetic_order"] == "NM"


def test_an_engine_without_moments_computes_one_start(tmp_path: Path) -> None:
    store = Store(tmp_path, AseEngine("ase.calculators.lj:LennardJones", PYTHON))
    found = static(bulk("V", cubic=True), store)
    assert (found.starts, found.order, found.outcome.status) == (("FM",), "NM", CONVERGED)
    assert static_row(found)["magnetic_moment"] is None


def test_every_crystal_is_a_row_with_its_reason(tmp_path: Path) -> None:
    """A crystal of another setting, one that the engine refuses, one that is not asked for, one that is not there."""
    conventional = bulk("Al", a=4.05, cubic=True)
    crystals = [
        crystal("aluminium", conventional),
        crystal("barium", bulk("Ba", a=5.0)),
        crystal("large", bulk("Al", a=4.05), status="45 atoms, more than 20"),
        crystal("element-Xe", None, status="no crystal of Xe in the database"),
    ]
    store = Store(tmp_path / "store", AseEngine("ase.calculators.emt:EMT", sys.executable))
    rows = list(compute_statics(crystals, store))
    assert [row["status"] for row in rows] == [
        CONVERGED,
        "NotImplementedError: No EMT-potential for Ba",
        "not computed: 45 atoms, more than 20",
        "not computed: no crystal of Xe in the database",
    ]
    assert [row["n_atoms"] for row in rows] == [1, 1, 1, 0]
    assert rows[0]["energy_per_atom"] == pytest.approx(bare_energy(conventional) / 4, abs=1e-9)
    assert rows[1]["start_energies"] == [None]
    table = tables.to_table(rows, tables.DFT_STATICS)
    assert table["crystal_id"].to_pylist() == [row["crystal_id"] for row in crystals]


def test_a_missing_pseudopotential_is_a_row(tmp_path: Path) -> None:
    engine = Espresso(tmp_path, "pw.x")
    (row,) = compute_statics([crystal("aluminium", bulk("Al"))], Store(tmp_path / "store", engine))
    assert row["status"] == f"{tmp_path}: no UPF file for Al; put one there"
    assert row["n_atoms"] == 1


def test_what_is_computed_of_a_molecule_and_of_a_crystal() -> None:
    box = Atoms("O2", positions=[(4, 4, 3.5), (4, 4, 4.7)], cell=[8.0, 8.1, 8.2], pbc=True)
    oxygen = crystal_atoms(crystal("molecule-O2", box, kind="element", formula="O2"))
    assert not oxygen.pbc.any()
    assert oxygen.get_initial_magnetic_moments().tolist() == [1.0, 1.0]
    assert oxygen.cell.lengths() == pytest.approx([8.0, 8.1, 8.2])
    assert len(crystal_atoms(crystal("NaCl", bulk("NaCl", "rocksalt", a=5.6, cubic=True)))) == 2
