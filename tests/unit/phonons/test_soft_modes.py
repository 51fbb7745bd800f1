"""Imaginary modes: the smallest supercell, the same pattern from any basis, and the energy falls along it."""

import numpy as np
import pytest
from ase import Atoms
from phonopy import Phonopy

from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.force_constants import displaced
from cgwgan_core.phonons.soft_modes import (
    AMPLITUDES,
    STRAIN,
    displacement_patterns,
    row_echelon,
    soft_modes,
    strained,
)

EDGE = 3.0


@pytest.fixture
def soft() -> Atoms:
    cell, _, _ = standardise(Atoms("Cu", cell=[EDGE, EDGE, 1.001 * EDGE], pbc=True))
    return cell


def test_a_degenerate_space_has_one_basis() -> None:
    rng = np.random.default_rng(0)
    space = rng.normal(size=(3, 12))
    mixed = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ space
    assert row_echelon(mixed) == pytest.approx(row_echelon(space))
    assert row_echelon(np.concatenate([space, mixed])) == pytest.approx(row_echelon(space))
    polar = np.array([[1, 1, 0, -2, -2, 0], [1, -1, 0, -2, 2, 0], [0, 0, 3, 0, 0, -6]])
    assert row_echelon(polar) == pytest.approx(
        np.array([[1, 0, 0, -2, 0, 0], [0, 1, 0, 0, -2, 0], [0, 0, 1, 0, 0, -2]])
    )


@pytest.fixture
def chain(soft: Atoms) -> Phonopy:
    """Springs along x: m ω² = 2 + 3 cos(2π q_x), lowest at the zone boundary, -1; nothing else is imaginary."""
    phonon = displaced(soft, (4, 1, 1), 0.01)
    order = np.round(phonon.supercell.scaled_positions[:, 0] * 4).astype(int) % 4
    constants = np.zeros((1, len(phonon.supercell), 3, 3))
    constants[0, order == 0] = 2 * np.eye(3)
    for neighbour in (1, 3):
        constants[0, order == neighbour, 0, 0] = 1.5
    phonon.force_constants = constants
    return phonon


def test_soft_mode_of_springs(soft: Atoms, chain: Phonopy) -> None:
    (mode, *_) = soft_modes(chain, 4, -0.1)
    assert mode.q == (0.5, 0, 0)
    assert mode.frequency < 0
    assert round(np.linalg.det(mode.supercell)) == 2
    ((at_rest, pattern),) = displacement_patterns(soft, mode)
    assert len(at_rest) == 2
    assert pattern[:, 1:] == pytest.approx(0)
    assert pattern[0, 0] == pytest.approx(-pattern[1, 0])
    assert abs(pattern[0, 0]) == pytest.approx(1)


def test_real_modes_are_none(chain: Phonopy) -> None:
    constants = chain.force_constants.copy()
    constants[..., 0, 0] = np.where(constants[..., 1, 1] > 0, constants[..., 0, 0], 0)  # no springs between the atoms
    chain.force_constants = constants
    assert soft_modes(chain, 4, -0.1) == []


def test_every_amplitude_is_seen_as_a_distortion(soft: Atoms, chain: Phonopy) -> None:
    (mode, *_) = soft_modes(chain, 4, -0.1)
    ((at_rest, pattern),) = displacement_patterns(soft, mode)
    for amplitude in AMPLITUDES:
        atoms = at_rest.copy()
        atoms.positions += amplitude * pattern
        cell, _, _ = standardise(atoms)
        assert len(cell) == 2  # at rest, the primitive cell holds one atom


def test_the_trial_strains_are_the_one_that_is_not_resisted(soft: Atoms) -> None:
    tensor = np.diag([100.0, 100.0, 100.0, 50.0, -5.0, 50.0])  # gives way to a shear of x and z
    for atoms, way in zip(strained(soft, tensor), (1, -1), strict=True):
        strain = np.linalg.solve(soft.cell.array, atoms.cell.array) - np.eye(3)
        assert np.linalg.norm(strain) == pytest.approx(STRAIN)
        assert strain[0, 2] == pytest.approx(strain[2, 0])
        assert abs(strain[0, 2]) == pytest.approx(STRAIN / np.sqrt(2))
        assert np.sign(strain[0, 2]) == way * np.sign(strained(soft, tensor)[0].cell.array[0, 2])
        assert atoms.get_scaled_positions() == pytest.approx(soft.get_scaled_positions())
        assert len(standardise(atoms)[0]) == 1
