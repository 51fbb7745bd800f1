"""Baselines: what they keep of the data, and what they lose."""

import numpy as np
import pytest

from cgwgan_core.generator.baselines import NOISE, independent, jittered, resampled
from cgwgan_core.generator.distributions import total_variation
from cgwgan_core.generator.draws import has_symmetry
from tests.support.random_templates import real_templates


def test_independent_draws_keep_each_part_and_lose_what_joins_them():
    real = real_templates(2000)
    found = independent(real, 4000, np.random.default_rng(0))
    assert total_variation(found.spacegroup, real.spacegroup) < 0.03
    assert has_symmetry(found).mean() > 0.2
    # three different letters of three are 3!/3³ of the draws; real ones are always so
    sizes = np.array([len(set(row)) for row in found.letters.tolist()])
    assert (sizes == 3).mean() == pytest.approx(6 / 27, abs=0.03)
    again = independent(real, 4000, np.random.default_rng(0))
    assert np.array_equal(found.cell, again.cell)


def test_jittered_copies_are_near_their_originals_and_symmetric():
    real = real_templates(1)
    found = jittered(real, 300, np.random.default_rng(0))
    assert has_symmetry(found).all()
    assert np.log(found.cell[:, 0] / real.cell[0, 0]).std() == pytest.approx(NOISE, rel=0.2)
    z = found.coords[:, 2, 2]
    assert z.std() == pytest.approx(NOISE, rel=0.2)


def test_resampled_structures_are_the_originals():
    real = real_templates(5)
    found = resampled(real, 200, np.random.default_rng(0))
    places = [np.flatnonzero((real.cell == cell).all(axis=1)) for cell in found.cell]
    assert all(len(place) == 1 for place in places)
    assert set(np.concatenate(places)) == set(range(5))
