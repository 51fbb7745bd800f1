"""ASE calculators with the ways of DFT codes: self-consistency, spin, memory. Engines start them in processes of their
own, where this module needs ASE alone."""

import resource
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import SCFError, all_changes
from ase.calculators.emt import EMT


class SelfConsistent(EMT):
    """EMT, and the energy of a charge that answers to itself: q = tanh(1 - 4q), found by linear mixing.

    It oscillates for ever if more than 0.41 of the new charge is mixed in.
    """

    def __init__(self, mixing: float = 0.7, steps: int = 100) -> None:
        super().__init__()
        self.mixing, self.steps = mixing, steps

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        charge = 0.0
        for _ in range(self.steps):
            change = np.tanh(1 - 4 * charge) - charge
            if abs(change) < 1e-10:
                self.results["energy"] += charge
                return
            charge += self.mixing * change
        raise SCFError(f"no convergence in {self.steps} steps")


class Ising(EMT):
    """EMT, and neighbours whose moments prefer to be equal (``coupling`` below 0) or opposite; eV of each pair.

    :param kept: the share of the initial moments that is left at the end.
    """

    def __init__(self, coupling: float = 0.01, kept: float = 0.5) -> None:
        super().__init__()
        self.coupling, self.kept = coupling, kept

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        moments = self.atoms.get_initial_magnetic_moments()
        pairs = np.outer(np.sign(moments), np.sign(moments))
        distances = _nearest(self.atoms)
        energy = self.coupling * pairs[distances < 1.1 * distances.min()].sum() / 2
        self.results |= {
            "energy": self.results["energy"] + energy,
            "magmom": self.kept * moments.sum(),
            "magmoms": self.kept * moments,
        }


class Hungry(EMT):
    """Asks for far more memory than its process may have."""

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
        super().calculate(atoms, properties, system_changes)
        self.results["energy"] += np.ones(2**30).sum()


def antiferromagnet() -> Ising:
    return Ising(0.01)


def ferromagnet() -> Ising:
    return Ising(-0.01)


def collapsing() -> Ising:
    """Its moments vanish."""
    return Ising(0.0, kept=0.0)


def _nearest(atoms: Atoms) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Distances of all pairs of atoms, of the nearest images; of an atom with itself, infinite."""
    distances = atoms.get_all_distances(mic=True)
    np.fill_diagonal(distances, np.inf)
    return np.asarray(distances)
