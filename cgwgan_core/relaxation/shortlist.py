"""The shortlist, relaxed: first in its symmetry, then without.

A crystal relaxed in its symmetry is the lowest in energy of that symmetry only. It is relaxed on from there without
it, after a small random displacement of its atoms: where that ends clearly lower, symmetry was a saddle point, and the
lower crystal is what goes on. Distortions that need a larger cell are not seen in this way; phonons tell of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from ase import Atoms
from ase.data import chemical_symbols

from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit
from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.crystallography.symmetry import SymmetryError
from cgwgan_core.crystallography.templates import to_atoms
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.columns import energy_columns, or_null
from cgwgan_core.relaxation.descent import SYMPREC_AFTER, Relaxation, Relaxed
from cgwgan_core.relaxation.relax import relax, relax_each
from cgwgan_core.screening.candidates import TemplateLookup
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.seeds import derive_seed

RATTLE = 0.05
"""Å; standard deviation of the displacements before the relaxation without symmetry."""
LOWER = 0.002
"""eV/atom; what that relaxation must gain to count. Converged energies are good to about half of it."""


@dataclass(frozen=True)
class RelaxOptions:
    """How the shortlist is relaxed; keys of the config block ``relax``."""

    fmax: float = 0.05
    """As in :class:`Relaxation`."""
    max_steps: int = 200
    """As in :class:`Relaxation`."""
    unconstrained: bool = True
    """Whether candidates are relaxed on without symmetry, with as many steps again."""

    def __post_init__(self) -> None:
        self.relaxation(keep_symmetry=True)  # checks its own

    def relaxation(self, keep_symmetry: bool) -> Relaxation:
        """One relaxation of a candidate.

        :raises InputError: if there is none with these options.
        """
        return Relaxation(self.fmax, self.max_steps, keep_symmetry)


def candidates_of_shard(ranked: pa.Table, shard: int, shards: int) -> pa.Table:
    """The rows that one shard relaxes: every ``shards``-th of the shortlist, the known phases left out.

    :param ranked: a table of ``tables.RANKED``.
    """
    return tables.dealt_to(ranked.filter(ranked["known_match"].is_null()), shard, shards)


def relax_candidates(
    ranked: pa.Table, templates: pa.Table, potential: Potential, hull: Hull, options: RelaxOptions
) -> Iterator[dict[str, Any]]:
    """Relax candidates, all of them side by side: first in their symmetry, then without.

    :param ranked: rows of ``tables.RANKED``.
    :param templates: ``tables.TEMPLATES``, with at least the templates of these rows.
    :param hull: of the known phases, computed with the same potential.
    :yields: rows of ``tables.RELAXED``, one for every row of ``ranked`` and in its order.
    """
    lookup = TemplateLookup(templates)
    rows = ranked.to_pylist()
    start = {i: lookup.atoms(row) for i, row in enumerate(rows) if row["template_id"] in lookup}
    within = options.relaxation(keep_symmetry=True)
    constrained = relax_each(start, potential, within, "crystals relaxed in their symmetry")
    unconstrained: dict[int, Relaxed] = {}
    if options.unconstrained:
        shaken = {i: rattled(done, rows[i]["candidate_id"]) for i, done in constrained.items() if done.ok}
        without = options.relaxation(keep_symmetry=False)
        unconstrained = relax_each(shaken, potential, without, "crystals relaxed on without symmetry")
    for i, row in enumerate(rows):
        keys = {key: row[key] for key in ("candidate_id", "template_id", "formula", "charge_balanced", "rank")}
        if i not in start:
            yield {**keys, "status": f"failed: no template {row['template_id']} among the templates"}
            continue
        first, second = constrained[i], unconstrained.get(i)
        last = second if second and second.ok and second.energy_per_atom < first.energy_per_atom - LOWER else None
        if last:
            last = settled(last, potential, within)
        yield {**keys, **_columns(start[i], first, second, last, potential, hull)}


def rattled(relaxed: Relaxed, name: str) -> Atoms:
    """A crystal after small random displacements of its atoms, from which to relax without symmetry.

    :param relaxed: the crystal, converged in its symmetry.
    :param name: what the displacements follow from, so that they are the same everywhere.
    """
    atoms: Atoms = relaxed.atoms.copy()
    atoms.rattle(RATTLE, seed=derive_seed(0, "rattle", name) % 2**32)
    return atoms


def settled(unconstrained: Relaxed, potential: Potential, within: Relaxation) -> Relaxed:
    """A crystal relaxed without symmetry once more, put exactly into the symmetry that it has come close to.

    What relaxed without symmetry has it within some 0.01 Å only. If the exact crystal is higher in energy by more than
    :data:`LOWER`, the symmetry was an illusion of the tolerance, and the crystal is returned as it is.

    :param within: how it is relaxed in that symmetry.
    """
    atoms = unconstrained.atoms
    try:
        unit = asymmetric_unit(atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers.tolist(), SYMPREC_AFTER)
    except SymmetryError:
        return unconstrained
    exact = to_atoms(unit.template, 0, [chemical_symbols[z] for z in unit.numbers])
    again = relax(exact, potential, within)
    return again if again.ok and again.energy_per_atom < unconstrained.energy_per_atom + LOWER else unconstrained


def _columns(
    start: Atoms, first: Relaxed, second: Relaxed | None, last: Relaxed | None, potential: Potential, hull: Hull
) -> dict[str, Any]:
    """Columns of ``tables.RELAXED``.

    :param start: the candidate.
    :param first: relaxed in its symmetry, and ``second``, on without it where that was done.
    :param last: where symmetry was a saddle point, the lower crystal.
    """
    relaxed, converged = last or first, second if second and second.ok else None
    others = [second] if second else []
    if last and last is not second:
        others.append(last)
    energies = energy_columns(relaxed, potential.energy_scale)
    formation = energies["formation_energy_per_atom"]
    ground = hull.energy_per_atom(formula_of_atoms(relaxed.atoms))
    return {
        **atoms_to_row(relaxed.atoms),
        **energies,
        "energy_above_hull": None if formation is None else formation - ground,
        "n_steps": first.n_steps + sum(other.n_steps for other in others),
        "fmax": or_null(relaxed.fmax),
        "volume_ratio": or_null(first.volume_ratio if last is None else _volume_ratio(last.atoms, start)),
        "spacegroup_before": first.spacegroup_before,
        "spacegroup": relaxed.spacegroup,
        "constrained_energy_per_atom": or_null(first.energy_per_atom),
        "constrained_spacegroup": first.spacegroup,
        "unconstrained_energy_per_atom": converged.energy_per_atom if converged else None,
        "unconstrained_spacegroup": converged.spacegroup if converged else None,
        "symmetry_broken": last is not None,
        "status": first.status,
    }


def _volume_ratio(after: Atoms, before: Atoms) -> float:
    """Of volumes per atom, as the cell may have become a smaller one."""
    volumes = [atoms.get_volume() / len(atoms) for atoms in (after, before)]
    return float(volumes[0] / volumes[1])
