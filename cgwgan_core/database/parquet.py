"""A Parquet file of arrays: one row per structure, read by batches without touching single rows."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cgwgan_core.database.record import ENERGIES, Columns, place
from cgwgan_core.workflow.arrays import Floats, Integers
from cgwgan_core.workflow.errors import InputError

ARRAYS = ("lattice", "numbers", "frac_coords")
ROWS = 8192


def read(path: Path) -> Iterator[Columns]:
    """Read columns ``lattice``, ``numbers``, ``frac_coords`` and, where there are any, ``material_id``,
    ``formation_energy_per_atom`` and ``energy_above_hull`` (or ``e_above_hull``).

    Arrays may be flat lists or nested ones ([3][3], [n][3]), of any numeric type.

    :raises InputError: if the file is no Parquet, is damaged, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            present = file.schema_arrow.names
            if missing := [name for name in ARRAYS if name not in present]:
                raise InputError(
                    f"{path}: lacks the columns {', '.join(missing)} (found: {', '.join(present)}); rename them, or "
                    f"convert the file to lattice [9] in Å, numbers [n], frac_coords [3n]"
                )
            energies = [next((name for name in names if name in present), None) for names in ENERGIES]
            wanted = [*ARRAYS, *(n for n in ("material_id", *energies) if n in present)]
            done = 0
            for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                columns = _columns(batch, energies, done, path)
                done += len(columns)
                yield columns
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}); write or download it again") from None


def _columns(batch: pa.RecordBatch, energies: list[str | None], done: int, path: Path) -> Columns:
    n = batch.num_rows
    names: list[str | None] = [None] * n
    if "material_id" in batch.schema.names:
        names = batch.column("material_id").cast(pa.string()).to_pylist()
    lattice, numbers, coords = (_flat(batch.column(name), name, path) for name in ARRAYS)
    return Columns(
        [name or place(done + i) for i, name in enumerate(names, start=1)],
        [None] * n,
        *lattice,
        *numbers,
        *coords,
        *(_numbers(batch.column(name), name, path) if name else np.full(n, np.nan) for name in energies),
    )


def _flat(column: pa.Array, name: str, path: Path) -> tuple[Floats, Integers]:
    """A list column as float64 values and the number of values in each row."""
    lengths = np.ones(len(column), dtype=np.int64)
    while pa.types.is_nested(column.type):
        if pa.types.is_struct(column.type) or pa.types.is_map(column.type):
            break
        inner = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        # Rows of a nested list add up the lengths of their inner lists.
        ends = np.cumsum(lengths)
        total = np.concatenate([[0], np.cumsum(inner)])
        lengths = total[ends] - total[ends - lengths]
        column = column.flatten()
    return _numbers(column, name, path), lengths


def _numbers(column: pa.Array, name: str, path: Path) -> Floats:
    """Numbers as float64, null as NaN."""
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"{path}: column {name} holds {column.type}, not numbers; convert it to lists of numbers")
    numbers: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers
