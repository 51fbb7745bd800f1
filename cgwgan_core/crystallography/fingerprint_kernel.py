"""The compiled part of :mod:`.fingerprint`: templates of one kind under changes of description, one after the other."""

# ruff: noqa: C901, PLR0912 - numba compiles plain loops best

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cgwgan_core.crystallography.fingerprint_arrays import Descriptions
from cgwgan_core.workflow.arrays import Floats, Integers


@njit(cache=True, nogil=True)
def first_descriptions(
    to: Descriptions, vectors: Floats, coords: Floats, species: Integers, steps: int
) -> tuple[Floats, Integers, Floats]:  # pragma: no cover (compiled)
    """Of all changes the one that makes cell and then sites smallest, for each of n templates; see ``canonical``.

    :param vectors: conventional lattice vectors as rows, (n, 3, 3) Å.
    :param coords: (n, k, 3).
    :param species: of the sites, (n, k).
    :param steps: coordinates are compared in steps of one in so many.
    :returns: cells, (n, 6); which site each was before, (n, k); coordinates, (n, k, 3).
    """
    n, k = species.shape
    cells, order, found = np.empty((n, 6)), np.empty((n, k), np.int64), np.empty((n, k, 3))
    usable = to.usable
    some, cell = np.empty(len(usable), np.int64), np.empty(6)
    ticks, fewest = np.empty(6, np.int64), np.empty(6, np.int64)
    moved, shift = np.empty((k, to.maps.shape[2], 3)), np.empty(3)
    code, kind, best = np.empty(k, np.int64), np.empty(k, np.int64), np.empty((2, k), np.int64)
    image, place, point = np.empty(k, np.int64), np.empty(k, np.int64), np.empty((k, 3))
    for i in range(n):
        count, smallest = _shortest(to, vectors[i], some), 0
        for j in range(count):
            _cell(to.turns[some[j]], vectors[i], cell)
            for x in range(6):
                ticks[x] = int(np.rint(cell[x] * (1000.0 if x < 3 else 100.0)))
            sign = -1 if j == 0 else _compared(ticks, fewest)
            if sign < 0:
                fewest[:], smallest = ticks, 0
                cells[i] = cell
            if sign <= 0:
                some[smallest] = some[j]
                smallest += 1
        # origins count before changes: where two are equal, the first is taken
        polar = to.polar.any()
        origins = k * to.maps.shape[2] if polar else 1
        rarest, begun = np.zeros((smallest, k), np.bool_), False
        for j in range(smallest if polar else 0):
            _rarest(to, some[j], species[i], kind, rarest[j])
        for origin in range(origins):
            site, p = origin // to.maps.shape[2], origin % to.maps.shape[2]
            for j in range(smallest):
                q = some[j]
                if polar and (not rarest[j, site] or p >= max(1, to.n_maps[q, to.sites[site]])):
                    continue
                for s in range(k):
                    _images(to, q, s, coords[i, s], moved[s])
                shift[:] = 0.0
                if polar:
                    for x in range(3):
                        shift[x] = moved[site, p, x] if to.polar[x] else 0.0
                for s in range(k):
                    letter = to.sites[s]
                    least = 0
                    for r in range(max(1, to.n_maps[q, letter])):
                        number = _code(moved[s, r], shift, steps)
                        if r == 0 or number < least:
                            least, image[s] = number, r
                    code[s], kind[s] = least + np.int64(to.letters[q, letter]) * steps**3, species[i, s]
                    place[s] = s
                _sort(code, kind, place)
                sign = -1
                if begun:
                    sign = _compared(code, best[0])
                    if sign == 0:
                        sign = _compared(kind, best[1])
                if sign < 0:
                    best[0], best[1], begun = code, kind, True
                    for s in range(k):
                        order[i, s] = place[s]
                        for x in range(3):
                            point[s, x] = moved[place[s], image[place[s]], x] - shift[x]
        found[i] = point
    return cells, order, found


@njit(cache=True, nogil=True)
def smallest_bins(
    to: Descriptions, vectors: Floats, coords: Floats, bins: int, ratio: float, angle: float
) -> NDArray[np.int64]:  # pragma: no cover (compiled)
    """Numbers of a fingerprint, for each of n templates: of the cell's shape, 5, and of each site, (n, 5 + k).

    :param vectors: conventional lattice vectors as rows, (n, 3, 3) Å.
    :param coords: (n, k, 3).
    :param bins: along each axis.
    :param ratio: width of the bins of the logarithms of b/a and c/a, ``angle`` that of angles, degrees.
    """
    n, k = coords.shape[:2]
    best = np.empty((n, 5 + k), np.int64)
    numbers = np.empty(5 + k, np.int64)
    some, cell, none = np.empty(len(to.usable), np.int64), np.empty(6), np.zeros(k, np.int64)
    moved, shift = np.empty((k, to.maps.shape[2], 3)), np.empty(3)
    code, place = np.empty(k, np.int64), np.empty(k, np.int64)
    polar = to.polar.any()
    for i in range(n):
        begun = False
        for j in range(_shortest(to, vectors[i], some)):
            q = some[j]
            _cell(to.turns[q], vectors[i], cell)
            numbers[0] = int(np.rint(math.log(cell[1] / cell[0]) / ratio))
            numbers[1] = int(np.rint(math.log(cell[2] / cell[0]) / ratio))
            for x in range(3):
                numbers[2 + x] = int(np.rint(cell[3 + x] / angle))
            first = to.letters[q, to.sites[0]]
            for s in range(k):
                _images(to, q, s, coords[i, s], moved[s])
                first = min(first, to.letters[q, to.sites[s]])
            # each atom of the sites with the first letter may be the one at the origin of polar axes
            for site in range(k if polar else 1):
                if polar and to.letters[q, to.sites[site]] != first:
                    continue
                for p in range(max(1, to.n_maps[q, to.sites[site]]) if polar else 1):
                    for x in range(3):
                        shift[x] = moved[site, p, x] if to.polar[x] else 0.0
                    for s in range(k):
                        letter = to.sites[s]
                        least = 0
                        for r in range(max(1, to.n_maps[q, letter])):
                            number = _code(moved[s, r], shift, bins)
                            if r == 0 or number < least:
                                least = number
                        code[s] = least + np.int64(to.letters[q, letter]) * bins**3
                    _sort(code, none, place)
                    numbers[5:] = code
                    if not begun or _compared(numbers, best[i]) < 0:
                        best[i], begun = numbers, True
    return best


