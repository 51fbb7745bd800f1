"""Engines that are ASE calculators: GPAW, in an environment of its own, and any other by name.

A calculator never runs in this process. Each attempt's folder holds ``calculation.json`` and ``run.py``, a copy of
:mod:`cgwgan_core.dft.runner`: ``python run.py`` there, on any machine, is the calculation.
"""

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from cgwgan_core.dft import runner
from cgwgan_core.dft.calculation import UNFINISHED, Calculation, Outcome, Remedy
from cgwgan_core.dft.mesh import is_molecule, mesh
from cgwgan_core.workflow.errors import first_line
from cgwgan_core.workflow.files import write_json

RUNNER, COPY = Path(runner.__file__), "run.py"
OUTCOME = "outcome.json"
"""What the runner writes when it ends in order."""
ANIONS = frozenset({"H", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"})
CUTOFF, STRESS_CUTOFF = 500.0, 700.0
"""eV, of energies and of stress."""


class AseEngine:
    """An ASE calculator as an :class:`~cgwgan_core.dft.calculation.Engine`.

    :param calculator: ``package.module:function``, which gives the calculator.
    :param command: how Python with the calculator's package is started; ``None`` if it cannot run here.
    :param dispersion: ``D3BJ`` or ``D4``, added with PBE's parameters; needs dftd3 or dftd4 beside the calculator.
    """

    name = "ase"
    remedies: Sequence[Remedy] = ()

    def __init__(self, calculator: str, command: str | None, dispersion: str | None = None) -> None:
        self._calculator = calculator
        self._command = None if command is None else [*shlex.split(command), COPY]
        # left out where there is none, as in calculations of stores that are older than it
        self._dispersion = {} if dispersion is None else {"dispersion": dispersion}

    def parameters(self, atoms: Atoms, *, stress: bool = False, **changes: Any) -> dict[str, Any]:  # noqa: ARG002
        """The calculator's name, and arguments for it."""
        return {"calculator": self._calculator, "arguments": {}, "stress": stress, **self._dispersion, **changes}

    def write(self, calculation: Calculation, folder: Path) -> None:
        """Write the calculation and its runner."""
        write_json(folder / "calculation.json", calculation.to_json())
        shutil.copyfile(RUNNER, folder / COPY)

    def command(self) -> list[str] | None:
        """Python on the runner."""
        return self._command

    def read(self, folder: Path) -> Outcome:
        """What the runner wrote."""
        try:
            return Outcome.from_json(json.loads((folder / OUTCOME).read_text()))
        except FileNotFoundError:
            return Outcome(UNFINISHED)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            return Outcome(f"{OUTCOME} cannot be read: {first_line(error)}")


class Gpaw(AseEngine):
    """GPAW with plane waves and PBE.

    500 eV and Γ-centred meshes by density give energies to a few meV/atom at a fixed cell. The stress of a fixed number
    of plane waves is false by several GPa (Pulay), so stress is computed at 700 eV. Metals need empty bands: with
    GPAW's own number bcc barium is wrong by 0.1 eV.

    :param command: how Python with GPAW is started, such as ``mpirun -np 8 gpaw python``.
    :param kspacing: 1/Å with 2π, of crystals with anions; ``None``: 0.48. Others get meshes 1.6 times as dense.
    :param dispersion: as of :class:`AseEngine`.
    """

    name = "gpaw"
    remedies: Sequence[Remedy] = (
        Remedy("weaker mixing, more steps", {"mixing": {"beta": 0.02, "nmaxold": 5, "weight": 100.0}, "maxiter": 250}),
        Remedy("Davidson's solver", {"eigensolver": {"name": "dav", "niter": 3}}),
        Remedy("wider smearing", {"smearing": 0.3}),  # last, as it moves the energy
    )

    def __init__(self, command: str | None, kspacing: float | None = None, dispersion: str | None = None) -> None:
        super().__init__("", command, dispersion)
        self._kspacing = 0.48 if kspacing is None else kspacing

    def parameters(self, atoms: Atoms, *, stress: bool = False, **changes: Any) -> dict[str, Any]:
        """Mesh, bands, cutoff and smearing for a crystal.

        A molecule in a box (no periodic direction) gets a mesh off Γ, no smearing, and keeps its moment.
        """
        molecule = is_molecule(atoms)
        metal = not ANIONS.intersection(atoms.symbols)
        spacing = self._kspacing / 1.6 if metal else self._kspacing
        return {
            "xc": "PBE",
            "cutoff": STRESS_CUTOFF if stress else CUTOFF,
            "kpts": list(mesh(atoms, spacing)),
            "bands": "170%" if metal else "130%",
            "smearing": 0.0 if molecule else 0.1,
            "convergence": {"energy": 2e-4, "density": 3e-4, "eigenstates": 3e-6},
            "maxiter": 100,
            "mixing": None,
            "eigensolver": None,
            "stress": stress,
            **self._dispersion,
            **changes,
        }
