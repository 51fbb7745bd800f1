"""One lock, and everything that repeats it in step with it."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import yaml

from cgwgan_core.workflow.codedigest import DISTRIBUTIONS

ROOT = Path(__file__).parents[3]


def name(text: str) -> str:
    return re.split(r"[=<>\[ ]", text)[0].lower().replace("_", "-")


def lock() -> dict[str, str]:
    lines = [line for line in (ROOT / "envs" / "lock.txt").read_text().splitlines() if line and line[0] != "#"]
    return {name(line): line.split("==")[1] for line in lines}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_lock_pins_everything_that_the_project_names() -> None:
    extras = project()["optional-dependencies"]
    wanted = project()["dependencies"] + extras["workflow"] + extras["dev"]
    assert [w for w in wanted if name(w) not in lock()] == []


def test_the_lock_fits_cpu_and_cuda() -> None:
    text = (ROOT / "envs" / "lock.txt").read_text()
    assert "+cpu" not in text
    assert "--hash" not in text


def test_conda_environments_have_the_versions_of_the_lock() -> None:
    for path in (ROOT / "envs").glob("*.yaml"):
        dependencies = yaml.safe_load(path.read_text())["dependencies"]
        pinned = next(d["pip"] for d in dependencies if isinstance(d, dict))
        assert {name(p) for p in pinned} == {name(d) for d in project()["dependencies"]} | {
            name(d) for d in project()["optional-dependencies"]["workflow"]
        }
        assert [p for p in pinned if p.split("==")[1] != lock()[name(p)]] == []


def test_what_the_package_imports_is_declared() -> None:
    """Every import of the core and the scripts is of the package, the standard library, or declared."""
    declared = {name(d) for d in project()["dependencies"]}
    for path in [*(ROOT / "cgwgan_core").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]:
        if path.name.startswith("make_"):
            continue  # a development tool
        if path.name in ("runner.py", "electrons_run.py"):
            continue  # run in the engine's environment
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for found in (n.split(".")[0] for n in names):
                if found not in ("cgwgan_core", *sys.stdlib_module_names):
                    assert DISTRIBUTIONS.get(found, found.replace("_", "-")) in declared, f"{path.name}: {found}"
