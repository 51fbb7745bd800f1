"""Standard primitive cells, and band paths through their Brillouin zones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import seekpath
from ase import Atoms
from phonopy.phonon.band_structure import BandStructure

from cgwgan_core.workflow.arrays import Floats

SYMPREC = 0.01
"""Å. Relaxed to a few meV/Å, atoms lie within this of their ideal positions."""
POINTS_PER_LEG = 40
"""q-points on the longest leg of the band path; the others have as many per length."""


@dataclass(frozen=True)
class BandPath:
    """A path through the Brillouin zone: its legs between labelled points, in the basis of one primitive cell."""

    legs: list[Floats]
    """q-points of each leg, both ends included: (p, 3) each, reduced coordinates."""
    ends: list[tuple[str, str]]
    """Labels of the two ends of each leg."""


def standardise(atoms: Atoms) -> tuple[Atoms, int, BandPath]:
    """The idealised primitive cell in SeeK-path's setting, with the band path that belongs to it.

    Labels and coordinates of a band path hold in one setting of the primitive cell only, so SeeK-path gives both
    (Hinuma et al., Comput. Mater. Sci. 128, 140 (2017), doi:10.1016/j.commatsci.2016.10.015).

    :returns: the cell, its space group (International Tables number, found with :data:`SYMPREC`), and the path.
    :raises seekpath.SymmetryDetectionError: if no symmetry is found, not even the identity.
    """
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    found = seekpath.get_path(cell, symprec=SYMPREC)
    positions = found["primitive_positions"] % 1.0
    positions[np.abs(positions - 1.0) < 1e-9] = 0.0
    primitive = Atoms(
        numbers=found["primitive_types"],
        scaled_positions=positions,
        cell=found["primitive_lattice"],
        pbc=True,
    )
    ends = [(a, b) for a, b in found["path"]]
    points = {name: np.array(q, dtype=float) for name, q in found["point_coords"].items()}
    reciprocal = np.linalg.inv(primitive.cell.array)  # columns; without 2π, as phonopy measures distances
    lengths = [np.linalg.norm((points[b] - points[a]) @ reciprocal.T) for a, b in ends]
    counts = [max(2, round(POINTS_PER_LEG * length / max(lengths))) for length in lengths]
    legs = [np.linspace(points[a], points[b], n) for (a, b), n in zip(ends, counts, strict=True)]
    return primitive, int(found["spacegroup_number"]), BandPath(legs, ends)


def band_columns(bands: BandStructure, path: BandPath) -> dict[str, list[Any]]:
    """The columns band_* of ``tables.PHONONS``; frequencies rounded to 0.1 GHz, far below their error."""
    starts = np.cumsum([0, *(len(leg) for leg in path.legs)])[:-1]
    ticks: list[float] = []
    labels: list[str] = []
    for (begin, end), distances in zip(path.ends, bands.distances, strict=True):
        if not ticks:
            ticks.append(distances[0])
            labels.append(_label(begin))
        elif labels[-1] != _label(begin):
            labels[-1] += f"|{_label(begin)}"  # the path jumps
        ticks.append(distances[-1])
        labels.append(_label(end))
    return {
        "band_distances": np.concatenate(bands.distances).round(6).tolist(),
        "band_frequencies": (np.concatenate(bands.frequencies).round(4) + 0.0).ravel().tolist(),
        "band_breaks": starts.tolist(),
        "band_ticks": np.round(ticks, 6).tolist(),
        "band_labels": labels,
    }


def _label(name: str) -> str:
    """SeeK-path's name of a point as it is printed: GAMMA as Γ, SIGMA_0 as Σ₀."""
    greek = {"GAMMA": "Γ", "SIGMA": "Σ", "DELTA": "Δ", "LAMBDA": "Λ"}
    base, _, index = name.partition("_")
    return greek.get(base, base) + index.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
