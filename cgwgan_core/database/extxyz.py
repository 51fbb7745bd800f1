"""Extended XYZ: frames one after another, each with its cell in the comment line; parsed by ASE."""

import re
from collections.abc import Iterator
from io import StringIO, TextIOWrapper

import numpy as np
from ase.io.extxyz import read_xyz

from cgwgan_core.database import fields
from cgwgan_core.database.record import MAX_ATOMS, NOT_PERIODIC, UNREADABLE, Record, crystal
from cgwgan_core.database.streams import MAX_TEXT

MAX_LINE = 1 << 16
MAX_COLUMNS = 1000
"""Of an atom's line. ASE makes room for as many as the comment line says, whatever there is."""


def frames(stream: TextIOWrapper) -> Iterator[str | ValueError]:
    """The text of each frame; a :class:`ValueError` for one that is cut off or too large, which then is the last."""
    while count := stream.readline(MAX_LINE):
        if not count.strip():
            continue
        n = int(count) if count.strip().isdecimal() and len(count) < 12 else -1
        if n < 0:
            yield ValueError(f"expected a number of atoms, found {count.strip()[:40]!r}")
            return
        if n > MAX_ATOMS:
            yield ValueError(f"{n} atoms, more than {MAX_ATOMS}; what follows it in the file is not read")
            return
        lines = [count]
        size = 0
        for _ in range(n + 1):
            lines.append(stream.readline(MAX_LINE))
            size += len(lines[-1])
            if not lines[-1] or size > MAX_TEXT:
                yield ValueError("the frame ends too early" if not lines[-1] else "the frame is too long")
                return
        yield "".join(lines)


def from_extxyz(content: str, name: str) -> Record:
    """The crystal of one frame, with identifier and energies from its comment line."""
    try:
        _check_columns(content.split("\n", 2)[1])
        # a list: ASE reads frames until one is asked for
        [atoms] = list(read_xyz(StringIO(content), slice(0, 1)))
        told = {key: value.item() if isinstance(value, np.generic) else value for key, value in atoms.info.items()}
        facts = fields.facts(told)
        name = facts.name or name
        if atoms.cell.rank == 0:
            return Record(name, reason=NOT_PERIODIC)
        return crystal(
            name,
            atoms.cell.array,
            [{symbol: 1} for symbol in atoms.symbols],
            atoms.positions,
            *facts[1:3],
            cartesian=True,
            periodic=atoms.pbc.tolist(),
            remark=facts.remark,
        )
    except Exception as error:  # noqa: BLE001 - ASE's reader raises nearly anything on bad text
        words = " ".join(str(error).split())[:200]
        return Record(name, reason=f"{UNREADABLE}: extended XYZ not understood ({words or type(error).__name__})")


def _check_columns(comment: str) -> None:
    """Refuse a comment line that says of more columns than a line can have."""
    if said := re.search(r'properties="?([^\s"]+)', comment, re.IGNORECASE):
        columns = sum(int(n) for n in said[1].split(":")[2::3])
        if columns > MAX_COLUMNS:
            raise ValueError(f"{columns} columns, more than {MAX_COLUMNS}")
