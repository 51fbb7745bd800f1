"""A folder or an archive (.zip, .tar, also compressed) of CIF, POSCAR, extended XYZ and JSON files.

Every file in it is read or refused by name: what is kept and what is refused add up to what was found. Nothing is
unpacked to disk, and no link of an archive is followed.
"""

import os
import re
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from cgwgan_core.database import documents, extxyz
from cgwgan_core.database.kinds import is_tar
from cgwgan_core.database.record import UNREADABLE, Record
from cgwgan_core.database.streams import BROKEN, MAX_TEXT, decode, open_unpacked, text_of, unpacked, without_compression
from cgwgan_core.database.text import Text, parse_all
from cgwgan_core.workflow.errors import InputError, first_line

KINDS = {
    "cif": re.compile(r".*\.m?cif(\.txt)?"),
    "json": re.compile(r".*\.(json|jsonl|ndjson)"),
    "xyz": re.compile(r".*\.(ext)?xyz"),
    "poscar": re.compile(r"(poscar|contcar).*|(.*[^a-z0-9])?(poscar|contcar)([^a-z].*)?|.*\.vasp"),
}
"""What a file holds -> its name in lower case, without the ending of a compression; the first that fits counts."""
EXAMPLES = "*.cif, *.mcif, POSCAR*, *_CONTCAR, *.vasp, *.xyz, *.extxyz, *.json, *.jsonl, also compressed"
_ENDINGS = re.compile(r"\.(m?cif|vasp|poscar|contcar|json|jsonl|ndjson|xyz|extxyz)(\.txt)?$", re.IGNORECASE)
_ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")
_DAMAGED = (*BROKEN, tarfile.TarError, zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError, InputError)


@dataclass(frozen=True)
class Member:
    """One file: where it is, and either why it is not read or how."""

    name: str
    open: Callable[[], IO[bytes]] | None = None
    reason: str | None = None


def read(path: Path, threads: int) -> Iterator[Record]:
    """Read all files of a folder, its subfolders or an archive: in the order of their names, in a .tar in its own.

    A record is called by its own identifier in JSON and XYZ, and else by the file's path in the folder, without the
    ending where that is unambiguous. Links to files are read, links to folders are passed over.

    :raises InputError: if no file is known by its name, the archive is damaged, or a JSON file breaks off after a
        record.
    """
    if path.is_dir():
        members = sorted(_of_folder(path), key=lambda member: member.name)
        return parse_all(_items(path, members, members), threads)
    if zipfile.is_zipfile(path):
        return _from_zip(path, threads)
    if is_tar(path):
        return parse_all(_items(path, list(_of_tar(path)), _of_tar(path)), threads)
    if _kind(path.name):
        members = [Member(path.name, lambda: path.open("rb"))]
        return parse_all(_items(path, members, members), threads)
    raise InputError(
        f"{path}: neither a folder nor a whole archive; give a folder, .zip or .tar of CIF, POSCAR, XYZ or JSON files"
    )


def _of_folder(path: Path) -> Iterator[Member]:
    failed: list[OSError] = []
    for folder, subfolders, files in os.walk(path, onerror=failed.append):
        for name in (*subfolders, *files):
            place = Path(folder) / name
            called = place.relative_to(path).as_posix()
            if name in subfolders:
                if place.is_symlink():  # it may lead anywhere, and back to itself
                    yield Member(called, reason="passed over: a link to a folder")
            elif not place.exists():
                yield Member(called, reason=f"{UNREADABLE}: a link to nothing")
            elif not place.is_file():
                yield Member(called, reason="passed over: no regular file")
            else:
                yield Member(called, lambda place=place: place.open("rb"))  # type: ignore[misc]
    for error in failed:
        yield Member(str(error.filename), reason=f"{UNREADABLE}: {error.strerror}")


def _from_zip(path: Path, threads: int) -> Iterator[Record]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                Member(
                    info.filename,
                    lambda info=info: archive.open(info),  # type: ignore[misc]
                    "passed over: a link in an archive" if stat.S_ISLNK(info.external_attr >> 16) else None,
                )
                for info in archive.infolist()
                if not info.is_dir()
            ]
            members.sort(key=lambda member: member.name)
            yield from parse_all(_items(path, members, members), threads)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise InputError(f"{path}: damaged .zip ({first_line(error)}); write or download it again") from None


