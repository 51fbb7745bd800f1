"""A Parquet file: arrays, read by batches without touching single rows, or any layout of documents, row by row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cgwgan_core.database import fields
from cgwgan_core.database.layouts import CRYSTALS, from_document
from cgwgan_core.database.record import Columns, Record, place, to_columns
from cgwgan_core.database.streams import BROKEN, MAX_TEXT
from cgwgan_core.database.text import Text, parse_all
from cgwgan_core.workflow.arrays import Floats, Integers
from cgwgan_core.workflow.errors import InputError, first_line

ARRAYS = ("lattice", "numbers", "frac_coords")
PERIODIC = {"pbc", "dimension_types", "nperiodic_dimensions"}
ROWS = 8192
HEAVY = {"forces", "stress_tensor", "magnetic_moments"}
"""Columns that are large and say nothing about the crystal."""


def read(path: Path, threads: int) -> Iterator[Columns]:
    """Read columns ``lattice``, ``numbers``, ``frac_coords``, or those of any layout of :mod:`.layouts`, and, where
    there are any, those of identifier and energies (:mod:`.fields`).

    Arrays may be flat lists or nested ones ([3][3], [n][3]), of any numeric type.

    :param threads: processes that parse texts of CIF and POSCAR.
    :raises InputError: if the file is no Parquet, is damaged, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield from _arrays(file, path) if _has_arrays(file.schema_arrow) else _documents(file, path, threads)
    except (*BROKEN, ValueError) as error:
        raise InputError(
            f"{path}: not a readable Parquet file ({first_line(error)}); write or download it again"
        ) from None


def _has_arrays(schema: pa.Schema) -> bool:
    """Whether the columns are plain arrays of crystals that repeat in three directions."""
    present = set(schema.names)
    return present.issuperset(ARRAYS) and PERIODIC.isdisjoint(present) and not _is_struct(schema.field("lattice").type)


def _is_struct(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind) or pa.types.is_map(kind))


def _rows(file: pq.ParquetFile) -> int:
    """Rows of a batch that fit the memory."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    size = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
    return int(np.clip(MAX_TEXT / max(size, 1), 1, ROWS))


def _arrays(file: pq.ParquetFile, path: Path) -> Iterator[Columns]:
    present = file.schema_arrow.names
    name = fields.pick(present, fields.IDS)
    energies = [fields.pick(present, wanted) for wanted in (fields.FORMATION, fields.HULL)]
    done = 0
    for batch in file.iter_batches(batch_size=_rows(file), columns=[*ARRAYS, *filter(None, (name, *energies))]):
        columns = _columns(batch, name, energies, done, path)
        done += len(columns)
        yield columns


def _columns(batch: pa.RecordBatch, name: str | None, energies: list[str | None], done: int, path: Path) -> Columns:
    n = batch.num_rows
    names: list[Any] = batch.column(name).to_pylist() if name else [None] * n
    lattice, numbers, coords = (_flat(batch.column(column), column, path) for column in ARRAYS)
    formation, hull = (
        _numbers(batch.column(column), column, path) if column else np.full(n, np.nan) for column in energies
    )
    return Columns(
        [fields.identifier(told) or place(done + i) for i, told in enumerate(names, start=1)],
        [None] * n,
        *lattice,
        *numbers,
        *coords,
        formation,
        hull,
        [None] * n,
    )


def _documents(file: pq.ParquetFile, path: Path, threads: int) -> Iterator[Columns]:
    """Rows as documents: LeMat's and other OPTIMADE columns, structures as structs or JSON, texts of CIF."""
    present = file.schema_arrow.names
    if not CRYSTALS.intersection(present) and not {"cell", *fields.INNER}.intersection(present):
        missing = [name for name in ARRAYS if name not in present]
        raise InputError(
            f"{path}: lacks the columns {', '.join(missing)} (found: {', '.join(present[:30])}); rename them, or "
            f"convert the file to lattice [9] in Å, numbers [n], frac_coords [3n]"
        )
    block: list[Record] = []
    for record in parse_all(_items(file, [name for name in present if name not in HEAVY]), threads):
        block.append(record)
        if len(block) >= ROWS or record.numbers.size > ROWS:
            yield to_columns(block)
            block = []
    yield to_columns(block)


def _items(file: pq.ParquetFile, columns: list[str]) -> Iterator[Record | Text]:
    done = 0
    for batch in file.iter_batches(batch_size=_rows(file), columns=columns):
        for row in batch.to_pylist():
            done += 1
            yield from_document(row, place(done))


def _flat(column: pa.Array, name: str, path: Path) -> tuple[Floats, Integers]:
    """A list column as float64 values and the number of values in each row."""
    lengths = np.ones(len(column), dtype=np.int64)
    while pa.types.is_nested(column.type) and not _is_struct(column.type):
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
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        raise InputError(f"{path}: column {name} holds {column.type}, not numbers; convert it to lists of numbers")
    numbers: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers
