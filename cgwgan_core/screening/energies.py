"""Energies of many candidates: the potential's, the formation energy, the distance to the hull.

A candidate comes with the volume that its elements usually take. Where its energy is promising, the volume is adapted:
a search along the isotropic scale, so that the ranking compares crystals and not how well a typical volume happens to
fit them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.distances import site_distances
from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.crystallography.templates import Templates, decorate
from cgwgan_core.potentials.protocol import BATCH_SIZE, Potential
from cgwgan_core.screening.candidates import TemplateLookup
from cgwgan_core.screening.energetics import Hull, formation_energies
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.refusals import OK

CHUNK = 1024
"""Candidates that are evaluated at a time."""
STEP, LIMIT = 0.1, 0.5
"""The volume search: distance of its points in ln V, and how far from the start it may go (factors 0.61 to 1.65)."""


LOWEST = -6.0
"""eV/atom; a formation energy below it is a potential's failure. The Materials Project's lowest is -4.6."""


@dataclass(frozen=True)
class ScreenOptions:
    """How candidates are evaluated; keys of the config block ``screen``."""

    batch_size: int = BATCH_SIZE
    """Crystals in one evaluation."""
    min_distance_ratio: float = 0.6
    """Shortest distance of two atoms over the sum of their covalent radii: where the search for the volume ends."""
    refine_below: float | None = 2.0
    """eV/atom above the hull; candidates below it have their volume adapted. ``None``: none have."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size: {self.batch_size} must be at least 1")
        if not self.min_distance_ratio >= 0:
            raise InputError(f"min_distance_ratio: {self.min_distance_ratio} must not be negative")


def screen(
    candidates: pa.Table, templates: pa.Table, potential: Potential, hull: Hull, options: ScreenOptions
) -> Iterator[dict[str, Any]]:
    """Evaluate candidates in the order of their table, unrelaxed but for the volume of the better ones.

    :param candidates: a table of ``tables.CANDIDATES``.
    :param templates: a table of ``tables.TEMPLATES`` that holds their templates.
    :yields: columns of ``tables.SCREENED``, :data:`CHUNK` rows at a time.
    """
    lookup = TemplateLookup(templates)
    for start in range(0, candidates.num_rows, CHUNK):
        part = candidates.slice(start, CHUNK)
        index = lookup.places(part["template_id"].to_pylist())
        scale = part["volume_scale"].to_numpy()
        elements, formulas = part["elements"].to_pylist(), part["formula"].to_pylist()
        distinct, of = np.unique(index, return_inverse=True)
        crystals = list(decorate(lookup.templates[index], elements, scale))
        energies, errors = evaluate(crystals, potential, options.batch_size, by_site=True)
        status = [error or OK for error in errors]
        formation = formation_energies(crystals, energies, potential.energy_scale)
        above = hull.energy_above_hull(formulas, formation)
        scale = scale.copy()
        if options.refine_below is not None:
            # NaN is not below anything
            better = np.flatnonzero(above < options.refine_below)
            chosen = [crystals[i] for i in better]
            ratios = closest_pairs(lookup.templates[distinct], of[better], [elements[i] for i in better], scale[better])
            factors, lower = adapt_volumes(chosen, energies[better], ratios, potential, options)
            scale[better] *= factors
            energies[better] = lower
            scaled = [scaled_by(atoms, factor) for atoms, factor in zip(chosen, factors, strict=True)]
            formation[better] = formation_energies(scaled, lower, potential.energy_scale)
            above[better] = hull.energy_above_hull([formulas[i] for i in better], formation[better])
        for i in np.flatnonzero(formation < LOWEST):
            status[i] = f"not credible: {potential.name} gives a formation energy of {formation[i]:.1f} eV/atom"
        yield {
            "candidate_id": part["candidate_id"].to_pylist(),
            "formula": formulas,
            "volume_scale": scale,
            "energy_per_atom": energies,
            "formation_energy_per_atom": formation,
            "energy_above_hull": above,
            "status": status,
        }


def evaluate(
    crystals: Sequence[Atoms], potential: Potential, batch_size: int, by_site: bool = False
) -> tuple[Floats, list[str | None]]:
    """Energies per atom, (N,) eV/atom, and why there is none, of crystals in any order.

    Crystals of one size fill a batch best, so they are evaluated by size.

    :param by_site: whether the atoms are where :func:`.templates.decorate` has put them, but for the size of the cell:
        those of one site are then equivalent.
    """
    order = np.argsort([len(atoms) for atoms in crystals], kind="stable")
    orbits = [crystals[i].arrays["site"] for i in order] if by_site else None
    found = potential.evaluate([crystals[i] for i in order], batch_size=batch_size, orbits=orbits)
    energies = np.empty(len(crystals))
    errors: list[str | None] = [None] * len(crystals)
    energies[order] = found.energy_per_atom
    for i, error in zip(order.tolist(), found.errors, strict=True):
        errors[i] = error
    return energies, errors


