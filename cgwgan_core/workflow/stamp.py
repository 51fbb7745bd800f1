"""The state of a folder, so that its content is an input like any other."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path


def stamp(path: str | Path | None) -> str | None:
    """Digest (16 hex digits) of name, size and time stamp of every file in a folder, subfolders included.

    A file that is added, removed, or overwritten in place changes it; nothing is read. ``None`` for what is no folder:
    Snakemake looks at files itself. Links to files are followed, links to folders are not.
    """
    if path is None or not Path(path).is_dir():
        return None
    total = hashlib.sha256()
    for line in sorted(_files(os.fspath(path), "")):
        total.update(line.encode(errors="surrogateescape"))
    return total.hexdigest()[:16]


def _files(folder: str, inside: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{inside}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{name}/")
            elif entry.is_file():
                state = entry.stat()
                yield f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n"
