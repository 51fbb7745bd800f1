"""Nequix, MACE, MatterSim and torch-sim beside the packages' own calculators, where they are installed."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator

from cgwgan_core.potentials import engines
from cgwgan_core.potentials.ase_calculator import ASECalculator
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.potentials.torch_sim_model import TorchSimModel
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.known_crystals import check
from cgwgan_core.relaxation.relax import relax
from tests.support.crystals import perovskite_atoms
from tests.support.potentials import displaced_perovskite
from tests.support.random_templates import random_crystals


@pytest.fixture(scope="module", params=["nequix-oam-1-pft.nqx", "nequix-oam-1-pft.pt"])
def weights(request: pytest.FixtureRequest, shared_models: Path) -> str:
    path = shared_models / request.param
    if not path.is_file():
        pytest.skip(f"$CGWGAN_TEST_MODELS has no {path.name}")
    return str(path)


def crystals() -> list[Atoms]:
    """Of one to 40 atoms: supercells of displaced perovskites, and random ones of high symmetry."""
    one = Atoms("Ba", cell=np.full((3, 3), 2.5) - 2.5 * np.eye(3) + np.diag([0, 0, 0.1]), pbc=True)
    return [one, displaced_perovskite(0).repeat(2), *random_crystals(18)]


def installed(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        pytest.skip(f"{module} cannot be imported: {error}")


def agree(potential: Potential, calculator: Calculator, energy: float = 2e-5) -> None:
    """To single precision, relative to the largest force and stress where these are large.

    :param energy: allowed, eV/atom.
    """
    atoms = crystals()
    assert {len(atoms[0]), max(map(len, atoms))} == {1, 40}
    found = potential.evaluate(atoms, forces=True, stress=True)
    assert found.errors == [None] * len(atoms)
    assert potential.evaluate(atoms).energy_per_atom == pytest.approx(found.energy_per_atom, abs=energy)
    for i, crystal in enumerate(atoms):
        crystal.calc = calculator
        forces, stress = crystal.get_forces(), crystal.get_stress(voigt=False)
        assert found.energy_per_atom[i] == pytest.approx(crystal.get_potential_energy() / len(crystal), abs=energy)
        assert found.forces[i] == pytest.approx(forces, abs=1e-4 * max(1.0, float(np.abs(forces).max())))
        assert found.stresses[i] == pytest.approx(stress, abs=1e-4 * max(0.1, float(np.abs(stress).max())))


def test_nequix_passes_the_check_with_its_own_energies(weights: str) -> None:
    potential = load(PotentialOptions(name="nequix", path=weights))
    rows = {row["formula"]: row for row in check(potential, tolerance=0.02)}
    assert all(row["passed"] for row in rows.values())
    assert rows["MgO"]["energy_per_atom"] == pytest.approx(-5.981, abs=1e-3)
    assert rows["SrTiO3"]["energy_per_atom"] == pytest.approx(-8.019, abs=1e-3)
    cubic = relax(perovskite_atoms(4.1, ("Ba", "Ru", "O")), potential, Relaxation(fmax=0.02, max_steps=200))
    assert cubic.energy_per_atom == pytest.approx(-6.908, abs=1e-3)


def test_nequix_agrees_with_its_own_calculator(weights: str) -> None:
    if weights.endswith(".nqx"):
        pytest.skip("the package would convert this file and write the result beside it")
    theirs = installed("nequix.calculator").NequixCalculator(model_path=weights, backend="torch", use_kernel=False)
    agree(load(PotentialOptions(name="nequix", path=weights)), theirs)


def sevennet_model() -> Any:
    from cgwgan_core.potentials.sevennet import WEIGHTS

    package = Path(importlib.import_module("sevenn").__file__)
    file = package.parent / "pretrained_potentials" / WEIGHTS["sevennet-0"]
    return importlib.import_module("sevenn.torchsim").SevenNetModel(str(file), device="cpu")


def test_a_model_of_torch_sim_agrees_with_its_ase_calculator() -> None:
    """SevenNet's, whose weights are installed."""
    installed("torch_sim")
    installed("sevenn.torchsim")
    potential = load(PotentialOptions(name=f"{__name__}:sevennet_model", energy_scale="mp_uncorrected"))
    assert isinstance(potential, TorchSimModel)
    agree(potential, importlib.import_module("sevenn.calculator").SevenNetCalculator("7net-0", device="cpu"))


def small_mace(path: Path) -> None:
    """A MACE of random weights."""
    # with its own version of e3nn, MACE must be imported first
    modules, o3, torch = (importlib.import_module(name) for name in ("mace.modules", "e3nn.o3", "torch"))
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    network = modules.ScaleShiftMACE(
        r_max=5.0,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=5,
        hidden_irreps=o3.Irreps("8x0e + 8x1o"),
        MLP_irreps=o3.Irreps("8x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array([-2.0, -4.0, -1.0, -5.0, -1.0]),
        avg_num_neighbors=30,
        atomic_numbers=[8, 22, 38, 44, 56],
        correlation=2,
        radial_type="bessel",
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )
    torch.set_default_dtype(default)
    torch.save(network, path)


def small_mattersim(path: Path) -> None:
    """A MatterSim of random weights."""
    sizes = {"num_blocks": 2, "units": 32, "max_l": 4, "max_n": 4, "cutoff": 5.0, "threebody_cutoff": 4.0, "max_z": 94}
    network = importlib.import_module("mattersim.forcefield.m3gnet.m3gnet").M3Gnet(device="cpu", **sizes)
    torch = importlib.import_module("torch")
    torch.save({"model_name": "m3gnet", "model_args": sizes, "model": network.state_dict()}, path)


@pytest.mark.parametrize(
    ("name", "module", "write"),
    [("mace", "mace.calculators", small_mace), ("mattersim", "mattersim.forcefield.potential", small_mattersim)],
)
def test_an_engine_is_the_same_through_torch_sim_and_ase(
    name: str, module: str, write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Untrained networks, since trained weights are not installed with their packages."""
    installed(module)
    write(tmp_path / "small")
    options = PotentialOptions(name=name, path=str(tmp_path / "small"), energy_scale="mp_uncorrected")
    if not engines.torch_sim_is_there():
        pytest.skip("torch-sim-atomistic is not installed, or is older than 0.5")
    batched = load(options)
    monkeypatch.setattr(engines, "torch_sim_is_there", lambda: False)
    one_by_one = load(options)
    assert isinstance(batched, TorchSimModel)
    assert isinstance(one_by_one, ASECalculator)
    assert batched.digest == one_by_one.digest
    agree(batched, one_by_one.calculator())