def hull_by(potential: Potential, known_phases: pa.Table) -> Hull:
    """A potential's own hull of known phases that another has relaxed, in the other's geometries.

    :param known_phases: a table of ``tables.KNOWN_PHASES``.
    """
    phases = [row for row in known_phases.to_pylist() if row["status"] == OK]
    compounds = [row_to_atoms(row) for row in phases if row["lattice"]]
    elements = [row["formula"] for row in phases if not row["lattice"]]
    formation = _formation_energies(compounds, potential)
    known = [(formula_of_atoms(a), e) for a, e in zip(compounds, formation, strict=True) if np.isfinite(e)]
    return Hull(known, elements)


def energies_above_hull(crystals: Sequence[Atoms], potential: Potential, hull: Hull) -> Floats:
    """Distances of crystals, as they are, to a potential's own hull, (N,) eV/atom; NaN where it cannot treat one."""
    return hull.energy_above_hull(list(map(formula_of_atoms, crystals)), _formation_energies(crystals, potential))


def _formation_energies(crystals: Sequence[Atoms], potential: Potential) -> Floats:
    energies, _ = evaluate(crystals, potential, BATCH_SIZE)
    return formation_energies(crystals, energies, potential.energy_scale)


def closest_pairs(
    templates: Templates, of: NDArray[np.int64], elements: Sequence[Sequence[str]], volume_scale: Floats
) -> Floats:
    """Of each candidate the shortest distance of two atoms over the sum of their covalent radii, (N,).

    The distances between sites are those of the template, found once for all candidates that share it. Radii: Cordero
    et al., Dalton Trans. 2008, 2832, doi:10.1039/b801115j.

    :param of: the template of each candidate, (N,).
    :param elements: of the sites of each.
    :param volume_scale: factor on the template's volume, (N,).
    """
    radii = np.zeros((len(of), templates.letters.shape[1]))
    for row, symbols in zip(radii, elements, strict=True):
        row[: len(symbols)] = [covalent_radii[atomic_numbers[symbol]] for symbol in symbols]
    distances = site_distances(templates)[of] * np.cbrt(volume_scale)[:, None, None]
    # padding has no radius and is infinitely far
    with np.errstate(divide="ignore"):
        ratios: Floats = (distances / (radii[:, :, None] + radii[:, None])).min(axis=(1, 2), initial=np.inf)
    return ratios


def scaled_by(atoms: Atoms, factor: float) -> Atoms:
    """The crystal with its volume multiplied."""
    out: Atoms = atoms.copy()
    out.set_cell(atoms.cell.array * np.cbrt(factor), scale_atoms=True)
    return out


def adapt_volumes(
    crystals: Sequence[Atoms], energies: Floats, ratios: Floats, potential: Potential, options: ScreenOptions
) -> tuple[Floats, Floats]:
    """Search the volume of lowest energy of many crystals at once, shape and fractional coordinates unchanged.

    Energies are sought :data:`STEP` apart in ln V, downhill until a minimum lies between two higher points or
    :data:`LIMIT` is reached, and last at the vertex of the parabola through the three. The lowest energy met is
    taken, so that nothing gets worse. A volume at which atoms are too close, or that the potential refuses, is a
    wall.

    :param energies: of the crystals as they are, (N,) eV/atom.
    :param ratios: of :func:`closest_pairs`, (N,).
    :returns: factors on the volume, and energies there, (N,) eV/atom.
    """
    most = round(LIMIT / STEP)
    # energy at every multiple of the step, NaN where it is not known
    known = np.full((len(crystals), 2 * most + 1), np.nan)
    known[:, most] = energies

    def fill(points: list[tuple[int, float]]) -> Floats:
        """Energies of crystals at ln V; infinite beyond a wall."""
        out = np.full(len(points), np.inf)
        apart = [k for k, (i, x) in enumerate(points) if ratios[i] * np.exp(x / 3) >= options.min_distance_ratio]
        tried = [scaled_by(crystals[i], float(np.exp(x))) for i, x in (points[k] for k in apart)]
        found, _ = evaluate(
            tried, potential, options.batch_size, by_site=all("site" in atoms.arrays for atoms in tried)
        )
        out[apart] = np.where(np.isfinite(found), found, np.inf)
        return out

    while True:
        lowest = np.nanargmin(known, axis=1) if len(crystals) else np.zeros(0, dtype=np.int64)
        missing = [
            (i, column)
            for i, best in enumerate(lowest.tolist())
            for column in (best - 1, best + 1)
            if 0 <= column <= 2 * most and np.isnan(known[i, column])
        ]
        if not missing:
            break
        for (i, column), energy in zip(missing, fill([(i, (c - most) * STEP) for i, c in missing]), strict=True):
            known[i, column] = energy
    x = (lowest - most) * STEP
    best = known[np.arange(len(crystals)), lowest]
    vertices: list[tuple[int, float]] = []
    for i, column in enumerate(lowest.tolist()):
        if 0 < column < 2 * most:
            left, middle, right = known[i, column - 1 : column + 2]
            bend = left - 2 * middle + right
            if np.isfinite(bend) and bend > 1e-9:
                vertices.append((i, x[i] + STEP * (left - right) / (2 * bend)))
    for (i, vertex), energy in zip(vertices, fill(vertices), strict=True):
        if energy < best[i]:
            x[i], best[i] = vertex, energy
    return np.exp(x), best
