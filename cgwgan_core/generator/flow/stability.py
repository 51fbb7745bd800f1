"""Energies above the hull as networks and tables see them: shares of five heights, none where the energy is unknown."""

import numpy as np

from cgwgan_core.workflow.arrays import Floats

OFFSET = 0.01
"""eV/atom: heights are evenly spaced in the logarithm of energy plus this."""
HEIGHTS = 10.0 ** np.linspace(-2, 0, 5) - OFFSET
"""0, 0.022, 0.09, 0.306 and 0.99 eV/atom above the hull."""


def shares_of_heights(energies: Floats) -> Floats:
    """How much of each of the :data:`HEIGHTS` there is in energies above the hull, (N, 5).

    A share falls linearly, in the logarithm, from its height to the next. Shares add up to one, and are all zero where
    the energy is unknown.

    :param energies: eV/atom, NaN where unknown, (N,). What is off the ends counts as the nearest end.
    """
    ends = np.log(HEIGHTS[[0, -1]] + OFFSET)
    place = (np.log(np.clip(energies, 0, HEIGHTS[-1]) + OFFSET) - ends[0]) / (ends[1] - ends[0]) * (len(HEIGHTS) - 1)
    shares = np.clip(1 - np.abs(place[:, None] - np.arange(len(HEIGHTS))), 0, None)
    return np.where(np.isnan(energies)[:, None], 0.0, shares)
