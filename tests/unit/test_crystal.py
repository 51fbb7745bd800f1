"""Templates to atoms, distances, and back, against pymatgen, moyo and spglib."""

import numpy as np
import pytest
import spglib
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from cgwgan_core import spacegroups as sg
from cgwgan_core import tables
from cgwgan_core.crystal import (
    SymmetryError,
    Templates,
    asymmetric_unit,
    decorate,
    expand,
    min_distances,
    reduce_cells,
    spacegroup_of,
    to_atoms,
    with_full_symmetry,
)
from cgwgan_core.fingerprint import fingerprints
from tests.support.random_templates import random_template, templates

SYMBOLS = ["Ba", "Ru", "O", "Ti"]


def perovskite() -> Templates:
    return Templates(
        np.array([221], np.int16),
        np.array([[3.9, 3.9, 3.9, 90, 90, 90.0]]),
        np.array([[0, 1, 2]], np.int8),
        np.array([[[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]]]),
    )


def brute_force_shortest(atoms: Atoms) -> float:
    """All images in a range that surely suffices, by pymatgen."""
    structure = Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.get_scaled_positions())
    radius = 1.01 * min(np.linalg.norm(v) for v in atoms.cell[:])
    _, _, _, distances = structure.get_neighbor_list(radius)
    return float(distances.min())


def test_perovskite_has_five_atoms_and_its_distance() -> None:
    atoms = to_atoms(perovskite(), 0, ["Ba", "Ti", "O"])
    assert atoms.get_chemical_formula() == "BaO3Ti"
    assert min_distances(perovskite()) == pytest.approx(3.9 / 2)
    assert perovskite().number_density == pytest.approx(5 / 3.9**3)
    assert spacegroup_of(atoms) == 221


def test_volume_scale_scales_the_volume() -> None:
    plain, scaled = (to_atoms(perovskite(), 0, ["Ba", "Ti", "O"], s) for s in (1.0, 1.3))
    assert scaled.get_volume() == pytest.approx(1.3 * plain.get_volume())


@settings(max_examples=150, deadline=None)
@given(template=templates())
def test_expanded_templates_have_their_space_group_or_a_supergroup(template: Templates) -> None:
    found = int(with_full_symmetry(template, symprec=1e-4).spacegroup[0])
    number = int(template.spacegroup[0])
    assert len(sg.operations(found)) * len(sg.centring(found)) >= len(sg.operations(number))
    for primitive in (True, False):
        atoms = to_atoms(template, 0, SYMBOLS[: int(template.n_sites[0])], primitive=primitive)
        share = len(sg.centring(number)) if primitive else 1
        assert len(atoms) * share == template.n_atoms[0]
        assert len(atoms) / atoms.get_volume() == pytest.approx(template.number_density[0])


def test_symmetry_that_has_grown_is_described_in_the_supergroup() -> None:
    """A perovskite written in P-43m, in P1 and with a doubled cell is Pm-3m, 1a 1b 3c."""
    cubic = perovskite()
    sites = ([0, 1, 2], [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]])
    lower = Templates(np.array([215], np.int16), cubic.cell, np.array([sites[0]], np.int8), np.array([sites[1]]))
    found = with_full_symmetry(Templates.concat([lower, cubic]))
    assert found.spacegroup.tolist() == [221, 221]
    assert fingerprints(found)[0] == fingerprints(found)[1]
    # two atoms of one site half a cell apart: the true cell is half as long
    double = Templates(
        np.array([123], np.int16), np.array([[4, 4, 6, 90, 90, 90.0]]), np.array([[6, 7]], np.int8),
        np.array([[[0, 0, 0.25], [0.5, 0.5, 0.25]]]),
    ).projected()  # fmt: skip
    assert double.n_atoms[0] == 4
    assert with_full_symmetry(double).n_atoms[0] == 2


@pytest.mark.parametrize("number", range(1, 231))
def test_spglib_and_moyo_find_the_requested_group(number: int) -> None:
    """The general position fixes the group: with it occupied at random, both find exactly the requested one."""
    rng = np.random.default_rng(number)
    general = int(np.flatnonzero(sg.MULTIPLICITY[number]).max())
    # two general sites: one alone may have more symmetry, as a lattice of points does in P1
    template = random_template(rng, number, [general, general, general])
    atoms = to_atoms(template, 0, SYMBOLS[:3], primitive=False)
    assert spacegroup_of(atoms, 1e-4) == number
    found = spglib.get_symmetry_dataset((atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers), symprec=1e-4)
    assert found.number == number


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
    if not np.isfinite(vectors).all() or np.linalg.det(vectors) < 0.02 * np.prod(lengths):
        return
    coords = np.random.default_rng(seed).random((1, 3, 3))
    template = Templates(np.array([1], np.int16), cell, np.array([[0, 0, 0]], np.int8), coords)
    atoms = to_atoms(template, 0, SYMBOLS[:3])
    assert min_distances(template)[0] == pytest.approx(brute_force_shortest(atoms), abs=1e-8)
    reduced, maps = reduce_cells(vectors[None])
    assert abs(round(np.linalg.det(maps[0]))) == 1
    assert np.allclose(maps[0] @ vectors, reduced[0])


