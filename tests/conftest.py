"""Where tests find real data and weights that are no part of the project; without them they skip, and say so."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.workflow import snakemake

# the same examples everywhere and always; HYPOTHESIS_PROFILE=default draws new ones
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def _folder(variable: str, what: str) -> Path:
    path = os.environ.get(variable)
    if not path or not Path(path).is_dir():
        pytest.skip(f"${variable} names no folder with {what}")
    return Path(path)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with ``mp_v2023_11_1.parquet`` and smaller samples of the Materials Project."""
    return _folder("CGWGAN_TEST_DATA", "Materials Project data")


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Folder with M3GNet potentials, one folder each."""
    return _folder("CGWGAN_TEST_MODELS", "M3GNet potentials")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one complete small run of the workflow, from the AFLOW prototypes to the report: CHGNet screens,
    SevenNet-0 judges, CHGNet judges again.

    Tests must not change it; :func:`tests.support.workflow.copy_run` copies it.
    """
    folder = tmp_path_factory.mktemp("run")
    done = snakemake(folder, "all", "results/showcase", "results/convergence.svg")
    assert done.returncode == 0, done.stderr[-5000:]
    return folder
