"""Well-known crystals, as templates, as structures and as rows of tables."""

from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Lattice, Structure

from cgwgan_core.crystallography.structures import atoms_to_structure, row_to_atoms
from cgwgan_core.crystallography.templates import Templates


def perovskite_template(a: float = 3.9) -> Templates:
    """Pm-3m with sites 1a, 1b and 3c."""
    return Templates(
        np.array([221], np.int16),
        np.array([[a, a, a, 90, 90, 90.0]]),
        np.array([[0, 1, 2]], np.int8),
        np.array([[[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]]]),
    )


def perovskite(a: float = 4.0, symbols: tuple[str, ...] = ("Ba", "Ru", "O")) -> Structure:
    """Pm-3m with these elements on 1a, 1b and 3c."""
    return Structure.from_spacegroup(221, Lattice.cubic(a), symbols, [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])


def perovskite_atoms(a: float, symbols: tuple[str, ...]) -> Atoms:
    """As :func:`perovskite`, for ASE."""
    return row_to_atoms(crystal_row(perovskite(a, symbols)))


def crystal_row(crystal: Structure | Atoms, **columns: Any) -> dict[str, Any]:
    """The columns that tables have of a crystal, and others."""
    structure = crystal if isinstance(crystal, Structure) else atoms_to_structure(crystal)
    return {
        "formula": structure.composition.reduced_formula,
        "lattice": structure.lattice.matrix.ravel().tolist(),
        "numbers": list(structure.atomic_numbers),
        "frac_coords": structure.frac_coords.ravel().tolist(),
        **columns,
    }
