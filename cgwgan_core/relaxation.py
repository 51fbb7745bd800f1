"""Relax the atoms and the cell of a crystal with a potential, keeping its symmetry.

The cell is treated by :class:`ase.filters.UnitCellFilter`. The symmetry that spglib finds in the crystal is
imposed on forces, stress and steps (:class:`ase.constraints.FixSymmetry`): gradients of a symmetric crystal have
its symmetry anyway, but rounding in single precision would slowly destroy it. The relaxed crystal hence is the
lowest in energy *of its symmetry*. Candidates can be relaxed on from there without it, after a small random
displacement of their atoms: where that ends clearly lower, symmetry was a saddle point, and the lower crystal is
what goes on. Distortions that need a larger cell are not seen in this way; phonons tell of them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixSymmetry
from ase.data import atomic_numbers, chemical_symbols
from ase.filters import UnitCellFilter
from ase.optimize import BFGS
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from .crystal import SymmetryError, Templates, asymmetric_unit, atoms_of, spacegroup_of, to_atoms
from .energetics import Hull, formation_energies, reduced_formula, references
from .errors import InputError
from .jobs import logger, progress, seed
from .potentials import Neighbours, Potential, neighbours
from .potentials.protocol import first_atoms, voigt

Floats = NDArray[np.float64]
SYMPREC_BEFORE = 0.01
"""Å; a candidate is built from exact positions."""
SYMPREC_AFTER = 0.1
"""Å; a crystal relaxed to a largest force of some 0.05 eV/Å is that far, or somewhat less, from its minimum, and
from a higher symmetry that it relaxes towards. The same tolerance that database structures are read with."""
MIN_DISTANCE = 0.7
"""Å; shorter distances are a collapse: no bond but that of H2 (0.74 Å) is as short."""
RATTLE = 0.05
"""Å; standard deviation of the displacements before the free relaxation."""
LOWER = 0.002
"""eV/atom; what the free relaxation must gain to count. Converged energies are good to about half of it."""
EXACT = 1e-4
"""Å; how far an atom may be from where symmetry has it, to stand for its orbit."""
STALLED = 50
"""Steps after which a relaxation that has come no nearer to a minimum is given up, or its best geometry accepted. Of
41 crystals that reached 0.001 eV/Å, one had paused for longer; 9 more had not reached it after 500 steps."""
NEARER = 1e-4
"""eV/atom; a step this much lower in energy than all before it comes nearer, even if its forces are larger."""
ACROSS = 0.1
"""Å; how far pairs of atoms that are kept as neighbours, or not, may be on the other side of the cutoff in the end."""
AT_CUTOFF = 0.005
"""Å; how near to the potential's cutoff two atoms are as far apart as it."""
VOLUME_RANGE = (0.5, 2.0)
"""Volume after over volume before; beyond it the crystal has collapsed or fallen apart."""


@dataclass(frozen=True)
class RelaxOptions:
    """When a relaxation has converged, and when it is given up."""

    fmax: float = 0.05
    """eV/Å; largest force on an atom, and largest gradient of the cell (virial, eV per atom), at convergence."""
    max_steps: int = 200
    """Optimiser steps after which the crystal is refused."""
    free: bool = True
    """Whether candidates are relaxed on without symmetry, with as many steps again."""

    def __post_init__(self) -> None:
        if not self.fmax > 0:
            raise InputError(f"fmax: {self.fmax} eV/Å must be positive")
        if self.max_steps < 1:
            raise InputError(f"max_steps: {self.max_steps} must be at least 1")


