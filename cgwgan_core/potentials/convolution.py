"""Convolutions of features with spherical harmonics, summed over neighbours, without their products in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from e3nn.o3 import Irreps, wigner_3j
from torch import Tensor

from cgwgan_core.potentials.equivariant import Graph
from cgwgan_core.workflow.arrays import Integers


class Convolution:
    """A convolution of features with spherical harmonics, ``uvu`` in e3nn's terms, summed over neighbours.

    For every input irrep the filter is contracted with the coupling coefficients of all paths at once, into one matrix
    for each pair of atoms. Products are summed over neighbours before their columns are sorted into output irreps.
    """

    def __init__(self, product: Any, weights: "Perceptron", denominator: Tensor | float) -> None:
        """What the network says of it.

        :param product: e3nn's ``TensorProduct`` of features and spherical harmonics; it is not evaluated.
        :param weights: of all paths' channels, from the radial basis.
        :param denominator: by which sums over neighbours are divided.
        """
        self._weights = weights
        self._denominator = denominator
        self.irreps: Irreps = product.irreps_in1
        filters = product.irreps_in2.slices()
        starts = np.cumsum([0, *(self.irreps[path.i_in1].mul for path in product.instructions)]).tolist()
        self._blocks: list[_Block] = []
        columns: dict[int, tuple[int, slice]] = {}
        for i, (mul, ir) in enumerate(self.irreps):
            couplings, paths, width = [], [], 0
            for path, start in zip(product.instructions, starts, strict=False):
                if path.i_in1 != i:
                    continue
                of_filter, out = product.irreps_in2[path.i_in2].ir, product.irreps_out[path.i_out].ir
                coupling = torch.zeros(product.irreps_in2.dim, ir.dim, out.dim)
                coupling[filters[path.i_in2]] = path.path_weight * wigner_3j(ir.l, of_filter.l, out.l).transpose(0, 1)
                couplings.append(coupling)
                paths.append([width, width + out.dim, start])
                columns[path.i_out] = i, slice(width, width + out.dim)
                width += out.dim
            coupled = torch.cat(couplings, dim=2).reshape(product.irreps_in2.dim, -1)
            self._blocks.append(_Block(self.irreps.slices()[i], mul, ir.dim, coupled, np.array(paths)))
        self._columns = [columns[i] for i in range(len(product.irreps_out))]

    def __call__(self, features: Tensor, filters: Tensor, radial: "Radial", graph: Graph) -> Tensor:
        """Features of the centres, (C, d').

        :param features: of atoms, (A, d).
        :param filters: spherical harmonics of pairs, (E, (l + 1)²).
        """
        n = len(graph.species)
        inputs = [features[:, b.where].view(-1, b.mul, b.dim).transpose(1, 2).contiguous() for b in self._blocks]
        matrices = [(filters @ block.coupled).view(len(filters), block.dim, -1) for block in self._blocks]
        weights = self._weights(radial)
        sums = _Summed.apply(self._blocks, graph, weights, graph.distances, *inputs, *matrices)  # type: ignore[no-untyped-call]  # torch's
        sorted_columns = [sums[i][:, columns].transpose(1, 2).reshape(n, -1) for i, columns in self._columns]
        found: Tensor = torch.cat(sorted_columns, dim=1) / self._denominator
        return found


@dataclass(frozen=True)
class Radial:
    """Functions of the different distances of a graph: in a crystal most distances are equal to others."""

    values: Tensor
    """(R, b)"""
    changes: Tensor | None
    """Their derivatives by the distance, 1/Å, (R, b), if the graph asks for any."""

    @classmethod
    def of(cls, function: Callable[[Tensor], Tensor], graph: Graph) -> "Radial":
        """A function of distances, (R,) -> (R, b), at those of a graph."""
        distances, _ = graph.radii
        if not graph.distances.requires_grad:
            return cls(function(distances), None)
        distances = distances.clone().requires_grad_()
        values = function(distances)
        # the derivative by v of the derivative of v · values
        vector = torch.zeros_like(values, requires_grad=True)
        (slope,) = torch.autograd.grad(values, distances, vector, create_graph=True)
        (changes,) = torch.autograd.grad(slope.sum(), vector)
        return cls(values.detach(), changes)


@dataclass(frozen=True)
class Perceptron:
    """Layers of a plain network, without biases, with SiLU between them."""

    layers: list[Tensor]
    """Weights, (in, out) each."""
    scale: float = 1.0
    """Of what SiLU gives."""

    @torch.no_grad()
    def __call__(self, radial: Radial) -> Radial:
        """What the network makes of a basis, and its derivatives by the distance."""
        x, change = radial.values, radial.changes
        for layer in self.layers[:-1]:
            before = x @ layer
            rise = torch.sigmoid(before)
            x = self.scale * before * rise
            if change is not None:
                change = self.scale * (change @ layer) * rise * (1 + before * (1 - rise))
        return Radial(x @ self.layers[-1], None if change is None else change @ self.layers[-1])


@dataclass(frozen=True)
class _Block:
    """One input irrep of a convolution, and all its paths."""

    where: slice
    """Its columns of the features."""
    mul: int
    """Its channels, u."""
    dim: int
    """2l + 1."""
    coupled: Tensor
    """Coupling coefficients of all paths, (filter, dim · K) for K output columns."""
    paths: Integers
    """First column, column after the last, and place of the first weight of each path, (P, 3)."""


class _Summed(torch.autograd.Function):
    """Products of features and matrices, weighted and summed over neighbours, for all blocks: (C, K, u) each."""

    @staticmethod
    def forward(
        ctx: Any, blocks: list[_Block], graph: Graph, weights: Radial, distances: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """Sums of each block.

        :param weights: (R, W).
        :param distances: of each pair, (E,); the weights follow from them.
        :param tensors: inputs of each block, (A, dim, u), then its matrices, (E, dim, K).
        """
        from cgwgan_core.potentials.convolution_kernel import Pairs, kernels  # noqa: PLC0415 - numba is slow to import

        ctx.blocks, ctx.weights = blocks, weights
        ctx.pairs = Pairs(*(x.numpy() for x in (graph.centre, graph.neighbour, graph.radii[1])))
        ctx.save_for_backward(distances, *tensors)
        sums = []
        for block, inputs, matrices in zip(blocks, tensors[: len(blocks)], tensors[len(blocks) :], strict=True):
            forward, _ = kernels(block.dim)
            arrays = inputs.numpy(), matrices.numpy(), weights.values.numpy()
            sums.append(torch.from_numpy(forward(*arrays, ctx.pairs, block.paths, len(graph.species))))
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """Derivatives by the tensors of :meth:`forward`."""
        from cgwgan_core.potentials.convolution_kernel import kernels  # noqa: PLC0415 - as above

        distances, *tensors = ctx.saved_tensors
        weights, changes = ctx.weights.values.numpy(), ctx.weights.changes.numpy()
        n = len(ctx.blocks)
        of_distances = torch.zeros_like(distances)
        of_inputs, of_matrices = [], []
        for block, *parts in zip(ctx.blocks, slopes, tensors[:n], tensors[n:], strict=True):
            _, backward = kernels(block.dim)
            slope, inputs, matrices = (part.contiguous().numpy() for part in parts)
            found = backward(slope, inputs, matrices, weights, changes, ctx.pairs, block.paths, of_distances.numpy())
            of_inputs.append(torch.from_numpy(found[0]))
            of_matrices.append(torch.from_numpy(found[1]))
        return None, None, None, of_distances, *of_inputs, *of_matrices
