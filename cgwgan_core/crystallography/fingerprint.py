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

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.fingerprint_arrays import Descriptions
from cgwgan_core.crystallography.templates import Templates, kinds, on_representatives
from cgwgan_core.workflow.arrays import Booleans, Floats

COORDINATE_BINS = 16
"""Bins along each axis of the unit cell."""
RATIO_BIN = 0.1
"""Width of the bins of log(b/a) and log(c/a)."""
ANGLE_BIN = 5.0
"""Width of the bins of the angles, degrees."""
STEPS = 10_000
"""Canonical descriptions compare coordinates in steps of one in so many."""

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
    linear, shift = (np.array([c[i] for c in changes]) for i in (0, 1))
    n = len(changes)
    letters = np.full((n, sg.N_LETTERS), -1, dtype=np.int8)
    offered = np.flatnonzero(sg.MULTIPLICITY[number]).tolist()
    every = np.concatenate([np.concatenate([rotations, (shifts + c)[:, :, None]], axis=2) for c in centring])
    found = {letter: _landings(number, letter, linear, shift, every) for letter in offered}
    n_maps = np.zeros((n, sg.N_LETTERS), dtype=np.int64)
    for letter, (_, q, _) in found.items():
        n_maps[:, letter] = np.bincount(q, minlength=n)
    maps = np.zeros((n, sg.N_LETTERS, n_maps.max(), 3, 4))
    for letter, (new, _, rows) in found.items():
        letters[:, letter] = new
        several = n_maps[:, letter, None]
        maps[:, letter] = rows[np.cumsum(several)[:, None] - several + np.arange(maps.shape[2]) % several]
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
    rotations = sg.operations(number)[:, :, :3]
    group = {tuple(r.ravel()) for r in rotations}
    out: list[Floats] = []
    covered: set[tuple[float, ...]] = set()
    for linear in candidates:
        if tuple(linear.ravel() + 0.0) in covered:
            continue
        conjugated = np.round(linear @ rotations @ np.linalg.inv(linear)) + 0.0
        if all(tuple(r.ravel()) in group for r in conjugated):
            out.append(linear)
            covered |= {tuple(r.ravel()) for r in np.round(linear @ rotations) + 0.0}
    return out


def _origins(linear: Floats, operations: Floats, centring: Floats, polar: Booleans) -> list[Floats]:
    """Shifts s for which (L, s) maps the group onto itself, up to lattice translations; none along polar axes.

    (L, s)(R, t)(L, s)⁻¹ = (R', Lt + s - R's) with R' = LRL⁻¹ must be an operation of the group, that is
    (1 - R')s = t' - Lt up to a centring vector.
    """
    if any(_off_lattice(linear @ c - centring).min() > 1e-6 for c in centring):
        return []
    ticks = [np.arange(1 if fixed else _GRID) for fixed in polar]
    grid = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, 3).astype(float)
    by_rotation = {tuple(op[:, :3].ravel()): op[:, 3] for op in operations}
    inverse, steps = np.linalg.inv(linear), np.round(_GRID * centring)
    for operation in operations:
        rotated = np.round(linear @ operation[:, :3] @ inverse) + 0.0
        missing = _GRID * (by_rotation[tuple(rotated.ravel())] - linear @ operation[:, 3])
        if _off_lattice(missing) > 1e-6:
            return []
        residual = (grid @ (np.eye(3) - rotated).T - np.round(missing))[:, None] - steps
        grid = grid[(residual == _GRID * np.rint(residual / _GRID)).all(axis=2).any(axis=1)]
    out: list[Floats] = []
    for shift in grid / _GRID:
        if not any(_off_lattice(shift - other - centring).min() < 1e-6 for other in out):
            out.append(shift)
    return out


def _off_lattice(x: Floats) -> Floats:
    """Largest distance of a coordinate from an integer, over the last axis."""
    off: Floats = np.abs(x - np.round(x)).max(axis=-1)
    return off


