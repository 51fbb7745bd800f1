"""What is asked of the crystals that pass: elastic constants, thermodynamics, diffraction.

All follow from the potential's forces and stresses, mostly from the force constants that the phonons have already.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.physical_units import get_physical_units
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.analysis.elasticity import ElasticTensor
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from .potentials import Potential
from .potentials.protocol import voigt

Floats = NDArray[np.float64]

STRAIN = 0.0025
"""Size of each strain, both ways."""
GPA = 160.21766208
"""GPa in 1 eV/Å³."""
TEMPERATURE = 300.0
"""K, of the thermodynamics."""
STABLE_ABOVE = 0.1
"""GPa; an elastic eigenvalue this small is zero within the noise of a potential in single precision."""

# --------------------------------------------------------------------------------------------- elasticity


def elasticity(primitive: Atoms, phonon: Phonopy, potential: Potential) -> dict[str, Any]:
    """Elastic constants at rest, with the atoms following the strain.

    The cell is strained both ways in six directions with the atoms carried along; stresses give the constants of
    clamped atoms, forces how strain couples to them. How far the atoms then move follows from the force constants at
    Γ (Wu, Vanderbilt and Hamann, Phys. Rev. B 72, 035105 (2005), doi:10.1103/PhysRevB.72.035105):
    C_jk = C̄_jk - Λ_mj (Φ⁻¹)_mn Λ_nk / V. So twelve evaluations of the primitive cell do, without a relaxation.

    :param primitive: relaxed primitive cell.
    :param phonon: its force constants.
    :returns: columns of ``tables.PHONONS``; a crystal is mechanically stable if all six eigenvalues of the tensor
        (Kelvin's notation, in which they do not depend on the axes) exceed :data:`STABLE_ABOVE`.
    :raises RuntimeError: if the potential cannot treat a strained cell.
    """
    tensor = elastic_tensor(primitive, phonon, potential)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of noise that the next step removes
        found = ElasticTensor.from_voigt(tensor).fit_to_structure(AseAtomsAdaptor.get_structure(primitive), 0.01)
    fitted = np.asarray(found.voigt)
    lowest = float(np.linalg.eigvalsh(kelvin(fitted)).min())
    mechanical = lowest > STABLE_ABOVE
    return {
        "elastic_tensor": fitted.ravel().tolist(),
        "elastic_min_eigenvalue": lowest,
        "mechanically_stable": mechanical,
        # averages of a tensor that is not positive have no meaning
        "bulk_modulus": float(found.k_vrh) if mechanical else None,
        "shear_modulus": float(found.g_vrh) if mechanical else None,
    }


def elastic_tensor(primitive: Atoms, phonon: Phonopy, potential: Potential) -> Floats:
    """Elastic constants in Voigt's notation, (6, 6) GPa, symmetric but for noise not yet those of the crystal class."""
    strained = []
    for way in (1, -1):
        for j in range(6):
            strain = np.zeros((3, 3))
            a, b = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[j]
            strain[a, b] += way * STRAIN / 2
            strain[b, a] += way * STRAIN / 2
            atoms = primitive.copy()
            atoms.set_cell(primitive.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            strained.append(atoms)
    pairs = [potential.neighbours(primitive)] * len(strained)  # as in the phonons
    found = potential.evaluate(strained, forces=True, stress=True, pairs=pairs)
    for error in found.errors:
        if error is not None:
            raise RuntimeError(error)
    assert found.forces is not None
    assert found.stresses is not None
    stress = np.array([voigt(tensor) for tensor in found.stresses])
    clamped = (stress[:6] - stress[6:]).T / (2 * STRAIN)
    forces = np.array([f - f.mean(axis=0) for f in found.forces]).reshape(12, -1)
    coupling = (forces[:6] - forces[6:]).T / (2 * STRAIN)  # (3n, 6)
    relaxed = clamped - coupling.T @ np.linalg.pinv(gamma_force_constants(phonon), rcond=1e-6, hermitian=True) @ (
        coupling / primitive.get_volume()
    )
    return GPA * (relaxed + relaxed.T) / 2


def gamma_force_constants(phonon: Phonopy) -> Floats:
    """Force constants of the atoms moving alike in all cells, (3n, 3n) eV/Å², translations left out."""
    dynamical = phonon.run_qpoints([[0, 0, 0]], with_dynamical_matrices=True).dynamical_matrices[0].real
    masses = np.repeat(np.sqrt(phonon.primitive.masses), 3)
    n = len(masses) // 3
    rest = np.eye(3 * n) - np.kron(np.ones((n, n)) / n, np.eye(3))
    return rest @ (dynamical * np.outer(masses, masses)) @ rest


def kelvin(tensor: Floats) -> Floats:
    """A tensor in Voigt's notation in Kelvin's: the shear strains √2 times as long, so that it is a true matrix."""
    scale = np.array([1, 1, 1, *3 * [np.sqrt(2)]])
    return tensor * np.outer(scale, scale)


# ----------------------------------------------------------------------------------------- thermodynamics


def thermodynamics(phonon: Phonopy, mesh: Sequence[int]) -> dict[str, float]:
    """Vibrational free energy (zero-point energy included) and heat capacity at :data:`TEMPERATURE`.

    Harmonic, at the volume of the static minimum. Imaginary modes, and the acoustic ones at Γ, have no part in it.

    :returns: columns of ``tables.PHONONS``.
    """
    phonon.run_mesh(mesh, is_gamma_center=True)
    found = phonon.run_thermal_properties(temperatures=[TEMPERATURE], cutoff_frequency=0.0, exclude_gamma_acoustic=True)
    n, units = len(phonon.primitive), get_physical_units()
    return {
        "vibrational_free_energy_per_atom": float(found.free_energy[0]) / (units.EvTokJmol * n),
        "heat_capacity_per_atom": float(found.heat_capacity[0]) / (1000 * units.KB * units.EvTokJmol * n),
    }


# ---------------------------------------------------------------------------------------------- diffraction

ANGLES = np.arange(10.0, 80.0, 0.05)
"""2θ in degrees, of the patterns that are compared; copper's Kα."""
WIDTH = 0.5
"""Full width at half maximum of a line, degrees."""


def patterns(structures: Sequence[Structure]) -> Floats:
    """Powder diffraction patterns over :data:`ANGLES`, each of length one, (N, angles)."""
    calculator = XRDCalculator(wavelength="CuKa")
    found = np.zeros((len(structures), len(ANGLES)))
    for row, structure in zip(found, structures, strict=True):
        lines = calculator.get_pattern(structure, scaled=False, two_theta_range=(ANGLES[0], ANGLES[-1]))
        if not len(lines.x):
            continue
        offsets = (ANGLES[:, None] - np.asarray(lines.x)[None, :]) / WIDTH
        row[:] = np.exp(-4 * np.log(2) * offsets**2) @ np.asarray(lines.y)
        row /= np.linalg.norm(row)
    return found


def similarity(first: Floats, second: Floats) -> Floats:
    """Cosine of the angle between two patterns, each with each, (N, M): 1 for equal ones, 0 for no common line.

    :param first: as :func:`patterns` gives them, (N, angles).
    :param second: (M, angles).
    """
    return first @ second.T
