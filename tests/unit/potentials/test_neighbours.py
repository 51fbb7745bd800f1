"""Neighbours of all atoms, and of some."""

import numpy as np

from cgwgan_core.potentials.neighbours import neighbours
from tests.support.potentials import displaced_perovskite


def test_neighbours_of_some_atoms_are_those_among_all() -> None:
    atoms = displaced_perovskite(3)
    every, some = (
        {(i, j, *image, round(d, 6)) for i, j, image, d in zip(n.centre, n.neighbour, n.image, n.distance, strict=True)}
        for n in (neighbours(atoms, 5.0), neighbours(atoms, 5.0, np.array([1, 4])))
    )
    assert some == {pair for pair in every if pair[0] in (1, 4)}
    assert len(some) > 50
