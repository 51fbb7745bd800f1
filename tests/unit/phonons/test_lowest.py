"""The lowest frequency that counts, for a chain whose frequencies are known at every q."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from phonopy import Phonopy
from phonopy.phonon.band_structure import BandStructure
from phonopy.physical_units import get_physical_units

from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.force_constants import Forces, finite_displacements
from cgwgan_core.phonons.lowest import LowestMode, borne_out, lowest_modes
from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.workflow.arrays import Floats
from tests.unit.phonons.test_force_constants import A, springs, thz

EDGE = 3.0
STIFF = np.eye(6) * 1000.0
"""GPa; elastic constants with which every sound wave is fast."""
SOFT = np.eye(6) * 0.01
"""GPa; elastic constants that are zero within the noise of a potential."""
RANK = PhononOptions().rank


def chain(*stiffness: float) -> Forces:
    """Atoms in rows along x, on springs to the first, second, ... neighbours: m ω² = 2 Σ k_n (1 - cos nθ)."""

    def forces(structures: list[Atoms]) -> list[Floats]:
        found = []
        for atoms in structures:
            places = np.round(atoms.positions[:, 0] / EDGE).astype(int)
            moved = np.zeros(len(atoms))
            moved[places] = atoms.positions[:, 0] - EDGE * places
            total = np.zeros((len(atoms), 3))
            for n, k in enumerate(stiffness, start=1):
                total[:, 0] += (k * (np.roll(moved, n) + np.roll(moved, -n) - 2 * moved))[places]
            found.append(total)
        return found

    return forces


def true_square(q: float, *stiffness: float) -> float:
    """m ω² of the chain at a wave vector, eV/Å²."""
    return 2 * sum(k * (1 - np.cos(2 * np.pi * n * q)) for n, k in enumerate(stiffness, start=1))


def judged(stiffness: tuple[float, ...], tensor: Floats) -> tuple[LowestMode, LowestMode, Phonopy]:
    cell, _, _ = standardise(Atoms("Cu", cell=[EDGE, EDGE + 0.1, EDGE + 0.2], pbc=True))
    phonon = finite_displacements(cell, chain(*stiffness), (4, 1, 1), 0.01)
    bands = phonon.run_band_structure([np.linspace((0.01, 0, 0), (0.5, 0, 0), 50)])
    return *lowest_modes(phonon, bands, (8, 1, 1), (4, 1, 1), lambda: tensor, RANK), phonon


DIPS = (1.0, -0.35, 0.05)
"""Real at every q; four cells take the third neighbour for the first, and interpolate imaginary modes near Γ."""
NARROW = (1.0, -0.3, 0.05)
"""As these, and none of the imaginary modes is nearer to another q-point that fits than to Γ."""
FALLS = (1.0, -0.35)
"""Imaginary near Γ in truth, real at the q-points that fit four cells."""


def test_the_chains_are_what_they_are_said_to_be() -> None:
    q = np.linspace(0.01, 0.5, 50)
    assert min(true_square(x, *DIPS) for x in q) > 0
    assert min(true_square(x, *NARROW) for x in q) > 0
    assert min(true_square(x, *FALLS) for x in q) < 0
    assert min(true_square(x, *FALLS) for x in (0.25, 0.5)) > 0


def test_an_acoustic_dip_that_sound_contradicts_does_not_count() -> None:
    everywhere, fitting, _ = judged(NARROW, STIFF)
    assert everywhere.refuted is not None
    assert everywhere.refuted < -0.2
    assert everywhere.frequency > -1e-3
    assert fitting.frequency > -1e-3
    assert fitting.exact


@pytest.mark.parametrize("tensor", [SOFT, np.diag([-1000.0, *5 * [1000.0]])])
def test_it_counts_where_sound_is_imaginary_too(tensor: Floats) -> None:
    everywhere, fitting, _ = judged(NARROW, tensor)
    assert everywhere.refuted is None
    assert everywhere.frequency < -0.2
    assert (everywhere.acoustic, everywhere.exact) == (True, False)
    assert fitting.frequency > -1e-3


def test_a_supercell_that_fits_refutes_what_is_interpolated() -> None:
    everywhere, fitting, phonon = judged(DIPS, SOFT)
    found = borne_out(everywhere, fitting, phonon, chain(*DIPS), 8, 0.01, RANK)
    assert found.frequency == pytest.approx(fitting.frequency, abs=1e-3)
    assert found.exact
    assert found.refuted == everywhere.frequency
    # no supercell of six cells has an imaginary mode: nothing can be computed
    assert borne_out(everywhere, fitting, phonon, chain(*DIPS), 6, 0.01, RANK) == everywhere


@pytest.mark.parametrize("tensor", [SOFT, STIFF])
def test_a_supercell_that_fits_bears_out_a_true_one_whatever_sound_says(tensor: Floats) -> None:
    everywhere, fitting, phonon = judged(FALLS, tensor)
    found = borne_out(everywhere, fitting, phonon, chain(*FALLS), 8, 0.01, RANK)
    assert found.exact
    assert found.acoustic
    assert found.refuted is None
    denominator = round(1 / abs(found.q[0]))
    assert denominator in (7, 8)
    assert found.frequency == pytest.approx(-thz(-true_square(1 / denominator, *FALLS)), rel=1e-3)


def test_the_lowest_of_springs_on_path_mesh_and_fitting_points() -> None:
    cell, _, path = standardise(bulk("Cu", "fcc", a=A))

    def lowest(stiffness: float, legs: list[Floats], mesh: tuple[int, int, int]) -> LowestMode:
        phonon = finite_displacements(cell, springs(stiffness), (2, 2, 2), 0.01)
        bands: BandStructure = phonon.run_band_structure(legs)
        return lowest_modes(phonon, bands, mesh, (2, 2, 2), lambda: STIFF, RANK)[0]

    real = lowest(2.0, path.legs, (1, 1, 1))
    assert real.frequency > 0
    assert real.acoustic
    assert np.abs(real.q).max() > 0.005
    imaginary = lowest(-2.0, path.legs, (4, 4, 4))
    assert imaginary.frequency == pytest.approx(-thz(16), rel=1e-3)
    assert np.sort(np.abs(imaginary.q)) == pytest.approx([0, 0.5, 0.5])
    assert imaginary.exact
    # a short path and no mesh: the points that fit are looked at all the same
    short = [np.array([[0, 0, 0], [0.05, 0.05, 0.05]])]
    assert lowest(-2.0, short, (1, 1, 1)).frequency == pytest.approx(-thz(16), rel=1e-3)


def test_units_of_the_chain() -> None:
    assert thz(1.0) == pytest.approx(get_physical_units().DefaultToTHz / np.sqrt(63.546), rel=1e-4)


def test_nothing_is_refuted_where_the_verdict_does_not_hang_on_it() -> None:
    """Imaginary at 1/2 as well: the crystal is unstable whatever the modes near Γ are."""
    everywhere, fitting, _ = judged((-0.5, -0.3), STIFF)
    assert everywhere.refuted is None
    assert RANK(fitting.frequency) == RANK(everywhere.frequency) == 2
