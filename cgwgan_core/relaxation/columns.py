"""Columns that tables of relaxed crystals share."""

import numpy as np

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.potentials.protocol import EnergyScale
from cgwgan_core.relaxation.descent import Relaxed
from cgwgan_core.screening.energetics import (
    formation_energies,
    oxygen_species,
    uncorrected_formation_energy_per_atom,
)


def energy_columns(relaxed: Relaxed, energy_scale: EnergyScale) -> dict[str, float | None]:
    """The potential's energy and the formation energy, with and without corrections of anions, eV/atom."""
    atoms = relaxed.atoms
    (formation,) = formation_energies([atoms], [relaxed.energy_per_atom], energy_scale)
    uncorrected = np.nan
    if np.isfinite(formation):
        uncorrected = uncorrected_formation_energy_per_atom(
            formula_of_atoms(atoms), formation, energy_scale, oxygen_species(atoms)
        )
    return {
        "energy_per_atom": or_null(relaxed.energy_per_atom),
        "formation_energy_per_atom": or_null(formation),
        "uncorrected_formation_energy_per_atom": or_null(uncorrected),
    }


def or_null(value: float) -> float | None:
    """A number as a table has it: null where there is none."""
    return float(value) if np.isfinite(value) else None
