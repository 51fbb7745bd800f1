"""Folders of inputs: what a user or a calculation put there stays, whatever is prepared in its place."""

from pathlib import Path

import pytest

from cgwgan_core.dft.folders import RECORD, file_digests, place_folder, read_record, remove_written, write_record

Contents = dict[str, tuple[bytes, int]]


def write(folder: Path, inputs: str, **files: str) -> Path:
    """A folder of inputs, with its record."""
    for name, text in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    write_record(folder, inputs)
    return folder


def contents(folder: Path) -> Contents:
    """Content and time of each file; folders and links are named."""
    found = {}
    for path in sorted(folder.rglob("*")):
        plain = path.is_file() and not path.is_symlink()
        found[str(path.relative_to(folder))] = (path.read_bytes(), path.stat().st_mtime_ns) if plain else (b"", 0)
    return found


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder of inputs that nothing was done with."""
    return write(tmp_path / "t1" / "relax", "old", INCAR="ENCUT = 520", POSCAR="Mg O")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Other inputs for the same place."""
    return write(tmp_path / "new", "new", INCAR="ENCUT = 600", POSCAR="Mg O", KPOINTS="Gamma")


def spoil(folder: Path, what: str) -> None:
    """Do what a user or a calculation may do in a folder."""
    if what == "link":
        (folder / what).symlink_to("POSCAR")
    elif what == RECORD:
        (folder / what).unlink()
    elif what.endswith("/"):
        (folder / what).mkdir()
    else:
        (folder / what).write_text("mine")


WORK = pytest.mark.parametrize("what", ["OUTCAR", "INCAR", "disp-001/", "link", RECORD])
"""A new file, a changed one, an empty folder, a link, a lost record: each keeps a folder."""


def test_a_record_says_what_was_written(old: Path) -> None:
    assert read_record(old)["inputs"] == "old"
    assert read_record(old)["files"] == {name: digest for name, digest in file_digests(old).items() if name != RECORD}
    assert sorted(read_record(old)["files"]) == ["INCAR", "POSCAR"]


@pytest.mark.parametrize("text", [None, "", "[]", '{"inputs": "a"}', '{"inputs": "a", "files": 1}'])
def test_a_record_that_cannot_be_read_says_nothing(old: Path, text: str | None) -> None:
    (old / RECORD).unlink() if text is None else (old / RECORD).write_text(text)
    assert read_record(old) == {"inputs": None, "files": {}}


def test_a_folder_goes_where_there_is_none(new: Path, tmp_path: Path) -> None:
    before = contents(new)
    assert place_folder(new, tmp_path / "t1" / "relax")
    assert contents(tmp_path / "t1" / "relax") == before
    assert not new.exists()


def test_equal_inputs_are_left_as_they_are(old: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again", "old", INCAR="ENCUT = 520", POSCAR="Mg O")
    before = contents(old)
    assert place_folder(again, old)
    assert contents(old) == before


def test_equal_inputs_beside_results_count_as_placed(old: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again", "old", INCAR="ENCUT = 520", POSCAR="Mg O")
    spoil(old, "OUTCAR")
    before = contents(old)
    assert place_folder(again, old)
    assert contents(old) == before


def test_other_inputs_replace_what_was_only_written(old: Path, new: Path) -> None:
    wanted = contents(new)
    assert place_folder(new, old)
    assert contents(old) == wanted


@WORK
def test_other_inputs_never_replace_work(old: Path, new: Path, what: str) -> None:
    spoil(old, what)
    before = contents(old)
    assert not place_folder(new, old)
    assert contents(old) == before


def test_a_link_in_its_place_is_left_alone(old: Path, new: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(old)
    before = contents(old)
    assert not place_folder(new, tmp_path / "linked")
    assert contents(old) == before


def test_a_folder_that_was_half_removed_is_completed(old: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again", "old", INCAR="ENCUT = 520", POSCAR="Mg O")
    before = file_digests(old)
    (old / "INCAR").unlink()
    assert place_folder(again, old)
    assert file_digests(old) == before


def test_what_was_only_written_is_removed(old: Path) -> None:
    assert remove_written(old, {})
    assert not old.exists()


@WORK
def test_work_is_never_removed(old: Path, what: str) -> None:
    spoil(old, what)
    before = contents(old)
    assert not remove_written(old, {})
    assert contents(old) == before
