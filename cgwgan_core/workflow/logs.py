"""What every job of the workflow shares: a log, one clear error, and progress.

Nothing here imports Snakemake: :func:`job` takes any object with ``input``, ``params`` and ``log``.
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


@contextmanager
def job(snakemake: Any) -> Iterator[Provenance]:
    """Run the body of a script as one job.

    Sends the log to the rule's log file and to the terminal. An :class:`InputError` becomes one line and exit status 1.
    Anything else is a defect of the program and keeps its traceback, in the log too.

    :param snakemake: the object that Snakemake gives to scripts.
    :yields: the provenance of the job's outputs.
    """
    log = Path(snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), logging.StreamHandler(stream)]
        for handler in handlers:
            handler.setFormatter(logging.Formatter("%(message)s"))
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
