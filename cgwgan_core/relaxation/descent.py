"""One crystal on its way to a minimum of its energy.

The cell is treated by :class:`ase.filters.UnitCellFilter`. The symmetry that spglib finds in the crystal is imposed on
forces, stress and steps (:class:`ase.constraints.FixSymmetry`): gradients of a symmetric crystal have its symmetry
anyway, but rounding in single precision would slowly destroy it. The relaxed crystal hence is the lowest in energy *of
its symmetry*.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixSymmetry
from ase.filters import UnitCellFilter
from ase.optimize import BFGS

from cgwgan_core.crystallography.symmetry import spacegroup_of
from cgwgan_core.potentials.neighbours import Neighbours, neighbours
from cgwgan_core.potentials.orbits import Orbits
from cgwgan_core.potentials.protocol import Potential, voigt
from cgwgan_core.relaxation.kept_neighbours import ACROSS, KeptNeighbours, at_cutoff
from cgwgan_core.workflow.arrays import Floats, Integers
from cgwgan_core.workflow.errors import InputError, first_line
from cgwgan_core.workflow.refusals import OK

SYMPREC_BEFORE = 0.01
"""Å; a candidate is built from exact positions."""
SYMPREC_AFTER = 0.1
"""Å; a crystal relaxed to a largest force of some 0.05 eV/Å is that far, or somewhat less, from its minimum, and
from a higher symmetry that it relaxes towards. The same tolerance that database structures are read with."""
EXACT = 1e-4
"""Å; how far an atom may be from where symmetry has it, to stand for its orbit."""
STALLED = 50
"""Steps after which a relaxation that has come no nearer to a minimum sets off from its best geometry once more,
without what the optimiser has learnt of curvatures; after as many again it is given up, or its best geometry accepted.
Of 41 crystals that reached 0.001 eV/Å, one had paused for longer; 9 more had not reached it after 500 steps."""
NEARER = 1e-4
"""eV/atom; steps that have come down by so much come nearer, even if forces grow."""
MIN_DISTANCE = 0.7
"""Å; shorter distances are a collapse: no bond but that of H2 (0.74 Å) is as short."""
VOLUME_RANGE = (0.5, 2.0)
"""Volume after over volume before; beyond it the crystal has collapsed or fallen apart."""


UNCONVERGED = "not converged"
"""How the status begins of a crystal that is sound but not at a minimum when its steps end."""


@dataclass(frozen=True)
class Relaxation:
    """How a crystal is relaxed, when it has converged, and when it is given up."""

    fmax: float
    """eV/Å; largest force on an atom, and largest gradient of the cell (virial, eV per atom), at convergence."""
    max_steps: int
    """Optimiser steps after which the crystal is refused."""
    keep_symmetry: bool = True
    """Whether the symmetry found at :data:`SYMPREC_BEFORE` is imposed."""
    fmax_accepted: float | None = None
    """eV/Å; enough for a crystal that comes no nearer to ``fmax``. ``None``: nothing is."""
    keep_neighbours: bool = False
    """Whether a crystal that comes no nearer goes on with the neighbours that it has, so that a potential's kink at
    its cutoff does not keep it from their minimum. If its neighbours are others by then, it goes on with these. If
    they lead it back to earlier ones, it lies in the kink. The last minimum is then taken, provided that no pair is
    further than :data:`.kept_neighbours.ACROSS` on the wrong side of the cutoff."""
    max_minutes: float = np.inf
    """Minutes after which the crystal is given up; beside others, its atoms' share of the time counts."""
    max_step: float = 0.2
    """Å; longest step of an atom or an edge of the cell; ASE's own."""

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
    volume_ratio: float
    """Volume after over volume before."""
    spacegroup_before: int
    """International Tables number before, at :data:`SYMPREC_BEFORE`; 0 where none is found."""
    spacegroup: int
    """International Tables number after, at :data:`SYMPREC_AFTER`; 0 where none is found."""
    across: float
    """Å; how far a pair of atoms is across the potential's cutoff at this minimum of kept neighbours; 0 where it is
    one of the potential itself."""
    minutes: float
    """What it took of the potential's time."""

    @classmethod
    def untreated(cls, atoms: Atoms, error: str) -> "Relaxed":
        """A crystal that the potential refuses; its symmetry is not asked for, as it may be no crystal."""
        return cls(bare(atoms), f"failed: {error}", np.nan, 0, np.nan, np.nan, 0, 0, 0.0, 0.0)

    @property
    def ok(self) -> bool:
        """Converged and sound."""
        return self.status == OK

    @property
    def unconverged(self) -> bool:
        """Sound, but not at a minimum; its energy is an upper bound."""
        return self.status.startswith(UNCONVERGED)


@dataclass(frozen=True)
class Point:
    """What the potential says of a geometry."""

    energy: float = np.nan
    """eV/atom."""
    fmax: float = np.nan
    """Largest force on an atom, eV/Å."""
    gradient: float = np.inf
    """Largest of atoms and cell, eV/Å."""


