"""Asymmetric units of a whole database, in parallel and in the order of its table."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from ase.data import chemical_symbols

from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit
from cgwgan_core.crystallography.fingerprint import canonical
from cgwgan_core.crystallography.structures import row_arrays
from cgwgan_core.crystallography.symmetry import SymmetryError
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.workflow import tables

Rows = list[dict[str, Any]]
BATCH = 500
"""Structures that are worked on at a time."""


def asymmetric_units(structures: Path, symprec: float, threads: int) -> Iterator[tuple[Rows, Rows]]:
    """Asymmetric units of a structures table, in its order.

    :param symprec: tolerance, Å.
    :param threads: processes; the result does not depend on it.
    :yields: rows of ``tables.ASU`` and of ``tables.REFUSED``, a batch at a time.
    """
    columns = ("material_id", "formula", "lattice", "numbers", "frac_coords", "energy_above_hull")
    batches = tables.read_batches(structures, tables.STRUCTURES, rows=BATCH, columns=columns)
    work = partial(units_of, symprec=symprec)
    if threads == 1:
        yield from map(work, batches)
        return
    with ProcessPoolExecutor(threads) as pool:
        # a window of batches in flight keeps the memory constant and the order that of the table
        waiting = []
        for batch in batches:
            waiting.append(pool.submit(work, batch))
            if len(waiting) > 4 * threads:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def units_of(structures: pa.Table, symprec: float) -> tuple[Rows, Rows]:
    """Asymmetric units of some structures, each in its canonical description.

    :param structures: a table with the columns of ``tables.STRUCTURES``; it may lack formation energies and remarks.
    :param symprec: tolerance, Å.
    :returns: rows of ``tables.ASU`` and of ``tables.REFUSED``.
    """
    kept, units, refused = [], [], []
    for structure in structures.to_pylist():
        lattice, numbers, coords = row_arrays(structure)
        try:
            units.append(asymmetric_unit(lattice, coords, numbers, symprec))
        except SymmetryError as error:
            refused.append({"record": structure["material_id"], "stage": "asu", "reason": str(error)})
        else:
            kept.append(structure)
    if not units:
        return [], refused
    species = [unit.numbers for unit in units]
    sites, order = canonical(Templates.concat([unit.template for unit in units]), species, mirror=False)
    columns = sites.to_columns()
    rows = [
        {
            "material_id": structure["material_id"],
            "formula": structure["formula"],
            **{name: column[i] for name, column in columns.items()},
            "elements": [chemical_symbols[species[i][s]] for s in order[i, : len(species[i])]],
            "energy_above_hull": structure["energy_above_hull"],
            "symprec": symprec,
        }
        for i, structure in enumerate(kept)
    ]
    return rows, refused
