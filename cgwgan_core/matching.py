"""Whether two templates are the same crystal, within tolerances, and which of many repeat an earlier one.

The measure is that of pymatgen's ``StructureMatcher`` (Ong et al., Comput. Mater. Sci. 68, 314 (2013),
doi:10.1016/j.commatsci.2012.10.028): both crystals are scaled to one volume, one lattice is laid on the other, and
the largest distance between an atom and its partner is compared with the free length per atom, the cube root of
volume over atoms. Which element would sit where has no part in it. Templates of one coarse key are laid on one
another by the changes of description of their space group, its normaliser: a few dozen trials take the place of a
search over lattices, origins and species, and one atom stands for its whole orbit. The trials are compiled (numba),
and each ends at the first thing that does not fit.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import spacegroups as sg
from .crystal import Templates, kinds, reduce_cells
from .fingerprint import canonical, cell_parameters, normaliser
from .spacegroups import Floats, Integers

Key = tuple[int, tuple[int, ...]]
"""Space group and sorted letters, those of the coarse key."""


@dataclass(frozen=True)
class Tolerances:
    """How far apart two descriptions of one template may be.

    Half or a third of ``StructureMatcher``'s defaults (0.2, 5°, 0.3), which take for one crystal what differs by 0.7 Å
    in an oxide, such as a tilted perovskite and the cubic one.
    """

    length: float = 0.1
    """Longer over shorter of two corresponding lattice vectors, less one."""
    angle: float = 3.0
    """Difference of two corresponding lattice angles, degrees."""
    site: float = 0.1
    """Largest distance of two corresponding atoms over the free length per atom."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f"tolerance {name} must be above 0, not {value}")


class Distinct:
    """The templates of a stream that differ from all before them; each is compared within its coarse key only."""

    def __init__(self, tolerances: Tolerances = Tolerances(), threads: int = 1) -> None:
        """
        :param threads: coarse keys that are looked at side by side; they do not depend on each other.
        """
        self.tolerances, self.threads = tolerances, threads
        self._buckets: dict[Key, Bucket] = {}

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def add(self, templates: Templates, are_canonical: bool = False) -> NDArray[np.bool_]:
        """Take a batch, in order, and remember what is new.

        :param are_canonical: whether they are as :func:`.fingerprint.canonical` describes them, which saves half the
            time.
        :returns: whether each repeats one that is remembered, (N,).
        """
        return self._compare(templates, are_canonical, learn=True)

    def holds(self, templates: Templates, are_canonical: bool = False) -> NDArray[np.bool_]:
        """Whether each is the same as one that is remembered, (N,)."""
        return self._compare(templates, are_canonical, learn=False)

    def _compare(self, templates: Templates, are_canonical: bool, learn: bool) -> NDArray[np.bool_]:
        repeated = np.zeros(len(templates), dtype=bool)
        described = describe(templates if are_canonical else canonical(templates)[0])
        todo = []
        for key, index in described.by_key():
            bucket = self._buckets.get(key)
            if bucket is None:
                if not learn:
                    continue
                bucket = self._buckets[key] = Bucket(key, self.tolerances)
            todo.append((bucket, index))

        def compare(bucket: Bucket, index: NDArray[np.int64]) -> None:
            repeated[index] = bucket.compare(described[index], learn)

        if self.threads == 1:
            for bucket, index in todo:
                compare(bucket, index)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(compare, *zip(*todo, strict=True)) if todo else [])
        return repeated


@dataclass(frozen=True)
class Descriptions:
    """Templates as :class:`Bucket` compares them, all with the letters of their coarse key."""

    sites: Templates
    """As they are described."""
    vectors: Floats
    """Conventional lattice vectors as rows, in units of the free length per atom, (N, 3, 3)."""
    bases: Floats
    """From these to the three shortest vectors that are a basis of the lattice, (N, 3, 3)."""
    cells: Floats
    """Lengths and angles (degrees) of those, (N, 6)."""

    def __getitem__(self, index: NDArray[np.int64]) -> "Descriptions":
        return Descriptions(self.sites[index], self.vectors[index], self.bases[index], self.cells[index])

    def by_key(self) -> Iterator[tuple[Key, NDArray[np.int64]]]:
        """Every coarse key, and the places of the templates that have it, ascending."""
        for number, letters, index in kinds(self.sites):
            yield (number, tuple(letters)), index