class Progress:
    """The point with the smallest gradient so far, and how long ago a step came nearer to a minimum.

    :param start: geometry that stands for the best until there is one.
    :param step: number of the first step.
    """

    def __init__(self, start: Atoms, step: int) -> None:
        self.best, self.best_atoms = Point(), start
        self._lowest, self._nearer = np.inf, step

    def take(self, point: Point, atoms: Atoms, step: int) -> None:
        """Go on by one point."""
        better, lower = point.gradient < self.best.gradient, point.energy < self._lowest - NEARER
        if better or lower:
            self._nearer = step
        if lower:
            self._lowest = point.energy
        if better:
            self.best, self.best_atoms = point, bare(atoms)

    def stalled(self, step: int) -> bool:
        """Whether :data:`STALLED` steps have come no nearer."""
        return step == self._nearer + STALLED


class Descent:
    """A crystal on its way to its minimum: one step for each evaluation by the potential, until it has a status.

    :param atoms: the crystal, sound for the potential; it is not changed.
    """

    def __init__(self, atoms: Atoms, potential: Potential, how: Relaxation) -> None:
        self.how = how
        self.atoms: Atoms = bare(atoms)
        self.orbits: Integers = np.arange(len(atoms))
        self.status: str | None = None
        """``None`` on the way, then what :class:`Relaxed` says."""
        self._start = bare(atoms)
        self._spacegroup_before = spacegroup_of(self._start, SYMPREC_BEFORE)
        self._cutoff, self._smooth = potential.cutoff, potential.smooth
        self._by_orbit = how.keep_symmetry and potential.by_orbit
        self._point = Point()
        self._steps, self._minutes, self._across = 0, 0.0, 0.0
        self._progress = Progress(self._start, self._steps)
        self._kept: KeptNeighbours | None = None
        self._earlier: Progress | None = None
        """Made before it set off once more."""
        try:
            if how.keep_symmetry:
                symmetry = FixSymmetry(self.atoms, symprec=SYMPREC_BEFORE)
                self.orbits = orbits_of(self.atoms, symmetry)
                self.atoms.set_constraint(symmetry)
            self._set_off()
        except Exception as error:  # noqa: BLE001 - spglib's failures are the crystal's
            self._fail(error)

    @property
    def pairs(self) -> Neighbours | None:
        """The neighbours that count; ``None``: those within the cutoff."""
        return self._kept.pairs if self._kept else None

    def advance(self, energy: float, forces: Floats, stress: Floats, error: str | None) -> None:
        """Take what the potential says of the crystal as it is, and end, or go one step on.

        :param energy: of the cell, eV.
        :param forces: (n, 3) eV/Å, and ``stress``, (3, 3) eV/Å³.
        :param error: why there are none.
        """
        if self.status is not None:
            return
        if error is not None:
            self.status = f"failed: {error}"
            return
        try:
            self._point = self._measure(energy, forces, stress)
            self._progress.take(self._point, self.atoms, self._steps)
            self.status = collapse(self.atoms, self._start)
            if self.status is None:
                self._go_on()
        except MemoryError:
            raise
        except Exception as failure:  # noqa: BLE001 - the optimiser's failures are the crystal's
            self._fail(failure)

    def spend(self, minutes: float) -> None:
        """Count the potential's time, and give the crystal up if that is too long."""
        self._minutes += minutes
        if self.status is None and self._minutes > self.how.max_minutes:
            self.status = f"refused: takes longer than max_minutes ({self.how.max_minutes:g})"

    def result(self) -> Relaxed:
        """Where the crystal has come to, once it has a status."""
        assert self.status is not None
        relaxed = bare(self.atoms)
        sound = bool(np.isfinite(relaxed.positions).all() and np.isfinite(relaxed.cell.array).all())
        if not sound:
            relaxed = self._start.copy()
        relaxed.wrap()
        return Relaxed(
            atoms=relaxed,
            status=self.status,
            energy_per_atom=float(self._point.energy),
            n_steps=self._steps,
            fmax=self._point.fmax,
            volume_ratio=float(relaxed.get_volume() / self._start.get_volume()) if sound else np.nan,
            spacegroup_before=self._spacegroup_before,
            spacegroup=spacegroup_of(relaxed, SYMPREC_AFTER),
            across=self._across,
            minutes=self._minutes,
        )

    def _set_off(self) -> None:
        self._cell = _CellFilter(self.atoms)  # type: ignore[no-untyped-call]  # ASE's
        self._optimiser = BFGS(self._cell, logfile=None, maxstep=self.how.max_step)  # type: ignore[arg-type]  # ASE's filters are optimised too

    def _measure(self, energy: float, forces: Floats, stress: Floats) -> Point:
        self.atoms.calc = SinglePointCalculator(self.atoms, energy=energy, forces=forces, stress=voigt(stress))
        self._cell.kept = None
        gradient = _largest(self._cell.get_forces())
        return Point(energy / len(self.atoms), _largest(self.atoms.get_forces()), gradient)

    def _go_on(self) -> None:
        if self._point.gradient < self.how.fmax:
            self._arrive()
        elif self._steps == self.how.max_steps or self._progress.stalled(self._steps):
            self._give_up()
        else:
            self._optimiser.step()
            self._steps += 1

    def _arrive(self) -> None:
        """End at a minimum, unless it is that of kept pairs which are no longer the neighbours."""
        if self._kept is None:
            self.status = OK
            return
        if self._steps < self.how.max_steps and self._kept.renew(self.atoms):
            self._progress = Progress(self._start, self._steps)
            return
        self._across = self._kept.across(self.atoms)
        if self._across > ACROSS:
            self._refuse(f"neighbours are {self._across:.2g} Å on the other side of the potential's cutoff")
        else:
            self.status = OK

    def _give_up(self) -> None:
        """Go back to the best point, and set off from there once more, with neighbours kept if asked for, or end."""
        best = self._progress.best_atoms
        self.atoms.set_cell(best.cell)
        self.atoms.set_positions(best.positions, apply_constraint=False)
        self._point = self._progress.best
        accepted = self._accepts(self._point)
        keeps = self.how.keep_neighbours and not self._smooth and self._cutoff is not None
        if self._earlier is None and self._steps < self.how.max_steps and (keeps or not accepted):
            self._earlier = self._progress
            self._set_off()
            if keeps and self._cutoff is not None:
                first = Orbits.numbered(self.orbits).first if self._by_orbit else None
                self._kept = KeptNeighbours(self.atoms, self._cutoff, first)
            self._progress = Progress(self._start, self._steps)
        elif accepted:
            self._arrive()
        else:
            self._refuse(f"gradient of atoms and cell {self._point.gradient:.2g} eV/Å")

    def _refuse(self, reason: str) -> None:
        """Refuse the crystal, unless it was near enough to a minimum before neighbours were kept."""
        if self._earlier is not None and self._accepts(self._earlier.best):
            self.atoms, self._point = self._earlier.best_atoms, self._earlier.best
            self.status, self._across = OK, 0.0
            return
        self.status = f"{UNCONVERGED} after {self._steps} steps: {reason}"
        if self._cutoff is not None and at_cutoff(self.atoms, self._cutoff):
            self.status += f"; atoms are {self._cutoff:g} Å apart, where the potential ends and may have a kink"

    def _fail(self, error: Exception) -> None:
        self.status = f"failed: {first_line(error)}"

    def _accepts(self, point: Point) -> bool:
        return self.how.fmax_accepted is not None and point.gradient < self.how.fmax_accepted


