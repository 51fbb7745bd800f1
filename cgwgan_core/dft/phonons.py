"""Phonons of a crystal by DFT, the cheapest question first: one calculation for each displacement.

Γ of the primitive cell needs no supercell, each point of the zone's boundary one of two cells. A crystal that is
unstable there needs no larger one.

Judged are the q-points that fit a supercell that was computed: their frequencies are the engine's own, whatever the
range of its forces. What lies between them would be interpolated, and is not asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

from cgwgan_core.dft.calculation import CONVERGED, Outcome
from cgwgan_core.dft.descent import Evaluate
from cgwgan_core.dft.store import WAITING
from cgwgan_core.phonons.branches import at_gamma, modes
from cgwgan_core.phonons.commensurate import commensurate_supercell, rational_points
from cgwgan_core.phonons.force_constants import Supercell, displaced, displaced_cells, set_forces, to_ase
from cgwgan_core.phonons.phonons import VERDICTS, PhononOptions
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import first_line

STABLE, _, UNSTABLE = VERDICTS
REFUSED = "refused"
"""How the status begins of what is too large."""


@dataclass(frozen=True)
class DFTPhonons:
    """What DFT says of a crystal's phonons."""

    status: str
    """:data:`.CONVERGED`, or why there are none."""
    verdict: str | None = None
    """One of :data:`.phonons.VERDICTS`, of the lowest frequency."""
    min_frequency: float | None = None
    """THz, negative if imaginary; the lowest at the q-points that fit, the acoustic modes at Γ left out. ``None``, too,
    where there is no other mode: of one atom in its primitive cell."""
    q: tuple[float, float, float] | None = None
    """Its q-point, reduced coordinates."""
    supercell: tuple[int, ...] = ()
    """The vectors of the supercell in the basis of the primitive cell, row by row [9]."""
    n_displacements: int = 0
    """Displaced supercells that were computed, in all supercells."""
    phonon: Phonopy | None = None
    """The force constants that the verdict rests on."""

    def row(self) -> dict[str, Any]:
        """As a table has it."""
        return {
            "status": self.status,
            "verdict": self.verdict,
            "min_frequency": self.min_frequency,
            "q": None if self.q is None else list(self.q),
            "supercell": list(self.supercell) or None,
            "n_displacements": self.n_displacements,
        }


def phonons_by_dft(evaluate: Evaluate, atoms: Atoms, options: PhononOptions, most_displacements: int) -> DFTPhonons:
    """Phonons of a relaxed crystal: as of :func:`gamma_first`, then in the whole supercell if it is not unstable yet.

    :param evaluate: gives the forces of a supercell, at parameters of its own: mesh by density.
    :param atoms: idealised primitive cell at rest, with its magnetic moments as start.
    :param options: of them count the displacement, the repeats, the most atoms and the thresholds of the verdicts.
    :param most_displacements: supercells that need more are refused.
    :returns: whatever fails is told in the status.
    """
    first = gamma_first(evaluate, atoms, options, most_displacements)
    repeats = options.repeats(atoms)
    if first.status != CONVERGED or first.verdict == UNSTABLE or max(repeats) == 1:
        return first
    found = phonons_in(evaluate, atoms, repeats, options, most_displacements)
    if found.status != CONVERGED:
        return replace(first, status=found.status, verdict=None)
    return _lower(first, found)


def gamma_first(evaluate: Evaluate, atoms: Atoms, options: PhononOptions, most_displacements: int) -> DFTPhonons:
    """Phonons at Γ, then at the points of the zone's boundary that fit two cells, until one is unstable.

    Boundary points are left out where two cells have too many atoms. Of equivalent points the first is computed.
    Parameters and result are those of :func:`phonons_by_dft`; the lowest mode found is named.
    """
    lowest = phonons_in(evaluate, atoms, (1, 1, 1), options, most_displacements)
    if lowest.phonon is None or 2 * len(atoms) > options.max_atoms:
        return lowest
    for q in _boundary(lowest.phonon):
        if lowest.verdict == UNSTABLE:
            break
        found = phonons_in(evaluate, atoms, commensurate_supercell(q, 2), options, most_displacements)
        if found.status == CONVERGED:
            lowest = _lower(lowest, found)
        elif not found.status.startswith(REFUSED):
            return replace(lowest, status=found.status, verdict=None)
    return lowest


