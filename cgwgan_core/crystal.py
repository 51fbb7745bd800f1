"""Templates and what can be done with many of them at once: atoms, densities, distances, and back from structures.

A batch of templates is a structure of arrays (:class:`Templates`); every function here works on the batch.
Crystals with elements are :class:`ase.Atoms`.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import moyopy
import numpy as np
import pyarrow as pa
from ase import Atoms
from numpy.typing import NDArray

from . import spacegroups as sg
from .spacegroups import Floats

# it warns of supercells given as input, which are the rule in databases, once for each
logging.getLogger("moyo").setLevel(logging.ERROR)


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
        return (self.letters >= 0).sum(1)

    @property
    def multiplicities(self) -> NDArray[np.int64]:
        """Atoms of each site in the conventional cell, 0 where there is no site, (N, K)."""
        found = sg.MULTIPLICITY[self.spacegroup[:, None], self.letters].astype(np.int64)
        return np.where(self.letters >= 0, found, 0)

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms in the conventional cell, (N,)."""
        return self.multiplicities.sum(1)

    @property
    def volume(self) -> Floats:
        """Volume of the conventional cell, (N,) Å³; NaN where the angles enclose none."""
        return sg.cell_volume(self.cell)

    @property
    def number_density(self) -> Floats:
        """Atoms per Å³, (N,)."""
        return self.n_atoms / self.volume

    @property
    def offered(self) -> NDArray[np.bool_]:
        """Whether there is a site, and the space group has the letter of every site, (N,)."""
        return (self.letters >= 0).any(1) & ((self.letters < 0) | (self.multiplicities > 0)).all(1)

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


def on_representatives(spacegroup: NDArray[np.integer], letters: NDArray[np.integer], coords: Floats) -> Floats:
    """Fractional coordinates moved onto the representative of their site's letter, in [0, 1).

    :param spacegroup: numbers, (N,).
    :param letters: as :class:`Templates` has them, (N, K); sites with letters that the group lacks go to the origin.
    :param coords: (N, K, 3).
    """
    maps = sg.REPRESENTATIVE[spacegroup[:, None], letters]
    moved = np.einsum("nkij,nkj->nki", maps[..., :3], coords) + maps[..., 3]
    return np.where(letters[..., None] >= 0, _wrap(moved), 0.0)


def _pad(array: NDArray[Any], width: int, value: float) -> NDArray[Any]:
    missing = width - array.shape[1]
    return np.pad(array, [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2), constant_values=value)


def _wrap(x: Floats) -> Floats:
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
        orbits = [sg.orbit(number, letter).maps for letter in letters]
        if primitive:
            basis = sg.primitive_basis(number)
        else:
            basis = np.eye(3)
            shifts = sg.centring(number)
            orbits = [_with_centring(maps, shifts) for maps in orbits]
        site = np.repeat(np.arange(len(letters)), [len(maps) for maps in orbits])
        maps = np.concatenate(orbits)
        x = templates.coords[index][:, site]
        conventional = np.einsum("mij,nmj->nmi", maps[:, :, :3], x) + maps[:, :, 3]
        positions = conventional @ np.linalg.inv(basis)
        yield Expanded(index, basis @ vectors[index], positions, site)


def _with_centring(maps: Floats, shifts: Floats) -> Floats:
    out = np.repeat(maps[None], len(shifts), axis=0)
    out[..., 3] += shifts[:, None]
    return out.reshape(-1, 3, 4)


def atoms_of(row: Mapping[str, Any]) -> Atoms:
    """The crystal of a row with ``lattice``, ``numbers`` and ``frac_coords``."""
    cell, positions = np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3))
    return Atoms(row["numbers"], cell=cell, scaled_positions=positions, pbc=True)


def to_atoms(
    templates: Templates, i: int, elements: Sequence[str], volume_scale: float = 1.0, primitive: bool = True
) -> Atoms:
    """Template ``i`` with an element on every site.

    :param elements: chemical symbols in order of the sites.
    :param volume_scale: factor on the cell's volume.
    """
    return next(decorate(templates[np.array([i])], [list(elements)], np.array([volume_scale]), primitive))


def decorate(
    templates: Templates, elements: Sequence[Sequence[str]], volume_scale: Floats, primitive: bool = True
) -> Iterator[Atoms]:
    """Every template of a batch with elements on its sites, in order; the array ``site`` says which atom is on which.

    :param elements: chemical symbols of the sites of each template.
    :param volume_scale: factor on each cell's volume, (N,).
    """
    out: list[Atoms | None] = [None] * len(templates)
    for group in expand(templates, primitive):
        for row, i in enumerate(group.index):
            symbols = [elements[i][s] for s in group.site]
            vectors = group.vectors[row] * np.cbrt(volume_scale[i])
            out[i] = Atoms(symbols, scaled_positions=np.mod(group.positions[row], 1.0), cell=vectors, pbc=True)
            out[i].set_array("site", group.site)
    yield from (atoms for atoms in out if atoms is not None)


# -------------------------------------------------------------------------------------------- distances

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
    return site_distances(templates).min(axis=(1, 2))


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


# ------------------------------------------------------------------------------------ structures to sites


class SymmetryError(ValueError):
    """A structure whose asymmetric unit cannot be written in the standard setting; the message says why."""


