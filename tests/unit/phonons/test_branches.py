"""Acoustic modes and optical ones, told apart by their eigenvectors."""

import numpy as np
import pytest
from ase import Atoms
from phonopy import Phonopy
from phonopy.physical_units import get_physical_units

from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.branches import ACOUSTIC, at_gamma, modes, translation_shares
from cgwgan_core.phonons.force_constants import displaced

ON_SITE, BETWEEN = 0.04, -0.0272
"""eV/Å²."""
THZ = get_physical_units().DefaultToTHz


@pytest.fixture
def pair() -> Phonopy:
    """Two atoms on springs that hold each where it is, and one between them.

    No sum rule holds here, so the rigid translation has a frequency; the optical mode is imaginary, and smaller.
    """
    atoms = Atoms("CuAu", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[3.0, 3.0, 4.0], pbc=True)
    cell, _, _ = standardise(atoms)
    phonon = displaced(cell, (1, 1, 1), 0.01)
    on_site, between = ON_SITE, BETWEEN
    constants = np.zeros((2, 2, 3, 3))
    constants[0, 0] = constants[1, 1] = (on_site + between) * np.eye(3)
    constants[0, 1] = constants[1, 0] = -between * np.eye(3)
    phonon.force_constants = constants
    return phonon


def test_a_soft_optical_mode_is_no_acoustic_one(pair: Phonopy) -> None:
    by_size = np.sort(np.abs(pair.run_qpoints([[0, 0, 0]]).frequencies[0]))
    frequencies, vectors = modes(pair, [(0, 0, 0)])
    optical = frequencies[0, :3]
    assert np.isinf(frequencies[0, 3:]).all()
    # by hand, for the relative motion: (k + k')/μ of both springs seen from the centre of mass
    m1, m2 = pair.primitive.masses
    square = ON_SITE * (m2 / m1 + m1 / m2) / (m1 + m2) + BETWEEN * (m1 + m2) / (m1 * m2)
    assert square < 0
    assert optical == pytest.approx(-THZ * np.sqrt(-square))
    assert np.abs(optical).max() < by_size[3:].min()  # the three smallest are these, the acoustic ones would be left
    shares = translation_shares(vectors[0], pair.primitive.masses)
    assert shares == pytest.approx([0, 0, 0, 1, 1, 1], abs=1e-12)


def test_the_slow_waves_near_gamma_are_acoustic(silicon: tuple[Atoms, Phonopy]) -> None:
    _, phonon = silicon
    points = [(0.02, 0, 0), (0.02, 0.02, 0.04)]
    frequencies, vectors = modes(phonon, points)
    shares = translation_shares(vectors, phonon.primitive.masses)
    assert (shares[:, :3] > 0.99).all()
    assert (shares[:, 3:] < 0.01).all()
    assert ((shares >= ACOUSTIC).sum(axis=1) == 3).all()
    assert frequencies == pytest.approx(phonon.run_qpoints(points).frequencies)


def test_gamma_and_reciprocal_lattice_vectors() -> None:
    assert at_gamma([(0, 0, 0), (1, 0, -1), (0.5, 0, 0)]).tolist() == [True, True, False]