@dataclass(frozen=True)
class Relaxed:
    """One crystal after relaxation, or where it stopped."""

    atoms: Atoms
    """The last geometry; the crystal as it came where the potential could not treat it at all."""
    status: str
    """``ok`` (converged and sound), or why the crystal is refused."""
    energy_per_atom: float
    """eV/atom by the potential, uncorrected; NaN where there is none."""
    n_steps: int
    """Optimiser steps taken."""
    fmax: float
    """Largest force on an atom at the end, eV/Å; NaN where there is none."""
    volume_change: float
    """Volume after over volume before."""
    spacegroup_before: int
    """International Tables number before, at :data:`SYMPREC_BEFORE`; 0 where none is found."""
    spacegroup: int
    """International Tables number after, at :data:`SYMPREC_AFTER`; 0 where none is found."""
    across: float = 0.0
    """Å; how far a pair of atoms is across the potential's cutoff at this minimum of kept neighbours; 0 where it is
    one of the potential itself."""
    minutes: float = 0.0
    """What it took of the potential's time."""

    @property
    def ok(self) -> bool:
        """Converged and sound."""
        return self.status == "ok"


def relax(
    atoms: Atoms,
    potential: Potential,
    options: RelaxOptions,
    keep_symmetry: bool = True,
    accepted: float | None = None,
    keep_pairs: bool = False,
    max_minutes: float = np.inf,
) -> Relaxed:
    """Relax positions and cell. Never raises for what a crystal does: its status tells.

    :param keep_symmetry: impose the symmetry found at :data:`SYMPREC_BEFORE`.
    :param accepted: eV/Å; enough for a crystal that comes no nearer to ``options.fmax``.
    :param keep_pairs: where a crystal comes no nearer, keep the neighbours that it has until the minimum that they have
        is reached, so that a potential's kink at its cutoff does not keep the crystal from it. If its neighbours are
        others by then, it goes on with these; if they lead it back to earlier ones, it lies in the kink, and the last
        minimum is taken, provided that no pair is further than :data:`ACROSS` on the wrong side of the cutoff.
    :param max_minutes: minutes after which the crystal is given up; beside others, its atoms' share of the time counts.
    """
    ((_, relaxed),) = relax_together([atoms], potential, options, keep_symmetry, accepted, keep_pairs, max_minutes)
    return relaxed


def relax_together(
    crystals: Sequence[Atoms],
    potential: Potential,
    options: RelaxOptions,
    keep_symmetry: bool = True,
    accepted: float | None = None,
    keep_pairs: bool = False,
    max_minutes: float = np.inf,
) -> Iterator[tuple[int, Relaxed]]:
    """Relax many crystals side by side: each as by :func:`relax`, the potential evaluates them in batches.

    :yields: place of a crystal and what became of it, in the order in which they finish.
    """
    going: list[tuple[int, _Moving]] = []
    # spglib and moyo may crash, not raise, on what is no crystal: the potential refuses that first
    for i, error in enumerate(potential.evaluate(crystals).errors):
        if error is None:
            going.append((i, _Moving(crystals[i], options, keep_symmetry, potential, accepted, keep_pairs)))
        else:
            start = _bare(crystals[i])
            yield i, Relaxed(start, f"failed: {error}", np.nan, 0, np.nan, np.nan, 0, 0)
    threads = ThreadpoolController()
    going.sort(key=lambda pair: len(pair[1].atoms))  # crystals of one size fill a batch best
    while going:
        start, atoms_in_all = time.monotonic(), sum(len(moving.atoms) for _, moving in going)
        found = potential.evaluate(
            [moving.atoms for _, moving in going],
            forces=True,
            stress=True,
            orbits=[moving.orbits for _, moving in going] if keep_symmetry else None,
            pairs=[moving.pairs for _, moving in going],
        )
        minutes = (time.monotonic() - start) / 60
        assert found.forces is not None
        assert found.stresses is not None
        # matrices of the cell are 3 x 3: with several BLAS threads each takes milliseconds, not microseconds
        with threads.limit(limits=1, user_api="blas"):
            for row, (i, moving) in enumerate(going):
                moving.advance(found.energies[row], found.forces[row], found.stresses[row], found.errors[row])
                moving.minutes += minutes * len(moving.atoms) / atoms_in_all
                if not moving.status and moving.minutes > max_minutes:
                    moving.status = f"refused: takes longer than max_minutes ({max_minutes:g})"
                if moving.status:
                    yield i, moving.result()
        going = [pair for pair in going if not pair[1].status]


