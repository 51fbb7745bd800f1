"""Many crystals relaxed side by side: atoms and cell, with a potential that evaluates them in batches."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from ase import Atoms
from threadpoolctl import ThreadpoolController

from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Descent, Relaxation, Relaxed
from cgwgan_core.workflow.logs import progress

Name = TypeVar("Name")


def relax(atoms: Atoms, potential: Potential, how: Relaxation) -> Relaxed:
    """Relax positions and cell. Never raises for what a crystal does: its status tells."""
    ((_, relaxed),) = relax_together([atoms], potential, how)
    return relaxed


def relax_each(crystals: Mapping[Name, Atoms], potential: Potential, how: Relaxation, what: str) -> dict[Name, Relaxed]:
    """Crystals by name, relaxed side by side, in the order in which they finish.

    :param what: is done, for the log.
    """
    names = list(crystals)
    found = relax_together(list(crystals.values()), potential, how)
    return {names[i]: relaxed for i, relaxed in progress(found, len(names), what)}


def relax_together(crystals: Sequence[Atoms], potential: Potential, how: Relaxation) -> Iterator[tuple[int, Relaxed]]:
    """Relax many crystals side by side: each as by :func:`relax`, the potential evaluates them in batches.

    :yields: place of a crystal and what became of it, in the order in which they finish.
    """
    going: list[tuple[int, Descent]] = []
    # spglib and moyo may crash, not raise, on what is no crystal: the potential refuses that first
    for i, error in enumerate(potential.evaluate(crystals).errors):
        if error is None:
            going.append((i, Descent(crystals[i], potential, how)))
        else:
            yield i, Relaxed.untreated(crystals[i], error)
    threads = ThreadpoolController()
    going.sort(key=lambda pair: len(pair[1].atoms))  # crystals of one size fill a batch best
    while going:
        start, n_atoms = time.monotonic(), sum(len(descent.atoms) for _, descent in going)
        found = potential.evaluate(
            [descent.atoms for _, descent in going],
            forces=True,
            stress=True,
            orbits=[descent.orbits for _, descent in going] if how.keep_symmetry else None,
            pairs=[descent.pairs for _, descent in going],
        )
        minutes = (time.monotonic() - start) / 60
        assert found.forces is not None
        assert found.stresses is not None
        # matrices of the cell are 3 x 3: with several BLAS threads each takes milliseconds, not microseconds
        with threads.limit(limits=1, user_api="blas"):
            for row, (i, descent) in enumerate(going):
                descent.advance(found.energies[row], found.forces[row], found.stresses[row], found.errors[row])
                descent.spend(minutes * len(descent.atoms) / n_atoms)
                if descent.status is not None:
                    yield i, descent.result()
        going = [pair for pair in going if pair[1].status is None]
