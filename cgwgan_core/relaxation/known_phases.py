"""The database's phases of a chemistry, relaxed: the hull that candidates are measured against."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
from ase import Atoms
from ase.data import atomic_numbers

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.structures import atoms_to_row, row_to_atoms
from cgwgan_core.potentials.protocol import EnergyScale, Potential
from cgwgan_core.relaxation.columns import energy_columns
from cgwgan_core.relaxation.defects import KINDS, NO_ENERGY, Doubts, energy_doubts, grave, in_words, structural_doubts
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax_each
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.screening.references import references
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.logs import logger
from cgwgan_core.workflow.refusals import OK

Row = dict[str, Any]
DOUBTED, LEFT_OUT = "doubted", "named in hull.leave_out"
"""How the status begins of a relaxed phase that is no part of the hull."""
ELEMENT = "element-"
"""How the material_id of an element's reference energy begins."""
ON_HULL = 1e-9
"""eV/atom; rounding leaves phases on the hull so far above it."""


@dataclass(frozen=True)
class KnownPhasesOptions:
    """Which structures of the database make the hull, and how they are relaxed; keys of the config block ``hull``."""

    fmax: float = 0.05
    """As in :class:`Relaxation`."""
    max_steps: int = 300
    """Optimiser steps; a phase that needs more goes into the hull as it then is."""
    max_atoms: int = 100
    """Atoms in the cell of the database; larger structures are left out."""
    max_above_hull: float | None = 0.1
    """eV/atom above the database's hull; what lies higher cannot be on the potential's, and is left out."""
    leave_out: Sequence[str] = (NO_ENERGY,)
    """What keeps a phase out of the hull: kinds of doubt (:data:`.defects.KINDS`), or its material_id."""

    def __post_init__(self) -> None:
        _ = self.relaxation  # checks its own
        if self.max_atoms < 1:
            raise InputError(f"max_atoms: {self.max_atoms} must be at least 1")
        if self.max_above_hull is not None and self.max_above_hull < 0:
            raise InputError(f"max_above_hull: {self.max_above_hull} must be at least 0")

    @property
    def relaxation(self) -> Relaxation:
        """How a phase is relaxed.

        :raises InputError: if there is no such relaxation.
        """
        return Relaxation(self.fmax, self.max_steps)

    def left_out(self, atoms: Atoms, above: float | None = None) -> str | None:
        """Why a structure is not relaxed; ``None`` if it is.

        :param above: its distance to the database's hull, eV/atom, where known.
        """
        if len(set(atoms.numbers)) == 1:
            return "an element: its reference energy is used"
        if len(atoms) > self.max_atoms:
            return f"{len(atoms)} atoms, more than {self.max_atoms}"
        if above is not None and self.max_above_hull is not None and above > self.max_above_hull:
            return f"{above:.3f} eV/atom above the database's hull, more than {self.max_above_hull}"
        return None

    def kept_off(self, material_id: str, doubts: Doubts) -> str | None:
        """Why a relaxed phase is no part of the hull; ``None`` if it is."""
        if material_id in self.leave_out:
            return LEFT_OUT
        reason = in_words({kind: why for kind, why in doubts.items() if kind in self.leave_out})
        return f"{DOUBTED}: {reason}" if reason else None

    def check_names(self, material_ids: Set[str], chemistry: Sequence[str]) -> None:
        """See that whatever is left out by name is there.

        :raises InputError: if it is neither a kind of doubt nor a phase.
        """
        if unknown := sorted(set(self.leave_out) - set(KINDS) - material_ids):
            raise InputError(
                f"hull.leave_out: {', '.join(unknown)} is neither a kind of doubt ({', '.join(KINDS)}) nor the "
                f"material_id of a phase of {'-'.join(chemistry)} in the database; delete or correct it"
            )


def read_within(batches: Iterable[pa.Table], chemistry: Sequence[str]) -> tuple[pa.Table, float]:
    """Rows of ``tables.STRUCTURES`` with no other elements than these; share of all rows that have an energy."""
    parts, total, without = [tables.STRUCTURES.empty_table()], 0, 0
    for batch in batches:
        parts.append(within(batch, chemistry))
        total, without = total + batch.num_rows, without + batch["formation_energy_per_atom"].null_count
    return pa.concat_tables(parts), 1 - without / total if total else 0.0


