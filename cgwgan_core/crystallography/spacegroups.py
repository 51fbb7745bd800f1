"""Wyckoff positions and operations of all 230 space groups, in one setting, as arrays.

The setting is that of International Tables A: unique axis b, cell choice 1, hexagonal axes for R groups,
origin choice 2. Letters, multiplicities and representatives come from ``wyckoff.csv``, operations and
centrings from moyo's tables of the same setting; tests prove that the two agree on all 1,731 positions.

Every representative is written so that each free parameter is a coordinate of its own: the coordinate x of
``(x, 2x, 1/4)`` *is* the parameter. The map ``x -> W x + w`` onto a representative is hence a projection,
and the free parameters of a position are simply its coordinates where :data:`FREE` is true.

Arrays over all groups have 231 entries so that a group's number is its index; entry 0 is unused.
"""

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cgwgan_core.crystallography.symmetry import group_operations, hermann_mauguin
from cgwgan_core.workflow.arrays import Booleans, Floats, Integers

LETTERS = "abcdefghijklmnopqrstuvwxyzA"
N_LETTERS = len(LETTERS)

MULTIPLICITY: NDArray[np.int16] = np.zeros((231, N_LETTERS), dtype=np.int16)
"""Atoms per conventional cell, (group, letter); 0 where the group has no such letter."""
REPRESENTATIVE: Floats = np.zeros((231, N_LETTERS, 3, 4))
"""Projection x -> W x + w onto the representative position, (group, letter, 3, [W | w])."""
FREE: Booleans = np.zeros((231, N_LETTERS, 3), dtype=bool)
"""Which coordinates of the representative are free parameters, (group, letter, axis)."""
GENERAL = np.array([0.1234567, 0.2718281, 0.3141592])
"""A general point: its images coincide only where symmetry makes them."""


def letter_index(letter: str) -> int:
    """Index of a Wyckoff letter: a = 0, ..., z = 25, A = 26."""
    return LETTERS.index(letter)


def letter_name(index: int) -> str:
    """Wyckoff letter of an index; the inverse of :func:`letter_index`."""
    return LETTERS[index]


def affine(text: str) -> Floats:
    """A coordinate triplet such as ``x,2x,1/4`` as a map (3, 4), [W | w].

    >>> affine("x,2x,1/4").tolist()
    [[1.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.25]]
    """
    out = np.zeros((3, 4))
    for row, part in enumerate(text.split(",")):
        for term in part.replace("-", "+-").split("+"):
            if not term:
                continue
            axis = "xyz".find(term[-1])
            if axis >= 0:
                factor = term[:-1].replace("*", "")
                out[row, axis] += {"": 1.0, "-": -1.0}.get(factor) or float(factor)
            else:
                numerator, _, denominator = term.partition("/")
                out[row, 3] += float(numerator) / float(denominator or 1)
    return out


def _load() -> None:
    with (files("cgwgan_core.crystallography") / "wyckoff.csv").open() as stream:
        for row in csv.DictReader(stream):
            key = int(row["number"]), letter_index(row["letter"])
            MULTIPLICITY[key] = int(row["multiplicity"])
            REPRESENTATIVE[key] = affine(row["representative"])
            FREE[key] = np.any(REPRESENTATIVE[key][:, :3] != 0, axis=0)


_load()

N_FREE: NDArray[np.int64] = FREE.sum(-1)
"""Number of free parameters, (group, letter)."""


CRYSTAL_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")


def crystal_system(number: int) -> str:
    """One of :data:`CRYSTAL_SYSTEMS`."""
    return CRYSTAL_SYSTEMS[np.searchsorted([2, 15, 74, 142, 167, 194, 230], number)]


def numbers_of(wanted: Iterable[int | str]) -> list[int]:
    """Space groups by number or by crystal system, as numbers, ascending.

    >>> numbers_of([1, "cubic"])[:3]
    [1, 195, 196]
    """
    names = list(wanted)
    return [number for number in range(1, 231) if number in names or crystal_system(number) in names]


def crystal_systems(numbers: ArrayLike) -> NDArray[np.str_]:
    """Crystal system of each space group, empty for 0, (N,)."""
    names = np.array(["", *(crystal_system(number) for number in range(1, 231))])
    found: NDArray[np.str_] = names[np.asarray(numbers, dtype=int)]
    return found


CELL_FREE: Booleans = np.zeros((231, 6), dtype=bool)
"""Which of a, b, c, alpha, beta, gamma are free in the conventional cell, (group, 6)."""
for _number in range(1, 231):
    CELL_FREE[_number] = {
        "triclinic": [1, 1, 1, 1, 1, 1],
        "monoclinic": [1, 1, 1, 0, 1, 0],
        "orthorhombic": [1, 1, 1, 0, 0, 0],
        "tetragonal": [1, 0, 1, 0, 0, 0],
        "trigonal": [1, 0, 1, 0, 0, 0],
        "hexagonal": [1, 0, 1, 0, 0, 0],
        "cubic": [1, 0, 0, 0, 0, 0],
    }[crystal_system(_number)]


def has_hexagonal_axes(spacegroup: Integers) -> Booleans:
    """Whether the conventional cell has hexagonal axes: trigonal and hexagonal groups, (N,)."""
    return (spacegroup >= 143) & (spacegroup <= 194)


