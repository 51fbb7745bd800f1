"""One calculation by DFT: a crystal with starting moments and an engine's parameters, and what came of it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ase import Atoms

from cgwgan_core.workflow.arrays import Floats

CONVERGED, UNFINISHED = "converged", "unfinished"
"""Statuses of an outcome; any other is the reason why there is no energy."""


@dataclass(frozen=True)
class Calculation:
    """A crystal and all that its energy depends on."""

    atoms: Atoms
    """Periodic, or a molecule in a box; initial magnetic moments, if any, start the spin density (μB)."""
    engine: str
    parameters: Mapping[str, Any]
    """The engine's own, as JSON."""

    @property
    def key(self) -> str:
        """Digest of crystal, moments, engine and parameters (20 hex digits): the calculation's name in a store.

        Lengths and moments count to 1e-8, so that it does not hang on noise.
        """
        rounded = {
            key: _rounded(value) if key in ("cell", "positions", "magnetic_moments") else value
            for key, value in self.to_json().items()
        }
        text = json.dumps(rounded, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def to_json(self) -> dict[str, Any]:
        """As written to ``calculation.json``; lengths in Å, to their last digit: GPAW takes symmetry that exactly."""
        return {
            "engine": self.engine,
            "parameters": dict(self.parameters),
            "numbers": self.atoms.numbers.tolist(),
            "cell": self.atoms.cell.array.tolist(),
            "positions": self.atoms.positions.tolist(),
            "magnetic_moments": self.atoms.get_initial_magnetic_moments().tolist(),
            "periodic": bool(self.atoms.pbc.any()),
        }

    @classmethod
    def from_json(cls, text: Mapping[str, Any]) -> "Calculation":
        """What :meth:`to_json` gave."""
        atoms = Atoms(
            text["numbers"],
            cell=text["cell"],
            positions=text["positions"],
            magmoms=text["magnetic_moments"],
            pbc=text["periodic"],
        )
        return cls(atoms, text["engine"], text["parameters"])

    def with_parameters(self, **changes: Any) -> "Calculation":
        """The same crystal with other parameters."""
        return replace(self, parameters={**self.parameters, **changes})

    def with_moments(self, moments: Sequence[float] | Floats) -> "Calculation":
        """The same crystal with another start of the spin density, μB per atom."""
        atoms = self.atoms.copy()
        atoms.set_initial_magnetic_moments(moments)
        return replace(self, atoms=atoms)


def _finite(values: Any) -> bool:
    try:
        return bool(np.isfinite(np.array(values, dtype=float)).all())
    except (TypeError, ValueError):
        return False


def _rounded(values: Any) -> Any:
    return (np.round(values, 8) + 0.0).tolist()  # + 0.0: no negative zeros


@dataclass(frozen=True)
class Outcome:
    """What an engine says of one calculation."""

    status: str
    """:data:`CONVERGED`; :data:`UNFINISHED`, nothing or a part of an output is there; or why there is no energy."""
    energy: float | None = None
    """eV per cell, extrapolated to zero smearing."""
    forces: Any = None
    """(n_atoms, 3) as nested lists, eV/Å, in the order of the calculation's atoms; ``None`` if not asked for."""
    stress: Any = None
    """Voigt order xx yy zz yz xz xy, eV/Å³, positive under tension (as ASE); ``None`` if not asked for."""
    magnetic_moment: float | None = None
    """μB per cell."""
    magnetic_moments: Any = None
    """μB of each atom, in the order of the calculation's atoms."""
    version: str | None = None
    """Engine and release."""
    repairable: bool = False
    """Whether the failure is one that other parameters may mend (no convergence), not one of machine or input."""
    remedies: tuple[str, ...] = field(default=())
    """What was changed after failures, in order; set by the store."""

    @property
    def converged(self) -> bool:
        """Whether there is an energy."""
        return self.status == CONVERGED

    def to_json(self) -> dict[str, Any]:
        """As written to ``result.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, text: Mapping[str, Any]) -> "Outcome":
        """What :meth:`to_json` gave, or an engine's runner.

        :raises TypeError: if there are other keys.
        :raises ValueError: if it is converged, but not to numbers.
        """
        outcome = cls(**{**text, "remedies": tuple(text.get("remedies", ()))})
        if outcome.converged and not _finite(outcome.energy):
            raise ValueError("converged without an energy")
        for name in ("forces", "stress", "magnetic_moment", "magnetic_moments"):
            value = getattr(outcome, name)
            if not (value is None or _finite(value)):
                raise ValueError(f"converged, but with {name} that are no numbers")
        return outcome


@dataclass(frozen=True)
class Remedy:
    """What is tried after a failure that parameters may mend, as custodian's handlers do."""

    name: str
    """Short, for tables: ``weaker mixing``."""
    changes: Mapping[str, Any]
    """Parameters that replace those of the first attempt."""


class Engine(Protocol):
    """A DFT code behind three steps: inputs into a folder, a command that runs there, results out of the folder."""

    name: str
    """``gpaw``, ``espresso`` or ``vasp``."""
    remedies: Sequence[Remedy]
    """Tried in order after repairable failures; each adds to those before."""

    def parameters(self, atoms: Atoms, *, stress: bool = False, **changes: Any) -> dict[str, Any]:
        """The engine's parameters for a crystal: mesh, bands, cutoff, as JSON.

        :param stress: whether stress is asked for, at a cutoff where it can be trusted. Energies compare between
            calculations of equal ``stress`` only.
        :param changes: parameters to replace.
        """
        ...

    def write(self, calculation: Calculation, folder: Path) -> None:
        """Write the inputs into an existing, empty folder.

        :raises InputError: if the engine cannot treat the crystal, such as for want of a pseudopotential.
        """
        ...

    def command(self) -> list[str] | None:
        """What runs in such a folder, as for ``subprocess``; ``None`` where the engine cannot run here."""
        ...

    def read(self, folder: Path) -> Outcome:
        """What lies in such a folder. Never raises for what it holds: the status tells."""
        ...
