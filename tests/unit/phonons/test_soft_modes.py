"""Imaginary modes: the smallest supercell, the same pattern from any basis, and the energy falls along it."""

import numpy as np
import pytest
from ase import Atoms
from phonopy import Phonopy

from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.force_constants import displaced
from cgwgan_core.phonons.soft_modes import (
    AMPLITUDES,
    commensurate_supercell,
    displacement_patterns,
    row_echelon,
    soft_mode,
)

EDGE = 3.0


@pytest.fixture
def soft() -> Atoms:
    cell, _, _ = standardise(Atoms("Cu", cell=[EDGE, EDGE, 1.001 * EDGE], pbc=True))
    return cell


@pytest.mark.parametrize(
    ("q", "size"),
    [((0, 0, 0), 1), ((0.5, 0, 0), 2), ((0.5, 0.5, 0.5), 2), ((0.25, 0.5, 0), 4), ((1 / 3, 0, 0.5), 6)],
)
def test_smallest_supercell(q: tuple[float, float, float], size: int) -> None:
    matrix = commensurate_supercell(q, size)
    assert round(np.linalg.det(matrix)) == size
    assert matrix @ np.array(q) == pytest.approx(np.round(matrix @ np.array(q)))
    if size > 1:
        with pytest.raises(ValueError, match="fits no supercell"):
            commensurate_supercell(q, size - 1)


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
    mode = soft_mode(chain, (4, 1, 1))
    assert mode is not None
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
    assert soft_mode(chain, (4, 1, 1)) is None


def test_every_amplitude_is_seen_as_a_distortion(soft: Atoms, chain: Phonopy) -> None:
    mode = soft_mode(chain, (4, 1, 1))
    ((at_rest, pattern),) = displacement_patterns(soft, mode)
    for amplitude in AMPLITUDES:
        atoms = at_rest.copy()
        atoms.positions += amplitude * pattern
        cell, _, _ = standardise(atoms)
        assert len(cell) == 2  # at rest, the primitive cell holds one atom
