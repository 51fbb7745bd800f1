"""An ASE database (.db or .json)."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import ase.db
import numpy as np

from cgwgan_core.database import fields
from cgwgan_core.database.record import Record, crystal
from cgwgan_core.workflow.errors import InputError, first_line


def read(path: Path) -> Iterator[Record]:
    """Read all rows in the order of their ids.

    A row is called by one of its keys, or else ``row-<id>``; keys and energies are those of :mod:`.fields`.

    :raises InputError: if the file is no ASE database, or is damaged.
    """
    if path.suffix not in (".db", ".json"):
        raise InputError(f"{path}: not an ASE database by its name; it must end in .db or .json")
    done = 0
    try:
        if path.suffix == ".db":
            _check_sqlite(path)
        for row in ase.db.connect(path, use_lock_file=False).select(sort="id"):
            done += 1
            yield _record(row)
    except (InputError, GeneratorExit):
        raise
    except Exception as error:  # noqa: BLE001 - a damaged database raises nearly anything
        raise InputError(
            f"{path}: not a readable ASE database after row {done:,} ({type(error).__name__}: {first_line(error)}); "
            "write it again"
        ) from None


def _check_sqlite(path: Path) -> None:
    # ASE would create its tables in any SQLite file, even an empty one: look first, without writing.
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    finally:
        connection.close()
    if "systems" not in names:
        raise InputError(f"{path}: an SQLite file without ASE's table of systems; give an ASE database")


def _record(row: ase.db.row.AtomsRow) -> Record:
    name = f"row-{row.id}"
    try:
        facts = fields.facts(row.key_value_pairs)
    except ValueError as error:
        return Record(fields.own_name(row.key_value_pairs) or name, reason=f"not a number: {error}")
    return crystal(
        facts.name or name,
        np.asarray(row.cell),
        [{symbol: 1} for symbol in row.symbols],
        row.positions,
        *facts[1:3],
        cartesian=True,
        periodic=np.asarray(row.pbc).tolist(),
        remark=facts.remark,
    )
