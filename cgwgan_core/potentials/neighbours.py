"""Neighbours of atoms in a periodic crystal: pairs within a cutoff, or that were within it."""

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from pymatgen.optimization.neighbors import find_points_in_spheres

from cgwgan_core.workflow.arrays import Floats, Integers

Pair = tuple[int, ...]
"""Which pair it is, wherever its atoms are: centre, neighbour, and image of the neighbour in whole cells."""


@dataclass(frozen=True)
class Neighbours:
    """Directed pairs of atoms within a cutoff, periodic images included, in order of ``centre``."""

    centre: Integers
    """(E,)"""
    neighbour: Integers
    """(E,)"""
    image: Floats
    """Lattice translation of the neighbour in whole cells, (E, 3)."""
    distance: Floats
    """(E,) Å"""

    def bonds(self, atoms: Atoms) -> Floats:
        """Vectors from each centre to its neighbour, (E, 3) Å."""
        vectors: Floats = atoms.positions[self.neighbour] - atoms.positions[self.centre] + self.image @ atoms.cell.array
        return vectors

    def moved(self, atoms: Atoms) -> "Neighbours":
        """The same pairs with the distances that they have in a crystal whose atoms or cell have moved."""
        return replace(self, distance=np.linalg.norm(self.bonds(atoms), axis=1))

    def forces(self, slopes: Floats, n_atoms: int) -> Floats:
        """Forces on atoms, (n, 3) eV/Å.

        :param slopes: gradient of the energy by the vectors of :meth:`bonds`, (E, 3) eV/Å.
        """
        forces = np.zeros((n_atoms, 3))
        np.add.at(forces, self.centre, slopes)
        np.subtract.at(forces, self.neighbour, slopes)
        return forces

    def pairs(self) -> list[Pair]:
        """Which pairs these are, in order, (E,)."""
        return list(map(tuple, np.column_stack([self.centre, self.neighbour, self.image]).astype(int).tolist()))


def neighbours(atoms: Atoms, cutoff: float, centres: Integers | None = None) -> Neighbours:
    """All pairs of a periodic crystal within ``cutoff`` Å, the atom itself left out.

    :param centres: atoms whose neighbours are looked for, ascending; ``None``: all.
    """
    positions = np.ascontiguousarray(atoms.positions, dtype=float)
    found = find_points_in_spheres(
        positions,
        positions if centres is None else positions[centres],
        r=float(cutoff),
        pbc=np.ones(3, dtype=np.int64),
        lattice=np.ascontiguousarray(atoms.cell.array, dtype=float),
        tol=1e-8,
    )
    centre = found[0] if centres is None else centres[found[0]]
    keep = (centre != found[1]) | (found[3] > 1e-8)
    return Neighbours(centre[keep], *(column[keep] for column in found[1:]))