def describe(sites: Templates) -> Descriptions:
    """Templates, in the description of :func:`.fingerprint.canonical`, as :class:`Bucket` compares them."""
    vectors = sg.cell_vectors(sites.cell) * np.cbrt(sites.number_density)[:, None, None]
    groups, group = np.unique(sites.spacegroup, return_inverse=True)
    primitive = np.array([sg.primitive_basis(int(number)) for number in groups]).reshape(-1, 3, 3)[group]
    bases = shortest_basis(primitive @ vectors) @ primitive
    return Descriptions(sites, vectors, bases, cell_parameters(bases @ vectors))


@dataclass(frozen=True)
class _Changes:
    """How one template of a coarse key may be laid on another: the Q changes that keep the letters as a whole."""

    vectors: Floats
    """What lattice vectors are multiplied by, (L, 3, 3): changes that differ by an origin do the same to them."""
    begins: NDArray[np.int64]
    """The first change of each of these, and Q, (L + 1,)."""
    maps: Floats
    """From each of k sites to its images, (Q, k, P, 3, 4)."""
    n_maps: NDArray[np.int64]
    """How many of the P are different, (Q, k)."""
    letters: NDArray[np.int64]
    """Of the images, (Q, k)."""


@lru_cache(maxsize=1024)
def _changes(key: Key) -> _Changes:
    number, letters = key
    group, sites = normaliser(number, other_cells=True), list(letters)
    q = np.flatnonzero((np.sort(group.letters[:, sites], axis=1) == letters).all(axis=1))
    linear = group.linear[q]
    first = np.flatnonzero(np.r_[True, (linear[1:] != linear[:-1]).any(axis=(1, 2))])
    turns = np.ascontiguousarray(np.linalg.inv(linear[first]).transpose(0, 2, 1))
    n_maps = group.n_maps[q][:, sites]
    maps = np.ascontiguousarray(group.maps[q][:, sites, : n_maps.max()])
    return _Changes(turns, np.append(first, len(q)), maps, n_maps, group.letters[q][:, sites].astype(np.int64))


class Bucket:
    """Templates of one coarse key, with which others are compared in one step."""

    def __init__(self, key: Key, tolerances: Tolerances) -> None:
        self.key, self.tolerances = key, tolerances
        number, letters = key
        self._letters = np.array(letters, dtype=np.int64)
        weights = sg.MULTIPLICITY[number, list(letters)].astype(float)
        self._weights = weights / weights.sum()
        self._atoms = weights.sum() / len(sg.centring(number))
        self._polar = normaliser(number).polar
        self._coords = np.zeros((0, len(letters), 3))
        self._bases = np.zeros((0, 3, 3))
        self._cells = np.zeros((0, 6))

    def __len__(self) -> int:
        return len(self._coords)

    def compare(self, batch: Descriptions, learn: bool) -> NDArray[np.bool_]:
        """Whether each of a batch is the same as one of the bucket, (N,).

        :param learn: whether what is new comes into the bucket, one after the other.
        """
        found = self.distances(batch, learn, exact=False)
        return found <= self.tolerances.site

    def distances(self, batch: Descriptions, learn: bool = False, exact: bool = True) -> Floats:
        """To the nearest template of the bucket: the largest distance of two corresponding atoms over the free length
        per atom; infinite where no lattice, or nothing within the tolerance of sites, fits, (N,).

        :param exact: otherwise to the first that fits.
        """
        changes, limits, start = _changes(self.key), self.tolerances, len(self)
        coords = np.concatenate([self._coords, batch.sites.coords[:, : len(self._letters)]])
        bases, cells = np.concatenate([self._bases, batch.bases]), np.concatenate([self._cells, batch.cells])
        found, kept = _compared(
            changes.vectors,
            changes.begins,
            changes.maps,
            changes.n_maps,
            changes.letters,
            batch.vectors,
            coords,
            bases,
            np.linalg.inv(bases),
            cells,
            start,
            self._letters,
            self._weights,
            self._polar,
            self._atoms,
            np.array([limits.length, limits.angle, limits.site]),
            learn,
            exact,
        )
        if learn and len(kept) > start:
            self._coords, self._bases, self._cells = coords[kept], bases[kept], cells[kept]
        return found


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


