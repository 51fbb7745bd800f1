"""Electrons of a named crystal: Bader charges, bands, densities of states, from the density by GPAW.

The density is self-consistent with the parameters of the crystal's energy, in the spin order that is lowest. GPAW runs
in its own environment, in the folder of the calculation in the store, and what it wrote is kept.
"""

import json
import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from cgwgan_core.crystallography.structures import atoms_to_row, row_to_atoms
from cgwgan_core.dft import electrons_run
from cgwgan_core.dft.bader import electrons_of_atoms, read_cube
from cgwgan_core.dft.calculation import Calculation, Outcome
from cgwgan_core.dft.mesh import is_molecule, mesh
from cgwgan_core.dft.spin import is_magnetic
from cgwgan_core.dft.statics import crystal_atoms, static
from cgwgan_core.dft.store import Store, run_command
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.files import replacing_folder, write_json
from cgwgan_core.workflow.logs import logger
from cgwgan_core.workflow.provenance import digest_file
from cgwgan_core.workflow.refusals import OK

Row = dict[str, Any]
PROGRAM = Path(electrons_run.__file__)
RELAXED, POTENTIAL = "relaxed by DFT", "by the potential"
"""Where a geometry is from."""
GRID_SPACING = 0.05
"""Å, of the density."""
MESH_SPACING, PATH_DENSITY = 0.2, 8.0
"""1/Å with 2π, between k-points of densities of states; points per 1/Å along the path."""
LOWEST, HIGHEST, STEP, WIDTH = -15.0, 10.0, 0.02, 0.1
"""eV from the Fermi level: range and grid of densities of states, and the width of a state."""
EIGENSTATES, MAXITER = 1e-6, 300
"""Convergence of states at fixed density, eV² per electron, and steps."""
TOLERANCE = 0.02
"""e; charges whose sum is further from zero are refused."""


@dataclass(frozen=True)
class GroundState:
    """What electrons are computed of."""

    atoms: Atoms
    """With initial moments of the lowest order."""
    order: str
    """Its name."""
    geometry: str
    """:data:`RELAXED` or :data:`POTENTIAL`."""


def electrons(crystal_id: str, crystals: Iterable[Row], relaxed: Iterable[Row], store: Store) -> Row:
    """Electrons of one crystal.

    :param crystals: rows of ``tables.DFT_CRYSTALS``.
    :param relaxed: rows of ``tables.DFT_RELAXED``, as far as there are such; the geometry then is theirs.
    :param store: with GPAW as its engine.
    :returns: a row of ``tables.DFT_ELECTRONS``.
    :raises InputError: if the engine is another, the crystal is unknown or no crystal, or a calculation fails.
    """
    if store.engine.name != "gpaw" or (command := store.engine.command()) is None:
        raise InputError(f"dft.engine: electrons are computed by gpaw only, not by {store.engine.name}; name gpaw")
    crystal = _named(crystal_id, crystals)
    state = ground_state(crystal, relaxed, store)
    calculation = Calculation(state.atoms, store.engine.name, store.engine.parameters(state.atoms, keep_density=True))
    outcome = store.run(calculation)
    if not outcome.converged:
        raise InputError(f"{crystal_id}: no density: {outcome.status} ({store.root / calculation.key})")
    folder = _electrons_folder(store.root / calculation.key, asked_of(state.atoms))
    found = _by_gpaw([*command[:-1], "electrons.py"], folder, store.max_minutes)
    _, density = read_cube(folder / "density.cube")
    return {
        **{key: crystal[key] for key in ("crystal_id", "kind", "formula")},
        "geometry": state.geometry,
        **atoms_to_row(state.atoms, wrap=False),
        **_magnetism(state, outcome),
        **charge_columns(state.atoms, electrons_of_atoms(state.atoms, density)),
        **band_columns(state.atoms, found),
        "engine": outcome.version,
        "calculation": calculation.key,
    }


def _named(crystal_id: str, crystals: Iterable[Row]) -> Row:
    for row in crystals:
        if row["crystal_id"] == crystal_id:
            if row["status"] != OK:
                raise InputError(
                    f"{crystal_id}: DFT does not see it: {row['status']}; a candidate: name it in dft.also"
                )
            return row
    raise InputError(f"{crystal_id} is no crystal_id of dft_crystals.parquet; correct the name")


def ground_state(crystal: Row, relaxed: Iterable[Row], store: Store) -> GroundState:
    """The crystal in its lowest spin order, relaxed by DFT if it was.

    :raises InputError: if it is a molecule, or none of its starts converges.
    """
    name = crystal["crystal_id"]
    for row in relaxed:
        if row["crystal_id"] == name and row["lattice"]:
            atoms = row_to_atoms(row)
            atoms.set_initial_magnetic_moments(row["moments"])
            return GroundState(atoms, row["magnetic_order"], RELAXED)
    atoms = crystal_atoms(crystal)
    if is_molecule(atoms):
        raise InputError(f"{name} is a molecule in a box, without bands; name a crystal")
    lowest = static(atoms, store)
    if not lowest.outcome.converged:
        raise InputError(f"{name}: no energy: {lowest.outcome.status} ({store.root / lowest.calculation.key})")
    return GroundState(lowest.calculation.atoms, lowest.order, POTENTIAL)


def asked_of(atoms: Atoms) -> dict[str, Any]:
    """What GPAW is to compute, and by which program."""
    path = atoms.cell.bandpath(density=PATH_DENSITY)
    return {
        "path": path.kpts.tolist(),
        "mesh": list(mesh(atoms, MESH_SPACING)),
        "grid_spacing": GRID_SPACING,
        "lowest": LOWEST,
        "highest": HIGHEST,
        "step": STEP,
        "width": WIDTH,
        "eigenstates": EIGENSTATES,
        "maxiter": MAXITER,
        "program": digest_file(PROGRAM),
    }


