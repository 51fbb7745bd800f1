"""What a person sees of a run: how far each stage is, and what came out of it, one line each.

``relax    3/8 shards  45 crystals, 1.4 s each, about 2 min left`` while it goes on, and at its end
``relax    120 crystals: 117 relaxed; refused: 3 not converged``.

:class:`Terminal` listens to Snakemake's logger in the main process, so that jobs may run anywhere, and takes its
numbers from the files of the jobs. The lines are plain: they read the same on a terminal and in a file.
"""

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TextIO

import pyarrow.compute as pc
import pyarrow.parquet as pq

from cgwgan_core.workflow.logs import outcome
from cgwgan_core.workflow.refusals import OK, listed, tally

STAGES = {
    "generate": ("draws", "valid and distinct"),
    "infill": ("assignments", "candidates"),
    "relax_known_phases": ("known phases", "relaxed"),
    "screen": ("candidates", "with an energy"),
    "evaluate": ("candidates", "with an energy by the judge"),
    "relax": ("crystals", "relaxed"),
    "relax_beside_random": ("crystals, generated and random", "relaxed"),
    "phonons": ("crystals", "with phonons"),
    "second_phonons": ("crystals", "with phonons"),
    "dft_statics": ("crystals", "with an energy"),
    "dft_relax": ("crystals", "relaxed"),
    "dft_phonons": ("crystals", "with phonons"),
}
"""Rules that run in shards -> what enters them, and what becomes of those that they keep."""
HIDDEN = ("job_info", "job_started", "job_finished", "progress", "shellcmd")
"""Snakemake's events whose lines these lines replace."""
KEPT = frozenset({OK, "converged"})
"""Values of a column ``status`` that are no refusals."""
EVERY = 10.0
"""Seconds between two lines of a stage that goes on."""


@dataclass(frozen=True)
class Job:
    """One job of a run."""

    rule: str
    log: str
    """Path of its log; empty for the target ``all``, which has none."""
    outputs: Sequence[str]
    """Paths."""
    waiting: bool = True
    """Whether it runs in this run, and has not been done in an earlier one."""


@dataclass
class Outcome:
    """What entered jobs, and what became of it."""

    entered: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    """Verdict -> number; under ``ok`` those without a verdict."""
    refused: Counter[str] = field(default_factory=Counter)
    """Kind of reason -> number."""

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(self.entered + other.entered, self.kept + other.kept, self.refused + other.refused)


def outcome_of(outputs: Sequence[str]) -> Outcome:
    """What became of all that entered a job, from its counts or its table; nothing where neither is there."""
    for ending, read in ((".json", _of_counts), (".parquet", _of_table)):
        for path in outputs:
            if path.endswith(ending) and Path(path).exists() and (found := read(path)) is not None:
                return found
    return Outcome()


