"""The lowest frequency of a crystal that counts: which branch it is on, and what bears it out.

Frequencies at q-points that fit the supercell of the force constants are the potential's own. All others are
interpolated, and an imaginary one may be the interpolation's. Two things tell: the slope of the acoustic branches at Γ,
which follows from the elastic constants, and the force constants of a supercell that the q-point fits into.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.phonon.band_structure import BandStructure

from cgwgan_core.phonons.branches import ACOUSTIC, at_gamma, modes, translation_shares
from cgwgan_core.phonons.commensurate import commensurate_supercell, deepest, fits, fitting_points, rational_points
from cgwgan_core.phonons.elasticity import STABLE_ABOVE, slowest_sound
from cgwgan_core.phonons.force_constants import Forces, finite_displacements, to_ase
from cgwgan_core.workflow.arrays import Floats

ROUNDING = 1e-3
"""THz; smaller imaginary frequencies are not worth telling of."""
TRIES = 3
"""Inequivalent q-points, deepest first, at which interpolated imaginary frequencies are computed outright."""


@dataclass(frozen=True)
class LowestMode:
    """A mode of the lowest frequency."""

    frequency: float
    """THz, negative if imaginary."""
    q: tuple[float, float, float]
    """Reduced coordinates."""
    acoustic: bool
    """Whether it is on an acoustic branch."""
    exact: bool
    """Whether q fits a supercell that was computed; otherwise the frequency is interpolated."""
    refuted: float | None = None
    """THz; the lowest imaginary frequency that interpolation gives and that is left out, as it is not the crystal's."""

    @property
    def worst(self) -> float:
        """THz, the lowest frequency that counts or is left out."""
        return self.frequency if self.refuted is None else min(self.frequency, self.refuted)


def lowest_modes(
    phonon: Phonopy,
    bands: BandStructure,
    mesh: Sequence[int],
    repeats: Sequence[int],
    tensor: Callable[[], Floats],
    rank: Callable[[float], int],
) -> tuple[LowestMode, LowestMode]:
    """The lowest mode over all q-points, and over those that fit the supercell alone.

    Looked at are the band path, a Γ-centred mesh, and all q-points that fit. The acoustic modes at Γ are left out, told
    by their eigenvectors. So is, where the verdict hangs on q-points that do not fit, an imaginary acoustic mode whose
    q-point has Γ as the nearest that fits, if the elastic constants contradict it: all three sound waves in its
    direction are real by them.

    Without an imaginary mode, the lowest is mostly the acoustic branch at the q-point next to Γ: its sign then means
    something, its size does not. Among equal frequencies the first q-point of the path, then of the mesh, is named.

    :param phonon: with force constants, in a supercell of so many repeats.
    :param tensor: gives the elastic constants, (6, 6) GPa; called only if an imaginary mode hangs on them.
    :param rank: the worse the verdict of a frequency, the higher.
    """
    grid = phonon.run_mesh(mesh, is_gamma_center=True)
    fitting = fitting_points(repeats)
    q = np.concatenate([*bands.qpoints, grid.qpoints, fitting])
    frequencies = np.concatenate([*bands.frequencies, grid.frequencies, phonon.run_qpoints(fitting).frequencies])
    gamma = at_gamma(q)
    frequencies[gamma] = modes(phonon, [(0, 0, 0)])[0]
    lowest = frequencies.min(axis=1)
    refuted = None
    exact = fits(q, repeats)
    near = np.flatnonzero((lowest < 0) & ~gamma & _nearest_is_gamma(q, repeats))
    if len(near) and rank(lowest.min()) > rank(lowest[exact].min()):
        left_out = _contradicted(phonon, q[near], tensor())
        dip = float(np.where(left_out, frequencies[near], 0.0).min())
        refuted = dip if dip < -ROUNDING else None
        lowest[near] = np.where(left_out, np.inf, frequencies[near]).min(axis=1)
    everywhere = _mode(phonon, q, lowest, exact)
    return replace(everywhere, refuted=refuted), replace(_mode(phonon, q[exact], lowest[exact], exact[exact]))


