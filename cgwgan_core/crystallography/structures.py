"""A crystal as a row of a table, as ASE's atoms, as pymatgen's structure; and from one to another.

Rows hold ``lattice`` (vectors as rows, flattened, Å), ``numbers`` and ``frac_coords`` (flattened).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Structure

from cgwgan_core.workflow.arrays import Floats


def row_arrays(row: Mapping[str, Any]) -> tuple[Floats, list[int], Floats]:
    """Lattice vectors (3, 3) Å, atomic numbers (n,), fractional coordinates (n, 3)."""
    lattice, coords = np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3))
    return lattice, row["numbers"], coords


def row_to_atoms(row: Mapping[str, Any]) -> Atoms:
    """The crystal of a row, for ASE."""
    lattice, numbers, coords = row_arrays(row)
    return Atoms(numbers, cell=lattice, scaled_positions=coords, pbc=True)


def row_to_structure(row: Mapping[str, Any]) -> Structure:
    """The crystal of a row, for pymatgen."""
    lattice, numbers, coords = row_arrays(row)
    return Structure(lattice, numbers, coords)  # type: ignore[arg-type] # pymatgen takes atomic numbers, too


def atoms_to_row(atoms: Atoms, wrap: bool = True) -> dict[str, list[Any]]:
    """The columns of a crystal.

    :param wrap: whether coordinates are brought into [0, 1).
    """
    return {
        "lattice": atoms.cell.array.ravel().tolist(),
        "numbers": atoms.numbers.tolist(),
        "frac_coords": atoms.get_scaled_positions(wrap=wrap).ravel().tolist(),
    }


def atoms_to_structure(atoms: Atoms) -> Structure:
    """The same crystal, for pymatgen."""
    return Structure(atoms.cell.array, atoms.numbers, atoms.get_scaled_positions())
