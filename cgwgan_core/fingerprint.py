"""One canonical key per template, the same for every description of the same crystal.

A space group leaves freedom in how a crystal is written down: the origin may be at any of several points of
equal symmetry (or anywhere along a polar axis), axes may be exchanged or inverted, and with them Wyckoff
letters, such as 4a and 4b of Fm-3m. These changes are the affine normaliser of the group (International
Tables A, chapter 3.5). A key is the smallest description over all of them:

- the *coarse key*: space group and Wyckoff letters, equal for all templates of one prototype;
- the *fingerprint*: the coarse key, the shape of the lattice and the free coordinates, both in bins.

Equal fingerprints mean equal templates, but two that are almost equal may fall on either side of the border of a
bin: :mod:`cgwgan_core.matching` compares them.

Volume, and which element would sit where, have no part in either.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from . import spacegroups as sg
from .crystal import Templates, kinds
from .spacegroups import Floats

COORDINATE_BINS = 16
"""Bins along each axis of the unit cell."""
RATIO_BIN = 0.1
"""Width of the bins of log(b/a) and log(c/a)."""
ANGLE_BIN = 5.0
"""Width of the bins of the angles, degrees."""

_GRID = 24  # origin shifts of all normalisers are multiples of 1/8 or 1/6


@dataclass(frozen=True)
class Normaliser:
    """The changes of description x -> L x + s of one space group, one of each coset of the group itself."""

    linear: Floats
    """(Q, 3, 3), in the conventional basis."""
    shift: Floats
    """(Q, 3); zero along polar axes."""
    letters: NDArray[np.int8]
    """What each Wyckoff letter becomes, (Q, letter); -1 where the group has no such letter."""
    polar: NDArray[np.bool_]
    """Axes along which the origin is arbitrary, (3,)."""
    maps: list[list[Floats]]
    """For each change and letter: all maps (p, 3, 4) from the representative onto the representative of the new
    letter. There are several where a position's first coordinate triplet holds more than one atom of the orbit."""


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
    maps: list[list[Floats]] = [[np.zeros((0, 3, 4))] * sg.N_LETTERS for _ in range(n)]
    every = np.concatenate([np.concatenate([rotations, (shifts + c)[:, :, None]], axis=2) for c in centring])
    for q, (linear, shift) in enumerate(changes):
        for letter in np.flatnonzero(sg.MULTIPLICITY[number]):
            new, found = _landing(number, letter, linear, shift, every)
            letters[q, letter], maps[q][letter] = new, found
    return Normaliser(np.array([c[0] for c in changes]), np.array([c[1] for c in changes]), letters, polar, maps)


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


def _origins(linear: Floats, operations: Floats, centring: Floats, polar: NDArray[np.bool_]) -> list[Floats]:
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
    return np.abs(x - np.round(x)).max(axis=-1)


def _landing(number: int, letter: int, linear: Floats, shift: Floats, every: Floats) -> tuple[int, Floats]:
    """The letter that a position becomes under a change, and the maps onto its representative."""
    representative = sg.REPRESENTATIVE[number, letter]
    w = np.einsum("gij,jk,kl->gil", every[:, :, :3], linear, representative[:, :3])
    b = np.einsum("gij,j->gi", every[:, :, :3], linear @ representative[:, 3] + shift) + every[:, :, 3]
    general = np.array([0.1234567, 0.2718281, 0.3141592])
    points = w @ general + b
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


def coarse_keys(templates: Templates) -> list[str]:
    """Space group and Wyckoff letters, such as ``225:abe``, the same for every description of a prototype."""
    out = [""] * len(templates)
    for number, letters, index in kinds(templates):
        key = _coarse_key(number, tuple(letters))
        for i in index:
            out[i] = key
    return out


def _coarse_key(number: int, letters: tuple[int, ...]) -> str:
    return f"{number}:" + "".join(sg.letter_name(i) for i in smallest_letters(number, letters)[1])


