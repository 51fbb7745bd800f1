"""The figures: every count is shown in words, and equal data make equal bytes."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from cgwgan_core.generator.distributions import DENSITY_EDGES, histogram
from cgwgan_core.results import figures
from cgwgan_core.results.figures import figure_funnel
from cgwgan_core.results.funnel import RunFiles, collect


def test_picture_shows_every_count_in_words(run_files):
    funnel = collect(RunFiles(**run_files()))
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", figure_funnel(funnel))
    for stage in funnel.stages:
        assert f"{stage.kept:,}" in texts
        assert stage.name in texts
        for reason, n in list(stage.refused.items())[:1]:
            assert any(text.startswith(f"− {reason} ({n:,})") for text in texts)


def test_picture_alone_is_well_formed_and_the_same_twice(run_files):
    funnel = collect(RunFiles(**run_files(stable=0, chosen=0)))
    picture = figure_funnel(funnel, standalone=True)
    assert picture == figure_funnel(funnel, standalone=True)
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "metadata" not in picture


def test_the_latent_space_has_a_point_for_every_template():
    svg = figures.figure_latent([[0, 1], [2, 3]], [[1.0, 1], [5, 6], [7, 7]])
    assert svg.count("<use ") == 5
    assert figures.figure_latent([], []) == ""


def test_bands_are_not_joined_where_the_path_jumps():
    distances, frequencies = np.array([0.0, 0.1, 0.1, 0.2]), np.array([[1.0], [2.0], [-3.0], [1.5]])
    ticks, labels = [0.0, 0.1, 0.2], ["Γ", "X|K", "L"]

    def drawn(breaks: list[int]) -> str:
        return figures.figure_bands([figures.Bands("A", "", True, distances, frequencies, breaks, ticks, labels)])

    # a segment is one line, and one more for its imaginary part
    assert drawn([0, 2]).count('id="bands-line2d') == drawn([0]).count('id="bands-line2d') + 2
    for label in labels:
        assert f">{label}<" in drawn([0, 2])


@pytest.mark.parametrize(("label", "shown"), [("B₀", True), ("B₀|G₀", False)])
def test_a_label_of_a_path_that_would_run_into_a_wide_one_is_left_out(label, shown):
    x = np.linspace(0, 1, 5)
    drawn = figures.Bands("A", "", True, x, x[:, None], [0], [0.0, 0.5, 0.55, 1.0], ["Γ", label, "T", "L"])
    svg = figures.figure_bands([drawn])
    assert f">{label}<" in svg
    assert (">T<" in svg) == shown


def test_histograms_hold_every_template_once():
    edges = DENSITY_EDGES
    values = np.array([0.0, 0.051, 0.249, 0.9])
    assert histogram(values, edges).sum() == pytest.approx(1)
    svg = figures.figure_number_density(values, values)
    assert "overlap Σ min(p, q) = 1.000" in svg


def test_the_picture_of_both_judges_counts_its_candidates():
    rank, difference = np.arange(1, 61), np.linspace(0.2, -0.1, 60)
    svg = figures.figure_judges(rank, difference, rank <= 45)
    for words in ("selected, 45", "random, 15", "Rank by the screening potential"):
        assert f">{words}<" in svg
    assert svg == figures.figure_judges(rank, difference, rank <= 45)
    assert svg != figures.figure_judges(rank, difference[::-1], rank <= 45)
