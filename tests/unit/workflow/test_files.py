"""Files and folders appear whole or not at all; finished rows survive a kill."""

import errno
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.files import KeptRows, replacing, replacing_folder, write_json, write_text


class KilledError(Exception):
    """A job that ends in the middle."""


def write_half(path: Path) -> None:
    path.write_text("half")
    raise KilledError


def test_a_file_appears_when_its_body_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "x.txt"
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.parent == target.parent
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(KilledError), replacing(target) as temporary:
        write_half(temporary)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_leftovers_of_a_killed_writer_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".x.999.part").mkdir()
    (tmp_path / ".x.999.part" / "half").write_text("half")
    (tmp_path / ".x.1000.part").write_text("half")
    (tmp_path / ".y.999.part").write_text("of another output")
    write_text(tmp_path / "x", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".y.999.part", "x"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")
    with replacing_folder(target) as temporary:
        (temporary / "new").write_text("new")
        assert (target / "old").exists()
    assert [path.name for path in target.iterdir()] == ["new"]
    with pytest.raises(KilledError), replacing_folder(target) as temporary:
        write_half(temporary / "newer")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "No space left on device"), (errno.EDQUOT, "quota"), (errno.EFBIG, "ulimit -f"),
        (errno.EACCES, "make its folder writable"), (errno.EROFS, "Read-only file system"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_told_with_the_remedy(tmp_path: Path, number: int, told: str) -> None:
    def write() -> None:
        with replacing(tmp_path / "x.txt") as temporary:
            temporary.write_text("half")
            raise OSError(number, "as the system says it", str(temporary))

    with pytest.raises(InputError, match=rf"x\.txt: cannot be written .*{told}"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_known_where_the_library_hides_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        with replacing(tmp_path / "x.ckpt"):
            raise RuntimeError("unexpected pos 640 vs 534")  # torch

    with pytest.raises(RuntimeError):
        write()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 4096, 4096))
    with pytest.raises(InputError, match=r"x\.ckpt: cannot be written .No space left"):
        write()


def test_an_input_that_cannot_be_read_is_another_error(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), replacing(tmp_path / "out" / "x.txt"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "in" / "data.csv"))


def test_json_is_readable_and_plain(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"length": "Å", "values": [1, None]})
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {"length": "Å", "values": [1, None]}
    assert "Å" in text
    assert text.endswith("}\n")
    # other programs do not read NaN
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"energy": np.nan})
    assert path.read_text(encoding="utf-8") == text


@dataclass(frozen=True)
class Options:
    fmax: float


def test_rows_are_kept_over_a_kill_and_cleared_at_the_end(tmp_path: Path) -> None:
    output = tmp_path / "rows.parquet"

    def put_and_stop(kept: KeptRows) -> None:
        kept.put("a", {"energy": -1.5})
        raise KilledError

    with pytest.raises(KilledError), KeptRows(output, Options(0.1)) as kept:
        put_and_stop(kept)
    with KeptRows(output, Options(0.1)) as kept:
        assert kept.get("a") == {"energy": -1.5}
        assert kept.get("b") is None
        assert kept.folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_rows_of_another_context_are_not_found(tmp_path: Path) -> None:
    output = tmp_path / "rows.parquet"
    with KeptRows(output, Options(0.1), "digest") as first:
        first.put("a", {"energy": -1.5})
        for context in ((Options(0.2), "digest"), (Options(0.1), "other")):
            assert KeptRows(output, *context).get("a") is None
        assert KeptRows(output, Options(0.1), "digest").get("a") == {"energy": -1.5}


def test_a_kept_row_is_what_a_resumed_run_reads(tmp_path: Path) -> None:
    with KeptRows(tmp_path / "rows.parquet") as kept:
        assert kept.put("a", {"cell": (1, 2)}) == kept.get("a") == {"cell": [1, 2]}
        with pytest.raises(TypeError):
            kept.get(object())
