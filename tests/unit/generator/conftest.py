"""A short training, for the tests of training and checkpoints."""

from pathlib import Path

import pytest

from tests.support.training import fit


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a short training."""
    folder = tmp_path_factory.mktemp("trained")
    fit(folder)
    return folder
