"""What a person sees of a run: events of Snakemake's logger in, lines out."""

import io
import json
import logging
from pathlib import Path

import pytest
import yaml

from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.reference import find_rules
from cgwgan_core.workflow.terminal import STAGES, Job, Outcome, Terminal, outcome_of, visible
from tests.support.workflow import ROOT


class Seen:
    """A terminal, and the run that it shows."""

    def __init__(self, jobs: dict[int, Job]) -> None:
        self.stream, self.now = io.StringIO(), 0.0
        self.terminal = Terminal(jobs, self.stream, lambda: self.now)

    def start(self, *numbers: int) -> None:
        self._tell("job_started", jobs=list(numbers))

    def end(self, number: int, at: float) -> None:
        self.now = at
        self._tell("job_finished", job_id=number)

    def _tell(self, event: str, **details: object) -> None:
        self.terminal.handle(logging.makeLogRecord({"event": event, **details}))

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def counts(path: Path, kept: int, **refused: int) -> str:
    path.write_text(json.dumps({"assigned": kept + sum(refused.values()), "kept": kept, "refused": refused}))
    return str(path)


def test_every_rule_with_shards_is_a_stage() -> None:
    rules = find_rules(ROOT, yaml.safe_load((ROOT / "config.yaml").read_text()))
    assert {rule.name for rule in rules if any("{shard}" in path for path in rule.outputs)} == set(STAGES) | {"promote"}


def test_a_job_tells_what_its_log_ends_with(tmp_path: Path) -> None:
    log = tmp_path / "rank.log"
    log.write_text("6 of 41 candidates on the shortlist\n  details\n")
    seen = Seen({3: Job("rank", str(log), []), 4: Job("all", "", [])})
    seen.start(3)
    seen.end(3, at=12)
    seen.start(4)
    seen.end(4, at=12)
    assert seen.lines == ["[1/1] rank  6 of 41 candidates on the shortlist  (12 s)"]


def test_a_stage_tells_how_far_it_is_and_what_came_out(tmp_path: Path) -> None:
    files = [counts(tmp_path / f"{i}.json", 90, collapsed=10) for i in range(4)]
    seen = Seen({i: Job("infill", "a.log", [file]) for i, file in enumerate(files)})
    seen.start(0, 1)
    seen.end(0, at=20)
    seen.start(2)
    seen.end(1, at=22)  # too soon after the last line
    seen.start(3)
    seen.end(2, at=40)
    seen.end(3, at=42)
    assert seen.lines == [
        # 60 seconds of work are ahead, for two at a time, of which 20 are done by the one that runs
        "[1/4] infill  1/4 shards  100 assignments, 0.2 s each, about 20 s left",
        "[3/4] infill  3/4 shards  300 assignments, 0.2 s each, about 1.3 s left",
        "[4/4] infill  400 assignments: 360 candidates; refused: 40 collapsed  (42 s)",
    ]


def test_no_time_is_left_where_the_last_shard_is_as_old_as_the_others_were(tmp_path: Path) -> None:
    files = [counts(tmp_path / f"{i}.json", 90, collapsed=10) for i in range(2)]
    seen = Seen({i: Job("infill", "a.log", [file]) for i, file in enumerate(files)})
    seen.start(0, 1)
    seen.end(0, at=20)
    assert seen.lines == ["[1/2] infill  1/2 shards  100 assignments, 0.2 s each"]


def test_shards_of_an_earlier_run_count(tmp_path: Path) -> None:
    first, second = (counts(tmp_path / f"{i}.json", 90, collapsed=10 * i) for i in (1, 2))
    seen = Seen({-1: Job("infill", "a.log", [first], waiting=False), 7: Job("infill", "a.log", [second])})
    seen.start(7)
    seen.end(7, at=5)
    assert seen.lines == ["[1/1] infill  210 assignments: 180 candidates; refused: 30 collapsed  (5.0 s)"]


def test_shards_of_an_earlier_run_count_while_a_stage_goes_on(tmp_path: Path) -> None:
    files = [counts(tmp_path / f"{i}.json", 90, collapsed=10) for i in range(3)]
    seen = Seen({i: Job("infill", "a.log", [file], waiting=i > 0) for i, file in enumerate(files)})
    seen.start(1)
    seen.end(1, at=20)
    # the time of each is that of this run's hundred
    assert seen.lines == ["[1/2] infill  2/3 shards  200 assignments, 0.2 s each, about 20 s left"]


def test_an_unknown_job_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen({})
    seen.end(5, at=1)
    assert seen.lines == []
    assert "KeyError" in capsys.readouterr().err


def test_counts_of_tables(tmp_path: Path) -> None:
    row = {field.name: None for field in tables.RELAXED}
    rows = [row | {"status": status} for status in ("ok", "ok", "collapsed: volume 0.3 of that before")]
    path = str(tmp_path / "0.parquet")
    tables.write(path, rows, tables.RELAXED, Provenance())
    assert outcome_of([path]) == Outcome(3, {"ok": 2}, {"collapsed": 1})
    row = {field.name: None for field in tables.PHONONS}
    verdicts = [("ok", "stable"), ("ok", None), ("ok", "stable"), ("refused: too large", None)]
    rows = [row | {"status": status, "verdict": verdict} for status, verdict in verdicts]
    tables.write(path, rows, tables.PHONONS, Provenance())
    assert outcome_of([path]) == Outcome(4, {"stable": 2, "no verdict": 1}, {"too large": 1})
    assert outcome_of([str(tmp_path / "lost.parquet")]) == Outcome()


def test_lines_of_jobs_give_way_to_those_of_stages() -> None:
    def record(message: str, **event: str) -> logging.LogRecord:
        return logging.makeLogRecord({"msg": message, **event})

    assert not visible(record("Finished jobid: 3", event="job_finished"))
    assert not visible(record("Select jobs to execute..."))
    assert visible(record("Error in rule rank", event="job_error"))
    assert visible(record("Nothing to be done"))
