"""Which branch a mode is on: acoustic modes told from optical ones by their eigenvectors.

In an acoustic mode all atoms of the cell move alike, up to the phase of the wave. At Γ that is exact: the three rigid
translations are modes whatever the forces, so the optical modes are those of the space that is left.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.physical_units import get_physical_units

from cgwgan_core.workflow.arrays import Floats

ACOUSTIC = 0.5
"""Share of rigid translations in an eigenvector from which a mode is acoustic."""


def modes(phonon: Phonopy, points: Sequence[Sequence[float]] | Floats) -> tuple[Floats, NDArray[np.complex128]]:
    """Frequencies and eigenvectors, without the three acoustic modes at Γ.

    :param points: k q-points, reduced coordinates.
    :returns: (k, 3n) THz, ascending, imaginary ones negative; and (k, 3n, n, 3), those of a mode in one row. At Γ the
        translations come last, and their frequencies are infinite.
    """
    found = phonon.run_qpoints(points, with_eigenvectors=True, with_dynamical_matrices=True)
    assert found.eigenvectors is not None
    assert found.dynamical_matrices is not None
    frequencies = found.frequencies.copy()
    vectors = found.eigenvectors.transpose(0, 2, 1).copy()
    for k in np.flatnonzero(at_gamma(points)):
        frequencies[k], vectors[k] = _optical(found.dynamical_matrices[k].real, phonon.primitive.masses)
    return frequencies, vectors.reshape(len(frequencies), -1, len(phonon.primitive), 3)


def at_gamma(points: Sequence[Sequence[float]] | Floats) -> NDArray[np.bool_]:
    """Which of k q-points are Γ or a reciprocal lattice vector, (k,)."""
    q = np.reshape(points, (-1, 3))
    found: NDArray[np.bool_] = np.abs(q - np.round(q)).max(axis=1) < 1e-8
    return found


def translation_shares(vectors: NDArray[np.complex128], masses: Floats) -> Floats:
    """How much of each mode is a rigid translation of the cell's atoms: 1 is all of it, 0 nothing.

    :param vectors: eigenvectors (..., n, 3).
    :param masses: of the atoms, (n,).
    """
    along = np.einsum("...na,n->...a", vectors, np.sqrt(masses / masses.sum()))
    shares: Floats = (np.abs(along) ** 2).sum(axis=-1)
    return shares


def _optical(dynamical: Floats, masses: Floats) -> tuple[Floats, Floats]:
    """Optical modes at Γ, then the translations: frequencies (3n,), and eigenvectors in rows."""
    translations = np.kron(np.sqrt(masses / masses.sum())[:, None], np.eye(3))  # (3n, 3), orthonormal
    rest = np.linalg.qr(translations, mode="complete")[0][:, 3:]
    squares, vectors = np.linalg.eigh(rest.T @ dynamical @ rest)
    frequencies = np.sign(squares) * np.sqrt(np.abs(squares)) * get_physical_units().DefaultToTHz
    return np.concatenate([frequencies, np.full(3, np.inf)]), np.concatenate([(rest @ vectors).T, translations.T])