# ------------------------------------------------------------------------------------------ compiled comparison


@njit(cache=True, nogil=True)
def _compared(
    turns: Floats,
    begins: Integers,
    maps: Floats,
    n_maps: Integers,
    letters: Integers,
    vectors: Floats,
    coords: Floats,
    bases: Floats,
    backs: Floats,
    cells: Floats,
    start: int,
    own_letters: Integers,
    weights: Floats,
    polar: NDArray[np.bool_],
    atoms: float,
    limits: Floats,
    learn: bool,
    exact: bool,
) -> tuple[Floats, Integers]:  # pragma: no cover (compiled)
    """The distance of each of n templates, under all changes, to the nearest of those known so far; the first that
    fits if not exact. And the places of what is known in the end.

    :param turns: what lattice vectors are multiplied by under the changes from each of ``begins``, (L + 1,), to the
        next, (L, 3, 3).
    :param maps: of the sites, (Q, k, P, 3, 4), of which ``n_maps``, (Q, k), differ; ``letters`` of the images, (Q, k).
    :param vectors: of the n templates, in free lengths, (n, 3, 3).
    :param coords: of the ``start`` known templates and then the n others, (m, k, 3), their reduced ``bases``,
        (m, 3, 3), their inverses, ``backs``, and ``cells``, (m, 6).
    :param own_letters: of the known sites, (k,), and their share of the atoms, ``weights``, (k,).
    :param atoms: in the primitive cell.
    :param limits: largest relative difference of lengths, of angles (degrees), and distance of sites.
    :param learn: whether what is new is known from then on.
    """
    n, k = len(vectors), coords.shape[1]
    minima = np.empty((len(cells), 3))
    for j in range(len(cells)):
        minima[j] = np.sort(cells[j, :3])
    # the vectors that correspond to one lattice's shortest are no shorter than the other's shortest. The angles
    # change the lengths of their sums, hence the second limit, which lets some more through
    upper = 1 + limits[0]
    lower = 1 / (upper * (1 + 2 * np.radians(limits[1])))
    known = np.empty(len(coords), np.int64)
    known[:start] = np.arange(start)
    count = start
    found = np.empty(n)
    near = np.empty(len(coords), np.int64)
    turned = np.empty_like(turns)
    images = np.empty(maps.shape[:4])
    for i in range(n):
        own = minima[start + i]
        some = 0
        for c in range(count):
            other = minima[known[c]]
            fits = True
            for x in range(3):
                fits = fits and own[x] <= upper * other[x] and own[x] >= lower * other[x]
            if fits:
                near[some] = known[c]
                some += 1
        found[i] = np.inf
        if some:
            for t in range(len(turns)):
                turned[t] = turns[t] @ vectors[i]
            for q in range(len(maps)):
                for s in range(k):
                    for p in range(n_maps[q, s]):
                        for x in range(3):
                            images[q, s, p, x] = maps[q, s, p, x, 3]
                            for y in range(3):
                                images[q, s, p, x] += maps[q, s, p, x, y] * coords[start + i, s, y]
            found[i] = _nearest(
                turned, begins, images, n_maps, letters, coords, bases, backs, cells, near[:some], own_letters, weights,
                polar, atoms, limits, exact,
            )  # fmt: skip
        if learn and found[i] > limits[2]:
            known[count] = start + i
            count += 1
    return found, known[:count]