def test_coinciding_sites_have_distance_zero() -> None:
    twice = Templates(np.array([221], np.int16), perovskite().cell, np.array([[0, 0]], np.int8), np.zeros((1, 2, 3)))
    assert min_distances(twice)[0] == 0


@settings(max_examples=60, deadline=None)
@given(template=templates(), seed=st.integers(0, 2**32))
def test_structure_to_sites_and_back(template: Templates, seed: int) -> None:
    """Any cell, origin, orientation and order of the atoms gives the same sites and the same crystal."""
    if min_distances(template)[0] < 0.5:
        return
    rng = np.random.default_rng(seed)
    atoms = to_atoms(template, 0, SYMBOLS[: int(template.n_sites[0])])
    change = np.eye(3)
    for _ in range(3):
        step = np.eye(3)
        i, j = rng.permutation(3)[:2]
        step[i, j] = rng.integers(-1, 2)
        change = step @ change
    order = rng.permutation(len(atoms))
    frac = (atoms.get_scaled_positions() + rng.random(3)) @ np.linalg.inv(change)
    unit = asymmetric_unit(change @ atoms.cell[:], frac[order], atoms.numbers[order].tolist(), 1e-3)
    back = next(decorate(unit.template, [[_symbol(z) for z in unit.numbers]], np.ones(1)))
    assert back.get_volume() / len(back) == pytest.approx(atoms.get_volume() / len(atoms), rel=1e-6)
    if len(atoms) <= 48:
        before, after = distances(atoms), distances(back)
        assert before.keys() == after.keys()
        for pair in before:
            # the same distances as often for each atom, whatever the size of the cell
            one, other = np.repeat(before[pair], len(back)), np.repeat(after[pair], len(atoms))
            assert len(one) == len(other)
            assert np.abs(one - other).max() < 1e-4


def distances(atoms: Atoms, radius: float = 6.1234) -> dict[tuple[int, int], np.ndarray]:
    """Sorted distances within a radius by pair of elements, by pymatgen."""
    centre, neighbour, _, found = _structure(atoms).get_neighbor_list(radius)
    numbers = atoms.numbers
    keys = np.stack([numbers[centre], numbers[neighbour]], axis=1)
    return {tuple(pair): np.sort(found[(keys == pair).all(axis=1)]) for pair in np.unique(keys, axis=0).tolist()}


def test_refined_sites_lie_on_their_positions() -> None:
    """Rutile with noise: letters, and coordinates exactly (x, x, 0)."""
    lattice = Lattice.tetragonal(4.6, 2.96)
    rutile = Structure.from_spacegroup(136, lattice, ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]])
    rutile.perturb(0.02)
    unit = asymmetric_unit(rutile.lattice.matrix, rutile.frac_coords, list(rutile.atomic_numbers), 0.1)
    assert unit.template.spacegroup[0] == 136
    assert [sg.letter_name(i) for i in unit.template.letters[0]] == ["a", "f"]
    x = unit.template.coords[0, 1]
    assert x[0] == x[1]
    assert x[2] == 0
    assert x[0] == pytest.approx(0.305, abs=0.01)
    assert unit.numbers == [22, 8]


def test_no_symmetry_is_an_error_with_its_reason() -> None:
    with pytest.raises(SymmetryError, match=r"no symmetry found at symprec 0\.1"):
        asymmetric_unit(np.eye(3) * 4, np.zeros((2, 3)), [1, 1], 0.1)


@settings(max_examples=50, deadline=None)
@given(batch=st.lists(templates(), min_size=1, max_size=5))
def test_tables_keep_templates(batch: list[Templates]) -> None:
    before = Templates.concat(batch)
    after = Templates.from_table(tables.to_table(before.to_columns(), tables.TEMPLATES))
    assert np.array_equal(before.spacegroup, after.spacegroup)
    assert np.array_equal(before.letters, after.letters)
    assert np.array_equal(before.coords, after.coords)
    assert np.array_equal(before.cell, after.cell)


def test_expansion_of_a_batch_is_that_of_each() -> None:
    rng = np.random.default_rng(0)
    batch = [random_template(rng, n, [0, int(np.flatnonzero(sg.MULTIPLICITY[n]).max())]) for n in (225, 14, 225, 166)]
    together = min_distances(Templates.concat(batch))
    assert together == pytest.approx([min_distances(t)[0] for t in batch])
    assert sorted(i for group in expand(Templates.concat(batch)) for i in group.index) == [0, 1, 2, 3]


def _structure(atoms: Atoms) -> Structure:
    return Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.get_scaled_positions())


def _symbol(number: int) -> str:
    return Atoms([number])[0].symbol
