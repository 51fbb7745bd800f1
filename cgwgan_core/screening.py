"""Energies of many candidates: the potential's, the formation energy, the distance to the hull.

A candidate comes with the volume that its elements usually take. Where that puts two atoms impossibly close, nothing
is evaluated. Where its energy is promising, the volume is adapted: a search along the isotropic scale, so that the
ranking compares crystals and not how well a typical volume happens to fit them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

from .crystal import Templates, decorate
from .energetics import Hull, formation_energies
from .errors import InputError
from .potentials import BATCH_SIZE, Potential, neighbours

Floats = NDArray[np.float64]

CHUNK = 1024
STEP, LIMIT = 0.1, 0.5
"""The volume search: distance of its points in ln V, and how far from the start it may go (factors 0.61 to 1.65)."""


@dataclass(frozen=True)
class ScreenOptions:
    """How candidates are evaluated; keys of the config block ``screen``."""

    batch_size: int = BATCH_SIZE
    """Crystals in one evaluation."""
    min_separation: float = 0.6
    """Shortest distance of two atoms over the sum of their covalent radii; closer ones are not evaluated."""
    refine_below: float | None = 2.0
    """eV/atom above the hull; candidates below it have their volume adapted. ``None``: none have."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size: {self.batch_size} must be at least 1")
        if not self.min_separation >= 0:
            raise InputError(f"min_separation: {self.min_separation} must not be negative")


def screen(
    candidates: pa.Table, templates: pa.Table, potential: Potential, hull: Hull, options: ScreenOptions
) -> Iterator[dict[str, list[object] | Floats]]:
    """Evaluate candidates in the order of their table, unrelaxed but for the volume of the better ones.

    :param candidates: a table of ``tables.CANDIDATES``.
    :param templates: a table of ``tables.TEMPLATES`` that holds their templates.
    :yields: columns of ``tables.SCREENED``, :data:`CHUNK` rows at a time.
    """
    geometry = Templates.from_table(templates)
    places = {name: i for i, name in enumerate(templates["template_id"].to_pylist())}
    for start in range(0, candidates.num_rows, CHUNK):
        part = candidates.slice(start, CHUNK)
        index = np.array([places[name] for name in part["template_id"].to_pylist()])
        scale = part["volume_scale"].to_numpy()
        crystals = list(decorate(geometry[index], part["elements"].to_pylist(), scale))
        formulas = part["formula"].to_pylist()
        status = [too_close(atoms, options.min_separation) or "" for atoms in crystals]
        energies = np.full(len(crystals), np.nan)
        apart = [i for i, reason in enumerate(status) if not reason]
        energies[apart], errors = evaluate([crystals[i] for i in apart], potential, options.batch_size)
        for i, error in zip(apart, errors, strict=True):
            status[i] = error or "ok"
        formation = formation_energies(crystals, energies, potential.energy_scale)
        above = hull.energy_above_hull(formulas, formation)
        scale = scale.copy()
        if options.refine_below is not None:
            # NaN is not below anything
            better = np.flatnonzero(above < options.refine_below)
            factors, lower = adapt_volumes([crystals[i] for i in better], energies[better], potential, options)
            scale[better] *= factors
            energies[better] = lower
            scaled = [scaled_by(crystals[i], factor) for i, factor in zip(better, factors, strict=True)]
            formation[better] = formation_energies(scaled, lower, potential.energy_scale)
            above[better] = hull.energy_above_hull([formulas[i] for i in better], formation[better])
        yield {
            "candidate_id": part["candidate_id"].to_pylist(),
            "formula": formulas,
            "volume_scale": scale,
            "energy_per_atom": energies,
            "formation_energy_per_atom": formation,
            "energy_above_hull": above,
            "status": status,
        }


def evaluate(crystals: Sequence[Atoms], potential: Potential, batch_size: int) -> tuple[Floats, list[str | None]]:
    """Energies per atom, (N,) eV/atom, and why there is none, of crystals in any order.

    Crystals of one size fill a batch best, so they are evaluated by size.
    """
    order = np.argsort([len(atoms) for atoms in crystals], kind="stable")
    found = potential.evaluate([crystals[i] for i in order], batch_size=batch_size)
    energies, errors = np.empty(len(crystals)), [None] * len(crystals)
    energies[order] = found.energy_per_atom
    for i, error in zip(order.tolist(), found.errors, strict=True):
        errors[i] = error
    return energies, errors


def too_close(atoms: Atoms, min_separation: float) -> str | None:
    """What is said of a crystal with two atoms closer than they can be; ``None`` if there are none.

    :param min_separation: of the sum of two covalent radii (Cordero et al., Dalton Trans. 2008, 2832).
    """
    radii = covalent_radii[atoms.numbers]
    if not min_separation:
        return None
    pairs = neighbours(atoms, 2 * min_separation * float(radii.max()))
    if not len(pairs.distance):
        return None
    share = pairs.distance / (radii[pairs.centre] + radii[pairs.neighbour])
    worst = int(share.argmin())
    if share[worst] >= min_separation:
        return None
    both = "-".join(sorted(atoms.symbols[i] for i in (pairs.centre[worst], pairs.neighbour[worst])))
    return f"two atoms are {pairs.distance[worst]:.2f} Å apart: {both}, {share[worst]:.2f} of their covalent radii"


def scaled_by(atoms: Atoms, factor: float) -> Atoms:
    """The crystal with its volume multiplied."""
    out = atoms.copy()
    out.set_cell(atoms.cell.array * np.cbrt(factor), scale_atoms=True)
    return out


def adapt_volumes(
    crystals: Sequence[Atoms], energies: Floats, potential: Potential, options: ScreenOptions
) -> tuple[Floats, Floats]:
    """Search the volume of lowest energy of many crystals at once, shape and fractional coordinates unchanged.

    Energies are sought :data:`STEP` apart in ln V, downhill until a minimum lies between two higher points or
    :data:`LIMIT` is reached, and last at the vertex of the parabola through the three. The lowest energy met is
    taken, so that nothing gets worse. A volume at which atoms are too close, or that the potential refuses, is a
    wall.

    :param energies: of the crystals as they are, (N,) eV/atom.
    :returns: factors on the volume, and energies there, (N,) eV/atom.
    """
    most = round(LIMIT / STEP)
    # energy at every multiple of the step, NaN where it is not known
    known = np.full((len(crystals), 2 * most + 1), np.nan)
    known[:, most] = energies

    def fill(points: list[tuple[int, float]]) -> Floats:
        """Energies of crystals at ln V; infinite beyond a wall."""
        tried = [scaled_by(crystals[i], float(np.exp(x))) for i, x in points]
        out = np.full(len(points), np.inf)
        apart = [k for k, atoms in enumerate(tried) if not too_close(atoms, options.min_separation)]
        found, _ = evaluate([tried[k] for k in apart], potential, options.batch_size)
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
