"""JSON and JSON Lines of documents, as databases give them, compressed or not; read as a stream.

Layouts: a list of documents; an object that holds such a list (``{"data": [...]}``); an object of
identifier -> document; one document after another, usually one per line (JSON Lines). What a document may
look like is in :mod:`.layouts`. NaN and Infinity, as Python writes them, and MongoDB's extended JSON are read.
"""

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from io import BufferedReader, IncrementalNewlineDecoder
from pathlib import Path
from typing import Any

import orjson

from cgwgan_core.database import fields
from cgwgan_core.database.layouts import CRYSTALS, from_document, is_document
from cgwgan_core.database.record import Record, place
from cgwgan_core.database.streams import BROKEN, MAX_TEXT, encoding, open_unpacked
from cgwgan_core.database.text import Text, parse_all
from cgwgan_core.workflow.errors import InputError, first_line

LISTS = {"data", "docs", "documents", "entries", "materials", "response", "results", "structures"}
"""Names under which an object may hold the list of documents."""
CHUNK = 1 << 20
MAX_LOOK = 20
"""Lines that are looked at to tell whether a file is JSON Lines."""

_BLANK = re.compile(r"[ \t\r\n]*")
_STRUCTURE = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_ONCE = ('"structure":', '"lattice":', '"sites":', '"matrix":', '"atoms":', '"cif":')
_WRITTEN = {"$numberDouble", "$numberInt", "$numberLong", "$numberDecimal"}
_OTHERS = {
    b"PAR1": "a Parquet file; set data.source to parquet",
    b"SQLite format 3": "an SQLite file; set data.source to ase if ASE wrote it",
    b"PK\x03\x04": "a .zip; set data.source to folder",
    b"\x89HDF": "an HDF5 file; export it as JSON or Parquet",
    b"\x80": "a Python pickle, which is never opened, as it may run any code; save it as JSON",
}
"""First bytes of what is taken for JSON by mistake -> what it is."""


def read(path: Path, threads: int = 1) -> Iterator[Record]:
    """Read documents one by one, in memory for one of them.

    :param threads: processes that parse texts of CIF and POSCAR.
    :raises InputError: if the file is empty, truncated, or not JSON; the message says after which record.
    """
    return parse_all(items(open_unpacked(path), str(path)), threads)


def items(stream: BufferedReader, path: str, called: str = "") -> Iterator[Record | Text]:
    """Records of a stream of JSON, and texts of CIF or POSCAR that are still to be parsed.

    :param path: what to call the file in messages.
    :param called: what records without an identifier are called by, with their number; "record" if empty.
    :raises InputError: as :func:`read`.
    """
    done, last = 0, ""
    try:
        with stream:
            _check_kind(stream, path)
            for name, document in _documents(_Json(stream)):
                done += 1
                record = from_document(document, name or (f"{called}#{done}" if called else place(done)))
                last = record.name
                yield record
    except (*BROKEN, json.JSONDecodeError) as error:
        what = getattr(error, "msg", None) or first_line(error)
        where = f"after record {done:,} ({last[:80]})" if done else "before the first record"
        raise InputError(f"{path}: truncated or not JSON {where}: {what}; write or download the file again") from None


def _check_kind(stream: BufferedReader, path: str) -> None:
    start = stream.peek(4096)
    if not start.strip():
        raise InputError(f"{path}: empty; write or download the file again")
    if found := next((what for magic, what in _OTHERS.items() if start.startswith(magic)), None):
        raise InputError(f"{path}: not JSON but {found}")
    if b'"__ase_objtype__"' in start or b'"__ndarray__"' in start:
        raise InputError(f"{path}: an ASE database; set data.source to ase")


