"""A key is the same for every description of a crystal, and differs where crystals do."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit
from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.fingerprint import canonical, fingerprints, isopointal_types, normaliser
from cgwgan_core.crystallography.templates import Templates, to_atoms
from tests.support.random_templates import random_template, recelled, redescribed, templates

SYMBOLS = ["Ba", "Ru", "O", "Ti"]


@pytest.mark.parametrize("number", range(1, 231))
def test_normalisers_map_the_group_onto_itself(number: int) -> None:
    """Conjugating every operation by every change gives an operation of the group again."""
    changes = normaliser(number)
    operations, centring = sg.operations(number), sg.centring(number)
    assert np.array_equal(changes.linear[0], np.eye(3))
    assert not changes.shift[0].any()
    for linear, shift in zip(changes.linear, changes.shift, strict=True):
        inverse = np.linalg.inv(linear)
        for operation in operations:
            rotation = linear @ operation[:, :3] @ inverse
            translation = linear @ operation[:, 3] + shift - rotation @ shift
            same = np.abs(operations[:, :, :3] - rotation).max((1, 2)) < 1e-6
            off = operations[same][:, None, :, 3] + centring - translation
            assert (np.abs(off - np.round(off)).max(-1) < 1e-6).any()
    for letters in changes.letters:
        present = letters[sg.MULTIPLICITY[number] > 0]
        assert sorted(present) == list(range(len(present)))


@pytest.mark.parametrize(
    ("number", "first", "second"),
    [(225, "ac", "bc"), (216, "ab", "cd"), (216, "ac", "ad"), (47, "ab", "ac"), (62, "ac", "bc"), (221, "ac", "bd")],
)
def test_letters_that_are_one_prototype(number: int, first: str, second: str) -> None:
    rng = np.random.default_rng(0)
    batches = [random_template(rng, number, [sg.letter_index(x) for x in sites]) for sites in (first, second)]
    assert isopointal_types(batches[0]) == isopointal_types(batches[1])


def test_letters_that_are_not_one_prototype() -> None:
    rng = np.random.default_rng(0)
    # rocksalt and fluorite sites of Fm-3m; the edge and the centre of Pm-3m
    assert isopointal_types(random_template(rng, 225, [0, 1])) != isopointal_types(random_template(rng, 225, [0, 2]))
    assert isopointal_types(random_template(rng, 221, [0, 2])) != isopointal_types(random_template(rng, 221, [0, 3]))


@settings(max_examples=150, deadline=None)
@given(template=templates(), seed=st.integers(0, 2**32))
def test_equivalent_descriptions_have_one_key(template: Templates, seed: int) -> None:
    """Any change of the normaliser, an arbitrary origin along polar axes, and any order of the sites."""
    rng = np.random.default_rng(seed)
    # coordinates at the middle of bins: what lies on the border of two has either key
    coords = (np.floor(template.coords * 16) + rng.uniform(-0.05, 0.05, template.coords.shape)) / 16
    lengths = np.exp(np.round(np.log(template.cell[:, :3] / template.cell[0, 0]) * 10) / 10) * 5
    angles = np.round(template.cell[:, 3:] / 5) * 5
    template = Templates(
        template.spacegroup, np.concatenate([lengths, angles], axis=1), template.letters, coords
    ).projected()
    if normaliser(int(template.spacegroup[0])).polar.any():
        return  # bins move with the origin there; the next test shifts by whole bins
    other, _ = redescribed(template, rng)
    assert fingerprints(other) == fingerprints(template)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), number=st.sampled_from([4, 9, 25, 33, 36, 75, 99, 146, 160, 186]))
def test_the_origin_along_a_polar_axis_is_no_part_of_the_key(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    general = int(np.flatnonzero(sg.MULTIPLICITY[number]).max())
    template = random_template(rng, number, [general, general])
    polar = normaliser(number).polar
    shifted = Templates(
        template.spacegroup, template.cell, template.letters, template.coords + np.where(polar, rng.random(3), 0)
    ).projected()
    # bins are counted from an atom, so nothing moves over a border of bins but by rounding
    assert fingerprints(shifted) == fingerprints(template)


@settings(max_examples=60, deadline=None)
@given(template=templates(), seed=st.integers(0, 2**32))
def test_keys_survive_another_cell_origin_orientation_and_other_elements(template: Templates, seed: int) -> None:
    assume(min_distances(template)[0] >= 0.7)
    rng = np.random.default_rng(seed)
    atoms = to_atoms(template, 0, SYMBOLS[: int(template.n_sites[0])])
    first = asymmetric_unit(atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers.tolist(), 1e-3)
    lattice, frac, numbers = recelled(atoms, rng)
    for elements in (numbers, [90 - z for z in numbers]):
        second = asymmetric_unit(lattice, frac, elements, 1e-3)
        assert isopointal_types(first.template) == isopointal_types(second.template)
        assert fingerprints(first.template) == fingerprints(second.template)


def assert_equal(first: Templates, second: Templates, atol: float = 1e-6) -> None:
    """Cells, letters and coordinates, in their order."""
    assert first.spacegroup.tolist() == second.spacegroup.tolist()
    assert first.letters.tolist() == second.letters.tolist()
    assert first.cell == pytest.approx(second.cell, abs=1e2 * atol)
    off = first.coords - second.coords
    assert np.abs(off - np.round(off)).max() < atol


@settings(max_examples=300, deadline=None)
@given(template=templates(), seed=st.integers(0, 2**32), mirror=st.booleans(), species=st.integers(1, 4))
def test_all_descriptions_have_one_canonical_one(template: Templates, seed: int, mirror: bool, species: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.integers(1, species + 1, int(template.n_sites[0]))
    other, order = redescribed(template, rng, mirror)
    first, one = canonical(template, [numbers.tolist()], mirror)
    second, two = canonical(other, [numbers[order].tolist()], mirror)
    second.cell[:, :3] /= 2
    assert_equal(first, second)
    assert numbers[one[0]].tolist() == numbers[order][two[0]].tolist()
    assert isopointal_types(first) == isopointal_types(template)
    assert fingerprints(first) == fingerprints(template)
    again, unchanged = canonical(first, [numbers[one[0]].tolist()], mirror)
    assert_equal(first, again)
    assert numbers[one[0]][unchanged[0]].tolist() == numbers[one[0]].tolist()
    # the same crystal: the shortest distance is kept
    assert min_distances(first) == pytest.approx(min_distances(template), abs=1e-6)


def test_the_canonical_description_keeps_the_hand_of_a_crystal() -> None:
    """Two enantiomers in P2₁2₁2₁ are one template, and two crystals."""
    left = random_template(np.random.default_rng(0), 19, [0, 0, 0])
    right = Templates(left.spacegroup, left.cell, left.letters, -left.coords).projected()
    numbers = [[1, 2, 3]]
    assert fingerprints(left) == fingerprints(right)
    mirrored = Templates(left.spacegroup, left.cell, left.letters, -left.coords)
    assert_equal(canonical(left, numbers)[0], canonical(mirrored, numbers)[0])
    one, other = (canonical(x, numbers, mirror=False)[0] for x in (left, mirrored))
    off = one.coords - other.coords
    assert np.abs(off - np.round(off)).max() > 1e-3


def test_keys_tell_lattices_and_coordinates_apart() -> None:
    base = random_template(np.random.default_rng(1), 136, [0, 5])
    longer = Templates(base.spacegroup, base.cell * [1, 1, 1.5, 1, 1, 1], base.letters, base.coords)
    moved = Templates(base.spacegroup, base.cell, base.letters, base.coords + np.array([[0, 0, 0], [0.1, 0.1, 0]]))
    keys = {*fingerprints(base), *fingerprints(longer), *fingerprints(moved.projected())}
    assert len(keys) == 3
    # volume is no part of a template's key
    assert (
        fingerprints(Templates(base.spacegroup, base.cell * [2, 2, 2, 1, 1, 1], base.letters, base.coords))[0] in keys
    )