def _bare(atoms: Atoms) -> Atoms:
    """A copy without calculator, constraints and remarks."""
    copy = atoms.copy()
    copy.info, copy.constraints = {}, []
    return copy


class _CellFilter(UnitCellFilter):
    """Keeps its forces until they are dropped."""

    kept: Floats | None = None

    def get_forces(self, *args: Any, **kwargs: Any) -> Floats:
        if self.kept is None:
            self.kept = super().get_forces(*args, **kwargs)
        return self.kept


class _Moving:
    """A crystal on its way to its minimum. Its status is empty until it ends."""

    def __init__(
        self,
        atoms: Atoms,
        options: RelaxOptions,
        keep_symmetry: bool,
        potential: Potential,
        accepted: float | None = None,
        keep_pairs: bool = False,
    ) -> None:
        self.start, self.options, self.cutoff, self.accepted = _bare(atoms), options, potential.cutoff, accepted
        self.atoms = self.start.copy()
        self.orbits, self.by_orbit = np.arange(len(atoms)), keep_symmetry and potential.by_orbit
        self.keep_pairs = keep_pairs and self.cutoff is not None
        self.pairs: Neighbours | None = None
        self.before: _Point | None = None
        self.earlier: set[frozenset[tuple[int, ...]]] = set()
        self.status, self.steps, self.energy, self.fmax, self.across = "", 0, np.nan, np.nan, 0.0
        self.minutes = 0.0
        self.lowest, self.best, self.nearer = np.inf, _Point(np.inf, self.start, np.nan, np.nan), 0
        self.spacegroup_before = spacegroup_of(self.start, SYMPREC_BEFORE)
        try:
            if keep_symmetry:
                symmetry = FixSymmetry(self.atoms, symprec=SYMPREC_BEFORE)
                self.orbits = orbits_of(self.atoms, symmetry)
                self.atoms.set_constraint(symmetry)
            self._set_off()
        except Exception as error:
            self._failed(error)

    def _set_off(self) -> None:
        self.cell = _CellFilter(self.atoms)
        self.optimiser = BFGS(self.cell, logfile=None)

    def advance(self, energy: float, forces: Floats, stress: Floats, error: str | None) -> None:
        """Take what the potential says of the crystal as it is, and end, or go one step on.

        :param energy: of the cell, eV.
        :param forces: (n, 3) eV/Å, and ``stress``, (3, 3) eV/Å³.
        :param error: why there are none.
        """
        if self.status:
            return
        if error is not None:
            self.status = f"failed: {error}"
            return
        try:
            self.atoms.calc = SinglePointCalculator(self.atoms, energy=energy, forces=forces, stress=voigt(stress))
            self.cell.kept = None
            gradient = float(np.linalg.norm(self.cell.get_forces(), axis=1).max())
            self.energy = energy / len(self.atoms)
            self.fmax = float(np.linalg.norm(self.atoms.get_forces(), axis=1).max())
            if gradient < self.best.gradient or self.energy < self.lowest - NEARER:
                self.nearer = self.steps
            self.lowest = min(self.lowest, self.energy)
            if gradient < self.best.gradient:
                self.best = _Point(gradient, _bare(self.atoms), self.energy, self.fmax)
            if trouble := _trouble(self.atoms, self.start):
                self.status = trouble
            elif gradient < self.options.fmax:
                self._arrived()
            elif self.steps == self.options.max_steps or self.steps == self.nearer + STALLED:
                self._give_up()
            else:
                self.optimiser.step()
                self.steps += 1
        except MemoryError:
            raise
        except Exception as failure:  # optimiser and symmetry finder fail in their own ways; none may end a shard
            self._failed(failure)

    def _neighbours(self) -> Neighbours:
        assert self.cutoff is not None
        return neighbours(self.atoms, self.cutoff, first_atoms(self.orbits) if self.by_orbit else None)

    def _keep(self, pairs: Neighbours) -> None:
        """Go on with these neighbours: an energy of its own, with other minima."""
        self.pairs = pairs
        self.lowest, self.best, self.nearer = np.inf, _Point(np.inf, self.start, np.nan, np.nan), self.steps

    def _arrived(self) -> None:
        """End at a minimum, unless it is that of pairs which are no longer the neighbours."""
        self.status = "ok"
        if self.pairs is None:
            return
        self.earlier.add(self.pairs.names())
        now = self._neighbours()
        if now.names() not in self.earlier and self.steps < self.options.max_steps:
            self.status = ""
            self._keep(now)
            return
        self.across = _across(self.pairs.moved(self.atoms), now, self.cutoff)
        if self.across > ACROSS:
            self._refuse(f"neighbours are {self.across:.2g} Å on the other side of the potential's cutoff")

    def _give_up(self) -> None:
        _, atoms, self.energy, self.fmax = best = self.best
        self.atoms.set_cell(atoms.cell)
        self.atoms.set_positions(atoms.positions, apply_constraint=False)
        if self.keep_pairs and self.pairs is None and self.steps < self.options.max_steps:
            self.before = best
            self._set_off()
            self._keep(self._neighbours())
        elif self.accepted is not None and best.gradient < self.accepted:
            self._arrived()
        else:
            self._refuse(f"gradient of atoms and cell {best.gradient:.2g} eV/Å")

    def _refuse(self, reason: str) -> None:
        """Refuse the crystal, unless it was near enough to a minimum before neighbours were kept."""
        if self.before is not None and self.accepted is not None and self.before.gradient < self.accepted:
            _, self.atoms, self.energy, self.fmax = self.before
            self.status, self.across = "ok", 0.0
            return
        self.status = f"not converged after {self.steps} steps: {reason}"
        if self.cutoff is not None and at_cutoff(self.atoms, self.cutoff):
            self.status += f"; atoms are {self.cutoff:g} Å apart, where the potential ends and may have a kink"

    def _failed(self, error: Exception) -> None:
        self.status = f"failed: {error}".splitlines()[0]

    def result(self) -> Relaxed:
        """Where it has come to."""
        relaxed = _bare(self.atoms)
        relaxed.calc = None
        sound = bool(np.isfinite(relaxed.positions).all() and np.isfinite(relaxed.cell.array).all())
        if not sound:
            relaxed = self.start.copy()
        relaxed.wrap()
        return Relaxed(
            atoms=relaxed,
            status=self.status,
            energy_per_atom=float(self.energy),
            n_steps=self.steps,
            fmax=self.fmax,
            volume_change=float(relaxed.get_volume() / self.start.get_volume()) if sound else np.nan,
            spacegroup_before=self.spacegroup_before,
            spacegroup=spacegroup_of(relaxed, SYMPREC_AFTER),
            across=self.across,
            minutes=self.minutes,
        )