class _Json:
    """Values of a JSON text, one after another, through a window that slides over it."""

    def __init__(self, stream: BufferedReader) -> None:
        self._stream = stream
        decoder = getincrementaldecoder(encoding(stream.peek(4)[:4]))(errors="surrogateescape")
        self._text = IncrementalNewlineDecoder(decoder, translate=True)
        self._failed: Exception | None = None
        self._decode = json.JSONDecoder().raw_decode
        self.window, self.at = "", 0
        self.ended = False
        self.kept: int | None = None
        """Place in the window that must not slide away, to come back to."""

    def _more(self) -> None:
        """Read on, at least as much as there is already.

        What could still be read of a damaged file comes first, then its error.
        """
        start = self.at if self.kept is None else self.kept
        pieces = [self.window[start:]]
        size = 0
        while size < max(CHUNK, len(pieces[0])) and not self.ended and self._failed is None:
            try:
                raw = self._stream.read1(1 << 16)
                pieces.append(self._text.decode(raw, final=not raw))
            except BROKEN as error:
                self._failed = error
                break
            size += len(pieces[-1])
            self.ended = not raw
        if size == 0 and self._failed is not None:
            raise self._failed
        self.window = "".join(pieces)
        self.at -= start
        if self.kept is not None:
            self.kept = 0

    def peek(self) -> str:
        """The next character that is not blank, or nothing at the end."""
        while True:
            self.at = _BLANK.match(self.window, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.window) or self.ended:
                return self.window[self.at : self.at + 1]
            self._more()

    def take(self, wanted: str) -> str:
        """Step over one of these characters.

        :raises json.JSONDecodeError: if another stands there.
        """
        found = self.peek()
        if not found or found not in wanted:
            raise json.JSONDecodeError(f"expected {' or '.join(wanted)}, found {found or 'the end'}", "", 0)
        self.at += 1
        return found

    def back(self) -> bool:
        """Return to the place that was kept; whether it still was."""
        self.at = self.at if self.kept is None else self.kept
        return self.kept is not None

    def value(self) -> Any:
        """Decode the next value; a :class:`ValueError` in its place if it is too long or nested too deep.

        :raises json.JSONDecodeError: if it is no JSON.
        """
        self.peek()
        while True:
            try:
                value, end = self._decode(self.window, self.at)
                if end < len(self.window) or self.ended:  # else a number may go on
                    if self.window.find('"$', self.at, end) >= 0:
                        value = _plain(value)
                    twice = _twice(self.window, self.at, end)
                    self.at = end
                    return twice or value
            except RecursionError:
                return self._skip("nested too deep")  # from `at`, wherever in it the decoder stopped
            except json.JSONDecodeError as error:
                # Near the end of the window the value is only cut off; a string, wherever it began.
                cut = error.pos >= len(self.window) - 32 or error.msg.startswith("Unterminated")
                if self.ended or not cut:
                    raise
            except ValueError as error:  # a number of thousands of digits
                return self._skip(first_line(error))
            if len(self.window) - self.at > MAX_TEXT:
                return self._skip(f"longer than {MAX_TEXT >> 20} MiB")
            self._more()

    def _skip(self, why: str) -> ValueError:
        """Step over a list or an object without decoding it."""
        if self.window[self.at] not in "[{":
            raise json.JSONDecodeError(why, "", 0)
        self.kept = None
        depth, quoted = 0, False
        while True:
            last = self.at
            for found in _STRUCTURE.finditer(self.window, self.at):
                sign, last = found.group(), found.end()
                if sign == '"':
                    quoted = not quoted
                elif not quoted and len(sign) == 1:
                    depth += 1 if sign in "[{" else -1
                    if depth == 0:
                        self.at = last
                        return ValueError(why)
            if self.ended:
                raise json.JSONDecodeError(f"the end of a record that is {why} is missing", "", 0)
            # A backslash at the end belongs to what follows.
            self.at = len(self.window) - (last < len(self.window) and self.window.endswith("\\"))
            self._more()

    def line(self) -> str | ValueError | None:
        """The next line with its end; ``None`` behind the last."""
        start = self.at
        while (end := self.window.find("\n", start)) < 0 and not self.ended:
            if (length := len(self.window) - self.at) > MAX_TEXT:
                return self._skip_line()
            self._more()
            start = self.at + length
        end = len(self.window) if end < 0 else end + 1
        line, self.at = self.window[self.at : end], end
        return line or None

    def _skip_line(self) -> ValueError:
        while (end := self.window.find("\n", self.at)) < 0 and not self.ended:
            self.at = len(self.window)
            self._more()
        self.at = len(self.window) if end < 0 else end + 1
        return ValueError(f"longer than {MAX_TEXT >> 20} MiB")

    def first_lines(self) -> list[str]:
        """The first lines that are not blank, as far as they fit a record; the place stays."""
        while not self.ended and self.window.count("\n") < MAX_LOOK and len(self.window) < MAX_TEXT:
            if self._failed is not None:
                break
            self._more()
        whole = self.window if self.ended else self.window[: self.window.rfind("\n") + 1]
        return [line for line in whole.split("\n", MAX_LOOK)[:MAX_LOOK] if line.strip()]


def _documents(source: _Json) -> Iterator[tuple[str | None, Any]]:
    """Identifier (where the layout gives one) and content of each document."""
    if _is_lines(source):
        yield from _lines(source)
        return
    while start := source.peek():
        if start == "[":
            yield from _list(source, {})
        elif start == "{":
            yield from _object(source)
        else:
            raise json.JSONDecodeError(f"holds no documents but {source.window[source.at : source.at + 20]!r}", "", 0)


