"""Folders of inputs that may come to hold results: only what was written here is ever deleted.

A calculation costs more than everything before it, and its results come to lie beside its inputs. So each folder
records what was written into it, and only files that are still as they were written are deleted or replaced.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgwgan_core.workflow.logs import logger

RECORD = "inputs.json"
"""File in each folder of inputs: digests of the inputs, and of each file as it was written."""


def write_record(folder: Path, inputs: str) -> None:
    """Record all files of a folder as they are now.

    :param inputs: digest of what the calculation depends on.
    """
    record = {"inputs": inputs, "files": file_digests(folder)}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """What was written into a folder: digest of the inputs, and of each file by its path in the folder."""
    try:
        found = json.loads((folder / RECORD).read_text())
        return {"inputs": found["inputs"], "files": dict(found["files"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"inputs": None, "files": {}}


def place_folder(new: Path, path: Path) -> bool:
    """Move a new folder of inputs to its place, unless something in the old one is not, or no longer, as written.

    :returns: whether the folder at ``path`` now has these inputs.
    """
    written = read_record(new)
    if path.is_symlink() or path.exists():
        files = {**written["files"], RECORD: digest((new / RECORD).read_bytes())}
        if foreign := _foreign(path, files):
            logger.info(f"{path}: left as it is, it holds {', '.join(foreign[:3])}{', ...' if foreign[3:] else ''}")
            return bool(read_record(path)["inputs"] == written["inputs"])
        if file_digests(path) == files:
            return True
        if not remove_written(path, files):
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        new.rename(path)
    except OSError:
        if not path.exists():
            raise
        return False  # somebody made a folder of this name in the meantime, and it is not empty
    return True


def remove_written(folder: Path, new: Mapping[str, str]) -> bool:
    """Remove a folder if it holds nothing but what was written here, one known file after the other.

    Nothing is deleted by pattern, so what a calculation writes in this moment stays, and the folder with it.

    :param new: path -> digest of files that count as written here, too.
    :returns: whether it is gone.
    """
    if _foreign(folder, new):
        return False
    for name in sorted({*read_record(folder)["files"], *new} - {RECORD}):
        (folder / name).unlink(missing_ok=True)
    (folder / RECORD).unlink(missing_ok=True)  # last: a kill leaves a folder that is still known as ours
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _foreign(folder: Path, new: Mapping[str, str]) -> list[str]:
    """Paths in a folder, sorted, of all that is neither as recorded there nor equal to a file of ``new``.

    A changed file, a folder within and a link are a user's, too. The record itself is ours if it can be read.
    """
    if folder.is_symlink() or not folder.is_dir():
        return ["."]
    recorded = read_record(folder)["files"]
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name == RECORD and recorded and not path.is_symlink():
            continue
        as_written = (
            path.is_file()
            and not path.is_symlink()
            and digest(path.read_bytes()) in (recorded.get(name), new.get(name))
        )
        if not as_written:
            found.append(name)
    return found


def file_digests(folder: Path) -> dict[str, str]:
    """Digest of each file below a folder by its path in it."""
    return {str(p.relative_to(folder)): digest(p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def digest(content: bytes) -> str:
    """SHA-256 (16 hex digits)."""
    return hashlib.sha256(content).hexdigest()[:16]
