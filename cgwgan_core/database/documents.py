"""JSON and JSON Lines of documents, as mp-api gives them, plain or gzipped; read as a stream.

Layouts: a list of documents; an object that holds such a list (``{"data": [...]}``); an object of
identifier -> document; one document after another, usually one per line (JSON Lines). A document holds
its crystal as

- ``structure``, a pymatgen dictionary (or is such a dictionary itself),
- ``lattice``, ``frac_coords`` and ``species`` (symbols) or ``numbers``, plain arrays, or
- ``cif``, the text of a CIF.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Any

import ijson
from ase.data import chemical_symbols

from cgwgan_core.database import text
from cgwgan_core.database.record import UNREADABLE, Record, crystal, energies, place
from cgwgan_core.workflow.errors import InputError, first_line

LISTS = {"data", "docs", "documents", "entries", "materials", "response", "results", "structures"}
"""Names under which an object may hold the list of documents."""
_CRYSTAL = {"structure", "lattice", "sites", "cif"}
_IDS = ("material_id", "mp_id", "id")
_DOCUMENTS, _MAPPING = "documents", "mapping"
_BROKEN = (EOFError, OSError, zlib.error, UnicodeDecodeError, ijson.JSONError)


def read(path: Path) -> Iterator[Record]:
    """Read documents one by one, in constant memory.

    :raises InputError: if the file is empty, truncated, or not JSON; the message says after which record.
    """
    done, last = 0, ""
    try:
        with open_maybe_gzip(path) as stream:
            for name, document in _documents(stream, path):
                done += 1
                record = from_document(document, name or place(done))
                last = record.name
                yield record
    except _BROKEN as error:
        where = f"after record {done:,} ({last})" if done else "before the first record"
        raise InputError(
            f"{path}: truncated or not JSON {where}: {first_line(error)}; write or download the file again"
        ) from None


def open_maybe_gzip(path: Path) -> BufferedReader | gzip.GzipFile:
    """Open a file to read bytes, unpacking gzip where its first bytes say so."""
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path) if zipped else path.open("rb")


def _documents(stream: BufferedIOBase, path: Path) -> Iterator[tuple[str | None, Any]]:
    """Identifier (where the layout gives one) and content of each document."""
    layout = _layout(stream, path)
    stream.seek(0)
    if layout == _MAPPING:
        yield from ijson.kvitems(stream, "", use_float=True)
    elif layout == _DOCUMENTS:
        if _is_json_lines(stream):
            yield from _lines(stream, path)
        else:
            for document in ijson.items(stream, "", multiple_values=True, use_float=True):
                yield None, document
    else:
        for document in ijson.items(stream, layout, use_float=True):
            yield None, document


def _layout(stream: BufferedIOBase, path: Path) -> str:
    """Where the documents are: the ijson prefix of a list's items, or one of the two other layouts."""
    start = stream.read(4096)
    if not start.strip():
        raise InputError(f"{path}: empty; write or download the file again")
    if start.startswith(b"PAR1"):
        raise InputError(f"{path}: a Parquet file, not JSON; set data.source to parquet")
    stream.seek(0)
    depth, key = 0, ""
    for event, value in ijson.basic_parse(stream, multiple_values=True, use_float=True):
        opens, closes = event in ("start_map", "start_array"), event in ("end_map", "end_array")
        if depth == 0 and not opens:
            break
        if event == "map_key" and depth == 1:
            key = value
        if found := _tells(event, value, depth, key):
            return found
        depth += opens - closes
        if depth == 0:
            return _DOCUMENTS
    raise InputError(f"{path}: holds no documents; expected a list or lines of JSON objects with a structure")


def _tells(event: str, value: Any, depth: int, key: str) -> str | None:
    """The layout, where an event at a depth, under a key of the outermost object, tells it."""
    if event == "start_array" and depth == 0:
        return "item"
    if event == "start_array" and depth == 1 and key in LISTS:
        return f"{key}.item"
    if event == "map_key" and (value in _CRYSTAL or value in _IDS):
        return {1: _DOCUMENTS, 2: _MAPPING}.get(depth)
    return None


def _is_json_lines(stream: BufferedIOBase) -> bool:
    line = b""
    while not line.strip():
        line = stream.readline(1 << 26)
    stream.seek(0)
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _lines(stream: BufferedIOBase, path: Path) -> Iterator[tuple[str | None, Any]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            yield None, json.loads(line)
        except ValueError as error:
            # A broken line is one record's defect; a broken end of the file is a truncated file.
            if not line.endswith(b"\n"):
                raise InputError(
                    f"{path}: truncated in line {number:,} ({error}); write or download the file again"
                ) from None
            yield None, ValueError(f"line {number:,} is not JSON ({error})")


def from_document(document: Any, name: str) -> Record:
    """The crystal of one document, or why it has none.

    :param name: what to call the record if the document has no identifier of its own.
    """
    if isinstance(document, ValueError):
        return Record(name, reason=f"{UNREADABLE}: {document}")
    if not isinstance(document, dict):
        return Record(name, reason=f"{UNREADABLE}: the record is a {type(document).__name__}, not a document")
    name = next((str(document[key]) for key in _IDS if document.get(key) not in (None, "")), name)
    try:
        return _crystal(document, name)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return Record(name, reason=f"{UNREADABLE}: structure not understood ({type(error).__name__}: {error})")


def _crystal(document: dict[str, Any], name: str) -> Record:
    known = energies(document)
    structure = document.get("structure", document if "sites" in document else None)
    if isinstance(structure, dict):
        return _from_pymatgen(name, structure, known)
    if isinstance(structure, str) or document.get("cif"):
        found = text.from_cif(structure or document["cif"], name, *known)
        if len(found) > 1:
            return Record(name, reason=f"{UNREADABLE}: the CIF holds {len(found)} crystals, not one")
        return found[0]
    if document.get("lattice") is not None and document.get("frac_coords") is not None:
        symbols = document.get("species")
        if symbols is None:
            symbols = [_symbol(number) for number in document["numbers"]]
        return crystal(name, document["lattice"], [{s: 1} for s in symbols], document["frac_coords"], *known)
    return Record(name, reason="no structure")


def _from_pymatgen(name: str, structure: dict[str, Any], known: tuple[Any, Any]) -> Record:
    """Straight from a dictionary of ``pymatgen.core.Structure.as_dict``.

    Building the Structure itself would take most of the time of reading a dump, for objects used only to
    take three arrays from them.
    """
    lattice = structure["lattice"]["matrix"]
    sites = structure["sites"]
    species: list[dict[str, float]] = [{} for _ in sites]
    for occupancies, site in zip(species, sites, strict=True):
        for s in site["species"]:
            # One element in two oxidation states on one site: keep both apart, crystal() adds them up.
            symbol = f"{s['element']}{_charge(s.get('oxidation_state'))}"
            occupancies[symbol] = occupancies.get(symbol, 0) + s["occu"]
    return crystal(name, lattice, species, [site["abc"] for site in sites], *known)


def _charge(state: float | None) -> str:
    return f"{abs(state):g}{'+' if state > 0 else '-'}" if state else ""


def _symbol(number: int) -> str:
    return chemical_symbols[number] if 0 <= number < len(chemical_symbols) else str(number)