def _is_lines(source: _Json) -> bool:
    """Whether one of the first lines is a whole document: a broken one among them is that record's defect alone."""
    for line in source.first_lines():
        if line.lstrip().startswith("{"):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if is_document(value) or (any(key in value for key in fields.IDS) and not _holds(value)):
                return True
    return False


def _holds(value: dict[str, Any]) -> bool:
    return any(isinstance(value.get(key), list) for key in LISTS)


def _lines(source: _Json) -> Iterator[tuple[str | None, Any]]:
    number = 0
    while (line := source.line()) is not None:
        number += 1
        if isinstance(line, ValueError):
            yield None, ValueError(f"line {number:,} is {line}")
            continue
        if not line.strip():
            continue
        try:
            value = _loads(line)
            yield None, _twice(line, 0, len(line)) or (_plain(value) if '"$' in line else value)
        except RecursionError:
            yield None, ValueError(f"line {number:,} is nested too deep")
        except ValueError as error:
            # A broken line is one record's defect; a broken end of the file is a truncated file.
            if not line.endswith("\n"):
                raise json.JSONDecodeError(f"truncated in line {number:,} ({error})", "", 0) from None
            yield None, ValueError(f"line {number:,} is not JSON ({error})")


def _list(source: _Json, beside: dict[str, Any]) -> Iterator[tuple[str | None, Any]]:
    """Documents of a list; rows without names of their own get those of ``columns`` beside the list (pandas)."""
    columns, index = (value if isinstance(value := beside.get(key), list) else [] for key in ("columns", "index"))
    source.take("[")
    if source.peek() == "]":
        source.take("]")
        return
    number = 0
    while True:
        document = source.value()
        if columns and isinstance(document, list) and len(document) == len(columns):
            document = dict(zip(map(str, columns), document, strict=True))
        yield fields.identifier(index[number]) if number < len(index) else None, document
        number += 1
        if source.take(",]") == "]":
            return


def _object(source: _Json) -> Iterator[tuple[str | None, Any]]:
    """Documents of an object: those of its lists, its values, or itself."""
    source.kept = source.at
    seen: dict[str, Any] = {}
    found = mapping = False
    for key in _names(source):
        if key in LISTS and source.peek() == "[":
            found, source.kept = True, None
            yield from _list(source, seen)
            continue
        if key in CRYSTALS and not found and source.kept is not None:
            break  # the object itself is a document
        value = source.value()
        if mapping:
            yield key, value
        elif isinstance(value, dict) and not found:
            if key in LISTS and not is_document(value) and any(map(is_document, value.values())):
                found, source.kept = True, None
                yield from value.items()
            elif key not in fields.INNER and is_document(value) and seen.keys().isdisjoint(fields.IDS):
                found = mapping = True
                source.kept = None
                yield from (*seen.items(), (key, value))
        seen[key] = value
    if not found:
        yield None, source.value() if source.back() else ValueError(f"longer than {MAX_TEXT >> 20} MiB")
    source.kept = None


def _names(source: _Json) -> Iterator[str]:
    """Names of an object's fields; whoever asks for the next has taken the value of the last."""
    source.take("{")
    while source.peek() != "}":
        if source.peek() != '"':
            raise json.JSONDecodeError(f"expected the name of a field, found {source.peek() or 'the end'}", "", 0)
        name = source.value()
        source.take(":")
        yield name
        if source.peek() != "}":
            source.take(",")
    source.take("}")


def _loads(line: str) -> Any:
    try:
        return orjson.loads(line)  # three times as fast
    except orjson.JSONDecodeError:
        return json.loads(line)  # reads NaN, too, and its errors say more


def _twice(text: str, start: int, end: int) -> ValueError | None:
    """What is wrong with a record that gives a field of its crystal twice: the decoder would take the last."""
    if all(text.count(key, start, end) < 2 for key in _ONCE):
        return None
    try:
        json.loads(text[start:end], object_pairs_hook=_unique)
    except ValueError as error:
        return ValueError(first_line(error))
    return None


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"field {next(name for name in names if names.count(name) > 1)[:40]!r} stands twice")


def _plain(value: Any) -> Any:
    """MongoDB's extended JSON numbers as numbers, at any depth."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(key, inner)] = value.items()
        if key in _WRITTEN:
            try:
                return int(inner) if key in ("$numberInt", "$numberLong") else float(inner)
            except (TypeError, ValueError):
                return value  # whoever wants a number there says that it is none
    return {key: _plain(inner) for key, inner in value.items()}
