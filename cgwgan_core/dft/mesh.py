"""Meshes of k-points by density."""

import numpy as np
from ase import Atoms

MOLECULE = (2, 2, 2)
"""K-points of a molecule, around Γ (Monkhorst and Pack's for even numbers). Bands are flat, but the number of plane
waves below a cutoff jumps with the box: at Γ by 0.2 %, which is 10 meV/atom of O2 from this box to a wider one.
Crystals have many k-points, whose mean this mesh comes near. Symmetry leaves one of its points."""


def is_molecule(atoms: Atoms) -> bool:
    """Whether it is a molecule in a box: no direction is periodic. Its mesh is off Γ, and its moment is kept."""
    return not atoms.pbc.any()


def mesh(atoms: Atoms, spacing: float) -> tuple[int, int, int]:
    r"""Γ-centred mesh whose points are at most ``spacing`` apart, by VASP's rule for KSPACING.

    :math:`N_i = \max(1, \lceil |b_i| / s \rceil)`. Lattice vectors of equal length get equal numbers in spite of
    rounding: a mesh that breaks the crystal's symmetry costs many times the k-points and gives it false forces.
    A molecule gets :data:`MOLECULE`.

    :param spacing: 1/Å, with 2π.
    """
    if is_molecule(atoms):
        return MOLECULE
    lengths = 2 * np.pi * np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    a, b, c = (int(n) for n in np.maximum(1, np.ceil(np.round(lengths / spacing, 3))))
    return a, b, c
