"""One canonical key per template, the same for every description of the same crystal.

A space group leaves freedom in how a crystal is written down. The origin may be at any of several points of equal
symmetry, or anywhere along a polar axis. Axes may be exchanged or inverted, and with them Wyckoff letters, such as 4a
and 4b of Fm-3m. These changes are the affine normaliser of the group (International Tables A, chapter 3.5). A key is
the smallest description over all of them:

- the *isopointal type*: space group and Wyckoff letters, equal for all templates of one prototype;
- the *fingerprint*: the isopointal type, the shape of the lattice and the free coordinates, both in bins.

Equal fingerprints mean equal templates, but two that are almost equal may fall on either side of the border of a
bin: :mod:`cgwgan_core.crystallography.matching` compares them.

Volume, and which element would sit where, have no part in either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.templates import Templates, kinds, on_representatives
from cgwgan_core.workflow.arrays import Booleans, Floats

COORDINATE_BINS = 16
"""Bins along each axis of the unit cell."""
RATIO_BIN = 0.1
"""Width of the bins of log(b/a) and log(c/a)."""
ANGLE_BIN = 5.0
"""Width of the bins of the angles, degrees."""

_GRID = 24  # origin shifts of all normalisers are multiples of 1/8 or 1/6


# ------------------------------------------------------------------------------------------ normalisers


@dataclass(frozen=True)
class Normaliser:
    """The changes of description x -> L x + s of one space group, one of each coset of the group itself."""

    linear: Floats
    """(Q, 3, 3), in the conventional basis."""
    shift: Floats
    """(Q, 3); zero along polar axes."""
    letters: NDArray[np.int8]
    """What each Wyckoff letter becomes, (Q, letter); -1 where the group has no such letter."""
    polar: Booleans
    """Axes along which the origin is arbitrary, (3,)."""
    maps: Floats
    """From the representative of each letter onto that of the letter it becomes, (Q, letter, P, 3, 4). There are
    several maps where a position's first triplet holds more than one atom of the orbit; fewer than P are repeated."""
    n_maps: NDArray[np.int64]
    """How many of the P maps differ, (Q, letter)."""


@cache
def normaliser(number: int, other_cells: bool = False) -> Normaliser:
    """The normaliser of a space group, found by trying: axes of the lattice's own symmetry, shifts on a grid.

    :param other_cells: also changes to other cells of one lattice, of which monoclinic and triclinic groups have
        infinitely many: those that lead from one almost reduced cell to the next. They are no group.
    """
    operations = sg.operations(number)
    rotations, shifts = operations[:, :, :3], operations[:, :, 3]
    centring = sg.centring(number)
    polar = np.array([(rotations[:, :, axis] == np.eye(3)[axis]).all() for axis in range(3)])
    changes = [
        (linear, shift)
        for linear in _axes(number, other_cells)
        for shift in _origins(linear, operations, centring, polar)
    ]
    n = len(changes)
    letters = np.full((n, sg.N_LETTERS), -1, dtype=np.int8)
    offered = np.flatnonzero(sg.MULTIPLICITY[number])
    every = np.concatenate([np.concatenate([rotations, (shifts + c)[:, :, None]], axis=2) for c in centring])
    found = [[_landing(number, int(letter), linear, shift, every) for letter in offered] for linear, shift in changes]
    maps = np.zeros((n, sg.N_LETTERS, max(len(m) for row in found for _, m in row), 3, 4))
    n_maps = np.zeros((n, sg.N_LETTERS), dtype=np.int64)
    for q, row in enumerate(found):
        for letter, (new, several) in zip(offered, row, strict=True):
            letters[q, letter], maps[q, letter] = new, np.resize(several, maps.shape[2:])
            n_maps[q, letter] = len(several)
    linear, shift = (np.array([c[i] for c in changes]) for i in (0, 1))
    return Normaliser(linear, shift, letters, polar, maps, n_maps)


