"""Potentials of other packages by name: MACE, ORB, MatterSim, NequIP, fairchem, UPET, or any import path.

Each is evaluated through torch-sim's model interface where that is installed, in batches and on a GPU where there is
one, else through its ASE calculator. None is part of the default environment; docs/POTENTIALS.md says how to add one.
"""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch

from cgwgan_core.potentials.ase_calculator import ASECalculator
from cgwgan_core.potentials.protocol import ENERGY_SCALES, EnergyScale, Potential
from cgwgan_core.potentials.torch_sim_model import TorchSimModel
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.provenance import digest_file

TORCH_SIM = "torch-sim-atomistic"
INTERFACE = (0, 5)
"""First version of torch-sim whose models the packages bring themselves. It needs Python 3.12."""

Maker = Callable[[str, str], Any]
"""Makes a model or calculator from weights (file or name) on a device (cpu or cuda)."""


@dataclass(frozen=True)
class Engine:
    """How to evaluate the potentials of one package."""

    package: str
    """On PyPI."""
    install: str
    """What pip is told, so that the default environment stays whole."""
    weights: str
    """What ``potential.path`` is."""
    calculator: Maker
    """An ASE calculator."""
    model: Maker
    """A ``ModelInterface`` of torch-sim."""
    model_package: str | None = None
    """Another package that :attr:`model` needs."""
    switches: bool = False
    """Whether :attr:`model` can do without forces and stress though it has no setters for that."""


# Each maker is as its package documents it. Imports are inside, because each package is slow, and most are absent.


def _mace_calculator(weights: str, device: str) -> Any:
    calculators = import_module("mace.calculators")
    return calculators.mace_mp(model=weights, device=device, default_dtype="float64")


def _mace_model(weights: str, device: str) -> Any:
    network = import_module("mace.calculators").mace_mp(model=weights, device=device, return_raw_model=True)
    make = import_module("torch_sim.models.mace").MaceModel
    return make(model=network, device=torch.device(device), dtype=torch.float64)


def _orb_network(weights: str, device: str) -> tuple[Any, Any]:
    """A network and what makes its graphs.

    The weights name no architecture, so the name of their file must begin as its does.
    """
    architectures = import_module("orb_models.forcefield.pretrained").ORB_PRETRAINED_MODELS
    stem = Path(weights).name
    names = [name for name in architectures if stem.startswith(name)]
    if not names:
        raise InputError(f"{weights} begins with no name of ORB: {', '.join(sorted(architectures))}")
    file = {"weights_path": weights} if Path(weights).is_file() else {}
    make = architectures[max(names, key=len)]
    network, adapter = make(device=device, precision="float32-highest", compile=False, **file)
    return network, adapter


def _orb_calculator(weights: str, device: str) -> Any:
    network, adapter = _orb_network(weights, device)
    make = import_module("orb_models.forcefield.inference.calculator").ORBCalculator
    return make(network, atoms_adapter=adapter, device=device)


def _orb_model(weights: str, device: str) -> Any:
    network, adapter = _orb_network(weights, device)
    return import_module("torch_sim.models.orb").OrbModel(network, adapter, device=device)


def _mattersim_network(weights: str, device: str) -> Any:
    make = import_module("mattersim.forcefield.potential").Potential.from_checkpoint
    return make(load_path=weights, device=device, load_training_state=False)


def _mattersim_calculator(weights: str, device: str) -> Any:
    make = import_module("mattersim.forcefield.potential").MatterSimCalculator
    return make(potential=_mattersim_network(weights, device), device=device)


def _mattersim_model(weights: str, device: str) -> Any:
    make = import_module("torch_sim.models.mattersim").MatterSimModel
    return make(model=_mattersim_network(weights, device), device=device)


def _nequip_calculator(weights: str, device: str) -> Any:
    return import_module("nequip.integrations.ase").NequIPCalculator.from_compiled_model(weights, device=device)


def _nequip_model(weights: str, device: str) -> Any:
    make = import_module("torch_sim.models.nequip_framework").NequIPFrameworkModel
    return make.from_compiled_model(weights, device=device)


def _fairchem_calculator(weights: str, device: str) -> Any:
    make = import_module("fairchem.core").FAIRChemCalculator.from_model_checkpoint
    return make(weights, task_name="omat", inference_settings="batch", device=device)


def _fairchem_model(weights: str, device: str) -> Any:
    make = import_module("torch_sim.models.fairchem").FairChemModel
    return make(model=weights, task_name="omat", device=torch.device(device), compute_stress=True)


def _upet_network(weights: str) -> dict[str, Any]:
    return {"checkpoint_path": weights} if Path(weights).is_file() else {"model": weights}


def _upet_calculator(weights: str, device: str) -> Any:
    return import_module("upet.ase").UPETCalculator(device=device, **_upet_network(weights))


def _upet_model(weights: str, device: str) -> Any:
    names = _upet_network(weights)
    if "model" in names:  # here the size is an argument of its own
        names["model"], names["size"] = weights.rsplit("-", 1)
    network = import_module("upet").get_upet(**names)
    return import_module("torch_sim.models.metatomic").MetatomicModel(network, device=device)


