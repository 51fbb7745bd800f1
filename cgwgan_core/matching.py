"""Whether two templates are the same crystal, within tolerances, and which of many repeat an earlier one.

The measure is that of pymatgen's ``StructureMatcher`` (Ong et al., Comput. Mater. Sci. 68, 314 (2013),
doi:10.1016/j.commatsci.2012.10.028): both crystals are scaled to one volume, one lattice is laid on the other, and
the largest distance between an atom and its partner is compared with the free length per atom, the cube root of
volume over atoms. Which element would sit where has no part in it. Templates of one coarse key are laid on one
another by the changes of description of their space group, its normaliser: a few dozen trials take the place of a
search over lattices, origins and species, and one atom stands for its whole orbit. The trials are compiled (numba),
and each ends at the first thing that does not fit.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import spacegroups as sg
from .crystal import Templates, reduce_cells
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

    def __init__(self, tolerances: Tolerances = Tolerances()) -> None:
        self.tolerances = tolerances
        self._buckets: dict[Key, Bucket] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, templates: Templates, most: int | None = None) -> NDArray[np.bool_]:
        """Take a batch, in order, and remember what is new.

        :param most: how many to remember in all; what is new beyond them is not remembered.
        :returns: whether each repeats one that is remembered, (N,).
        """
        repeated = np.zeros(len(templates), dtype=bool)
        for i, description in enumerate(descriptions(templates)):
            bucket = self._buckets.get(description.key)
            repeated[i] = bucket is not None and bucket.holds(description)
            if repeated[i] or (most is not None and self._count >= most):
                continue
            if bucket is None:
                bucket = self._buckets[description.key] = Bucket(description.key, self.tolerances)
            bucket.add(description)
            self._count += 1
        return repeated

    def holds(self, templates: Templates) -> NDArray[np.bool_]:
        """As :meth:`add`, but nothing is remembered."""
        return self.add(templates, most=0)


@dataclass(frozen=True)
class Description:
    """A template with the letters of its coarse key, as :class:`Bucket` compares it."""

    key: Key
    coords: Floats
    """Of the sites, sorted by letter, (k, 3)."""
    vectors: Floats
    """Conventional lattice vectors as rows, in units of the free length per atom, (3, 3)."""


def descriptions(templates: Templates) -> list[Description]:
    """Every template as :class:`Bucket` compares it."""
    sites, _ = canonical(templates)
    vectors = sg.cell_vectors(sites.cell) * np.cbrt(sites.number_density)[:, None, None]
    return [
        Description((int(number), tuple(letters[:k])), coords[:k], cell)
        for number, letters, k, coords, cell in zip(
            sites.spacegroup, sites.letters.tolist(), sites.n_sites, sites.coords, vectors, strict=True
        )
    ]


@dataclass(frozen=True)
class _Changes:
    """How one template of a coarse key may be laid on another: the Q changes that keep the letters as a whole."""

    vectors: Floats
    """What lattice vectors are multiplied by, (Q, 3, 3)."""
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
    turns = np.ascontiguousarray(np.linalg.inv(group.linear[q]).transpose(0, 2, 1))
    n_maps = group.n_maps[q][:, sites]
    maps = np.ascontiguousarray(group.maps[q][:, sites, : n_maps.max()])
    return _Changes(turns, maps, n_maps, group.letters[q][:, sites].astype(np.int64))


class Bucket:
    """Templates of one coarse key, with which another is compared in one step."""

    def __init__(self, key: Key, tolerances: Tolerances) -> None:
        self.key, self.tolerances = key, tolerances
        number, letters = key
        self._primitive = sg.primitive_basis(number)
        self._letters = np.array(letters, dtype=np.int64)
        weights = sg.MULTIPLICITY[number, list(letters)].astype(float)
        self._weights = weights / weights.sum()
        self._atoms = weights.sum() / len(sg.centring(number))
        self._polar = normaliser(number).polar
        # arrays with room to spare: doubled when full
        self._count = 0
        self._coords = np.zeros((2, len(letters), 3))
        self._bases = np.zeros((2, 3, 3))
        self._cells = np.zeros((2, 6))

    def __len__(self) -> int:
        return self._count

    def add(self, description: Description) -> None:
        """One more template."""
        if self._count == len(self._coords):
            self._coords, self._bases, self._cells = (
                np.concatenate([x, np.zeros_like(x)]) for x in (self._coords, self._bases, self._cells)
            )
        basis = shortest_basis((self._primitive @ description.vectors)[None])[0] @ self._primitive
        self._coords[self._count] = description.coords
        self._bases[self._count] = basis
        self._cells[self._count] = cell_parameters(basis @ description.vectors)
        self._count += 1

    def holds(self, description: Description) -> bool:
        """Whether a template is the same as one of the bucket."""
        return self._search(description, exact=False) <= self.tolerances.site

    def distance(self, description: Description) -> float:
        """To the nearest template of the bucket: the largest distance of two corresponding atoms over the free length
        per atom; infinite where no lattice, or nothing within the tolerance of sites, fits."""
        return self._search(description, exact=True)

    def _search(self, description: Description, exact: bool) -> float:
        changes = _changes(self.key)
        limits = self.tolerances
        return _nearest(
            changes.vectors @ description.vectors,
            np.einsum("qkpij,kj->qkpi", changes.maps[..., :3], description.coords) + changes.maps[..., 3],
            changes.n_maps,
            changes.letters,
            self._coords[: self._count],
            self._bases[: self._count],
            self._cells[: self._count],
            self._letters,
            self._weights,
            self._polar,
            self._atoms,
            np.array([limits.length, limits.angle, limits.site]),
            exact,
        )


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


@njit(cache=True)
def _nearest(
    turned: Floats,
    images: Floats,
    n_maps: Integers,
    letters: Integers,
    coords: Floats,
    bases: Floats,
    cells: Floats,
    own_letters: Integers,
    weights: Floats,
    polar: NDArray[np.bool_],
    atoms: float,
    limits: Floats,
    exact: bool,
) -> float:  # pragma: no cover (compiled)
    """The distance from a template, under all changes, to the nearest of a bucket; the first that fits if not exact.

    :param turned: lattice vectors of the template under each change, (Q, 3, 3), in free lengths.
    :param images: of its sites, (Q, k, P, 3), of which ``n_maps``, (Q, k), differ; their ``letters``, (Q, k).
    :param coords: of the bucket's templates, (m, k, 3), their reduced ``bases``, (m, 3, 3), and ``cells``, (m, 6).
    :param own_letters: of the bucket's sites, (k,), and their share of the atoms, ``weights``, (k,).
    :param atoms: in the primitive cell.
    :param limits: largest relative difference of lengths, of angles (degrees), and distance of sites.
    """
    best = np.inf
    k = coords.shape[1]
    own = np.empty(6)
    mean = np.empty((3, 3))
    gaps = np.empty((k, k, 3))
    squares = np.empty((k, k))
    partner = np.empty(k, np.int64)
    rarest = np.argmin(weights)
    on_axis = polar.any()
    for j in range(len(coords)):
        back = np.linalg.inv(bases[j])
        for q in range(len(turned)):
            if not _lattice_fits(bases[j], turned[q], cells[j], limits, own):
                continue
            _mean_cell(own, cells[j], atoms, mean)
            limit = min(limits[2], best)
            if not on_axis:
                shift = np.zeros(3)
                _gaps(images[q], n_maps[q], letters[q], coords[j], own_letters, shift, back, mean, gaps, squares)
                found = _largest(squares, limit, partner, exact)
                best = min(best, found)
                if best <= limits[2] and not exact:
                    return best
                continue
            # along polar axes the origin is arbitrary: one of the rarest atoms is laid on each site it may fall on,
            # and then what is left of a mean displacement is taken away
            for site in range(k):
                if letters[q, rarest] != own_letters[site]:
                    continue
                for p in range(n_maps[q, rarest]):
                    shift = np.where(polar, coords[j, site] - images[q, rarest, p], 0.0)
                    for turn in range(3):
                        _gaps(
                            images[q], n_maps[q], letters[q], coords[j], own_letters, shift, back, mean, gaps, squares
                        )
                        if turn == 2:
                            best = min(best, _largest(squares, min(limits[2], best), partner, exact))
                        # at first every atom may be off by the anchor's displacement as well
                        elif np.isinf(_largest(squares, 2 * limits[2], partner, True)):
                            break
                        else:
                            residual = np.zeros(3)
                            for i in range(k):
                                residual += weights[i] * gaps[i, partner[i]]
                            # Cartesian; only its part along polar axes may be taken away
                            shift = shift - np.where(polar, residual @ np.linalg.inv(back @ mean), 0.0)
                    if best <= limits[2] and not exact:
                        return best
    return best


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
def _gaps(
    images: Floats,
    n_maps: Integers,
    letters: Integers,
    sites: Floats,
    own_letters: Integers,
    shift: Floats,
    back: Floats,
    mean: Floats,
    gaps: Floats,
    squares: Floats,
) -> None:  # pragma: no cover (compiled)
    """From the images of each site to each site of its letter the shortest vector, into ``gaps`` (k, k, 3), and its
    square, into ``squares`` (k, k); infinite between different letters."""
    k = len(sites)
    fractional = np.empty(3)
    for i in range(k):
        for j in range(k):
            squares[i, j] = np.inf
            if letters[i] != own_letters[j]:
                continue
            for p in range(n_maps[i]):
                d0 = images[i, p, 0] + shift[0] - sites[j, 0]
                d1 = images[i, p, 1] + shift[1] - sites[j, 1]
                d2 = images[i, p, 2] + shift[2] - sites[j, 2]
                for x in range(3):
                    value = d0 * back[0, x] + d1 * back[1, x] + d2 * back[2, x]
                    fractional[x] = value - np.round(value)
                g0 = fractional[0] * mean[0, 0] + fractional[1] * mean[1, 0] + fractional[2] * mean[2, 0]
                g1 = fractional[1] * mean[1, 1] + fractional[2] * mean[2, 1]
                g2 = fractional[2] * mean[2, 2]
                square = g0 * g0 + g1 * g1 + g2 * g2
                if square < squares[i, j]:
                    squares[i, j] = square
                    gaps[i, j, 0], gaps[i, j, 1], gaps[i, j, 2] = g0, g1, g2


@njit(cache=True)
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


@njit(cache=True)
def _largest_of(squares: Floats, partner: Integers) -> float:  # pragma: no cover (compiled)
    largest = 0.0
    for i in range(len(partner)):
        largest = max(largest, squares[i, partner[i]])
    return largest


@njit(cache=True)
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
