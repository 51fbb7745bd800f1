"""q-points of small denominators and their supercells."""

import numpy as np
import pytest

from cgwgan_core.phonons.commensurate import commensurate_supercell, deepest, fits, fitting_points, rational_points


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


def test_rational_points_are_all_there_are_but_for_their_sign() -> None:
    points, sizes = rational_points(3)
    assert points[0].tolist() == [0, 0, 0]
    # Γ; seven points of halves, each its own opposite; 26 of thirds in 13 pairs
    assert [int((sizes == n).sum()) for n in (1, 2, 3)] == [1, 7, 13]
    assert ((points > -0.5) & (points <= 0.5)).all()
    both = {tuple(np.round(q - np.floor(q + 0.5 - 1e-9), 6) + 0.0) for q in np.concatenate([points, -points])}
    assert len(both) == 1 + 7 + 26
    for q, size in zip(*rational_points(6), strict=True):
        assert commensurate_supercell(q, int(size)).diagonal().prod() == size


def test_points_that_fit() -> None:
    points = fitting_points((4, 2, 1))
    assert len(points) == 8
    assert fits(points, (4, 2, 1)).all()
    assert fits(points, (2, 2, 1)).sum() == 4
    assert not fits(np.array([[0.125, 0, 0]]), (4, 2, 1))[0]


def test_a_smaller_supercell_goes_before_a_slightly_deeper_mode() -> None:
    sizes = np.array([1, 2, 2, 3, 4, 4])
    lowest = np.array([0.1, -1.8, -1.805, -2.0, -0.9, -0.6])
    # 1 and 2 are equivalent, and nearly as deep as 3; 0 is real and 5 not low enough
    assert deepest(lowest, sizes, -0.7) == [2, 3, 4]
    assert deepest(lowest, sizes, -3.0) == []
