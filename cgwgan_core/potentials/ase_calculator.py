"""Any ASE calculator as a potential, named by the import path of a function that makes one."""

import hashlib
import importlib
import inspect
from collections.abc import Sequence

import numpy as np
from ase import Atoms

from cgwgan_core.potentials.neighbours import Neighbours
from cgwgan_core.potentials.protocol import ENERGY_SCALES, Batch, Potential
from cgwgan_core.workflow.errors import InputError


class ASECalculator(Potential):
    """Wraps ``package.module:factory``, where ``factory()`` gives an ASE calculator in eV and Å.

    :param import_path: as above; the module must be importable (``PYTHONPATH``).
    :param energy_scale: must be given, since nothing tells it.
    :raises InputError: if the path cannot be imported or its result is no calculator, or the scale is unknown.
    """

    def __init__(self, import_path: str, energy_scale: str | None) -> None:
        if energy_scale not in ENERGY_SCALES:
            raise InputError(
                f"potential: set potential.energy_scale of {import_path} to one of {', '.join(ENERGY_SCALES)}"
            )
        module_name, _, attribute = import_path.partition(":")
        try:
            module = importlib.import_module(module_name)
            self._calculator = getattr(module, attribute)()
        except Exception as error:  # noqa: BLE001 - the user's own code, which may fail in any way
            raise InputError(
                f"potential.name: {import_path}: cannot make a calculator ({type(error).__name__}: {error})"
            ) from None
        if not hasattr(self._calculator, "get_potential_energy"):
            raise InputError(
                f"potential.name: {import_path}: gives {type(self._calculator).__name__}, not an ASE calculator"
            )
        self.name = import_path
        self.energy_scale = energy_scale  # type: ignore[assignment]  # one of them, as was asked above
        self.versions = {module_name: str(getattr(module, "__version__", "unknown"))}
        # The weights cannot be seen from here: the code that chooses them stands for them.
        self.digest = hashlib.sha256(f"{import_path}\n{inspect.getsource(module)}".encode()).hexdigest()[:16]

    def unknown(self, symbols: set[str]) -> set[str]:  # noqa: ARG002 - the protocol's
        """None beforehand; the calculator raises on what it cannot treat."""
        return set()

    def compute(
        self,
        crystals: Sequence[Atoms],
        pairs: Sequence[Neighbours],  # noqa: ARG002 - the calculator finds its own
        forces: bool,
        stress: bool,
    ) -> Batch:
        """One crystal after the other."""
        energies, all_forces, stresses = [], [], []
        for crystal in crystals:
            atoms = crystal.copy()
            atoms.calc = self._calculator
            if forces:
                all_forces.append(np.array(atoms.get_forces(), dtype=float))
            if stress:
                stresses.append(np.array(atoms.get_stress(voigt=False), dtype=float))
            energies.append(float(atoms.get_potential_energy()))
        return Batch(
            np.array(energies),
            all_forces if forces else None,
            np.stack(stresses) if stress else None,
        )