def _axes(number: int, other_cells: bool) -> list[Floats]:
    """Linear parts that may map the group onto itself, one of each coset of its point group, the identity first."""
    # the group whose point group is the symmetry of the lattice; axes of orthorhombic cells may be exchanged
    system = sg.crystal_system(number)
    holohedry = {"triclinic": 2, "monoclinic": 10, "tetragonal": 123, "trigonal": 191, "hexagonal": 191}.get(
        system, 221
    )
    candidates = sorted((r for r in sg.operations(holohedry)[:, :, :3]), key=lambda r: -np.trace(r))
    if system == "monoclinic":
        exchange = np.array([[0.0, 0, 1], [0, -1, 0], [1, 0, 0]])
        candidates += [exchange @ r for r in candidates]
    if other_cells and system == "monoclinic":
        signs = np.array(list(product((1.0, 0.0, -1.0, 2.0, -2.0), repeat=4))).reshape(-1, 2, 2)
        for plane in signs[np.abs(np.linalg.det(signs)).round() == 1]:
            for up in (1.0, -1.0):
                sheared = np.diag([0, up, 0])
                sheared[np.ix_([0, 2], [0, 2])] = plane
                candidates.append(sheared)
    if other_cells and system == "triclinic":
        for order in permutations(range(3)):
            candidates += [np.eye(3)[list(order)] * signs for signs in product((1.0, -1.0), repeat=3)]
    group = {tuple(r.ravel()) for r in sg.operations(number)[:, :, :3]}
    out: list[Floats] = []
    for linear in candidates:
        inverse = np.linalg.inv(linear)
        if any(tuple(np.round(np.linalg.inv(other) @ linear).ravel() + 0.0) in group for other in out):
            continue
        if all(tuple(np.round(linear @ np.reshape(r, (3, 3)) @ inverse).ravel() + 0.0) in group for r in group):
            out.append(linear)
    return out


def _origins(linear: Floats, operations: Floats, centring: Floats, polar: Booleans) -> list[Floats]:
    """Shifts s for which (L, s) maps the group onto itself, up to lattice translations; none along polar axes.

    (L, s)(R, t)(L, s)⁻¹ = (R', Lt + s - R's) with R' = LRL⁻¹ must be an operation of the group, that is
    (1 - R')s = t' - Lt up to a centring vector.
    """
    if any(_off_lattice(linear @ c - centring).min() > 1e-6 for c in centring):
        return []
    ticks = [np.zeros(1) if fixed else np.arange(_GRID) / _GRID for fixed in polar]
    grid = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    by_rotation = {tuple(op[:, :3].ravel()): op[:, 3] for op in operations}
    inverse = np.linalg.inv(linear)
    for operation in operations:
        rotated = np.round(linear @ operation[:, :3] @ inverse) + 0.0
        missing = by_rotation[tuple(rotated.ravel())] - linear @ operation[:, 3]
        residual = grid @ (np.eye(3) - rotated).T - missing
        grid = grid[_off_lattice(residual[:, None] - centring).min(axis=1) < 1e-6]
    out: list[Floats] = []
    for shift in grid:
        if not any(_off_lattice(shift - other - centring).min() < 1e-6 for other in out):
            out.append(shift)
    return out


def _off_lattice(x: Floats) -> Floats:
    """Largest distance of a coordinate from an integer, over the last axis."""
    off: Floats = np.abs(x - np.round(x)).max(axis=-1)
    return off


def _landing(number: int, letter: int, linear: Floats, shift: Floats, every: Floats) -> tuple[int, Floats]:
    """The letter that a position becomes under a change, and the maps onto its representative."""
    representative = sg.REPRESENTATIVE[number, letter]
    w = np.einsum("gij,jk,kl->gil", every[:, :, :3], linear, representative[:, :3])
    b = np.einsum("gij,j->gi", every[:, :, :3], linear @ representative[:, 3] + shift) + every[:, :, 3]
    points = w @ sg.GENERAL + b
    alike = (sg.MULTIPLICITY[number] == sg.MULTIPLICITY[number, letter]) & (
        sg.N_FREE[number] == sg.N_FREE[number, letter]
    )
    for new in np.flatnonzero(alike):
        target = sg.REPRESENTATIVE[number, new]
        on = _off_lattice(points @ target[:, :3].T + target[:, 3] - points) < 1e-6
        if on.any():
            found = np.concatenate([w[on], np.mod(np.round(b[on], 9), 1.0)[:, :, None]], axis=2)
            return int(new), np.unique(found.reshape(-1, 12), axis=0).reshape(-1, 3, 4)
    raise AssertionError(f"space group {number}: letter {sg.letter_name(letter)} lands nowhere")


# ------------------------------------------------------------------------------------------------- keys


