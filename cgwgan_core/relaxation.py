"""Relax the atoms and the cell of a crystal with a potential, keeping its symmetry.

The cell is treated by :class:`ase.filters.FrechetCellFilter`. The symmetry that spglib finds in the crystal is
imposed on forces, stress and steps (:class:`ase.constraints.FixSymmetry`): gradients of a symmetric crystal have
its symmetry anyway, but rounding in single precision would slowly destroy it. The relaxed crystal hence is the
lowest in energy *of its symmetry*; whether it is stable against losing it is what phonons tell.
"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculatorError
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from .crystal import spacegroup_of
from .errors import InputError
from .potentials import Potential, neighbours

SYMPREC_BEFORE = 0.01
"""Å; a candidate is built from exact positions."""
SYMPREC_AFTER = 0.1
"""Å; a crystal relaxed to a largest force of some 0.05 eV/Å is that far, or somewhat less, from its minimum, and
from a higher symmetry that it relaxes towards. The same tolerance that database structures are read with."""
MIN_DISTANCE = 0.7
"""Å; shorter distances are a collapse: no bond but that of H2 (0.74 Å) is as short."""
VOLUME_RANGE = (0.5, 2.0)
"""Volume after over volume before; beyond it the crystal has collapsed or fallen apart."""


@dataclass(frozen=True)
class RelaxOptions:
    """When a relaxation has converged, and when it is given up."""

    fmax: float = 0.05
    """eV/Å; largest force on an atom, and largest gradient of the cell (virial, eV per atom), at convergence."""
    max_steps: int = 150
    """Optimiser steps after which the crystal is refused."""

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

    @property
    def ok(self) -> bool:
        """Converged and sound."""
        return self.status == "ok"


def relax(
    atoms: Atoms, potential: Potential, options: RelaxOptions, keep_symmetry: bool = True
) -> Relaxed:
    """Relax positions and cell. Never raises for what a crystal does: its status tells.

    :param keep_symmetry: impose the symmetry found at :data:`SYMPREC_BEFORE`.
    """
    start = atoms.copy()
    start.info, start.constraints = {}, []
    moving = start.copy()
    moving.calc = potential.calculator()
    before = spacegroup_of(start, SYMPREC_BEFORE)
    status, steps = "not converged", 0
    try:
        if keep_symmetry:
            moving.set_constraint(FixSymmetry(moving, symprec=SYMPREC_BEFORE))
        optimiser = FIRE(FrechetCellFilter(moving), logfile=None)
        for converged in optimiser.irun(fmax=options.fmax, steps=options.max_steps):
            steps = optimiser.nsteps
            if trouble := _trouble(moving, start):
                status = trouble
                break
            if converged:
                status = "ok"
        energy = moving.get_potential_energy() / len(moving)
        # of the forces as the potential has them: constrained ones hide nothing here but rounding
        fmax = float(np.linalg.norm(moving.get_forces(apply_constraint=False), axis=1).max())
    except (CalculatorError, ArithmeticError, ValueError, RuntimeError, np.linalg.LinAlgError) as error:
        status = f"failed: {error}".splitlines()[0]
        energy, fmax = np.nan, np.nan
    if status == "not converged":
        status = f"not converged: largest force {fmax:.2g} eV/Å after {steps} steps"
    relaxed = moving.copy()
    relaxed.constraints = []
    sound = bool(np.isfinite(relaxed.positions).all() and np.isfinite(relaxed.cell.array).all())
    if not sound:
        relaxed = start.copy()
    relaxed.wrap()
    return Relaxed(
        atoms=relaxed,
        status=status,
        energy_per_atom=float(energy),
        n_steps=steps,
        fmax=fmax,
        volume_change=float(relaxed.get_volume() / start.get_volume()) if sound else np.nan,
        spacegroup_before=before,
        spacegroup=spacegroup_of(relaxed, SYMPREC_AFTER),
    )


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
