"""Calculations on disk, one folder for each: run once, whoever asks, and never run again.

A store is shared by all stages, and may be shared by runs: a calculation's folder is named by the digest of crystal and
parameters. It holds ``calculation.json``, a folder for each attempt with the engine's inputs and outputs, and, once it
is settled, ``result.json``. An attempt that ran elsewhere counts as soon as its outputs lie in its folder.
"""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from cgwgan_core.dft.calculation import UNFINISHED, Calculation, Engine, Outcome
from cgwgan_core.dft.spin import ORDERS
from cgwgan_core.workflow.errors import InputError, first_line
from cgwgan_core.workflow.files import replacing_folder, write_json
from cgwgan_core.workflow.logs import logger

RESULT, RECORD = "result.json", "calculation.json"
OUTPUT, ERRORS = "stdout", "stderr"
"""Where the streams of an engine go, in the folder of the attempt."""
SPENT = "given-up.json"
"""Beside them, the minutes after which an engine was stopped."""
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit statuses of a killed engine: its own, and that of a shell or mpirun which started it."""
WAITING = "waiting"
"""How the status begins of a calculation whose inputs lie ready for another machine."""


class Store:
    """A folder of calculations, and the engine that computes what is missing.

    :param root: the folder; made when needed.
    :param max_minutes: for one attempt, which is then given up.
    :param orders: magnetic orders that crystals are computed from; see :func:`.spin.starts`.
    """

    def __init__(
        self, root: str | Path, engine: Engine, max_minutes: float = 120.0, orders: Collection[str] = ORDERS
    ) -> None:
        self.root, self.engine, self.max_minutes, self.orders = Path(root), engine, max_minutes, tuple(orders)

    def run(self, calculation: Calculation) -> Outcome:
        """What comes of a calculation: from disk where it is settled, else computed with the engine.

        After a failure that other parameters may mend, the engine's remedies are tried in turn, each with those before
        it. What came of the last is settled. A failure of the machine (killed, no memory, no room, no dataset) is told,
        but not settled: the next run tries again. One that was given up is tried again with more time.

        :returns: never raises for what a calculation does; the status tells.
        """
        folder = self.root / calculation.key
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder):
                return _read_result(folder / RESULT) or self._compute(calculation, folder)
        except (InputError, OSError) as error:  # no dataset for an element; no room on the disk
            return Outcome(first_line(error))

    def _compute(self, calculation: Calculation, folder: Path) -> Outcome:
        write_json(folder / RECORD, calculation.to_json())
        attempt, names = calculation, []
        for i in range(len(self.engine.remedies) + 1):
            if i:
                remedy = self.engine.remedies[i - 1]
                attempt = attempt.with_parameters(**remedy.changes)
                names.append(remedy.name)
                logger.info(f"{folder.name}: tried again with {remedy.name}")
            outcome = self._attempt(attempt, folder / f"attempt-{i + 1}")
            outcome = replace(outcome, remedies=tuple(names))
            if not outcome.repairable:
                break
        if outcome.converged or outcome.repairable:
            write_json(folder / RESULT, outcome.to_json())
        return outcome

    def _attempt(self, calculation: Calculation, folder: Path) -> Outcome:
        """What lies in the folder of an attempt, or what the engine makes of it."""
        found = self.engine.read(folder) if folder.is_dir() else Outcome(UNFINISHED)
        if found.converged or found.repairable:
            return found
        command = self.engine.command()
        if command is None and folder.is_dir():
            return replace(found, status=f"{WAITING}: inputs in {folder.parent.name}/{folder.name}, {found.status}")
        if (spent := _spent(folder)) >= self.max_minutes:
            return Outcome(_given_up(spent))
        with replacing_folder(folder) as new:
            self.engine.write(calculation, new)
        if command is None:
            return Outcome(f"{WAITING}: inputs in {folder.parent.name}/{folder.name}")
        failure = run_command(command, folder, self.max_minutes)
        found = self.engine.read(folder)
        if found.status != UNFINISHED:
            return found
        return Outcome(failure or f"the engine ended without a result ({_last_line(folder)})")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder for one process alone; a killed one's lock is gone with it."""
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _read_result(path: Path) -> Outcome | None:
    """The settled outcome; ``None`` where there is none that can be read."""
    try:
        return Outcome.from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning(f"{path}: cannot be read ({first_line(error)}); its attempts are read again")
        return None


def run_command(command: list[str], folder: Path, max_minutes: float) -> str | None:
    """Run a program in a folder; why it failed, or ``None`` where it says nothing."""
    with (folder / OUTPUT).open("wb") as output, (folder / ERRORS).open("wb") as errors:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads here
            )
        except OSError as error:
            return f"the engine cannot be started: {first_line(error)}"
        try:
            code = process.wait(max_minutes * 60)
        except subprocess.TimeoutExpired:
            write_json(folder / SPENT, max_minutes)
            return _given_up(max_minutes)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code in KILLED:
        return "the engine was killed (SIGKILL); is there too little memory?"
    return f"the engine failed ({_ending(code)}): {_last_line(folder)}" if code else None


def _ending(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit status {code}"


def _spent(folder: Path) -> float:
    """Minutes after which an attempt was given up; 0 if it was not."""
    try:
        return float(json.loads((folder / SPENT).read_text()))
    except (OSError, ValueError, TypeError):
        return 0.0


def _given_up(minutes: float) -> str:
    return f"given up after {minutes:g} minutes"


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it ends, however it ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _last_line(folder: Path) -> str:
    for name in (ERRORS, OUTPUT):
        with suppress(OSError):
            lines = (folder / name).read_text(errors="replace").strip().splitlines()
            if lines:
                return lines[-1].strip()[:200]
    return "it said nothing"
