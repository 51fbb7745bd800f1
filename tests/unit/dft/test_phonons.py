"""Phonons by an engine that is a potential, against the potential's own; magnetic moments; what stops early."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from cgwgan_core.dft.calculation import CONVERGED, Outcome
from cgwgan_core.dft.phonons import gamma_first, phonons_by_dft, phonons_in
from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.commensurate import commensurate_supercell
from cgwgan_core.phonons.force_constants import finite_displacements, forces_by
from cgwgan_core.phonons.phonons import PhononOptions, phonons
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax
from cgwgan_core.workflow.arrays import Floats
from tests.support.dft import PotentialAsEngine
from tests.support.potentials import aucu4

OPTIONS = PhononOptions(min_length=None, supercell=(2, 2, 2), displacement=0.01, max_atoms=100)


def at_rest(atoms: Atoms, potential: Potential) -> Atoms:
    relaxed = relax(atoms, potential, Relaxation(1e-4, 500))
    assert relaxed.ok
    return standardise(relaxed.atoms)[0]


def ordered(a: float = 3.75) -> Atoms:
    """Cu3Au; EMT's is stable."""
    places = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    return Atoms("AuCu3", scaled_positions=places, cell=[a] * 3, pbc=True)


@pytest.fixture(scope="module")
def alloy(emt: Potential) -> Atoms:
    return at_rest(ordered(), emt)


def own(atoms: Atoms, potential: Potential, q: Floats) -> Floats:
    """The potential's own frequencies, in the program's own way."""
    phonon = finite_displacements(atoms, forces_by(potential), (2, 2, 2), 0.01)
    frequencies: Floats = phonon.run_qpoints(q).frequencies
    return frequencies


def test_frequencies_are_the_potentials_own(alloy: Atoms, emt: Potential) -> None:
    found = phonons_in(PotentialAsEngine(emt), alloy, (2, 2, 2), OPTIONS, 100)
    assert (found.status, found.verdict, found.supercell) == (CONVERGED, "stable", (2, 0, 0, 0, 2, 0, 0, 0, 2))
    assert found.phonon is not None
    assert found.q is not None
    q = np.array([(0.5, 0, 0), (0.5, 0.5, 0), (0.5, 0.5, 0.5), (0, 0, 0)])
    assert found.phonon.run_qpoints(q).frequencies == pytest.approx(own(alloy, emt, q), abs=1e-3)
    optical = own(alloy, emt, q)
    assert found.min_frequency == pytest.approx(min(optical[:3].min(), optical[3, 3]), abs=1e-3)
    assert own(alloy, emt, np.array([found.q])).min() == pytest.approx(found.min_frequency, abs=1e-3)


def test_the_lowest_mode_of_a_real_potential_is_that_of_its_phonons() -> None:
    """Where the lowest frequency of all q-points is at one that fits; rock salt of SevenNet-0."""
    potential = load(PotentialOptions(name="sevennet-0"))
    salt = bulk("BaO", "rocksalt", a=5.6)
    result = phonons(salt, potential, replace(OPTIONS, fmax=1e-3))
    assert result.atoms is not None
    assert result.phonon is not None
    found = phonons_by_dft(PotentialAsEngine(potential), result.atoms, OPTIONS, 100)
    assert found.status == CONVERGED
    assert found.phonon is not None
    fitting = np.array(np.meshgrid(*3 * [[0, 0.5]])).reshape(3, -1).T
    expected = result.phonon.run_qpoints(fitting).frequencies
    assert found.phonon.run_qpoints(fitting).frequencies == pytest.approx(expected, abs=1e-3)
    assert found.min_frequency == pytest.approx(expected[expected > 0.1].min(), abs=1e-3)


@pytest.mark.parametrize("q", [(0.5, 0.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.5, 0.5)])
def test_points_of_the_boundary_in_two_cells(alloy: Atoms, emt: Potential, q: tuple[float, float, float]) -> None:
    """Skewed cells of two have the frequencies of the eightfold one."""
    found = phonons_in(PotentialAsEngine(emt), alloy, commensurate_supercell(q, 2), OPTIONS, 100)
    assert found.phonon is not None
    assert found.phonon.run_qpoints([q]).frequencies == pytest.approx(own(alloy, emt, np.array([q])), abs=1e-3)
    lowest = min(own(alloy, emt, np.array([q])).min(), own(alloy, emt, np.zeros((1, 3)))[0, 3])
    assert found.q in {q, (0, 0, 0)}
    assert found.min_frequency == pytest.approx(lowest, abs=1e-3)