@njit(cache=True, nogil=True)
def _shortest(to: Descriptions, vectors: Floats, some: Integers) -> int:  # pragma: no cover (compiled)
    """How many changes make the cell shortest, in hundredths of Å²; ``some`` takes them, in order."""
    count, least = 0, 0
    for q in to.usable:
        turn, size = to.turns[q], 0.0
        for a in range(3):
            for x in range(3):
                value = turn[a, 0] * vectors[0, x] + turn[a, 1] * vectors[1, x] + turn[a, 2] * vectors[2, x]
                size += value * value
        ticks = int(np.rint(size * 100))
        if count == 0 or ticks < least:
            least, count = ticks, 0
        if ticks == least:
            some[count] = q
            count += 1
    return count


@njit(cache=True, nogil=True)
def _cell(turn: Floats, vectors: Floats, cell: Floats) -> None:  # pragma: no cover (compiled)
    """Lengths and angles (degrees) of a lattice after a change of axes, into ``cell``, (6,)."""
    turned = np.empty((3, 3))
    for a in range(3):
        for x in range(3):
            turned[a, x] = turn[a, 0] * vectors[0, x] + turn[a, 1] * vectors[1, x] + turn[a, 2] * vectors[2, x]
        cell[a] = math.sqrt(turned[a, 0] ** 2 + turned[a, 1] ** 2 + turned[a, 2] ** 2)
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        product = turned[b, 0] * turned[c, 0] + turned[b, 1] * turned[c, 1] + turned[b, 2] * turned[c, 2]
        cell[3 + a] = math.degrees(math.acos(min(1.0, max(-1.0, product / (cell[b] * cell[c])))))


@njit(cache=True, nogil=True)
def _images(to: Descriptions, q: int, s: int, coords: Floats, moved: Floats) -> None:  # pragma: no cover (compiled)
    """Atoms that stand for a site after a change, into ``moved``, (P, 3)."""
    letter = to.sites[s]
    for r in range(max(1, to.n_maps[q, letter])):
        m = to.maps[q, letter, r]
        for x in range(3):
            moved[r, x] = m[x, 0] * coords[0] + m[x, 1] * coords[1] + m[x, 2] * coords[2] + m[x, 3]


@njit(cache=True, nogil=True)
def _rarest(
    to: Descriptions, q: int, species: Integers, kind: Integers, rarest: NDArray[np.bool_]
) -> None:  # pragma: no cover (compiled)
    """Which sites are of the kind, letter and species, that has fewest sites; of equally rare ones the first."""
    k = len(species)
    for s in range(k):
        kind[s] = np.int64(to.letters[q, to.sites[s]]) * 1000 + species[s]
    least = 0
    for s in range(k):
        rank = (kind == kind[s]).sum() * 100_000 + kind[s]
        if s == 0 or rank < least:
            least = rank
    for s in range(k):
        rarest[s] = (kind == kind[s]).sum() * 100_000 + kind[s] == least


@njit(cache=True, nogil=True)
def _code(point: Floats, shift: Floats, steps: int) -> int:  # pragma: no cover (compiled)
    """Coordinates, in whole steps, as one number."""
    number = 0
    for x in range(3):
        number = number * steps + int(np.rint((point[x] - shift[x]) * steps)) % steps
    return number


@njit(cache=True, nogil=True)
def _sort(first: Integers, second: Integers, place: Integers) -> None:  # pragma: no cover (compiled)
    """Pairs of numbers ascending, in place; ``place`` takes where each was."""
    for s in range(len(first)):
        a, b, t = first[s], second[s], s
        while t > 0 and (first[t - 1] > a or (first[t - 1] == a and second[t - 1] > b)):
            first[t], second[t], place[t] = first[t - 1], second[t - 1], place[t - 1]
            t -= 1
        first[t], second[t], place[t] = a, b, s


@njit(cache=True, nogil=True)
def _compared(first: Integers, second: Integers) -> int:  # pragma: no cover (compiled)
    """-1, 0 or 1: whether the first row comes before the second, is equal, or comes after it."""
    for x in range(len(first)):
        if first[x] != second[x]:
            return -1 if first[x] < second[x] else 1
    return 0