class _Point(NamedTuple):
    """The point of a relaxation with the smallest gradient so far."""

    gradient: float
    """eV/Å, of atoms and cell."""
    atoms: Atoms
    energy: float
    """eV/atom."""
    fmax: float
    """eV/Å."""


def orbits_of(atoms: Atoms, symmetry: FixSymmetry) -> NDArray[np.int64]:
    """The number of every atom's orbit, (n,); an orbit for each atom where the symmetry is not exact."""
    places = atoms.get_scaled_positions(wrap=False)
    images = np.array(symmetry.symm_map)
    off = places[images] - places @ symmetry.rotations.transpose(0, 2, 1) - symmetry.translations[:, None]
    off -= np.round(off)
    off -= off.mean(axis=1, keepdims=True)  # the translations are good to the tolerance only
    if np.linalg.norm(off @ atoms.cell.array, axis=2).max() > EXACT:
        return np.arange(len(atoms))
    return np.unique(images.min(axis=0), return_inverse=True)[1]


def rattled(relaxed: Relaxed, name: str) -> Atoms:
    """A crystal after small random displacements of its atoms, from which to relax without symmetry.

    :param relaxed: the crystal, converged in its symmetry.
    :param name: what the displacements follow from, so that they are the same everywhere.
    """
    atoms = relaxed.atoms.copy()
    atoms.rattle(RATTLE, seed=seed(0, "rattle", name) % 2**32)
    return atoms