ENGINES = {
    "mace": Engine(
        package="mace-torch",
        install="--no-deps -r envs/mace.txt, in an environment of its own",
        weights="the file of a MACE model, or a name that mace_mp knows; published ones need the e3nn of envs/mace.txt",
        calculator=_mace_calculator,
        model=_mace_model,
        switches=True,
    ),
    "orb": Engine(
        package="orb-models",
        install="--no-deps -r envs/orb.txt",
        weights="a name of ORB's pretrained models, or a file of weights whose name begins with one",
        calculator=_orb_calculator,
        model=_orb_model,
    ),
    "mattersim": Engine(
        package="mattersim",
        install="-c envs/lock.txt mattersim",
        weights="mattersim-v1.0.0-1M, mattersim-v1.0.0-5M or the file of a checkpoint",
        calculator=_mattersim_calculator,
        model=_mattersim_model,
    ),
    "nequip": Engine(
        package="nequip",
        install="-c envs/lock.txt nequip",
        weights="a file that nequip-compile made: with --target batch for torch-sim, --target ase without it",
        calculator=_nequip_calculator,
        model=_nequip_model,
    ),
    "fairchem": Engine(
        package="fairchem-core",
        install="-c envs/lock.txt fairchem-core",
        weights="a name of fairchem's pretrained models, or the file of a checkpoint",
        calculator=_fairchem_calculator,
        model=_fairchem_model,
    ),
    "upet": Engine(
        package="upet",
        install="-c envs/lock.txt upet",
        weights="a name of UPET's models with its size, such as pet-oam-xl, or the file of a checkpoint",
        calculator=_upet_calculator,
        model=_upet_model,
        model_package="metatomic-torchsim",
        switches=True,
    ),
}
"""Names in ``potential.name``."""


def load_engine(name: str, weights: str | None, energy_scale: str | None) -> Potential:
    """A potential of one of :data:`ENGINES`.

    :param weights: as :attr:`Engine.weights` says.
    :param energy_scale: must be given, since engines have weights of several.
    :raises InputError: if its package is missing, its weights cannot be loaded, or weights or scale are not given.
    """
    engine = ENGINES[name]
    scale = _scale(name, energy_scale)
    if not weights:
        raise InputError(f"{name} needs its weights: {engine.weights}")
    if not _version(engine.package):
        raise InputError(f"{name} needs the package {engine.package}: pip install {engine.install}")
    batched = torch_sim_is_there() and (engine.model_package is None or _version(engine.model_package) is not None)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        made = (engine.model if batched else engine.calculator)(weights, device)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # packages fail in their own ways
        raise InputError(f"{name} cannot load {weights} ({_reason(error)}); it needs {engine.weights}") from error
    digest = _digest(weights, f"{engine.package} {_version(engine.package)}")
    return _wrapped(made, f"{name}:{Path(weights).stem}", scale, digest, [engine.package], engine.switches)


def load_imported(import_path: str, weights: str | None, energy_scale: str | None) -> Potential:
    """What ``package.module:factory`` makes: an ASE calculator in eV and Å, or a model of torch-sim.

    :param import_path: as above; the module must be importable (``PYTHONPATH``).
    :param weights: handed to the factory where it is given.
    :param energy_scale: must be given, since nothing tells it.
    :raises InputError: if the path cannot be imported, or makes something else, or the scale is not given.
    """
    scale = _scale(import_path, energy_scale)
    module_name, _, attribute = import_path.partition(":")
    try:
        module = import_module(module_name)
        made = getattr(module, attribute)(*([weights] if weights else []))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's own code, which may fail in any way
        raise InputError(f"{import_path}: cannot make a potential ({_reason(error)})") from None
    # Weights that are not a file here cannot be seen: the code that chooses them stands for them.
    digest = _digest(weights, f"{import_path}\n{_source(module)}")
    potential = _wrapped(made, import_path, scale, digest, [])
    potential.versions[module_name] = str(getattr(module, "__version__", "unknown"))
    return potential


def torch_sim_is_there() -> bool:
    """Whether torch-sim is installed, in a version that packages offer models for."""
    found = _version(TORCH_SIM)
    return found is not None and tuple(int(part) for part in found.split(".")[:2]) >= INTERFACE


def _wrapped(
    made: Any, name: str, scale: EnergyScale, digest: str, packages: list[str], switches: bool = False
) -> Potential:
    """A calculator or model as a potential.

    :param packages: that evaluate it, of which the versions are kept.
    """
    if hasattr(made, "get_potential_energy"):
        return ASECalculator(made, name, scale, digest, _versions(*packages, "ase"))
    if isinstance(made, torch.nn.Module) and hasattr(made, "compute_forces"):
        return TorchSimModel(made, name, scale, digest, _versions(*packages, TORCH_SIM, "torch"), switches)
    raise InputError(f"{name}: gives {type(made).__name__}, neither an ASE calculator nor a model of torch-sim")


def _scale(name: str, energy_scale: str | None) -> EnergyScale:
    if energy_scale in ENERGY_SCALES:
        return cast(EnergyScale, energy_scale)
    raise InputError(f"set energy_scale of {name} to one of {', '.join(ENERGY_SCALES)}")


def _digest(weights: str | None, otherwise: str) -> str:
    """Of a file or folder of weights; else of their name and what stands for them."""
    if weights and Path(weights).exists():
        return digest_file(weights)
    return hashlib.sha256(f"{otherwise}\n{weights}".encode()).hexdigest()[:16]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _source(module: ModuleType) -> str:
    """Of a module; empty where it is compiled."""
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return ""


def _versions(*packages: str) -> dict[str, str]:
    return {package: str(_version(package)) for package in packages}


def _reason(error: Exception) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
    return f"{type(error).__name__}: {first.strip()}"
