"""One record of a database, the check that every record of every source goes through, and the batch it leaves in.

Sources yield :class:`Record` objects one by one (:func:`to_columns` gathers them) or whole :class:`Columns`
at once. :func:`check` then works on flat arrays, so that 150,000 structures take seconds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from ase.data import atomic_numbers
from numpy.typing import NDArray

from cgwgan_core.crystallography.composition import formula_of_numbers
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Booleans, Floats, Integers

STAGE = "read"
MIN_VOLUME = 0.1
"""Å³. Below the volume of a single atom under any pressure: the cell is flat, empty or in another unit."""
SAME_PLACE = 0.1
"""Å. Two nuclei are never this close (the shortest bond, H2, is 0.74 Å): the same site is listed twice."""
UNREADABLE = "unreadable"
ENERGIES = ("formation_energy_per_atom",), ("energy_above_hull", "e_above_hull")
"""Names that sources have for the two energies of a record; the first that is there counts."""

_EMPTY = np.empty(0)


@dataclass(frozen=True)
class Record:
    """One record as its source gives it: a crystal, or the reason why there is none.

    Arrays are flat and unchecked: ``lattice`` in Å (row vectors, 9 values), ``numbers`` (n values),
    ``frac_coords`` (3n values); energies in eV/atom, NaN where unknown.
    """

    name: str
    """Identifier in the database, or the record's place in its file ("record-17")."""
    lattice: Floats = field(default_factory=lambda: _EMPTY, repr=False)
    numbers: Floats = field(default_factory=lambda: _EMPTY, repr=False)
    frac_coords: Floats = field(default_factory=lambda: _EMPTY, repr=False)
    formation_energy_per_atom: float = np.nan
    energy_above_hull: float = np.nan
    reason: str | None = None
    """Why the record is refused, as "kind: detail" or "kind"; ``None`` for a crystal."""


@dataclass(frozen=True)
class Columns:
    """N records as flat arrays; a record's share of each array is given by its length."""

    names: list[str]
    reasons: list[str | None]
    lattice: Floats
    lattice_lengths: Integers
    numbers: Floats
    numbers_lengths: Integers
    frac_coords: Floats
    frac_coords_lengths: Integers
    formation_energy_per_atom: Floats
    energy_above_hull: Floats

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Batch:
    """Consecutive records of a source, in its order: those kept and those refused."""

    structures: pa.Table
    """Rows of ``tables.STRUCTURES``."""
    refused: pa.Table
    """Rows of ``tables.REFUSED``."""


def place(number: int) -> str:
    """Name of a record without an identifier, counted from 1."""
    return f"record-{number}"


def energies(fields: Any) -> tuple[Any, Any]:
    """Formation energy and energy above the hull as they stand in the fields of a record; ``None`` where missing."""
    formation, hull = (next((fields[name] for name in names if name in fields), None) for names in ENERGIES)
    return formation, hull


