"""Cell terms as normal scores: the numbers of the same rank among normally distributed ones.

This keeps the bulk of the data apart in spite of the few crystals of very low density, and gives every term the same
spread. The ends, at ±3, lie 5 % of the data's range beyond the data.
"""

from statistics import NormalDist

import numpy as np

from cgwgan_core.crystallography.spacegroups import CELL_FREE
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.lattice import CELL_TERMS, cell_terms
from cgwgan_core.workflow.arrays import Booleans, Floats

MARGIN = 0.05
"""Share by which the scaled range exceeds the data's, so that the ends of a scale are within a network's reach."""
REACH = 3.0
"""Scaled cell terms lie in [-REACH, REACH], in units of the standard deviation of a normal distribution."""
KNOTS = 61
"""Points of the piecewise linear map from a cell term to its normal score."""

LEAST = 1000
"""Fewest draws of a cell term that a calibration is made from."""


def fit_scores(templates: Templates, weights: Floats) -> Floats:
    """Knots of the data: the values of each of the :data:`.CELL_TERMS` whose scores are evenly spaced, (6, KNOTS).

    :param weights: how much each template counts, (N,).
    """
    terms, free = cell_terms(templates.cell, templates.n_atoms), CELL_FREE[templates.spacegroup]
    return np.array([_knots(terms[free[:, i], i], weights[free[:, i]]) for i in range(len(CELL_TERMS))])


def to_scores(terms: Floats, knots: Floats) -> Floats:
    """Cell terms to normal scores in [-REACH, REACH], (N, 6)."""
    scores = np.linspace(-REACH, REACH, knots.shape[1])
    return np.stack([np.interp(t, k, scores) for t, k in zip(terms.T, knots, strict=True)], axis=1)


def from_scores(scaled: Floats, knots: Floats) -> Floats:
    """The inverse of :func:`to_scores`."""
    scores = np.linspace(-REACH, REACH, knots.shape[1])
    return np.stack([np.interp(u, scores, k) for u, k in zip(scaled.T, knots, strict=True)], axis=1)


def within_reach(templates: Templates, knots: Floats) -> Booleans:
    """Whether all free terms of each template lie within the range of the knots, (N,)."""
    terms = cell_terms(templates.cell, templates.n_atoms)
    within = (knots[:, 0] <= terms) & (terms <= knots[:, -1]) | ~CELL_FREE[templates.spacegroup]
    every: Booleans = np.logical_and.reduce(within, axis=1)
    return every


def calibration(drawn: Floats, free: Booleans) -> Floats:
    """What makes draws distributed as the data: for each term, scores as drawn that become evenly spaced ones, rising.

    Quantile mapping moves all draws a little and keeps their order. A term with fewer than :data:`LEAST` draws stays.

    :param drawn: scores of many draws, (N, 6).
    :param free: which of them are free, (N, 6).
    :returns: (6, KNOTS).
    """
    found = np.tile(np.linspace(-REACH, REACH, KNOTS), (drawn.shape[1], 1))
    for i, (mine, here) in enumerate(zip(drawn.T, free.T, strict=True)):
        if here.sum() >= LEAST:
            found[i] = np.quantile(mine[here], ranks(KNOTS))
            found[i, [0, -1]] = -REACH, REACH
            # where many draws are equal, the map still has to rise
            found[i] += np.linspace(0, 1e-3, KNOTS)
    return found


def ranks(n: int) -> list[float]:
    """Share of a normal distribution below each of n evenly spaced scores from -REACH to REACH."""
    return [NormalDist().cdf(u) for u in np.linspace(-REACH, REACH, n)]


def _knots(values: Floats, weights: Floats) -> Floats:
    """Values whose normal scores are evenly spaced from -REACH to REACH, strictly rising, (KNOTS,)."""
    if not len(values):
        return np.linspace(-1.0, 1.0, KNOTS)  # a term that no template has free
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weights[order])
    knots = np.interp(ranks(KNOTS), (upto - weights[order]) / max(upto[-1] - weights[order[-1]], 1e-12), values[order])
    margin = max(MARGIN * (values.max() - values.min()), 0.05)
    knots[[0, -1]] = values.min() - margin, values.max() + margin
    # equal values, such as angles of exactly 90 degrees, are set apart by a trifle
    apart: Floats = knots + np.arange(KNOTS) * 1e-6 * (knots[-1] - knots[0])
    return apart
