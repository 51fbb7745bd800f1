"""From database structures to the set that the generator learns from: asymmetric units, selection, split."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from ase.data import chemical_symbols

from . import tables
from .crystal import SymmetryError, Templates, asymmetric_unit
from .errors import InputError
from .fingerprint import canonical, coarse_keys, fingerprints
from .jobs import seed

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class TrainingOptions:
    """Which structures train the generator; the keys of the config block ``training``."""

    n_sites: tuple[int, ...] = (3, 4)
    """Numbers of asymmetric-unit sites that templates may have."""
    min_spacegroup: int = 2
    """Lowest space-group number; 2 leaves out P1."""
    held_out: float = 0.1
    """Share of the templates that training never sees."""

    def __post_init__(self) -> None:
        if not self.n_sites or min(self.n_sites) < 1:
            raise ValueError("n_sites must name at least one positive number")
        if not 0 <= self.held_out < 1:
            raise ValueError("held_out must be at least 0 and below 1")


def asymmetric_units(structures: Path, symprec: float, threads: int = 1) -> Iterator[tuple[Rows, Rows]]:
    """Asymmetric units of a structures table, in its order.

    :param symprec: tolerance, Å.
    :param threads: processes; the result does not depend on it.
    :yields: rows of ``tables.ASU`` and of ``tables.REJECTED``, a batch at a time.
    """
    columns = ("material_id", "formula", "lattice", "numbers", "frac_coords")
    batches = tables.read_batches(structures, tables.STRUCTURES, rows=500, columns=columns)
    work = partial(_asu_batch, symprec=symprec)
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


def _asu_batch(batch: pa.Table, symprec: float) -> tuple[Rows, Rows]:
    records, units, rejected = [], [], []
    for record in batch.to_pylist():
        lattice, coords = np.reshape(record["lattice"], (3, 3)), np.reshape(record["frac_coords"], (-1, 3))
        try:
            units.append(asymmetric_unit(lattice, coords, record["numbers"], symprec))
        except SymmetryError as error:
            rejected.append({"record": record["material_id"], "stage": "asu", "reason": str(error)})
        else:
            records.append(record)
    if not units:
        return [], rejected
    numbers = [unit.numbers for unit in units]
    sites, order = canonical(Templates.concat([unit.template for unit in units]), numbers, mirror=False)
    columns = sites.to_columns()
    rows = [
        {
            "material_id": record["material_id"],
            "formula": record["formula"],
            **{name: column[i] for name, column in columns.items()},
            "elements": [chemical_symbols[numbers[i][s]] for s in order[i, : len(numbers[i])]],
            "symprec": symprec,
        }
        for i, record in enumerate(records)
    ]
    return rows, rejected


def select_training(asu: pa.Table, options: TrainingOptions, run_seed: int) -> tuple[pa.Table, Rows]:
    """Choose the structures to learn from and split them by template.

    Every coarse key goes to one side as a whole, drawn by a hash of the key and the seed, so that a key's
    side does not depend on what else is in the database.

    :param asu: a table of ``tables.ASU``.
    :returns: a table of ``tables.TRAINING``, and rows of ``tables.REJECTED`` for all others.
    :raises InputError: if nothing is left to learn from.
    """
    n_sites, spacegroup = asu["n_sites"].to_numpy(), asu["spacegroup"].to_numpy()
    fits = np.isin(n_sites, options.n_sites)
    symmetric = spacegroup >= options.min_spacegroup
    wanted = " or ".join(str(n) for n in options.n_sites)
    rejected = [
        {
            "record": material_id,
            "stage": "training",
            "reason": f"not {wanted} sites" if not enough else f"space group below {options.min_spacegroup}",
        }
        for material_id, enough, keep in zip(
            asu["material_id"].to_pylist(), fits.tolist(), (fits & symmetric).tolist(), strict=True
        )
        if not keep
    ]
    kept = asu.filter(pa.array(fits & symmetric))
    if not kept.num_rows:
        raise InputError(
            f"data: none of the {asu.num_rows:,} structures has {wanted} sites and space group"
            f" {options.min_spacegroup} or higher; widen training.n_sites or use a larger database"
        )
    templates = Templates.from_table(kept)
    keys = coarse_keys(templates)
    split = ["held-out" if _draw(run_seed, key) < options.held_out else "train" for key in keys]
    if "train" not in split:
        raise InputError("training.held_out: every template is held out; make it smaller")
    kept = kept.append_column("coarse_key", pa.array(keys, pa.string()))
    kept = kept.append_column("fingerprint", pa.array(fingerprints(templates), pa.string()))
    kept = kept.append_column("split", pa.array(split, pa.string()))
    return kept, rejected


def _draw(run_seed: int, key: str) -> float:
    digest = hashlib.sha256(f"{seed(run_seed, 'split')}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
