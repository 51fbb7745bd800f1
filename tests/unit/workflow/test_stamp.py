"""A folder's stamp changes with every change of a file in it, and with nothing else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cgwgan_core.workflow.stamp import stamp


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, one in a subfolder, with time stamps of long ago."""
    for name in ("a.cif", "more/b.cif"):
        path = tmp_path / "data {x} of mine" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
        os.utime(path, (1, 1))
    return tmp_path / "data {x} of mine"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a.cif").write_text("A.cif"),  # in place, as long as before
        lambda folder: (folder / "more" / "c.cif").write_text(""),
        lambda folder: (folder / "more" / "b.cif").unlink(),
        lambda folder: (folder / "a.cif").rename(folder / "z.cif"),
    ],
)
def test_every_change_of_a_file_changes_it(folder: Path, change: Callable[[Path], object]) -> None:
    before = stamp(folder)
    assert stamp(f"{folder}/") == before
    change(folder)
    assert stamp(folder) != before


def test_what_is_no_folder_has_none(folder: Path) -> None:
    assert [stamp(path) for path in (None, folder / "a.cif", folder / "no")] == [None, None, None]
