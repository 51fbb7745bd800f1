"""The database's phases of a chemistry, relaxed: the hull that candidates are measured against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from ase import Atoms
from ase.data import atomic_numbers

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.structures import atoms_to_row, row_to_atoms
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.columns import energy_columns
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax_each
from cgwgan_core.screening.energetics import Hull, references
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.logs import logger
from cgwgan_core.workflow.refusals import OK

Row = dict[str, Any]


@dataclass(frozen=True)
class KnownPhasesOptions:
    """Which structures of the database make the hull, and how they are relaxed; keys of the config block ``hull``."""

    fmax: float = 0.05
    """As in :class:`Relaxation`."""
    max_steps: int = 300
    """Optimiser steps; a phase that needs more goes into the hull as it then is."""
    max_atoms: int = 100
    """Atoms in the cell of the database; larger structures are left out."""

    def __post_init__(self) -> None:
        _ = self.relaxation  # checks its own
        if self.max_atoms < 1:
            raise InputError(f"max_atoms: {self.max_atoms} must be at least 1")

    @property
    def relaxation(self) -> Relaxation:
        """How a phase is relaxed.

        :raises InputError: if there is no such relaxation.
        """
        return Relaxation(self.fmax, self.max_steps)

    def left_out(self, atoms: Atoms) -> str | None:
        """Why a structure is not relaxed; ``None`` if it is."""
        if len(set(atoms.numbers)) == 1:
            return "an element: its reference energy is used"
        if len(atoms) > self.max_atoms:
            return f"{len(atoms)} atoms, more than {self.max_atoms}"
        return None


def within(structures: pa.Table, chemistry: Sequence[str]) -> pa.Table:
    """The rows of ``tables.STRUCTURES`` that hold no other elements than these."""
    numbers = structures["numbers"].combine_chunks()
    counts = numbers.value_lengths().to_numpy()
    allowed = np.isin(numbers.flatten().to_numpy(), [atomic_numbers[symbol] for symbol in chemistry])
    owner = np.repeat(np.arange(len(counts)), counts)
    inside = np.bincount(owner, weights=allowed, minlength=len(counts)) == counts
    return structures.filter(pa.array(inside & (counts > 0)))


def relax_known_phases(
    structures: pa.Table, chemistry: Sequence[str], potential: Potential, options: KnownPhasesOptions
) -> list[Row]:
    """Relax the known phases of a chemistry and place them on their own hull.

    Every polymorph is kept. Elements are rows of their own, ``element-Ba``, at their reference energies; the
    database's elemental structures are kept as they are, without an energy (see
    :mod:`cgwgan_core.screening.energetics`). A phase that did not converge still counts: its energy is an upper bound,
    and without it candidates would look better than they are.

    :param structures: rows of ``tables.STRUCTURES``, of this chemistry (:func:`within`).
    :returns: rows of ``tables.KNOWN_PHASES``: elements first, then phases in order of the database.
    :raises InputError: if an element has no reference energy on the potential's scale.
    """
    rows = _element_rows(chemistry, potential)
    records = structures.to_pylist()
    crystals = {i: row_to_atoms(record) for i, record in enumerate(records)}
    left_out = {i: reason for i, atoms in crystals.items() if (reason := options.left_out(atoms))}
    phases = {i: atoms for i, atoms in crystals.items() if i not in left_out}
    found = relax_each(phases, potential, options.relaxation, "known phases relaxed")
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
        status = OK if relaxed.unconverged else relaxed.status
        energies = energy_columns(relaxed, potential.energy_scale)
        rows.append({**row, **atoms_to_row(relaxed.atoms), **energies, "status": status})
    good = [row for row in rows if row["status"] == OK]
    hull = Hull((row["formula"], row["formation_energy_per_atom"]) for row in good)
    for row in good:
        above = row["formation_energy_per_atom"] - hull.energy_per_atom(row["formula"])
        row["energy_above_hull"] = max(above, 0.0)  # rounding
    if n := sum(relaxed.unconverged for relaxed in found.values()):
        logger.info(f"{n} phases did not converge; their energies are upper bounds")
    _log_hull(rows, hull, "-".join(chemistry))
    return rows


def _element_rows(chemistry: Sequence[str], potential: Potential) -> list[Row]:
    energy_of = references(potential.energy_scale)
    if missing := sorted(set(chemistry) - set(energy_of)):
        raise InputError(f"chemistry: no reference energy for {', '.join(missing)} with {potential.name}")
    return [
        {
            "material_id": f"element-{symbol}",
            "formula": symbol,
            "energy_per_atom": energy_of[symbol],
            "formation_energy_per_atom": 0.0,
            "status": OK,
        }
        for symbol in sorted(chemistry)
    ]


def _log_hull(rows: Sequence[Row], hull: Hull, system: str) -> None:
    good = [row for row in rows if row["status"] == OK]
    compounds = [row for row in good if "database_formation_energy_per_atom" in row]
    logger.info(f"hull of {system}: {len(compounds)} known phases; on it are {', '.join(hull.stable_formulas)}")
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
