"""SevenNet: the package's own calculator as judge, and one atom of each orbit under rotations."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixSymmetry
from sevenn.calculator import SevenNetCalculator

from cgwgan_core.potentials.load import SEVENNETS, PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential, voigt
from cgwgan_core.potentials.sevennet import WEIGHTS
from cgwgan_core.workflow.errors import InputError
from tests.support.potentials import displaced_perovskite
from tests.support.random_templates import random_crystals


@pytest.fixture(scope="module", params=SEVENNETS)
def sevennet(request: pytest.FixtureRequest) -> Potential:
    return load(PotentialOptions(name=request.param))


def test_every_size_can_be_asked_for() -> None:
    assert tuple(WEIGHTS) == SEVENNETS
    with pytest.raises(InputError, match="sevennet-0 is mp_uncorrected"):
        load(PotentialOptions(name="sevennet-0", energy_scale="matpes"))


def test_it_agrees_with_its_own_calculator(sevennet: Potential) -> None:
    theirs = SevenNetCalculator(sevennet.name.replace("SevenNet", "7net"), device="cpu")
    crystals = [bulk("MgO", "rocksalt", a=4.2), *(displaced_perovskite(seed) for seed in range(3))]
    found = sevennet.evaluate(crystals, forces=True, stress=True)
    assert found.errors == [None] * 4
    assert sevennet.evaluate(crystals).energies == pytest.approx(found.energies, abs=1e-5)
    for i, atoms in enumerate(crystals):
        atoms.calc = theirs
        assert found.energies[i] == pytest.approx(atoms.get_potential_energy(), abs=2e-5 * len(atoms))
        assert found.forces[i] == pytest.approx(atoms.get_forces(), abs=2e-4)
        assert found.stresses[i] == pytest.approx(atoms.get_stress(voigt=False), abs=2e-5)


def test_one_atom_of_each_orbit_under_rotations_stands_for_all(sevennet: Potential) -> None:
    """Reflections are no symmetry of this potential: its forces have the crystal's symmetry once averaged over it."""
    crystals = random_crystals(10)
    sites = [atoms.arrays["site"] for atoms in crystals]
    orbits = [sevennet.equivalent(atoms, site) for atoms, site in zip(crystals, sites, strict=True)]
    n_sites, n_orbits, n_atoms = (sum(counts) for counts in zip(*map(_counts, crystals, orbits), strict=True))
    assert n_sites < n_orbits < n_atoms / 2  # some reflections relate atoms that no rotation does
    plain = sevennet.evaluate(crystals, forces=True, stress=True)
    reduced = sevennet.evaluate(crystals, forces=True, stress=True, orbits=sites)
    assert reduced.energy_per_atom == pytest.approx(plain.energy_per_atom, abs=2e-5)
    for i, atoms in enumerate(crystals):
        symmetry = FixSymmetry(atoms.copy(), symprec=1e-4)
        size = max(1.0, np.abs(plain.forces[i]).max())
        averages = []
        for found in (plain, reduced):
            forces, stress = found.forces[i].copy(), voigt(found.stresses[i])
            symmetry.adjust_forces(atoms, forces)
            symmetry.adjust_stress(atoms, stress)
            averages.append((forces, stress))
        assert averages[1][0] == pytest.approx(averages[0][0], abs=1e-4 * size)
        assert averages[1][1] == pytest.approx(averages[0][1], abs=1e-4 * size)


def _counts(atoms: Atoms, orbits: object) -> tuple[int, int, int]:
    return int(atoms.arrays["site"].max()) + 1, len(orbits.first), len(atoms)


def test_forces_are_smooth_at_the_cutoff(sevennet: Potential) -> None:
    """Rock salt with its fifth shell of neighbours, √5 a/2, a little within and beyond the cutoff."""
    edge, step = 2 * sevennet.cutoff / np.sqrt(5), 1e-3
    crystals = [bulk("MgO", "rocksalt", a=edge + i * step) for i in (-1.5, -0.5, 0.5, 1.5)]
    slopes = np.diff(sevennet.evaluate(crystals, stress=True).stresses[:, 0, 0])
    assert slopes[1] == pytest.approx((slopes[0] + slopes[2]) / 2, rel=0.1)  # a step of the force would be in this one
    assert sevennet.smooth
    assert sevennet.neighbours_to_keep(crystals[0]) is None