def settled(free: Relaxed, potential: Potential, options: RelaxOptions) -> Relaxed:
    """A freely relaxed crystal once more, put exactly into the symmetry that it has come close to.

    What relaxed without symmetry has it within some 0.01 Å only. If the exact crystal is higher in energy by more than
    :data:`LOWER`, the symmetry was an illusion of the tolerance, and the crystal is returned as it is.
    """
    atoms = free.atoms
    try:
        unit = asymmetric_unit(atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers.tolist(), SYMPREC_AFTER)
    except SymmetryError:
        return free
    exact = to_atoms(unit.template, 0, [chemical_symbols[z] for z in unit.numbers])
    again = relax(exact, potential, options)
    return again if again.ok and again.energy_per_atom < free.energy_per_atom + LOWER else free


def at_cutoff(atoms: Atoms, cutoff: float) -> bool:
    """Whether two atoms are as far apart as a potential reaches.

    M3GNet-MP-2021.2.8 has a kink there: a crystal may slide into it and have no minimum, as in a groove whose walls
    are planes.
    """
    distances = neighbours(atoms, cutoff + 0.1).distance
    return bool(len(distances) and np.abs(distances - cutoff).min() < AT_CUTOFF)


def _across(kept: Neighbours, now: Neighbours, cutoff: float) -> float:
    """How far, in Å, a pair is beyond the cutoff that is kept, or within it that is not."""
    within, names = kept.names(), now.names()
    gone = [r for name, r in zip(kept.each(), kept.distance, strict=True) if name not in names]
    come = [r for name, r in zip(now.each(), now.distance, strict=True) if name not in within]
    return max((abs(r - cutoff) for r in gone + come), default=0.0)


def _trouble(moving: Atoms, start: Atoms) -> str | None:
    change = moving.get_volume() / start.get_volume()
    if not np.isfinite(change):
        return "failed: the cell is no longer finite"
    if change < VOLUME_RANGE[0]:
        return f"collapsed: volume {change:.2f} of that before"
    if change > VOLUME_RANGE[1]:
        return f"fell apart: volume {change:.2f} of that before"
    close = neighbours(moving, MIN_DISTANCE).distance
    if len(close):
        return f"collapsed: two atoms are {close.min():.2f} Å apart"
    return None


# ------------------------------------------------------------------------------------------- the shortlist


