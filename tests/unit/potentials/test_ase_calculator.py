"""ASE's calculators as potentials."""

import pytest
from ase.build import bulk

from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.workflow.errors import InputError
from tests.support.potentials import EMT


def test_any_ase_calculator() -> None:
    emt = load(EMT)
    copper = bulk("Cu", a=3.6)
    found = emt.evaluate([copper, bulk("Fe", a=2.8), copper.repeat(2)], forces=True, stress=True)
    assert found.errors[1] is not None
    assert found.energies[2] == pytest.approx(8 * found.energies[0])
    assert found.forces[2].shape == (8, 3)
    assert emt.digest == load(EMT).digest
    with pytest.raises(InputError, match="energy_scale"):
        load(PotentialOptions(name="ase.calculators.emt:EMT"))
    for wrong in ("ase.calculators.emt:EMTX", "no_such_module:f", "builtins:dict"):
        with pytest.raises(InputError, match=wrong):
            load(PotentialOptions(name=wrong, energy_scale="matpes"))
