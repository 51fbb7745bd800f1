"""Average minimum distances: known crystals, and the same value for every description of a crystal."""

import numpy as np
import pytest
from hypothesis import given, settings
from pymatgen.io.ase import AseAtomsAdaptor

from cgwgan_core.crystallography.descriptor import NEIGHBOURS, coordination_numbers, descriptors
from cgwgan_core.crystallography.spacegroups import letter_index
from cgwgan_core.crystallography.templates import Templates, to_atoms
from tests.support.random_templates import real_templates, templates


def cubic(number: int, letters: str, coords: list[list[float]], a: float) -> Templates:
    cell = np.array([[a, a, a, 90.0, 90.0, 90.0]])
    indices = np.array([[letter_index(x) for x in letters]], np.int8)
    return Templates(np.array([number], np.int16), cell, indices, np.array([coords]))


def test_rocksalt_has_its_coordination_shells():
    a = 4.2
    found = descriptors(cubic(225, "ab", [[0, 0, 0], [0.5, 0.5, 0.5]], a))[0]
    size = (a**3 / 8) ** (1 / 3)  # a / 2
    assert found[0] == pytest.approx(np.log(a**3 / 8))
    shells = [1.0] * 6 + [2**0.5] * 12 + [3**0.5] * 6  # 6 at a/2, 12 at a/√2, 8 at √3 a/2
    np.testing.assert_allclose(found[1:], np.array(shells) * a / 2 / size)


def test_perovskite_averages_over_atoms_not_sites():
    found = descriptors(cubic(221, "abc", [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]], 4.0))[0]
    # A (corner) to O √2/2 a, B to O a/2, three O to B a/2; free length a / ∛5
    assert found[1] == pytest.approx((0.5**0.5 + 4 * 0.5) / 5 * 5 ** (1 / 3))


@settings(max_examples=40)
@given(templates())
def test_distances_are_those_that_pymatgen_finds(template: Templates):
    found = descriptors(template)[0]
    atoms = to_atoms(template, 0, ["H", "He", "Li", "Be"][: template.n_sites[0]])
    size = (atoms.get_volume() / len(atoms)) ** (1 / 3)
    structure = AseAtomsAdaptor.get_structure(atoms)
    radius = 3 * size
    while min(map(len, neighbours := structure.get_all_neighbors(radius))) < NEIGHBOURS:
        radius *= 1.3
    wanted = np.mean([sorted(n.nn_distance for n in x)[:NEIGHBOURS] for x in neighbours], axis=0) / size
    # pymatgen leaves out atoms at the very same place
    np.testing.assert_allclose(found[1:], wanted, atol=1e-6)
    assert found[0] == pytest.approx(3 * np.log(size))


def test_a_larger_cell_and_a_shifted_origin_change_nothing_but_size():
    small = cubic(221, "abc", [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]], 4.0)
    moved = cubic(221, "abd", [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]], 5.0)  # A and B exchanged
    one, other = descriptors(small)[0], descriptors(moved)[0]
    np.testing.assert_allclose(one[1:], other[1:])
    assert other[0] - one[0] == pytest.approx(3 * np.log(5 / 4))


def test_a_batch_is_its_templates_one_by_one_and_flat_cells_are_exact():
    batch = real_templates(20)
    flat = batch.cell.copy()
    flat[::4, 2] = 80.0  # layers far apart: many cells of the plane count
    batch = Templates(batch.spacegroup, flat, batch.letters, batch.coords)
    found = descriptors(batch)
    for i in range(20):
        np.testing.assert_allclose(found[i], descriptors(batch[i : i + 1])[0])
    # isolated planes' neighbours: the nearest image within a layer is a away, for every site
    assert (found[::4, 1] * np.exp(found[::4, 0] / 3) <= batch.cell[::4, 0] + 1e-9).all()


def test_cells_without_volume_have_none():
    flat = cubic(221, "ab", [[0, 0, 0], [0.5, 0.5, 0.5]], 4.0)
    flat.cell[0] = [4, 4, 0, 90, 90, 90]
    assert np.isnan(descriptors(flat)).all()
    assert descriptors(flat[:0]).shape == (0, 1 + NEIGHBOURS)


def test_coordination_numbers_of_well_known_structures():
    # CsCl: eight corners, and six centres of neighbouring cubes at 1.155 times the distance
    for group, letters, coords, wanted in (
        (225, "ab", [[0, 0, 0], [0.5, 0.5, 0.5]], 6),
        (221, "ab", [[0, 0, 0], [0.5, 0.5, 0.5]], 14),
        (225, "a", [[0, 0, 0]], 12),
        (216, "ac", [[0, 0, 0], [0.25, 0.25, 0.25]], 4),
    ):
        assert coordination_numbers(cubic(group, letters, coords, 4.0))[0] == wanted
    # fluorite: eight of each of four; four, and six of the own kind at 1.155 times the distance, of each of eight
    fluorite = cubic(225, "ac", [[0, 0, 0], [0.25, 0.25, 0.25]], 5.5)
    assert coordination_numbers(fluorite)[0] == pytest.approx((8 + 2 * 10) / 3)
