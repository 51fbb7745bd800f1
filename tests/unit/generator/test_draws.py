"""What is looked at of drawn templates, failures among them."""

import numpy as np
from hypothesis import given, settings

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.draws import Draws, has_symmetry
from cgwgan_core.generator.selection import TemplateOptions
from tests.support.random_templates import real_templates, templates


@settings(max_examples=60, deadline=None)
@given(templates())
def test_any_template_has_its_symmetry(template: Templates):
    assert has_symmetry(template).all()


def test_symmetry_is_missed_where_it_is_broken():
    good = real_templates(8)
    assert has_symmetry(good).all()
    coords = good.coords.copy()
    coords[1, 0, 2] = 0.1  # 1a of Pm-3m is at the origin
    cell = good.cell.copy()
    cell[2, 1] *= 1.01  # b = a in a cubic cell
    found = has_symmetry(Templates(good.spacegroup, cell, good.letters, coords))
    assert found.tolist() == [True, False, False, True, True, True, True, True]


def test_a_position_without_freedom_used_twice_is_no_crystal():
    real = real_templates(4)
    letters = real.letters.copy()
    letters[0, 1] = 0
    found = Draws(Templates(real.spacegroup, real.cell, letters, real.coords).projected())
    assert found.min_distance[0] == 0.0
    assert (found.min_distance[1:] > 1).all()
    assert found.valid(TemplateOptions(min_distance=0.0)).tolist() == [False, True, True, True]


def test_the_first_of_each_fingerprint_is_the_distinct_one():
    real = real_templates(8)
    failure = Templates(real.spacegroup[:1], real.cell[:1], np.full((1, 3), -1, np.int8), real.coords[:1])
    drawn = Draws(Templates.concat([failure, real[[0, 0, 4]], real[[0]]]))
    keys = drawn.fingerprint.tolist()
    assert keys[0] == ""
    wanted = [keys.index(key) for key in dict.fromkeys(keys[1:])]
    assert drawn.distinct.tolist() == wanted
