"""What every job does: logs, one clear error, progress."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.logs import job, logger, progress


def fake(tmp_path: Path) -> SimpleNamespace:
    """What Snakemake gives a script, as far as jobs look at it."""
    return SimpleNamespace(log=[str(tmp_path / "logs" / "x.log")], input={}, params={})


def test_input_errors_are_one_line_and_status_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop, job(fake(tmp_path)):
        raise InputError("data.csv: row 3: no cif")
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: data.csv: row 3: no cif\n"
    assert (tmp_path / "logs" / "x.log").read_text() == "error: data.csv: row 3: no cif\n"


def test_defects_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), job(fake(tmp_path)):
        _ = 1 / 0


def test_progress_passes_everything_on_and_estimates(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=logger.name):
        assert list(progress(range(5), 5, "things", every=0)) == [0, 1, 2, 3, 4]
    assert "2 of 5 things" in caplog.text
    assert "remain" in caplog.text
