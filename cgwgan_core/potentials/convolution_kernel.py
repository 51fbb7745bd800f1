"""The compiled part of :mod:`.convolution`: products of features and filters, pair by pair, summed as they come.

Written out as tensors they would be a thousand times larger than what remains of them, and memory would set the speed.
Channels come last, so that the innermost loops run over them in one sweep.
"""

# ruff: noqa: C901 - numba compiles plain loops best

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cgwgan_core.workflow.arrays import Integers

Singles = NDArray[np.float32]
Forward = Callable[[Singles, Singles, Singles, "Pairs", Integers, int], Singles]
Backward = Callable[[Singles, Singles, Singles, Singles, Singles, "Pairs", Integers, Singles], tuple[Singles, Singles]]


class Pairs(NamedTuple):
    """E pairs of a centre and a neighbour."""

    centre: Integers
    """(E,)"""
    neighbour: Integers
    """(E,)"""
    radius: Integers
    """Place of its distance among the different ones, (E,)."""


@cache
def kernels(dim: int) -> tuple[Forward, Backward]:
    """Sums over neighbours, and their derivatives, for an input irrep of 2l + 1 = ``dim`` components.

    For n centres, A atoms, E pairs of them at R different distances, u channels, K output columns and P paths, the sums
    are

        total[c, k, u] = Σ_e weights[distance of e, path of k, u] Σ_a matrices[e, a, k] inputs[neighbour of e, a, u].

    The number of components is a constant of the code that is compiled, so that their sum is unrolled.

    :returns: ``forward(inputs (A, dim, u), matrices (E, dim, K), weights (R, W), pairs, paths (P, 3), n)``, the sums
        (n, K, u); a path is its first column, the column after its last, and the place of its first weight. And
        ``backward(slope (n, K, u), inputs, matrices, weights, changes (R, W), pairs, paths, of_distance (E,))``,
        derivatives by inputs and matrices; that by each pair's distance, with which its weights change, is added to the
        last argument.
    """

    @njit(cache=True, nogil=True, fastmath=True)
    def forward(
        inputs: Singles, matrices: Singles, weights: Singles, pairs: Pairs, paths: Integers, n: int
    ) -> Singles:  # pragma: no cover (compiled)
        channels = inputs.shape[2]
        total = np.zeros((n, matrices.shape[2], channels), np.float32)
        factor = np.empty(dim, np.float32)
        for e in range(len(pairs.centre)):
            x, out, radius = inputs[pairs.neighbour[e]], total[pairs.centre[e]], pairs.radius[e]
            for first, end, start in paths:
                weight = weights[radius, start : start + channels]
                for k in range(first, end):
                    for a in range(dim):
                        factor[a] = matrices[e, a, k]
                    column = out[k]
                    for c in range(channels):
                        value = factor[0] * x[0, c]
                        for a in range(1, dim):
                            value += factor[a] * x[a, c]
                        column[c] += value * weight[c]
        return total

    @njit(cache=True, nogil=True, fastmath=True)
    def backward(
        slope: Singles, inputs: Singles, matrices: Singles, weights: Singles, changes: Singles, pairs: Pairs,
        paths: Integers, of_distance: Singles,
    ) -> tuple[Singles, Singles]:  # pragma: no cover (compiled)  # fmt: skip
        channels = inputs.shape[2]
        of_inputs, of_matrices = np.zeros_like(inputs), np.empty_like(matrices)
        factor, pull = np.empty(dim, np.float32), np.empty(channels, np.float32)
        for e in range(len(pairs.centre)):
            neighbour, radius = pairs.neighbour[e], pairs.radius[e]
            x, of_x, out = inputs[neighbour], of_inputs[neighbour], slope[pairs.centre[e]]
            outward = np.float32(0)
            for first, end, start in paths:
                weight, change = weights[radius, start : start + channels], changes[radius, start : start + channels]
                for k in range(first, end):
                    for a in range(dim):
                        factor[a] = matrices[e, a, k]
                    column = out[k]
                    for c in range(channels):
                        value = factor[0] * x[0, c]
                        for a in range(1, dim):
                            value += factor[a] * x[a, c]
                        outward += value * change[c] * column[c]
                        pull[c] = weight[c] * column[c]
                    for a in range(dim):
                        total = np.float32(0)
                        for c in range(channels):
                            total += x[a, c] * pull[c]
                            of_x[a, c] += factor[a] * pull[c]
                        of_matrices[e, a, k] = total
            of_distance[e] += outward
        return of_inputs, of_matrices

    return forward, backward
