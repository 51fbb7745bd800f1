"""What every job of the workflow shares: a log, one clear error, progress, and where its output came from.

Nothing here imports Snakemake: :func:`job` takes any object with ``input``, ``params`` and ``log``.
"""

import hashlib
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from . import __version__
from .errors import InputError

logger = logging.getLogger("cgwgan")
T = TypeVar("T")


@dataclass(frozen=True)
class Provenance:
    """Where a file came from: written into the metadata of every table and checkpoint.

    Holds content digests only, never paths or times, so that equal inputs and settings give equal bytes.
    """

    settings: str = ""
    """SHA-256 (16 hex digits) of the settings (Snakemake ``params``) the job ran with."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Name of each input -> SHA-256 (16 hex digits) of its content."""

    def metadata(self) -> dict[str, str]:
        """The three facts as strings, keyed as they appear in file metadata."""
        return {
            "cgwgan.version": __version__,
            "cgwgan.config": self.settings,
            "cgwgan.inputs": json.dumps(self.inputs, sort_keys=True),
        }


def digest_file(path: str | Path) -> str:
    """SHA-256 (16 hex digits) of a file's content; of a folder, of its files' names and contents."""
    path = Path(path)
    if path.is_dir():
        total = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            total.update(f"{file.relative_to(path)}:{digest_file(file)}\n".encode())
        return total.hexdigest()[:16]
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


@contextmanager
def job(snakemake: Any) -> Iterator[Provenance]:
    """Run the body of a script as one job.

    Sends the log to the rule's log file and to the terminal; turns :class:`InputError` into one line and
    exit status 1 (anything else is a defect of ours and keeps its traceback, in the log too).

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
            yield _provenance(snakemake)
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


def _provenance(snakemake: Any) -> Provenance:
    settings = json.dumps(dict(snakemake.params.items()), sort_keys=True, default=str)
    inputs: dict[str, str] = {}
    for name, paths in snakemake.input.items():
        several = [paths] if isinstance(paths, str) else list(paths)
        digests = [digest_file(path) for path in several]
        # Many shards make one digest of digests, so that metadata stay short at any scale.
        inputs[name] = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
    return Provenance(hashlib.sha256(settings.encode()).hexdigest()[:16], inputs)


def seed(run_seed: int, *names: str | int) -> int:
    """A 63-bit seed for one shard or step, derived from the run's seed and the names of the step.

    >>> seed(1, "templates", 0) == seed(1, "templates", 0) != seed(1, "templates", 1)
    True
    """
    text = json.dumps([run_seed, *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


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
