"""Any ASE calculator as a potential."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from cgwgan_core.potentials.neighbours import Neighbours
from cgwgan_core.potentials.protocol import Batch, EnergyScale, Potential


class ASECalculator(Potential):
    """A calculator in eV and Å.

    :param name: what verdicts call it.
    :param digest: of its weights, or of what stands for them.
    :param versions: of the libraries that evaluate it.
    """

    def __init__(
        self, calculator: Calculator, name: str, energy_scale: EnergyScale, digest: str, versions: dict[str, str]
    ) -> None:
        self._calculator = calculator
        self.name = name
        self.energy_scale = energy_scale
        self.digest = digest
        self.versions = versions

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
