"""What every job of the workflow shares: a log, one clear error, and progress.

The log file has everything. Its last line that is not indented says what came of the job, for
:mod:`cgwgan_core.workflow.terminal` to show. Nothing here imports Snakemake: :func:`job` takes any object with
``input``, ``params`` and ``log``.
"""

import logging
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.provenance import Provenance, provenance_of

logger = logging.getLogger("cgwgan")
T = TypeVar("T")
MINUTE = 60.0
"""Seconds between two lines of a job on the terminal, warnings and errors aside."""


class Sparing(logging.Filter):
    """Lets warnings and errors through, and else one line a minute, as a sign of life."""

    def __init__(self) -> None:
        super().__init__()
        self._last = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        now = time.monotonic()
        shown = record.levelno >= logging.WARNING or now - self._last >= MINUTE
        if shown:
            self._last = now
        return shown


@contextmanager
def job(snakemake: Any) -> Iterator[Provenance]:
    """Run the body of a script as one job.

    Sends the log to the rule's log file, and warnings, errors and a line a minute to the terminal, under its name. An
    :class:`InputError` becomes one line and exit status 1. Anything else is a defect of the program and keeps its
    traceback, in the log too.

    :param snakemake: the object that Snakemake gives to scripts.
    :yields: the provenance of the job's outputs.
    """
    log = Path(snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        terminal, file = logging.StreamHandler(sys.stderr), logging.StreamHandler(stream)
        terminal.addFilter(Sparing())
        terminal.setFormatter(logging.Formatter(f"{_called(log).replace('%', '%%')}: %(message)s"))
        file.setFormatter(logging.Formatter("%(message)s"))
        handlers = (terminal, file)
        for handler in handlers:
            logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        warnings.filterwarnings("ignore")  # the libraries' own deprecations are no news to a user
        try:
            yield provenance_of(snakemake)
        except InputError as error:
            logger.error(f"error: {error}")
            stream.flush()
            sys.exit(1)
        except Exception:
            logging.getLogger("cgwgan.traceback").exception("unexpected error; the traceback follows")
            raise
        finally:
            for handler in handlers:
                logger.removeHandler(handler)


def _called(log: Path) -> str:
    """A job's name, from that of its log: rule, or rule and shard."""
    parts = log.with_suffix("").parts
    return "/".join(parts[parts.index("logs") + 1 :] if "logs" in parts else parts[-1:])


def outcome(log: str | Path) -> str | None:
    """What came of a job, from its log: the last line that is not indented; ``None`` where there is none."""
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line for line in reversed(lines) if line and not line[0].isspace()), None)


def progress(items: Iterable[T], total: int | None, what: str, every: float = 10.0) -> Iterator[T]:
    """Pass items on, logging how many are done, the rate and the time that remains, every few seconds.

    :param total: number of items where known, else ``None`` (then no estimate of what remains).
    :param what: what is counted, as a plural ("structures").
    :param every: seconds between two lines.
    """
    start = last = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= every:
            last = now
            rate = done / (now - start)
            remains = f", {(total - done) / rate:.0f} s remain" if total else ""
            logger.info(f"{done:,}{f' of {total:,}' if total else ''} {what}, {rate:,.1f}/s{remains}")
    logger.info(f"{done:,} {what} in {time.monotonic() - start:.1f} s")