def _of_counts(path: str) -> Outcome | None:
    """From JSON of what was kept, and refused for which reason."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    if not {"kept", "refused"} <= content.keys():
        return None
    refused = Counter(content["refused"])
    return Outcome(content["kept"] + refused.total(), Counter({OK: content["kept"]}), refused)


def _of_table(path: str) -> Outcome:
    """From a table that says of each row what became of it; without a column for it, all rows are kept."""
    names = pq.read_schema(path).names
    if "status" not in names:
        rows = pq.read_metadata(path).num_rows
        return Outcome(rows, Counter({OK: rows}))
    columns = ["status", *(["verdict"] if "verdict" in names else [])]
    table = pq.read_table(path, columns=columns).combine_chunks()
    good = pc.is_in(table["status"], value_set=pc.cast(sorted(KEPT), table.schema.field("status").type))
    kept = table.filter(good)
    verdicts = kept["verdict"].to_pylist() if "verdict" in names else [OK] * kept.num_rows
    refused = pc.value_counts(table.filter(pc.invert(good))["status"]).to_pylist()
    return Outcome(
        table.num_rows,
        Counter(verdict or "no verdict" for verdict in verdicts),
        tally({each["values"]: each["counts"] for each in refused}),
    )


@dataclass
class Stage:
    """The jobs of a rule that runs in shards, and how far they are."""

    rule: str
    """One of :data:`STAGES`."""
    jobs: dict[int, Job] = field(default_factory=dict)
    """By number."""
    started: dict[int, float] = field(default_factory=dict)
    """Number -> when it was started."""
    took: dict[int, float] = field(default_factory=dict)
    """Number of what has ended -> seconds."""
    outcome: Outcome = field(default_factory=Outcome)
    """Of what has ended."""
    told: float = -EVERY
    """When a line was last written."""

    @cached_property
    def before(self) -> Outcome:
        """Of what earlier runs have done."""
        return sum((outcome_of(job.outputs) for job in self.jobs.values() if not job.waiting), Outcome())

    @property
    def ended(self) -> bool:
        """Whether no job is left to wait for."""
        return all(number in self.took for number, job in self.jobs.items() if job.waiting)

    def summary(self, now: float) -> str:
        """What came out of all shards: those of earlier runs count, too."""
        found = self.before + self.outcome
        entering, remaining = STAGES[self.rule]
        kept = dict(found.kept)
        told = [f"{kept.pop(OK, 0):,} {remaining}"] if OK in kept or not kept else []
        told += [f"{n:,} {verdict}" for verdict, n in sorted(kept.items())]
        refused = f"; refused: {listed(found.refused, most=3)}" if found.refused else ""
        took = duration(now - min(self.started.values()))
        return f"{found.entered:,} {entering}: {', '.join(told)}{refused}  ({took})"

    def so_far(self, now: float) -> str:
        """How far it is, just after a shard has ended: shards, what went through them, its time, the time left.

        Shards of earlier runs count, but for the times.
        """
        entering, _ = STAGES[self.rule]
        n_before = sum(not job.waiting for job in self.jobs.values())
        spent, mean = sum(self.took.values()), sum(self.took.values()) / len(self.took)
        each = f", {duration(spent / self.outcome.entered)} each" if self.outcome.entered else ""
        running = [min(now - start, mean) for number, start in self.started.items() if number not in self.took]
        ahead = mean * (len(self.jobs) - n_before) - spent - sum(running)
        left = ahead / (len(running) + 1)  # what has just ended makes room for another
        entered = self.before.entered + self.outcome.entered
        told = f"{n_before + len(self.took)}/{len(self.jobs)} shards  {entered:,} {entering}{each}"
        return told if left < 1 else f"{told}, about {duration(left)} left"


class Terminal(logging.Handler):
    """Writes a line where a stage has got on, and one where it or a single job has ended.

    :param jobs: of the run, by Snakemake's number of each.
    :param stream: that lines go to.
    :param clock: seconds, from any start.
    """

    def __init__(
        self, jobs: Mapping[int, Job], stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._jobs, self._stream, self._clock = jobs, stream, clock
        self._stages: dict[str, Stage] = {}
        for number, job in jobs.items():
            self._stages.setdefault(job.rule, Stage(job.rule)).jobs[number] = job
        self._width = max(map(len, self._stages), default=0)
        self._ended = 0
        self._total = sum(job.waiting and bool(job.log) for job in jobs.values())

    def emit(self, record: logging.LogRecord) -> None:
        """Follow the events of Snakemake's logger; a defect here never stops a run."""
        try:
            event, now = getattr(record, "event", None), self._clock()
            if event == "job_started":
                for number in vars(record)["jobs"]:
                    self._stages[self._jobs[number].rule].started[number] = now
            elif event == "job_finished":
                self._end(vars(record)["job_id"], now)
        except Exception:  # noqa: BLE001 - logging's own way: it prints what happened, and goes on
            self.handleError(record)

    def _end(self, number: int, now: float) -> None:
        job = self._jobs[number]
        if not job.log:  # the target `all`
            return
        self._ended += 1
        stage = self._stages[job.rule]
        stage.took[number] = now - stage.started.setdefault(number, now)
        if job.rule not in STAGES:
            self._write(job.rule, f"{outcome(job.log) or 'done'}  ({duration(stage.took[number])})")
            return
        stage.outcome += outcome_of(job.outputs)
        if stage.ended:
            self._write(job.rule, stage.summary(now))
        elif now - stage.told >= EVERY:
            stage.told = now
            self._write(job.rule, stage.so_far(now))

    def _write(self, rule: str, told: str) -> None:
        width = len(str(self._total))
        self._stream.write(f"[{self._ended:{width}}/{self._total}] {rule:{self._width}}  {told}\n")
        self._stream.flush()


def visible(record: logging.LogRecord) -> bool:
    """Whether a record of Snakemake's still has a line of its own beside those of :class:`Terminal`."""
    return getattr(record, "event", None) not in HIDDEN and not str(record.msg).startswith("Select jobs")


def duration(seconds: float) -> str:
    """A time for reading.

    >>> [duration(t) for t in (0.00141, 0.25, 2.04, 12.4, 125, 3700, 200_000)]
    ['1.4 ms', '0.2 s', '2.0 s', '12 s', '2 min', '1 h 2 min', '55 h 33 min']
    """
    if seconds < 0.1:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 60:
        return f"{seconds:.{0 if seconds >= 9.95 else 1}f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