def phonons_in(
    evaluate: Evaluate, atoms: Atoms, supercell: Supercell, options: PhononOptions, most_displacements: int
) -> DFTPhonons:
    """Phonons at the q-points that fit a supercell; parameters and result as of :func:`phonons_by_dft`."""
    blank = DFTPhonons("")
    try:
        phonon = displaced(atoms, supercell, options.displacement)
        matrix = phonon.supercell_matrix.T
        blank = replace(blank, supercell=tuple(int(i) for i in matrix.ravel()))
        n = len(displaced_cells(phonon))
        if len(phonon.supercell) > options.max_atoms:
            reason = f"{len(phonon.supercell)} atoms in the supercell, more than max_atoms ({options.max_atoms})"
            return replace(blank, status=f"{REFUSED}: {reason}")
        if n > most_displacements:
            return replace(blank, status=f"{REFUSED}: {n} displacements, more than {most_displacements}")
        status = _compute(phonon, evaluate)
        if status != CONVERGED:
            return replace(blank, status=status)
        return _judged(replace(blank, status=status, n_displacements=n, phonon=phonon), options)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a crystal's failure is a row
        return replace(blank, status=f"failed: {first_line(error)}")


def _compute(phonon: Phonopy, evaluate: Evaluate) -> str:
    """Compute the supercell at rest and the displaced ones, and the force constants, as :func:`finite_displacements`.

    :returns: :data:`.CONVERGED`, or why there are none.
    """
    status, found = compute_all([to_ase(cell) for cell in (phonon.supercell, *displaced_cells(phonon))], evaluate)
    if status == CONVERGED:
        set_forces(phonon, [np.array(outcome.forces) for outcome in found])
    return status


def compute_all(cells: Sequence[Atoms], evaluate: Evaluate) -> tuple[str, list[Outcome]]:
    """Compute cells until one fails. What runs elsewhere is asked for to the last.

    :returns: :data:`.CONVERGED`, or why not; and the outcomes, with forces.
    """
    found, waiting = [], []
    for cell in cells:
        outcome = evaluate(cell)
        if outcome.converged and outcome.forces is not None:
            found.append(outcome)
        elif outcome.status.startswith(WAITING):
            waiting.append(outcome.status)
        else:
            return "failed: the calculation gives no forces" if outcome.converged else outcome.status, []
    if waiting:
        return f"{waiting[0]} ({len(waiting)} of {len(waiting) + len(found)} supercells)", []
    return CONVERGED, found


def _judged(result: DFTPhonons, options: PhononOptions) -> DFTPhonons:
    """With the lowest mode at the q-points that fit; the first of equal ones."""
    assert result.phonon is not None
    points = get_commensurate_points(result.phonon.supercell_matrix)
    points -= np.round(points - 1e-6)  # -1/2, excluded, to 1/2
    lowest = modes(result.phonon, points)[0].min(axis=1)
    if np.isinf(lowest).all():
        return replace(result, verdict=STABLE)
    first = int(np.flatnonzero(lowest <= lowest.min() + 1e-6)[0])
    a, b, c = (points[first] + 0.0).tolist()
    frequency = float(lowest[first])
    return replace(result, verdict=options.verdict(frequency), min_frequency=frequency, q=(a, b, c))


def _boundary(phonon: Phonopy) -> list[Floats]:
    """The q-points that fit two cells but not one, the first of equivalent ones."""
    points, sizes = rational_points(2)
    found: list[Floats] = []
    for q in points[sizes == 2]:
        images = phonon.primitive_symmetry.reciprocal_operations @ q
        if not any(at_gamma(images - other).any() for other in found):
            found.append(q)
    return found


def _lower(first: DFTPhonons, second: DFTPhonons) -> DFTPhonons:
    """That with the lower mode; the second where they are equal."""

    def frequency(result: DFTPhonons) -> float:
        return np.inf if result.min_frequency is None else result.min_frequency

    lower = first if frequency(first) < frequency(second) else second
    return replace(lower, n_displacements=first.n_displacements + second.n_displacements)
