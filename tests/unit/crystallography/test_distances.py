"""Shortest distances, against pymatgen's neighbour lists."""

import numpy as np
import pytest
from ase import Atoms
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.distances import min_distances, reduce_cells, site_distances
from cgwgan_core.crystallography.templates import Templates, to_atoms
from tests.support.crystals import perovskite_template
from tests.support.random_templates import templates

SYMBOLS = ["Ba", "Ru", "O", "Ti"]


def brute_force_shortest(atoms: Atoms) -> float:
    """All images in a range that surely suffices, by pymatgen."""
    structure = Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.get_scaled_positions())
    radius = 1.01 * min(np.linalg.norm(v) for v in atoms.cell[:])
    _, _, _, distances = structure.get_neighbor_list(radius)
    return float(distances.min())


def test_distances_in_perovskite() -> None:
    """A to B √3/2 a, A to O √2/2 a, B to O a/2; O to O √2/2 a."""
    assert min_distances(perovskite_template()) == pytest.approx(3.9 / 2)
    third, half = 3**0.5 / 2, 2**0.5 / 2
    expected = np.array([[1, third, half], [third, 1, 0.5], [half, 0.5, half]])
    assert site_distances(perovskite_template())[0] == pytest.approx(3.9 * expected)


@settings(max_examples=200, deadline=None)
@given(template=templates())
def test_shortest_distance_is_the_brute_force_one(template: Templates) -> None:
    atoms = to_atoms(template, 0, SYMBOLS[: int(template.n_sites[0])])
    assert min_distances(template)[0] == pytest.approx(brute_force_shortest(atoms), abs=1e-8)


@settings(max_examples=200, deadline=None)
@given(
    lengths=st.tuples(*[st.floats(1.5, 30)] * 3),
    angles=st.tuples(*[st.floats(20, 160)] * 3),
    seed=st.integers(0, 2**32),
)
def test_distances_in_skewed_cells(lengths: tuple[float, ...], angles: tuple[float, ...], seed: int) -> None:
    cell = np.array([[*lengths, *angles]])
    vectors = sg.cell_vectors(cell)[0]
    assume(np.isfinite(vectors).all() and np.linalg.det(vectors) >= 0.02 * np.prod(lengths))
    coords = np.random.default_rng(seed).random((1, 3, 3))
    template = Templates(np.array([1], np.int16), cell, np.array([[0, 0, 0]], np.int8), coords)
    atoms = to_atoms(template, 0, SYMBOLS[:3])
    assert min_distances(template)[0] == pytest.approx(brute_force_shortest(atoms), abs=1e-8)
    reduced, maps = reduce_cells(vectors[None])
    assert abs(round(np.linalg.det(maps[0]))) == 1
    assert np.allclose(maps[0] @ vectors, reduced[0])


def test_coinciding_sites_have_distance_zero() -> None:
    twice = Templates(
        np.array([221], np.int16), perovskite_template().cell, np.array([[0, 0]], np.int8), np.zeros((1, 2, 3))
    )
    assert min_distances(twice)[0] == 0


def test_padding_is_infinitely_far() -> None:
    one = Templates(
        np.array([221], np.int16), perovskite_template().cell, np.array([[0]], np.int8), np.zeros((1, 1, 3))
    )
    found = site_distances(Templates.concat([perovskite_template(), one]))[1]
    assert found[0, 0] == pytest.approx(3.9)
    assert np.isinf(found[1:]).all()
    assert np.isinf(found[:, 1:]).all()