def isopointal_types(templates: Templates) -> list[str]:
    """Space group and Wyckoff letters, such as ``225:abe``, the same for every description of a prototype."""
    out = [""] * len(templates)
    for number, letters, index in kinds(templates):
        key = _isopointal_type(number, tuple(letters))
        for i in index:
            out[i] = key
    return out


def _isopointal_type(number: int, letters: tuple[int, ...]) -> str:
    return f"{number}:" + "".join(sg.letter_name(i) for i in smallest_letters(number, letters)[1])


@lru_cache(maxsize=65536)
def smallest_letters(
    number: int, letters: tuple[int, ...], mirror: bool = True
) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """The changes of ``normaliser(number, other_cells=True)`` that make letters smallest, and these, sorted.

    :param mirror: also changes that turn a chiral crystal into its mirror image.
    """
    changes = normaliser(number, other_cells=True)
    keep = np.arange(len(changes.linear))
    # where the group itself holds mirror images, every change stands for one of either hand
    if not mirror and (np.linalg.det(sg.operations(number)[:, :, :3]) > 0).all():
        keep = np.flatnonzero(np.linalg.det(changes.linear) > 0)
    images = np.sort(changes.letters[keep][:, list(letters)], axis=1)
    best = images[np.lexsort(images.T[::-1])[0]]
    return keep[(images == best).all(axis=1)], tuple(int(i) for i in best)


def equivalent_letters(number: int, letters: tuple[int, ...]) -> NDArray[np.int64]:
    """All sets of letters, each sorted, that describe the prototype that these letters describe, (n, k)."""
    images = np.sort(normaliser(number, other_cells=True).letters[:, list(letters)], axis=1)
    return np.unique(images, axis=0).astype(np.int64)


def fingerprints(templates: Templates) -> list[str]:
    """Isopointal type, lattice shape and free coordinates in bins, as text; see the module."""
    out = [""] * len(templates)
    vectors = sg.cell_vectors(templates.cell)
    for number, letters, index in kinds(templates):
        key = _isopointal_type(number, tuple(letters))
        changes = normaliser(number, other_cells=True)
        usable = smallest_letters(number, tuple(letters))[0]
        cells = _cells(changes, usable, vectors[index])
        for members, q in _alike(_ticks(cells)[..., :1], usable):
            coords = templates.coords[index[members], : len(letters)]
            best: NDArray[np.int64] | None = None
            for change in q:
                shape = _shape(cells[members, np.flatnonzero(usable == change)[0]])
                maps = changes.maps[change]
                moved = [
                    np.einsum("pij,nj->npi", maps[letter, :, :, :3], coords[:, s]) + maps[letter, :, :, 3]
                    for s, letter in enumerate(letters)
                ]
                for sites in _canonical_sites(moved, changes.letters[change, letters], changes.polar):
                    description = np.concatenate([shape, sites], axis=1)
                    best = description if best is None else _smaller(best, description)
            assert best is not None  # the identity is always among the changes
            for i, row in zip(index[members], best.tolist(), strict=True):
                out[i] = f"{key};{','.join(str(v) for v in row[:5])};{','.join(str(v) for v in row[5:])}"
    return out


def _cells(changes: Normaliser, q: NDArray[np.int64], vectors: Floats) -> Floats:
    """Cell parameters of some lattices after some changes, (n, Q, 6)."""
    return cell_parameters(np.linalg.inv(changes.linear[q]).transpose(0, 2, 1) @ vectors[:, None])


def _ticks(cells: Floats) -> NDArray[np.int64]:
    """Size, lengths and angles of cells as whole numbers that compare, (n, Q, 7); size counts before all else."""
    size = (cells[..., :3] ** 2).sum(axis=-1, keepdims=True)
    scales = np.array([100] + [1000] * 3 + [100] * 3)
    ticks: NDArray[np.int64] = np.round(np.concatenate([size, cells], axis=-1) * scales).astype(np.int64)
    return ticks


