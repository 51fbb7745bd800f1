"""Elements on the sites of one template, found site by site.

A branch of the search ends where two of its sites are too close even in the largest cell that elements on the sites to
come can make. What it would have held is counted, not visited.
"""

# ruff: noqa: C901 - numba compiles plain loops best

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cgwgan_core.workflow.arrays import Floats, Integers

ANY = -1
"""In place of an element: none is fixed."""


@cache
def ways(n_sites: int, n_elements: int, missing: int) -> int:
    """Ways to put elements on sites so that each of the missing ones is used.

    >>> ways(3, 3, 3), ways(4, 3, 3), ways(8, 3, 3)
    (6, 36, 5796)
    """
    if n_sites == 0:
        return int(missing == 0)
    others = (n_elements - missing) * ways(n_sites - 1, n_elements, missing)
    return others + (missing * ways(n_sites - 1, n_elements, missing - 1) if missing else 0)


def search(
    distances: Floats, atoms: Integers, radii: Floats, volumes: Floats, ratio: float, fixed: Integers
) -> tuple[NDArray[np.int8], int]:
    """Every assignment that uses all elements and keeps atoms apart, in order, (A, K); the number of those that do not.

    :param distances: shortest distances between atoms of two sites, at the template's volume, (K, K) Å.
    :param atoms: of each site, (K,).
    :param radii: of the elements, (E,) Å.
    :param volumes: of an atom of each element over the template's volume, (E,): the cell is scaled to the sum; all zero
        leave it as it is.
    :param ratio: least distance of two atoms over the sum of their radii.
    :param fixed: the element that a site holds, or :data:`ANY`, (K,).
    """
    n, k = len(radii), len(atoms)
    table = np.array([[ways(i, n, j) for j in range(n + 1)] for i in range(k + 1)], dtype=np.int64)
    return _search(distances, atoms, radii, volumes, ratio, fixed, table)


@njit(cache=True, nogil=True)
def _search(
    distances: Floats,
    atoms: Integers,
    radii: Floats,
    volumes: Floats,
    ratio: float,
    fixed: Integers,
    table: Integers,
) -> tuple[NDArray[np.int8], int]:  # pragma: no cover (compiled)
    n, k = len(radii), len(atoms)
    scaled = volumes.max() > 0
    # of the sites from each on: how much they can add to the volume, how many are free, what the fixed ones use
    rest, free, later = np.zeros(k + 1), np.zeros(k + 1, np.int64), np.zeros(k + 1, np.int64)
    for i in range(k - 1, -1, -1):
        largest = volumes.max() if fixed[i] < 0 else volumes[fixed[i]]
        rest[i] = rest[i + 1] + atoms[i] * largest
        free[i] = free[i + 1] + (fixed[i] < 0)
        later[i] = later[i + 1] | (0 if fixed[i] < 0 else 1 << fixed[i])
    choice = np.full(k, -1, np.int64)
    used, volume, tightest = np.zeros(k + 1, np.int64), np.zeros(k + 1), np.full(k + 1, np.inf)
    found = np.empty((256, k), np.int8)
    count, close, site = 0, 0, 0
    while site >= 0:
        choice[site] += 1
        element = choice[site]
        if element == n:
            choice[site] = -1
            site -= 1
            continue
        if fixed[site] >= 0 and element != fixed[site]:
            continue
        used[site + 1] = used[site] | 1 << element
        missing = n
        for e in range(n):
            missing -= (used[site + 1] | later[site + 1]) >> e & 1
        completions = table[free[site + 1], missing]
        if completions == 0:
            continue
        volume[site + 1] = volume[site] + atoms[site] * volumes[element]
        least = tightest[site]
        for other in range(site + 1):
            least = min(least, distances[site, other] / (radii[element] + radii[choice[other]]))
        tightest[site + 1] = least
        largest = np.cbrt(volume[site + 1] + rest[site + 1]) if scaled else 1.0
        if least * largest < ratio:
            close += completions
        elif site < k - 1:
            site += 1
        else:
            if count == len(found):
                more = np.empty((2 * count, k), np.int8)
                more[:count] = found
                found = more
            for i in range(k):
                found[count, i] = choice[i]
            count += 1
    return found[:count].copy(), close
