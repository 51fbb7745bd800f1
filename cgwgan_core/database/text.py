"""Texts of one crystal or a few (CIF, POSCAR, extended XYZ) to records, in several processes where asked."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context

import numpy as np

from cgwgan_core.database.cif import from_cif
from cgwgan_core.database.extxyz import from_extxyz
from cgwgan_core.database.poscar import from_poscar
from cgwgan_core.database.record import Record
from cgwgan_core.workflow.errors import InputError

BLOCK = 1024
"""Texts handed to the processes at a time: bounds the memory, whatever the size of the source."""
BLOCK_SIZE = 128 << 20
"""Characters handed to the processes at a time."""


@dataclass(frozen=True)
class Text:
    """One text to parse."""

    name: str
    kind: str
    """cif, poscar or xyz."""
    content: str
    formation_energy_per_atom: float = np.nan
    energy_above_hull: float = np.nan
    remark: str | None = None


def parse(item: Text) -> list[Record]:
    """The records of one text: one, or several for a CIF of several crystals."""
    if item.kind == "xyz":
        return [from_extxyz(item.content, item.name)]
    if item.kind == "cif":
        records = from_cif(item.content, item.name, item.formation_energy_per_atom, item.energy_above_hull)
    else:
        records = [from_poscar(item.content, item.name, item.formation_energy_per_atom, item.energy_above_hull)]
    if item.remark is None:
        return records
    return [replace(r, remark="; ".join(filter(None, (item.remark, r.remark)))) for r in records]


def parse_all(items: Iterable[Record | Text], threads: int) -> Iterator[Record]:
    """Parse texts in their order; records among them pass.

    :param threads: processes to use.
    :raises InputError: if a process dies (out of memory).
    """
    if threads <= 1:
        for item in items:
            yield from parse(item) if isinstance(item, Text) else (item,)
        return
    # Fork: the processes need nothing but what is already imported, and start at once.
    with ProcessPoolExecutor(threads, mp_context=get_context("fork")) as pool:
        for block in _blocks(iter(items)):
            texts = [item for item in block if isinstance(item, Text)]
            parsed = pool.map(parse, texts, chunksize=16)
            try:
                for item in block:
                    yield from next(parsed) if isinstance(item, Text) else (item,)
            except BrokenProcessPool:
                raise InputError(
                    f"{texts[0].name} to {texts[-1].name}: a process that read them died, likely out of memory; "
                    "run with fewer threads"
                ) from None


def _blocks(items: Iterator[Record | Text]) -> Iterator[list[Record | Text]]:
    """Consecutive items, so many that they fit the memory."""
    while block := list(islice(items, 1)):
        size = 0
        for item in islice(items, BLOCK - 1):
            block.append(item)
            size += len(item.content) if isinstance(item, Text) else item.frac_coords.size
            if size > BLOCK_SIZE:
                break
        yield block