@lru_cache(maxsize=65536)
def smallest_letters(number: int, letters: tuple[int, ...]) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """The changes of ``normaliser(number, other_cells=True)`` that make letters smallest, and these, sorted."""
    images = np.sort(normaliser(number, other_cells=True).letters[:, list(letters)], axis=1)
    best = images[np.lexsort(images.T[::-1])[0]]
    return np.flatnonzero((images == best).all(axis=1)), tuple(int(i) for i in best)


def equivalent_letters(number: int, letters: tuple[int, ...]) -> NDArray[np.int64]:
    """All sets of letters, each sorted, that describe the prototype that these letters describe, (n, k)."""
    images = np.sort(normaliser(number, other_cells=True).letters[:, list(letters)], axis=1)
    return np.unique(images, axis=0).astype(np.int64)


def fingerprints(templates: Templates) -> list[str]:
    """Coarse key, lattice shape and free coordinates in bins, as text; see the module."""
    out = [""] * len(templates)
    vectors = sg.cell_vectors(templates.cell)
    for number, letters, index in kinds(templates):
        changes = normaliser(number)
        images = changes.letters[:, letters]
        ordered = np.sort(images, axis=1)
        smallest = ordered[np.lexsort(ordered.T[::-1])[0]]
        coords = templates.coords[index][:, : len(letters)]
        best: NDArray[np.int64] | None = None
        for q in np.flatnonzero((ordered == smallest).all(axis=1)):
            shape = _shape(vectors[index], changes.linear[q])
            moved = [
                np.einsum("pij,nj->npi", changes.maps[q][letter][:, :, :3], coords[:, s])
                + changes.maps[q][letter][:, :, 3]
                for s, letter in enumerate(letters)
            ]
            for sites in _canonical_sites(moved, images[q], changes.polar):
                description = np.concatenate([shape, sites], axis=1)
                best = description if best is None else _smaller(best, description)
        assert best is not None  # the identity is always among the changes
        key = _coarse_key(number, tuple(letters))
        for i, row in zip(index, best.tolist(), strict=True):
            out[i] = f"{key};{','.join(str(v) for v in row[:5])};{','.join(str(v) for v in row[5:])}"
    return out


def _shape(vectors: Floats, linear: Floats) -> NDArray[np.int64]:
    """Bins of log(b/a), log(c/a) and the angles after a change of axes, (n, 5)."""
    changed = np.linalg.inv(linear).T @ vectors
    lengths = np.linalg.norm(changed, axis=2)
    unit = changed / lengths[:, :, None]
    cosines = np.stack([(unit[:, i] * unit[:, j]).sum(1) for i, j in ((1, 2), (0, 2), (0, 1))], axis=1)
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    ratios = np.log(lengths[:, 1:] / lengths[:, :1])
    return np.concatenate([np.round(ratios / RATIO_BIN), np.round(angles / ANGLE_BIN)], axis=1).astype(np.int64)


def _canonical_sites(
    moved: list[Floats], letters: NDArray[np.int8], polar: NDArray[np.bool_]
) -> list[NDArray[np.int64]]:
    """Sites as sorted numbers (n, k), once for every choice of origin along the polar axes."""

    def code(points: Floats, letter: int) -> NDArray[np.int64]:
        bins = np.round(points * COORDINATE_BINS).astype(np.int64) % COORDINATE_BINS
        number = (bins[..., 0] * COORDINATE_BINS + bins[..., 1]) * COORDINATE_BINS + bins[..., 2]
        return number.min(axis=1) + letter * COORDINATE_BINS**3

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


def _smaller(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lexicographically smaller of two arrays, row by row."""
    differ = first != second
    column = differ.argmax(axis=1)
    rows = np.arange(len(first))
    take = differ.any(axis=1) & (second[rows, column] < first[rows, column])
    return np.where(take[:, None], second, first)
