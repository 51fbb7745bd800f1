"""Descents by an engine that is a potential, with the Hessian of the same or another one."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.spacegroup import crystal

from cgwgan_core.crystallography.symmetry import spacegroup_of
from cgwgan_core.dft.calculation import CONVERGED, Outcome
from cgwgan_core.dft.descent import (
    FLOOR,
    NOISE,
    Coordinates,
    Descent,
    DescentOptions,
    floored,
    hessian,
    predicted_gain,
    relax_by,
    updated,
)
from cgwgan_core.phonons.bands import standardise
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential, voigt
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax
from cgwgan_core.workflow.errors import InputError
from tests.support.dft import PotentialAsEngine
from tests.support.potentials import M3GNET, aucu4

EXACT = DescentOptions(gain=1e-6, fmax=1e-4, max_steps=30)


def layered() -> Atoms:
    """AuCu2 in layers, I4/mmm: two strains and one displacement keep its symmetry."""
    atoms = crystal(["Au", "Cu"], [(0, 0, 0), (0, 0, 0.32)], spacegroup=139, cellpar=[2.75, 2.75, 10.6, 90, 90, 90])
    return standardise(Atoms(atoms.numbers, cell=atoms.cell, positions=atoms.positions, pbc=True))[0]


def triclinic() -> Atoms:
    atoms = aucu4(4.1)
    atoms.rattle(0.05, seed=1)
    atoms.set_cell(atoms.cell.array + np.random.default_rng(1).normal(0, 0.03, (3, 3)), scale_atoms=True)
    return atoms


@pytest.mark.parametrize("atoms", [layered(), triclinic()], ids=["layered", "triclinic"])
def test_the_gradient_is_that_of_the_energy(atoms: Atoms, emt: Potential) -> None:
    coordinates = Coordinates(atoms)
    assert len(coordinates) == (3 if len(atoms) == 3 else 18)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.1, len(coordinates))
    found = emt.evaluate([coordinates.at(x)], forces=True, stress=True)
    assert found.forces is not None
    assert found.stresses is not None
    gradient = coordinates.gradient(x, found.forces[0], voigt(found.stresses[0]))
    steps = 1e-4 * np.eye(len(x))
    energies = emt.evaluate([coordinates.at(x + way * step) for way in (1, -1) for step in steps]).energies
    up, down = np.split(energies, 2)
    assert gradient == pytest.approx((up - down) / 2e-4, abs=1e-5)


def test_coordinates_keep_the_symmetry_and_no_translation() -> None:
    rutile = crystal("TiO", [(0, 0, 0), (0.3, 0.3, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.9, 90, 90, 90])
    wurtzite = bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38)
    for atoms, number, free in ((rutile, 136, 3), (wurtzite, 186, 3), (triclinic(), 1, 18)):
        coordinates = Coordinates(atoms)
        assert len(coordinates) == free
        assert coordinates.basis @ coordinates.basis.T == pytest.approx(np.eye(free))
        x = np.random.default_rng(0).normal(0, 0.1, free)
        moved = coordinates.at(x)
        assert spacegroup_of(moved, 1e-5) == number
        assert np.abs(coordinates.basis[:, :-6].reshape(free, -1, 3).sum(axis=1)).max() < 1e-9
        assert coordinates.reach(0.1 * x) == pytest.approx(0.1 * coordinates.reach(x))


@pytest.mark.parametrize(
    ("moments", "free"),
    [([0, 0, 0, 0], 1), ([2, 2, 2, 2], 1), ([2, -2, -2, 2], 2), ([2, 1, 1, 1], 1), ([2, 1, 2, 2], 1)],
)
def test_magnetic_moments_lower_the_symmetry(moments: list[float], free: int) -> None:
    """fcc: antiferromagnetic layers are tetragonal; one atom of four that differs leaves it cubic."""
    places = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    iron = Atoms("Fe4", scaled_positions=places, cell=[3.5] * 3, pbc=True, magmoms=moments)
    coordinates = Coordinates(iron)
    assert len(coordinates) == free
    moved = coordinates.at(np.full(free, 0.05))
    assert moved.get_initial_magnetic_moments().tolist() == moments


def test_a_minimum_is_predicted_and_found_from_the_engines_own_hessian(emt: Potential) -> None:
    start = layered()
    lowest = relax(start, emt, Relaxation(1e-5, 500))
    assert lowest.ok
    near = Coordinates(standardise(lowest.atoms)[0]).at(np.array([0.02, -0.03, 0.02]))
    engine = PotentialAsEngine(emt)
    found = relax_by(engine, near, hessian(near, emt), EXACT)
    assert found.status == CONVERGED
    assert found.steps <= 3
    gain = emt.evaluate([near]).energy_per_atom[0] - lowest.energy_per_atom
    assert found.gain == pytest.approx(gain, abs=1e-6)
    assert found.predicted_gain == pytest.approx(gain, rel=0.1)
    assert spacegroup_of(found.atoms, 1e-5) == 139
    assert found.fmax is not None
    assert found.fmax < 0.01
    assert found.pressure == pytest.approx(0, abs=0.5)


def test_run_again_it_takes_the_same_way(emt: Potential) -> None:
    start = layered()
    engine = PotentialAsEngine(emt)
    curvature = hessian(start, emt)
    first = relax_by(engine, start, curvature, EXACT)
    n = len(engine.computed)
    noisy = curvature + 1e-9 * np.random.default_rng(0).normal(size=curvature.shape)
    second = relax_by(engine, start, (noisy + noisy.T) / 2, EXACT)
    assert n == len(engine.computed) == first.steps + 1 > 2
    assert (first.atoms, first.gain) == (second.atoms, second.gain)


def test_a_step_too_far_is_taken_back(emt: Potential) -> None:
    """A Hessian far too soft sends the crystal uphill; each such step halves the next."""
    start = layered()
    curvature = FLOOR * np.eye(3)
    energies = []
    engine = PotentialAsEngine(emt)

    def evaluate(atoms: Atoms) -> Outcome:
        outcome = engine(atoms)
        assert outcome.energy is not None
        energies.append(outcome.energy / len(atoms))
        return outcome

    found = relax_by(evaluate, start, curvature, DescentOptions(gain=1e-6, fmax=1e-4, max_steps=40, max_step=1.0))
    assert max(energies[1:]) > energies[0]
    assert found.status == CONVERGED
    expected = relax(start, emt, Relaxation(1e-5, 500))
    assert found.gain is not None
    assert energies[0] - found.gain == pytest.approx(expected.energy_per_atom, abs=1e-5)
    ended = relax_by(engine, start, curvature, DescentOptions(gain=1e-6, fmax=1e-4, max_steps=1, max_step=1.0))
    assert ended.status.startswith("not converged after 1 steps: ")
    assert ended.gain is not None
    assert ended.gain >= -NOISE


def test_what_fails_is_told(emt: Potential) -> None:
    start = layered()
    engine = PotentialAsEngine(emt)
    curvature = hessian(start, emt)

    def ends_after(n: int, status: str) -> Descent:
        seen: list[Atoms] = []

        def evaluate(atoms: Atoms) -> Outcome:
            seen.append(atoms)
            return engine(atoms) if len(seen) <= n else Outcome(status)

        return relax_by(evaluate, start, curvature, EXACT)

    at_once = ends_after(0, "waiting: no vasp here")
    assert (at_once.status, at_once.steps, at_once.gain) == ("waiting: no vasp here", 0, None)
    assert at_once.atoms == start
    later = ends_after(2, "failed: no convergence")
    assert (later.status, later.steps) == ("failed: no convergence", 2)
    assert later.gain is not None
    assert later.gain > 0
    without = relax_by(lambda atoms: Outcome(CONVERGED, energy=1.0), start, curvature)
    assert without.status == "failed: the calculation gives no forces or no stress"
    assert relax_by(engine, start, np.eye(5)).status.startswith("failed: ")
    assert relax_by(engine, Atoms(), curvature).status.startswith("failed: ")
    with pytest.raises(InputError, match="gain: 0 is not above 0"):
        DescentOptions(gain=0)
    with pytest.raises(InputError, match="max_steps: -1 is below 0"):
        DescentOptions(max_steps=-1)


def test_a_crystal_without_freedom_but_its_volume(emt: Potential) -> None:
    copper = bulk("Cu", a=3.7)
    found = relax_by(PotentialAsEngine(emt), copper, hessian(copper, emt), EXACT)
    assert (found.status, len(hessian(copper, emt))) == (CONVERGED, 1)
    assert found.atoms.cell.lengths()[0] * np.sqrt(2) == pytest.approx(3.59, abs=0.01)


def test_curvatures_are_floored_and_updated() -> None:
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    raw = (vectors * np.array([-3.0, -0.1, 0.2, 7.0])) @ vectors.T
    positive = floored(raw)
    assert np.linalg.eigvalsh(positive) == pytest.approx([FLOOR, FLOOR, 3, 7])
    gradient = vectors @ np.array([0.3, 0, 0, 0.7])
    assert predicted_gain(gradient, positive) == pytest.approx((0.09 / 3 + 0.49 / 7) / 2)
    step, change = rng.normal(size=(2, 4))
    change *= np.sign(step @ change)
    change += step
    assert updated(positive, step, change) @ step == pytest.approx(change)
    assert np.linalg.eigvalsh(updated(positive, step, -change)).min() > 0
    assert updated(positive, 0 * step, change) is positive


def from_scratch(atoms: Atoms, potential: Potential, fmax: float) -> list[float]:
    """eV/atom after each evaluation of ASE's BFGS of atoms and cell, the symmetry kept."""
    moving = atoms.copy()
    moving.set_constraint(FixSymmetry(moving, symprec=0.01))
    moving.calc = potential.calculator()
    optimiser = BFGS(FrechetCellFilter(moving), logfile=None)  # type: ignore[arg-type]  # ASE's filters are optimised too
    return [moving.get_potential_energy() / len(moving) for _ in optimiser.irun(fmax=fmax, steps=100)]