def relax_candidates(
    ranked: pa.Table, templates: pa.Table, potential: Potential, hull: Hull, options: RelaxOptions
) -> Iterator[dict[str, Any]]:
    """Relax candidates, all of them side by side: first in their symmetry, then without.

    :param ranked: rows of ``tables.RANKED``.
    :param templates: ``tables.TEMPLATES``, with at least the templates of these rows.
    :param hull: of the known phases, computed with the same potential.
    :yields: rows of ``tables.RELAXED``, one for every row of ``ranked`` and in its order.
    """
    place = {name: i for i, name in enumerate(templates["template_id"].to_pylist())}
    geometry = Templates.from_table(templates)
    rows = ranked.to_pylist()
    atoms = {
        i: to_atoms(geometry, place[row["template_id"]], row["elements"], row["volume_scale"])
        for i, row in enumerate(rows)
        if row["template_id"] in place
    }
    symmetric = _all(atoms, potential, options, "crystals relaxed in their symmetry")
    free: dict[int, Relaxed] = {}
    if options.free:
        start = {i: rattled(r, rows[i]["candidate_id"]) for i, r in symmetric.items() if r.ok}
        free = _all(start, potential, options, "crystals relaxed on without it", keep_symmetry=False)
    for i, row in enumerate(rows):
        keys = {key: row[key] for key in ("candidate_id", "template_id", "formula", "charge_balanced", "rank")}
        if i not in atoms:
            yield {**keys, "status": f"failed: no template {row['template_id']} among the templates"}
            continue
        first = relaxed = symmetric[i]
        other = free.get(i)
        steps, change = first.n_steps + (other.n_steps if other else 0), first.volume_change
        if other and other.ok and other.energy_per_atom < first.energy_per_atom - LOWER:
            relaxed = settled(other, potential, options)
            steps += relaxed.n_steps if relaxed is not other else 0
            # the cell may have become a smaller one
            volumes = [a.get_volume() / len(a) for a in (relaxed.atoms, atoms[i])]
            change = volumes[0] / volumes[1]
        yield {
            **keys,
            **structure_columns(relaxed.atoms),
            **_energies(relaxed, potential, hull),
            "n_steps": steps,
            "fmax": _finite(relaxed.fmax),
            "volume_change": _finite(change),
            "spacegroup_before": first.spacegroup_before,
            "spacegroup": relaxed.spacegroup,
            "symmetric_energy_per_atom": _finite(first.energy_per_atom),
            "symmetric_spacegroup": first.spacegroup,
            "free_energy_per_atom": other.energy_per_atom if other and other.ok else None,
            "free_spacegroup": other.spacegroup if other and other.ok else None,
            "freed": relaxed is not first,
            "status": first.status,
        }


def _all(
    crystals: Mapping[int, Atoms], potential: Potential, options: RelaxOptions, what: str, keep_symmetry: bool = True
) -> dict[int, Relaxed]:
    names = list(crystals)
    found = relax_together(list(crystals.values()), potential, options, keep_symmetry)
    return {names[i]: relaxed for i, relaxed in progress(found, len(names), what)}


# ----------------------------------------------------------------------------------------- the known phases


