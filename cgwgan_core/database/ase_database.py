"""An ASE database (.db or .json)."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import ase.db

from cgwgan_core.database.record import Record, crystal, energies
from cgwgan_core.workflow.errors import InputError


def read(path: Path) -> Iterator[Record]:
    """Read all rows in the order of their ids.

    A row is called by its key ``material_id`` or else ``row-<id>``; its energies are its keys
    ``formation_energy_per_atom`` and ``energy_above_hull`` (or ``e_above_hull``).

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
    except (
        sqlite3.DatabaseError,
        json.JSONDecodeError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise InputError(
            f"{path}: not a readable ASE database after row {done:,} ({type(error).__name__}: {error}); write it again"
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
    name = str(row.get("material_id") or f"row-{row.id}")
    if not all(row.pbc):
        return Record(name, reason="not a crystal: not periodic in all three directions")
    atoms = row.toatoms()
    try:
        coords = atoms.cell.scaled_positions(atoms.positions)
    except ValueError:  # singular cell
        return Record(name, reason="no volume: the cell vectors are not independent")
    return crystal(
        name,
        atoms.cell.array,
        [{symbol: 1} for symbol in atoms.symbols],
        coords,
        *energies(row),
    )
