"""ASE calculators as engines: the runner's numbers are the calculator's own; GPAW's parameters, and GPAW itself."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from cgwgan_core.dft import runner
from cgwgan_core.dft.ase_engine import CUTOFF, STRESS_CUTOFF, AseEngine, Gpaw
from cgwgan_core.dft.calculation import CONVERGED, UNFINISHED, Calculation, Outcome
from cgwgan_core.dft.engines import DISPERSIONS
from cgwgan_core.dft.store import Store
from tests.support.potentials import aucu4
from tests.support.workflow import ROOT

CALCULATOR = "ase.calculators.emt:EMT"


def displaced() -> Atoms:
    atoms = aucu4(4.0)
    atoms.rattle(0.05, seed=1)
    return atoms


def inputs(engine: AseEngine, atoms: Atoms, **changes: Any) -> dict[str, Any]:
    """What lies in ``calculation.json``, read back."""
    calculation = Calculation(atoms, engine.name, engine.parameters(atoms, **changes))
    found: dict[str, Any] = json.loads(json.dumps(calculation.to_json()))
    return found


# ------------------------------------------------------------------------------------------- the runner


@pytest.mark.parametrize("stress", [False, True])
def test_numbers_are_the_calculators_own(stress: bool) -> None:
    found = runner.compute(inputs(AseEngine(CALCULATOR, None), displaced(), stress=stress))
    atoms = displaced()
    atoms.calc = EMT()
    assert found["status"] == CONVERGED
    assert found["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    assert found["forces"] == pytest.approx(atoms.get_forces(), abs=1e-12)
    assert found["stress"] == (pytest.approx(atoms.get_stress(), abs=1e-12) if stress else None)
    assert found["version"].startswith("ase 3")
    assert Outcome.from_json(found).magnetic_moments is None


def test_arguments_reach_the_calculator() -> None:
    engine = AseEngine("ase.calculators.lj:LennardJones", None)
    atoms = bulk("Ar", a=5.3)
    arguments = {"sigma": 3.4, "epsilon": 0.0104, "rc": 8.0}
    found = runner.compute(inputs(engine, atoms, arguments=arguments))
    atoms.calc = LennardJones(**arguments)
    assert found["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    assert -0.1 < found["energy"] < -0.05  # argon's cohesion is 0.08 eV


def test_a_molecule_is_no_lattice() -> None:
    """N2 in a box so small that its images would attract each other."""
    engine = AseEngine(CALCULATOR, None)
    atoms = molecule("N2", cell=[3.0, 3.0, 3.0], pbc=True)
    atoms.center()
    lattice = runner.compute(inputs(engine, atoms))["energy"]
    atoms.pbc = False
    alone = runner.compute(inputs(engine, atoms))["energy"]
    atoms.calc = EMT()
    assert alone == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    assert abs(alone - lattice) > 0.1


def test_moments_as_far_as_the_calculator_gives_them() -> None:
    atoms = bulk("NiO", "rocksalt", a=4.2)
    atoms.set_initial_magnetic_moments([2.0, 0.0])
    kept = runner.compute(inputs(AseEngine("tests.support.calculators:antiferromagnet", None), atoms))
    assert (kept["magnetic_moment"], kept["magnetic_moments"]) == (1.0, [1.0, 0.0])
    without = runner.compute(inputs(AseEngine("ase.calculators.lj:LennardJones", None), atoms))
    assert without["status"] == CONVERGED
    assert (without["magnetic_moment"], without["magnetic_moments"]) == (None, None)
    atoms.set_initial_magnetic_moments(None)
    unpolarised = runner.compute(inputs(AseEngine("tests.support.calculators:antiferromagnet", None), atoms))
    assert "magnetic_moment" not in unpolarised


@pytest.mark.parametrize("name", ["D3BJ", "D4"])
def test_dispersion_is_added(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attraction of argon's kind in the place of the package: a crystal has it from all its images."""
    package = f"dft{name[:2].lower()}"
    attraction = partial(LennardJones, sigma=2.0, epsilon=0.01, rc=8.0)
    stand_in, for_ase = ModuleType(package), ModuleType(f"{package}.ase")
    vars(stand_in)["__version__"] = "1.2.3"
    vars(for_ase)[f"DFT{name[:2]}"] = lambda **_: attraction()
    for module in (stand_in, for_ase):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    crystal, pair = displaced(), molecule("N2", cell=[5.0, 5.0, 5.0])
    pair.center()
    for atoms in (crystal, pair):
        stress = bool(atoms.pbc.any())
        bare, found = (
            runner.compute(inputs(AseEngine(CALCULATOR, None, given), atoms, stress=stress)) for given in (None, name)
        )
        atoms.calc = attraction()
        assert found["energy"] - bare["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
        assert np.array(found["forces"]) - bare["forces"] == pytest.approx(atoms.get_forces(), abs=1e-12)
        if stress:
            assert np.array(found["stress"]) - bare["stress"] == pytest.approx(atoms.get_stress(), abs=1e-12)
        assert found["version"] == f"{bare['version']} + {package} 1.2.3"


def failed(engine: AseEngine, atoms: Atoms, **changes: Any) -> dict[str, Any]:
    with pytest.raises(Exception) as error:  # noqa: PT011 - whatever a calculator raises
        runner.compute(inputs(engine, atoms, **changes))
    found = runner.failure(error.value)
    assert not Outcome(**found).converged
    return found


def test_failures_are_told() -> None:
    unconverged = AseEngine("tests.support.calculators:SelfConsistent", None)
    assert failed(unconverged, bulk("Cu")) == {"status": "not converged", "repairable": True}
    assert failed(AseEngine(CALCULATOR, None), bulk("Ba")) == {"status": "NotImplementedError: No EMT-potential for Ba"}
    missing = failed(AseEngine("no_such_package.module:Function", None), bulk("Cu"))
    assert missing == {"status": "ModuleNotFoundError: No module named 'no_such_package'"}
    arguments = failed(unconverged, bulk("Cu"), arguments={"cutoff": 3})
    assert arguments["status"].startswith("TypeError: ")
    assert "cutoff" in arguments["status"]


def test_numbers_that_are_none_are_no_result(tmp_path: Path) -> None:
    """Two atoms at one place have no force: EMT's is not a number."""
    engine = AseEngine(CALCULATOR, None)
    found = runner.compute(inputs(engine, Atoms("Cu2", positions=np.zeros((2, 3)), cell=[4, 4, 4], pbc=True)))
    (tmp_path / "outcome.json").write_text(json.dumps(found))
    assert engine.read(tmp_path).status.startswith("outcome.json cannot be read: converged")


def test_a_folder_is_computed_by_itself(tmp_path: Path) -> None:
    """With nothing but ASE: the package is not on the path."""
    engine = AseEngine(CALCULATOR, None)
    atoms = displaced()
    engine.write(Calculation(atoms, engine.name, engine.parameters(atoms, stress=True)), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"calculation.json", "run.py"}
    assert engine.read(tmp_path).status == UNFINISHED
    alone = "import runpy, sys; sys.modules['cgwgan_core'] = None; runpy.run_path('run.py', run_name='__main__')"
    subprocess.run([sys.executable, "-c", alone], cwd=tmp_path, check=True)
    found = engine.read(tmp_path)
    atoms.calc = EMT()
    assert found.converged
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    assert found.stress == pytest.approx(atoms.get_stress(), abs=1e-12)


# ------------------------------------------------------------------------------------------------ GPAW


def test_gpaws_parameters() -> None:
    engine = Gpaw(None)
    oxide, metal = bulk("MgO", "rocksalt", a=4.2), bulk("Ba", a=5.0)
    insulating, metallic = engine.parameters(oxide), engine.parameters(metal)
    assert (insulating["bands"], metallic["bands"]) == ("130%", "170%")
    assert insulating["kpts"] == [6, 6, 6]  # 2.59 1/Å in steps of 0.48
    assert metallic["kpts"] == [6, 6, 6]  # 1.78 1/Å in steps of 0.3
    assert (insulating["cutoff"], engine.parameters(oxide, stress=True)["cutoff"]) == (CUTOFF, STRESS_CUTOFF)
    assert engine.parameters(oxide, smearing=0.2) == {**insulating, "smearing": 0.2}
    box = molecule("O2", cell=[8.0, 8.1, 8.2])
    assert (engine.parameters(box)["smearing"], engine.parameters(box)["kpts"]) == (0.0, [2, 2, 2])
    assert Gpaw(None, kspacing=0.8).parameters(oxide)["kpts"] == [4, 4, 4]
    # remedies name parameters that there are
    assert all(set(remedy.changes) <= set(insulating) for remedy in engine.remedies)


@pytest.fixture(scope="module")
def gpaw_python() -> str:
    """Python with GPAW."""
    named = os.environ.get("CGWGAN_TEST_GPAW")
    python = named or str(ROOT / ".venv-dft" / "bin" / "python")
    if not named and not Path(python).exists():
        pytest.skip("no GPAW; run: make dft-environment, or name Python with GPAW in $CGWGAN_TEST_GPAW")
    return python


@pytest.mark.parametrize(("name", "energy"), [("D3BJ", -0.009781920), ("D4", -0.005358475)])
def test_dispersion_of_water_is_that_of_the_packages_handbooks(
    name: str, energy: float, gpaw_python: str, tmp_path: Path
) -> None:
    package = DISPERSIONS[name]
    if subprocess.run([gpaw_python, "-c", f"import {package}"], check=False, capture_output=True).returncode:
        pytest.skip(f"no {package} in the environment of GPAW; run: make dft-environment")
    atoms = molecule("H2O", vacuum=4.0)
    engines = [AseEngine(CALCULATOR, gpaw_python, given) for given in (None, name)]
    bare, found = (
        Store(tmp_path, engine).run(Calculation(atoms, engine.name, engine.parameters(atoms))) for engine in engines
    )
    assert found.converged, found.status
    assert found.energy - bare.energy == pytest.approx(energy, abs=1e-8)


def test_gpaw_climbs_its_remedies_to_the_energy_that_it_reaches_at_once(gpaw_python: str, tmp_path: Path) -> None:
    engine = Gpaw(gpaw_python)
    atoms = bulk("Si", a=5.43)
    fast = {"cutoff": 200.0, "kpts": [2, 2, 2], "stress": True}
    base = Calculation(atoms, engine.name, engine.parameters(atoms, **fast))
    at_once, climbed = (Store(tmp_path, engine).run(base.with_parameters(maxiter=n)) for n in (100, 3))
    assert at_once.converged
    assert at_once.version is not None
    assert at_once.version.startswith("gpaw ")
    assert at_once.remedies == ()
    assert np.abs(at_once.forces).max() < 1e-3
    assert at_once.stress[:3] == pytest.approx([at_once.stress[0]] * 3, abs=1e-6)
    assert at_once.stress[3:] == pytest.approx([0, 0, 0], abs=1e-6)
    assert climbed.converged
    assert climbed.remedies == (engine.remedies[0].name,)
    assert climbed.energy == pytest.approx(at_once.energy, abs=2e-3)
