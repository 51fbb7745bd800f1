"""Elastic constants against strained cells relaxed by hand, thermodynamics at its limits, diffraction patterns."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.optimize import BFGS
from phonopy import Phonopy
from pymatgen.core import Lattice, Structure

from cgwgan_core import finalists, phonons
from cgwgan_core.phonons import PhononOptions
from cgwgan_core.potentials import Potential, PotentialOptions, load
from cgwgan_core.potentials.protocol import voigt


@pytest.fixture(scope="module")
def chgnet() -> Potential:
    return load(PotentialOptions(name="chgnet"))


@pytest.fixture(scope="module")
def silicon(chgnet: Potential) -> tuple[Atoms, Phonopy]:
    options = PhononOptions(min_length=None, fmax=0.001)
    result, phonon = phonons.judge(bulk("Si", "diamond", a=5.43), chgnet, options)
    assert result.status == "ok"
    return result.atoms, phonon


def test_shear_of_silicon_with_its_atoms_relaxed(silicon: tuple[Atoms, Phonopy], chgnet: Potential) -> None:
    """C44 of diamond is far lower once the two atoms may move against each other: strain it, relax it, compare."""
    primitive, phonon = silicon
    tensor = finalists.elastic_tensor(primitive, phonon, chgnet)
    stress = []
    for size in (finalists.STRAIN, -finalists.STRAIN):
        atoms = primitive.copy()
        shear = np.eye(3)
        shear[1, 2] = shear[2, 1] = size / 2
        atoms.set_cell(primitive.cell.array @ shear, scale_atoms=True)
        atoms.calc = chgnet.calculator()
        BFGS(atoms, logfile=None).run(fmax=1e-4, steps=50)
        stress.append(atoms.get_stress()[3])
    relaxed = finalists.GPA * (stress[0] - stress[1]) / (2 * finalists.STRAIN)
    clamped = chgnet.evaluate([primitive], stress=True)
    assert np.abs(voigt(clamped.stresses[0])).max() * finalists.GPA < 0.5
    assert tensor[3, 3] == pytest.approx(relaxed, rel=0.05)
    assert tensor[3, 3] == pytest.approx(tensor[4, 4], rel=0.02)


def test_columns_of_a_stable_crystal(silicon: tuple[Atoms, Phonopy], chgnet: Potential) -> None:
    found = finalists.elasticity(*silicon, chgnet)
    tensor = np.reshape(found["elastic_tensor"], (6, 6))
    assert found["bulk_modulus"] == pytest.approx((tensor[0, 0] + 2 * tensor[0, 1]) / 3, rel=1e-6)
    assert found["elastic_min_eigenvalue"] == pytest.approx(
        min(2 * tensor[3, 3], tensor[0, 0] - tensor[0, 1]), rel=1e-6
    )
    assert found["mechanically_stable"]
    assert tensor[0, 3] == pytest.approx(0, abs=1e-6)


def test_thermodynamics_of_silicon(silicon: tuple[Atoms, Phonopy]) -> None:
    """Heat capacity at 300 K: 19.8 J/(mol K) measured, 2.38 k_B; below the classical limit of 3."""
    found = finalists.thermodynamics(silicon[1], (8, 8, 8))
    assert found["heat_capacity_per_atom"] == pytest.approx(2.4, abs=0.15)
    assert -0.03 < found["vibrational_free_energy_per_atom"] < 0.03


def test_patterns_know_a_crystal_by_any_cell() -> None:
    salt = Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    other = Structure.from_spacegroup(221, Lattice.cubic(4.12), ["Cs", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    found = finalists.patterns([salt, salt.get_primitive_structure(), other])
    alike = finalists.similarity(found, found)
    assert np.diag(alike) == pytest.approx(1)
    assert alike[0, 1] == pytest.approx(1, abs=1e-6)
    assert alike[0, 2] < 0.3
    assert finalists.similarity(found[:1], found).shape == (1, 3)
