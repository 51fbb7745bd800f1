"""Running the workflow as a user does: its own process, a folder of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def snakemake(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the workflow in ``folder`` with ``configs/test.yaml``; see :func:`start`."""
    with start(folder, *arguments, **options) as run:
        try:
            out, err = run.communicate(timeout=900)
        except BaseException:
            os.killpg(run.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(run.args, run.returncode, out, err)


def start(
    folder: Path, *arguments: str, root: Path = ROOT, config: Mapping[str, Any] | None = None, cores: int = 2
) -> subprocess.Popen[str]:
    """Start the workflow in ``folder`` with ``configs/test.yaml``, as the leader of a process group.

    :param root: the project, or a copy of it.
    :param config: an overlay over the test configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "CGWGAN_POTENTIAL"}
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", str(cores), *arguments]
    # an option that takes several values comes last, or it would swallow the targets
    command += ["--configfile", str(root / "configs" / "test.yaml")]
    if config:
        overlay = folder / "overlay.yaml"
        overlay.write_text(yaml.safe_dump(dict(config)))
        command.append(str(overlay))
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        # shells start what runs in the background deaf to Ctrl-C, and children inherit it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one call, no lock
    )


COST = re.compile(rb'<section id="cost">.*?</section>', re.DOTALL)
"""Of the report."""


def results(folder: Path) -> dict[str, bytes]:
    """What a run has made, by path, but for what states the time that was taken: logs, benchmarks, tensorboard's, and a
    section of the report.
    """
    top = folder / "results"
    files = {path.relative_to(top): path for path in sorted(top.rglob("*")) if path.is_file()}
    return {
        str(name): COST.sub(b"", path.read_bytes()) if name.suffix == ".html" else path.read_bytes()
        for name, path in files.items()
        if name.parts[0] not in ("logs", "benchmarks") and not name.match("events.out.*") and name.name != "cost.csv"
    }


def copy_run(source: Path, target: Path) -> Path:
    """A copy of a run's folder, Snakemake's own records included, with the same time stamps."""
    shutil.copytree(source, target, symlinks=True)
    return target