def constrain_cell(spacegroup: Integers, cell: Floats) -> Floats:
    """Cell parameters with the dependent ones set exactly as the crystal system demands.

    :param spacegroup: numbers, (N,).
    :param cell: a, b, c (Å), alpha, beta, gamma (degrees), (N, 6).
    :returns: the constrained parameters, (N, 6); lengths that must be equal take a's value.
    """
    out = np.array(cell, dtype=np.float64)
    free = CELL_FREE[spacegroup]
    out[:, 1:3] = np.where(free[:, 1:3], out[:, 1:3], out[:, :1])
    gamma = np.where(has_hexagonal_axes(spacegroup), 120.0, 90.0)
    fixed = np.stack([np.full(len(out), 90.0), np.full(len(out), 90.0), gamma], axis=1)
    out[:, 3:] = np.where(free[:, 3:], out[:, 3:], fixed)
    return out


def cell_vectors(cell: Floats) -> Floats:
    """Lattice vectors as rows, (N, 3, 3) Å: a along x, b in the xy plane.

    :param cell: a, b, c (Å), alpha, beta, gamma (degrees), (N, 6). Angles that enclose no volume give NaN.
    """
    cosines = np.cos(np.radians(cell[:, 3:]))
    # exact zeros for right angles, so that orthogonal cells are orthogonal to the last bit
    cosines[cell[:, 3:] == 90.0] = 0.0
    ca, cb, cg = cosines.T
    sg = np.sqrt(1 - cg**2)
    out = np.zeros((len(cell), 3, 3))
    out[:, 0, 0] = cell[:, 0]
    out[:, 1, 0], out[:, 1, 1] = cell[:, 1] * cg, cell[:, 1] * sg
    y = (ca - cb * cg) / sg
    with np.errstate(invalid="ignore"):
        z = np.sqrt(1 - cb**2 - y**2)
    out[:, 2] = cell[:, 2:3] * np.stack([cb, y, z], axis=1)
    return out


def cell_volume(cell: Floats) -> Floats:
    """Volumes, (N,) Å³; NaN where the angles enclose none."""
    with np.errstate(invalid="ignore"):
        volume: Floats = np.abs(np.linalg.det(cell_vectors(cell)))
    return volume


@cache
def centring(number: int) -> Floats:
    """Centring translations of the conventional cell, (1, 2, 3 or 4, 3); the first is zero."""
    rotations, translations = group_operations(number)
    shifts = np.mod(translations[(rotations == np.eye(3)).all(axis=(1, 2))], 1.0)
    ordered: Floats = shifts[np.lexsort(shifts.T[::-1])]
    return ordered


@cache
def primitive_basis(number: int) -> Floats:
    """Primitive lattice vectors in terms of the conventional ones, as rows, (3, 3)."""
    return {
        "A": np.array([[1, 0, 0], [0, 0.5, -0.5], [0, 0.5, 0.5]]),
        "C": np.array([[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]]),
        "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
        "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
        "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
        "P": np.eye(3),
    }[hermann_mauguin(number)[0]]


@cache
def operations(number: int) -> Floats:
    """Operations of the group, one per coset of the centring translations, (n, 3, 4), the identity first."""
    rotations, translations = group_operations(number)
    _, first = np.unique(rotations.reshape(-1, 9), axis=0, return_index=True)
    first = np.sort(first)
    shifts = np.mod(translations[first], 1.0)
    return np.concatenate([rotations[first], shifts[:, :, None]], axis=2)


@cache
def orbit(number: int, letter: int) -> Floats:
    """All positions of one Wyckoff position in the *primitive* cell, as maps of the representative.

    ``positions = maps[:, :, :3] @ x + maps[:, :, 3]``, in fractional coordinates of the conventional cell.

    :param letter: index of the letter.
    :returns: (m, 3, 4), m = multiplicity / number of centring vectors; the first is the representative itself.
    :raises ValueError: if the group has no such letter.
    """
    if not MULTIPLICITY[number, letter]:
        raise ValueError(f"space group {number} has no Wyckoff letter {letter_name(letter)}")
    projection = REPRESENTATIVE[number, letter]
    general = projection[:, :3] @ GENERAL + projection[:, 3]
    shifts = centring(number)
    seen: list[Floats] = []
    maps = []
    for operation in operations(number):
        image = operation[:, :3] @ general + operation[:, 3]
        copies = np.mod(image + shifts + 1e-9, 1.0)
        if any(np.abs((copies - s + 0.5) % 1.0 - 0.5).max(axis=1).min() < 1e-6 for s in seen):
            continue
        seen.append(copies[0])
        shift = operation[:, :3] @ projection[:, 3] + operation[:, 3]
        maps.append(np.column_stack([operation[:, :3] @ projection[:, :3], shift]))
    return np.array(maps)


def conventional_orbit(number: int, letter: int) -> Floats:
    """As :func:`orbit`, in the *conventional* cell: once for each centring vector, (multiplicity, 3, 4)."""
    shifts = centring(number)
    maps = np.repeat(orbit(number, letter)[None], len(shifts), axis=0)
    maps[..., 3] += shifts[:, None]
    return maps.reshape(-1, 3, 4)
