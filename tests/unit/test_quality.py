"""Metrics of generated templates, against values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings

from cgwgan_core import quality
from cgwgan_core.crystal import Templates
from cgwgan_core.quality import Facts, compare, crystal_systems, overlap, shares, total_variation, yields
from cgwgan_core.spacegroups import letter_index
from cgwgan_core.templates import TemplateOptions
from tests.support.random_templates import real_templates, templates


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


# ------------------------------------------------------------------------------- raw draws and references


def test_jensen_shannon_by_hand():
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4): (log2(4/3) + log2(2/3)/2 + log2(2)/2) / 2
    wanted = math.sqrt((math.log2(4 / 3) + 0.5 * math.log2(2 / 3) + 0.5) / 2)
    assert quality.jensen_shannon(["a", "a"], ["a", "b"]) == pytest.approx(wanted)
    assert math.isnan(quality.jensen_shannon([], [1]))


def test_total_variation_given_by_hand():
    # group 1 (3/4 of the reference): p = (1, 0), q = (2/3, 1/3), TV 1/3; group 2: not generated, 1
    found = quality.total_variation_given([1, 1, 3], ["a", "a", "x"], [1, 1, 1, 2], ["a", "a", "b", "c"])
    assert found == pytest.approx(0.75 / 3 + 0.25)


def test_interval_is_that_of_students_t():
    # tabulated: t(0.975, 2) = 4.303
    mean, half = quality.interval([0.1, 0.2, 0.6])
    assert mean == pytest.approx(0.3)
    assert half == pytest.approx(4.303 * np.std([0.1, 0.2, 0.6], ddof=1) / math.sqrt(3), rel=1e-3)
    assert math.isnan(quality.interval([1.0])[1])


@settings(max_examples=60, deadline=None)
@given(templates())
def test_any_template_has_its_symmetry(template: Templates):
    assert quality.has_symmetry(template).all()


def test_symmetry_is_missed_where_it_is_broken():
    good = real_templates(8)
    assert quality.has_symmetry(good).all()
    coords = good.coords.copy()
    coords[1, 0, 2] = 0.1  # 1a of Pm-3m is at the origin
    cell = good.cell.copy()
    cell[2, 1] *= 1.01  # b = a in a cubic cell
    found = quality.has_symmetry(Templates(good.spacegroup, cell, good.letters, coords))
    assert found.tolist() == [True, False, False, True, True, True, True, True]


def test_real_structures_are_judged_as_themselves():
    real = quality.Draws.of(real_templates())
    found = quality.judge(real, real, real, real, TemplateOptions())
    assert found["n"] == 400
    for name in ("symmetric", "valid", "usable", "recall", "recall_fingerprints", "memorised"):
        assert found[name] == 1.0, name
    assert found["density_overlap"] == pytest.approx(1.0)
    for name in ("tv_spacegroup", "js_spacegroup", "tv_crystal_system", "tv_n_atoms", "tv_letters", "novel"):
        assert found[name] == pytest.approx(0.0, abs=1e-12), name


def test_failures_stay_in_the_denominator():
    all_real = real_templates()
    real = quality.Draws.of(all_real)
    collapsed = Templates(
        all_real.spacegroup, all_real.cell * [0.2, 0.2, 0.2, 1, 1, 1], all_real.letters, all_real.coords
    )
    drawn = Templates.concat([all_real[:100], collapsed[:300]])
    found = quality.judge(quality.Draws.of(drawn), real, real, real, TemplateOptions())
    assert found["n"] == 400
    assert found["valid"] == found["usable"] == 0.25
    # nothing that collapsed adds a key
    distinct = len(set(real.facts.fingerprint[:100]))
    assert found["distinct"] == pytest.approx(1000 * distinct / 400)
    assert found["density_overlap"] < 0.3


def test_what_is_new_is_counted_among_distinct_keys():
    both = real_templates()
    draws = quality.Draws.of(both)
    cubic = quality.Draws.of(both[both.spacegroup == 221])
    other = quality.Draws.of(both[both.spacegroup == 166])
    found = quality.judge(draws, draws, cubic, other, TemplateOptions())
    assert found["novel"] == 0.5  # two coarse keys, one known, however many structures there are of each
    assert found["recall"] == 1.0
    assert quality.judge(cubic, draws, cubic, other, TemplateOptions())["recall"] == 0.0


def test_a_position_without_freedom_used_twice_is_no_crystal():
    real = real_templates(4)
    letters = real.letters.copy()
    letters[0, 1] = 0
    found = quality.Draws.of(Templates(real.spacegroup, real.cell, letters, real.coords).projected())
    assert found.min_distance[0] == 0.0
    assert (found.min_distance[1:] > 1).all()
