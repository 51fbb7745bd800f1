"""Equivalent atoms of a crystal: the first atom of each orbit can stand for all."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from cgwgan_core.crystallography.symmetry import SymmetryError, find_symmetry
from cgwgan_core.workflow.arrays import Floats, Integers

EXACT = 1e-4
"""How far an atom may be from where an operation puts another one, in Å; and an operation from a rotation."""


@dataclass(frozen=True)
class Orbits:
    """Which atoms of a crystal (n) are equivalent, and how."""

    number: Integers
    """Number of each atom's orbit, from 0 on, (n,)."""
    rotations: Floats
    """Cartesian rotation that takes the first atom of an orbit, and all around it, to each atom, (n, 3, 3); the
    identity where it has not been looked for."""

    @classmethod
    def numbered(cls, number: Integers) -> "Orbits":
        """Orbits whose rotations do not matter, as atoms have no other features than invariant ones."""
        return cls(number, np.repeat(np.eye(3)[None], len(number), axis=0))

    @classmethod
    def single(cls, n_atoms: int) -> "Orbits":
        """An orbit for every atom."""
        return cls.numbered(np.arange(n_atoms))

    @property
    def first(self) -> Integers:
        """The first atom of each orbit, in the order of their numbers, (k,)."""
        return np.unique(self.number, return_index=True)[1]


def under_rotations(atoms: Atoms, number: Integers, reflections: bool = False) -> Orbits:
    """The orbits of a crystal under its rotations and translations.

    :param number: orbits that these must not go beyond, such as those of the symmetry that is kept, (n,).
    :param reflections: whether reflections and inversions count, too; :attr:`Orbits.rotations` then holds them.
    :returns: the same orbits or smaller ones; single atoms where no symmetry is found.
    """
    single = Orbits.single(len(atoms))
    if number.max() + 1 == len(atoms):
        return single
    turns, landing = _operations(atoms, number, reflections)
    found, rotations, count = np.full(len(atoms), -1), single.rotations, 0
    for i in range(len(atoms)):
        if found[i] >= 0:
            continue
        found[i] = count
        for turn, j in zip(turns, landing[:, i].tolist(), strict=True):
            if found[j] < 0:
                found[j], rotations[j] = count, turn
        count += 1
    return Orbits(found, rotations)


def _operations(atoms: Atoms, number: Integers, reflections: bool) -> tuple[Floats, Integers]:
    """Cartesian rotations, (g, 3, 3), and the atom on which each puts each, (g, n)."""
    cell, positions = atoms.cell.array, atoms.get_scaled_positions(wrap=False)
    try:
        operations = find_symmetry(cell, positions, atoms.numbers, EXACT).operations
    except SymmetryError:
        return np.zeros((0, 3, 3)), np.zeros((0, len(atoms)), dtype=int)
    turns, shifts = np.array(operations.rotations, dtype=float), np.array(operations.translations)
    images = positions @ turns.transpose(0, 2, 1) + shifts[:, None]
    gaps = images[:, :, None] - positions
    distances = np.linalg.norm((gaps - np.round(gaps)) @ cell, axis=-1)
    landing = distances.argmin(axis=-1)
    cartesian = cell.T @ turns @ np.linalg.inv(cell.T)
    off = np.abs(cartesian @ cartesian.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    exact = (distances.min(axis=-1) < EXACT).all(axis=1) & (off < EXACT)
    proper = reflections | (np.linalg.det(turns) > 0)
    good = exact & proper & (number[landing] == number).all(axis=1)
    left, _, right = np.linalg.svd(cartesian[good])
    return left @ right, landing[good]
