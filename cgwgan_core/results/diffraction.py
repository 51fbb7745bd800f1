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


@dataclass(frozen=True)
class Lines:
    """The lines of a powder pattern."""

    angles: list[float]
    """2θ, degrees."""
    heights: list[float]
    """Per cent of the strongest."""


def lines(structure: Structure) -> Lines:
    """The lines of a crystal's pattern by copper's Kα that are not :data:`FAINT`."""
    found = XRDCalculator(wavelength="CuKa").get_pattern(structure, two_theta_range=(ANGLES[0], ANGLES[-1]))
    seen = np.asarray(found.y) >= FAINT
    return Lines(np.asarray(found.x)[seen].round(3).tolist(), np.asarray(found.y)[seen].round(1).tolist())


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
