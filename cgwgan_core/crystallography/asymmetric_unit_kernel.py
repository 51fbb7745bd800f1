"""The compiled part of :mod:`.asymmetric_unit`: whether a crystal may have more symmetry than its group."""

# ruff: noqa: C901, PLR0912 - numba compiles plain loops best

import numpy as np
from numba import njit

from cgwgan_core.workflow.arrays import Booleans, Floats, Integers


@njit(cache=True, nogil=True)
def may_grow(
    vectors: Floats, positions: Floats, site: Integers, order: int, tolerance: float
) -> Booleans:  # pragma: no cover (compiled)
    """Whether more operations than those of the group map each of n crystals of one kind onto itself, (n,).

    :param vectors: reduced primitive lattice vectors as rows, (n, 3, 3) Å; see ``reduce_cells``.
    :param positions: fractional coordinates there, (n, m, 3).
    :param site: of each atom, ascending, (m,): an operation maps each site onto itself.
    :param order: operations of the group, without lattice translations.
    :param tolerance: of distances, Å.
    """
    n = len(positions)
    bounds = np.searchsorted(site, np.arange(site[-1] + 2))
    rarest = np.argmin(bounds[1:] - bounds[:-1])
    short = np.empty((26, 3))
    count = 0
    for u in range(27):
        if u != 13:
            short[count, 0], short[count, 1], short[count, 2] = u // 9 - 1, u // 3 % 3 - 1, u % 3 - 1
            count += 1
    alike, some = np.empty((3, 26), np.int64), np.empty(3, np.int64)
    products, lengths = np.empty((26, 26)), np.empty(3)
    turn, shift = np.empty((3, 3)), np.empty(3)
    out = np.zeros(n, np.bool_)
    for c in range(n):
        metric = vectors[c] @ vectors[c].T
        products[:] = short @ metric @ short.T
        for i in range(3):
            lengths[i] = np.sqrt(metric[i, i])
            some[i] = 0
            for u in range(26):
                if abs(np.sqrt(products[u, u]) - lengths[i]) < tolerance:
                    alike[i, some[i]] = u
                    some[i] += 1
        found = 0
        # of a basis, the images that have its lengths and angles
        for x in range(some[0]):
            if found > order:
                break
            for y in range(some[1]):
                if found > order:
                    break
                u, v = alike[0, x], alike[1, y]
                if abs(products[u, v] - metric[0, 1]) > tolerance * (lengths[0] + lengths[1]):
                    continue
                for z in range(some[2]):
                    w = alike[2, z]
                    if abs(products[u, w] - metric[0, 2]) > tolerance * (lengths[0] + lengths[2]):
                        continue
                    if abs(products[v, w] - metric[1, 2]) > tolerance * (lengths[1] + lengths[2]):
                        continue
                    turn[0], turn[1], turn[2] = short[u], short[v], short[w]
                    if abs(abs(np.linalg.det(turn)) - 1) > 0.5:
                        continue
                    # an operation lays an atom of the rarest site on one of them
                    start = positions[c, bounds[rarest]] @ turn
                    for atom in range(bounds[rarest], bounds[rarest + 1]):
                        shift[:] = positions[c, atom] - start
                        if _maps(vectors[c], positions[c], bounds, turn, shift, 2 * tolerance):
                            found += 1
                    if found > order:
                        break
        out[c] = found > order
    return out


@njit(cache=True, nogil=True)
def _maps(
    vectors: Floats, positions: Floats, bounds: Integers, turn: Floats, shift: Floats, tolerance: float
) -> bool:  # pragma: no cover (compiled)
    """Whether an operation lays every atom on one of its site; first atoms first: most that do not fit fail there."""
    for rest in range(2):
        for s in range(len(bounds) - 1):
            for atom in range(bounds[s] + rest, bounds[s + 1] if rest else bounds[s] + 1):
                p = positions[atom]
                t0 = p[0] * turn[0, 0] + p[1] * turn[1, 0] + p[2] * turn[2, 0] + shift[0]
                t1 = p[0] * turn[0, 1] + p[1] * turn[1, 1] + p[2] * turn[2, 1] + shift[1]
                t2 = p[0] * turn[0, 2] + p[1] * turn[1, 2] + p[2] * turn[2, 2] + shift[2]
                hit = False
                for other in range(bounds[s], bounds[s + 1]):
                    f0, f1, f2 = t0 - positions[other, 0], t1 - positions[other, 1], t2 - positions[other, 2]
                    f0, f1, f2 = f0 - np.rint(f0), f1 - np.rint(f1), f2 - np.rint(f2)
                    square = 0.0
                    for x in range(3):
                        square += (f0 * vectors[0, x] + f1 * vectors[1, x] + f2 * vectors[2, x]) ** 2
                    if square < tolerance * tolerance:
                        hit = True
                        break
                if not hit:
                    return False
    return True
