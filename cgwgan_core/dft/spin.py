"""Starts of the spin density: which moments a crystal may end with, found by trying.

A self-consistent calculation ends in the spin order that it starts near, so a magnetic crystal is computed from several
starts, and the lowest energy counts.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.neighborlist import neighbor_list

from cgwgan_core.crystallography.symmetry import SymmetryError, find_symmetry
from cgwgan_core.workflow.arrays import Floats

FERRO, ANTI, NONE = "FM", "AFM", "NM"
"""Names of the starts; antiferromagnetic ones are numbered."""
ORDERS = (FERRO, ANTI, NONE)
MAX_SITES = 4
"""Magnetic atoms in the cell up to which antiferromagnetic orders are tried."""
SYMPREC = 0.01
"""Å."""
_SHELLS = {
    3.0: "V Cr Mn Fe Co",
    1.5: "Ti Ni Cu Mo Tc Ru Rh Nb",
    1.0: "W Re Os Ir",
    4.0: "Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb U Np Pu",
}
MOMENTS = {symbol: moment for moment, symbols in _SHELLS.items() for symbol in symbols.split()}
"""μB at the start, of elements that may keep a moment in a crystal: those with open d or f shells."""
RADICALS = {"N": 1.3, "O": 1.42, "F": 2.2, "Cl": 2.8}
"""Å; atoms that have one of their own kind this near may share an unpaired electron, as in O2− and F2−."""
RADICAL_MOMENT = 0.5
"""μB at the start, of such an atom."""
COLLAPSED = 0.05
"""μB; a crystal all of whose moments end lower is not magnetic."""


def starts(atoms: Atoms, orders: Collection[str] = ORDERS) -> list[tuple[str, Floats]]:
    """Names and initial moments (μB per atom) of the starts of a crystal, ferromagnetic first.

    Antiferromagnetic starts are all collinear orders with as many moments up as down (one more of an odd number) that
    differ by the crystal's symmetry or by turning all moments round, of at most :data:`MAX_SITES` magnetic atoms.
    :data:`RADICALS` start with moments up in all of them. A crystal without either has one start, without moments.
    Atoms that come with moments, as those of O2 do, have no other start.

    :param orders: kinds of starts that are asked for, of :data:`ORDERS`. A crystal with none of them gets its first.
    """
    if (given := atoms.get_initial_magnetic_moments()).any():
        return [(FERRO, given)]
    moments = np.array([MOMENTS.get(symbol, 0.0) for symbol in atoms.symbols])
    sites = np.flatnonzero(moments)
    moments[_radicals(atoms)] = RADICAL_MOMENT
    none = (NONE, np.zeros(len(atoms)))
    if not moments.any():
        return [none]
    found = [(FERRO, moments)]
    if 2 <= len(sites) <= MAX_SITES:
        for number, signs in enumerate(_orders(_permutations(atoms, sites), len(sites)), start=1):
            order = np.ones(len(atoms))
            order[sites] = signs
            found.append((f"{ANTI}{number}", moments * order))
    found.append(none)
    return [one for one in found if one[0].rstrip("0123456789") in orders] or found[:1]


def _radicals(atoms: Atoms) -> list[int]:
    """Atoms that may share an unpaired electron with a neighbour of their own kind."""
    pairs = {(symbol, symbol): reach for symbol, reach in RADICALS.items()}
    return sorted(set(neighbor_list("i", atoms, pairs).tolist()))


def is_magnetic(moments: Sequence[float] | None) -> bool:
    """Whether a calculation ended with moments."""
    return moments is not None and bool(np.abs(moments).max(initial=0.0) > COLLAPSED)


def _orders(permutations: Sequence[Sequence[int]], n: int) -> Iterator[tuple[int, ...]]:
    """Sign patterns of the magnetic atoms, one of each class of equivalent ones."""
    seen: set[tuple[int, ...]] = set()
    for rest in product((1, -1), repeat=n - 1):
        signs = (1, *rest)
        if abs(sum(signs)) > n % 2 or signs in seen:
            continue
        for permutation in permutations:
            turned = tuple(signs[i] for i in permutation)
            seen |= {turned, tuple(-sign for sign in turned)}
        yield signs


def _permutations(atoms: Atoms, sites: npt.NDArray[np.intp]) -> list[list[int]]:
    """How the crystal's symmetry permutes the given atoms; the identity alone where no symmetry is found."""
    positions = atoms.get_scaled_positions()
    identity = list(range(len(sites)))
    try:
        found = find_symmetry(atoms.cell.array, positions, atoms.numbers.tolist(), SYMPREC).operations
    except SymmetryError:
        return [identity]
    permutations = [identity]
    for rotation, translation in zip(found.rotations, found.translations, strict=True):
        images = positions[sites] @ np.array(rotation, dtype=float).T + np.array(translation)
        apart = images[:, None] - positions[sites][None]
        apart -= np.round(apart)
        distances = np.linalg.norm(apart @ atoms.cell.array, axis=2)
        permutations.append(distances.argmin(axis=1).tolist())
    return permutations
