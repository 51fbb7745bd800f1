"""Tables of orbits that compiled code can walk through, and the two walks: what an atom sees, and nearest images."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.workflow.arrays import Floats, Integers

CUTOFF = 5.0
"""Distance up to which an atom sees others, Å."""
SHELLS = 16
"""Classes of distance, quadratic B-splines, evenly spaced up to :data:`CUTOFF`."""


@dataclass(frozen=True)
class Orbits:
    """Maps of all positions of all groups, one after the other; a position's are ``maps[start : start + count]``."""

    start: NDArray[np.int64]
    """(231, 27)."""
    count: NDArray[np.int64]
    """Atoms of the primitive cell, (231, 27)."""
    maps: Floats
    """[W | w] from free coordinates to fractional ones of the primitive cell; a position's first leads to its
    representative, (A, 3, 4)."""
    image_start: NDArray[np.int64]
    """(231, 27)."""
    image_count: NDArray[np.int64]
    """(231, 27)."""
    images: Floats
    """[W | w] from free coordinates to those of the orbit's atoms on the representative's point, line or plane, which
    describe the same orbit; conventional cell, (I, 3, 4)."""
    basis: Floats
    """Primitive vectors in terms of the conventional ones, (231, 3, 3)."""
    polar: Floats
    """1 for axes along which the origin is free, else 0, (231, 3)."""


@cache
def orbits() -> Orbits:
    """The tables of all 230 groups."""
    shape = 231, sg.N_LETTERS
    start, count, image_start, image_count = (np.zeros(shape, dtype=np.int64) for _ in range(4))
    basis, polar = np.zeros((231, 3, 3)), np.zeros((231, 3))
    maps: list[Floats] = []
    images: list[Floats] = []
    for number in range(1, 231):
        basis[number] = sg.primitive_basis(number)
        to_primitive = np.linalg.inv(basis[number])
        polar[number] = (sg.operations(number)[:, :, :3] == np.eye(3)).all((0, 1))
        for letter in np.flatnonzero(sg.MULTIPLICITY[number]).tolist():
            orbit = sg.conventional_orbit(number, letter)
            primitive = np.einsum("mij,ik->mkj", sg.orbit(number, letter), to_primitive)
            projection = sg.REPRESENTATIVE[number, letter]
            # of a general point of the representative, those atoms that the projection leaves where they are
            point = orbit[:, :, :3] @ sg.GENERAL + orbit[:, :, 3]
            off = point @ projection[:, :3].T + projection[:, 3] - point
            same = orbit[(np.abs(off - np.round(off)) < 1e-6).all(1)]
            start[number, letter], count[number, letter] = sum(map(len, maps)), len(primitive)
            image_start[number, letter], image_count[number, letter] = sum(map(len, images)), len(same)
            maps.append(primitive)
            images.append(same * sg.FREE[number, letter][:, None])
    return Orbits(start, count, np.concatenate(maps), image_start, image_count, np.concatenate(images), basis, polar)


