"""Sound and unsound crystals, alone and side by side."""

from itertools import count

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixSymmetry
from ase.eos import calculate_eos
from ase.filters import UnitCellFilter
from ase.optimize import BFGS

from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax, relax_together
from tests.support.potentials import aucu4


def test_finds_the_minimum_of_the_equation_of_state(emt: Potential) -> None:
    start = bulk("Cu", a=3.75)
    relaxed = relax(start, emt, Relaxation(1e-4, 200))
    reference = bulk("Cu", a=3.6)
    reference.calc = emt.calculator()
    volume, energy, _ = calculate_eos(reference, npoints=9, eps=0.02).fit()
    assert relaxed.ok
    assert relaxed.atoms.get_volume() == pytest.approx(volume, rel=1e-3)
    assert relaxed.energy_per_atom == pytest.approx(energy, abs=1e-4)
    assert relaxed.volume_ratio == pytest.approx(volume / start.get_volume(), rel=1e-3)
    assert (relaxed.spacegroup_before, relaxed.spacegroup) == (225, 225)
    assert start.cell.array == pytest.approx(bulk("Cu", a=3.75).cell.array)


def test_keeps_the_symmetry_and_finds_free_coordinates(chgnet: Potential) -> None:
    """Rutile RuO2 from a wrong axial ratio and a wrong u; Materials Project mp-825 has c/a 0.694, u 0.3054."""
    start = Atoms(
        "Ru2O4",
        scaled_positions=[
            (0, 0, 0),
            (0.5, 0.5, 0.5),
            (0.28, 0.28, 0),
            (0.72, 0.72, 0),
            (0.78, 0.22, 0.5),
            (0.22, 0.78, 0.5),
        ],
        cell=[4.7, 4.7, 3.0],
        pbc=True,
    )
    relaxed = relax(start, chgnet, Relaxation(0.01, 200))
    assert relaxed.ok
    assert (relaxed.spacegroup_before, relaxed.spacegroup) == (136, 136)
    a, _, c = relaxed.atoms.cell.lengths()
    assert c / a == pytest.approx(0.694, abs=0.01)
    scaled = relaxed.atoms.get_scaled_positions()
    u = (scaled[2] - scaled[0] + 0.5) % 1 - 0.5
    assert u == pytest.approx([0.3054, 0.3054, 0], abs=0.004)
    assert relaxed.fmax <= 0.01


@pytest.mark.parametrize(
    ("atoms", "status"),
    [
        (bulk("Cu", a=2.6), "fell apart: volume"),
        (bulk("Cu", a=4.6), "collapsed: volume"),
        (bulk("Ba", a=5.0), "failed: "),
        (Atoms("Cu2", positions=[[0, 0, 0], [0.5, 0, 0]], cell=[4, 4, 4], pbc=True), "collapsed: two atoms are"),
        (Atoms("Cu", positions=[[np.nan, 0, 0]], cell=[4, 4, 4], pbc=True), "failed: a coordinate is not"),
    ],
)
def test_unsound_crystals_are_refused_with_a_reason(emt: Potential, atoms: Atoms, status: str) -> None:
    relaxed = relax(atoms, emt, Relaxation(0.05, 200))
    assert relaxed.status.startswith(status)
    assert not relaxed.ok


def test_crystals_relax_together_as_they_do_alone(emt: Potential) -> None:
    crystals = [
        bulk("Cu", a=3.75),
        bulk("Cu", a=2.6),
        aucu4(4.1),
        Atoms("Cu", positions=[[np.nan, 0, 0]], cell=[4, 4, 4], pbc=True),
    ]
    together = dict(relax_together(crystals, emt, Relaxation(0.05, 200)))
    assert sorted(together) == [0, 1, 2, 3]
    for i, atoms in enumerate(crystals):
        alone = relax(atoms, emt, Relaxation(0.05, 200))
        assert together[i].status == alone.status
        assert together[i].n_steps == alone.n_steps
        assert together[i].energy_per_atom == pytest.approx(alone.energy_per_atom, abs=1e-9, nan_ok=True)
        if i != 3:
            assert together[i].atoms.positions == pytest.approx(alone.atoms.positions, abs=1e-9)


def test_the_optimiser_is_that_of_ase(emt: Potential) -> None:
    """Step by step what ASE's own loop does."""
    start = aucu4(4.1)
    moving = start.copy()
    moving.calc = emt.calculator()
    moving.set_constraint(FixSymmetry(moving, symprec=0.01))
    optimiser = BFGS(UnitCellFilter(moving), logfile=None)
    assert optimiser.run(fmax=0.01, steps=200)
    relaxed = relax(start, emt, Relaxation(0.01, 200))
    assert relaxed.n_steps == optimiser.nsteps
    assert relaxed.atoms.cell.array == pytest.approx(moving.cell.array, abs=1e-9)
    assert relaxed.energy_per_atom == pytest.approx(moving.get_potential_energy() / len(moving), abs=1e-9)


def test_a_crystal_beside_others_is_given_up_after_its_own_time(
    emt: Potential, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that ticks once a minute, an evaluation lasts a minute: 32 parts of 33 are the larger crystal's."""
    done = relax(bulk("Cu", a=3.6), emt, Relaxation(1e-4, 200)).atoms
    crystals = [bulk("Cu", a=3.7, cubic=True).repeat(2), done]
    ticks = count(0.0, 60.0)
    monkeypatch.setattr("cgwgan_core.relaxation.relax.time.monotonic", lambda: next(ticks))
    found = dict(relax_together(crystals, emt, Relaxation(1e-3, 200, max_minutes=0.5)))
    assert found[0].status == "refused: takes longer than max_minutes (0.5)"
    assert found[1].ok
    assert [found[0].minutes, found[1].minutes] == pytest.approx([32 / 33, 1 / 33])


def test_unconverged_crystals_are_refused(emt: Potential) -> None:
    relaxed = relax(bulk("Cu", a=3.8), emt, Relaxation(1e-4, 2))
    assert relaxed.status.startswith("not converged after 2 steps")
    assert relaxed.n_steps == 2
    assert np.isfinite(relaxed.energy_per_atom)
