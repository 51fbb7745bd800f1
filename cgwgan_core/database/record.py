"""One record of a database, the check that every record of every source goes through, and the batch it leaves in.

Sources yield :class:`Record` objects one by one (:func:`to_columns` gathers them) or whole :class:`Columns`
at once. :func:`check` then works on flat arrays, so that 150,000 structures take seconds.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from ase.data import atomic_numbers
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray

from cgwgan_core.crystallography.composition import formula_of_numbers
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Booleans, Floats, Integers

STAGE = "read"
MIN_VOLUME = 0.1
"""Å³. Below the volume of a single atom under any pressure: the cell is flat, empty or in another unit."""
SAME_PLACE = 0.1
"""Å. Two nuclei are never this close (the shortest bond, H2, is 0.74 Å): the same site is listed twice."""
MAX_VOLUME = 1e8
"""Å³. A cube of 460 Å: the cell is in another unit, or a number in it is broken."""
MIN_REPEAT = 0.5
"""Å. No atom is this close to its own image (H2: 0.74 Å): the cell is far too small along some direction."""
COMPACT = 1.5
"""Å. A cell whose lattice planes are closer than this is reduced before atoms are compared."""
MAX_ATOMS = 100_000
"""Atoms of one record: more are no crystal that symmetry or a potential could be asked about."""
MAX_COORDINATE = 1e6
"""Cells from the origin; further out, a fractional coordinate has lost the digits that say where it is."""
UNREADABLE = "unreadable"
NOT_PERIODIC = "not a crystal: not periodic in all three directions"

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
    remark: str | None = None
    """What was doubtful in the record of a crystal, and how it was read."""


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
    remarks: list[str | None]

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


@lru_cache(maxsize=4096)
def atomic_number(species: str) -> int:
    """Atomic number of a species; 0 where it is no element.

    Oxidation states and spins are dropped ("Fe3+,spin=5" is Fe), deuterium and tritium are hydrogen.

    >>> [atomic_number(s) for s in ("O", "Fe3+", "Fe3+,spin=5", "O2-", "D", "X0+")]
    [8, 26, 26, 8, 1, 0]
    """
    match = re.fullmatch(r"([A-Z][a-z]?)(?:\d*\.?\d*[+-])?(?:,spin=-?[\d.]+)?", species.strip())
    symbol = match.group(1) if match else ""
    return 1 if symbol in ("D", "T") else atomic_numbers.get(symbol, 0)


def crystal(
    name: str,
    lattice: Any,
    species: Sequence[Mapping[str, float]],
    coords: Any,
    formation_energy_per_atom: float = np.nan,
    energy_above_hull: float = np.nan,
    *,
    cartesian: bool = False,
    periodic: Iterable[Any] = (),
    remark: str | None = None,
) -> Record:
    """A record from a cell and the species on its sites.

    Refused where it is not periodic in three directions, or a site is not one whole element.

    :param lattice: row vectors in Å, (3, 3) or flat.
    :param species: for each site, species ("Fe3+") -> occupancy. Species of one element add up: a site half
        Fe2+ and half Fe3+ is Fe.
    :param coords: fractional, or Cartesian in Å; (n, 3) or flat.
    :param periodic: along each cell vector, where the source says it.
    """
    if not all(periodic):
        return Record(name, reason=NOT_PERIODIC)
    numbers = _elements(species)
    if isinstance(numbers, str):
        return Record(name, reason=numbers)
    try:
        cell = np.asarray(lattice, dtype=float).ravel()
        places = np.asarray(coords, dtype=float)
        if cartesian:
            places = places.reshape(-1, 3) @ np.linalg.inv(cell.reshape(3, 3))
    except np.linalg.LinAlgError:
        return Record(name, reason="no volume: the cell vectors are not independent")
    except (TypeError, ValueError, OverflowError):
        return Record(name, reason=f"{UNREADABLE}: lattice or coordinates are not lists of numbers")
    return Record(
        name,
        cell,
        np.asarray(numbers, dtype=float),
        places.ravel(),
        formation_energy_per_atom,
        energy_above_hull,
        remark=remark,
    )


def _elements(species: Sequence[Mapping[str, float]]) -> list[int] | str:
    """The element on each site, or why one of them holds none."""
    numbers: list[int] = []
    for site, occupancies in enumerate(species, start=1):
        if len(occupancies) == 1:  # nearly all sites
            [(symbol, amount)] = occupancies.items()
            if amount == 1 and (number := atomic_number(symbol)):
                numbers.append(number)
                continue
        amounts: dict[int, float] = {}
        for symbol, amount in occupancies.items():
            number = atomic_number(symbol)
            if number == 0:
                return f"not an element: species {symbol[:40]!r} on site {site}"
            amounts[number] = amounts.get(number, 0.0) + float(amount)
        # not (<= 1e-3): an occupancy that is NaN is no whole one
        if len(amounts) != 1 or not abs(sum(amounts.values()) - 1) <= 1e-3:
            listed = ", ".join(f"{s} {float(a):g}" for s, a in occupancies.items()) or "nothing"
            return f"disordered: site {site} holds {listed[:200]}"
        numbers += amounts
    return numbers


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
        [r.remark for r in records],
    )


def check(columns: Columns) -> list[str | None]:
    """Why each record cannot be used; ``None`` for sound crystals.

    A sound crystal has 9 finite lattice components, a volume, atoms (at most MAX_ATOMS), three finite coordinates
    for each of them, elements between H and Og, no two atoms on the same place (images included), and energies
    that are finite where they are known.
    """
    reasons = np.array(columns.reasons, dtype=object)

    def refuse(rows: Integers, text: str, *details: NDArray[Any]) -> None:
        for row, *values in zip(rows.tolist(), *(d.tolist() for d in details), strict=True):
            reasons[row] = text.format(*values)

    n_lattice, n_atoms, n_coords = columns.lattice_lengths, columns.numbers_lengths, columns.frac_coords_lengths
    for bad, text, details in (
        (n_lattice != 9, "wrong length: the lattice has {} components, not 9", (n_lattice,)),
        (n_atoms == 0, "empty: no atoms", ()),
        (n_atoms > MAX_ATOMS, f"too large: {{}} atoms, more than {MAX_ATOMS}", (n_atoms,)),
        (n_coords != 3 * n_atoms, "wrong length: {} coordinates for {} atoms", (n_coords, n_atoms)),
        (np.isinf(columns.formation_energy_per_atom), "not finite: formation energy", ()),
        (np.isinf(columns.energy_above_hull), "not finite: energy above the hull", ()),
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
    drop(any_atom((np.abs(coords) > MAX_COORDINATE).any(axis=1)), "out of range: fractional coordinates")
    drop(
        any_atom(~((numbers >= 1) & (numbers <= 118) & (numbers % 1 == 0))),
        "not an element: atomic number outside 1 to 118",
    )
    with np.errstate(over="ignore", invalid="ignore"):
        volume = np.nan_to_num(np.abs(np.linalg.det(lattice)), nan=np.inf)
    small, large = volume < MIN_VOLUME, volume > MAX_VOLUME
    drop(small, "no volume: the cell holds {:.3g} Å³", volume)
    drop(large[~small], "too large: the cell holds {:.3g} Å³", volume[~small])
    reduced, turned, repeat = _compact(lattice, owner, coords)
    same = (repeat < MIN_REPEAT) | _coincident(reduced, owner, turned, skip=repeat < MIN_REPEAT)
    drop(same, f"atoms on the same place: two are closer than {SAME_PLACE} Å")
    found: list[str | None] = reasons.tolist()
    return found


def _compact(lattice: Floats, owner: Integers, coords: Floats) -> tuple[Floats, Floats, Floats]:
    """Lattices (M, 3, 3) and coordinates (N, 3) of the same crystals in cells that are not skewed, where they were.

    :returns: and the shortest translation of each, in Å (infinite where the cell was compact as it stood).
    """
    repeat = np.full(len(lattice), np.inf)
    skewed = np.flatnonzero(_steps(lattice).max(axis=1) > 1 / COMPACT) if len(lattice) else np.empty(0, dtype=int)
    if skewed.size == 0:
        return lattice, coords, repeat
    lattice, coords = lattice.copy(), coords.copy()
    starts = np.searchsorted(owner, [skewed, skewed + 1])
    for row, start, end in zip(skewed.tolist(), *starts.tolist(), strict=True):
        try:
            cell, change = minkowski_reduce(lattice[row])
            lattice[row], coords[start:end] = np.asarray(cell), coords[start:end] @ np.linalg.inv(change)
            repeat[row] = np.linalg.norm(lattice[row], axis=1).min()
        except (RuntimeError, OverflowError, np.linalg.LinAlgError):  # needles beyond the digits of a float
            repeat[row] = 0.0
    return lattice, coords, repeat


def _steps(lattice: Floats) -> Floats:
    """Most that each fractional coordinate (M, 3) changes over 1 Å: the columns of the inverse lattice."""
    steps: Floats = np.linalg.norm(np.linalg.inv(lattice), axis=1)
    return steps


def _coincident(lattice: Floats, owner: Integers, coords: Floats, skip: Booleans) -> Booleans:
    """Which crystals (M,) have two atoms within SAME_PLACE of each other, images included.

    Not all n² pairs: a smooth periodic function of position takes nearly equal values on coinciding atoms,
    so in the order of its values such atoms stand close together. Its slope bounds how close.

    :param lattice: of cells that are not skewed: rounding then finds the nearest image of near atoms.
    :param skip: crystals to leave out.
    """
    reach = SAME_PLACE * _steps(lattice)
    # The longest direction weighs most: along it, the same distance changes the coordinate least.
    weights = np.array([1.0, 0.618, 0.382]) * reach.min(axis=1, initial=np.inf, keepdims=True) / reach
    values = (np.cos(2 * np.pi * coords + [0.3, 1.1, 2.3]) * weights[owner]).sum(axis=1)
    window = 2 * np.pi * (reach * weights).sum(axis=1)
    order = np.lexsort((values, owner))
    order = order[~skip[owner[order]]]
    found = np.zeros(len(lattice), dtype=bool)
    for lag in range(1, len(order)):
        first, second = order[:-lag], order[lag:]
        crystal_of = owner[first]
        near = (crystal_of == owner[second]) & (values[second] - values[first] <= window[crystal_of])
        near &= ~found[crystal_of]
        if not near.any():
            break  # values are sorted: none further apart is near either
        first, second, crystal_of = first[near], second[near], crystal_of[near]
        step = coords[first] - coords[second]
        step -= np.round(step)
        length = np.linalg.norm(np.einsum("ni,nij->nj", step, lattice[crystal_of]), axis=1)
        found[crystal_of[length < SAME_PLACE]] = True
    return found


def printable(text: str) -> str:
    """Text that any file and terminal takes: what is no Unicode, and control characters, as escapes."""
    if text.isprintable():
        return text
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    return text.encode("ascii", "backslashreplace").decode() if not text.isprintable() else text


def to_batch(columns: Columns, reasons: Sequence[str | None]) -> Batch:
    """Split records into rows of structures and rows of refusals.

    :param reasons: for each record, as :func:`check` gives them.
    """
    kept = np.array([reason is None for reason in reasons], dtype=bool)
    names = pa.array([printable(name) for name in columns.names], pa.string())
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
            "remark": pa.array([r and printable(r) for r in columns.remarks], pa.string()).filter(pa.array(kept)),
        },
        tables.STRUCTURES,
    )
    refused = [
        (printable(name), printable(reason))
        for name, reason in zip(columns.names, reasons, strict=True)
        if reason is not None
    ]
    refused = tables.to_table(
        {
            "record": [name for name, _ in refused],
            "stage": [STAGE] * len(refused),
            "reason": [reason for _, reason in refused],
        },
        tables.REFUSED,
    )
    return Batch(structures, refused)
