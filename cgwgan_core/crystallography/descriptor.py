"""A fixed vector for each template, by which sets of templates can be compared: average minimum distances.

AMD_k is the distance of an atom to its k-th nearest neighbour, averaged over the atoms of the cell (Widdowson,
Mosca, Pulido, Cooper & Kurlin, MATCH 87, 529 (2022), doi:10.46793/match.87-3.529W). The sequence AMD_1, AMD_2, ...
does not depend on cell, origin, setting or order of atoms, and changes continuously when atoms move, which keys with
bins do not. Nothing in it is learnt, so that it favours no model and no training set. Elements have no part in it, as
a template has none.

Here size is separated from arrangement: distances are in units of the free length (V/n)^⅓ per atom, and ln(V/n) is
a component of its own.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cgwgan_core.crystallography.distances import reduce_cells
from cgwgan_core.crystallography.templates import Expanded, Templates, expand
from cgwgan_core.workflow.arrays import Floats, Integers

NEIGHBOURS = 24
"""Nearest neighbours of each atom: its first coordination shells."""
SHELL = 1.25
"""Distance, over that of the nearest neighbour, up to which neighbours are coordinated."""


def descriptors(templates: Templates) -> Floats:
    """ln(V/n), V in Å³, and AMD_k over (V/n)^⅓ for k = 1, ..., :data:`NEIGHBOURS`, (N, 1 + NEIGHBOURS).

    Cells without volume have NaN.
    """
    out = np.full((len(templates), 1 + NEIGHBOURS), np.nan)
    for index, size, distances, share in _by_kind(templates):
        mean = distances.swapaxes(1, 2) @ share
        out[index] = np.concatenate([np.log(size)[:, None], mean / np.cbrt(size)[:, None]], axis=1)
    return out


def coordination_numbers(templates: Templates) -> Floats:
    """Neighbours of an atom up to :data:`SHELL` times the distance of its nearest, averaged over the atoms, (N,).

    At most :data:`NEIGHBOURS` count. Cells without volume have NaN.
    """
    out = np.full(len(templates), np.nan)
    for index, _, distances, share in _by_kind(templates):
        out[index] = (distances <= SHELL * distances[..., :1]).sum(2) @ share
    return out


def _by_kind(templates: Templates) -> Iterator[tuple[NDArray[np.int64], Floats, Floats, Floats]]:
    """Places in the batch, (n,); volume per atom, (n,) Å³; :func:`_nearest`; shares of sites, (sites,)."""
    for group in expand(templates):
        volume = np.abs(np.linalg.det(group.vectors)) / len(group.site)
        rows = np.flatnonzero(np.isfinite(volume) & (volume > 1e-4))
        counts = np.bincount(group.site)
        # bound the memory of one step: pairs times 27 images
        step = max(1, 2_000_000 // (len(counts) * len(group.site) * 27))
        for chunk in (rows[i : i + step] for i in range(0, len(rows), step)):
            yield group.index[chunk], volume[chunk], _nearest(group, chunk), counts / counts.sum()


def _nearest(group: Expanded, rows: Integers) -> Floats:
    """Distances of each site's representative to its nearest atoms, ascending, (n, sites, NEIGHBOURS) Å."""
    reduced, maps = reduce_cells(group.vectors[rows])
    # x @ vectors = y @ reduced = y @ maps @ vectors, hence y = x @ inv(maps)
    positions = group.positions[rows] @ np.linalg.inv(maps.astype(float))
    first = np.unique(group.site, return_index=True)[1]
    difference = positions[:, None] - positions[:, first, None]
    difference -= np.round(difference)
    height = 1 / np.linalg.norm(np.linalg.inv(reduced), axis=1)
    # the atoms of some cells bound the distance sought, and this bound says which cells can hold nearer ones: a cell
    # beyond s in the direction of i is further away than (s + 1/2) heights
    least = int(np.ceil((((NEIGHBOURS + 1) / len(group.site)) ** (1 / 3) - 1) / 2))
    start = np.full((len(rows), 3), max(1, least))
    found = _distances(difference, reduced, first, start)
    needed = np.ceil(found[:, :, -1].max(axis=1, initial=0.0)[:, None] / height - 0.5).astype(int)
    more = (needed > start).any(axis=1)
    found[more] = _distances(difference[more], reduced[more], first, needed[more])
    return found


def _distances(difference: Floats, vectors: Floats, first: Integers, reach: Integers) -> Floats:
    """The :data:`NEIGHBOURS` smallest distances over all atoms and cells within ``reach`` in each direction."""
    out = np.empty((*difference.shape[:2], NEIGHBOURS))
    kinds, kind = np.unique(reach, axis=0, return_inverse=True)
    for i, spans in enumerate(kinds):
        rows = np.flatnonzero(kind == i)
        images = np.stack(np.meshgrid(*(np.arange(-s, s + 1) for s in spans), indexing="ij"), axis=-1).reshape(-1, 3)
        # bound the memory of one step
        step = max(1, 4_000_000 // (difference[0, ..., 0].size * len(images)))
        for chunk in (rows[j : j + step] for j in range(0, len(rows), step)):
            cartesian = difference[chunk] @ vectors[chunk, None]
            squared = ((cartesian[..., None, :] + (images @ vectors[chunk])[:, None, None]) ** 2).sum(-1)
            squared[:, np.arange(len(first)), first, len(images) // 2] = np.inf  # the atom itself
            flat = squared.reshape(*squared.shape[:2], -1)
            out[chunk] = np.sqrt(np.sort(np.partition(flat, NEIGHBOURS - 1, axis=-1)[..., :NEIGHBOURS], axis=-1))
    return out
