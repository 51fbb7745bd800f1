"""The figures that stand alone: well formed, and equal data make equal bytes."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cgwgan_core.results.figures import (
    figure_bands,
    figure_convergence,
    figure_crystal_systems,
    figure_funnel,
    figure_number_density,
)
from cgwgan_core.results.findings import findings, read_bands
from cgwgan_core.results.funnel import RunFiles, collect


@pytest.mark.parametrize(("stable", "chosen"), [(2, 5), (0, 0)])
def test_the_funnel_is_well_formed_and_the_same_twice(run_files, stable, chosen):
    funnel = collect(RunFiles(**run_files(stable=stable, chosen=chosen)))
    assert_picture(lambda: figure_funnel(funnel))


def test_bands_are_well_formed_and_the_same_twice(run_files):
    files = RunFiles(**run_files())
    bands = read_bands(files.phonons, findings(files).survivors)
    assert len(bands) == 2
    assert_picture(lambda: figure_bands(bands))
    assert figure_bands([]) == ""


def test_distributions_are_well_formed_and_the_same_twice(run_files):
    training = json.loads(Path(run_files()["quality"]).read_text())["training"]
    assert_picture(lambda: figure_crystal_systems(training["spacegroup"], [225, 225]))
    assert_picture(lambda: figure_number_density(training["number_density"], []))


def test_convergence_is_well_formed_and_the_same_twice():
    share = {"share": 1.0, "share_low": 0.7, "share_high": 1.0, "above": "hull", "median_above": -0.1}
    rows = [
        {"n_elements": 2, "arm": "generated", "min_atoms": 2, "max_atoms": 8, **share},
        {"n_elements": 5, "arm": "random", "min_atoms": 9, "max_atoms": 16, **share, "median_above": None},
    ]
    assert_picture(lambda: figure_convergence(rows))
    assert_picture(lambda: figure_convergence([]))


def assert_picture(draw):
    picture = draw()
    assert picture == draw()
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "metadata" not in picture
    assert "<text" not in picture  # outlines, whatever fonts a reader has
