"""Templates, many at once: their sites, cells and densities, and the atoms that they stand for.

A batch of templates is a structure of arrays (:class:`Templates`); every function here works on the batch.
Crystals with elements are :class:`ase.Atoms`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from ase import Atoms
from numpy.typing import NDArray

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.workflow.arrays import Booleans, Floats, Integers


@dataclass(frozen=True)
class Templates:
    """N templates of at most K sites. Sites are in canonical order: by letter, then by coordinates."""

    spacegroup: NDArray[np.int16]
    """International Tables numbers, (N,)."""
    cell: Floats
    """Conventional a, b, c (Å), alpha, beta, gamma (degrees), (N, 6)."""
    letters: NDArray[np.int8]
    """Wyckoff letters as indices (a = 0), -1 where there is no site, (N, K)."""
    coords: Floats
    """Fractional coordinates of each site's representative in [0, 1), 0 where there is no site, (N, K, 3)."""

    def __len__(self) -> int:
        return len(self.spacegroup)

    def __getitem__(self, index: Any) -> "Templates":
        """The templates of an index array, a mask or a slice."""
        return Templates(self.spacegroup[index], self.cell[index], self.letters[index], self.coords[index])

    @property
    def n_sites(self) -> NDArray[np.int64]:
        """Sites of the asymmetric unit, (N,)."""
        counts: NDArray[np.int64] = (self.letters >= 0).sum(1)
        return counts

    @property
    def multiplicities(self) -> NDArray[np.int64]:
        """Atoms of each site in the conventional cell, 0 where there is no site, (N, K)."""
        found = sg.MULTIPLICITY[self.spacegroup[:, None], self.letters].astype(np.int64)
        return np.where(self.letters >= 0, found, 0)

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms in the conventional cell, (N,)."""
        counts: NDArray[np.int64] = self.multiplicities.sum(1)
        return counts

    @property
    def volume(self) -> Floats:
        """Volume of the conventional cell, (N,) Å³; NaN where the angles enclose none."""
        return sg.cell_volume(self.cell)

    @property
    def number_density(self) -> Floats:
        """Atoms per Å³, (N,)."""
        return self.n_atoms / self.volume

    @property
    def offered(self) -> Booleans:
        """Whether there is a site, and the space group has the letter of every site, (N,)."""
        filled = self.letters >= 0
        has_every_letter = (~filled | (self.multiplicities > 0)).all(1)
        found: Booleans = np.logical_and(filled.any(1), has_every_letter)
        return found

    @classmethod
    def concat(cls, batches: Sequence["Templates"]) -> "Templates":
        """Batches after one another; sites are padded to the largest number."""
        width = max((b.letters.shape[1] for b in batches), default=0)
        return cls(
            np.concatenate([b.spacegroup for b in batches]),
            np.concatenate([b.cell for b in batches]),
            np.concatenate([_pad(b.letters, width, -1) for b in batches]),
            np.concatenate([_pad(b.coords, width, 0.0) for b in batches]),
        )

    @classmethod
    def from_table(cls, table: pa.Table) -> "Templates":
        """From any table with the geometry columns of ``tables.TEMPLATES`` (also asu and training)."""
        n = table.num_rows
        counts = table["n_sites"].to_numpy().astype(int)
        width = int(counts.max(initial=0))
        filled = np.arange(width) < counts[:, None]
        letters = np.full((n, width), -1, dtype=np.int8)
        names = table["letters"].combine_chunks().flatten().to_pylist()
        letters[filled] = [sg.letter_index(name) for name in names]
        coords = np.zeros((n, width, 3))
        coords[filled] = table["coords"].combine_chunks().flatten().to_numpy().reshape(-1, 3)
        cell = np.stack([table[name].to_numpy() for name in ("a", "b", "c", "alpha", "beta", "gamma")], axis=1)
        return cls(table["spacegroup"].to_numpy().astype(np.int16), cell.astype(float), letters, coords)

    def to_columns(self) -> dict[str, Any]:
        """The geometry columns of ``tables.TEMPLATES``."""
        counts, multiplicities = self.n_sites, self.multiplicities
        return {
            "spacegroup": self.spacegroup.astype(np.int16),
            **{name: self.cell[:, i] for i, name in enumerate(("a", "b", "c", "alpha", "beta", "gamma"))},
            "n_atoms": self.n_atoms.astype(np.int32),
            "n_sites": counts.astype(np.int16),
            "letters": [
                [sg.letter_name(i) for i in row[:k]] for row, k in zip(self.letters.tolist(), counts, strict=True)
            ],
            "multiplicities": [row[:k] for row, k in zip(multiplicities.tolist(), counts, strict=True)],
            "coords": [row[:k].ravel() for row, k in zip(self.coords, counts, strict=True)],
            "number_density": self.number_density,
        }

    def projected(self) -> "Templates":
        """Coordinates exactly on the representatives, cells exactly of their crystal system, sites in order."""
        return self.projected_with_order()[0]

    def projected_with_order(self) -> tuple["Templates", NDArray[np.int64]]:
        """As :meth:`projected`, and which of the sites each site was before, (N, K)."""
        coords = on_representatives(self.spacegroup, self.letters, self.coords)
        rank = np.where(self.letters < 0, sg.N_LETTERS, self.letters)
        order = np.lexsort((coords[..., 2], coords[..., 1], coords[..., 0], rank), axis=-1)
        exact = Templates(
            self.spacegroup,
            sg.constrain_cell(self.spacegroup, self.cell),
            np.take_along_axis(self.letters, order, 1),
            np.take_along_axis(coords, order[..., None], 1),
        )
        return exact, order


def on_representatives(spacegroup: Integers, letters: Integers, coords: Floats) -> Floats:
    """Fractional coordinates moved onto the representative of their site's letter, in [0, 1).

    :param spacegroup: numbers, (N,).
    :param letters: as :class:`Templates` has them, (N, K); sites with letters that the group lacks go to the origin.
    :param coords: (N, K, 3).
    """
    maps = sg.REPRESENTATIVE[spacegroup[:, None], letters]
    moved = np.einsum("nkij,nkj->nki", maps[..., :3], coords) + maps[..., 3]
    return np.where(letters[..., None] >= 0, wrap(moved), 0.0)


def _pad(array: NDArray[Any], width: int, value: float) -> NDArray[Any]:
    missing = width - array.shape[1]
    return np.pad(array, [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2), constant_values=value)


def wrap(x: Floats) -> Floats:
    """Into [0, 1); what lies within 1e-9 below an integer becomes 0."""
    out = np.mod(x, 1.0)
    return np.where(out > 1 - 1e-9, 0.0, out)


# ------------------------------------------------------------------------------------ templates to atoms


@dataclass(frozen=True)
class Expanded:
    """All atoms of templates that share space group and letters, in their primitive cells."""

    index: NDArray[np.int64]
    """Place of each template in the batch it came from, (n,)."""
    vectors: Floats
    """Primitive lattice vectors as rows, (n, 3, 3) Å."""
    positions: Floats
    """Fractional coordinates in the primitive cell, not wrapped, (n, m, 3)."""
    site: NDArray[np.int64]
    """Site of each atom, (m,); the first atom of each site is its representative."""


def kinds(templates: Templates) -> Iterator[tuple[int, list[int], NDArray[np.int64]]]:
    """Space group, letters, and the places in the batch of the templates that share them."""
    if not len(templates):
        return
    unique, group = np.unique(np.column_stack([templates.spacegroup, templates.letters]), axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(len(unique) + 1))
    for kind, start, stop in zip(unique, bounds[:-1], bounds[1:], strict=True):
        yield int(kind[0]), [int(i) for i in kind[1:] if i >= 0], order[start:stop]


def expand(templates: Templates, primitive: bool = True) -> Iterator[Expanded]:
    """All atoms of a batch, one group of equal space group and letters at a time.

    Templates whose letters the group does not offer are left out: they have no atoms.

    :param primitive: expand to the primitive cell, which holds down to a quarter of the atoms of the
        conventional one; ``False`` gives the conventional cell.
    """
    vectors = sg.cell_vectors(templates.cell)
    offered = templates.offered
    for number, letters, index in kinds(templates):
        if not offered[index[0]]:
            continue
        orbit, basis = (sg.orbit, sg.primitive_basis(number)) if primitive else (sg.conventional_orbit, np.eye(3))
        orbits = [orbit(number, letter) for letter in letters]
        site = np.repeat(np.arange(len(letters)), [len(maps) for maps in orbits])
        maps = np.concatenate(orbits)
        x = templates.coords[index][:, site]
        conventional = np.einsum("mij,nmj->nmi", maps[:, :, :3], x) + maps[:, :, 3]
        positions = conventional @ np.linalg.inv(basis)
        yield Expanded(index, basis @ vectors[index], positions, site)


def to_atoms(
    templates: Templates, i: int, elements: Sequence[str], volume_scale: float = 1.0, primitive: bool = True
) -> Atoms:
    """Template ``i`` with an element on every site.

    :param elements: chemical symbols in order of the sites.
    :param volume_scale: factor on the cell's volume.
    :param primitive: see :func:`expand`.
    """
    return next(decorate(templates[np.array([i])], [list(elements)], np.array([volume_scale]), primitive))


def decorate(
    templates: Templates, elements: Sequence[Sequence[str]], volume_scale: Floats, primitive: bool = True
) -> Iterator[Atoms]:
    """Every template of a batch with elements on its sites, in order; the array ``site`` says which atom is on which.

    :param elements: chemical symbols of the sites of each template.
    :param volume_scale: factor on each cell's volume, (N,).
    :param primitive: see :func:`expand`.
    """
    out: list[Atoms | None] = [None] * len(templates)
    for group in expand(templates, primitive):
        for row, i in enumerate(group.index):
            symbols = [elements[i][s] for s in group.site]
            vectors = group.vectors[row] * np.cbrt(volume_scale[i])
            out[i] = Atoms(symbols, scaled_positions=np.mod(group.positions[row], 1.0), cell=vectors, pbc=True)
            out[i].set_array("site", group.site)
    yield from (atoms for atoms in out if atoms is not None)
