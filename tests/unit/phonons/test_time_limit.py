"""A potential with a limit of time: the potential's own values before it, none after."""

import numpy as np
import pytest
from ase.build import bulk

from cgwgan_core.phonons.time_limit import OutOfTime, TimeLimited
from cgwgan_core.potentials.protocol import Potential


def test_in_time_it_is_the_potential(emt: Potential) -> None:
    limited = TimeLimited(emt, 10)
    crystals = [bulk("Cu"), bulk("Al").repeat((2, 1, 1))]
    one, other = (p.evaluate(crystals, forces=True, stress=True) for p in (limited, emt))
    assert one.errors == other.errors == [None, None]
    assert np.array_equal(one.energies, other.energies)
    assert np.array_equal(np.concatenate(one.forces), np.concatenate(other.forces))
    assert np.array_equal(one.stresses, other.stresses)
    facts = ("name", "energy_scale", "digest", "versions", "cutoff", "batch_atoms", "by_orbit")
    assert [getattr(limited, fact) for fact in facts] == [getattr(emt, fact) for fact in facts]
    assert limited.unknown({"Cu", "Ba"}) == emt.unknown({"Cu", "Ba"})


def test_the_time_ends_between_evaluations(emt: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a crystal's own failures are caught with, here and in phonopy, does not catch it."""
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    limited = TimeLimited(emt, 0.5)
    now += 30
    limited.evaluate([bulk("Cu")])
    now += 0.1
    with pytest.raises(OutOfTime):
        limited.evaluate([bulk("Cu")])
    assert not issubclass(OutOfTime, Exception)


def test_atoms_of_orbits_are_in_time_as_well(chgnet: Potential) -> None:
    limited = TimeLimited(chgnet, -1)
    for evaluate in (limited.compute, limited.compute_by_orbit):
        with pytest.raises(OutOfTime):
            evaluate([bulk("Cu")])
