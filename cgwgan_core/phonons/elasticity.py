"""Elastic constants, from strained cells and the force constants at Γ."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy
from pymatgen.analysis.elasticity import ElasticTensor
from pymatgen.io.ase import AseAtomsAdaptor

from cgwgan_core.phonons.force_constants import evaluate_all
from cgwgan_core.potentials.protocol import Potential, voigt
from cgwgan_core.workflow.arrays import Floats

STRAIN = 0.0025
"""Size of each strain, both ways."""
GPA = 160.21766208
"""GPa in 1 eV/Å³."""
VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
"""Place of a component of a symmetric tensor in Voigt's notation."""
STABLE_ABOVE = 0.1
"""GPa; an elastic eigenvalue this small is zero within the noise of a potential in single precision."""


def elastic_tensor(primitive: Atoms, phonon: Phonopy, potential: Potential) -> Floats:
    """Elastic constants at rest, with the atoms following the strain.

    The cell is strained both ways in six directions with the atoms carried along; stresses give the constants of
    clamped atoms, forces how strain couples to them. How far the atoms then move follows from the force constants at
    Γ (Wu, Vanderbilt and Hamann, Phys. Rev. B 72, 035105 (2005), doi:10.1103/PhysRevB.72.035105):
    C_jk = C̄_jk - Λ_mj (Φ⁻¹)_mn Λ_nk / V. So twelve evaluations of the primitive cell do, without a relaxation.

    :param primitive: relaxed primitive cell.
    :param phonon: its force constants.
    :returns: in Voigt's notation, (6, 6) GPa, symmetric but for noise not yet those of the crystal class.
    :raises RuntimeError: if the potential cannot treat a strained cell.
    """
    strained = strained_cells(primitive, STRAIN)
    pairs = [potential.neighbours_to_keep(primitive)] * len(strained)  # as in the phonons
    found = evaluate_all(potential, strained, forces=True, stress=True, pairs=pairs)
    assert found.forces is not None
    assert found.stresses is not None
    return elastic_constants(primitive, phonon, [voigt(tensor) for tensor in found.stresses], found.forces, STRAIN)


def strained_cells(primitive: Atoms, size: float) -> list[Atoms]:
    """The twelve cells strained by ``size`` in Voigt's six directions, then by as much the other way."""
    strained = []
    for way in (1, -1):
        for j in range(6):
            strain = np.zeros((3, 3))
            a, b = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[j]
            strain[a, b] += way * size / 2
            strain[b, a] += way * size / 2
            atoms = primitive.copy()
            atoms.set_cell(primitive.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            strained.append(atoms)
    return strained


def elastic_constants(
    primitive: Atoms, phonon: Phonopy, stresses: Sequence[Floats], forces: Sequence[Floats], size: float
) -> Floats:
    """Elastic constants as of :func:`elastic_tensor`, from what was computed of the :func:`strained_cells`.

    :param stresses: of each cell, Voigt's order, (6,) eV/Å³.
    :param forces: of each, (n, 3) eV/Å.
    :param size: of the strains.
    """
    stress = np.array(stresses)
    clamped = (stress[:6] - stress[6:]).T / (2 * size)
    net_free = np.array([f - f.mean(axis=0) for f in forces]).reshape(12, -1)
    coupling = (net_free[:6] - net_free[6:]).T / (2 * size)  # (3n, 6)
    stiffness = _gamma_force_constants(phonon)
    relaxed: Floats = clamped - coupling.T @ np.linalg.pinv(stiffness, rcond=1e-6, hermitian=True) @ (
        coupling / primitive.get_volume()
    )
    return GPA * (relaxed + relaxed.T) / 2


def elasticity(primitive: Atoms, tensor: Floats) -> dict[str, Any]:
    """What elastic constants say of a crystal.

    :param tensor: as of :func:`elastic_tensor`.
    :returns: columns of ``tables.PHONONS``; a crystal is mechanically stable if all six eigenvalues of the tensor
        (Kelvin's notation, in which they do not depend on the axes) exceed :data:`STABLE_ABOVE`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of noise that the next step removes
        found = ElasticTensor.from_voigt(tensor).fit_to_structure(AseAtomsAdaptor.get_structure(primitive), 0.01)
    fitted = np.asarray(found.voigt)
    lowest = float(eigenvalues(fitted).min())
    mechanical = lowest > STABLE_ABOVE
    return {
        "elastic_tensor": fitted.ravel().tolist(),
        "elastic_min_eigenvalue": lowest,
        "mechanically_stable": mechanical,
        # averages of a tensor that is not positive have no meaning
        "bulk_modulus": float(found.k_vrh) if mechanical else None,
        "shear_modulus": float(found.g_vrh) if mechanical else None,
    }


def eigenvalues(tensor: Floats) -> Floats:
    """Of elastic constants in Voigt's notation (6, 6), ascending, (6,); in Kelvin's notation, whatever the axes."""
    found: Floats = np.linalg.eigvalsh(_kelvin(tensor)).astype(float)
    return found


def slowest_sound(primitive: Atoms, tensor: Floats, q: Floats) -> float:
    """ρ v² of the slowest of the three sound waves along a wave vector, GPa; negative if it is imaginary.

    It is the lowest eigenvalue of Christoffel's matrix, C_ijkl n_j n_l for a wave along n.

    :param tensor: elastic constants in Voigt's notation, (6, 6) GPa.
    :param q: reduced coordinates, not Γ.
    """
    along = np.linalg.inv(primitive.cell.array) @ q
    along /= np.linalg.norm(along)
    full = tensor[np.ix_(VOIGT.ravel(), VOIGT.ravel())].reshape(3, 3, 3, 3)
    return float(np.linalg.eigvalsh(np.einsum("ijkl,j,l->ik", full, along, along)).min())


def softest_strain(tensor: Floats) -> tuple[float, Floats]:
    """The strain that a crystal resists least: the tensor's lowest eigenvalue, GPa, and its strain, (3, 3), norm 1."""
    values, vectors = np.linalg.eigh(_kelvin(tensor))
    components = vectors[:, 0] / np.array([1, 1, 1, *3 * [np.sqrt(2)]])
    return float(values[0]), components[VOIGT]


def _gamma_force_constants(phonon: Phonopy) -> Floats:
    """Force constants of the atoms moving alike in all cells, (3n, 3n) eV/Å², translations left out."""
    matrices = phonon.run_qpoints([[0, 0, 0]], with_dynamical_matrices=True).dynamical_matrices
    assert matrices is not None
    dynamical = matrices[0].real
    masses = np.repeat(np.sqrt(phonon.primitive.masses), 3)
    n = len(masses) // 3
    rest = np.eye(3 * n) - np.kron(np.ones((n, n)) / n, np.eye(3))
    found: Floats = rest @ (dynamical * np.outer(masses, masses)) @ rest
    return found


def _kelvin(tensor: Floats) -> Floats:
    """A tensor in Voigt's notation in Kelvin's: the shear strains √2 times as long, so that it is a true matrix."""
    scale = np.array([1, 1, 1, *3 * [np.sqrt(2)]])
    return tensor * np.outer(scale, scale)
