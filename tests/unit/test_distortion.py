"""Imaginary modes: the smallest supercell, the same pattern from any basis, and the energy falls along it."""

import numpy as np
import pytest
from ase import Atoms

from cgwgan_core import distortion, phonons
from cgwgan_core.distortion import commensurate, distortions, row_echelon, soft_mode

EDGE = 3.0


@pytest.fixture
def soft():
    cell, _, _ = phonons.standardise(Atoms("Cu", cell=[EDGE, EDGE, 1.001 * EDGE], pbc=True))
    return cell


@pytest.mark.parametrize(
    ("q", "size"),
    [((0, 0, 0), 1), ((0.5, 0, 0), 2), ((0.5, 0.5, 0.5), 2), ((0.25, 0.5, 0), 4), ((1 / 3, 0, 0.5), 6)],
)
def test_smallest_supercell(q, size) -> None:
    matrix = commensurate(q, size)
    assert round(np.linalg.det(matrix)) == size
    assert matrix @ np.array(q) == pytest.approx(np.round(matrix @ np.array(q)))
    if size > 1:
        with pytest.raises(ValueError, match="fits no supercell"):
            commensurate(q, size - 1)


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


def test_soft_mode_of_springs(soft: Atoms) -> None:
    """Along x: m ω² = 2 + 3 cos(2π q_x), lowest at the zone boundary, -1; nothing else is imaginary."""
    dynamical = phonons.displaced(soft, (4, 1, 1), 0.01)
    n = len(dynamical.supercell)
    constants = np.zeros((1, n, 3, 3))
    order = np.round(dynamical.supercell.scaled_positions[:, 0] * 4).astype(int) % 4
    constants[0, order == 0] = 2 * np.eye(3)
    for neighbour in (1, 3):
        constants[0, order == neighbour, 0, 0] = 1.5
    dynamical.force_constants = constants
    mode = soft_mode(dynamical, (4, 1, 1))
    assert mode is not None
    assert mode.q == (0.5, 0, 0)
    assert mode.frequency < 0
    assert round(np.linalg.det(mode.supercell)) == 2
    ((at_rest, pattern),) = distortions(soft, mode)
    assert len(at_rest) == 2
    assert pattern[:, 1:] == pytest.approx(0)
    assert pattern[0, 0] == pytest.approx(-pattern[1, 0])
    assert abs(pattern[0, 0]) == pytest.approx(1)
    dynamical.force_constants = np.abs(constants) * (order == 0)[None, :, None, None]
    assert soft_mode(dynamical, (4, 1, 1)) is None


def test_amplitudes_break_the_symmetry() -> None:
    assert min(distortion.AMPLITUDES) > 4 * phonons.SYMPREC
