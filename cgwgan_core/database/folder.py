"""A folder or a .zip of CIF and POSCAR files."""

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from cgwgan_core.database.record import UNREADABLE, Record
from cgwgan_core.database.text import Text, parse_all
from cgwgan_core.workflow.errors import InputError

PATTERNS = {"*.cif": "cif", "poscar*": "poscar", "contcar*": "poscar", "*.vasp": "poscar", "*.poscar": "poscar"}
"""Names (in lower case) of the files to read -> what they hold."""


def read(path: Path, threads: int) -> Iterator[Record]:
    """Read all CIF and POSCAR files of a folder, its subfolders or a .zip, in the order of their names.

    A record is called by the file's path in the folder, without the ending where that is unambiguous.

    :raises InputError: if there is no such file, or the .zip is damaged.
    """
    if path.is_dir():
        files = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}
        yield from parse_all(_texts(path, list(files), lambda name: files[name].read_bytes()), threads)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            yield from parse_all(_texts(path, names, archive.read), threads)
    elif _kind(path.name):
        yield from parse_all(_texts(path, [path.name], lambda _: path.read_bytes()), threads)
    else:
        raise InputError(f"{path}: neither a folder nor a whole .zip; give a folder or .zip of CIF or POSCAR files")


def _kind(name: str) -> str | None:
    parts = PurePosixPath(name).parts
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return None
    return next((kind for pattern, kind in PATTERNS.items() if fnmatchcase(parts[-1].lower(), pattern)), None)


def _texts(path: Path, names: list[str], content: Callable[[str], bytes]) -> Iterator[Text]:
    wanted = sorted(name for name in names if _kind(name))
    if not wanted:
        kinds = Counter(PurePosixPath(name).suffix or "no ending" for name in names)
        found = ", ".join(f"{n} with {kind}" for kind, n in sorted(kinds.items())[:8]) or "nothing"
        raise InputError(
            f"{path}: no CIF or POSCAR files (found: {found}); they are known by their names: {', '.join(PATTERNS)}"
        )
    short = {name: _without_ending(name) for name in wanted}
    shared = Counter(short.values())
    for name in wanted:
        called = short[name] if shared[short[name]] == 1 else name
        try:
            raw = content(name)
        except (OSError, RuntimeError, zipfile.BadZipFile, ValueError) as error:
            yield Text(called, "", reason=f"{UNREADABLE}: {name}: {error}")
            continue
        yield Text(
            called, _kind(name) or "", _decode(raw), reason=None if raw.strip() else f"empty: {name} has no content"
        )


def _without_ending(name: str) -> str:
    ending = PurePosixPath(name).suffix
    return name[: -len(ending)] if ending.lower() in (".cif", ".vasp", ".poscar") else name


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # author names in older CIFs