def energy(value: Any) -> float:
    """An energy as a float; NaN where it is missing or not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return np.nan
    return number if np.isfinite(number) else np.nan


@lru_cache(maxsize=4096)
def atomic_number(species: str) -> int:
    """Atomic number of a species; 0 where it is no element.

    Oxidation states are dropped ("Fe3+" is Fe), deuterium and tritium are hydrogen.

    >>> [atomic_number(s) for s in ("O", "Fe3+", "O2-", "D", "X0+")]
    [8, 26, 8, 1, 0]
    """
    match = re.fullmatch(r"([A-Z][a-z]?)(?:\d*\.?\d*[+-])?", species.strip())
    symbol = match.group(1) if match else ""
    return 1 if symbol in ("D", "T") else atomic_numbers.get(symbol, 0)


def crystal(
    name: str,
    lattice: Any,
    species: Sequence[dict[str, float]],
    frac_coords: Any,
    formation_energy_per_atom: Any = None,
    energy_above_hull: Any = None,
) -> Record:
    """A record from a cell and the species on its sites; refused where a site is not one whole element.

    :param lattice: row vectors in Å, (3, 3) or flat.
    :param species: for each site, species ("Fe3+") -> occupancy. Species of one element add up: a site half
        Fe2+ and half Fe3+ is Fe.
    :param frac_coords: (n, 3) or flat.
    """
    numbers = []
    for site, occupancies in enumerate(species, start=1):
        amounts: dict[int, float] = {}
        for symbol, amount in occupancies.items():
            number = atomic_number(symbol)
            if number == 0:
                return Record(name, reason=f"not an element: species {symbol!r} on site {site}")
            amounts[number] = amounts.get(number, 0.0) + float(amount)
        if len(amounts) != 1 or abs(sum(amounts.values()) - 1) > 1e-3:
            listed = ", ".join(f"{s} {float(a):g}" for s, a in occupancies.items()) or "nothing"
            return Record(name, reason=f"disordered: site {site} holds {listed}")
        numbers.append(number)
    try:
        return Record(
            name,
            np.asarray(lattice, dtype=float).ravel(),
            np.asarray(numbers, dtype=float),
            np.asarray(frac_coords, dtype=float).ravel(),
            energy(formation_energy_per_atom),
            energy(energy_above_hull),
        )
    except (TypeError, ValueError):
        return Record(name, reason=f"{UNREADABLE}: lattice or coordinates are not lists of numbers")


def to_columns(records: Sequence[Record]) -> Columns:
    """Gather records into flat arrays."""

    def flat(name: str) -> tuple[Floats, Integers]:
        arrays = [getattr(record, name) for record in records]
        return np.concatenate([_EMPTY, *arrays]), np.array([a.size for a in arrays], dtype=np.int64)

    return Columns(
        [r.name for r in records],
        [r.reason for r in records],
        *flat("lattice"),
        *flat("numbers"),
        *flat("frac_coords"),
        np.array([r.formation_energy_per_atom for r in records], dtype=float),
        np.array([r.energy_above_hull for r in records], dtype=float),
    )


def check(columns: Columns) -> list[str | None]:
    """Why each record cannot be used; ``None`` for sound crystals.

    A sound crystal has 9 finite lattice components, a volume, atoms, three finite coordinates for each of
    them, elements between H and Og, and no two atoms on the same place (images included).
    """
    reasons = np.array(columns.reasons, dtype=object)

    def refuse(rows: Integers, text: str, *details: NDArray[Any]) -> None:
        for row, *values in zip(rows.tolist(), *(d.tolist() for d in details), strict=True):
            reasons[row] = text.format(*values)

    n_lattice, n_atoms, n_coords = columns.lattice_lengths, columns.numbers_lengths, columns.frac_coords_lengths
    for bad, text, details in (
        (n_lattice != 9, "wrong length: the lattice has {} components, not 9", (n_lattice,)),
        (n_atoms == 0, "empty: no atoms", ()),
        (n_coords != 3 * n_atoms, "wrong length: {} coordinates for {} atoms", (n_coords, n_atoms)),
    ):
        rows = np.flatnonzero(bad & (reasons == None))  # noqa: E711 - elementwise
        refuse(rows, text, *(d[rows] for d in details))

    # From here on only records of the right shape; `rows` are their places in the batch.
    sound = reasons == None  # noqa: E711 - elementwise
    rows = np.flatnonzero(sound)
    lattice = columns.lattice[np.repeat(sound, n_lattice)].reshape(-1, 3, 3)
    numbers = columns.numbers[np.repeat(sound, n_atoms)]
    coords = columns.frac_coords[np.repeat(sound, n_coords)].reshape(-1, 3)
    counts = n_atoms[sound]
    owner = np.repeat(np.arange(len(rows)), counts)

    def drop(bad: Booleans, text: str, *details: NDArray[Any]) -> None:
        nonlocal rows, lattice, numbers, coords, counts, owner
        if not bad.any():
            return
        refuse(rows[bad], text, *(d[bad] for d in details))
        atoms = ~bad[owner]
        rows, lattice, counts = rows[~bad], lattice[~bad], counts[~bad]
        numbers, coords = numbers[atoms], coords[atoms]
        owner = np.repeat(np.arange(len(rows)), counts)

    def any_atom(bad: Booleans) -> Booleans:
        return np.bincount(owner[bad], minlength=len(rows)) > 0

    drop(~np.isfinite(lattice).all(axis=(1, 2)), "not finite: lattice")
    drop(any_atom(~np.isfinite(coords).all(axis=1)), "not finite: coordinates")
    drop(
        any_atom(~((numbers >= 1) & (numbers <= 118) & (numbers % 1 == 0))),
        "not an element: atomic number outside 1 to 118",
    )
    volume = np.abs(np.linalg.det(lattice))
    drop(volume < MIN_VOLUME, "no volume: the cell holds {:.3g} Å³", volume)
    drop(_coincident(lattice, owner, coords), f"atoms on the same place: two are closer than {SAME_PLACE} Å")
    found: list[str | None] = reasons.tolist()
    return found


def _coincident(lattice: Floats, owner: Integers, coords: Floats) -> Booleans:
    """Which crystals (M,) have two atoms within SAME_PLACE of each other, images included.

    Not all n² pairs: a smooth periodic function of position takes nearly equal values on coinciding atoms,
    so in the order of its values such atoms stand close together. Its slope bounds how close.
    """
    weights = np.array([1.0, 0.618, 0.382])
    values = np.cos(2 * np.pi * coords + [0.3, 1.1, 2.3]) @ weights
    # A step of d Å changes fractional coordinate k by at most d |column k of the inverse lattice|.
    reach = SAME_PLACE * np.linalg.norm(np.linalg.inv(lattice), axis=1)
    window = 2 * np.pi * reach @ weights
    order = np.lexsort((values, owner))
    found = np.zeros(len(lattice), dtype=bool)
    for lag in range(1, len(order)):
        first, second = order[:-lag], order[lag:]
        crystal_of = owner[first]
        near = (crystal_of == owner[second]) & (values[second] - values[first] <= window[crystal_of])
        if not near.any():
            break  # values are sorted: none further apart is near either
        first, second, crystal_of = first[near], second[near], crystal_of[near]
        step = coords[first] - coords[second]
        step -= np.round(step)
        length = np.linalg.norm(np.einsum("ni,nij->nj", step, lattice[crystal_of]), axis=1)
        found[crystal_of[length < SAME_PLACE]] = True
    return found


def to_batch(columns: Columns, reasons: Sequence[str | None]) -> Batch:
    """Split records into rows of structures and rows of refusals.

    :param reasons: for each record, as :func:`check` gives them.
    """
    kept = np.array([reason is None for reason in reasons], dtype=bool)
    names = pa.array(columns.names, pa.string())
    n_atoms = columns.numbers_lengths[kept]
    numbers = columns.numbers[np.repeat(kept, columns.numbers_lengths)].astype(np.int16)

    def lists(values: NDArray[Any], lengths: Integers) -> pa.Array:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))

    structures = tables.to_table(
        {
            "material_id": names.filter(pa.array(kept)),
            "formula": [formula_of_numbers(part) for part in np.split(numbers, np.cumsum(n_atoms)[:-1])]
            if len(n_atoms)
            else [],
            "lattice": lists(columns.lattice[np.repeat(kept, columns.lattice_lengths)], np.full(len(n_atoms), 9)),
            "numbers": lists(numbers, n_atoms),
            "frac_coords": lists(columns.frac_coords[np.repeat(kept, columns.frac_coords_lengths)], 3 * n_atoms),
            # from_pandas: NaN becomes null
            "formation_energy_per_atom": pa.array(columns.formation_energy_per_atom[kept], from_pandas=True),
            "energy_above_hull": pa.array(columns.energy_above_hull[kept], from_pandas=True),
        },
        tables.STRUCTURES,
    )
    refused = [(name, reason) for name, reason in zip(columns.names, reasons, strict=True) if reason is not None]
    refused = tables.to_table(
        {
            "record": [name for name, _ in refused],
            "stage": [STAGE] * len(refused),
            "reason": [reason for _, reason in refused],
        },
        tables.REFUSED,
    )
    return Batch(structures, refused)
