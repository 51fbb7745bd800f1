"""Metrics of generated templates, against values worked out by hand."""

import math

import numpy as np
import pytest

from cgwgan_core import quality
from cgwgan_core.crystal import Templates
from cgwgan_core.quality import Facts, compare, crystal_systems, overlap, shares, total_variation, yields
from cgwgan_core.spacegroups import letter_index


def facts(spacegroup, n_atoms=None, density=None, keys=None) -> Facts:
    n = len(spacegroup)
    return Facts(
        np.array(spacegroup, np.int16),
        np.array([5] * n if n_atoms is None else n_atoms, np.int32),
        np.array([0.07] * n if density is None else density, float),
        None if keys is None else np.array(keys),
    )


def test_shares_sum_to_one_and_lose_nothing_beyond_the_edges():
    found = shares([-1.0, 0.1, 0.6, 7.0], [0.0, 0.5, 1.0])
    np.testing.assert_allclose(found, [0.5, 0.5])
    assert shares([], [0.0, 1.0]).tolist() == [0.0]


def test_overlap_is_one_minus_total_variation():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 500), rng.integers(3, 12, 300)
    p, q = (np.bincount(x, minlength=12) / len(x) for x in (a, b))
    assert total_variation(a, b) == pytest.approx(1 - overlap(p, q))


def test_total_variation_by_hand():
    # p = (3/4, 1/4, 0), q = (1/2, 0, 1/2): half of 1/4 + 1/4 + 1/2
    assert total_variation([225, 225, 225, 14], [225, 62]) == pytest.approx(0.5)
    assert total_variation(["cubic"], ["trigonal"]) == 1.0
    assert math.isnan(total_variation([], [1]))


def test_crystal_systems_change_at_the_numbers_of_the_international_tables():
    last = [2, 15, 74, 142, 167, 194, 230]
    names = ["triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic"]
    assert crystal_systems(last).tolist() == names
    assert crystal_systems([1, *(n + 1 for n in last[:-1])]).tolist() == names


def test_a_set_equals_itself_in_any_order_and_however_often_it_repeats():
    rng = np.random.default_rng(1)
    keys = np.array([f"k{i}" for i in range(200)])
    one = facts(rng.integers(1, 231, 200), rng.integers(1, 40, 200), rng.uniform(0.01, 0.3, 200), keys)
    other = one[np.repeat(rng.permutation(200), rng.integers(1, 50, 200))]
    assert compare(one, other) == {
        "n_generated": 200, "n_reference": 200, "density_overlap": pytest.approx(1),
        "tv_spacegroup": pytest.approx(0), "tv_crystal_system": pytest.approx(0), "tv_n_atoms": pytest.approx(0),
    }  # fmt: skip


def test_each_metric_looks_at_its_own_column():
    reference = facts([225, 225], [5, 10], [0.051, 0.072])
    assert compare(facts([221, 227], [5, 10], [0.051, 0.072]), reference) == {
        "n_generated": 2, "n_reference": 2, "density_overlap": 1.0,
        "tv_spacegroup": 1.0, "tv_crystal_system": 0.0, "tv_n_atoms": 0.0,
    }  # fmt: skip
    moved = compare(facts([225, 225], [5, 20], [0.052, 0.099]), reference)
    assert (moved["density_overlap"], moved["tv_n_atoms"], moved["tv_spacegroup"]) == (0.5, 0.5, 0.0)


def test_an_empty_set_has_counts_but_no_metrics():
    found = compare(facts([]), facts([225]))
    assert found.pop("n_generated") == 0
    assert found.pop("n_reference") == 1
    assert all(math.isnan(value) for value in found.values())


def test_yields_take_the_reasons_of_the_templates():
    refused = {"short distance": 40, "no volume": 10, "duplicate": 10, "beyond the number to keep": 30}
    assert yields(100, refused, [True] + [False] * 9) == {
        "share_valid": 0.5, "share_distinct": 0.8, "share_not_in_training": 0.9,
    }  # fmt: skip
    assert all(math.isnan(value) for value in yields(0, {}, []).values())


def test_facts_of_templates_in_memory():
    letters = [[letter_index("a"), letter_index("b")]]
    rocksalt = Templates(
        np.array([225], np.int16),
        np.array([[4.25, 4.25, 4.25, 90, 90, 90]], float),
        np.array(letters, np.int8),
        np.array([[[0, 0, 0], [0.5, 0.5, 0.5]]], float),
    )
    found = Facts.from_templates(rocksalt, ["key"])
    assert found.n_atoms.tolist() == [8]
    assert found.number_density[0] == pytest.approx(8 / 4.25**3)
    assert compare(found, found)["density_overlap"] == 1.0


def test_classes_of_density_are_as_stated():
    assert len(quality.DENSITY_EDGES) == 51
    np.testing.assert_allclose(np.diff(quality.DENSITY_EDGES), 0.005)
