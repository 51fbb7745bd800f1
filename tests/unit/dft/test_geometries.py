"""Relaxation and phonons by an engine that is EMT in processes of its own, against EMT in this one."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from cgwgan_core.crystallography.structures import atoms_to_row, row_to_atoms
from cgwgan_core.dft.ase_engine import AseEngine
from cgwgan_core.dft.calculation import CONVERGED, Calculation
from cgwgan_core.dft.elasticity import elasticity_by_dft
from cgwgan_core.dft.geometries import RelaxOptions, compute_phonons, relax_crystals
from cgwgan_core.dft.phonons import phonons_in
from cgwgan_core.dft.store import Store
from cgwgan_core.phonons.elasticity import elastic_tensor, elasticity
from cgwgan_core.phonons.force_constants import finite_displacements, forces_by
from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from tests.support.dft import PotentialAsEngine

OPTIONS = RelaxOptions(gain=1e-5, max_steps=6)
AT_GAMMA = PhononOptions(min_length=None, supercell=(1, 1, 1), max_atoms=3)


def alloy(a: float = 3.8, c: float = 3.7) -> Atoms:
    """AuCu in layers of one element each, P4/mmm; two strains keep its symmetry."""
    return Atoms("AuCu", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[a / 2**0.5, a / 2**0.5, c], pbc=True)


def crystal(name: str, atoms: Atoms) -> dict[str, Any]:
    formula = atoms.get_chemical_formula()
    return {"crystal_id": name, "kind": "candidate", "formula": formula, **atoms_to_row(atoms), "status": "ok"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    engine = AseEngine("ase.calculators.emt:EMT", sys.executable)
    return Store(tmp_path_factory.mktemp("store"), engine)


@pytest.fixture(scope="module")
def relaxed(store: Store, emt: Potential) -> list[dict[str, Any]]:
    """One that is far from its minimum, and one that the engine refuses."""
    crystals = [crystal("alloy", alloy()), crystal("barium", bulk("BaO", "rocksalt", a=5.5))]
    return list(relax_crystals(crystals, emt, store, OPTIONS))


def test_a_crystal_comes_to_the_minimum_of_its_symmetry(relaxed: list[dict[str, Any]], emt: Potential) -> None:
    row = relaxed[0]
    there = relax(alloy(), emt, Relaxation(1e-4, 500))
    assert there.ok
    energy = emt.evaluate([there.atoms]).energies[0] / 2
    assert row["status"] == CONVERGED
    assert 1 <= row["steps"] <= OPTIONS.max_steps
    assert row["energy_per_atom"] == pytest.approx(energy, abs=1e-4)
    before = emt.evaluate([alloy()]).energies[0] / 2
    assert row["gain"] == pytest.approx(before - row["energy_per_atom"], abs=1e-6)
    assert row["predicted_gain"] == pytest.approx(row["gain"], rel=0.5)
    assert row["spacegroup"] == 123
    assert row["volume_ratio"] == pytest.approx(there.atoms.get_volume() / alloy().get_volume(), abs=0.01)
    assert row_to_atoms(row).get_volume() == pytest.approx(row["volume_ratio"] * alloy().get_volume())
    assert row["fmax"] == pytest.approx(0.0, abs=1e-6)
    assert len(row["moments"]) == 2


def test_what_has_no_energy_is_not_relaxed(relaxed: list[dict[str, Any]]) -> None:
    assert relaxed[1] == {
        "crystal_id": "barium",
        "kind": "candidate",
        "formula": "BaO",
        "status": "NotImplementedError: No EMT-potential for Ba",
    }
    assert tables.to_table(relaxed, tables.DFT_RELAXED)["lattice"].to_pylist()[1] is None


def test_what_has_little_to_gain_is_not_moved(relaxed: list[dict[str, Any]], store: Store, emt: Potential) -> None:
    (row,) = relax_crystals([crystal("alloy", alloy())], emt, store, RelaxOptions(gain=1.0))
    assert (row["status"], row["steps"], row["gain"]) == (CONVERGED, 0, 0.0)
    assert row["predicted_gain"] == relaxed[0]["predicted_gain"]
    assert row["volume_ratio"] == pytest.approx(1.0)
    assert row["energy_per_atom"] == pytest.approx(emt.evaluate([alloy()]).energies[0] / 2, abs=1e-9)


def test_again_it_is_read_and_not_computed(relaxed: list[dict[str, Any]], store: Store, emt: Potential) -> None:
    idle = Store(store.root, AseEngine("ase.calculators.emt:EMT", "false"))
    assert list(relax_crystals([crystal("alloy", alloy())], emt, idle, OPTIONS)) == relaxed[:1]


def test_a_potential_that_cannot_treat_it_is_told(store: Store, emt: Potential) -> None:
    """The engine has its energy; the potential, which gives the Hessian, has none."""
    by_another = Store(store.root, AseEngine("ase.calculators.lj:LennardJones", sys.executable))
    (row,) = relax_crystals([crystal("argon", bulk("Ar", a=5.3))], emt, by_another, OPTIONS)
    assert row["status"].startswith("no Hessian: ase.calculators.emt:EMT failed: ")


def test_phonons_are_the_engines_own(relaxed: list[dict[str, Any]], store: Store, emt: Potential) -> None:
    (row,) = compute_phonons(relaxed[:1], store, AT_GAMMA, 20)
    atoms = row_to_atoms(relaxed[0])
    atoms.set_initial_magnetic_moments(np.array(relaxed[0]["moments"]))
    mine = phonons_in(PotentialAsEngine(emt), atoms, (1, 1, 1), AT_GAMMA, 20)
    assert (row["status"], row["verdict"], row["q"]) == (CONVERGED, "stable", [0.0, 0.0, 0.0])
    assert row["min_frequency"] == pytest.approx(mine.min_frequency, abs=1e-4)
    assert row["min_frequency"] > 1
    assert row["n_displacements"] == mine.n_displacements > 0
    assert tables.to_table([row], tables.DFT_PHONONS)["crystal_id"].to_pylist() == ["alloy"]
    (refused,) = compute_phonons(relaxed[:1], store, AT_GAMMA, 1)
    assert refused["status"].startswith("refused")
    assert refused["verdict"] is None


def test_elastic_constants_are_the_engines_own(relaxed: list[dict[str, Any]], store: Store, emt: Potential) -> None:
    (row,) = compute_phonons(relaxed[:1], store, AT_GAMMA, 20, elastic=["alloy"])
    atoms = row_to_atoms(relaxed[0])
    phonon = finite_displacements(atoms, forces_by(emt), (1, 1, 1), AT_GAMMA.displacement)
    mine = elasticity(atoms, elastic_tensor(atoms, phonon, emt))
    assert row["elasticity"] == CONVERGED
    assert row["elastic_tensor"] == pytest.approx(mine["elastic_tensor"], rel=0.01, abs=0.1)
    assert row["elastic_eigenvalues"][0] == pytest.approx(mine["elastic_min_eigenvalue"], rel=0.01)
    assert row["elastic_eigenvalues"] == sorted(row["elastic_eigenvalues"])
    assert row["mechanically_stable"]
    assert row["bulk_modulus"] == pytest.approx(mine["bulk_modulus"], rel=0.01)
    assert tables.to_table([row], tables.DFT_PHONONS)["elasticity"].to_pylist() == [CONVERGED]
    (without,) = compute_phonons(relaxed[:1], store, AT_GAMMA, 20)
    assert "elasticity" not in without
    (refused,) = compute_phonons(relaxed[:1], store, AT_GAMMA, 1, elastic=["alloy"])
    assert refused["elasticity"].startswith("no phonons at Γ: refused")


def test_elastic_constants_need_forces_and_stress(relaxed: list[dict[str, Any]], emt: Potential) -> None:
    atoms = row_to_atoms(relaxed[0])
    engine = PotentialAsEngine(emt)
    at_gamma = phonons_in(engine, atoms, (1, 1, 1), AT_GAMMA, 20)
    found = [
        elasticity_by_dft(lambda cell, changes=changes: replace(engine(cell), **changes), atoms, at_gamma)
        for changes in ({"status": "not converged"}, {"status": "waiting: inputs"}, {"stress": None}, {"forces": None})
    ]
    assert found == [
        {"elasticity": "not converged"},
        {"elasticity": "waiting: inputs (12 of 12 supercells)"},
        {"elasticity": "failed: the calculation gives no stress"},
        {"elasticity": "failed: the calculation gives no forces"},
    ]


def test_the_mesh_of_the_first_geometry_is_kept(emt: Potential, tmp_path: Path) -> None:
    """A mesh by density would change on the way."""
    asked: list[Calculation] = []

    class WithMesh(AseEngine):
        def parameters(self, atoms: Atoms, *, stress: bool = False, **changes: Any) -> dict[str, Any]:
            mesh = round(100 * atoms.get_volume())
            return super().parameters(atoms, stress=stress, kpts=mesh, **changes)

        def write(self, calculation: Calculation, folder: Path) -> None:
            asked.append(calculation)
            super().write(calculation, folder)

    engine = WithMesh("ase.calculators.emt:EMT", sys.executable)
    list(relax_crystals([crystal("alloy", alloy())], emt, Store(tmp_path, engine), RelaxOptions(max_steps=1)))
    meshes = [(one.parameters["stress"], one.parameters["kpts"]) for one in asked]
    first = round(100 * alloy().get_volume())
    assert [mesh for stress, mesh in meshes if stress] == [first, first]
    assert meshes[0] == (False, first)
    assert meshes[-1][0] is False
    assert meshes[-1][1] != first


@pytest.mark.parametrize(("option", "value"), [("relax", -1), ("gain", 0.0), ("max_steps", -1)])
def test_options_are_checked(option: str, value: float) -> None:
    with pytest.raises(InputError, match=option):
        RelaxOptions(**{option: value})  # type: ignore[arg-type]
