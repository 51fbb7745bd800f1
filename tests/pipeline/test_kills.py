"""Runs that are killed, stopped, or find no room, and are started again, end in the bytes of one that was left alone.

``benchmarks/kill_campaign.py`` kills whole runs in every stage.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.training import fit
from tests.support.workflow import ROOT, results, snakemake, start

TARGET = "results/data/training.parquet"
"""Three jobs make it, in seconds."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run to :data:`TARGET` makes that is left alone."""
    folder = tmp_path_factory.mktemp("alone")
    done = snakemake(folder, TARGET)
    assert done.returncode == 0, done.stderr
    return results(folder)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory, which is not empty: Snakemake would try to remove its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o"]
    if os.geteuid() != 0 or subprocess.run([*mount, "size=64k", "tmpfs", folder], check=False).returncode:
        pytest.skip("only root can mount a file system")
    try:
        (folder / "kept").touch()
        subprocess.run([*mount, f"remount,{options}", "tmpfs", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def wait_for(found: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)


def working(folder: Path) -> bool:
    """Whether a job's script has begun."""
    return bool(list(folder.glob("results/logs/**/*.log")))


def test_a_killed_run_goes_on_once_it_is_unlocked(tmp_path: Path, alone: dict[str, bytes]) -> None:
    run = start(tmp_path, TARGET)
    wait_for(lambda: working(tmp_path))
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    locked = snakemake(tmp_path, TARGET)
    assert locked.returncode == 1
    assert "--unlock" in locked.stderr
    assert snakemake(tmp_path, "--unlock").returncode == 0
    assert snakemake(tmp_path, TARGET).returncode == 0
    assert results(tmp_path) == alone


def test_a_run_stopped_twice_by_its_user_goes_on(tmp_path: Path, alone: dict[str, bytes]) -> None:
    """Ctrl-C twice, as one does who is in a hurry, reaches Snakemake and its jobs alike."""
    run = start(tmp_path, TARGET)
    wait_for(lambda: working(tmp_path))
    for _ in range(2):
        os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.3)
    run.communicate(timeout=60)
    assert run.returncode != 0
    if list(tmp_path.glob(".snakemake/locks/*")):
        assert snakemake(tmp_path, "--unlock").returncode == 0
    assert snakemake(tmp_path, TARGET).returncode == 0
    assert results(tmp_path) == alone


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_stopped_says_how_to_go_on(tmp_path: Path, alone: dict[str, bytes], stop: int) -> None:
    run = start(tmp_path, TARGET)
    wait_for(lambda: working(tmp_path))
    # a terminal sends Ctrl-C to all, a queue its signal to Snakemake
    (os.killpg if stop == signal.SIGINT else os.kill)(run.pid, stop)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 1
    assert told.count("What has ended is kept: the same command goes on from there.") == 1
    assert snakemake(tmp_path, TARGET).returncode == 0
    assert results(tmp_path) == alone


def test_a_second_run_in_a_folder_waits_for_the_first(tmp_path: Path, alone: dict[str, bytes]) -> None:
    first = start(tmp_path, TARGET)
    wait_for(lambda: list(tmp_path.glob(".snakemake/locks/*")))
    second = snakemake(tmp_path, TARGET)
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stderr
    _, told = first.communicate(timeout=120)
    assert first.returncode == 0, told
    assert results(tmp_path) == alone


def test_a_run_on_a_full_disk_goes_on_where_there_is_room(tmp_path: Path, alone: dict[str, bytes]) -> None:
    with mounted(tmp_path / "results" / "data", "size=64k"):
        failed = snakemake(tmp_path, TARGET)
    errors = [line for line in failed.stderr.splitlines() if ": error: " in line]
    assert failed.returncode == 1
    assert errors
    for error in errors:
        assert "results/data/" in error
        assert "cannot be written (No space left on device); free some space, then run again" in error
    assert "Traceback" not in failed.stderr
    assert snakemake(tmp_path, TARGET).returncode == 0
    assert results(tmp_path) == alone


def test_a_folder_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    with mounted(tmp_path / "results" / "data", "ro"):
        failed = snakemake(tmp_path, TARGET)
    assert failed.returncode == 1
    assert f"{tmp_path}/results/data: cannot be written; make it writable, then run again" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not list(tmp_path.glob("results/logs/*"))


def test_killed_training_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """The job is killed (-9) after its second resume checkpoint, of twelve; then it runs again."""
    steps = 60
    code = f"""
import logging, sys
from pathlib import Path
from tests.support.training import fit
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
fit(Path(sys.argv[1]), steps={steps})
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = tmp_path / "scratch"
    deadline = time.monotonic() + 120
    while not list(kept.glob("epoch=00000[2-9]*.ckpt")) and time.monotonic() < deadline and job.poll() is None:
        time.sleep(0.02)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert list(kept.glob("*.ckpt"))
    assert not (tmp_path / "generator.ckpt").exists()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "going on from" in again.stdout
    (tmp_path / "whole").mkdir()
    fit(tmp_path / "whole", steps=steps)
    for name in ("generator.ckpt", "training.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not kept.exists()
