"""A crystal with its force constants."""

import pytest
from ase import Atoms
from ase.build import bulk
from phonopy import Phonopy

from cgwgan_core.phonons.phonons import PhononOptions, phonons
from cgwgan_core.potentials.protocol import Potential


@pytest.fixture(scope="session")
def silicon(chgnet: Potential) -> tuple[Atoms, Phonopy]:
    """The relaxed primitive cell, and its force constants."""
    result = phonons(bulk("Si", "diamond", a=5.43), chgnet, PhononOptions(min_length=None, fmax=0.001))
    assert result.atoms is not None
    assert result.phonon is not None
    return result.atoms, result.phonon
