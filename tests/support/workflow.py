"""Running the workflow as a user does: its own process, a folder of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def snakemake(
    folder: Path, *arguments: str, root: Path = ROOT, config: Mapping[str, Any] | None = None, cores: int = 2
) -> subprocess.CompletedProcess[str]:
    """Run the workflow in ``folder`` with ``configs/test.yaml``.

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
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, check=False)


def copy_run(source: Path, target: Path) -> Path:
    """A copy of a run's folder, Snakemake's own records included, with the same time stamps."""
    shutil.copytree(source, target, symlinks=True)
    return target
