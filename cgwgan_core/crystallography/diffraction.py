"""Powder diffraction patterns, and how alike they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Structure

from cgwgan_core.workflow.arrays import Floats

ANGLES = np.arange(10.0, 80.0, 0.05)
"""2θ in degrees, of the patterns that are compared; copper's Kα."""
WIDTH = 0.5
"""Full width at half maximum of a line, degrees."""

FAINT = 1.0
"""Per cent of the strongest line; weaker ones are not drawn."""
STRONGEST = 10
"""Lines by which a crystal is told."""


@dataclass(frozen=True)
class Lines:
    """The lines of a powder pattern."""

    angles: list[float]
    """2θ, degrees."""
    heights: list[float]
    """Per cent of the strongest."""
    indices: list[str]
    """Miller indices (four in a hexagonal cell) in the cell that was given, of all families that fall together."""


def lines(structure: Structure) -> Lines:
    """The lines of a crystal's pattern by copper's Kα that are not :data:`FAINT`."""
    found = XRDCalculator(wavelength="CuKa").get_pattern(structure, two_theta_range=(ANGLES[0], ANGLES[-1]))
    seen = np.asarray(found.y) >= FAINT
    indices = [" / ".join(" ".join(map(str, one["hkl"])) for one in families) for families in found.hkls]
    return Lines(
        np.asarray(found.x)[seen].round(3).tolist(),
        np.asarray(found.y)[seen].round(1).tolist(),
        [index for index, visible in zip(indices, seen, strict=True) if visible],
    )


def strongest(found: Lines, n: int = STRONGEST) -> Lines:
    """The ``n`` strongest lines, strongest first; of equal ones that of the smaller angle."""
    order = sorted(range(len(found.angles)), key=lambda i: (-found.heights[i], found.angles[i]))[:n]
    return Lines([found.angles[i] for i in order], [found.heights[i] for i in order], [found.indices[i] for i in order])


def patterns(structures: Sequence[Structure]) -> Floats:
    """Powder diffraction patterns over :data:`ANGLES`, each of length one, (N, angles)."""
    calculator = XRDCalculator(wavelength="CuKa")
    found = np.zeros((len(structures), len(ANGLES)))
    for i, structure in enumerate(structures):
        lines = calculator.get_pattern(structure, scaled=False, two_theta_range=(ANGLES[0], ANGLES[-1]))
        if not len(lines.x):
            continue
        offsets = (ANGLES[:, None] - np.asarray(lines.x)[None, :]) / WIDTH
        found[i] = np.exp(-4 * np.log(2) * offsets**2) @ np.asarray(lines.y)
        found[i] /= np.linalg.norm(found[i])
    return found


def similarity(first: Floats, second: Floats) -> Floats:
    """Cosine of the angle between two patterns, each with each, (N, M): 1 for equal ones, 0 for no common line.

    :param first: as :func:`patterns` gives them, (N, angles).
    :param second: (M, angles).
    """
    return first @ second.T
