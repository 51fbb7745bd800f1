"""Force constants against springs solved by hand."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers
from ase.neighborlist import neighbor_list
from phonopy.physical_units import get_physical_units

from cgwgan_core.phonons.bands import band_columns, standardise
from cgwgan_core.phonons.force_constants import Forces, finite_displacements
from cgwgan_core.workflow.arrays import Floats

A = 4.0
MASS = atomic_masses[atomic_numbers["Cu"]]


def springs(stiffness: float) -> Forces:
    """Springs between the nearest neighbours of fcc copper, at rest at its lattice constant."""
    rest = A / np.sqrt(2)

    def forces(structures: list[Atoms]) -> list[Floats]:
        found = []
        for atoms in structures:
            i, lengths, vectors = neighbor_list("idD", atoms, 1.2 * rest)
            total = np.zeros((len(atoms), 3))
            np.add.at(total, i, stiffness * (lengths - rest)[:, None] * vectors / lengths[:, None])
            found.append(total)
        return found

    return forces


def thz(stiffness: float) -> float:
    """sqrt(k/m)/2π in THz of a stiffness in eV/Å² on a copper atom."""
    return get_physical_units().DefaultToTHz * np.sqrt(stiffness / MASS)


def test_springs_at_zone_boundary() -> None:
    """At X of fcc with springs to the 12 nearest neighbours: m ω² = 8k, and 4k twice (by hand)."""
    cell, spacegroup, path = standardise(bulk("Cu", "fcc", a=A, cubic=True))
    assert (len(cell), spacegroup) == (1, 225)
    phonon = finite_displacements(cell, springs(2.0), (2, 2, 2), 0.01)
    columns = band_columns(phonon.run_band_structure(path.legs), path)
    frequencies = np.reshape(columns["band_frequencies"], (-1, 3))
    at = columns["band_distances"].index(columns["band_ticks"][columns["band_labels"].index("X")])
    assert frequencies[at] == pytest.approx([thz(8), thz(8), thz(16)], rel=1e-3)


def test_noise_of_a_potential_gives_no_acoustic_modes_at_gamma() -> None:
    """A crystal moved as a whole feels no force, whatever drift and noise the potential has."""
    ordered = Atoms("CuAu", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[A / 2**0.5, A / 2**0.5, A], pbc=True)
    cell, spacegroup, _ = standardise(ordered)
    assert (len(cell), spacegroup) == (2, 123)
    rng = np.random.default_rng(0)

    def noisy(structures: list[Atoms]) -> list[Floats]:
        return [f + 0.02 + rng.normal(0, 0.002, f.shape) for f in springs(2.0)(structures)]

    at_gamma = finite_displacements(cell, noisy, (2, 2, 2), 0.01).run_qpoints([[0, 0, 0]]).frequencies[0]
    assert np.sort(np.abs(at_gamma))[:3] == pytest.approx([0, 0, 0], abs=1e-3)
    assert np.sort(np.abs(at_gamma))[3] > 1


def test_a_supercell_that_is_not_diagonal_has_the_same_frequencies() -> None:
    cell, _, _ = standardise(bulk("Cu", "fcc", a=A))
    doubled = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 2]])  # fits L
    at_l = [[0.5, 0.5, 0.5]]
    given = finite_displacements(cell, springs(2.0), doubled, 0.001).run_qpoints(at_l).frequencies[0]
    expected = finite_displacements(cell, springs(2.0), (2, 2, 2), 0.001).run_qpoints(at_l).frequencies[0]
    assert given == pytest.approx(expected, rel=1e-3)
