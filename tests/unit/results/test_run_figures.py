"""The figures of a run hold the run's numbers."""

import numpy as np
import pytest
from plotly import graph_objects as go

from cgwgan_core.results import run_figures
from cgwgan_core.results.crystals import crystals
from cgwgan_core.results.findings import findings
from cgwgan_core.results.funnel import RunFiles, collect
from cgwgan_core.results.report import figures

KNOWN = [
    {"material_id": name, "formula": formula, "formation_energy_per_atom": energy, "energy_above_hull": above}
    | {"status": "ok", "defect": None, "lattice": [1.0], "database_formation_energy_per_atom": energy}
    for name, formula, energy, above in (
        ("e", "Ba", 0.0, 0.0), ("e", "Ru", 0.0, 0.0), ("e", "O", 0.0, 0.0),
        ("mp-1", "BaO", -2.8, 0.0), ("mp-2", "RuO2", -1.1, 0.0), ("mp-3", "RuO", 0.4, 1.2),
    )
]  # fmt: skip


def phase(name, formula, energy, above, fate="survivor"):
    energies = {"formation_energy_per_atom": energy, "energy_above_hull": above, "second_energy_above_hull": None}
    return {"candidate_id": name, "formula": formula, "spacegroup": 1, "fate": fate, "reason": "", **energies}


def test_a_hull_of_three_is_a_triangle_with_height():
    found = run_figures.hull_figures(["Ba", "Ru", "O"], KNOWN, [phase("t1", "BaRuO3", -1.7, 0.2)])
    traces = {trace.get("name"): trace for trace in found["hull"]["data"]}
    surface = traces["hull of the known phases"]
    assert sorted(surface["z"]) == [-2.8, -1.1, 0.0, 0.0, 0.0]  # RuO is not on it
    assert len(surface["i"]) == 3
    survivor = traces["survivors, 1"]
    assert survivor["z"] == [-1.7]
    assert (survivor["x"][0], survivor["y"][0]) == pytest.approx(
        (0.6 * 0.5 * 0 + 0.6 * 1 * 0 + 0.5 * 0.2 + 0.6, np.sqrt(3) / 2 * 0.2)
    )
    assert "BaRuO₃" in survivor["text"][0]
    assert survivor["customdata"] == ["t1"]
    assert "0.200 eV/atom from the hull" in survivor["text"][0]
    for figure in found.values():
        go.Figure(figure)


def test_a_crystal_below_the_hull_is_no_part_of_it():
    low = run_figures.hull_figures(["Ba", "Ru", "O"], KNOWN, [phase("t1", "BaRuO3", -5.0, -3.0)])
    without = run_figures.hull_figures(["Ba", "Ru", "O"], KNOWN, [])
    assert low["hull"]["data"][0] == without["hull"]["data"][0]


@pytest.mark.parametrize(
    ("chemistry", "formula", "names"),
    [
        (["Ba", "O"], "Ba2O", {"hull"}),
        (["Ba", "Ru", "O", "F"], "BaRuOF", {"hull"}),
        (list("BCNOF"), "BCNOF", set()),
        (["O"], "O", set()),
    ],
)
def test_lines_and_tetrahedra_are_drawn_and_no_more(chemistry, formula, names):
    known = [row for row in KNOWN if row["formula"] in ("BaO", *chemistry)] if "Ba" in chemistry else []
    found = run_figures.hull_figures(chemistry, known, [phase("t1", formula, -1.0, 0.1)])
    assert set(found) == names
    for figure in found.values():
        go.Figure(figure)
        assert "survivors, 1" in {trace.get("name") for trace in figure["data"]}


def test_the_funnel_has_every_count_and_reason(run_files):
    funnel = collect(RunFiles(**run_files()))
    kept, refused = run_figures.funnel_figure(funnel)["data"]
    assert kept["x"] == [stage.kept for stage in funnel.stages]
    assert refused["x"] == [sum(stage.refused.values()) for stage in funnel.stages]
    for told, stage in zip(refused["customdata"], funnel.stages, strict=True):
        assert all(f"{why}: {n:,}" in told for why, n in stage.refused.items())


def test_bins_hold_all_that_has_an_energy():
    found = run_figures.energies_figure({"all": [0.1, 0.2, np.nan, 9.0], "none": []})
    assert [sum(trace["y"]) for trace in found["data"]] == [3, 0]
    assert [trace["name"] for trace in found["data"]] == ["all, 3", "none, 0"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: run_figures.energies_figure({"all": []}),
        lambda: run_figures.formation_figure({}),
        lambda: run_figures.relaxing_figure([]),
        lambda: run_figures.spacegroups_figure([], []),
        lambda: run_figures.atoms_figure([], []),
        lambda: run_figures.density_figure([], []),
        lambda: run_figures.latent_figure([], [[0, 0]]),
        lambda: run_figures.training_figure({"step": []}),
        lambda: run_figures.cascade_figure(None),
        lambda: run_figures.judges_figure([]),
        lambda: run_figures.known_figure([]),
        lambda: run_figures.dft_figure([]),
    ],
)
def test_what_has_nothing_to_show_is_no_figure(draw):
    assert draw() is None


def test_shares_of_templates_are_per_cents():
    training, generated = run_figures.systems_figure([225, 225, 62, 1], [225])["data"]
    assert dict(zip(training["x"], training["y"], strict=True))["cubic"] == 50
    assert generated["y"][-1] == 100
    first = run_figures.spacegroups_figure([225, 225, 62], [62])["data"][0]
    assert first["x"] == ["Fm-3m", "Pnma"]


def test_plotly_takes_every_figure_of_a_run(run_files):
    files = RunFiles(**run_files(stable=4, chosen=5, dft=3))
    rows = crystals(files, findings(files))
    for figure in figures(files, collect(files), {"chemistry": ["Ba", "Ru", "O"]}, rows).values():
        go.Figure(figure)