@pytest.mark.parametrize("name", ["chgnet", "m3gnet"])
def test_one_potentials_hessian_relaxes_by_another(name: str, request: pytest.FixtureRequest) -> None:
    """SevenNet-0 in the place of DFT: few calculations, as much as many of an optimiser that knows nothing."""
    engine_potential = load(PotentialOptions(name="sevennet-0"))
    path = str(request.getfixturevalue("shared_models") / M3GNET) if name == "m3gnet" else None
    potential = load(PotentialOptions(name=name, path=path))
    rutile = crystal("RuO", [(0, 0, 0), (0.306, 0.306, 0)], spacegroup=136, cellpar=[4.49, 4.49, 3.11, 90, 90, 90])
    relaxed = relax(rutile, potential, Relaxation(0.005, 300))
    assert relaxed.ok
    start = standardise(relaxed.atoms)[0]
    engine = PotentialAsEngine(engine_potential)
    found = relax_by(engine, start, hessian(start, potential), DescentOptions(gain=1e-4))
    energies = from_scratch(start, engine_potential, 0.01)
    assert (found.status, 1 <= found.steps <= 3) == (CONVERGED, True)
    assert found.gain is not None
    assert found.gain == pytest.approx(energies[0] - min(energies), abs=2e-4)
    assert found.predicted_gain is not None
    assert found.gain / 4 < found.predicted_gain < 4 * found.gain  # M3GNet's oxygen is thrice too soft here
    assert len(engine.computed) < len(energies)
