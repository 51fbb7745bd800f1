"""The engine that a configuration names."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgwgan_core.dft.ase_engine import AseEngine, Gpaw
from cgwgan_core.dft.calculation import Engine
from cgwgan_core.dft.spin import ORDERS
from cgwgan_core.dft.store import Store
from cgwgan_core.workflow.errors import InputError

ENGINES = ("vasp", "gpaw", "espresso")
DISPERSIONS = {"D3BJ": "dftd3", "D4": "dftd4"}
"""Corrections for van der Waals forces, and the packages that give them."""
ENVIRONMENT = Path(__file__).parents[2] / ".venv-dft"
"""Where ``make dft-environment`` puts GPAW: beside the package, so that no setting of a run names the place."""


@dataclass(frozen=True)
class EngineOptions:
    """Keys of the config block ``dft`` that name the engine."""

    engine: str
    """One of :data:`ENGINES`, or ``package.module:function``, which gives an ASE calculator."""
    command: str | None = None
    """How it is started. ``None``: VASP cannot run here; GPAW runs in the environment that ``make dft-environment``
    makes, pw.x from the PATH, an ASE calculator in this environment."""
    kspacing: float | None = None
    """1/Å, with 2π; ``None``: the engine's own."""
    pseudopotentials: str | None = None
    """Folder of UPF files, for Quantum ESPRESSO."""
    dispersion: str | None = None
    """One of :data:`DISPERSIONS`, of GPAW and ASE calculators."""


def load_engine(options: EngineOptions, vasp: Mapping[str, Any], environment: Path = ENVIRONMENT) -> Engine:
    """The engine, ready to run.

    :param vasp: keyword arguments of :class:`~cgwgan_core.dft.vasp_presets.DftOptions`.
    :param environment: folder of the environment with GPAW.
    :raises InputError: if it is unknown, or something that it needs is missing.
    """
    # ruff: noqa: PLC0415 - slow to import, and every job of a run reads the engine's name
    name, command, dispersion = options.engine, options.command, options.dispersion
    if dispersion is not None and name in ("vasp", "espresso"):
        raise InputError(
            f"dft.dispersion: {dispersion} is for gpaw and ASE calculators, not for {name}; "
            f"{'name it in vasp.dispersion' if name == 'vasp' else 'write null'}"
        )
    if name == "vasp":
        from cgwgan_core.dft.vasp_engine import Vasp
        from cgwgan_core.dft.vasp_presets import DftOptions

        kspacing = {} if options.kspacing is None else {"kspacing": options.kspacing}
        return Vasp(command, DftOptions(**{**vasp, **kspacing}))
    if name == "gpaw":
        return Gpaw(command or _gpaw_python(environment, dispersion), options.kspacing, dispersion)
    if name == "espresso":
        if options.pseudopotentials is None:
            raise InputError("dft.pseudopotentials: missing; name a folder of UPF files, such as SSSP's")
        from cgwgan_core.dft.espresso import Espresso

        return Espresso(Path(options.pseudopotentials), command, options.kspacing)
    if ":" in name:
        return AseEngine(name, command or sys.executable, dispersion)
    raise InputError(f"dft.engine: {name} is unknown; one of {', '.join(ENGINES)}, or package.module:function")


def _gpaw_python(environment: Path, dispersion: str | None) -> str:
    python = environment / "bin" / "python"
    if not python.exists():
        raise InputError(
            f"dft.engine: gpaw has an environment of its own, and {environment} is not there; run: make "
            "dft-environment (or name Python with GPAW in dft.command, such as: mpirun -np 8 gpaw python)"
        )
    if dispersion is not None and not list(environment.glob(f"lib/*/site-packages/{DISPERSIONS[dispersion]}")):
        raise InputError(
            f"dft.dispersion: {dispersion} needs {DISPERSIONS[dispersion]}, which {environment} lacks; run: "
            "make dft-environment"
        )
    return str(python)


def open_store(
    engine: Mapping[str, Any],
    vasp: Mapping[str, Any],
    folder: str | Path,
    max_minutes: float,
    orders: Collection[str] = ORDERS,
) -> Store:
    """The store of calculations of a run.

    :param engine: keyword arguments of :class:`EngineOptions`.
    :param vasp: as for :func:`load_engine`.
    :param folder: the store's.
    :param max_minutes: for one attempt.
    :param orders: magnetic orders that crystals are computed from.
    :raises InputError: if the engine is unknown, or something that it needs is missing.
    """
    return Store(folder, load_engine(EngineOptions(**engine), vasp), max_minutes, orders)
