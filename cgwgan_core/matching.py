"""Whether two templates are the same crystal, within tolerances, and which of many repeat an earlier one.

The measure is that of pymatgen's ``StructureMatcher`` (Ong et al., Comput. Mater. Sci. 68, 314 (2013),
doi:10.1016/j.commatsci.2012.10.028): both crystals are scaled to one volume, one lattice is laid on the other, and
the largest distance between an atom and its partner is compared with the free length per atom, the cube root of
volume over atoms. Which element would sit where has no part in it. Templates of one coarse key are laid on one
another by the changes of description of their space group, its normaliser: a few dozen trials take the place of a
search over lattices, origins and species, and one atom stands for its whole orbit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations, product
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from . import spacegroups as sg
from .crystal import Templates, kinds, reduce_cells
from .fingerprint import fingerprints, normaliser, smallest_letters
from .spacegroups import Floats

Key = tuple[int, tuple[int, ...]]
"""Space group and sorted letters, those of the coarse key."""


@dataclass(frozen=True)
class Tolerances:
    """How far apart two descriptions of one template may be; the defaults are those of ``StructureMatcher``."""

    length: float = 0.2
    """Longer over shorter of two corresponding lattice vectors, less one."""
    angle: float = 5.0
    """Difference of two corresponding lattice angles, degrees."""
    site: float = 0.3
    """Largest distance of two corresponding atoms over the free length per atom."""


_PART = 4096


class Distinct:
    """The templates of a stream that differ from all before them; each is compared within its coarse key only."""

    def __init__(self, tolerances: Tolerances = Tolerances()) -> None:
        self.tolerances = tolerances
        self._buckets: dict[Key, Bucket] = {}
        self._fingerprints: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(
        self, templates: Templates, keys: Sequence[str] | None = None, most: int | None = None
    ) -> NDArray[np.bool_]:
        """Take a batch, in order, and remember what is new.

        :param keys: their fingerprints, where known: equal ones are equal templates without comparison.
        :param most: how many to remember in all; what is new beyond them is not remembered.
        :returns: whether each repeats one that is remembered, (N,).
        """
        keys = fingerprints(templates) if keys is None else keys
        # in parts: against what is remembered many are compared at once, which is faster than one after the other
        parts = (slice(i, i + _PART) for i in range(0, len(templates), _PART))
        return np.concatenate(
            [self._compare(templates[part], keys[part], most) for part in parts] or [np.zeros(0, bool)]
        )

    def holds(self, templates: Templates, keys: Sequence[str] | None = None) -> NDArray[np.bool_]:
        """As :meth:`add`, but nothing is remembered; without ``keys`` all are compared."""
        return self._compare(templates, [""] * len(templates) if keys is None else keys, 0)

    def _compare(self, templates: Templates, keys: Sequence[str], most: int | None) -> NDArray[np.bool_]:
        kinds_of, coords, vectors = canonical(templates)
        repeated = np.array([key in self._fingerprints for key in keys], dtype=bool)
        groups: dict[Key, list[int]] = {}
        for i in np.flatnonzero(~repeated).tolist():
            groups.setdefault(kinds_of[i], []).append(i)
        # with what is known already all of a kind are compared at once,
        before = {kind: len(bucket) for kind in groups if (bucket := self._buckets.get(kind)) is not None}
        for kind in before:
            index = np.array(groups[kind])
            near = self._buckets[kind].nearest(coords[index, : len(kind[1])], vectors[index])
            repeated[index] = near <= self.tolerances.site
        if most == 0:
            return repeated
        # and with what is new in this batch one after the other
        for i in np.flatnonzero(~repeated).tolist():
            key, kind = keys[i], kinds_of[i]
            bucket = self._buckets.get(kind)
            sites, cell = coords[i : i + 1, : len(kind[1])], vectors[i : i + 1]
            if key in self._fingerprints:
                repeated[i] = True
            elif bucket is not None:
                repeated[i] = bucket.nearest(sites, cell, before.get(kind, 0))[0] <= self.tolerances.site
            if repeated[i] or (most is not None and self._count >= most):
                continue
            if bucket is None:
                bucket = self._buckets[kind] = Bucket(kind, self.tolerances)
            bucket.add(sites[0], cell[0])
            self._fingerprints.add(key)
            self._count += 1
        return repeated


def canonical(templates: Templates) -> tuple[list[Key], Floats, Floats]:
    """Every template with the letters of its coarse key, sites sorted by them.

    :returns: the key of each, coordinates (N, K, 3), and conventional lattice vectors (N, 3, 3) in units of the
        free length per atom.
    """
    vectors = sg.cell_vectors(templates.cell) * np.cbrt(templates.number_density)[:, None, None]
    coords = templates.coords.copy()
    found: list[Key] = [(0, ())] * len(templates)
    for number, letters, index in kinds(templates):
        usable, smallest = smallest_letters(number, tuple(letters))
        changes = normaliser(number, other_cells=True)
        turns = np.linalg.inv(changes.linear[usable]).transpose(0, 2, 1)
        # of many cells of one lattice the shortest; where there is but one, the first
        size = (np.abs(turns[:, None] @ vectors[index]) ** 2).sum(axis=(-2, -1))
        choice = np.argmin(np.round(size, 6), axis=0)
        for c in np.unique(choice):
            rows, q = index[choice == c], usable[c]
            maps = np.array([changes.maps[q][letter][0] for letter in letters])
            moved = np.einsum("kij,nkj->nki", maps[..., :3], coords[rows, : len(letters)]) + maps[..., 3]
            order = np.argsort(changes.letters[q, letters], kind="stable")
            coords[rows, : len(letters)] = moved[:, order]
            vectors[rows] = turns[c] @ vectors[rows]
        for i in index:
            found[i] = number, smallest
    return found, coords, vectors


# ------------------------------------------------------------------------------------------------ comparison


@dataclass(frozen=True)
class _Changes:
    """How one template of a coarse key may be laid on another: the Q changes that keep the letters as a whole."""

    vectors: Floats
    """What lattice vectors are multiplied by, (Q, 3, 3)."""
    maps: Floats
    """From each of k sites to its images, (Q, k, P, 3, 4); fewer than P are filled up by repetition."""
    letters: NDArray[np.int8]
    """Of the images, (Q, k)."""
    partners: NDArray[np.int64] | None
    """All T ways to give every image a site of its letter, (Q, T, k); ``None`` where they are too many."""


_MOST_WAYS = 200
_MOST_GAPS = 500_000  # vectors between images and sites that are in memory at once


@lru_cache(maxsize=256)
def _changes(key: Key) -> _Changes:
    number, letters = key
    group = normaliser(number, other_cells=True)
    keep = np.flatnonzero((np.sort(group.letters[:, list(letters)], axis=1) == letters).all(axis=1))
    images = group.letters[keep][:, list(letters)]
    width = max(len(group.maps[q][letter]) for q in keep for letter in letters)
    maps = [[np.resize(group.maps[q][letter], (width, 3, 4)) for letter in letters] for q in keep]
    partners = None
    if prod(factorial(letters.count(letter)) for letter in set(letters)) <= _MOST_WAYS:
        partners = np.array([_ways(row, letters) for row in images])
    return _Changes(np.linalg.inv(group.linear[keep]).transpose(0, 2, 1), np.array(maps), images, partners)


def _ways(images: NDArray[np.int8], letters: tuple[int, ...]) -> NDArray[np.int64]:
    """All ways to give every image a site of its letter, (T, k)."""
    sites = [[i for i, other in enumerate(letters) if other == letter] for letter in sorted(set(letters))]
    out = []
    for choice in product(*(permutations(group) for group in sites)):
        row = np.zeros(len(letters), dtype=np.int64)
        for letter, group in zip(sorted(set(letters)), choice, strict=True):
            row[images == letter] = group
        out.append(row)
    return np.array(out)


class Bucket:
    """Templates of one coarse key, with which another is compared in one step."""

    def __init__(self, key: Key, tolerances: Tolerances) -> None:
        self.key, self.tolerances = key, tolerances
        number, letters = key
        self._polar = normaliser(number).polar
        self._primitive = sg.primitive_basis(number)
        weights = sg.MULTIPLICITY[number, list(letters)].astype(float)
        self._weights = weights / weights.sum()
        self._atoms = weights.sum() / len(sg.centring(number))
        self._rarest = int(np.argmin(weights))
        # arrays with room to spare: doubled when full
        self._count = 0
        self._coords = np.zeros((2, len(letters), 3))
        self._bases = np.zeros((2, 3, 3))
        self._parameters = np.zeros((2, 6))

    def add(self, coords: Floats, vectors: Floats) -> None:
        """One more template, as :func:`canonical` gives it: coordinates (k, 3) and vectors (3, 3)."""
        if self._count == len(self._coords):
            self._coords, self._bases, self._parameters = (
                np.concatenate([x, np.zeros_like(x)]) for x in (self._coords, self._bases, self._parameters)
            )
        basis = shortest_basis((self._primitive @ vectors)[None])[0] @ self._primitive
        self._coords[self._count] = coords
        self._bases[self._count] = basis
        self._parameters[self._count] = _parameters(basis @ vectors)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def nearest(self, coords: Floats, vectors: Floats, start: int = 0) -> Floats:
        """From each of a batch to the nearest template of the bucket: the largest distance of two corresponding
        atoms over the free length, (n,); infinite where no lattice fits within the tolerances.

        :param coords: as :func:`canonical` gives them, (n, k, 3), and ``vectors``, (n, 3, 3).
        :param start: leave out so many of the bucket, the first.
        """
        changes = _changes(self.key)
        out = np.full(len(coords), np.inf)
        share = max(1, _MOST_GAPS // changes.maps[..., 0, 0].size // 3)
        for some in (slice(i, i + share) for i in range(0, len(coords), share)):
            turned = changes.vectors @ vectors[some, None]
            images = np.einsum("qkpij,nkj->nqkpi", changes.maps[..., :3], coords[some]) + changes.maps[..., 3]
            step = max(1, _MOST_GAPS // 10 // turned[..., 0, 0].size)
            for first in range(start, self._count, step):
                part = slice(first, min(first + step, self._count))
                found = self._nearest(turned, images, part)
                out[some] = np.minimum(out[some], found)
        return out

    def _nearest(self, turned: Floats, images: Floats, part: slice) -> Floats:
        """As :meth:`nearest`, of lattice vectors (n, Q, 3, 3) and images of sites (n, Q, k, P, 3) to a part."""
        out = np.full(len(turned), np.inf)
        own = _parameters(self._bases[part, None] @ turned[:, None])
        other = self._parameters[part, None]
        ratio = own[..., :3] / other[..., :3]
        limit = 1 + self.tolerances.length
        near = ((ratio < limit) & (ratio > 1 / limit)).all(axis=-1)
        near &= (np.abs(own[..., 3:] - other[..., 3:]) <= self.tolerances.angle).all(axis=-1)
        n, rows, q = np.nonzero(near)
        means = (own[n, rows, q] + self._parameters[part.start + rows]) / 2
        size = max(1, _MOST_GAPS // (images.shape[2] ** 2 * images.shape[3]))
        for some in (slice(i, i + size) for i in range(0, len(n), size)):
            found = self._displacements(images[n[some], q[some]], part.start + rows[some], q[some], means[some])
            np.minimum.at(out, n[some], found)
        return out

    def _displacements(self, images: Floats, rows: NDArray[np.int64], q: NDArray[np.int64], means: Floats) -> Floats:
        """For images of a template under a change and a template of the bucket: largest distance of partners, (n,)."""
        cells = sg.cell_vectors(means)
        cells *= np.cbrt(self._atoms / np.abs(np.linalg.det(cells)))[:, None, None]
        reduce = np.linalg.inv(self._bases[rows])
        sites, letters = self._coords[rows], _changes(self.key).letters[q]
        if not self._polar.any():
            return self._largest_gap(images, sites, q, reduce, cells)
        # along polar axes the origin is arbitrary: one of the rarest atoms is laid on each site it may fall on
        best = np.full(len(rows), np.inf)
        for site, p in product(range(sites.shape[1]), range(images.shape[2])):
            on = np.flatnonzero(letters[:, self._rarest] == self.key[1][site])
            if not len(on):
                continue
            shift = np.where(self._polar, sites[on, site] - images[on, self._rarest, p], 0.0)
            moved = images[on] + shift[:, None, None]
            best[on] = np.minimum(best[on], self._largest_gap(moved, sites[on], q[on], reduce[on], cells[on]))
        return best

    def _largest_gap(
        self, images: Floats, sites: Floats, q: NDArray[np.int64], reduce: Floats, cells: Floats
    ) -> Floats:
        """The smallest, over the ways to give images sites, of the largest distance between the two, (n,)."""
        changes = _changes(self.key)
        gaps = (images[:, :, :, None] - sites[:, None, None]) @ reduce[:, None, None]
        gaps = (gaps - np.round(gaps)) @ cells[:, None, None]  # (n, k, P, k', 3)
        squared = (gaps**2).sum(axis=-1)
        nearest = squared.argmin(axis=2)
        gaps = np.take_along_axis(gaps, nearest[:, :, None, :, None], axis=2)[:, :, 0]
        if changes.partners is not None:
            partners = changes.partners[q]
        else:
            forbidden = changes.letters[q][:, :, None] != np.array(self.key[1])
            cost = np.where(forbidden, 1e6, squared.min(axis=2))
            partners = np.array([linear_sum_assignment(matrix)[1] for matrix in cost])[:, None]
        n, k = np.arange(len(q))[:, None, None], np.arange(sites.shape[1])
        chosen = gaps[n, k, partners]  # (n, T, k, 3)
        if self._polar.any():
            # the best origin leaves no mean displacement along the polar axes
            mean = np.einsum("ntki,k->nti", chosen, self._weights) @ np.linalg.inv(reduce @ cells)
            mean = np.where(self._polar, mean, 0.0) @ (reduce @ cells)
            chosen = chosen - mean[:, :, None]
        return np.sqrt((chosen**2).sum(axis=-1).max(axis=-1).min(axis=-1))


_TRIPLES = np.array(list(combinations(range(7), 3)))


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


def _parameters(vectors: Floats) -> Floats:
    """Lengths and angles, (..., 6), of lattice vectors as rows, (..., 3, 3)."""
    lengths = np.linalg.norm(vectors, axis=-1)
    unit = vectors / lengths[..., None]
    cosines = (unit[..., [1, 0, 0], :] * unit[..., [2, 2, 1], :]).sum(axis=-1)
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))], axis=-1)
