"""Shortest distances between the atoms of many templates, exact in any cell."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.templates import Templates, expand
from cgwgan_core.workflow.arrays import Floats, Integers

_TRIPLES = np.array(list(combinations(range(7), 3)))


def reduce_cells(vectors: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Selling-Delaunay reduction of many lattices at once.

    The obtuse superbase that it ends with is short enough for the nearest image of any two points, once
    their difference is wrapped into [-1/2, 1/2], to be among the 27 neighbouring cells.

    :param vectors: lattice vectors as rows, (N, 3, 3).
    :returns: the reduced vectors, (N, 3, 3), and the integer maps M, (N, 3, 3), with reduced = M @ vectors.
    """
    maps = np.repeat(np.vstack([np.eye(3, dtype=np.int64), -np.ones((1, 3), dtype=np.int64)])[None], len(vectors), 0)
    active = np.arange(len(vectors))
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for _ in range(200):
        base = maps[active] @ vectors[active]
        products = np.stack([(base[:, i] * base[:, j]).sum(-1) for i, j in pairs], axis=1)
        # relative to the lattice's own scale, or rounding would make it go on for ever
        scale = (base**2).sum(-1).min(-1)
        worst = products.argmax(1)
        going = products[np.arange(len(active)), worst] > 1e-9 * scale
        active, worst = active[going], worst[going]
        if not len(active):
            break
        for number, (i, j) in enumerate(pairs):
            rows = active[worst == number]
            k, m = (x for x in range(4) if x not in (i, j))
            bi, bj, bk, bm = (maps[rows, x].copy() for x in (i, j, k, m))
            maps[rows, i], maps[rows, j], maps[rows, k], maps[rows, m] = -bi, bj, bi + bk, bi + bm
    # the three shortest of the superbase are a basis, as any three of it are
    lengths = ((maps @ vectors) ** 2).sum(-1)
    keep = np.sort(np.argsort(lengths, axis=1, kind="stable")[:, :3], axis=1)
    maps = np.take_along_axis(maps, keep[..., None], axis=1)
    return maps @ vectors, maps


def shortest_basis(vectors: Floats) -> Floats:
    """Integer maps from lattice vectors to the three shortest that are a basis, (N, 3, 3).

    The shortest vectors of a lattice are among the seven that end a Selling reduction: an obtuse superbase
    of four, and the sums of two of them.

    :param vectors: as rows, (N, 3, 3).
    """
    _, maps = reduce_cells(vectors)
    superbase = np.concatenate([maps, -maps.sum(axis=1, keepdims=True)], axis=1)
    seven = np.concatenate([superbase, superbase[:, :3] + superbase[:, 3:]], axis=1).astype(float)
    lengths = np.linalg.norm(seven @ vectors, axis=-1)
    basis = np.abs(np.linalg.det(seven[:, _TRIPLES])) > 0.5
    # rounded, so that among equal lengths order decides and not noise
    total = np.where(basis, np.round(lengths[:, _TRIPLES].sum(axis=-1), 6), np.inf)
    return np.take_along_axis(seven, _TRIPLES[total.argmin(axis=1)][:, :, None], axis=1)


def primitive_bases(spacegroup: Integers) -> Floats:
    """Primitive lattice vectors in terms of the conventional ones, as rows, (N, 3, 3)."""
    groups, group = np.unique(spacegroup, return_inverse=True)
    bases: Floats = np.array([sg.primitive_basis(int(number)) for number in groups]).reshape(-1, 3, 3)[group]
    return bases


def primitive_vectors(templates: Templates) -> Floats:
    """Primitive lattice vectors as rows, (N, 3, 3) Å; NaN where the angles enclose no volume."""
    return primitive_bases(templates.spacegroup) @ sg.cell_vectors(templates.cell)


def min_distances(templates: Templates) -> Floats:
    """Shortest distance between any two atoms of each template, an atom's own images included, (N,) Å.

    Cells without volume give 0, as do letters that the group does not offer.
    """
    shortest: Floats = site_distances(templates).min(axis=(1, 2))
    return shortest


def site_distances(templates: Templates) -> Floats:
    """Shortest distance between an atom of one site and one of another, or of the same, (N, K, K) Å.

    Representatives against all atoms are enough: every other pair is an image of such a pair. Cells without volume
    give 0, as do letters that the group does not offer; padding is infinite.
    """
    from cgwgan_core.crystallography.distances_kernel import nearest  # noqa: PLC0415 - numba is slow to import

    filled = templates.letters >= 0
    out = np.where(filled[:, :, None] & filled[:, None], 0.0, np.inf)
    vectors = primitive_vectors(templates)
    rows = np.flatnonzero(np.isfinite(vectors).all((1, 2)))
    rows = rows[np.abs(np.linalg.det(vectors[rows])) > 1e-3]
    reduced, maps = np.full_like(vectors, np.nan), np.full_like(vectors, np.nan)
    reduced[rows], maps[rows] = reduce_cells(vectors[rows])
    # x @ vectors = y @ reduced = y @ maps @ vectors, hence y = x @ inv(maps)
    back = np.linalg.inv(maps)
    for group in expand(templates):
        good = ~np.isnan(reduced[group.index, 0, 0])
        index, k = group.index[good], group.site[-1] + 1
        out[index, :k, :k] = nearest(reduced[index], group.positions[good] @ back[index], group.site)
    return out