class _CellFilter(UnitCellFilter):
    """Keeps its forces until they are dropped."""

    kept: Floats | None = None

    def get_forces(self, *args: Any, **kwargs: Any) -> Floats:
        if self.kept is None:
            self.kept = super().get_forces(*args, **kwargs)  # type: ignore[no-untyped-call]  # ASE's
        return self.kept


def bare(atoms: Atoms) -> Atoms:
    """A copy without calculator, constraints and remarks."""
    copy: Atoms = atoms.copy()
    copy.info, copy.constraints = {}, []
    return copy


def collapse(atoms: Atoms, start: Atoms) -> str | None:
    """How a crystal has collapsed or fallen apart since its start; ``None`` if it has not."""
    change = atoms.get_volume() / start.get_volume()
    if not np.isfinite(change):
        return "failed: the cell is no longer finite"
    if change < VOLUME_RANGE[0]:
        return f"collapsed: volume {change:.2f} of that before"
    if change > VOLUME_RANGE[1]:
        return f"fell apart: volume {change:.2f} of that before"
    close = neighbours(atoms, MIN_DISTANCE).distance
    if len(close):
        return f"collapsed: two atoms are {close.min():.2f} Å apart"
    return None


def orbits_of(atoms: Atoms, symmetry: FixSymmetry) -> Integers:
    """The number of every atom's orbit, (n,); an orbit for each atom where the symmetry is not exact."""
    places = atoms.get_scaled_positions(wrap=False)
    images = np.array(symmetry.symm_map)
    off = places[images] - places @ symmetry.rotations.transpose(0, 2, 1) - symmetry.translations[:, None]
    off -= np.round(off)
    off -= off.mean(axis=1, keepdims=True)  # the translations are good to the tolerance only
    if np.linalg.norm(off @ atoms.cell.array, axis=2).max() > EXACT:
        return np.arange(len(atoms))
    return np.unique(images.min(axis=0), return_inverse=True)[1]


def _largest(vectors: Floats) -> float:
    return float(np.linalg.norm(vectors, axis=1).max())
