"""What all potentials do alike: derivatives, batches, bad crystals, kept neighbours, ASE's calculator."""

import numpy as np
import pytest
from ase import Atoms

from cgwgan_core.potentials.neighbours import neighbours
from cgwgan_core.potentials.protocol import Potential
from tests.support.potentials import displaced_perovskite


def test_forces_and_stress_are_derivatives_of_the_energy(potential: Potential) -> None:
    atoms = displaced_perovskite(1)
    found = potential.evaluate([atoms], forces=True, stress=True)
    step, variants = 0.02, []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[2, 1] += sign * step
        strained = atoms.copy()
        strain = np.eye(3)
        strain[0, 0] += sign * step
        strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        sheared = atoms.copy()
        strain = np.eye(3)
        strain[0, 1] += sign * step / 2
        strain[1, 0] += sign * step / 2
        sheared.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        variants += [moved, strained, sheared]
    energies = potential.evaluate(variants).energies
    slopes = (energies[:3] - energies[3:]) / (2 * step)
    assert -found.forces[0][2, 1] == pytest.approx(slopes[0], rel=0.03, abs=0.02)
    assert found.stresses[0][0, 0] * atoms.get_volume() == pytest.approx(slopes[1], rel=0.03, abs=0.1)
    assert found.stresses[0][0, 1] * atoms.get_volume() == pytest.approx(slopes[2], rel=0.03, abs=0.1)


def test_a_bad_crystal_costs_itself_only(potential: Potential) -> None:
    good = [displaced_perovskite(seed) for seed in range(3)]
    broken, sparse, clash = good[0].copy(), good[0].copy(), good[0].copy()
    broken.positions[0] = np.nan
    sparse.set_cell(np.eye(3) * 60, scale_atoms=True)
    clash.positions[1] = clash.positions[0] + 0.01
    flat = Atoms("BaO", positions=[[0, 0, 0], [1, 1, 0]], cell=[4, 4, 0.01], pbc=True)
    heavy = Atoms("Fm", cell=np.eye(3) * 4, pbc=True)
    molecule = Atoms("O2", positions=[[0, 0, 0], [0, 0, 1.2]], cell=np.eye(3) * 8)
    found = potential.evaluate(
        [good[0], broken, good[1], sparse, clash, flat, heavy, molecule, Atoms(), good[2]], forces=True, stress=True
    )
    assert [error is None for error in found.errors] == [True, False, True] + [False] * 6 + [True]
    assert np.isfinite(found.energies).tolist() == [error is None for error in found.errors]
    assert found.errors[1] == "a coordinate is not a finite number"
    assert "no neighbour within" in found.errors[3]
    assert "Å apart" in found.errors[4]
    assert "Fm" in found.errors[6]
    alone = potential.evaluate(good, forces=True, stress=True)
    assert found.energies[[0, 2, 9]] == pytest.approx(alone.energies, abs=5e-5)
    assert found.forces[9] == pytest.approx(alone.forces[2], abs=1e-4)
    assert found.stresses[9] == pytest.approx(alone.stresses[2], abs=1e-5)


def test_batches_do_not_change_results(potential: Potential) -> None:
    crystals = [displaced_perovskite(seed).repeat((1 + seed % 3, 1, 1)) for seed in range(7)]
    together = potential.evaluate(crystals, forces=True, stress=True)
    single = potential.evaluate(crystals, forces=True, stress=True, batch_size=1)
    assert together.energy_per_atom == pytest.approx(single.energy_per_atom, abs=1e-5)
    for a, b in zip(together.forces, single.forces, strict=True):
        assert a == pytest.approx(b, abs=1e-4)
    assert together.stresses == pytest.approx(single.stresses, abs=1e-5)
    assert potential.evaluate(crystals).energies == pytest.approx(together.energies, abs=1e-4)


def test_neighbours_that_are_kept_give_the_same_where_no_pair_crosses_the_cutoff(potential: Potential) -> None:
    at_rest, moved = displaced_perovskite(1), displaced_perovskite(1)
    pairs = neighbours(at_rest, potential.cutoff)
    moved.positions[1] += [1e-3, 0.0, -2e-3]
    moved.set_cell(moved.cell.array * 1.0001, scale_atoms=True)
    assert neighbours(moved, potential.cutoff).pairs() == pairs.pairs()  # no pair has crossed
    plain = potential.evaluate([at_rest, moved], forces=True, stress=True)
    kept = potential.evaluate([at_rest, moved], forces=True, stress=True, pairs=[pairs, pairs])
    assert kept.energies == pytest.approx(plain.energies, abs=1e-5)
    for ours, theirs in zip((*kept.forces, *kept.stresses), (*plain.forces, *plain.stresses), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_calculator_agrees_with_evaluate(potential: Potential) -> None:
    atoms = displaced_perovskite(5)
    found = potential.evaluate([atoms], forces=True, stress=True)
    atoms.calc = potential.calculator()
    assert atoms.get_potential_energy() == pytest.approx(found.energies[0], abs=5e-5)
    assert atoms.get_forces() == pytest.approx(found.forces[0], abs=1e-4)
    assert atoms.get_stress(voigt=False) == pytest.approx(found.stresses[0], abs=1e-6)