@njit(cache=True, nogil=True)
def _nearest(
    turned: Floats,
    begins: Integers,
    images: Floats,
    n_maps: Integers,
    letters: Integers,
    coords: Floats,
    bases: Floats,
    backs: Floats,
    cells: Floats,
    among: Integers,
    own_letters: Integers,
    weights: Floats,
    polar: NDArray[np.bool_],
    atoms: float,
    limits: Floats,
    exact: bool,
) -> float:  # pragma: no cover (compiled)
    """The distance from a template, under all changes, to the nearest ``among`` others; the first that fits if not
    exact.

    :param turned: lattice vectors of the template under each change of axes, (L, 3, 3), in free lengths.
    :param images: of its sites, (Q, k, P, 3). The rest as :func:`_compared` has it.
    """
    best = np.inf
    k = coords.shape[1]
    own = np.empty(6)
    mean = np.empty((3, 3))
    gaps = np.empty((k, k, 3))
    squares = np.empty((k, k))
    partner = np.empty(k, np.int64)
    shift = np.empty(3)
    rarest = np.argmin(weights)
    on_axis = polar.any()
    for j in among:
        back = backs[j]
        for t in range(len(turned)):
            if not _lattice_fits(bases[j], turned[t], cells[j], limits, own):
                continue
            _mean_cell(own, cells[j], atoms, mean)
            for q in range(begins[t], begins[t + 1]):
                limit = min(limits[2], best)
                if not on_axis:
                    shift[:] = 0.0
                    if _gaps(
                        images[q], n_maps[q], letters[q], coords[j], own_letters, shift, back, mean, limit, gaps,
                        squares,
                    ):  # fmt: skip
                        best = min(best, _largest(squares, limit, partner, exact))
                    if best <= limits[2] and not exact:
                        return best
                    continue
                # along polar axes the origin is arbitrary: one of the rarest atoms is laid on each site it may fall
                # on, and then what is left of a mean displacement is taken away
                for site in range(k):
                    if letters[q, rarest] != own_letters[site]:
                        continue
                    for p in range(n_maps[q, rarest]):
                        shift[:] = np.where(polar, coords[j, site] - images[q, rarest, p], 0.0)
                        for turn in range(3):
                            # at first every atom may be off by the anchor's displacement as well
                            reach = limit if turn == 2 else 2 * limits[2]
                            if not _gaps(
                                images[q], n_maps[q], letters[q], coords[j], own_letters, shift, back, mean, reach,
                                gaps, squares,
                            ):  # fmt: skip
                                break
                            found = _largest(squares, reach, partner, exact or turn < 2)
                            if turn == 2:
                                best = min(best, found)
                                limit = min(limits[2], best)
                            elif np.isinf(found):
                                break
                            else:
                                residual = np.zeros(3)
                                for i in range(k):
                                    residual += weights[i] * gaps[i, partner[i]]
                                # Cartesian; only its part along polar axes may be taken away
                                shift -= np.where(polar, residual @ np.linalg.inv(back @ mean), 0.0)
                        if best <= limits[2] and not exact:
                            return best
    return best


@njit(cache=True, nogil=True)
def _lattice_fits(
    basis: Floats, turned: Floats, cell: Floats, limits: Floats, own: Floats
) -> bool:  # pragma: no cover (compiled)
    """Whether lengths and angles of a lattice in a basis are near those of a cell; ``own`` takes them, (6,)."""
    vectors = basis @ turned
    for i in range(3):
        own[i] = np.sqrt(vectors[i, 0] ** 2 + vectors[i, 1] ** 2 + vectors[i, 2] ** 2)
        ratio = own[i] / cell[i]
        if ratio > 1 + limits[0] or ratio * (1 + limits[0]) < 1:
            return False
    for i in range(3):
        a, b = (i + 1) % 3, (i + 2) % 3
        if a > b:
            a, b = b, a
        product = 0.0
        for x in range(3):
            product += vectors[a, x] * vectors[b, x]
        cosine = min(1.0, max(-1.0, product / (own[a] * own[b])))
        own[3 + i] = np.degrees(np.arccos(cosine))
        if abs(own[3 + i] - cell[3 + i]) > limits[1]:
            return False
    return True


@njit(cache=True, nogil=True)
def _mean_cell(first: Floats, second: Floats, atoms: float, mean: Floats) -> None:  # pragma: no cover (compiled)
    """Vectors of the mean of two cells, with the free length per atom as the unit, into ``mean``, (3, 3)."""
    cell = (first + second) / 2
    ca, cb, cg = np.cos(np.radians(cell[3])), np.cos(np.radians(cell[4])), np.cos(np.radians(cell[5]))
    sg = np.sqrt(1 - cg * cg)
    y = (ca - cb * cg) / sg
    mean[:] = 0.0
    mean[0, 0] = cell[0]
    mean[1, 0], mean[1, 1] = cell[1] * cg, cell[1] * sg
    mean[2, 0], mean[2, 1], mean[2, 2] = cell[2] * cb, cell[2] * y, cell[2] * np.sqrt(max(1 - cb * cb - y * y, 1e-12))
    mean *= (atoms / (mean[0, 0] * mean[1, 1] * mean[2, 2])) ** (1 / 3)


