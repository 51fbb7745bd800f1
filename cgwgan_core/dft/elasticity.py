"""Elastic constants of a crystal by DFT, the way the judge's are computed (:mod:`cgwgan_core.phonons.elasticity`).

Cells strained with the atoms carried along are computed by DFT; how the atoms follow is told by the force constants at
Γ, which the phonons have computed. So no strained cell is relaxed.
"""

from typing import Any

import numpy as np
from ase import Atoms

from cgwgan_core.dft.calculation import CONVERGED
from cgwgan_core.dft.descent import Evaluate
from cgwgan_core.dft.phonons import DFTPhonons, compute_all
from cgwgan_core.phonons.elasticity import eigenvalues, elastic_constants, elasticity, strained_cells
from cgwgan_core.workflow.errors import first_line

STRAIN = 0.005
"""Size of each strain, both ways: twice a potential's, as DFT's stress is less sharp."""
COLUMNS = (
    *("elasticity", "elastic_tensor", "elastic_eigenvalues"),
    *("mechanically_stable", "bulk_modulus", "shear_modulus"),
)
"""Of ``tables.DFT_PHONONS``."""


def elasticity_by_dft(evaluate: Evaluate, atoms: Atoms, at_gamma: DFTPhonons) -> dict[str, Any]:
    """Elastic constants of a relaxed crystal.

    :param evaluate: gives forces and stress of a cell; with one mesh for all.
    :param atoms: idealised primitive cell at rest, with its magnetic moments as start.
    :param at_gamma: its phonons in the primitive cell.
    :returns: :data:`COLUMNS`; whatever fails is told in ``elasticity``.
    """
    if at_gamma.phonon is None:
        return {"elasticity": f"no phonons at Γ: {at_gamma.status}"}
    status, found = compute_all(strained_cells(atoms, STRAIN), evaluate)
    if status != CONVERGED:
        return {"elasticity": status}
    if any(outcome.stress is None for outcome in found):
        return {"elasticity": "failed: the calculation gives no stress"}
    stresses, forces = [np.array(one.stress) for one in found], [np.array(one.forces) for one in found]
    try:
        columns = elasticity(atoms, elastic_constants(atoms, at_gamma.phonon, stresses, forces, STRAIN))
    except (ValueError, np.linalg.LinAlgError) as error:  # a crystal's failure is a row
        return {"elasticity": f"failed: {first_line(error)}"}
    tensor = np.reshape(columns["elastic_tensor"], (6, 6))
    columns |= {"elasticity": CONVERGED, "elastic_eigenvalues": eigenvalues(tensor).tolist()}
    return {name: columns[name] for name in COLUMNS}