def borne_out(
    everywhere: LowestMode,
    fitting: LowestMode,
    phonon: Phonopy,
    forces: Forces,
    most_cells: int,
    displacement: float,
    rank: Callable[[float], int],
) -> LowestMode:
    """Compute outright what interpolation alone calls imaginary.

    The q-points of small denominators with such a frequency get force constants of their own, in the smallest
    supercell that each fits into, deepest first, up to :data:`TRIES`. One whose exact frequency has as bad a verdict
    stands for the crystal. If none has, what is interpolated is refuted, and the crystal is judged by exact frequencies
    alone. If no such q-point has the imaginary frequency, all stands as it is.

    :param everywhere: lowest mode over all q-points, and ``fitting``: over those that fit, by :func:`lowest_modes`.
    :param forces: of many structures, as of :func:`finite_displacements`.
    :param most_cells: of a supercell.
    :param rank: the worse the verdict of a frequency, the higher.
    """
    points, sizes = rational_points(most_cells)
    interpolated = phonon.run_qpoints(points).frequencies.min(axis=1)
    interpolated[at_gamma(points)] = np.inf  # exact already
    worse = [rank(frequency) > rank(fitting.frequency) for frequency in interpolated]
    primitive = to_ase(phonon.primitive)
    tried = deepest(np.where(worse, interpolated, np.inf), sizes, 0.0)[:TRIES]
    if not tried:
        return everywhere
    worst = everywhere.worst
    best = fitting
    for i in tried:
        matrix = commensurate_supercell(points[i], int(sizes[i]))
        exact = finite_displacements(primitive, forces, matrix, displacement)
        frequency = exact.run_qpoints(points[i : i + 1]).frequencies.min(axis=1)
        found = _mode(exact, points[i : i + 1], frequency, np.array([True]))
        if found.frequency < best.frequency:
            best = found
        if rank(found.frequency) >= rank(worst):
            return best
    counts = everywhere if rank(everywhere.frequency) <= rank(best.frequency) else best
    return replace(min(counts, best, key=lambda mode: mode.frequency), refuted=worst)


def _nearest_is_gamma(q: Floats, repeats: Sequence[int]) -> NDArray[np.bool_]:
    """Whether no q-point that fits the supercell is nearer than Γ, along each reciprocal vector."""
    wrapped = q - np.round(q)
    found: NDArray[np.bool_] = (np.abs(wrapped * np.array(repeats)) <= 0.5).all(axis=1)
    return found


def _contradicted(phonon: Phonopy, points: Floats, tensor: Floats) -> NDArray[np.bool_]:
    """Which modes are acoustic and imaginary, but real by the elastic constants, (k, 3n)."""
    frequencies, vectors = modes(phonon, points)
    acoustic = translation_shares(vectors, phonon.primitive.masses) >= ACOUSTIC
    primitive = to_ase(phonon.primitive)
    real = np.array([slowest_sound(primitive, tensor, q) > STABLE_ABOVE for q in points - np.round(points)])
    found: NDArray[np.bool_] = acoustic & (frequencies < 0) & real[:, None]
    return found


def _mode(phonon: Phonopy, q: Floats, lowest: Floats, exact: NDArray[np.bool_]) -> LowestMode:
    """The first of the modes of lowest frequency, lowest at each of k q-points given."""
    first = int(np.flatnonzero(lowest <= lowest.min() + 1e-6)[0])
    frequencies, vectors = modes(phonon, q[first : first + 1])
    band = int(np.abs(frequencies[0] - lowest[first]).argmin())
    share = translation_shares(vectors[0, band], phonon.primitive.masses)
    a, b, c = (q[first] + 0.0).tolist()
    return LowestMode(float(lowest[first]), (a, b, c), bool(share >= ACOUSTIC), bool(exact[first]))
