"""Outputs that survive a kill and a power cut: files and folders that appear whole or not at all, and rows kept as they
are finished.

Snakemake deletes a rule's declared outputs before it reruns it, so nothing can resume from them. Finished rows
therefore lie in an undeclared folder beside the output, one small file each, until the output is written.
"""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cgwgan_core.workflow.errors import InputError

REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space of your quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "make its folder writable",
    errno.EPERM: "make its folder writable",
    errno.EROFS: "make its file system writable",
}
"""What a user can do where a file cannot be written, by the number of the error."""
NO_ROOM = 2**16
"""Free bytes below which a disk counts as full."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path``; the file or folder made there takes its place if the body ends without error.

    What a killed job left beside it is removed: an output has one writer at a time.

    :raises InputError: without room, or where the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f".{path.name}.*.part"):
            _remove(stale)
        yield temporary
        # a rename may reach the disk before what it renames
        for part in [*temporary.rglob("*"), temporary]:
            _flush(part)
        if temporary.is_dir():
            _remove(path)
        temporary.replace(path)
        with suppress(OSError):  # some file systems cannot flush a folder
            _flush(path.parent)
    except InputError:
        raise
    except Exception as error:
        if number := _reason_unwritten(error, path.parent):
            reason = f"{path}: cannot be written ({os.strerror(number)}); {REMEDIES[number]}, then run again"
            raise InputError(reason) from error
        raise
    finally:
        _remove(temporary)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """As :func:`replacing`, with an empty folder to fill."""
    with replacing(path) as temporary:
        temporary.mkdir()
        yield temporary


def write_text(path: str | Path, text: str) -> None:
    """Write a whole file of text, in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write plain values as indented JSON."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def not_writable(run: Path) -> list[str]:
    """Which of a run's folders its jobs could not write into, and the remedy; a line each."""
    folders = [run, run / "results", *sorted((run / "results").glob("*/"))]
    locked = [folder.absolute() for folder in folders if folder.exists() and not os.access(folder, os.W_OK)]
    return [f"{folder}: cannot be written; make it writable, then run again" for folder in locked]


def _reason_unwritten(error: Exception, folder: Path) -> int | None:
    """The number of the error if it says that a folder, or what is in it, cannot be written."""
    if isinstance(error, OSError) and error.errno in REMEDIES:
        named = Path(error.filename or folder)
        return error.errno if named.is_relative_to(folder) or folder.is_relative_to(named) else None
    # Torch and SQLite hide the number
    full = folder.is_dir() and shutil.disk_usage(folder).free < NO_ROOM
    return errno.ENOSPC if full else None


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class KeptRows:
    """Finished rows of one output, kept until the body of the ``with`` ends without an error.

    >>> with KeptRows("results/phonons/0.parquet", options, potential.digest) as kept:  # doctest: +SKIP
    ...     rows = [kept.get(crystal) or kept.put(crystal, compute(crystal)) for crystal in crystals]
    ...     tables.write("results/phonons/0.parquet", rows, PHONONS, made_from)

    :param output: the file that the rows will become.
    :param context: everything besides the key that a row follows from (options, digests); rows kept under
        another context are not found. Dataclasses and JSON values.
    """

    def __init__(self, output: str | Path, *context: Any) -> None:
        output = Path(output)
        self.folder = output.with_name(f".{output.name}.rows")
        self._context = _canonical(context)

    def __enter__(self) -> "KeptRows":
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            shutil.rmtree(self.folder)

    def get(self, key: Any) -> dict[str, Any] | None:
        """The row kept under this key (JSON values), or ``None``."""
        try:
            row: dict[str, Any] = json.loads(self._file(key).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return row

    def put(self, key: Any, row: dict[str, Any]) -> dict[str, Any]:
        """Keep a row of JSON values; it is on disk when this returns.

        :returns: the row as :meth:`get` would return it, so that a resumed run gives the same bytes.
        """
        text = json.dumps(row)
        write_text(self._file(key), text)
        kept: dict[str, Any] = json.loads(text)
        return kept

    def _file(self, key: Any) -> Path:
        name = hashlib.sha256(f"{self._context}{_canonical(key)}".encode()).hexdigest()[:32]
        return self.folder / f"{name}.json"


def _canonical(value: Any) -> str:
    """Canonical JSON of plain values and dataclasses; anything else is a :class:`TypeError`."""
    return json.dumps(value, sort_keys=True, default=dataclasses.asdict)
