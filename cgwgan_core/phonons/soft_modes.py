"""Imaginary modes of an unstable crystal, and the distorted crystals of lower energy along them.

An imaginary frequency at q says that the energy falls when the atoms move along the mode's eigenvector, with the
periodicity of q. The distorted crystal lives in the smallest supercell that q fits into. Where q fits the supercell of
the force constants the mode is the potential's own; elsewhere it is interpolated, and the energies along it tell. A
crystal can also be unstable to a strain, which is the limit of an acoustic mode at Γ.
"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from numpy.typing import NDArray
from phonopy import Phonopy

from cgwgan_core.phonons.branches import modes
from cgwgan_core.phonons.commensurate import commensurate_supercell, deepest, rational_points
from cgwgan_core.phonons.elasticity import softest_strain
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.workflow.arrays import Floats

MODES = 4
"""Modes tried at most, one after the other, until one leads to a crystal of lower energy."""
AMPLITUDES = (0.05, 0.1, 0.2, 0.3, 0.45)
"""Å, largest displacement of an atom, of the trials along each direction; beyond the tolerance that symmetry is
found with, so that a distortion is seen, and within what leaves the atoms beside their neighbours."""
STRAIN = 0.02
"""Size of the trial strains."""
DIRECTIONS = 3
"""Directions tried where modes are degenerate, as polar modes of a cubic crystal are: along one, two, three axes."""
DEGENERATE = 0.02
"""THz; closer frequencies are one mode."""
NEGLIGIBLE = 1e-3
"""Share of the largest below which singular values, and entries, of displacement patterns count as zero."""
RISES = 1e-4
"""eV/atom; a direction whose trials all lie this much above the crystal at rest, or more, is no way down."""


@dataclass(frozen=True)
class SoftMode:
    """An imaginary mode in a supercell that it fits into."""

    frequency: float
    """THz, negative."""
    q: tuple[float, float, float]
    """Reduced coordinates."""
    supercell: NDArray[np.int64]
    """Smallest supercell that the mode fits into, (3, 3), rows in the basis of the primitive cell."""
    eigenvectors: NDArray[np.complex128]
    """Of all modes degenerate with it, (d, n, 3)."""

    @property
    def cells(self) -> int:
        """Primitive cells in the supercell."""
        return round(float(np.linalg.det(self.supercell)))


def soft_modes(phonon: Phonopy, most_cells: int, below: float) -> list[SoftMode]:
    """Imaginary modes that fit small supercells, in the order to follow them in (:func:`.deepest`).

    Of equivalent q-points the first is taken; the acoustic modes at Γ are left out.

    :param most_cells: of a supercell.
    :param below: THz; modes of higher frequency are left out.
    :returns: at most :data:`MODES`; empty if no mode fits.
    """
    points, sizes = rational_points(most_cells)
    lowest = phonon.run_qpoints(points).frequencies.min(axis=1)
    lowest[0] = modes(phonon, points[:1])[0].min()  # Γ
    first = deepest(lowest, sizes, below)[:MODES]
    if not first:
        return []
    found = []
    for i, frequencies, vectors in zip(first, *modes(phonon, points[first]), strict=True):
        a, b, c = points[i].tolist()
        degenerate = frequencies < lowest[i] + DEGENERATE
        supercell = commensurate_supercell(points[i], int(sizes[i]))
        found.append(SoftMode(float(lowest[i]), (a, b, c), supercell, vectors[degenerate]))
    return found


def distorted(primitive: Atoms, mode: SoftMode, potential: Potential) -> list[Atoms]:
    """For each direction the trial of lowest energy along it, both ways; see :data:`AMPLITUDES`.

    :returns: lowest energy first; empty if the energy rises along all, or the potential can treat none of them.
    """
    patterns = displacement_patterns(primitive, mode)
    trials: list[list[Atoms]] = []
    for at_rest, pattern in patterns:
        trials.append([])
        for amplitude in (sign * size for size in AMPLITUDES for sign in (1, -1)):
            atoms = at_rest.copy()
            atoms.positions += amplitude * pattern
            trials[-1].append(atoms)
    return _lowest_of_each(patterns[0][0], trials, potential)


def strained(primitive: Atoms, tensor: Floats) -> list[Atoms]:
    """The crystal strained both ways as it resists least, by :data:`STRAIN`.

    The atoms are carried along, so energies tell nothing yet: a crystal may give way only once they have moved.

    :param tensor: elastic constants in Voigt's notation, (6, 6) GPa.
    """
    _, strain = softest_strain(tensor)
    found = []
    for size in (STRAIN, -STRAIN):
        atoms = primitive.copy()
        atoms.set_cell(primitive.cell.array @ (np.eye(3) + size * strain), scale_atoms=True)
        found.append(atoms)
    return found


def _lowest_of_each(at_rest: Atoms, trials: list[list[Atoms]], potential: Potential) -> list[Atoms]:
    """The first trial of lowest energy along each direction, lowest first; those that only rise are left out."""
    energies = potential.evaluate([at_rest, *(atoms for along in trials for atoms in along)]).energies
    highest = energies[0] + RISES * len(at_rest)
    best = []
    for along, values in zip(trials, energies[1:].reshape(len(trials), -1), strict=True):
        if np.isfinite(values).any() and np.nanmin(values) < highest:
            # a mode whose two ways are equal: the first, whatever the rounding
            lowest = int(np.flatnonzero(values <= np.nanmin(values) + 1e-5 * len(at_rest))[0])
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