def _electrons_folder(calculation: Path, asked: dict[str, Any]) -> Path:
    """The folder beside the density, with the program and what is asked of it; kept as long as that is the same."""
    densities = sorted(calculation.glob("attempt-*/density.gpw"))
    if not densities:
        raise InputError(f"{calculation}: holds no density.gpw; delete the folder, and it is computed again")
    folder = densities[-1].parent / "electrons"
    try:
        same = json.loads((folder / "asked.json").read_text()) == asked
    except (OSError, ValueError):
        same = False
    if not same:
        with replacing_folder(folder) as new:
            write_json(new / "asked.json", asked)
            shutil.copyfile(PROGRAM, new / "electrons.py")
    return folder


def _by_gpaw(command: Sequence[str], folder: Path, max_minutes: float) -> dict[str, Any]:
    """What the program wrote in the folder, or writes now."""
    result = folder / "electrons.json"
    if not result.exists():
        logger.info(f"{folder}: {shlex.join(command)}")
        failure = run_command(list(command), folder, max_minutes)
        if failure or not result.exists():
            raise InputError(f"{folder}: no electrons: {failure or f'it wrote no {result.name}'}")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def _magnetism(state: GroundState, outcome: Outcome) -> Row:
    moments = outcome.magnetic_moments
    return {
        "magnetic_order": state.order if is_magnetic(moments) else "NM",
        "magnetic_moment": outcome.magnetic_moment,
        "moments": moments,
    }


def charge_columns(atoms: Atoms, in_atoms: Sequence[float] | Floats) -> Row:
    """Charges, nuclear less electrons, and their means by element in the order of the atoms.

    :param in_atoms: electrons of each atom, (n,).
    :raises InputError: if electrons are missing.

    >>> row = charge_columns(Atoms("MgO"), [10.3, 9.7])
    >>> row["elements"], [round(charge, 2) for charge in row["element_charges"]]
    (['Mg', 'O'], [1.7, -1.7])
    """
    charges = atoms.numbers - np.asarray(in_atoms, dtype=float)
    if abs(missing := charges.sum()) > TOLERANCE:
        raise InputError(f"Bader charges: the density misses {missing:.3f} of {atoms.numbers.sum()} electrons")
    symbols = np.array(atoms.get_chemical_symbols())
    elements = list(dict.fromkeys(symbols.tolist()))
    return {
        "charges": charges.round(4).tolist(),
        "elements": elements,
        "element_charges": [float(charges[symbols == element].mean().round(4)) for element in elements],
    }


def band_columns(atoms: Atoms, found: dict[str, Any]) -> Row:
    """Gap, bands and densities of states; energies from the top of the valence bands or, in a metal, the Fermi level.

    :param found: what :mod:`~cgwgan_core.dft.electrons_run` wrote.
    """
    bands, on_mesh = np.array(found["bands"]), np.array(found["mesh_eigenvalues"])
    edges = [band_edges(np.concatenate(pair)) for pair in zip(bands, on_mesh, strict=True)]
    top = max(low for low, _ in edges)
    gap = max(0.0, min(high for _, high in edges) - top)
    zero = top if gap else 0.0
    distances, ticks, labels = atoms.cell.bandpath(density=PATH_DENSITY).get_linear_kpoint_axis()
    places, names = _ticks(ticks, labels)
    return {
        "fermi_level": found["fermi_level"],
        "gap": gap,
        "spin_gaps": [max(0.0, high - low) for low, high in edges],
        "band_distances": distances.round(6).tolist(),
        "band_shape": list(bands.shape),
        "band_energies": (bands - zero).round(4).ravel().tolist(),
        "band_ticks": places,
        "band_labels": names,
        "dos_energies": (np.array(found["energies"]) - zero).round(4).tolist(),
        "dos": np.round(found["dos"], 5).ravel().tolist(),
        "dos_elements": list(found["projected"]),
        "dos_projected": np.round(list(found["projected"].values()), 5).ravel().tolist(),
    }


def short(row: Row) -> Row:
    """The columns that one reads: without bands and densities of states."""
    return {key: value for key, value in row.items() if not key.startswith(("band_", "dos"))}


def band_edges(eigenvalues: Floats) -> tuple[float, float]:
    """Highest occupied and lowest empty eigenvalue of one spin; both 0 where a band crosses the Fermi level at 0.

    :param eigenvalues: (points, bands), sorted at each point.

    >>> band_edges(np.array([[-3.0, 1.0], [-2.0, 4.0]]))
    (-2.0, 1.0)
    >>> band_edges(np.array([[-3.0, 1.0], [-2.0, -0.5]]))
    (0.0, 0.0)
    """
    occupied = (eigenvalues < 0).sum(axis=1)
    if np.ptp(occupied):
        return 0.0, 0.0
    n = int(occupied[0])
    low = eigenvalues[:, n - 1].max() if n else -np.inf
    high = eigenvalues[:, n].min() if n < eigenvalues.shape[1] else np.inf
    return float(low), float(high)


def _ticks(places: Sequence[float], labels: Sequence[str]) -> tuple[list[float], list[str]]:
    """Labelled places along the path, one for both ends of a jump."""
    at: list[float] = []
    names: list[str] = []
    for place, label in zip(places, labels, strict=True):
        name = label.replace("G", "Γ")
        if at and abs(place - at[-1]) < 1e-6:
            names[-1] += f"|{name}"
        else:
            at.append(round(float(place), 6))
            names.append(name)
    return at, names