def _landings(
    number: int, letter: int, linear: Floats, shift: Floats, every: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """The letters that a position becomes under each of Q changes, (Q,); and the M different maps onto the
    representatives of these, (M, 3, 4), each after the change that it belongs to, (M,), ascending.
    """
    representative = sg.REPRESENTATIVE[number, letter]
    w = every[:, :, :3] @ (linear @ representative[:, :3])[:, None]
    b = (every[:, :, :3] @ (linear @ representative[:, 3] + shift)[:, None, :, None])[..., 0] + every[:, :, 3]
    points = w @ sg.GENERAL + b
    alike = (sg.MULTIPLICITY[number] == sg.MULTIPLICITY[number, letter]) & (
        sg.N_FREE[number] == sg.N_FREE[number, letter]
    )
    letters, lands = np.full(len(linear), -1), np.zeros(points.shape[:2], dtype=bool)
    for new in np.flatnonzero(alike):
        left = np.flatnonzero(letters < 0)
        target = sg.REPRESENTATIVE[number, new]
        on = _off_lattice(points[left] @ target[:, :3].T + target[:, 3] - points[left]) < 1e-6
        here = on.any(axis=1)
        letters[left[here]], lands[left[here]] = new, on[here]
    if (letters < 0).any():
        raise AssertionError(f"space group {number}: letter {sg.letter_name(letter)} lands nowhere")
    q, _ = np.nonzero(lands)
    rows = np.concatenate([w[lands], np.mod(np.round(b[lands], 9), 1.0)[:, :, None]], axis=2).reshape(-1, 12) + 0.0
    order = np.lexsort((*rows.T[::-1], q))
    q, rows = q[order], rows[order]
    new_map = np.r_[True, (q[1:] != q[:-1]) | (rows[1:] != rows[:-1]).any(axis=1)]
    return letters, q[new_map], rows[new_map].reshape(-1, 3, 4)


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
    from cgwgan_core.crystallography.fingerprint_kernel import smallest_bins  # noqa: PLC0415 - numba is slow to import

    out = [""] * len(templates)
    vectors = sg.cell_vectors(templates.cell)
    for number, letters, index in kinds(templates):
        key = _isopointal_type(number, tuple(letters))
        to = descriptions(number, tuple(letters))
        coords = templates.coords[index, : len(letters)]
        found = smallest_bins(to, vectors[index], coords, COORDINATE_BINS, RATIO_BIN, ANGLE_BIN)
        for i, row in zip(index.tolist(), found.tolist(), strict=True):
            out[i] = f"{key};{','.join(map(str, row[:5]))};{','.join(map(str, row[5:]))}"
    return out


def descriptions(number: int, letters: tuple[int, ...], mirror: bool = True) -> Descriptions:
    """The changes that make letters smallest, as compiled code takes them; ``mirror`` as in :func:`canonical`."""
    changes = normaliser(number, other_cells=True)
    usable = smallest_letters(number, letters, mirror)[0]
    sites = np.array(letters, dtype=np.int64)
    return Descriptions(usable, sites, turns(number), changes.letters, changes.polar, changes.maps, changes.n_maps)


@cache
def turns(number: int) -> Floats:
    """What the changes of ``normaliser(number, other_cells=True)`` multiply lattice vectors by, (Q, 3, 3)."""
    return np.ascontiguousarray(np.linalg.inv(normaliser(number, other_cells=True).linear).transpose(0, 2, 1))


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
    from cgwgan_core.crystallography.fingerprint_kernel import first_descriptions  # noqa: PLC0415 - as above

    out = Templates(templates.spacegroup, templates.cell.copy(), templates.letters.copy(), templates.coords.copy())
    order = np.repeat(np.arange(templates.letters.shape[1])[None], len(templates), axis=0)
    vectors = sg.cell_vectors(templates.cell)
    species = np.zeros(templates.letters.shape, dtype=np.int64)
    for row, z in zip(species, numbers or [], strict=False):
        row[: len(z)] = z
    for number, letters, index in kinds(templates):
        to, k = descriptions(number, tuple(letters), mirror), len(letters)
        cell, sites, coords = first_descriptions(
            to, vectors[index], templates.coords[index, :k], species[index, :k], STEPS
        )
        out.cell[index], order[index, :k], out.coords[index, :k] = cell, sites, coords
        out.letters[index, :k] = smallest_letters(number, tuple(letters), mirror)[1]
    exact = on_representatives(out.spacegroup, out.letters, out.coords)
    return Templates(out.spacegroup, sg.constrain_cell(out.spacegroup, out.cell), out.letters, exact), order


def cell_parameters(vectors: Floats) -> Floats:
    """Lengths and angles (degrees), (..., 6), of lattice vectors as rows, (..., 3, 3)."""
    lengths = np.linalg.norm(vectors, axis=-1)
    unit = vectors / lengths[..., None]
    cosines = (unit[..., [1, 0, 0], :] * unit[..., [2, 2, 1], :]).sum(axis=-1)
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))], axis=-1)
