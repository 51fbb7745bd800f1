"""Whether two templates are the same crystal, within tolerances, and which of many repeat an earlier one.

The measure is that of pymatgen's ``StructureMatcher`` (Ong et al., Comput. Mater. Sci. 68, 314 (2013),
doi:10.1016/j.commatsci.2012.10.028). Both crystals are scaled to one volume, and one lattice is laid on the other. The
largest distance between an atom and its partner counts, over the free length per atom: the cube root of volume over
atoms. Which element would sit where has no part in it.

Templates of one isopointal type are laid on one another by the changes of description of their space group, its
normaliser. A few dozen trials take the place of a search over lattices, origins and species, and one atom stands for
its whole orbit. The trials are compiled: :mod:`.matching_kernel`.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.distances import primitive_bases, shortest_basis
from cgwgan_core.crystallography.fingerprint import canonical, cell_parameters, normaliser, turns
from cgwgan_core.crystallography.matching_arrays import Changes, Pool
from cgwgan_core.crystallography.templates import Templates, kinds
from cgwgan_core.workflow.arrays import Booleans, Floats
from cgwgan_core.workflow.errors import InputError

Key = tuple[int, tuple[int, ...]]
"""Space group and sorted letters, those of the isopointal type."""


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
                raise InputError(f"templates.tolerance.{name}: {value} is not above 0")


class Distinct:
    """The templates of a stream that differ from all before them; each is compared within its isopointal type only."""

    def __init__(self, tolerances: Tolerances, threads: int = 1) -> None:
        """:param threads: isopointal types that are looked at side by side; they do not depend on each other."""
        self.tolerances, self.threads = tolerances, threads
        self._buckets: dict[Key, Bucket] = {}

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def add(self, templates: Templates, are_canonical: bool = False) -> Booleans:
        """Take a batch, in order, and remember what is new.

        :param are_canonical: whether they are as :func:`.fingerprint.canonical` describes them, which saves half the
            time.
        :returns: whether each repeats one that is remembered, (N,).
        """
        return self._compare(templates, are_canonical, learn=True)

    def holds(self, templates: Templates, are_canonical: bool = False) -> Booleans:
        """Whether each is the same as one that is remembered, (N,)."""
        return self._compare(templates, are_canonical, learn=False)

    def _compare(self, templates: Templates, are_canonical: bool, learn: bool) -> Booleans:
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
    """Templates as :class:`Bucket` compares them, all with the letters of their isopointal type."""

    sites: Templates
    """As they are described."""
    vectors: Floats
    """Conventional lattice vectors as rows, in units of the free length per atom, (N, 3, 3)."""
    bases: Floats
    """From these to the three shortest vectors that are a basis of the lattice, (N, 3, 3)."""
    backs: Floats
    """The inverses of these, (N, 3, 3)."""
    cells: Floats
    """Lengths and angles (degrees) of those vectors, (N, 6)."""

    def __getitem__(self, index: NDArray[np.int64]) -> "Descriptions":
        return Descriptions(*(getattr(self, field.name)[index] for field in fields(self)))

    def by_key(self) -> Iterator[tuple[Key, NDArray[np.int64]]]:
        """Every isopointal type, and the places of the templates that have it, ascending."""
        for number, letters, index in kinds(self.sites):
            yield (number, tuple(letters)), index


def describe(sites: Templates) -> Descriptions:
    """Templates, in the description of :func:`.fingerprint.canonical`, as :class:`Bucket` compares them."""
    vectors = sg.cell_vectors(sites.cell) * np.cbrt(sites.number_density)[:, None, None]
    primitive = primitive_bases(sites.spacegroup)
    bases = shortest_basis(primitive @ vectors) @ primitive
    backs = np.asarray(np.linalg.inv(bases), dtype=np.float64)
    return Descriptions(sites, vectors, bases, backs, cell_parameters(bases @ vectors))


@lru_cache(maxsize=65536)
def _changes(key: Key) -> Changes:
    number, letters = key
    group = normaliser(number, other_cells=True)
    q = np.flatnonzero((np.sort(group.letters[:, list(letters)], axis=1) == letters).all(axis=1))
    linear = group.linear[q]
    first = np.flatnonzero(np.r_[True, (linear[1:] != linear[:-1]).any(axis=(1, 2))])
    return Changes(q, turns(number)[q[first]], np.append(first, len(q)), group.maps, group.n_maps, group.letters)


class Bucket:
    """Templates of one isopointal type, with which others are compared in one step."""

    def __init__(self, key: Key, tolerances: Tolerances) -> None:
        self.key, self.tolerances = key, tolerances
        number, letters = key
        self._letters = np.array(letters, dtype=np.int64)
        weights = sg.MULTIPLICITY[number, list(letters)].astype(float)
        self._weights = weights / weights.sum()
        self._atoms = weights.sum() / len(sg.centring(number))
        self._polar = normaliser(number, other_cells=True).polar
        self._coords = np.zeros((0, len(letters), 3))
        self._bases, self._backs = np.zeros((0, 3, 3)), np.zeros((0, 3, 3))
        self._cells = np.zeros((0, 6))

    def __len__(self) -> int:
        return len(self._coords)

    def compare(self, batch: Descriptions, learn: bool) -> Booleans:
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
        from cgwgan_core.crystallography.matching_kernel import compared  # noqa: PLC0415 - numba is slow to import

        changes, limits, start = _changes(self.key), self.tolerances, len(self)
        coords = np.concatenate([self._coords, batch.sites.coords[:, : len(self._letters)]])
        bases, backs = np.concatenate([self._bases, batch.bases]), np.concatenate([self._backs, batch.backs])
        cells = np.concatenate([self._cells, batch.cells])
        pool = Pool(self._letters, self._weights, self._polar, self._atoms, coords, bases, backs, cells)
        tolerances = np.array([limits.length, limits.angle, limits.site])
        found, kept = compared(changes, batch.vectors, pool, start, tolerances, learn, exact)
        if learn and len(kept) > start:
            self._coords, self._bases, self._backs, self._cells = (x[kept] for x in (coords, bases, backs, cells))
        return found
