"""Where a descent ends, and the orbits that its symmetry makes."""

import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixSymmetry
from ase.spacegroup import crystal

from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import NEARER, STALLED, Point, Progress, Relaxation, orbits_of
from cgwgan_core.relaxation.relax import relax
from tests.support.potentials import aucu4


def test_a_relaxation_that_comes_no_nearer_ends_at_its_best_point(emt: Potential) -> None:
    """Forces are noise far above 1e-15 eV/Å."""
    start = aucu4(4.1)
    start.rattle(0.02, seed=1)
    given_up = relax(start, emt, Relaxation(1e-15, 5000))
    assert given_up.status.startswith("not converged after ")
    accepted = relax(start, emt, Relaxation(1e-15, 5000, fmax_accepted=1e-6))
    assert accepted.ok
    # not accepted, it sets off once more
    assert STALLED < accepted.n_steps < accepted.n_steps + STALLED <= given_up.n_steps < 1000
    for relaxed in (given_up, accepted):
        assert np.abs(relaxed.fmax) < 1e-8
        atoms = relaxed.atoms.copy()
        atoms.calc = emt.calculator()
        assert np.linalg.norm(atoms.get_forces(), axis=1).max() == pytest.approx(relaxed.fmax, abs=1e-12)


def test_symmetry_that_is_not_exact_is_made_so() -> None:
    """Only atoms that symmetry relates to the last digit may stand for each other."""
    rutile = crystal("TiO", [(0, 0, 0), (0.3, 0.3, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.9, 90, 90, 90])
    rutile.rattle(0.001, seed=0)
    moving = rutile.copy()
    symmetry = FixSymmetry(moving, symprec=0.01)
    assert orbits_of(moving, symmetry).tolist() == [0, 0, 1, 1, 1, 1]
    assert orbits_of(rutile, symmetry).tolist() == list(range(6))


def test_progress_is_a_smaller_gradient_or_a_clearly_lower_energy() -> None:
    copper = bulk("Cu", a=3.6)
    progress = Progress(copper, 10)
    assert progress.stalled(10 + STALLED)
    progress.take(Point(energy=-1.0, fmax=0.1, gradient=0.2), copper, 10)
    progress.take(Point(energy=-1.0 - NEARER / 2, fmax=0.3, gradient=0.4), copper, 11)
    assert progress.stalled(10 + STALLED)
    assert progress.best.gradient == 0.2
    progress.take(Point(energy=-1.0 - 2 * NEARER, fmax=0.3, gradient=0.4), copper, 12)
    assert progress.stalled(12 + STALLED)
    assert not progress.stalled(10 + STALLED)
    assert progress.best.energy == -1.0
    # many small steps down add up
    for step, energy in enumerate(np.arange(-1.0 - 2 * NEARER, -1.0 - 10 * NEARER, -0.4 * NEARER), start=13):
        progress.take(Point(energy=energy, fmax=0.3, gradient=0.4), copper, step)
    assert not progress.stalled(12 + STALLED)
    assert step - 3 <= progress._nearer <= step
    progress.take(Point(energy=-1.0, fmax=0.1, gradient=0.1), bulk("Cu", a=3.7), 13)
    assert progress.best.gradient == 0.1
    assert progress.best_atoms.get_volume() > copper.get_volume()
