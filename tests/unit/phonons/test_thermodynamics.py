"""Thermodynamics of a harmonic crystal."""

import pytest
from ase import Atoms
from phonopy import Phonopy

from cgwgan_core.phonons.thermodynamics import thermodynamics


def test_thermodynamics_of_silicon(silicon: tuple[Atoms, Phonopy]) -> None:
    """Heat capacity at 300 K: 19.8 J/(mol K) measured, 2.38 k_B; below the classical limit of 3."""
    found = thermodynamics(silicon[1], (8, 8, 8))
    assert found["heat_capacity_per_atom"] == pytest.approx(2.4, abs=0.15)
    assert -0.03 < found["vibrational_free_energy_per_atom"] < 0.03
