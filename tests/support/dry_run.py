"""What the workflow would run, and why, found in this process: a quarter of a second each."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, RerunTrigger, ResourceSettings

from cgwgan_core.potentials.roles import ROLES
from cgwgan_core.workflow.reference import Rule, find_rules
from tests.support.workflow import ROOT, snakemake

TRIGGERS = frozenset(map(RerunTrigger.parse_choice, ("mtime", "params", "input", "software-env")))
"""Those of ``profiles/default``."""
FOLDERS = {"cif", "phonopy"}
MISSING, CHANGED_PARAMS, CHANGED_INPUT, UPDATED = (
    "output files have to be generated",
    "params have changed since last execution",
    "set of input files has changed since last execution",
    "input files updated by another job",
)
"""Reasons of Snakemake's."""
RULES: list[Rule] = [
    rule
    for rule in find_rules(ROOT, yaml.safe_load((ROOT / "config.yaml").read_text()))
    if rule.name not in ("showcase", "dft_electrons", "relax_beside_random", "convergence")
]
"""Those of a complete run with ``configs/test.yaml``."""


def outputs(rule: Rule, shards: int = 2) -> list[str]:
    """Every output of a rule under ``results/``."""
    found = [path.format(shard=i, role=role) for path, i, role in product(rule.outputs, range(shards), ROLES)]
    return list(dict.fromkeys(found))


def pretend(folder: Path, config: Mapping[str, Any] | None = None) -> Path:
    """A run that Snakemake takes for complete, though its files say nothing."""
    for name in (name for rule in RULES for name in outputs(rule)):
        path = folder / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name in FOLDERS else path.write_text(name)
    touched = snakemake(folder, "--touch", "--forceall", config=config)
    assert touched.returncode == 0, touched.stderr[-3000:]
    return folder


def planned(folder: Path, config: Mapping[str, Any] | None = None) -> dict[str, set[str]]:
    """Reason -> rules that a run with ``configs/test.yaml`` would run for it; empty where there is nothing to do."""
    told = StringIO()
    with _unmoved(), redirect_stderr(told), SnakemakeApi(OutputSettings(dryrun=True)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(config=dict(config or {}), configfiles=[ROOT / "configs" / "test.yaml"]),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        workflow.dag(DAGSettings(rerun_triggers=TRIGGERS)).execute_workflow(executor="dryrun")
    if "Nothing to be done" in told.getvalue():
        return {}
    found: dict[str, set[str]] = defaultdict(set)
    section = told.getvalue().partition("\nReasons:\n")[2]
    for reason, rules in re.findall(r"^    (\S.*):\n        (.*)$", section, re.MULTILINE):
        found[reason] |= set(rules.split(", ")) - {"all"}
    assert found, told.getvalue()
    return found


@contextmanager
def _unmoved() -> Iterator[None]:
    """Folder and environment of the process as they were, and no potential but those of the configuration."""
    folder, environment = Path.cwd(), dict(os.environ)
    os.environ.pop("CGWGAN_POTENTIAL", None)
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
