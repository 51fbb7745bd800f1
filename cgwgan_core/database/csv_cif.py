"""A CSV with a column of CIFs: the layout of MP-20, Perov-5, Carbon-24 and their kin."""

import csv
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from cgwgan_core.database.documents import open_maybe_gzip
from cgwgan_core.database.record import Record, energies, place
from cgwgan_core.database.text import Text, parse_all
from cgwgan_core.workflow.errors import InputError


def read(path: Path, threads: int) -> Iterator[Record]:
    """Read columns ``cif`` and, where there are any, ``material_id``, ``formation_energy_per_atom`` and
    ``energy_above_hull`` (or ``e_above_hull``).

    :raises InputError: if there is no such column, or the file is damaged.
    """
    yield from parse_all(_texts(path), threads)


def _texts(path: Path) -> Iterator[Text]:
    csv.field_size_limit(sys.maxsize)  # a CIF of many atoms is longer than the default limit
    done = 0
    try:
        with open_maybe_gzip(path) as stream:
            rows = csv.DictReader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), strict=True)
            if "cif" not in (rows.fieldnames or []):
                found = ", ".join(name or '""' for name in (rows.fieldnames or [])[:20]) or "none"
                raise InputError(
                    f"{path}: lacks the column cif (found: {found}); rename the column that holds the CIFs"
                )
            for row in rows:
                done += 1
                yield Text(
                    row.get("material_id") or place(done),
                    "cif",
                    row["cif"] or "",
                    *energies(row),
                    reason=None if (row["cif"] or "").strip() else "no structure",
                )
    except (csv.Error, UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise InputError(
            f"{path}: truncated or not CSV after record {done:,} ({error}); write or download the file again"
        ) from None
