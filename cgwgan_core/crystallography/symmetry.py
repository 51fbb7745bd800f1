"""The symmetry of a crystal, found by moyo; the one place that calls it, and that survives its panics.

Everything is in the standard setting of International Tables A: unique axis b, cell choice 1, hexagonal axes, origin
choice 2.
"""

import logging
from collections.abc import Sequence

import moyopy
import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike

from cgwgan_core.workflow.arrays import Floats

# moyo warns of every supercell, and databases are full of them
logging.getLogger("moyo").setLevel(logging.ERROR)

TIGHT = 1e-3
"""Å; tolerance for what is symmetric by construction."""


Found = moyopy.MoyoDataset
"""What moyo finds of a crystal."""


class SymmetryError(ValueError):
    """A crystal without a symmetry that can be written in the standard setting; the message says why."""


def find_symmetry(lattice: ArrayLike, positions: ArrayLike, numbers: Sequence[int], symprec: float) -> Found:
    """Moyo's dataset of a crystal.

    :param lattice: vectors as rows, (3, 3) Å.
    :param positions: fractional coordinates, (n, 3).
    :param numbers: a number for each species, (n,).
    :param symprec: tolerance, Å.
    :raises SymmetryError: if moyo finds no symmetry, or panics, as it does for a cell without atoms.
    """
    cell = moyopy.Cell(np.asarray(lattice).tolist(), np.asarray(positions).tolist(), [int(z) for z in numbers])
    try:
        return moyopy.MoyoDataset(cell, symprec=symprec, setting=moyopy.Setting.standard())
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 - moyo's panics derive from BaseException
        raise SymmetryError(f"no symmetry found at symprec {symprec} Å ({error})") from None


def spacegroup_of(atoms: Atoms, symprec: float) -> int:
    """International Tables number of a crystal at a tolerance, Å; 0 where there is none."""
    try:
        return find_symmetry(atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers, symprec).number
    except SymmetryError:
        return 0


def primitive_cell(atoms: Atoms, symprec: float) -> Atoms:
    """The crystal in its standard primitive cell, symmetric to the last digit; as it is if no symmetry is found.

    Orientation, origin and order of the atoms follow the standard setting.

    :param symprec: tolerance, Å.
    """
    try:
        cell = find_symmetry(atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers, symprec).prim_std_cell
    except SymmetryError:
        return atoms
    return Atoms(cell.numbers, scaled_positions=cell.positions, cell=cell.basis, pbc=True)


def conventional_cell(atoms: Atoms, symprec: float) -> Atoms:
    """The crystal in its standard conventional cell; parameters and the rest as in :func:`primitive_cell`."""
    try:
        cell = find_symmetry(atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers, symprec).std_cell
    except SymmetryError:
        return atoms
    return Atoms(cell.numbers, scaled_positions=cell.positions, cell=cell.basis, pbc=True)


def hermann_mauguin(number: int) -> str:
    """Short Hermann-Mauguin symbol of a space group, without blanks: ``Fm-3m``."""
    return moyopy.SpaceGroupType(number).hm_short.replace(" ", "")


def group_operations(number: int) -> tuple[Floats, Floats]:
    """Rotations, (n, 3, 3), and translations, (n, 3), of a space group in its conventional cell."""
    found = moyopy.operations_from_number(number, setting=moyopy.Setting.standard(), primitive=False)
    return np.array(found.rotations, dtype=float), np.array(found.translations)
