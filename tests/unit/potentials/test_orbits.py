"""Orbits under rotations: how many there are, and that each rotation takes one surroundings to the other."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from hypothesis import assume, given, settings

from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.templates import Templates, to_atoms
from cgwgan_core.potentials.neighbours import neighbours
from cgwgan_core.potentials.orbits import Orbits, under_rotations
from tests.support.random_templates import templates


def around(atoms: Atoms, i: int, cutoff: float) -> np.ndarray:
    """Element and vector of every neighbour of an atom, sorted."""
    found = neighbours(atoms, cutoff, np.array([i]))
    rows = np.column_stack([atoms.numbers[found.neighbour], found.bonds(atoms)])
    return rows[np.lexsort(np.round(rows, 3).T)]


@settings(max_examples=60, deadline=None)
@given(template=templates())
def test_rotations_take_the_first_atom_s_neighbours_to_each_atom_s(template: Templates) -> None:
    assume(min_distances(template)[0] > 0.7)
    atoms = to_atoms(template, 0, ["Ba", "Ru", "O", "Ti"][: int(template.n_sites[0])])
    site = atoms.arrays["site"]
    found = under_rotations(atoms, site)
    assert np.linalg.det(found.rotations) == pytest.approx(1.0)
    assert (site[found.first][found.number] == site).all()
    for i, (orbit, rotation) in enumerate(zip(found.number, found.rotations, strict=True)):
        turned = around(atoms, found.first[orbit], 4.0)
        turned[:, 1:] = turned[:, 1:] @ rotation.T
        turned = turned[np.lexsort(np.round(turned, 3).T)]
        own = around(atoms, i, 4.0)
        assert len(turned) == len(own)
        gaps = np.abs(turned[:, None] - own).max(axis=2)
        assert gaps.min(axis=1).max(initial=0.0) < 1e-3


def test_mirror_images_are_apart() -> None:
    """P-1 has no rotation: two atoms that inversion exchanges are two orbits; in P2 they are one."""
    for group, n_orbits in ((2, 2), (3, 1)):
        atoms = crystal("O", [(0.1, 0.2, 0.3)], spacegroup=group, cellpar=[4, 5, 6, 90, 100 if group == 3 else 80, 90])
        assert len(atoms) == 2
        assert len(under_rotations(atoms, np.zeros(2, int)).first) == n_orbits


def test_orbits_do_not_go_beyond_those_given() -> None:
    silicon = bulk("Si", "diamond", a=5.43).repeat((2, 1, 1))
    assert len(under_rotations(silicon, np.zeros(4, int)).first) == 1
    assert len(under_rotations(silicon, np.array([0, 0, 1, 1])).first) == 2
    assert (under_rotations(silicon, np.arange(4)).number == np.arange(4)).all()
    assert Orbits.single(3).first.tolist() == [0, 1, 2]