@dataclass(frozen=True)
class AsymmetricUnit:
    """One structure as its sites: a template with elements."""

    template: Templates
    """A batch of one."""
    numbers: list[int]
    """Atomic number of each site."""


def asymmetric_unit(lattice: Floats, frac_coords: Floats, numbers: Sequence[int], symprec: float) -> AsymmetricUnit:
    """Sites of a structure in the standard setting, refined: on their Wyckoff positions to the last digit.

    Of each orbit the atom is taken that lies on the Wyckoff position's first coordinate triplet and has
    the smallest free parameters.

    :param lattice: vectors as rows, (3, 3) Å.
    :param frac_coords: (n, 3).
    :param numbers: atomic numbers, (n,).
    :param symprec: tolerance, Å.
    :raises SymmetryError: if moyo finds no symmetry or loses atoms, or an orbit is not where the tables have it.
    """
    try:
        found = moyopy.MoyoDataset(
            moyopy.Cell(np.asarray(lattice).tolist(), np.asarray(frac_coords).tolist(), [int(z) for z in numbers]),
            symprec=symprec,
            setting=moyopy.Setting.standard(),
        )
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # moyo's panics derive from BaseException
        raise SymmetryError(f"no symmetry found at symprec {symprec} Å ({error})") from None
    number = found.number
    basis = np.array(found.std_cell.basis)
    primitive = np.array(found.prim_std_cell.positions) @ np.array(found.prim_std_cell.basis) @ np.linalg.inv(basis)
    shifts = sg.centring(number)
    lengths = np.linalg.norm(basis, axis=1)
    # near a smaller cell moyo may drop atoms and keep the volume, as 0.21 does for 3 of 155,345 structures
    volumes = [np.abs(np.linalg.det(np.asarray(v, dtype=float))) for v in (lattice, found.prim_std_cell.basis)]
    atoms = len(numbers) * volumes[1] / volumes[0]
    if abs(len(primitive) - atoms) > 0.5:
        raise SymmetryError(
            f"no consistent cell at symprec {symprec} Å: moyo's primitive cell holds {len(primitive)} atoms where its"
            f" volume asks for {atoms:.1f}; use a smaller symprec"
        )

    orbits = np.array(found.orbits)
    mapping = np.array(found.mapping_std_prim)
    letters, coords, elements = [], [], []
    for first in np.unique(orbits):
        members = np.unique(mapping[orbits == first])
        letter = sg.letter_index(found.wyckoffs[first])
        images = (primitive[members][:, None] + shifts).reshape(-1, 3)
        projection = sg.REPRESENTATIVE[number, letter]
        on = images @ projection[:, :3].T + projection[:, 3]
        residual = on - images
        off = np.linalg.norm((residual - np.round(residual)) * lengths, axis=1)
        if off.min() > symprec:
            raise SymmetryError(
                f"an atom of Z = {numbers[first]} is {off.min():.3f} Å off Wyckoff position {found.wyckoffs[first]}"
                f" of space group {number}, more than symprec {symprec} Å"
            )
        candidates = _wrap(np.round(on[off < off.min() + 1e-3], 8))
        letters.append(letter)
        coords.append(candidates[np.lexsort(candidates.T[::-1])[0]])
        elements.append(int(numbers[first]))

    cell = np.concatenate([lengths, _angles(basis)])
    sites = Templates(
        np.array([number], dtype=np.int16), cell[None], np.array([letters], dtype=np.int8), np.array([coords])
    )
    exact, order = sites.projected_with_order()
    return AsymmetricUnit(exact, [elements[i] for i in order[0]])


def _angles(basis: Floats) -> Floats:
    unit = basis / np.linalg.norm(basis, axis=1)[:, None]
    return np.degrees(np.arccos(np.clip([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]], -1, 1)))


def spacegroup_of(atoms: Atoms, symprec: float = 1e-3) -> int:
    """International Tables number that moyo finds; 0 where it finds none."""
    cell = moyopy.Cell(atoms.cell[:].tolist(), atoms.get_scaled_positions().tolist(), atoms.numbers.tolist())
    try:
        return moyopy.MoyoDataset(cell, symprec=symprec).number
    except Exception:
        return 0


def with_full_symmetry(templates: Templates, symprec: float = 1e-3) -> Templates:
    """Every template as moyo finds it, each site a species of its own: in its true group and smallest cell.

    It is the template itself, unless coordinates or the cell happen to be special and symmetry has grown: then
    it is described in the supergroup, with the same sites. Monoclinic and triclinic ones, whose lattices have many
    cells, are described in the reduced one. Where moyo finds nothing a template stays as it is.
    """
    changed: dict[int, Templates] = {}
    for group in expand(templates):
        numbers = (group.site + 1).tolist()
        for i, vectors, positions in zip(group.index, group.vectors, group.positions, strict=True):
            wrapped = np.mod(positions, 1.0)
            try:
                found = moyopy.MoyoDataset(moyopy.Cell(vectors.tolist(), wrapped.tolist(), numbers), symprec=symprec)
                grown = found.number != templates.spacegroup[i] or len(found.prim_std_cell.numbers) < len(numbers)
                if grown or found.number < 16:
                    changed[int(i)] = asymmetric_unit(vectors, wrapped, numbers, symprec).template
            except Exception:
                continue
    if not changed:
        return templates
    order = np.arange(len(templates))
    order[list(changed)] = len(templates) + np.arange(len(changed))
    return Templates.concat([templates, *changed.values()])[order]
