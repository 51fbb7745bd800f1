"""Energies at fixed geometry: each crystal from several starts of its spins, of which the lowest counts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from cgwgan_core.crystallography.symmetry import primitive_cell
from cgwgan_core.dft.calculation import Calculation, Outcome
from cgwgan_core.dft.crystals import to_atoms
from cgwgan_core.dft.mesh import is_molecule
from cgwgan_core.dft.spin import FERRO, NONE, SYMPREC, is_magnetic, starts
from cgwgan_core.dft.store import Store
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import InputError, first_line
from cgwgan_core.workflow.logs import progress
from cgwgan_core.workflow.refusals import OK

Row = dict[str, Any]


@dataclass(frozen=True)
class Static:
    """The lowest of a crystal's calculations."""

    calculation: Calculation
    outcome: Outcome
    """Converged, or why none of the starts is."""
    order: str
    """Start that it comes from; without moments at the end, ``NM``."""
    starts: tuple[str, ...]
    """All that were computed."""
    energies: tuple[float | None, ...]
    """eV/atom, of each start."""


def static(atoms: Atoms, store: Store, only: Sequence[tuple[str, Floats]] | None = None) -> Static:
    """Compute a crystal from its starts.

    Where the ferromagnetic start ends without moments, the non-magnetic one is the same and is not computed. Of an
    engine that gives no moments all starts are the same, and one is computed.

    :param only: names and initial moments to start from; ``None``: the store's orders of
        :func:`~cgwgan_core.dft.spin.starts`.
    :raises InputError: if the engine cannot treat the crystal, such as for want of a pseudopotential.
    """
    base = Calculation(atoms, store.engine.name, store.engine.parameters(atoms))
    found: list[tuple[str, Calculation, Outcome]] = []
    collapsed = False
    for name, moments in starts(atoms, store.orders) if only is None else only:
        if name == NONE and collapsed:
            continue
        calculation = base.with_moments(moments)
        outcome = store.run(calculation)
        found.append((name, calculation, outcome))
        if outcome.converged and name == FERRO:
            if outcome.magnetic_moments is None:
                break
            collapsed = not is_magnetic(outcome.magnetic_moments)
    # of equal energies the first: ferromagnetic before all others
    converged = [one for one in found if one[2].converged]
    best = min(converged, key=lambda one: round(float(one[2].energy or 0.0), 6)) if converged else found[0]
    order = best[0] if is_magnetic(best[2].magnetic_moments) else NONE
    energies = tuple(None if o.energy is None else o.energy / len(atoms) for _, _, o in found)
    return Static(best[1], best[2], order, tuple(name for name, _, _ in found), energies)


def static_row(one: Static) -> Row:
    """Columns of ``tables.DFT_STATICS`` that a calculation gives."""
    outcome, n = one.outcome, len(one.calculation.atoms)
    return {
        "n_atoms": n,
        "status": outcome.status,
        "energy_per_atom": None if outcome.energy is None else outcome.energy / n,
        "magnetic_order": one.order if outcome.converged else None,
        "magnetic_moment": outcome.magnetic_moment,
        "starts": list(one.starts),
        "start_energies": list(one.energies),
        "fmax": None if outcome.forces is None else float(np.linalg.norm(outcome.forces, axis=1).max()),
        "remedies": list(outcome.remedies),
        "engine": outcome.version,
        "calculation": one.calculation.key,
    }


def compute_statics(crystals: Sequence[Row], store: Store) -> Iterator[Row]:
    """Statics of the crystals that are asked for, and the reasons of the others.

    :param crystals: rows of ``tables.DFT_CRYSTALS``.
    :yields: rows of ``tables.DFT_STATICS``, in order.
    """
    for crystal in progress(crystals, len(crystals), "crystals computed"):
        row = {key: crystal[key] for key in ("crystal_id", "kind", "formula")}
        if crystal["status"] != OK:
            yield {**row, "n_atoms": len(crystal["numbers"] or ()), "status": f"not computed: {crystal['status']}"}
            continue
        atoms = crystal_atoms(crystal)
        try:
            yield {**row, **static_row(static(atoms, store))}
        except InputError as error:
            yield {**row, "n_atoms": len(atoms), "status": first_line(error)}


def crystal_atoms(row: Row) -> Atoms:
    """What is computed of a row of ``tables.DFT_CRYSTALS``: the standard primitive cell, or a molecule in its box."""
    atoms = to_atoms(row)
    return atoms if is_molecule(atoms) else primitive_cell(atoms, SYMPREC)
