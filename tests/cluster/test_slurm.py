"""Runs through ``profiles/slurm`` on a real Slurm of one node: arrays, retries, a stop, the same bytes as here."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.pipeline.test_secrets import KEY, Server, server, where_the_key_is
from tests.support.workflow import ROOT, results, snakemake, start

TARGET = "results/templates/0.parquet", "results/templates/1.parquet"
"""Six jobs make them, the last two an array."""
__all__ = ["server"]  # a fixture
PROFILE = ("--profile", str(ROOT / "profiles" / "slurm"), "--latency-wait", "5")
STATUS = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2")
"""This Slurm keeps no accounts, and is asked more often than a shared one should be."""
QUICK = {"model": {"max_steps": 0, "init": "pretrained"}, "templates": {"samples": 200}}


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if reason := slurm.missing():
        pytest.skip(reason)
    with slurm.slurm(tmp_path_factory.mktemp("slurm")):
        yield


def test_a_run_by_slurm_has_the_bytes_of_one_here(tmp_path: Path) -> None:
    """The training set's job gets too little memory first; the run is stopped once, and goes on."""
    here = snakemake(tmp_path / "here", *TARGET, config=QUICK)
    assert here.returncode == 0, here.stderr
    folder = tmp_path / "there"
    # an option that takes several values comes before the next option, or it would swallow the targets
    options = (
        *TARGET,
        "--slurm-array-jobs",
        "all",
        "--set-resources",
        "training_set:mem_mb=100*attempt**4",
        *PROFILE,
        *STATUS,
    )
    run = start(folder, *options, config=QUICK)
    deadline = time.monotonic() + 120
    while not (folder / "results/data/structures.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, stopped = run.communicate(timeout=120)
    assert run.returncode != 0
    assert slurm.jobs() == []
    done = snakemake(folder, *options, config=QUICK)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Submitted array job .* task IDs are 1-2", done.stderr), done.stderr
    assert "Trying to restart job" in stopped + done.stderr
    logs = folder.glob(".snakemake/slurm_logs/rule_training_set/*.log")
    assert any("memory limit" in log.read_text() for log in logs)
    assert results(folder) == results(tmp_path / "here")


def test_a_job_writes_its_environment_without_the_key(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The download runs beside Snakemake. The job after it logs all variables: the plugin does when asked."""
    monkeypatch.setenv("MP_API_KEY", KEY)
    options = ("--verbose", "--slurm-keep-successful-logs", *PROFILE, *STATUS)
    done = snakemake(tmp_path, "results/data/asu.parquet", *options, config={"data": {"source": "mp"}})
    assert done.returncode == 0, done.stderr
    assert server.asked == {KEY}
    logs = list(tmp_path.glob(".snakemake/slurm_logs/**/*.log"))
    assert len(logs) == 1
    assert "environment: environ(" in logs[0].read_text()
    assert where_the_key_is(tmp_path) == []
    assert KEY not in done.stdout + done.stderr
