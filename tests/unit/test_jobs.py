"""What every job does: logs, one clear error, provenance without paths, seeds."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from cgwgan_core.errors import InputError
from cgwgan_core.jobs import digest_file, job, logger, progress, seed


def fake(tmp_path: Path, **params: object) -> SimpleNamespace:
    """What Snakemake gives a script, as far as jobs look at it."""
    source = tmp_path / "in.txt"
    source.write_text("content")
    return SimpleNamespace(
        log=[str(tmp_path / "logs" / "x.log")],
        input={"source": str(source), "several": [str(source)] * 2},
        params=params,
    )


def test_input_errors_are_one_line_and_status_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop, job(fake(tmp_path)):
        raise InputError("data.csv: row 3: no cif")
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: data.csv: row 3: no cif\n"
    assert (tmp_path / "logs" / "x.log").read_text() == "error: data.csv: row 3: no cif\n"


def test_defects_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), job(fake(tmp_path)):
        _ = 1 / 0


def test_provenance_follows_content_and_settings_not_places(tmp_path: Path) -> None:
    found = []
    for name, value in (("a", 1), ("b", 1), ("c", 2)):
        folder = tmp_path / name
        folder.mkdir()
        with job(fake(folder, symprec=value)) as made_from:
            found.append(made_from)
    assert found[0] == found[1]
    assert found[0].settings != found[2].settings
    assert found[0].inputs["source"] == digest_file(tmp_path / "a" / "in.txt")


def test_folders_have_a_digest_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "one").write_text("1")
    before = digest_file(tmp_path / "f")
    (tmp_path / "f" / "one").rename(tmp_path / "f" / "two")
    assert digest_file(tmp_path / "f") != before


def test_progress_passes_everything_on_and_estimates(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=logger.name):
        assert list(progress(range(5), 5, "things", every=0)) == [0, 1, 2, 3, 4]
    assert "2 of 5 things" in caplog.text
    assert "remain" in caplog.text


def test_seeds_differ_by_step_and_shard() -> None:
    seeds = {seed(1, "templates", i) for i in range(100)} | {seed(2, "templates", 0), seed(1, "train")}
    assert len(seeds) == 102
    assert all(0 <= s < 2**63 for s in seeds)
