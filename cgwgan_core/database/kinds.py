"""What a file is, by its first bytes, and which sources read such a file: known before anything is parsed."""

import re
import zipfile
from pathlib import Path

from cgwgan_core.database.streams import BROKEN, open_unpacked

STARTS = {b"PAR1": "parquet", b"SQLite format 3\0": "ase"}
"""First bytes of a file -> its source."""
JSON, TEXT = "json", "text"
_JSON = re.compile(rb"[\s\0\xef\xbb\xbf\xff\xfe]*[\[{]")
READS = {
    "mp_dump": ("folder", JSON),
    "parquet": ("parquet",),
    "csv": (TEXT,),
    "folder": ("folder", JSON, TEXT),
    "ase": ("ase", JSON),
}
"""Sources with a path -> what :func:`kind` may give for it."""


def kind(path: Path) -> str:
    """What a file or folder is: a source that alone reads it, :data:`JSON` or :data:`TEXT`.

    :raises OSError: if it cannot be read.
    """
    if path.is_dir() or is_archive(path):
        return "folder"
    with path.open("rb") as stream:
        start = stream.read(16)
    if source := next((source for magic, source in STARTS.items() if start.startswith(magic)), None):
        return source
    try:
        with open_unpacked(path) as unpacked:
            return JSON if _JSON.match(unpacked.peek(64)) else TEXT
    except BROKEN:
        return TEXT


def is_archive(path: Path) -> bool:
    """Whether a file is a .zip or a .tar, by its content."""
    return path.is_file() and (zipfile.is_zipfile(path) or is_tar(path))


def is_tar(path: Path) -> bool:
    """Whether a file is a .tar, compressed or not."""
    try:
        with open_unpacked(path) as stream:
            return stream.read(512)[257:262] == b"ustar"
    except BROKEN:
        return False
