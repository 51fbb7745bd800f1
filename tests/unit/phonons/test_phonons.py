"""Verdicts on whole crystals, with a real potential."""

import dataclasses

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from cgwgan_core.phonons.phonons import PhononOptions, phonons
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.workflow.errors import InputError
from tests.support.crystals import perovskite_atoms


def test_verdicts_name_their_potential(chgnet: Potential) -> None:
    stable = phonons(bulk("MgO", "rocksalt", a=4.25, cubic=True), chgnet, PhononOptions())
    assert (stable.status, stable.verdict, stable.potential) == ("ok", "stable", chgnet.name)
    assert (stable.spacegroup, len(stable.atoms), stable.n_displacements) == (225, 2, 2)
    assert stable.min_frequency > 0
    assert stable.supercell == (4, 4, 4)  # edges of 3.0 Å
    assert len(stable.force_constants) == 2 * 128 * 9
    assert stable.properties["mechanically_stable"]
    assert 100 < stable.properties["bulk_modulus"] < 170  # GPa; 163 measured
    places = np.array(stable.row("MgO", PhononOptions())["frac_coords"])
    assert ((places >= 0) & (places < 1)).all()
    unstable = phonons(perovskite_atoms(4.03, ("Ba", "Ti", "O")), chgnet, PhononOptions(min_length=None))
    assert (unstable.status, unstable.verdict) == ("ok", "unstable")
    assert unstable.min_frequency < -3
    assert unstable.min_frequency_q == [0, 0, 0]  # the ferroelectric mode
    assert (unstable.lowest_is_acoustic, unstable.lowest_is_exact) == (False, True)
    assert (stable.lowest_is_acoustic, stable.lowest_is_exact) == (True, False)  # next to Γ
    assert unstable.properties == {}
    lenient = phonons(perovskite_atoms(4.03, ("Ba", "Ti", "O")), chgnet, PhononOptions(min_length=None, borderline=-20))
    assert (lenient.verdict, lenient.min_frequency) == ("borderline", unstable.min_frequency)
    assert lenient.row("a", PhononOptions(borderline=-20))["paper_stable"] is False


def test_too_large_a_supercell_is_refused(chgnet: Potential) -> None:
    result = phonons(perovskite_atoms(4.03, ("Ba", "Ti", "O")), chgnet, PhononOptions(min_length=None, max_atoms=39))
    assert result.status == "refused: 40 atoms in the supercell, more than max_atoms (39)"
    assert result.verdict is None


@pytest.mark.parametrize(
    ("lowest", "verdict"),
    [(0.1, "stable"), (-0.1, "stable"), (-0.11, "borderline"), (-0.5, "borderline"), (-0.51, "unstable")],
)
def test_three_verdicts(lowest: float, verdict: str) -> None:
    assert PhononOptions().verdict(lowest) == verdict


def test_supercell_by_length() -> None:
    cell = Atoms("Cu", cell=[2.6, 5.0, 12.0], pbc=True)
    assert PhononOptions(min_length=10.0).repeats(cell) == (4, 2, 1)
    assert PhononOptions(min_length=12.0).repeats(cell) == (6, 4, 1)
    # even repeats are too many: the fewest that are long enough
    assert PhononOptions(min_length=12.0, max_atoms=20).repeats(cell) == (5, 3, 1)
    assert PhononOptions(min_length=None, supercell=(3, 2, 1)).repeats(cell) == (3, 2, 1)


def test_a_crystal_over_its_time_is_recorded(chgnet: Potential) -> None:
    result = phonons(bulk("MgO", "rocksalt", a=4.3), chgnet, PhononOptions(max_minutes=1e-6))
    assert result.status == "refused: takes longer than max_minutes (1e-06)"
    assert result.verdict is None


def test_a_crystal_that_cannot_get_to_fmax_is_taken_as_near_as_is_accepted(chgnet: Potential) -> None:
    options = PhononOptions(min_length=None, fmax=1e-12, max_steps=40)
    result = phonons(bulk("MgO", "rocksalt", a=4.3), chgnet, options)
    assert result.status == "ok"
    assert result.relaxed_fmax is not None
    assert result.relaxed_fmax <= options.fmax_accepted
    strict = dataclasses.replace(options, fmax_accepted=1e-12)
    assert phonons(bulk("MgO", "rocksalt", a=4.3), chgnet, strict).status.startswith("not converged")


def test_no_verdict_without_convergence(chgnet: Potential) -> None:
    result = phonons(bulk("MgO", "rocksalt", a=4.6), chgnet, PhononOptions(max_steps=1))
    assert result.status.startswith("not converged")
    assert result.verdict is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"supercell": [2, 2]}, {"mesh": [8, 8, 0]}, {"displacement": 0.0}, {"max_steps": 0}, {"min_length": 0.0},
        {"max_minutes": -1.0}, {"follow_modes": -1}, {"max_cells": 0}, {"generations": 0},
        {"stable": 0.1}, {"borderline": -0.05},
    ],
)  # fmt: skip
def test_options_are_checked(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        PhononOptions(**wrong)
