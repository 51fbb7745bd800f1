"""Figures of drawn templates, against values worked out by hand."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.draws import Draws, has_symmetry, spacegroups_found
from cgwgan_core.generator.quality import BY_SITES, METRICS, discovery, judge, yields
from cgwgan_core.generator.selection import TemplateOptions
from tests.support.random_templates import real_templates, templates

OPTIONS = TemplateOptions()
PERFECT = (
    "symmetric", "exact", "valid", "usable", "density_overlap", "density_overlap_held_out", "density_overlap_distinct",
    "recall_held_out", "recall_fingerprints", "memorised",
)  # fmt: skip
ZERO = (
    "tv_spacegroup", "js_spacegroup", "tv_crystal_system", "js_crystal_system", "tv_letters", "js_letters",
    "tv_n_atoms", "js_n_atoms", "frechet", "frechet_held_out", "tv_spacegroup_distinct", "novel", "novel_fingerprints",
    "w_shortest", "w_coordination",
)  # fmt: skip


def failures(n: int, like: Templates) -> Templates:
    """Draws that gave no template."""
    return Templates(
        like.spacegroup[:n], np.full((n, 6), np.nan), np.full_like(like.letters[:n], -1), np.zeros_like(like.coords[:n])
    )


def test_yields_take_the_reasons_of_the_templates():
    refused = {"short distance": 40, "no volume": 10, "duplicate": 10, "beyond the number to keep": 30}
    assert yields(100, refused, [True] + [False] * 9) == {
        "share_valid": 0.5, "share_distinct": 0.8, "share_not_in_training": 0.9,
    }  # fmt: skip
    assert all(math.isnan(value) for value in yields(0, {}, []).values())


def test_symmetry_that_has_grown_is_found_and_is_at_least_what_was_asked_for():
    # cubic perovskite written in P4/mmm: with a = c it has more symmetry than was asked for
    cells = np.array([[4.0, 4.0, 4.0, 90, 90, 90], [4.0, 4.0, 4.4, 90, 90, 90]])
    letters = np.tile(np.array([[0, 3, 1, 4]], np.int8), (2, 1))  # 1a, 1d, 1b and 2e of 123: A, B, O, O
    coords = np.tile([[[0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0.5], [0, 0.5, 0.5]]], (2, 1, 1))
    grown = Templates(np.array([123, 123], np.int16), cells, letters, coords).projected()
    assert has_symmetry(grown).all()
    # its sites are of four kinds, so that the cube's threefold axes are not symmetry; a body-centred pair is
    assert spacegroups_found(grown).tolist() == [123, 123]
    caesium = Templates(grown.spacegroup, cells, letters[:, :2], coords[:, :2]).projected()
    assert spacegroups_found(caesium).tolist() == [221, 123]
    drawn = Draws(caesium)
    found = judge(drawn, drawn, drawn, OPTIONS)
    assert (found["symmetric"], found["exact"]) == (1.0, 0.5)
    # what is counted is what they are: one CsCl, one tetragonal
    wanted = {"caesium_chloride": {"221:ab"}, "asked_for": {"123:ad"}}
    rows = discovery(drawn, Draws(grown), Draws(grown[:0]), OPTIONS, [1, 2], wanted)
    assert [(row["recall_caesium_chloride"], row["recall_asked_for"]) for row in rows] == [(1.0, 0.0), (1.0, 1.0)]
    assert [row["distinct"] for row in rows] == [1, 2]


@settings(max_examples=40, deadline=None)
@given(templates())
def test_a_template_of_training_is_not_new_whatever_its_cell(template: Templates):
    # one that has grown is no longer what training has
    assume(spacegroups_found(template)[0] == template.spacegroup[0])
    one, none = Draws(template), Draws(template[:0])
    loose = TemplateOptions(min_distance=0.0, max_atoms=1000)
    (row,) = discovery(one, one, none, loose, [1])
    assert (row["novel"], row["novel_fingerprints"], row["memorised"]) == (0.0, 0.0, 1.0)


def test_real_structures_are_judged_as_themselves():
    real = Draws(real_templates())
    found = judge(real, real, real, OPTIONS)
    assert found["n"] == 400
    sites = set(real.templates.n_sites.tolist())
    assert set(found) == {"n", *METRICS, *(f"{key}_{n}" for key in BY_SITES for n in sites)}
    assert sum(found[f"share_{n}"] for n in sites) == pytest.approx(1.0)
    for n in sites:
        assert found[f"valid_{n}"] == 1.0
        assert found[f"shortest_{n}"] == np.median(real.min_distance[real.templates.n_sites == n])
    for name in PERFECT:
        assert found[name] == pytest.approx(1.0), name
    for name in ZERO:
        assert found[name] == pytest.approx(0.0, abs=1e-7), name


def test_sets_that_share_nothing_are_at_the_other_limit():
    both = real_templates()
    cubic, other = (Draws(both[both.spacegroup == number]) for number in (221, 166))
    found = judge(cubic, other, other, OPTIONS)
    for name in ("spacegroup", "crystal_system", "letters", "n_atoms"):
        assert found[f"tv_{name}"] == found[f"js_{name}"] == 1.0, name
    assert found["novel"] == found["novel_fingerprints"] == 1.0
    assert found["recall_held_out"] == found["recall_fingerprints"] == found["memorised"] == 0.0
    assert found["frechet"] > 0.01


def test_each_figure_looks_at_its_own_property():
    real = real_templates()
    cubic = real[real.spacegroup == 221]
    larger = dataclasses.replace(cubic, cell=cubic.cell * [1.2, 1.2, 1.2, 1, 1, 1])
    found = judge(Draws(larger), Draws(cubic), Draws(cubic), OPTIONS)
    assert found["density_overlap"] < 0.1
    # size and nothing else: d² = (3 ln 1.2)²
    assert found["frechet"] == pytest.approx((3 * math.log(1.2)) ** 2)
    for name in ("spacegroup", "crystal_system", "letters", "n_atoms"):
        assert found[f"tv_{name}"] == 0.0, name


def test_letters_count_within_their_group_whatever_the_shares_of_groups():
    real = real_templates()
    uneven = Templates.concat([real[real.spacegroup == 166], real[real.spacegroup == 221][:3]])
    found = judge(Draws(uneven), Draws(real), Draws(real), OPTIONS)
    assert found["tv_letters"] == found["js_letters"] == 0.0
    assert found["tv_spacegroup"] > 0.5


def test_failures_stay_in_the_denominator():
    all_real = real_templates()
    real = Draws(all_real)
    collapsed = Templates(
        all_real.spacegroup, all_real.cell * [0.2, 0.2, 0.2, 1, 1, 1], all_real.letters, all_real.coords
    )
    drawn = Templates.concat([all_real[:100], collapsed[:100], failures(200, all_real)])
    found = judge(Draws(drawn), real, real, OPTIONS)
    assert found["n"] == 400
    assert found["valid"] == found["usable"] == 0.25
    assert found["symmetric"] == found["exact"] == 0.5
    # nothing that failed adds a key
    distinct = len(set(real.fingerprint[:100]))
    assert found["distinct"] == pytest.approx(1000 * distinct / 400)
    assert found["density_overlap"] < 0.3
    # a failed draw is in no group, of no size, and no system
    assert min(found["tv_spacegroup"], found["tv_crystal_system"], found["tv_n_atoms"]) >= 0.5
    assert not np.isnan(found["frechet"])


def test_draws_that_all_failed_have_shares_of_zero():
    real = real_templates(40)
    found = judge(Draws(failures(40, real)), Draws(real), Draws(real), OPTIONS)
    assert found["valid"] == found["symmetric"] == found["exact"] == found["distinct"] == found["recall_held_out"] == 0
    assert found["tv_spacegroup"] == found["js_spacegroup"] == 1.0
    assert math.isnan(found["frechet"])
    assert math.isnan(found["novel"])


def test_what_is_new_is_counted_among_distinct_keys():
    both = real_templates()
    draws, cubic, other = (Draws(x) for x in (both, both[both.spacegroup == 221], both[both.spacegroup == 166]))
    found = judge(draws, cubic, other, OPTIONS)
    assert found["novel"] == 0.5  # two isopointal types, one known, however many structures there are of each
    assert found["recall_held_out"] == 1.0
    assert judge(cubic, cubic, other, OPTIONS)["recall_held_out"] == 0.0


def test_recall_of_wanted_keys_is_a_share_of_them():
    both = real_templates()
    draws = Draws(both)
    keys = sorted(set(draws.isopointal))
    wanted = {"one": set(keys[:1]), "half": {keys[0], "1:a"}, "none": {"1:a"}, "empty": set()}
    found = judge(draws, draws, draws, OPTIONS, wanted)
    assert (found["recall_one"], found["recall_half"], found["recall_none"]) == (1.0, 0.5, 0.0)
    assert math.isnan(found["recall_empty"])


def test_growth_is_the_figures_of_the_first_draws():
    both = real_templates()
    train = Draws(both[both.spacegroup == 221][:50])
    held_out = Draws(both[both.spacegroup == 166])
    drawn = Templates.concat([failures(5, both), both[::-1]])
    wanted = {"some": {"166:abc", "2:a"}}
    steps = [1, 5, 6, 50, 405]
    rows = discovery(Draws(drawn), train, held_out, OPTIONS, steps, wanted)
    assert [row["draws"] for row in rows] == steps
    assert [rows[0]["distinct"], rows[1]["distinct"], rows[2]["distinct"]] == [0, 0, 1]
    for n, row in zip(steps, rows, strict=True):
        found = judge(Draws(drawn[:n]), train, held_out, OPTIONS, wanted)
        assert found["distinct"] == pytest.approx(1000 * row["distinct"] / n)
        for name in set(row) - {"draws", "distinct"}:
            assert found[name] == pytest.approx(row[name], nan_ok=True), name
    # what has been found stays found
    for name in ("distinct", "recall_held_out", "recall_fingerprints", "recall_some"):
        assert np.all(np.diff([row[name] for row in rows]) >= 0), name
