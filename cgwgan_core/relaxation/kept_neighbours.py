"""Neighbours that are kept, so that a potential's kink at its cutoff keeps no crystal from a minimum.

M3GNet-MP-2021.2.8 has such a kink: a crystal may slide into it and have no minimum, as in a groove whose walls are
planes. With its neighbours kept, whatever their distance by now, the energy is smooth, and has a minimum.
"""

import numpy as np
from ase import Atoms

from cgwgan_core.potentials.neighbours import Neighbours, Pair, neighbours
from cgwgan_core.workflow.arrays import Integers

ACROSS = 0.1
"""Å; how far pairs of atoms that are kept as neighbours, or not, may be on the other side of the cutoff in the end."""
AT_CUTOFF = 0.005
"""Å; two atoms this near to the cutoff count as at it."""


class KeptNeighbours:
    """The neighbours that a crystal has now, to be kept, and those that led it to a minimum before.

    :param cutoff: the potential's, Å.
    :param centres: atoms whose neighbours count; ``None``: all.
    """

    def __init__(self, atoms: Atoms, cutoff: float, centres: Integers | None) -> None:
        self._cutoff, self._centres = cutoff, centres
        self._earlier: set[frozenset[Pair]] = set()
        self.pairs = self._found(atoms)

    def renew(self, atoms: Atoms) -> bool:
        """At a minimum, take the neighbours that the crystal has now; false if they led to a minimum before."""
        self._earlier.add(frozenset(self.pairs.pairs()))
        now = self._found(atoms)
        if frozenset(now.pairs()) in self._earlier:
            return False
        self.pairs = now
        return True

    def across(self, atoms: Atoms) -> float:
        """How far, in Å, a pair is beyond the cutoff that is kept, or within it that is not."""
        kept, now = self.pairs.moved(atoms), self._found(atoms)
        others = _distances_of_others(kept, now) + _distances_of_others(now, kept)
        return max((abs(distance - self._cutoff) for distance in others), default=0.0)

    def _found(self, atoms: Atoms) -> Neighbours:
        return neighbours(atoms, self._cutoff, self._centres)


def _distances_of_others(some: Neighbours, without: Neighbours) -> list[float]:
    left_out = frozenset(without.pairs())
    return [distance for pair, distance in zip(some.pairs(), some.distance, strict=True) if pair not in left_out]


def at_cutoff(atoms: Atoms, cutoff: float) -> bool:
    """Whether two atoms are at the cutoff, within :data:`AT_CUTOFF`."""
    distances = neighbours(atoms, cutoff + 0.1).distance
    return bool(len(distances) and np.abs(distances - cutoff).min() < AT_CUTOFF)
