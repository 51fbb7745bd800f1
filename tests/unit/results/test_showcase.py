"""The showcase: what it keeps of a run, and how much of it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cgwgan_core.results.funnel import RunFiles, collect
from cgwgan_core.results.showcase import COLUMNS, PAPER, ShowcaseFiles, write_showcase
from cgwgan_core.workflow.provenance import Provenance


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def showcase(run_files: Callable[..., dict[str, Any]], tmp_path: Path) -> tuple[Path, RunFiles]:
    """The showcase of a run of four survivors, with CIF files of two, and the run's files."""
    files = RunFiles(**run_files(stable=4, chosen=5))
    rows = pq.read_table(files.stable).to_pylist()
    collect(files).write(tmp_path / "funnel.json", files, Provenance())
    (tmp_path / "report.html").write_text("<html>report</html>")
    (tmp_path / "cif").mkdir()
    for row in rows:
        (tmp_path / "cif" / f"{row['formula']}_{row['candidate_id']}.cif").write_text(row["candidate_id"])
    measured = {"infill/0.tsv": "60\t100.5", "infill/1.tsv": "120\t300.2", "rank.tsv": "3\t-", "aborted.tsv": None}
    for name, line in measured.items():
        path = tmp_path / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("s\tmax_rss\n" + (f"{line}\n" if line else ""))
    names = {key: str(tmp_path / name) for key, name in {
        "funnel": "funnel.json", "report": "report.html", "cifs": "cif", "benchmarks": "benchmarks",
    }.items()}  # fmt: skip
    folder = tmp_path / "showcase"
    folder.mkdir()
    write_showcase(folder, ShowcaseFiles(**names, stable=files.stable, phonons=files.phonons), most=2)
    return folder, files


def test_counts_stand_beside_the_papers(showcase: tuple[Path, RunFiles]) -> None:
    folder, files = showcase
    counts = {row["stage"]: row for row in json.loads((folder / "funnel.json").read_text())}
    assert {stage: row["paper"] for stage, row in counts.items() if row["paper"]} == PAPER
    for stage in collect(files).stages:
        assert (counts[stage.key]["entered"], counts[stage.key]["kept"]) == (stage.count_in, stage.kept)


def test_the_table_holds_every_survivor_and_the_folder_the_first_cifs(showcase: tuple[Path, RunFiles]) -> None:
    folder, files = showcase
    rows, shown = pq.read_table(files.stable).to_pylist(), read_csv(folder / "stable.csv")
    assert [row["candidate_id"] for row in shown] == [row["candidate_id"] for row in rows]
    assert list(shown[0]) == list(COLUMNS)
    for row, printed in zip(rows, shown, strict=True):
        assert float(printed["min_frequency"]) == pytest.approx(row["min_frequency"], rel=1e-5)
    assert {path.read_text() for path in (folder / "cif").iterdir()} == {row["candidate_id"] for row in rows[:2]}
    assert (folder / "report.html").read_text() == "<html>report</html>"
    assert "<svg" in (folder / "bands.svg").read_text()


def test_costs_are_added_up_over_the_jobs_of_a_rule(showcase: tuple[Path, RunFiles]) -> None:
    folder, _ = showcase
    assert read_csv(folder / "cost.csv") == [
        {"rule": "infill", "jobs": "2", "minutes_in_all": "3", "longest_minutes": "2", "peak_memory_mib": "300"},
        {"rule": "rank", "jobs": "1", "minutes_in_all": "0.1", "longest_minutes": "0.1", "peak_memory_mib": ""},
    ]
