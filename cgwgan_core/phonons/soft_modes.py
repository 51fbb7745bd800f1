"""Imaginary modes of an unstable crystal, and the distorted crystals of lower energy along them.

An imaginary frequency at q says that the energy falls when the atoms move along the mode's eigenvector, with the
periodicity of q. Only q-points that fit the supercell of the force constants are looked at: elsewhere frequencies
are interpolated. The distorted crystal lives in the smallest supercell that the mode fits into, which is not a
diagonal one in general (Lloyd-Williams and Monserrat, Phys. Rev. B 92, 184301 (2015), doi:10.1103/PhysRevB.92.184301).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd, lcm

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from numpy.typing import NDArray
from phonopy import Phonopy

from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.workflow.arrays import Floats

AMPLITUDES = (0.05, 0.1, 0.2, 0.3, 0.45)
"""Å, largest displacement of an atom, of the trials along each direction; beyond the tolerance that symmetry is
found with, so that a distortion is seen, and within what leaves the atoms beside their neighbours."""
DIRECTIONS = 3
"""Directions tried where modes are degenerate, as polar modes of a cubic crystal are: along one, two, three axes."""
DEGENERATE = 0.02
"""THz; closer frequencies are one mode."""
NEGLIGIBLE = 1e-3
"""Share of the largest below which singular values, and entries, of displacement patterns count as zero."""


@dataclass(frozen=True)
class SoftMode:
    """The lowest imaginary mode among those that fit the supercell."""

    frequency: float
    """THz, negative."""
    q: tuple[float, float, float]
    """Reduced coordinates."""
    supercell: NDArray[np.int64]
    """Smallest supercell that the mode fits into, (3, 3), rows in the basis of the primitive cell."""
    eigenvectors: NDArray[np.complex128]
    """Of all modes degenerate with it, (d, n, 3)."""


def soft_mode(phonon: Phonopy, repeats: Sequence[int]) -> SoftMode | None:
    """The lowest imaginary mode whose q-point fits the supercell, acoustic modes at Γ left out.

    Of equal frequencies (equivalent q-points) the one in the smallest supercell, then the first, is taken.

    :param phonon: with force constants, in a supercell of so many repeats.
    :returns: ``None`` if all modes that fit are real.
    """
    along_a, along_b, along_c = ([(i - n if 2 * i > n else i) / n for i in range(n)] for n in repeats)
    points = list(product(along_a, along_b, along_c))
    found = phonon.run_qpoints(points, with_eigenvectors=True)
    assert found.eigenvectors is not None
    candidates = []
    for k, q in enumerate(points):
        frequencies = found.frequencies[k]
        order = list(range(len(frequencies)))
        if not any(q):
            order = sorted(np.argsort(np.abs(frequencies), kind="stable")[3:].tolist())
        if not order:
            continue
        lowest = float(frequencies[order].min())
        candidates.append((q, lowest, [i for i in order if frequencies[i] < lowest + DEGENERATE], k))
    if not candidates:
        return None
    floor = min(lowest for _, lowest, _, _ in candidates)
    if floor >= 0:
        return None
    equal = [c for c in candidates if c[1] < floor + DEGENERATE / 2]
    first = min(range(len(equal)), key=lambda i: (_denominator(equal[i][0], repeats), i))
    q, lowest, bands, k = equal[first]
    n = len(phonon.primitive)
    vectors = found.eigenvectors[k][:, bands].T.reshape(len(bands), n, 3)
    return SoftMode(lowest, q, commensurate_supercell(q, _denominator(q, repeats)), vectors)


def _denominator(q: Sequence[float], repeats: Sequence[int]) -> int:
    """The smallest whole number that makes a q-point of the supercell a reciprocal lattice vector."""
    return lcm(*(n // gcd(round(x * n), n) for x, n in zip(q, repeats, strict=True)))


def commensurate_supercell(q: Sequence[float], size: int) -> NDArray[np.int64]:
    """The first supercell of so many cells, in Hermite normal form, that a q-point fits into, (3, 3).

    :raises ValueError: if there is none of that size.
    """
    for a, d in product(range(1, size + 1), repeat=2):
        if size % (a * d):
            continue
        f = size // (a * d)
        for b, c, e in product(range(d), range(f), range(f)):
            matrix = np.array([[a, b, c], [0, d, e], [0, 0, f]])
            phases = matrix @ np.asarray(q)
            if np.abs(phases - np.round(phases)).max() < 1e-6:
                return matrix
    raise ValueError(f"q = {tuple(q)} fits no supercell of {size} cells")


def distorted(primitive: Atoms, mode: SoftMode, potential: Potential) -> list[Atoms]:
    """For each direction the trial of lowest energy along it, both ways; see :data:`AMPLITUDES`.

    :returns: lowest energy first; empty if the potential can treat none of them.
    """
    trials: list[list[Atoms]] = []
    for at_rest, pattern in displacement_patterns(primitive, mode):
        trials.append([])
        for amplitude in (sign * size for size in AMPLITUDES for sign in (1, -1)):
            atoms = at_rest.copy()
            atoms.positions += amplitude * pattern
            trials[-1].append(atoms)
    energies = potential.evaluate([atoms for along in trials for atoms in along]).energies.reshape(len(trials), -1)
    best = []
    for along, values in zip(trials, energies, strict=True):
        if np.isfinite(values).any():
            # a mode whose two ways are equal: the first, whatever the rounding
            lowest = int(np.flatnonzero(values <= np.nanmin(values) + 1e-5 * len(along[0]))[0])
            best.append((float(values[lowest]), along[lowest]))
    return [atoms for _, atoms in sorted(best, key=lambda pair: pair[0])]


def displacement_patterns(primitive: Atoms, mode: SoftMode) -> list[tuple[Atoms, Floats]]:
    """The supercell and the displacement patterns of a mode in it, largest displacement of an atom 1 Å each.

    A degenerate mode, or one with q and -q apart, spans a space of patterns in which phonopy's eigenvectors are
    an arbitrary basis. The reduced row echelon form is none: along the coordinates of the first atoms that move. The
    directions tried are its first vector and the sums of its first two and three.

    :param primitive: the cell that the mode belongs to.
    :returns: at most :data:`DIRECTIONS` pairs of the supercell at rest and displacements (N, 3), Å.
    """
    tagged = primitive.copy()
    tagged.set_tags(range(len(primitive)))
    at_rest = make_supercell(tagged, mode.supercell)
    phases = np.exp(2j * np.pi * (at_rest.positions @ np.linalg.inv(primitive.cell.array) @ np.array(mode.q)))
    masses = np.sqrt(at_rest.get_masses())
    moved = mode.eigenvectors[:, at_rest.get_tags()] * (phases / masses)[None, :, None]
    patterns = np.concatenate([moved.real, moved.imag]).reshape(2 * len(moved), -1)
    basis = row_echelon(patterns)[:DIRECTIONS]
    at_rest.set_tags(0)
    found = []
    for total in np.cumsum([vector / np.abs(vector).max() for vector in basis], axis=0):
        pattern = total.reshape(-1, 3)
        found.append((at_rest, pattern / np.linalg.norm(pattern, axis=1).max()))
    return found


def row_echelon(rows: Floats) -> Floats:
    """The reduced row echelon form of the space that some rows span: one basis, whatever the rows.

    :returns: (rank, columns).
    """
    _, values, right = np.linalg.svd(rows, full_matrices=False)
    basis: Floats = right[values > NEGLIGIBLE * values[0]].copy()
    scale, row = np.abs(basis).max(), 0
    for column in range(basis.shape[1]):
        if row == len(basis):
            break
        pivot = row + int(np.argmax(np.abs(basis[row:, column])))
        if abs(basis[pivot, column]) < NEGLIGIBLE * scale:
            continue
        basis[[row, pivot]] = basis[[pivot, row]]
        basis[row] /= basis[row, column]
        others = np.arange(len(basis)) != row
        basis[others] -= np.outer(basis[others, column], basis[row])
        row += 1
    return basis
