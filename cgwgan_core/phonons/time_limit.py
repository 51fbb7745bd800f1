"""A potential that gives a crystal up once its time is over."""

import time
from typing import Any

from ase import Atoms

from cgwgan_core.potentials.orbits import Orbits
from cgwgan_core.potentials.protocol import Batch, Potential
from cgwgan_core.workflow.arrays import Integers


class OutOfTime(BaseException):
    """A crystal takes too long. Not an :class:`Exception`, since code that recovers from those must let it pass."""


class TimeLimited(Potential):
    """A potential that raises :class:`OutOfTime` once its time is over, before the next evaluation."""

    def __init__(self, potential: Potential, minutes: float) -> None:
        self._potential, self._end = potential, time.monotonic() + 60 * minutes
        self.name, self.energy_scale, self.digest = potential.name, potential.energy_scale, potential.digest
        self.versions, self.cutoff, self.batch_atoms = potential.versions, potential.cutoff, potential.batch_atoms
        self.by_orbit, self.smooth = potential.by_orbit, potential.smooth

    def unknown(self, symbols: set[str]) -> set[str]:
        """As of the potential itself."""
        return self._potential.unknown(symbols)

    def equivalent(self, atoms: Atoms, number: Integers) -> Orbits:
        """As of the potential itself."""
        return self._potential.equivalent(atoms, number)

    def compute(self, *arguments: Any) -> Batch:
        """As the potential itself, in time."""
        self._check()
        return self._potential.compute(*arguments)

    def compute_by_orbit(self, *arguments: Any) -> Batch:
        """As the potential itself, in time."""
        self._check()
        return self._potential.compute_by_orbit(*arguments)

    def _check(self) -> None:
        if time.monotonic() > self._end:
            raise OutOfTime
