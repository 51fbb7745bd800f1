"""A run's folder, opened in a notebook, shows what its report shows."""

from pathlib import Path

import pytest
from plotly import graph_objects as go

from cgwgan_core.results.funnel import RunFiles, collect
from cgwgan_core.results.report import figures
from cgwgan_core.results.run import open_run
from cgwgan_core.results.run import run_files as files_of
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.provenance import Provenance


@pytest.fixture
def finished(run_files, tmp_path):
    """Makes a finished run in ``tmp_path``, and returns its files."""

    def make(**options):
        files = RunFiles(**run_files(**options))
        collect(files).write(tmp_path / "results" / "funnel.json", files, Provenance())
        return files

    return make


@pytest.mark.parametrize("options", [{"stable": 4, "chosen": 5, "dft": 3}, {"stable": 0, "chosen": 0, "alone": True}])
def test_the_files_of_a_folder_are_those_of_the_run(finished, tmp_path, options):
    files = finished(**options)
    assert files_of(tmp_path / "results") == files


def test_what_an_earlier_configuration_left_is_no_part_of_the_run(finished, tmp_path):
    files = finished(stable=0, chosen=0, alone=True)
    for name in ("screening_potential.json", "promoted/00.parquet", "relaxed/99.parquet"):
        path = tmp_path / "results" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    found = files_of(tmp_path / "results")
    assert found == files
    assert found.screening_potential == found.promoted == ()


def test_figures_are_those_of_the_report(finished, tmp_path):
    files = finished(stable=3, chosen=5)
    run = open_run(tmp_path)
    assert run.chemistry == ("Ba", "O", "Ru")
    expected = figures(files, collect(files), {"chemistry": run.chemistry}, run.crystals)
    assert set(run.figures) == set(expected)
    assert run.figures["funnel"].data[0].x == tuple(expected["funnel"]["data"][0]["x"])
    assert all(isinstance(figure, go.Figure) for figure in run.figures.values())


def test_a_crystal_has_its_own_figures(finished, tmp_path):
    finished(stable=1, chosen=3)
    run = open_run(tmp_path / "results")
    drawn = run.crystal_figures(run.crystals[0]["candidate_id"])
    assert {"cell", "bands", "pattern"} <= set(drawn)
    with pytest.raises(InputError, match="t9: this run has relaxed no such crystal"):
        run.crystal_figures("t9")


def test_a_run_that_is_not_finished_is_told(finished, tmp_path):
    files = finished()
    Path(files.stable).unlink()
    with pytest.raises(InputError, match=r"stable\.parquet: not there, and the report was made of it"):
        open_run(tmp_path)
    counts = tmp_path / "results" / "funnel.json"
    counts.write_text('{"stages": []}')
    with pytest.raises(InputError, match=r"funnel\.json: names no files"):
        open_run(tmp_path)
    counts.unlink()
    with pytest.raises(InputError, match=r"funnel\.json: not there; a report is of a run that is finished"):
        open_run(tmp_path)
