"""Distances between distributions, against values worked out by hand, and at their limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgwgan_core.generator.distributions import (
    DENSITY_EDGES,
    frechet,
    histogram,
    interval,
    jensen_shannon,
    overlap,
    total_variation,
    within,
)

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=40)


def test_a_histogram_sums_to_one_and_loses_nothing_beyond_the_edges():
    found = histogram([-1.0, 0.1, 0.6, 7.0], [0.0, 0.5, 1.0])
    np.testing.assert_allclose(found, [0.5, 0.5])
    assert histogram([], [0.0, 1.0]).tolist() == [0.0]


def test_classes_of_density_are_as_stated():
    assert len(DENSITY_EDGES) == 51
    np.testing.assert_allclose(np.diff(DENSITY_EDGES), 0.005)


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


def test_jensen_shannon_by_hand():
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4): (log2(4/3) + log2(2/3)/2 + log2(2)/2) / 2
    wanted = math.sqrt((math.log2(4 / 3) + 0.5 * math.log2(2 / 3) + 0.5) / 2)
    assert jensen_shannon(["a", "a"], ["a", "b"]) == pytest.approx(wanted)
    assert math.isnan(jensen_shannon([], [1]))


@pytest.mark.parametrize("distance", [total_variation, jensen_shannon])
@given(a=LABELS, b=LABELS)
def test_distances_of_labels_are_symmetric_and_between_0_and_1(distance, a, b):
    assert 0 <= distance(a, b) <= 1
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert distance(a, a * 3) == pytest.approx(0, abs=1e-7)
    assert distance(a, [x + 10 for x in b]) == pytest.approx(1)
    # Pinsker's inequality and its converse, for natural bounds of one by the other
    assert total_variation(a, b) ** 2 / 2 <= jensen_shannon(a, b) ** 2 + 1e-12
    assert jensen_shannon(a, b) ** 2 <= total_variation(a, b) + 1e-12


def test_within_averages_over_the_second_sets_conditions():
    # group 1 (3/4 of the reference): p = (1, 0), q = (2/3, 1/3), TV 1/3; group 2: not generated, 1
    found = within(total_variation, [1, 1, 3], ["a", "a", "x"], [1, 1, 1, 2], ["a", "a", "b", "c"])
    assert found == pytest.approx(0.75 / 3 + 0.25)
    part = jensen_shannon(["a", "a"], ["a", "a", "b"])
    found = within(jensen_shannon, [1, 1, 3], ["a", "a", "x"], [1, 1, 1, 2], ["a", "a", "b", "c"])
    assert found == pytest.approx(0.75 * part + 0.25)
    assert within(jensen_shannon, [1, 2], ["a", "b"], [2, 1, 1], ["b", "a", "a"]) == 0.0
    assert math.isnan(within(total_variation, [1], ["a"], [], []))


def test_frechet_distance_of_normal_distributions_in_one_dimension():
    # (μ - ν)² + (σ - τ)², exactly, for the samples' own means and deviations
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 2.0, (500, 1)), rng.normal(4.0, 0.5, (300, 1))
    wanted = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet(a, b) == pytest.approx(wanted)
    assert frechet(a, a[::-1]) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_turns_with_its_axes_and_sees_correlations():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2000, 3)), rng.normal(size=(1000, 3)) @ np.diag([1.0, 2.0, 3.0]) + [1, 0, 0]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert frechet(a @ turn, b @ turn) == pytest.approx(frechet(a, b))
    assert frechet(b, a) == pytest.approx(frechet(a, b))
    # equal means and variances, opposite correlation: 2D: tr = 4 - 2 tr((C½DC½)½), known for C, D = [[1, ±r], [±r, 1]]
    r = 0.8
    c = rng.multivariate_normal([0, 0], [[1, r], [r, 1]], 200_000)
    mirrored = c * [1, -1]
    assert frechet(c, mirrored) == pytest.approx(4 - 4 * math.sqrt(1 - r**2), rel=0.02)


def test_frechet_distance_leaves_out_what_is_not_finite():
    a, b = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]), np.array([[0.0, 1.0], [3.0, 0.0], [1.0, 1.0]])
    assert frechet(np.vstack([a, [[np.nan, 0.0]]]), b) == frechet(a, b)
    assert math.isnan(frechet(a[:1], b))


def test_interval_is_that_of_students_t():
    # the tables have 4.303 for two degrees of freedom
    mean, half = interval([0.1, 0.2, 0.6])
    assert mean == pytest.approx(0.3)
    assert half == pytest.approx(4.303 * np.std([0.1, 0.2, 0.6], ddof=1) / math.sqrt(3), rel=1e-3)
    assert math.isnan(interval([1.0])[1])
