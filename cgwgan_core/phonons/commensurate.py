"""q-points of small denominators, and the smallest supercells that they fit into.

A mode of wave vector q = (i, j, k)/N has the periodicity of a supercell of N primitive cells, which is not a diagonal
one in general (Lloyd-Williams and Monserrat, Phys. Rev. B 92, 184301 (2015), doi:10.1103/PhysRevB.92.184301).
"""

from collections.abc import Sequence
from functools import cache
from itertools import product
from math import gcd

import numpy as np
from numpy.typing import NDArray

from cgwgan_core.workflow.arrays import Floats, Integers

SAME = 0.01
"""THz; of the q-points of one denominator those whose lowest frequencies are closer count as equivalent."""


@cache
def rational_points(most: int) -> tuple[Floats, Integers]:
    """All q-points that fit a supercell of at most so many cells, one of q and -q, smallest supercells first.

    :returns: reduced coordinates from -1/2, excluded, to 1/2, (k, 3), and the cells of each one's supercell, (k,).
    """
    points, sizes = [], []
    for size in range(1, most + 1):
        for whole in product(range(size), repeat=3):
            if gcd(size, *whole) != 1:
                continue  # fits a smaller one
            point, opposite = (tuple(_wrapped(way * i, size) for i in whole) for way in (1, -1))
            if point >= opposite:
                points.append([i / size for i in point])
                sizes.append(size)
    return np.array(points), np.array(sizes)


def _wrapped(i: int, size: int) -> int:
    """The same whole number modulo a size, from -size/2, excluded, to size/2."""
    i %= size
    return i - size if 2 * i > size else i


def commensurate_supercell(q: Sequence[float] | Floats, size: int) -> NDArray[np.int64]:
    """The first supercell of so many cells, in Hermite normal form, that a q-point fits into, (3, 3).

    :raises ValueError: if there is none of that size.
    """
    for a, d in product(range(1, size + 1), repeat=2):
        if size % (a * d):
            continue
        f = size // (a * d)
        for b, c, e in product(range(d), range(f), range(f)):
            matrix = np.array([[a, b, c], [0, d, e], [0, 0, f]])
            phases = matrix @ np.asarray(q)
            if np.abs(phases - np.round(phases)).max() < 1e-6:
                return matrix
    raise ValueError(f"q = {tuple(q)} fits no supercell of {size} cells")


def fits(points: Floats, repeats: Sequence[int]) -> NDArray[np.bool_]:
    """Which q-points (k, 3) fit a supercell of so many repeats, (k,)."""
    phases = points * np.array(repeats)
    found: NDArray[np.bool_] = np.abs(phases - np.round(phases)).max(axis=1) < 1e-6
    return found


def fitting_points(repeats: Sequence[int]) -> Floats:
    """All q-points that fit a supercell of so many repeats, reduced coordinates (k, 3)."""
    axes = ([_wrapped(i, n) / n for i in range(n)] for n in repeats)
    return np.array(list(product(*axes)))


def deepest(lowest: Floats, sizes: Integers, below: float) -> list[int]:
    """Places of inequivalent q-points whose lowest frequency is below a limit, in the order to try them in.

    The deepest comes first, but a smaller supercell before a larger one where the squares of their frequencies differ
    by less than a quarter of the deepest's: near a minimum between points of small denominators any will do.

    :param lowest: lowest frequency at each point, THz, (k,).
    :param sizes: cells of each one's supercell, (k,).
    """
    found: list[int] = []
    for i in np.lexsort((np.arange(len(lowest)), np.round(lowest, 4), sizes)):
        if lowest[i] >= below:
            continue
        if found and sizes[found[-1]] == sizes[i] and lowest[i] - lowest[found[-1]] < SAME:
            continue
        found.append(int(i))
    if not found:
        return []
    depth = lowest**2 / lowest.min() ** 2
    return sorted(found, key=lambda i: (int(4 * (1 - depth[i])), sizes[i], lowest[i]))