def surroundings(
    spacegroup: Integers, letters: Integers, coords: Floats, vectors: Floats
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the representative of each site sees of the atoms of each site, its own images included.

    :param spacegroup: numbers, (B,).
    :param letters: indices, -1 for no site, sites first, (B, K).
    :param coords: free coordinates, (B, K, 3).
    :param vectors: conventional lattice vectors as rows, (B, 3, 3) Å.
    :returns: how many atoms lie in each class of distance, smoothly cut off, (B, K, K, SHELLS); the sum of the unit
        vectors *from* them, with the same weights, (B, K, K, SHELLS, 3).
    """
    tables = orbits()
    batch, sites = letters.shape
    seen = np.zeros((batch, sites, sites, SHELLS), dtype=np.float32)
    away = np.zeros((batch, sites, sites, SHELLS, 3), dtype=np.float32)
    primitive = tables.basis[spacegroup] @ vectors
    _surroundings(spacegroup, letters, coords, primitive, tables.start, tables.count, tables.maps, CUTOFF, seen, away)
    return seen, away


@njit(cache=True, nogil=True, fastmath=True)
def _surroundings(  # noqa: C901, PLR0912 # pragma: no cover (compiled)
    spacegroup: Integers,
    letters: Integers,
    coords: Floats,
    vectors: Floats,
    start: Integers,
    count: Integers,
    maps: Floats,
    cutoff: float,
    seen: NDArray[np.float32],
    away: NDArray[np.float32],
) -> None:
    batch, sites = letters.shape
    shells = seen.shape[3]
    width = cutoff / shells
    place, height = np.empty((sites, 3)), np.empty(3)
    difference, cartesian, weight = np.empty(3), np.empty(3), np.empty(3)
    for b in range(batch):
        a = vectors[b]
        volume = abs(np.linalg.det(a))
        for x in range(3):
            height[x] = volume / np.linalg.norm(np.cross(a[(x + 1) % 3], a[(x + 2) % 3]))
        group = spacegroup[b]
        for i in range(sites):
            if letters[b, i] < 0:
                break
            m = maps[start[group, letters[b, i]]]
            for x in range(3):
                place[i, x] = (
                    m[x, 3] + m[x, 0] * coords[b, i, 0] + m[x, 1] * coords[b, i, 1] + m[x, 2] * coords[b, i, 2]
                )
        for i in range(sites):
            if letters[b, i] < 0:
                break
            for j in range(sites):
                if letters[b, j] < 0:
                    break
                for atom in range(count[group, letters[b, j]]):
                    m = maps[start[group, letters[b, j]] + atom]
                    for x in range(3):
                        to = m[x, 3] + m[x, 0] * coords[b, j, 0] + m[x, 1] * coords[b, j, 1] + m[x, 2] * coords[b, j, 2]
                        difference[x] = to - place[i, x] - np.round(to - place[i, x])
                    low0, high0 = _images(difference[0], cutoff / height[0])
                    low1, high1 = _images(difference[1], cutoff / height[1])
                    low2, high2 = _images(difference[2], cutoff / height[2])
                    for n0 in range(low0, high0):
                        for n1 in range(low1, high1):
                            for n2 in range(low2, high2):
                                if i == j and atom == 0 and n0 == 0 and n1 == 0 and n2 == 0:
                                    continue
                                f0, f1, f2 = difference[0] + n0, difference[1] + n1, difference[2] + n2
                                square = 0.0
                                for x in range(3):
                                    cartesian[x] = f0 * a[0, x] + f1 * a[1, x] + f2 * a[2, x]
                                    square += cartesian[x] ** 2
                                if square >= cutoff * cutoff:
                                    continue
                                distance = math.sqrt(square)
                                smooth = (1 - square / cutoff**2) ** 2
                                shell = int(distance / width)
                                beyond = distance / width - shell
                                weight[0] = 0.5 * (1 - beyond) ** 2 * smooth
                                weight[2] = 0.5 * beyond**2 * smooth
                                weight[1] = smooth - weight[0] - weight[2]
                                for y in range(3):
                                    k = shell - 1 + y
                                    if 0 <= k < shells:
                                        seen[b, i, j, k] += weight[y]
                                        for x in range(3):
                                            away[b, i, j, k, x] -= weight[y] * cartesian[x] / max(distance, 1e-3)


@njit(cache=True, nogil=True)
def _images(difference: float, reach: float) -> tuple[int, int]:  # pragma: no cover (compiled)
    """Cells, from and up to, in which an image may lie within reach, both in units of the height of a cell."""
    return math.ceil(-reach - difference), math.floor(reach - difference) + 1


def nearest_descriptions(
    spacegroup: Integers, letters: Integers, start: Floats, goal: Floats, vectors: Floats
) -> Floats:
    """Ways from points to templates: of all descriptions of each template that keep its letters, one of the nearest.

    Any atom of an orbit on the representative's point, line or plane describes it; sites of the same letter may change
    places; along a polar axis the origin is free. Sites pair by greed, nearest first.

    :param spacegroup: numbers, (B,).
    :param letters: indices, -1 for no site, sites first, (B, K).
    :param start: free coordinates of the points, (B, K, 3).
    :param goal: those of the templates, (B, K, 3).
    :param vectors: conventional lattice vectors as rows, (B, 3, 3) Å.
    :returns: goal less start, (B, K, 3); zero where a coordinate is not free.
    """
    tables = orbits()
    ways = np.zeros_like(start)
    metric = vectors @ vectors.transpose(0, 2, 1)
    multiplicity = sg.MULTIPLICITY[spacegroup[:, None], letters].astype(float)
    _nearest(
        spacegroup, letters, start, goal, metric, multiplicity, tables.image_start, tables.image_count, tables.images,
        tables.polar, ways,
    )  # fmt: skip
    free = sg.FREE[spacegroup[:, None], letters] & (letters >= 0)[..., None]
    return np.where(free, ways, 0.0)


@njit(cache=True, nogil=True)
def _nearest(  # noqa: C901, PLR0912 # pragma: no cover (compiled)
    spacegroup: Integers,
    letters: Integers,
    start: Floats,
    goal: Floats,
    metric: Floats,
    multiplicity: Floats,
    image_start: Integers,
    image_count: Integers,
    images: Floats,
    polar: Floats,
    ways: Floats,
) -> None:
    batch, sites = letters.shape
    cost, best, way = np.empty((sites, sites)), np.empty((sites, sites, 3)), np.empty(3)
    for b in range(batch):
        group, g = spacegroup[b], metric[b]
        n = 0
        while n < sites and letters[b, n] >= 0:
            n += 1
        shift = np.zeros(3)
        # a second time from the best origin of the first, where one is free
        for _ in range(2 if polar[group].any() else 1):
            for i in range(n):
                for j in range(n):
                    cost[i, j] = np.inf
                    if letters[b, i] != letters[b, j]:
                        continue
                    first = image_start[group, letters[b, i]]
                    for m in images[first : first + image_count[group, letters[b, i]]]:
                        for x in range(3):
                            way[x] = m[x, 3] + shift[x] - start[b, i, x]
                            for y in range(3):
                                way[x] += m[x, y] * goal[b, j, y]
                            way[x] -= np.round(way[x])
                        square = 0.0
                        for x in range(3):
                            for y in range(3):
                                square += way[x] * g[x, y] * way[y]
                        if square < cost[i, j]:
                            cost[i, j] = square
                            best[i, j] = way
            for _ in range(n):
                i, j, least = -1, -1, np.inf
                for k in range(n):
                    for m in range(n):
                        if cost[k, m] < least:
                            i, j, least = k, m, cost[k, m]
                ways[b, i] = best[i, j]
                cost[i, :] = np.inf
                cost[:, j] = np.inf
            mean = np.zeros(3)
            for i in range(n):
                mean += multiplicity[b, i] * ways[b, i]
            mean *= polar[group] / multiplicity[b, :n].sum()
            shift -= mean
            for i in range(n):
                ways[b, i] -= mean
