"""Columns that tables of relaxed crystals share."""

import numpy as np

from cgwgan_core.potentials.protocol import EnergyScale
from cgwgan_core.relaxation.descent import Relaxed
from cgwgan_core.screening.energetics import formation_energies


def energy_columns(relaxed: Relaxed, energy_scale: EnergyScale) -> dict[str, float | None]:
    """The potential's energy and the formation energy, eV/atom."""
    (formation,) = formation_energies([relaxed.atoms], [relaxed.energy_per_atom], energy_scale)
    return {
        "energy_per_atom": or_null(relaxed.energy_per_atom),
        "formation_energy_per_atom": or_null(formation),
    }


def or_null(value: float) -> float | None:
    """A number as a table has it: null where there is none."""
    return float(value) if np.isfinite(value) else None