class _Header(tarfile.TarInfo):
    """A header that says that it is damaged, where the standard library ends the archive in silence."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_Header":
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(first_line(error)) from None

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        # Long names and other extra headers are read whole before anything can be asked about them.
        if self.size > MAX_TEXT and self.type not in (*tarfile.REGULAR_TYPES, tarfile.GNUTYPE_SPARSE):
            raise tarfile.ReadError("an extra header is too long")
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]


def _of_tar(path: Path) -> Iterator[Member]:
    """Members in the archive's order, each to be read before the next is asked for."""
    try:
        with open_unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
            archive.fileobj.seekable = lambda: False  # type: ignore[attr-defined]  # the standard library forgot it
            for info in archive:
                archive.members = []  # type: ignore[attr-defined]  # else it keeps all headers
                if info.isreg():
                    yield Member(info.name, lambda info=info: archive.extractfile(info))  # type: ignore[misc, arg-type]
                elif info.issym() or info.islnk():
                    yield Member(info.name, reason="passed over: a link in an archive")
                elif not info.isdir():
                    yield Member(info.name, reason="passed over: no regular file")
    except (*BROKEN, tarfile.TarError) as error:
        raise InputError(f"{path}: damaged archive ({first_line(error)}); write or download it again") from None


def _kind(name: str) -> str | None:
    last = without_compression(PurePosixPath(name).name).lower()
    return next((kind for kind, pattern in KINDS.items() if pattern.fullmatch(last)), None)


def _passed_over(name: str) -> str | None:
    """Why a file is not read, by its name."""
    parts = PurePosixPath(name).parts
    if any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts):
        return "passed over: hidden, or of the system"
    if name.lower().endswith(_ARCHIVES) or re.search(r"\.tar\.\w+$", name.lower()):
        return "passed over: an archive in a folder; give it alone, or unpack it"
    return None if _kind(name) else "passed over: not CIF, POSCAR, XYZ or JSON by its name"


def _items(path: Path, listed: list[Member], members: "list[Member] | Iterator[Member]") -> Iterator[Record | Text]:
    """Records and texts of all members.

    :param listed: the same members, to know their names before the first is read.
    """
    wanted = [member.name for member in listed if not member.reason and not _passed_over(member.name)]
    if not wanted:
        kinds = Counter(PurePosixPath(member.name).suffix or "no ending" for member in listed)
        found = ", ".join(f"{n} with {kind}" for kind, n in sorted(kinds.items())[:8]) or "nothing"
        raise InputError(
            f"{path}: no CIF, POSCAR, XYZ or JSON files (found: {found}); they are known by their names: {EXAMPLES}"
        )
    shared = Counter(map(_short, wanted))
    for member in members:
        if reason := member.reason or _passed_over(member.name):
            yield Record(member.name, reason=reason)
            continue
        called = short if shared[short := _short(member.name)] == 1 else member.name
        assert member.open is not None
        done = 0
        try:
            for item in _of_file(member, called, str(path / member.name)):
                done += 1
                yield item
        except _DAMAGED as error:
            if done and isinstance(error, InputError):
                raise  # a dump that breaks off
            words = first_line(error).removeprefix(f"{path / member.name}: ")
            kind = "empty" if words.startswith("empty") else UNREADABLE
            yield Record(called, reason=f"{kind}: {member.name}: {words}")


def _of_file(member: Member, called: str, path: str) -> Iterator[Record | Text]:
    kind = _kind(member.name) or ""
    with member.open() as opened, unpacked(opened) as stream:  # type: ignore[misc]
        if kind == "json":
            yield from documents.items(stream, path, called)
        elif kind == "xyz":
            for number, frame in enumerate(extxyz.frames(text_of(stream)), start=1):
                name = f"{called}#{number}"
                if isinstance(frame, ValueError):
                    yield Record(name, reason=f"{UNREADABLE}: {frame}")
                else:
                    yield Text(name, kind, frame)
        else:
            raw = stream.read(MAX_TEXT + 1)
            if len(raw) > MAX_TEXT:
                yield Record(called, reason=f"too large: more than {MAX_TEXT >> 20} MiB")
            elif not raw.strip():
                yield Record(called, reason=f"empty: {member.name} has no content")
            else:
                yield Text(called, kind, decode(raw))


def _short(name: str) -> str:
    return _ENDINGS.sub("", without_compression(name))
