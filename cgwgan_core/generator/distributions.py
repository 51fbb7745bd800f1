"""How far two distributions are from each other, and how sure a mean is: plain numbers, no crystals.

Labels (space groups, letters) and classes of a number (density) are compared by *overlap*, *total variation* and
*Jensen-Shannon distance*, vectors by the *Fréchet distance*. All of them look worse for small sets, because two
samples of one distribution never match exactly: read them beside those of a second sample of the reference.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cgwgan_core.workflow.arrays import Floats

DENSITY_EDGES: Floats = np.linspace(0.0, 0.25, 51)
"""Edges of the classes of number density: 50 of 0.005 Å⁻³ each; what lies beyond counts in the last one."""
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's t with 1 to 9 degrees of freedom."""


def histogram(values: ArrayLike, edges: ArrayLike) -> Floats:
    """Share of the values in each class; all zero where there are no values.

    :param values: (N,). Values beyond the first or last edge count in the first or last class.
    :param edges: ascending, (B + 1,).
    :returns: (B,), with sum 1.
    """
    values, edges = np.asarray(values, dtype=float), np.asarray(edges, dtype=float)
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return counts / max(len(values), 1)


def overlap(p: ArrayLike, q: ArrayLike) -> float:
    """Σ min(p, q) of two distributions over the same classes: 1 equal, 0 disjoint.

    >>> overlap([0.5, 0.5, 0.0], [0.5, 0.0, 0.5])
    0.5
    """
    return float(np.minimum(p, q).sum())


def total_variation(a: ArrayLike, b: ArrayLike) -> float:
    """½ Σ |p - q| = 1 - overlap between the distributions of two sets of labels: 0 equal, 1 disjoint.

    It is the share of one set that would have to change its label to match the other; NaN if a set is empty.

    :param a: labels (integers or strings), (N,).
    :param b: labels of the same kind, (M,).

    >>> total_variation([225, 225, 62, 62], [225, 225, 225, 14])
    0.5
    """
    a, b = np.asarray(a), np.asarray(b)
    if not a.size or not b.size:
        return float("nan")
    p, q = _distributions(a, b)
    return float(np.abs(p - q).sum() / 2)


def jensen_shannon(a: ArrayLike, b: ArrayLike) -> float:
    """Jensen-Shannon distance between the distributions of two sets of labels: 0 equal, 1 disjoint.

    The square root of the Jensen-Shannon divergence in bits (Endres & Schindelin, doi:10.1109/TIT.2003.813506);
    NaN if a set is empty.

    :param a: labels (integers or strings), (N,).
    :param b: labels of the same kind, (M,).

    >>> jensen_shannon([1, 1], [2]), jensen_shannon([1, 2], [2, 1])
    (1.0, 0.0)
    """
    a, b = np.asarray(a), np.asarray(b)
    if not a.size or not b.size:
        return float("nan")
    p, q = _distributions(a, b)
    middle = (p + q) / 2
    bits = [float((x[x > 0] * np.log2(x[x > 0] / middle[x > 0])).sum()) for x in (p, q)]
    return float(np.sqrt(max(0.0, sum(bits) / 2)))


def _distributions(a: NDArray[Any], b: NDArray[Any]) -> tuple[Floats, Floats]:
    """Shares of each class that occurs in either set of labels."""
    classes, index = np.unique(np.concatenate([a, b]), return_inverse=True)
    p, q = (np.bincount(x, minlength=classes.size) / x.size for x in (index[: a.size], index[a.size :]))
    return p, q


def within(
    distance: Callable[[ArrayLike, ArrayLike], float],
    given_a: ArrayLike,
    labels_a: ArrayLike,
    given_b: ArrayLike,
    labels_b: ArrayLike,
) -> float:
    """A distance of labels within each condition, averaged over the conditions as often as the second set has them.

    Σ_g q(g) d(p(·|g), q(·|g)), where p is the first set and q the second. A condition that the first set lacks
    counts as 1. NaN if the second set is empty.

    :param distance: :func:`total_variation` or :func:`jensen_shannon`.
    :param given_a: condition of each member of the first set, such as its space group, (N,).
    :param labels_a: its label, such as its letters, (N,).
    :param given_b: condition of each member of the second set, (M,).
    :param labels_b: its label, (M,).

    >>> within(total_variation, [1, 1], ["a", "b"], [1, 1, 2, 2], ["a", "a", "c", "c"])
    0.75
    """
    given_a, labels_a, given_b, labels_b = (np.asarray(x) for x in (given_a, labels_a, given_b, labels_b))
    conditions, counts = np.unique(given_b, return_counts=True)
    if not counts.size:
        return float("nan")
    parts = []
    for condition in conditions:
        mine = labels_a[given_a == condition]
        parts.append(distance(mine, labels_b[given_b == condition]) if mine.size else 1.0)
    return float(np.average(parts, weights=counts))


def frechet(a: Floats, b: Floats) -> float:
    """Fréchet distance d² between the normal distributions that have the means and covariances of two sets.

    |μ - ν|² + tr(C + D - 2 (C½ D C½)½), in squared units of the vectors; 0 for equal means and covariances. This is
    the formula of the Fréchet Inception Distance (Heusel et al., arXiv:1706.08500), for vectors of any origin.
    NaN if a set has fewer than two vectors.

    :param a: vectors, (N, D); those that are not finite are left out.
    :param b: vectors, (M, D).
    """
    a, b = (x[np.isfinite(x).all(axis=1)] for x in (a, b))
    if min(len(a), len(b)) < 2:
        return float("nan")
    c, d = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = _root(c)
    shift = a.mean(axis=0) - b.mean(axis=0)
    return max(0.0, float(shift @ shift + np.trace(c) + np.trace(d) - 2 * np.trace(_root(root @ d @ root))))


def _root(matrix: Floats) -> Floats:
    """Square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    return root


def interval(values: ArrayLike) -> tuple[float, float]:
    """Mean of a figure over independent repeats, and half the width of its 95 % interval (Student's t).

    The half width is NaN for a single value. With three repeats it is 2.48 sample standard deviations.

    >>> [round(x, 3) for x in interval([1.0, 2.0, 3.0])]
    [2.0, 2.484]
    """
    values = np.asarray(values, dtype=float)
    if values.size < 2:
        return float(values.mean()) if values.size else float("nan"), float("nan")
    critical = STUDENT[values.size - 2] if values.size - 2 < len(STUDENT) else 1.96
    return float(values.mean()), float(critical * values.std(ddof=1) / np.sqrt(values.size))
