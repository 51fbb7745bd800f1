"""Compiled convolutions beside e3nn's tensor product, pair by pair, with their derivatives."""

import numpy as np
import pytest
import torch
from e3nn.o3 import Irreps, TensorProduct
from torch import Tensor
from torch.nn.functional import silu

from cgwgan_core.potentials.convolution import Convolution, Perceptron, Radial
from cgwgan_core.potentials.equivariant import Graph

N_ATOMS, N_PAIRS, BASIS = 7, 40, 5


def waves(distances: Tensor) -> Tensor:
    """A radial basis."""
    return torch.sin(distances[:, None] * torch.arange(1, BASIS + 1))


def graph_of(n: int, centre: Tensor, neighbour: Tensor, bonds: Tensor) -> Graph:
    """Atoms each of which is a centre of its own."""
    own = torch.arange(n)
    return Graph(own, np.ones(n), np.zeros(n), bonds, centre, neighbour, own, torch.eye(3).expand(n, 3, 3))


def product_of(inputs: Irreps, filters: Irreps, wanted: Irreps) -> TensorProduct:
    """All products of features and filters that are irreps of ``wanted``."""
    found = [
        (i, j, mul, ir_out)
        for i, (mul, ir) in enumerate(inputs)
        for j, (_, of_filter) in enumerate(filters)
        for ir_out in ir * of_filter
        if ir_out in wanted
    ]
    return TensorProduct(
        inputs,
        filters,
        Irreps([(mul, ir) for _, _, mul, ir in found]),
        [(i, j, k, "uvu", True) for k, (i, j, _, _) in enumerate(found)],
        shared_weights=False,
        internal_weights=False,
    )


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [("16x0e", "0e+1e+2e"), ("8x0e+4x1e+2x2e+3x3e", "0e+1e+2e+3e"), ("4x0e+4x1o+4x2e", "0e+1o"), ("5x1o", "0e")],
)
def test_it_is_the_tensor_product_summed_over_neighbours(inputs: str, wanted: str) -> None:
    torch.manual_seed(0)
    filters = Irreps.spherical_harmonics(3, p=-1 if "o" in inputs else 1)
    product = product_of(Irreps(inputs), filters, Irreps(wanted))
    first, last = torch.randn(BASIS, 6), torch.randn(6, product.weight_numel)
    convolution = Convolution(product, Perceptron([first, last], 1.7), 3.0)
    centre, neighbour = torch.randint(N_ATOMS, (2, N_PAIRS))
    bonds = torch.randn(N_PAIRS, 3)
    bonds[::3] = -bonds[0]  # some are as long as others
    graph = graph_of(N_ATOMS, centre, neighbour, bonds.requires_grad_())
    leaves = [
        torch.randn(size, requires_grad=True) for size in ((N_ATOMS, product.irreps_in1.dim), (N_PAIRS, filters.dim))
    ]
    each = product(leaves[0][neighbour], leaves[1], 1.7 * silu(waves(bonds.norm(dim=1)) @ first) @ last)
    wanted_values = torch.zeros(N_ATOMS, each.shape[1]).index_add(0, centre, each) / 3.0
    found = convolution(*leaves, Radial.of(waves, graph), graph)
    assert len(graph.radii[0]) == N_PAIRS - N_PAIRS // 3
    torch.testing.assert_close(found, wanted_values, rtol=1e-5, atol=1e-5)
    pull = torch.randn_like(found)
    derivatives = (torch.autograd.grad(x, [*leaves, bonds], pull) for x in (found, wanted_values))
    for mine, theirs in zip(*derivatives, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_a_centre_without_neighbours_has_no_features() -> None:
    product = product_of(Irreps("4x0e"), Irreps("0e+1o"), Irreps("0e+1o"))
    convolution = Convolution(product, Perceptron([torch.ones(BASIS, product.weight_numel)]), 1.0)
    graph = graph_of(2, torch.tensor([0]), torch.tensor([1]), torch.ones(1, 3))
    found = convolution(torch.ones(2, 4), torch.ones(1, 4), Radial.of(waves, graph), graph)
    assert found[0].abs().min() > 0
    assert not found[1].any()
