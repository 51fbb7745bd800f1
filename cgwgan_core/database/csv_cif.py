"""A CSV with a column of crystals as text: the layout of MP-20, Perov-5, Carbon-24 and their kin."""

import csv
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from cgwgan_core.database.fields import FORMATION, HULL, IDS, canonical, own_name
from cgwgan_core.database.layouts import TEXTS, from_document
from cgwgan_core.database.record import UNREADABLE, Record, place
from cgwgan_core.database.streams import BROKEN, MAX_TEXT, decode, encoding, open_unpacked
from cgwgan_core.database.text import Text, parse_all
from cgwgan_core.workflow.errors import InputError, first_line

COLUMNS = (*TEXTS, "structure", "atoms")
"""Names of columns that hold crystals: CIF, POSCAR, or JSON of pymatgen or JARVIS."""


def read(path: Path, threads: int) -> Iterator[Record]:
    """Read a column of :data:`COLUMNS` and, where there are any, those of identifier and energies (:mod:`.fields`).

    Columns are separated by commas, semicolons or tabs; numbers have decimal points.

    :raises InputError: if there is no such column, or the file is damaged.
    """
    yield from parse_all(_items(path), threads)


def _items(path: Path) -> Iterator[Record | Text]:
    csv.field_size_limit(MAX_TEXT)  # a CIF of many atoms is longer than the default limit
    done = 0
    try:
        with open_unpacked(path) as stream:
            start = stream.peek(4096)
            lines = TextIOWrapper(stream, encoding(start[:4]), errors="replace", newline="")
            rows = csv.reader(lines, delimiter=_separator(start), strict=True)
            header = next(rows, [])
            names = [canonical(name) for name in header]
            if not any(name in COLUMNS for name in names):
                found = ", ".join(name or '""' for name in header[:20]) or "none"
                raise InputError(
                    f"{path}: lacks the column cif (found: {found}); rename the column that holds the CIFs"
                )
            told = (*COLUMNS, *IDS, *FORMATION, *HULL)
            if twice := next((name for name in names if name in told and names.count(name) > 1), None):
                raise InputError(f"{path}: column {twice} stands twice; rename one of the two")
            for row in rows:
                if row:
                    done += 1
                    yield _item(row, names, place(done))
    except (csv.Error, *BROKEN) as error:
        raise InputError(
            f"{path}: truncated or not CSV after record {done:,} ({first_line(error)}); write or download the file "
            "again"
        ) from None


def _separator(start: bytes) -> str:
    header = decode(start).split("\n", 1)[0]
    return max(",;\t", key=header.count)


def _item(row: list[str], names: list[str], name: str) -> Record | Text:
    document = {key: value for key, value in zip(names, row, strict=False) if value.strip()}
    if len(row) != len(names):  # a comma too many or too few: everything behind it is in the wrong column
        name = own_name(document) or name
        return Record(name, reason=f"{UNREADABLE}: {len(row)} values in {len(names)} columns")
    return from_document(document, name)
