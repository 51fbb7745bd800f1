"""Elastic constants against strained cells relaxed by hand."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.optimize import BFGS
from phonopy import Phonopy

from cgwgan_core.phonons.elasticity import (
    GPA,
    STRAIN,
    elastic_tensor,
    elasticity,
    slowest_sound,
    softest_strain,
)
from cgwgan_core.potentials.protocol import Potential, voigt


def test_shear_of_silicon_with_its_atoms_relaxed(silicon: tuple[Atoms, Phonopy], chgnet: Potential) -> None:
    """C44 of diamond is far lower once the two atoms may move against each other: strain it, relax it, compare."""
    primitive, phonon = silicon
    tensor = elastic_tensor(primitive, phonon, chgnet)
    stress = []
    for size in (STRAIN, -STRAIN):
        atoms = primitive.copy()
        shear = np.eye(3)
        shear[1, 2] = shear[2, 1] = size / 2
        atoms.set_cell(primitive.cell.array @ shear, scale_atoms=True)
        atoms.calc = chgnet.calculator()
        BFGS(atoms, logfile=None).run(fmax=1e-4, steps=50)
        stress.append(atoms.get_stress()[3])
    relaxed = GPA * (stress[0] - stress[1]) / (2 * STRAIN)
    clamped = chgnet.evaluate([primitive], stress=True)
    assert np.abs(voigt(clamped.stresses[0])).max() * GPA < 0.5
    assert tensor[3, 3] == pytest.approx(relaxed, rel=0.05)
    assert tensor[3, 3] == pytest.approx(tensor[4, 4], rel=0.02)


def test_columns_of_a_stable_crystal(silicon: tuple[Atoms, Phonopy], chgnet: Potential) -> None:
    primitive, phonon = silicon
    found = elasticity(primitive, elastic_tensor(primitive, phonon, chgnet))
    tensor = np.reshape(found["elastic_tensor"], (6, 6))
    assert found["bulk_modulus"] == pytest.approx((tensor[0, 0] + 2 * tensor[0, 1]) / 3, rel=1e-6)
    assert found["elastic_min_eigenvalue"] == pytest.approx(
        min(2 * tensor[3, 3], tensor[0, 0] - tensor[0, 1]), rel=1e-6
    )
    assert found["mechanically_stable"]
    assert tensor[0, 3] == pytest.approx(0, abs=1e-6)


C11, C12, C44 = 166.0, 64.0, 80.0
"""GPa, of a cubic crystal."""


@pytest.fixture
def cubic() -> np.ndarray:
    tensor = np.diag([C11] * 3 + [C44] * 3)
    tensor[:3, :3] += C12 * (1 - np.eye(3))
    return tensor


@pytest.mark.parametrize(
    ("direction", "modulus"),
    [
        ((1, 0, 0), C44),
        ((1, 1, 0), (C11 - C12) / 2),
        ((1, 1, 1), (C11 - C12 + C44) / 3),
    ],
)
def test_slowest_sound_of_a_cubic_crystal(cubic: np.ndarray, direction: tuple[float, ...], modulus: float) -> None:
    """The transverse waves along the axes and diagonals, as in any textbook; the cell is primitive and skew."""
    primitive = bulk("Si", "diamond", a=5.43)
    q = primitive.cell.array @ np.array(direction) / 50
    assert slowest_sound(primitive, cubic, q) == pytest.approx(modulus)


def test_softest_strain_of_a_cubic_crystal(cubic: np.ndarray) -> None:
    cubic[3:, 3:] -= 100 * np.eye(3)
    resistance, strain = softest_strain(cubic)
    assert resistance == pytest.approx(2 * (C44 - 100))
    assert np.linalg.norm(strain) == pytest.approx(1)
    assert np.diag(strain) == pytest.approx(0)
    engineering = np.array([*np.diag(strain), 2 * strain[1, 2], 2 * strain[0, 2], 2 * strain[0, 1]])
    assert engineering @ cubic @ engineering == pytest.approx(resistance)