def within(structures: pa.Table, chemistry: Sequence[str]) -> pa.Table:
    """The rows of ``tables.STRUCTURES`` that hold no other elements than these."""
    numbers = structures["numbers"].combine_chunks()
    counts = numbers.value_lengths().to_numpy()
    allowed = np.isin(numbers.flatten().to_numpy(), [atomic_numbers[symbol] for symbol in chemistry])
    owner = np.repeat(np.arange(len(counts)), counts)
    inside = np.bincount(owner, weights=allowed, minlength=len(counts)) == counts
    return structures.filter(pa.array(inside & (counts > 0)))


def relax_known_phases(
    structures: pa.Table,
    chemistry: Sequence[str],
    potential: Potential,
    options: KnownPhasesOptions,
    share_with_energy: float = 0.0,
    shard: int = 0,
    shards: int = 1,
) -> list[Row]:
    """Relax one shard of the known phases of a chemistry.

    Every polymorph is kept. The database's elemental structures are kept as they are, without an energy (see
    :mod:`cgwgan_core.screening.energetics`). A phase that did not converge still counts: its energy is an upper bound,
    and without it candidates would look better than they are. Entries that are doubted (:mod:`.defects`) are marked;
    those that the options leave out have energies, but no part in the hull.

    :param structures: rows of ``tables.STRUCTURES``, of this chemistry (:func:`within`).
    :param share_with_energy: share of all structures of the database that have an energy.
    :param shard: of the structures, every ``shards``-th from this one on.
    :returns: rows of ``tables.KNOWN_PHASES`` without a place on the hull, in order of the database.
    :raises InputError: if an option names a phase that is not there.
    """
    options.check_names(set(structures["material_id"].to_pylist()), chemistry)
    records = _above_database_hull(structures.to_pylist(), chemistry)[shard::shards]
    crystals = {i: row_to_atoms(record) for i, record in enumerate(records)}
    left_out = {i: why for i, atoms in crystals.items() if (why := options.left_out(atoms, records[i]["above"]))}
    phases = {i: atoms for i, atoms in crystals.items() if i not in left_out}
    found = relax_each(phases, potential, options.relaxation, "known phases relaxed")
    rows = []
    for i, record in enumerate(records):
        row = {
            "material_id": record["material_id"],
            "formula": formula_of_atoms(crystals[i]),
            "database_formation_energy_per_atom": record["formation_energy_per_atom"],
        }
        if i in left_out:
            rows.append({**row, **atoms_to_row(crystals[i]), "status": left_out[i]})
            continue
        relaxed = found[i]
        energies = energy_columns(relaxed, potential.energy_scale)
        by_database, by_potential = record["formation_energy_per_atom"], energies["formation_energy_per_atom"]
        doubts = structural_doubts(crystals[i])
        doubts |= energy_doubts(crystals[i], by_database, by_potential, share_with_energy)
        status = OK if relaxed.unconverged else relaxed.status
        if status == OK:
            status = options.kept_off(record["material_id"], doubts) or OK
        marks = {"defect": in_words(doubts), "status": status}
        rows.append({**row, **atoms_to_row(relaxed.atoms), **energies, **marks})
    if n := sum(relaxed.unconverged for relaxed in found.values()):
        logger.info(f"{n} phases did not converge; their energies are upper bounds")
    return rows


def _above_database_hull(records: list[Row], chemistry: Sequence[str]) -> list[Row]:
    """The structures with their distances to the database's hull (``above``, eV/atom).

    It is that of the formation energies here, or the one that the database names, whichever is lower: where a file
    mixes energies of two schemes, the first puts phases too high.
    """
    energies = [(formula_of_atoms(row_to_atoms(row)), row["formation_energy_per_atom"]) for row in records]
    hull = Hull(((formula, energy) for formula, energy in energies if energy is not None), chemistry)
    rows = []
    for row, (formula, energy) in zip(records, energies, strict=True):
        own = None if energy is None else energy - hull.energy_per_atom(formula)
        known = [above for above in (own, row["energy_above_hull"]) if above is not None]
        rows.append({**row, "above": min(known, default=None)})
    return rows


