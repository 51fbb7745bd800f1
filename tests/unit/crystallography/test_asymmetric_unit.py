"""Structures to sites and back, and symmetry that has grown, against pymatgen."""

import numpy as np
import pytest
from ase import Atoms
from ase.data import chemical_symbols
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit, with_full_symmetry
from cgwgan_core.crystallography.asymmetric_unit_kernel import may_grow
from cgwgan_core.crystallography.distances import min_distances, shortest_basis
from cgwgan_core.crystallography.fingerprint import canonical, fingerprints
from cgwgan_core.crystallography.matching import Distinct, Tolerances
from cgwgan_core.crystallography.structures import atoms_to_structure
from cgwgan_core.crystallography.symmetry import TIGHT, SymmetryError, find_symmetry
from cgwgan_core.crystallography.templates import Templates, decorate, expand, to_atoms
from tests.support.crystals import perovskite_template
from tests.support.random_templates import random_template, templates

SYMBOLS = ["Ba", "Ru", "O", "Ti"]


def distances(atoms: Atoms, radius: float = 6.1234) -> dict[tuple[int, int], np.ndarray]:
    """Sorted distances within a radius by pair of elements, by pymatgen."""
    centre, neighbour, _, found = atoms_to_structure(atoms).get_neighbor_list(radius)
    numbers = atoms.numbers
    keys = np.stack([numbers[centre], numbers[neighbour]], axis=1)
    return {tuple(pair): np.sort(found[(keys == pair).all(axis=1)]) for pair in np.unique(keys, axis=0).tolist()}


@settings(max_examples=60, deadline=None)
@given(template=templates(), seed=st.integers(0, 2**32))
def test_structure_to_sites_and_back(template: Templates, seed: int) -> None:
    """Any cell, origin, orientation and order of the atoms gives the same sites and the same crystal."""
    assume(min_distances(template)[0] >= 0.5)
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
    back = next(decorate(unit.template, [[chemical_symbols[z] for z in unit.numbers]], np.ones(1)))
    assert back.get_volume() / len(back) == pytest.approx(atoms.get_volume() / len(atoms), rel=1e-6)
    if len(atoms) <= 48:
        before, after = distances(atoms), distances(back)
        assert before.keys() == after.keys()
        for pair in before:
            # the same distances as often for each atom, whatever the size of the cell
            one, other = np.repeat(before[pair], len(back)), np.repeat(after[pair], len(atoms))
            assert len(one) == len(other)
            assert np.abs(one - other).max() < 1e-4


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


def test_symmetry_that_has_grown_is_described_in_the_supergroup() -> None:
    """A perovskite written in P-43m, in P1 and with a doubled cell is Pm-3m, 1a 1b 3c."""
    cubic = perovskite_template()
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


@settings(max_examples=100, deadline=None)
@given(template=templates(), special=st.booleans(), seed=st.integers(0, 2**32))
def test_moyo_is_asked_wherever_symmetry_grows(template: Templates, special: bool, seed: int) -> None:
    """With cell and coordinates anywhere, and where both are special and symmetry often grows."""
    if special:
        random = np.random.default_rng(seed)
        lengths = random.choice([4.0, 4.0 * 2**0.5, 4.0 * 3**0.5, 6.0], (1, 3))
        angles = np.full((1, 3), 90.0)
        coords = random.integers(0, 4, template.coords.shape) / 4
        cell = np.concatenate([lengths, angles], axis=1)
        template = Templates(template.spacegroup, cell, template.letters, coords).projected()
    assume(min_distances(template)[0] > 0.5)
    (group,) = expand(template)
    found = find_symmetry(group.vectors[0], np.mod(group.positions[0], 1), (group.site + 1).tolist(), TIGHT)
    grown = found.number != template.spacegroup[0] or len(found.prim_std_cell.numbers) < len(group.site)
    basis = shortest_basis(group.vectors)
    operations = len(sg.operations(int(template.spacegroup[0])))
    asked = may_grow(basis @ group.vectors, group.positions @ np.linalg.inv(basis), group.site, operations, 10 * TIGHT)
    assert asked[0] or not grown
    if not special and not grown:
        assert with_full_symmetry(template).spacegroup[0] == template.spacegroup[0]


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), number=st.integers(1, 15))
def test_short_axes_need_no_other_cell(seed: int, number: int) -> None:
    """Of monoclinic and triclinic templates that are left as they are, moyo's cell leads to the same description."""
    random = np.random.default_rng(seed)
    general = int(np.flatnonzero(sg.MULTIPLICITY[number]).max())
    left = random_template(random, number, [general, general])
    assume(min_distances(left)[0] > 0.5)
    group = next(iter(expand(left)))
    moyo = asymmetric_unit(group.vectors[0], np.mod(group.positions[0], 1), (group.site + 1).tolist(), TIGHT).template
    assume(moyo.spacegroup[0] == number)
    ours, theirs = canonical(with_full_symmetry(left))[0], canonical(moyo)[0]
    assert ours.cell == pytest.approx(theirs.cell, abs=1e-4)
    assert Distinct(Tolerances()).add(Templates.concat([ours, theirs]), are_canonical=True).tolist() == [False, True]