@njit(cache=True, nogil=True)
def _gaps(
    images: Floats,
    n_maps: Integers,
    letters: Integers,
    sites: Floats,
    own_letters: Integers,
    shift: Floats,
    back: Floats,
    mean: Floats,
    limit: float,
    gaps: Floats,
    squares: Floats,
) -> bool:  # pragma: no cover (compiled)
    """From the images of each site to each site of its letter the shortest vector, into ``gaps`` (k, k, 3), and its
    square, into ``squares`` (k, k); infinite between different letters. False, and no more of them, as soon as the
    images of a site have no site within the limit."""
    k = len(sites)
    for i in range(k):
        nearest = np.inf
        for j in range(k):
            squares[i, j] = np.inf
            if letters[i] != own_letters[j]:
                continue
            for p in range(n_maps[i]):
                d0 = images[i, p, 0] + shift[0] - sites[j, 0]
                d1 = images[i, p, 1] + shift[1] - sites[j, 1]
                d2 = images[i, p, 2] + shift[2] - sites[j, 2]
                f0 = d0 * back[0, 0] + d1 * back[1, 0] + d2 * back[2, 0]
                f1 = d0 * back[0, 1] + d1 * back[1, 1] + d2 * back[2, 1]
                f2 = d0 * back[0, 2] + d1 * back[1, 2] + d2 * back[2, 2]
                f0 -= np.round(f0)
                f1 -= np.round(f1)
                f2 -= np.round(f2)
                g0 = f0 * mean[0, 0] + f1 * mean[1, 0] + f2 * mean[2, 0]
                g1 = f1 * mean[1, 1] + f2 * mean[2, 1]
                g2 = f2 * mean[2, 2]
                square = g0 * g0 + g1 * g1 + g2 * g2
                if square < squares[i, j]:
                    squares[i, j] = square
                    gaps[i, j, 0], gaps[i, j, 1], gaps[i, j, 2] = g0, g1, g2
            nearest = min(nearest, squares[i, j])
        if nearest > limit * limit:
            return False
    return True


@njit(cache=True, nogil=True)
def _largest(squares: Floats, limit: float, partner: Integers, exact: bool) -> float:  # pragma: no cover (compiled)
    """The smallest, over all ways to give images a site each, of the largest distance; infinite above the limit.

    :param partner: takes the site of each image, (k,).
    :param exact: otherwise any way within the limit will do.
    """
    if not _assign(squares, limit * limit, partner):
        return np.inf
    largest = _largest_of(squares, partner)
    while exact and largest > 0:
        previous = partner.copy()
        if not _assign(squares, largest * (1 - 1e-12), partner):
            partner[:] = previous
            break
        largest = _largest_of(squares, partner)
    return np.sqrt(largest)


@njit(cache=True, nogil=True)
def _largest_of(squares: Floats, partner: Integers) -> float:  # pragma: no cover (compiled)
    largest = 0.0
    for i in range(len(partner)):
        largest = max(largest, squares[i, partner[i]])
    return largest


@njit(cache=True, nogil=True)
def _assign(squares: Floats, limit: float, partner: Integers) -> bool:  # pragma: no cover (compiled)
    """Whether every image finds a site of its own within the limit, by augmenting paths; ``partner`` takes them."""
    k = len(squares)
    for i in range(k):
        if squares[i].min() > limit:
            return False
    owner = np.full(k, -1)
    for start in range(k):
        # breadth first: from an image to its near sites, from each to the image that has it
        reached_from = np.full(k, -1)
        queue = np.empty(k + 1, np.int64)
        queue[0], head, tail, free = start, 0, 1, -1
        while head < tail and free < 0:
            image = queue[head]
            head += 1
            for site in range(k):
                if reached_from[site] >= 0 or squares[image, site] > limit:
                    continue
                reached_from[site] = image
                if owner[site] < 0:
                    free = site
                    break
                queue[tail] = owner[site]
                tail += 1
        if free < 0:
            return False
        site = free
        while True:
            image = reached_from[site]
            before = -1
            for other in range(k):
                if owner[other] == image:
                    before = other
            owner[site] = image
            if image == start:
                break
            owner[before] = -1
            site = before
    for site in range(k):
        partner[owner[site]] = site
    return True
