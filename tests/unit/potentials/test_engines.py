"""Potentials of other packages: names, what is missing, and what a factory may give."""

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from cgwgan_core.potentials.ase_calculator import ASECalculator
from cgwgan_core.potentials.engines import ENGINES, load_engine, torch_sim_is_there
from cgwgan_core.potentials.load import ENGINES as NAMES
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.torch_sim_model import TorchSimModel
from cgwgan_core.workflow.errors import InputError

FACTORIES = '''
"""Argon, by two libraries."""
from ase.calculators.lj import LennardJones

def with_weights(path):
    return LennardJones(sigma=float(open(path).read()), epsilon=0.0104, rc=6.0, smooth=False)

def without():
    return LennardJones(sigma=3.4, epsilon=0.0104, rc=6.0, smooth=False)

def batched():
    import torch
    from torch_sim.models.lennard_jones import LennardJonesModel
    return LennardJonesModel(sigma=3.4, epsilon=0.0104, cutoff=6.0, device=torch.device("cpu"), compute_stress=True)
'''


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "argon_of_user.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    return __import__("argon_of_user")


def options(name: str, path: str | None = None) -> PotentialOptions:
    return PotentialOptions(name=name, path=path, energy_scale="mp_uncorrected")


def test_every_engine_can_be_named() -> None:
    assert tuple(ENGINES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{name} needs its weights"):
        options(name)
    with pytest.raises(InputError, match=f"energy_scale of {name}"):
        load(PotentialOptions(name=name, path="weights"))
    with pytest.raises(InputError, match="needs its weights"):
        load_engine(name, None, "matpes")
    package = ENGINES[name].package
    module = {"mace-torch": "mace", "orb-models": "orb_models", "fairchem-core": "fairchem"}.get(package, package)
    if find_spec(module):
        wrong = tmp_path / "orb-v2.ckpt"
        wrong.write_text("no weights")
        with pytest.raises(InputError, match=f"{name} cannot load"):
            load(options(name, str(wrong)))
    else:
        with pytest.raises(InputError, match=f"pip install .*{package.removesuffix('-torch').removesuffix('-models')}"):
            load(options(name, "weights"))


def test_a_factory_may_take_the_weights(factories: ModuleType, tmp_path: Path) -> None:
    files = [tmp_path / "small", tmp_path / "large"]
    for file, size in zip(files, ("3.4", "3.6"), strict=True):
        file.write_text(size)
    small, large = (load(options("argon_of_user:with_weights", str(file))) for file in files)
    without = load(options("argon_of_user:without"))
    assert isinstance(small, ASECalculator)
    assert len({small.digest, large.digest, without.digest}) == 3
    argon = [bulk("Ar", a=5.3)]
    assert small.evaluate(argon).energies == without.evaluate(argon).energies != large.evaluate(argon).energies


def test_a_factory_may_give_a_model_of_torch_sim(factories: ModuleType) -> None:
    if not torch_sim_is_there():
        pytest.skip("torch-sim-atomistic is not installed, or is older than 0.5")
    model = load(options("argon_of_user:batched"))
    assert isinstance(model, TorchSimModel)
    assert "torch-sim-atomistic" in model.versions
    crystals = [bulk("Ar", a=5.3), bulk("Ar", a=5.2).repeat(2), bulk("Ar", a=5.4, cubic=True)]
    crystals[1].rattle(0.1, seed=0)
    found = model.evaluate(crystals, forces=True, stress=True)
    assert found.errors == [None] * 3
    assert model.evaluate(crystals).energies == pytest.approx(found.energies)
    theirs = LennardJones(sigma=3.4, epsilon=0.0104, rc=6.0, smooth=False)
    for i, atoms in enumerate(crystals):
        atoms.calc = theirs
        assert found.forces[i] == pytest.approx(atoms.get_forces(), abs=1e-8)
        assert found.stresses[i] == pytest.approx(atoms.get_stress(voigt=False), abs=1e-8)
    # ASE shifts the energy of each pair to zero at the cutoff
    differences = found.energies - [atoms.get_potential_energy() for atoms in crystals]
    assert np.sign(differences) == pytest.approx(-np.ones(3))
