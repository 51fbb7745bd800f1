"""Every command of ``docs/tutorials`` runs, in the order of its page, in a folder that looks like a clone.

Commands stand in fenced blocks and begin with ``.venv/bin/`` or ``make``. Settings stand in ``yaml`` blocks that begin
with the name of their file; the test merges them into it, as a reader edits it. What takes minutes or needs an engine
is asked what it would do (``--dry-run``): see :func:`ways`. A command that nothing here knows how to run fails.
"""

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

from cgwgan_core.workflow.config import problems, settled
from tests.support.workflow import ROOT

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(\$ )?(\.venv/bin/|make\b|export )")
CLONED = (
    "Makefile", "Snakefile", "cgwgan_core", "config.yaml", "configs", "envs", "profiles", "pyproject.toml", "rules",
    "schemas", "scripts",
)  # fmt: skip
SMALL = {"results/model/generator.ckpt", "results/quality.json", "results/data/training.parquet"}
"""Targets that are made in less than a minute at the scale of ``configs/test.yaml``."""
UPF = """<UPF version="2.0.1">
<PP_HEADER element="{}" pseudo_type="US" z_valence="6.0" wfc_cutoff="40.0" rho_cutoff="320.0"/>
"""


@dataclass(frozen=True)
class Step:
    """One command, or one edit of settings."""

    line: str
    """The command; for settings, the file."""
    settings: Mapping[str, Any] | None = None


def steps(page: str) -> Iterator[Step]:
    """What a reader does, in order."""
    for language, block in BLOCK.findall(page):
        if language == "yaml" and (named := re.match(r"# (\S+\.yaml)\n", block)):
            yield Step(named[1], yaml.safe_load(block))
        elif not language or language in ("sh", "bash", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                assert not line or COMMAND.match(line), f"not a command that the test knows: {line}"
                if line:
                    yield Step(line.removeprefix("$ "))


def ways(words: list[str]) -> list[list[str]]:
    """How a command is run here: at least once, and small.

    - ``make`` installs, compiles, or runs everything: it is asked what it would do.
    - ``snakemake`` makes :data:`SMALL` targets at the scale of the tests; for others it takes from minutes to days, and
      DFT needs an engine: it is asked what it would do.
    - Everything else is run as it stands.
    """
    if words[0] == "make":
        return [["make", "--dry-run", *words[1:]]]
    if words[0] != ".venv/bin/snakemake":
        return [words]
    ways = [[*(word for word in words if word != "--dry-run"), "--dry-run"]]
    targets = {word for word in words if word.startswith("results/")}
    if targets and targets <= SMALL and "--dry-run" not in words:
        cores = words.index("--cores") + 1
        small = [*words[:cores], "1", *words[cores + 1 :]]
        ways.append([*small, *([] if "--configfile" in words else ["--configfile"]), "configs/test.yaml"])
    return ways


def clone(place: Path) -> Path:
    """A folder that looks like the project's, and holds what a reader has: a database, a folder of pseudopotentials,
    and what stands for GPAW's environment.
    """
    place.mkdir()
    for name in CLONED:
        (place / name).symlink_to(ROOT / name)
    (place / ".venv").symlink_to(sys.prefix)
    (place / ".venv-dft" / "bin").mkdir(parents=True)
    (place / ".venv-dft" / "bin" / "python").symlink_to(sys.executable)
    documents = [
        {"material_id": f"mp-{i}", "structure": prototype["snl"].structure.as_dict()}
        for i, prototype in enumerate(AFLOW_PROTOTYPE_LIBRARY)
    ]
    (place / "mp_summary.json.gz").write_bytes(gzip.compress(json.dumps(documents).encode()))
    (place / "sssp").mkdir()
    for element in ("Sr", "Ti", "O"):
        (place / "sssp" / f"{element}.upf").write_text(UPF.format(element))
    return place


def edit(file: Path, settings: Mapping[str, Any]) -> None:
    """Merge settings into a run's own; both must be settings that exist."""
    schema = ROOT / "schemas" / "config.schema.yaml"
    own = _merged(yaml.safe_load(file.read_text()), settings)
    file.write_text(yaml.safe_dump(own))
    whole = _merged(yaml.safe_load((ROOT / "config.yaml").read_text()), own)
    # paths are from the folder of the run, whose dry run asks for them
    assert [line for line in problems(settled(whole, schema), schema) if "no folder" not in line] == []


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    inner = {
        key: _merged(under.get(key) or {}, value) if isinstance(value, dict) else value for key, value in over.items()
    }
    return {**under, **inner}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_tutorial_runs(page: Path, run: Path, tmp_path: Path) -> None:
    place = clone(tmp_path / "clone")
    environment = {name: value for name, value in os.environ.items() if name not in ("CGWGAN_POTENTIAL", "MP_API_KEY")}
    environment["PYTHONPATH"] = str(place)
    commands, asked = 0, set[str]()
    for step in steps(page.read_text(encoding="utf-8")):
        if step.settings is not None:
            edit(place / step.line, step.settings)
            asked.clear()
            continue
        words = shlex.split(step.line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            environment[name] = value
            continue
        # what a command reads of a run is that of a complete small one
        for folder in re.findall(r"([\w./-]*)results/", step.line if "snakemake" not in words[0] else ""):
            shutil.copytree(run / "results", place / folder / "results", dirs_exist_ok=True)
        commands += 1
        for way in ways(words):
            if "--dry-run" in way and shlex.join(way) in asked:
                continue
            asked.add(shlex.join(way))
            done = subprocess.run(way, cwd=place, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{shlex.join(way)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert commands


def test_an_unknown_command_is_not_left_out() -> None:
    with pytest.raises(AssertionError, match="not a command that the test knows: rm -rf results"):
        list(steps("```\nrm -rf results\n```\n"))


def test_small_targets_are_made_and_others_asked_for() -> None:
    whole = shlex.split(".venv/bin/snakemake --cores 8 --directory runs/a")
    assert ways(whole) == [[*whole, "--dry-run"]]
    one = shlex.split(".venv/bin/snakemake results/quality.json --cores 8 --configfile configs/train.yaml")
    small = ".venv/bin/snakemake results/quality.json --cores 1 --configfile configs/train.yaml configs/test.yaml"
    assert ways(one) == [[*one, "--dry-run"], shlex.split(small)]
