"""A run's folder, opened in a notebook, shows what its report shows."""

from pathlib import Path

import pytest
from plotly import graph_objects as go

from cgwgan_core.results.funnel import RunFiles, collect
from cgwgan_core.results.report import figures
from cgwgan_core.results.run import open_run
from cgwgan_core.results.run import run_files as files_of
from cgwgan_core.workflow.errors import InputError


@pytest.mark.parametrize("options", [{"stable": 4, "chosen": 5, "dft": 3}, {"stable": 0, "chosen": 0, "alone": True}])
def test_the_files_of_a_folder_are_those_of_the_run(run_files, tmp_path, options):
    expected = RunFiles(**run_files(**options))
    assert files_of(tmp_path / "results") == expected


def test_figures_are_those_of_the_report(run_files, tmp_path):
    files = RunFiles(**run_files(stable=3, chosen=5))
    run = open_run(tmp_path)
    assert run.chemistry == ("Ba", "O", "Ru")
    expected = figures(files, collect(files), {"chemistry": run.chemistry}, run.crystals)
    assert set(run.figures) == set(expected)
    assert run.figures["funnel"].data[0].x == tuple(expected["funnel"]["data"][0]["x"])
    assert all(isinstance(figure, go.Figure) for figure in run.figures.values())


def test_a_crystal_has_its_own_figures(run_files, tmp_path):
    run_files(stable=1, chosen=3)
    run = open_run(tmp_path / "results")
    drawn = run.crystal_figures(run.crystals[0]["candidate_id"])
    assert {"cell", "bands", "pattern"} <= set(drawn)
    with pytest.raises(InputError, match="t9: this run has relaxed no such crystal"):
        run.crystal_figures("t9")


def test_a_run_that_is_not_finished_is_told(run_files, tmp_path):
    Path(run_files()["stable"]).unlink()
    with pytest.raises(InputError, match=r"stable\.parquet: not there"):
        open_run(tmp_path)
