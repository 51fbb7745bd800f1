"""What changes geometries: relaxation and phonons of the best crystals by DFT."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from cgwgan_core.crystallography.structures import atoms_to_row, row_to_atoms
from cgwgan_core.crystallography.symmetry import SymmetryError, spacegroup_of
from cgwgan_core.dft.calculation import Calculation, Outcome
from cgwgan_core.dft.descent import DescentOptions, hessian, relax_by
from cgwgan_core.dft.elasticity import elasticity_by_dft
from cgwgan_core.dft.phonons import phonons_by_dft, phonons_in
from cgwgan_core.dft.spin import SYMPREC
from cgwgan_core.dft.statics import crystal_atoms, static
from cgwgan_core.dft.store import Store
from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.workflow.errors import InputError, first_line
from cgwgan_core.workflow.logs import progress

Row = dict[str, Any]
DISPLACEMENT = 0.03
"""Å, in phonons: three times a potential's, as DFT's forces are less sharp."""
TIGHT: dict[str, dict[str, Any]] = {
    "gpaw": {"convergence": {"energy": 1e-5, "density": 1e-5, "eigenstates": 1e-8}},
}
"""Parameters that phonons need and energies do not: forces to 1e-3 eV/Å."""


@dataclass(frozen=True)
class RelaxOptions:
    """Which crystals are relaxed by DFT, and how far."""

    relax: int = 12
    """Candidates, best first; the phases that they fall apart into are relaxed, too."""
    gain: float = 1e-3
    """eV/atom; a crystal that has less to gain, as predicted, is not moved."""
    max_steps: int = 8
    """Most steps of one crystal."""

    def __post_init__(self) -> None:
        if self.relax < 0:
            raise InputError(f"dft.relax: {self.relax} must be at least 0")
        _ = self.descent  # checks its own

    @property
    def descent(self) -> DescentOptions:
        """How a crystal is relaxed."""
        return DescentOptions(gain=self.gain, max_steps=self.max_steps)


def relax_crystals(crystals: Sequence[Row], potential: Potential, store: Store, options: RelaxOptions) -> Iterator[Row]:
    """Relax crystals in the spin order that was lowest before.

    :param crystals: rows of ``tables.DFT_CRYSTALS`` whose statics are in the store.
    :yields: rows of ``tables.DFT_RELAXED``, in order.
    """
    for crystal in progress(crystals, len(crystals), "crystals relaxed by DFT"):
        yield {
            **{key: crystal[key] for key in ("crystal_id", "kind", "formula")},
            **_relax(crystal, potential, store, options),
        }


def _relax(crystal: Row, potential: Potential, store: Store, options: RelaxOptions) -> Row:
    try:
        before = static(crystal_atoms(crystal), store)
    except InputError as error:
        return {"status": first_line(error)}
    if not before.outcome.converged:
        return {"status": before.outcome.status}
    atoms = before.calculation.atoms
    moments = atoms.get_initial_magnetic_moments()
    try:
        curvature = hessian(atoms, potential)
    except (RuntimeError, SymmetryError) as error:
        return {"status": f"no Hessian: {first_line(error)}"}

    parameters = store.engine.parameters(atoms, stress=True)  # of one mesh: energies along a descent compare

    def evaluate(moved: Atoms) -> Outcome:
        return store.run(Calculation(moved, store.engine.name, parameters).with_moments(moments))

    found = relax_by(evaluate, atoms, curvature, options.descent)
    row = {
        "status": found.status,
        "magnetic_order": before.order,
        "moments": moments.tolist(),
        "steps": found.steps,
        "predicted_gain": found.predicted_gain,
        "gain": found.gain,
        "fmax": found.fmax,
        "pressure": found.pressure,
    }
    if found.predicted_gain is None:
        return row
    after = static(found.atoms, store, only=[(before.order, moments)]).outcome if found.steps else before.outcome
    if not after.converged:
        return {**row, "status": f"relaxed, but without an energy: {after.status}"}
    return {
        **row,
        **atoms_to_row(found.atoms),
        "volume_ratio": float(found.atoms.get_volume() / atoms.get_volume()),
        "spacegroup": spacegroup_of(found.atoms, SYMPREC),
        "energy_per_atom": float(after.energy or 0.0) / len(atoms),
    }


def compute_phonons(
    relaxed: Sequence[Row],
    store: Store,
    options: PhononOptions,
    most_displacements: int,
    elastic: Collection[str] = (),
) -> Iterator[Row]:
    """Phonons of crystals relaxed by DFT, and the elastic constants of some.

    :param relaxed: rows of ``tables.DFT_RELAXED`` with a geometry.
    :param elastic: crystal_id of those that get elastic constants.
    :yields: rows of ``tables.DFT_PHONONS``, in order.
    """
    tight = TIGHT.get(store.engine.name, {})

    def evaluate(supercell: Atoms) -> Outcome:
        parameters = store.engine.parameters(supercell, **tight)
        return store.run(Calculation(supercell, store.engine.name, parameters))

    def elasticity(atoms: Atoms) -> Row:
        parameters = store.engine.parameters(atoms, stress=True, **tight)  # of one mesh, as along a descent
        at_gamma = phonons_in(evaluate, atoms, (1, 1, 1), options, most_displacements)
        return elasticity_by_dft(
            lambda cell: store.run(Calculation(cell, store.engine.name, parameters)), atoms, at_gamma
        )

    for row in progress(relaxed, len(relaxed), "crystals with phonons by DFT"):
        atoms = row_to_atoms(row)
        atoms.set_initial_magnetic_moments(np.array(row["moments"]))
        found = phonons_by_dft(evaluate, atoms, options, most_displacements)
        columns = {**{key: row[key] for key in ("crystal_id", "kind", "formula")}, **found.row()}
        yield columns | (elasticity(atoms) if row["crystal_id"] in elastic else {})
