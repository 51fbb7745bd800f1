"""Harmonic free energy and heat capacity."""

from collections.abc import Sequence

from phonopy import Phonopy
from phonopy.physical_units import get_physical_units

TEMPERATURE = 300.0
"""K, of the thermodynamics."""


def thermodynamics(phonon: Phonopy, mesh: Sequence[int]) -> dict[str, float]:
    """Vibrational free energy (zero-point energy included) and heat capacity at :data:`TEMPERATURE`.

    Harmonic, at the volume of the static minimum. Imaginary modes, and the acoustic ones at Γ, have no part in it.

    :returns: columns of ``tables.PHONONS``.
    """
    phonon.run_mesh(mesh, is_gamma_center=True)
    found = phonon.run_thermal_properties(temperatures=[TEMPERATURE], cutoff_frequency=0.0, exclude_gamma_acoustic=True)
    assert found.free_energy is not None
    assert found.heat_capacity is not None
    n, units = len(phonon.primitive), get_physical_units()
    return {
        "vibrational_free_energy_per_atom": float(found.free_energy[0]) / (units.EvTokJmol * n),
        "heat_capacity_per_atom": float(found.heat_capacity[0]) / (1000 * units.KB * units.EvTokJmol * n),
    }
