"""Any model of torch-sim as a potential: many crystals in one state, on a GPU where there is one.

Package ``torch-sim-atomistic``, https://github.com/TorchSim/torch-sim. Its models give energies (eV), forces (eV/Å) and
stress (eV/Å³, ASE's sign) of a state of many crystals.
"""

import contextlib
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from ase import Atoms

from cgwgan_core.potentials.neighbours import Neighbours
from cgwgan_core.potentials.protocol import Batch, EnergyScale, Potential
from cgwgan_core.workflow.arrays import Floats

ATOMS_ON_GPU = 4000
"""Most atoms in one evaluation there."""


class TorchSimModel(Potential):
    """A ``ModelInterface`` of torch-sim.

    :param model: on its device.
    :param name: what verdicts call it.
    :param digest: of its weights, or of what stands for them.
    :param versions: of the libraries that evaluate it.
    :param switches: whether it can do without forces and stress though its interface has no setters for that.
    """

    smooth = True

    def __init__(
        self,
        model: Any,
        name: str,
        energy_scale: EnergyScale,
        digest: str,
        versions: dict[str, str],
        switches: bool = False,
    ) -> None:
        torch.set_num_threads(1)
        self._model = model
        self._switches = switches
        self._states = import_module("torch_sim.io")
        self.name = name
        self.energy_scale = energy_scale
        self.digest = digest
        self.versions = versions
        if model.device.type != "cpu":
            self.batch_atoms = ATOMS_ON_GPU

    def unknown(self, symbols: set[str]) -> set[str]:  # noqa: ARG002 - the protocol's
        """None beforehand; the model raises on what it cannot treat."""
        return set()

    def compute(
        self,
        crystals: Sequence[Atoms],
        pairs: Sequence[Neighbours],  # noqa: ARG002 - the model finds its own
        forces: bool,
        stress: bool,
    ) -> Batch:
        """Evaluate one batch as one state."""
        model = self._model
        self._ask(forces or stress)
        state = self._states.atoms_to_state(list(crystals), model.device, model.dtype)
        try:
            found = model(state)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            raise
        ends = np.cumsum([len(atoms) for atoms in crystals])[:-1]
        return Batch(
            _array(found["energy"]).reshape(len(crystals)),
            np.split(_array(found["forces"]), ends) if forces else None,
            _array(found["stress"]).reshape(-1, 3, 3) if stress else None,
        )

    def _ask(self, derivatives: bool) -> None:
        """Have the model compute forces and stress, or neither where it can do without."""
        for what in ("compute_forces", "compute_stress"):
            if self._switches:  # without a setter; the interface declares where the flag is
                setattr(self._model, f"_{what}", derivatives)
            else:
                with contextlib.suppress(NotImplementedError, AttributeError):
                    setattr(self._model, what, derivatives)


def _array(tensor: torch.Tensor) -> Floats:
    return tensor.detach().cpu().numpy().astype(np.float64)