def _alike(
    ticks: NDArray[np.int64], usable: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows of (n, Q, c) that have their smallest entries under the same of the Q changes, and these changes."""
    smallest = (ticks == _first(ticks)[:, None]).all(axis=-1)
    patterns, group = np.unique(smallest, axis=0, return_inverse=True)
    for g, pattern in enumerate(patterns):
        yield np.flatnonzero(group == g), usable[pattern]


def _shape(cells: Floats) -> NDArray[np.int64]:
    """Bins of log(b/a), log(c/a) and the angles, (n, 5), of cell parameters, (n, 6)."""
    ratios = np.log(cells[:, 1:3] / cells[:, :1])
    return np.concatenate([np.round(ratios / RATIO_BIN), np.round(cells[:, 3:] / ANGLE_BIN)], axis=1).astype(np.int64)


def _canonical_sites(moved: list[Floats], letters: NDArray[np.int8], polar: Booleans) -> list[NDArray[np.int64]]:
    """Sites as sorted numbers (n, k), once for every choice of origin along the polar axes."""

    def code(points: Floats, letter: int) -> NDArray[np.int64]:
        bins = np.round(points * COORDINATE_BINS).astype(np.int64) % COORDINATE_BINS
        number = (bins[..., 0] * COORDINATE_BINS + bins[..., 1]) * COORDINATE_BINS + bins[..., 2]
        smallest: NDArray[np.int64] = number.min(axis=1)
        return smallest + letter * COORDINATE_BINS**3

    if not polar.any():
        return [
            np.sort(np.stack([code(x, int(letter)) for x, letter in zip(moved, letters, strict=True)], axis=1), axis=1)
        ]
    out = []
    # each atom of the sites with the first letter may be the one at the origin
    for s in np.flatnonzero(letters == letters.min()):
        offsets = np.unique(np.round(moved[s][0][:, polar] - moved[s][0][:1, polar], 6), axis=0, return_index=True)[1]
        for p in offsets:
            origin = np.where(polar, moved[s][:, p : p + 1], 0.0)
            sites = [code(x - origin, int(letter)) for x, letter in zip(moved, letters, strict=True)]
            out.append(np.sort(np.stack(sites, axis=1), axis=1))
    return out


# ------------------------------------------------------------------------------- canonical descriptions


def canonical(
    templates: Templates, numbers: Sequence[Sequence[int]] | None = None, mirror: bool = True
) -> tuple[Templates, NDArray[np.int64]]:
    """Every template in that description, of all that its group's normaliser allows, which comes first.

    The first has the smallest letters, then the shortest cell, a, b, c, alpha, beta, gamma, then the smallest
    coordinates, and at last elements. So structures that are equal have equal descriptions, whatever the cell, the
    origin and the order of atoms they came in. Along polar axes the origin lies on an atom of the rarest kind. Values
    are compared rounded (0.001 Å, 0.01°, 0.0001 of an axis): within that, structures that are almost equal may fall on
    either side.

    :param numbers: atomic number of each site; without them sites have no species.
    :param mirror: whether a chiral crystal may be described by its mirror image.
    :returns: the templates, exactly on their positions, and which of the sites each site was before, (N, K).
    """
    out = Templates(templates.spacegroup, templates.cell.copy(), templates.letters.copy(), templates.coords.copy())
    order = np.repeat(np.arange(templates.letters.shape[1])[None], len(templates), axis=0)
    vectors = sg.cell_vectors(templates.cell)
    species = np.zeros(templates.letters.shape, dtype=np.int64)
    for row, z in zip(species, numbers or [], strict=False):
        row[: len(z)] = z
    for number, letters, index in kinds(templates):
        changes = normaliser(number, other_cells=True)
        usable = smallest_letters(number, tuple(letters), mirror)[0]
        cells = _cells(changes, usable, vectors[index])
        for members, q in _alike(_ticks(cells), usable):
            k = len(letters)
            # bound the memory of one step
            step = max(1, 2_000_000 // (len(q) * k * changes.maps.shape[2] * 3))
            for part in (members[i : i + step] for i in range(0, len(members), step)):
                rows = index[part]
                sites, coords = _first_sites(changes, q, letters, templates.coords[rows, :k], species[rows, :k])
                order[rows, :k] = sites
                out.coords[rows, :k] = coords
                out.letters[rows, :k] = np.sort(changes.letters[q[0], letters])
                out.cell[rows] = cells[part, np.flatnonzero(usable == q[0])[0]]
    exact = on_representatives(out.spacegroup, out.letters, out.coords)
    return Templates(out.spacegroup, sg.constrain_cell(out.spacegroup, out.cell), out.letters, exact), order


_STEPS = 10_000  # coordinates are compared in steps of one in so many


def _first_sites(
    changes: Normaliser, q: NDArray[np.int64], letters: Sequence[int], coords: Floats, species: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Floats]:
    """Of some changes the one that makes the sites of templates of one kind smallest.

    :param coords: (n, k, 3), and ``species``, (n, k).
    :returns: which site each was before, (n, k), and coordinates, (n, k, 3).
    """
    maps = changes.maps[q][:, letters]
    moved = np.einsum("qkpij,nkj->nqkpi", maps[..., :3], coords) + maps[..., 3]
    images = changes.letters[q][:, letters].astype(np.int64)
    each = np.arange(len(coords))
    best: NDArray[np.int64] | None = None
    for shift, valid in _polar_origins(moved, images, species, changes.polar):
        shifted = moved - shift[:, :, None, None]
        ticks = np.round(shifted * _STEPS).astype(np.int64) % _STEPS
        code = (ticks[..., 0] * _STEPS + ticks[..., 1]) * _STEPS + ticks[..., 2]
        p = code.argmin(axis=-1)
        code = np.take_along_axis(code, p[..., None], axis=-1)[..., 0] + images * _STEPS**3
        code[~valid] = np.iinfo(np.int64).max
        sites = np.lexsort((np.broadcast_to(species[:, None], code.shape), code), axis=-1)
        description = np.concatenate(
            [np.take_along_axis(code, sites, -1), np.take_along_axis(species[:, None] + 0 * code, sites, -1)], axis=-1
        )
        smallest = _first(description)
        choice = (description == smallest[:, None]).all(axis=-1).argmax(axis=1)
        sites = sites[each, choice]
        found = np.take_along_axis(shifted[each, choice], p[each, choice][..., None, None], axis=2)[:, :, 0]
        found = np.take_along_axis(found, sites[..., None], axis=1)
        if best is None:
            best, best_sites, best_coords = smallest, sites, found
            continue
        better = (_smaller(smallest, best) != best).any(axis=1)
        best = np.where(better[:, None], smallest, best)
        best_sites = np.where(better[:, None], sites, best_sites)
        best_coords = np.where(better[:, None, None], found, best_coords)
    assert best is not None  # the rarest kind has an atom
    return best_sites, best_coords


def _polar_origins(
    moved: Floats, images: NDArray[np.int64], species: NDArray[np.int64], polar: Booleans
) -> Iterator[tuple[Floats, Booleans]]:
    """Shifts (n, Q, 3) that put an atom of the rarest kind at the origin of the polar axes, and where they may."""
    n, q = moved.shape[:2]
    if not polar.any():
        yield np.zeros((n, q, 3)), np.ones((n, q), dtype=bool)
        return
    kind = images * 1000 + species[:, None]
    several = (kind[..., None] == kind[..., None, :]).sum(axis=-1)
    rarest = several * 100_000 + kind
    rarest = rarest == rarest.min(axis=-1, keepdims=True)
    for site in range(moved.shape[2]):
        if not rarest[:, :, site].any():
            continue
        for p in range(moved.shape[3]):
            yield np.where(polar, moved[:, :, site, p], 0.0), rarest[:, :, site]


def _first(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lexicographically smallest row of each table, (n, r, c) to (n, c)."""
    out = np.empty((len(rows), rows.shape[2]), dtype=np.int64)
    left = np.ones(rows.shape[:2], dtype=bool)
    for c in range(rows.shape[2]):
        out[:, c] = np.where(left, rows[..., c], np.iinfo(np.int64).max).min(axis=1)
        left &= rows[..., c] == out[:, c, None]
    return out


def cell_parameters(vectors: Floats) -> Floats:
    """Lengths and angles (degrees), (..., 6), of lattice vectors as rows, (..., 3, 3)."""
    lengths = np.linalg.norm(vectors, axis=-1)
    unit = vectors / lengths[..., None]
    cosines = (unit[..., [1, 0, 0], :] * unit[..., [2, 2, 1], :]).sum(axis=-1)
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))], axis=-1)


def _smaller(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lexicographically smaller of two arrays, row by row."""
    differ = first != second
    column = differ.argmax(axis=1)
    rows = np.arange(len(first))
    take = differ.any(axis=1) & (second[rows, column] < first[rows, column])
    return np.where(take[:, None], second, first)