@dataclass(frozen=True)
class KnownPhasesOptions:
    """Which structures of the database make the hull, and how they are relaxed."""

    fmax: float = 0.05
    """eV/Å; as in :class:`RelaxOptions`."""
    max_steps: int = 300
    """Optimiser steps; a phase that needs more goes into the hull as it then is."""
    max_atoms: int = 100
    """Atoms in the cell of the database; larger structures are left out."""

    def __post_init__(self) -> None:
        RelaxOptions(self.fmax, self.max_steps)
        if self.max_atoms < 1:
            raise InputError(f"max_atoms: {self.max_atoms} must be at least 1")


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
) -> list[dict[str, Any]]:
    """Relax the known phases of a chemistry and place them on their own hull.

    Every polymorph is kept. Elements are rows of their own, ``element-Ba``, at their reference energies; the
    database's elemental structures are kept as they are, without an energy (see :mod:`cgwgan_core.energetics`). A
    phase that did not converge still counts: its energy is an upper bound, and without it candidates would look
    better than they are.

    :param structures: rows of ``tables.STRUCTURES``, of this chemistry (:func:`within`).
    :returns: rows of ``tables.KNOWN_PHASES``: elements first, then phases in order of the database.
    """
    system, energy_of = "-".join(chemistry), references(potential.energy_scale)
    if missing := sorted(set(chemistry) - set(energy_of)):
        raise InputError(f"chemistry: no reference energy for {', '.join(missing)} with {potential.name}")
    rows = [
        {
            "material_id": f"element-{symbol}",
            "formula": symbol,
            "energy_per_atom": energy_of[symbol],
            "formation_energy_per_atom": 0.0,
            "status": "ok",
        }
        for symbol in sorted(chemistry)
    ]
    records = structures.to_pylist()
    phases = {i: atoms_of(record) for i, record in enumerate(records)}
    some = {i: atoms for i, atoms in phases.items() if len(set(atoms.numbers)) > 1 and len(atoms) <= options.max_atoms}
    done = _all(some, potential, RelaxOptions(options.fmax, options.max_steps), "known phases relaxed")
    unfinished = 0
    for i, record in enumerate(records):
        atoms = phases[i]
        row = {
            "material_id": record["material_id"],
            "formula": reduced_formula(atoms),
            "database_formation_energy_per_atom": record["formation_energy_per_atom"],
        }
        if len(set(record["numbers"])) == 1:
            rows.append(row | structure_columns(atoms) | {"status": "an element: its reference energy is used"})
            continue
        if len(atoms) > options.max_atoms:
            status = f"{len(atoms)} atoms, more than {options.max_atoms}"
            rows.append(row | structure_columns(atoms) | {"status": status})
            continue
        relaxed = done[i]
        usable = relaxed.ok or relaxed.status.startswith("not converged")
        unfinished += usable and not relaxed.ok
        rows.append(
            row
            | structure_columns(relaxed.atoms)
            | _energies(relaxed, potential)
            | {"status": "ok" if usable else relaxed.status}
        )
    good = [row for row in rows if row["status"] == "ok"]
    hull = Hull((row["formula"], row["formation_energy_per_atom"]) for row in good)
    for row in good:
        above = row["formation_energy_per_atom"] - hull.energy_per_atom(row["formula"])
        row["energy_above_hull"] = max(above, 0.0)  # rounding
    _tell(rows, good, hull, system, len(chemistry), unfinished)
    return rows


def _tell(
    rows: list[dict[str, Any]],
    good: list[dict[str, Any]],
    hull: Hull,
    system: str,
    n_elements: int,
    unfinished: int,
) -> None:
    n = len(good) - n_elements
    logger.info(f"hull of {system}: {n} known phases; on it are {', '.join(hull.stable_formulas)}")
    if left := len(rows) - len(good):
        logger.info(f"{left} structures are left out of the hull; their status says why")
    if unfinished:
        logger.info(f"{unfinished} phases did not converge; their energies are upper bounds")
    if not n:
        logger.warning(
            f"warning: the database has no compound of {system}. The hull is that of the elements alone, so energy "
            "above hull is the formation energy and does not tell whether a candidate falls apart into known "
            "compounds. A database that has them (data.source) makes the ranking meaningful"
        )
    known = [r for r in good if r.get("database_formation_energy_per_atom") is not None]
    if known:
        off = [abs(r["formation_energy_per_atom"] - r["database_formation_energy_per_atom"]) for r in known]
        mean = np.mean(off)
        logger.info(
            f"formation energies differ from the database's by {mean:.3f} eV/atom on average ({len(off)} phases)"
        )


def structure_columns(atoms: Atoms) -> dict[str, Any]:
    """The columns ``lattice``, ``numbers`` and ``frac_coords`` of a crystal."""
    return {
        "lattice": atoms.cell.array.ravel().tolist(),
        "numbers": atoms.numbers.tolist(),
        "frac_coords": atoms.get_scaled_positions().ravel().tolist(),
    }


def _energies(relaxed: Relaxed, potential: Potential, hull: Hull | None = None) -> dict[str, float | None]:
    (formation,) = formation_energies([relaxed.atoms], [relaxed.energy_per_atom], potential.energy_scale)
    row = {
        "energy_per_atom": _finite(relaxed.energy_per_atom),
        "formation_energy_per_atom": _finite(formation),
    }
    if hull is not None:
        (above,) = hull.energy_above_hull([reduced_formula(relaxed.atoms)], [formation])
        row["energy_above_hull"] = _finite(above)
    return row


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