def place_on_hull(shards: Sequence[Sequence[Row]], chemistry: Sequence[str], energy_scale: EnergyScale) -> list[Row]:
    """The relaxed phases of all shards and the elements, on the hull that they make.

    Elements are rows of their own, ``element-Ba``, at their reference energies.

    :param shards: rows of :func:`relax_known_phases`, shards in order.
    :returns: rows of ``tables.KNOWN_PHASES``: elements first, then phases in order of the database.
    :raises InputError: if an element has no reference energy on the scale.
    """
    rows = _element_rows(chemistry, energy_scale)
    rows += [row for turn in zip_longest(*shards) for row in turn if row is not None]
    hull = Hull((row["formula"], row["formation_energy_per_atom"]) for row in rows if row["status"] == OK)
    for row in rows:
        if row["status"] == OK:
            above = row["formation_energy_per_atom"] - hull.energy_per_atom(row["formula"])
            row["energy_above_hull"] = max(above, 0.0)  # rounding
        elif _kept_off(row):
            row["energy_above_hull"] = row["formation_energy_per_atom"] - hull.energy_per_atom(row["formula"])
    _log_doubts(rows)
    _log_hull(rows, hull, "-".join(chemistry))
    return rows


def _kept_off(row: Row) -> bool:
    return bool(row["status"].startswith((DOUBTED, LEFT_OUT)))


def _element_rows(chemistry: Sequence[str], energy_scale: EnergyScale) -> list[Row]:
    energy_of = references(energy_scale)
    if missing := sorted(set(chemistry) - set(energy_of)):
        raise InputError(f"chemistry: no reference energy for {', '.join(missing)} on the scale {energy_scale}")
    return [
        {
            "material_id": f"{ELEMENT}{symbol}",
            "formula": symbol,
            "energy_per_atom": energy_of[symbol],
            "formation_energy_per_atom": 0.0,
            "uncorrected_formation_energy_per_atom": 0.0,
            "status": OK,
        }
        for symbol in sorted(chemistry)
    ]


def _log_hull(rows: Sequence[Row], hull: Hull, system: str) -> None:
    good = [row for row in rows if row["status"] == OK]
    compounds = [row for row in good if not row["material_id"].startswith(ELEMENT)]
    if left := len(rows) - len(good):
        logger.info(f"{left} structures are left out of the hull; their status says why")
    if not compounds:
        logger.warning(
            f"warning: the database has no compound of {system}. The hull is that of the elements alone, so energy "
            "above hull is the formation energy and does not tell whether a candidate falls apart into known "
            "compounds. A database that has them (data.source) makes the ranking meaningful"
        )
    known = [r for r in compounds if r["database_formation_energy_per_atom"] is not None]
    if known:
        off = [abs(r["formation_energy_per_atom"] - r["database_formation_energy_per_atom"]) for r in known]
        mean = np.mean(off)
        logger.info(
            f"formation energies differ from the database's by {mean:.3f} eV/atom on average ({len(off)} phases)"
        )
    doubted = [r["formula"] for r in compounds if grave(r.get("defect")) and r["energy_above_hull"] < ON_HULL]
    doubt = f"; doubted of these: {', '.join(doubted)} (column defect)" if doubted else ""
    logger.info(f"hull of {system}: {len(compounds)} known phases; on it are {', '.join(hull.stable_formulas)}{doubt}")


def _log_doubts(rows: Sequence[Row]) -> None:
    doubted = [row for row in rows if grave(row.get("defect")) or _kept_off(row)]
    if not doubted:
        return
    off = sum(_kept_off(row) for row in doubted)
    logger.info(f"{len(doubted)} entries of the database are doubted (column defect); hull.leave_out keeps {off} off")
    for row in doubted:
        name = f"{row['formula']} ({row['material_id']})"
        if row["status"] == OK and row["energy_above_hull"] < ON_HULL:
            logger.info(f"on the hull though doubted: {name}, {row['defect']}")
        elif _kept_off(row) and row["energy_above_hull"] < 0:
            logger.info(f"left out, {-row['energy_above_hull']:.3f} eV/atom below the hull: {name}, {row['defect']}")