def test_gamma_and_each_kind_of_boundary_point_come_first(alloy: Atoms, emt: Potential) -> None:
    engine = PotentialAsEngine(emt)
    found = gamma_first(engine, alloy, OPTIONS, 100)
    assert (found.status, found.verdict) == (CONVERGED, "stable")
    at_rest_and_boundary = {len(atoms) for atoms in engine.computed}
    assert at_rest_and_boundary == {4, 8}
    whole = phonons_by_dft(engine, alloy, OPTIONS, 100)
    assert {len(atoms) for atoms in engine.computed} == {4, 8, 32}
    assert whole.min_frequency == pytest.approx(found.min_frequency, abs=1e-3)
    assert whole.n_displacements > found.n_displacements > 3


def test_unstable_at_gamma_needs_no_supercell(emt: Potential) -> None:
    perovskite = at_rest(aucu4(4.1), emt)
    engine = PotentialAsEngine(emt)
    found = phonons_by_dft(engine, perovskite, OPTIONS, 100)
    assert (found.status, found.verdict, found.q) == (CONVERGED, "unstable", (0, 0, 0))
    assert found.min_frequency is not None
    assert found.min_frequency < OPTIONS.borderline
    assert found.n_displacements == len(engine.computed) - 1
    assert {len(atoms) for atoms in engine.computed} == {5}
    assert found.min_frequency == pytest.approx(own(perovskite, emt, np.zeros((1, 3))).min(), abs=1e-2)
    assert found.row()["supercell"] == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_one_atom_has_no_mode_at_gamma(emt: Potential) -> None:
    copper = at_rest(bulk("Cu", a=3.6), emt)
    at_gamma = phonons_in(PotentialAsEngine(emt), copper, (1, 1, 1), OPTIONS, 100)
    assert (at_gamma.status, at_gamma.verdict, at_gamma.min_frequency, at_gamma.q) == (CONVERGED, "stable", None, None)
    found = gamma_first(PotentialAsEngine(emt), copper, OPTIONS, 100)
    assert found.q is not None
    boundary = own(copper, emt, np.array([(0.5, 0, 0), (0.5, 0.5, 0)]))  # L and X
    assert found.min_frequency == pytest.approx(boundary.min(), abs=5e-3)  # displaced in another direction


def test_magnetic_moments_are_carried_and_count(emt: Potential) -> None:
    """Antiferromagnetic layers of fcc make a tetragonal crystal; every supercell has the moments at the right atoms."""
    copper = Atoms("Cu4", scaled_positions=ordered().get_scaled_positions(), cell=[3.59] * 3, pbc=True)
    engine = PotentialAsEngine(emt)
    found = phonons_in(engine, copper, (2, 2, 2), OPTIONS, 200)
    assert found.phonon is not None
    assert len(found.phonon.symmetry.pointgroup_operations) == 48
    assert not any(atoms.get_initial_magnetic_moments().any() for atoms in engine.computed)
    layered = copper.copy()
    layered.set_initial_magnetic_moments([2, -2, -2, 2])
    engine = PotentialAsEngine(emt)
    found = phonons_in(engine, layered, (2, 2, 2), OPTIONS, 200)
    assert found.phonon is not None
    assert len(found.phonon.symmetry.pointgroup_operations) == 16
    assert len(engine.computed) == found.n_displacements + 1
    for atoms in engine.computed:
        layer = np.round(2 * atoms.positions[:, 2] / 3.59).astype(int) % 2  # z = 0 and 1/2
        assert atoms.get_initial_magnetic_moments() == pytest.approx(np.where(layer == 0, 2, -2))


def test_what_stops_says_why(alloy: Atoms, emt: Potential) -> None:
    engine = PotentialAsEngine(emt)
    refused = phonons_in(engine, alloy, (3, 3, 3), OPTIONS, 100)
    assert refused.status == "refused: 108 atoms in the supercell, more than max_atoms (100)"
    assert phonons_in(engine, alloy, (2, 2, 2), OPTIONS, 1).status.startswith("refused: 2 displacements, more than 1")
    assert not engine.computed

    def waits(atoms: Atoms) -> Outcome:
        return engine(atoms) if len(atoms) < 32 else Outcome("waiting: no vasp here")

    waiting = phonons_by_dft(waits, alloy, OPTIONS, 100)
    assert waiting.status == "waiting: no vasp here (3 of 3 supercells)"
    assert (waiting.verdict, waiting.min_frequency is not None) == (None, True)
    asked = []

    def fails(atoms: Atoms) -> Outcome:
        asked.append(atoms)
        return Outcome("failed: no convergence")

    failed = phonons_by_dft(fails, alloy, OPTIONS, 100)
    assert (failed.status, failed.min_frequency, len(asked)) == ("failed: no convergence", None, 1)
    assert phonons_in(engine, Atoms(), (1, 1, 1), OPTIONS, 100).status.startswith("failed: ")
