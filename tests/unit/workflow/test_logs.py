"""What every job does: logs, one clear error, progress."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.logs import job, logger, outcome, progress


def fake(tmp_path: Path) -> SimpleNamespace:
    """What Snakemake gives a script, as far as jobs look at it."""
    return SimpleNamespace(log=[str(tmp_path / "logs" / "x.log")], input={}, params={})


def test_input_errors_are_one_line_and_status_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop, job(fake(tmp_path)):
        raise InputError("data.csv: row 3: no cif")
    assert stop.value.code == 1
    assert capsys.readouterr().err == "x: error: data.csv: row 3: no cif\n"
    assert (tmp_path / "logs" / "x.log").read_text() == "error: data.csv: row 3: no cif\n"


def test_defects_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), job(fake(tmp_path)):
        _ = 1 / 0


def test_progress_passes_everything_on_and_estimates(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=logger.name):
        assert list(progress(range(5), 5, "things", every=0)) == [0, 1, 2, 3, 4]
    assert "2 of 5 things" in caplog.text
    assert "remain" in caplog.text


def test_the_terminal_gets_warnings_and_a_line_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 59.0, 61.0, 62.0, 63.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    with job(fake(tmp_path)):
        for line in ("early", "a minute on", "soon after"):
            logger.info(line)
        logger.warning("warning: odd")
    assert capsys.readouterr().err.splitlines() == ["x: a minute on", "x: warning: odd"]
    assert (tmp_path / "logs/x.log").read_text().splitlines() == ["early", "a minute on", "soon after", "warning: odd"]


def test_a_job_is_called_by_rule_and_shard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = SimpleNamespace(log=[str(tmp_path / "results/logs/relax/07.log")], input={}, params={})
    with job(script):
        logger.warning("warning: odd")
    assert capsys.readouterr().err == "relax/07: warning: odd\n"


def test_the_outcome_is_the_last_line_that_is_not_indented(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("2,000 records\n288 records: 287 kept, 1 refused\n  1 disordered\n\n")
    assert outcome(log) == "288 records: 287 kept, 1 refused"
    log.write_text("")
    assert outcome(log) is None
    assert outcome(tmp_path / "none.log") is None
