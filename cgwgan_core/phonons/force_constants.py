"""Harmonic force constants by finite displacements."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from cgwgan_core.potentials.protocol import Evaluation, Potential
from cgwgan_core.workflow.arrays import Floats

Forces = Callable[[list[Atoms]], Sequence[Floats]]
"""Forces of many structures: one (n, 3) array each, eV/Å."""


Supercell = Sequence[int] | NDArray[np.int64]
"""Repeats of a primitive cell [3], or the supercell's vectors in its basis, a row each, (3, 3)."""


def finite_displacements(primitive: Atoms, forces: Forces, supercell: Supercell, displacement: float) -> Phonopy:
    """Harmonic force constants from the forces of displaced supercells.

    Only displacements that symmetry does not relate are computed, in both directions where ± differ. Forces at rest,
    and then the net force on each supercell (a potential's noise), are taken off; the force constants are made
    symmetric and obey the acoustic sum rule.

    :param primitive: primitive cell, idealised and at rest.
    :param forces: forces of many structures at once: the supercell at rest, then the displaced ones.
    :param displacement: length of a displacement, Å.
    :returns: phonopy's object, ready for frequencies.
    """
    phonon = displaced(primitive, supercell, displacement)
    set_forces(phonon, forces([to_ase(cell) for cell in (phonon.supercell, *displaced_cells(phonon))]))
    return phonon


def set_forces(phonon: Phonopy, forces: Sequence[Floats]) -> None:
    """Force constants from forces, at rest and then displaced, as :func:`finite_displacements` says."""
    at_rest, *found = forces
    phonon.forces = np.array([f - at_rest - (f - at_rest).mean(axis=0) for f in found])
    phonon.produce_force_constants(calculate_full_force_constants=False)
    phonon.symmetrize_force_constants(level=3)


def displaced(primitive: Atoms, supercell: Supercell, displacement: float, calculator: str | None = None) -> Phonopy:
    """Phonopy's object with the displaced supercells of a primitive cell; see :func:`finite_displacements`.

    Initial magnetic moments count as part of the symmetry.

    :param calculator: phonopy's name of the program that is to compute the forces.
    """
    moments = primitive.get_initial_magnetic_moments()
    cell = PhonopyAtoms(
        numbers=primitive.numbers,
        scaled_positions=primitive.get_scaled_positions(wrap=False),
        cell=primitive.cell.array,
        magnetic_moments=moments if moments.any() else None,
    )
    given = np.asarray(supercell)
    matrix = np.diag(given) if given.ndim == 1 else given.T  # phonopy's vectors are columns
    phonon = Phonopy(cell, supercell_matrix=matrix, primitive_matrix="P", calculator=calculator)
    phonon.generate_displacements(distance=displacement)
    return phonon


def displaced_cells(phonon: Phonopy) -> list[PhonopyAtoms]:
    """The displaced supercells that :func:`displaced` made."""
    cells = phonon.supercells_with_displacements
    assert cells is not None
    return cells


def forces_by(potential: Potential) -> Forces:
    """Forces by a potential, with the neighbours that the first structure, which is at rest, has.

    What a displacement carries across the potential's cutoff is no force constant.
    """

    def forces(structures: list[Atoms]) -> list[Floats]:
        pairs = [potential.neighbours_to_keep(structures[0])] * len(structures)
        found = evaluate_all(potential, structures, forces=True, pairs=pairs).forces
        assert found is not None
        return found

    return forces


def evaluate_all(potential: Potential, structures: list[Atoms], **asked: Any) -> Evaluation:
    """As :meth:`Potential.evaluate`, of structures none of which may fail.

    :raises RuntimeError: with the potential's reason, if one does.
    """
    found = potential.evaluate(structures, **asked)
    for error in found.errors:
        if error is not None:
            raise RuntimeError(error)
    return found


def to_ase(cell: PhonopyAtoms) -> Atoms:
    """A cell of phonopy's as ASE's, with its magnetic moments."""
    return Atoms(
        numbers=cell.numbers,
        scaled_positions=cell.scaled_positions,
        cell=cell.cell,
        pbc=True,
        magmoms=cell.magnetic_moments,
    )
