"""Shortest distances between the atoms of many templates, exact in any cell."""

import numpy as np
from numpy.typing import NDArray

from cgwgan_core.crystallography.templates import Templates, expand
from cgwgan_core.workflow.arrays import Floats

_IMAGES = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
_SELF = int(np.flatnonzero((_IMAGES == 0).all(1))[0])


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
    filled = templates.letters >= 0
    out = np.where(filled[:, :, None] & filled[:, None], 0.0, np.inf)
    for group in expand(templates):
        good = np.isfinite(group.vectors).all((1, 2)) & (np.abs(np.linalg.det(group.vectors)) > 1e-3)
        first = np.unique(group.site, return_index=True)[1]
        # bound the memory of one step: pairs times 27 images
        step = max(1, 2_000_000 // (len(first) * len(group.site) * 27))
        rows = np.flatnonzero(good)
        for chunk in (rows[i : i + step] for i in range(0, len(rows), step)):
            reduced, maps = reduce_cells(group.vectors[chunk])
            # x @ vectors = y @ reduced = y @ maps @ vectors, hence y = x @ inv(maps)
            positions = group.positions[chunk] @ np.linalg.inv(maps.astype(float))
            difference = positions[:, None] - positions[:, first, None]
            difference -= np.round(difference)
            cartesian = difference @ reduced[:, None]
            images = _IMAGES @ reduced
            squared = ((cartesian[..., None, :] + images[:, None, None]) ** 2).sum(-1)
            squared[:, np.arange(len(first)), first, _SELF] = np.inf
            k = len(first)
            out[group.index[chunk], :k, :k] = np.sqrt(np.minimum.reduceat(squared.min(axis=3), first, axis=2))
    return out
