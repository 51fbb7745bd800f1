"""Nequix, evaluated in batches and by one atom of each orbit, from a file of its weights alone.

Koker, Kotak, Smidt, arXiv:2508.16067; weights at https://github.com/atomicarchitects/nequix (MIT). The network is
NequIP's with normalised layers and one set of weights for all elements. Both of the package's formats are read:
``.nqx`` (JAX), in which weights are published, and ``.pt`` (torch). Neither needs the package.
"""

import json
import math
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from io import BufferedReader
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from e3nn.o3 import Irrep, Irreps, SphericalHarmonics, TensorProduct
from torch import Tensor
from torch.nn.functional import one_hot, silu

from cgwgan_core.potentials.convolution import Convolution, Perceptron, Radial
from cgwgan_core.potentials.equivariant import HIGHEST, EquivariantPotential, Graph
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.provenance import digest_file

SCALAR = Irrep("0e")
KEYS = {
    *("atomic_numbers", "avg_n_neighbors", "cutoff", "hidden_irreps", "index_weights", "layer_norm", "lmax"),
    *("n_layers", "radial_basis_size", "radial_mlp_layers", "radial_mlp_size", "radial_polynomial_p", "scale", "shift"),
}
"""What a file must say of its network."""
OTHERS = "only networks built like the published ones are read"


class Nequix(EquivariantPotential):
    """A pretrained Nequix.

    :param path: its weights, ``.nqx`` or ``.pt``.
    :raises InputError: if the file is no Nequix, or one that is built otherwise than those published.
    """

    energy_scale = "mp_uncorrected"
    reflections = True

    def __init__(self, path: str | Path) -> None:
        torch.set_num_threads(1)
        config, weights = _read(Path(path))
        self.name = Path(path).stem
        self.digest = digest_file(path)
        self.versions = {"torch": version("torch"), "e3nn": version("e3nn")}
        self.cutoff = float(config["cutoff"])
        self.species = {z: i for i, z in enumerate(sorted(config["atomic_numbers"]))}
        self._basis = _RadialBasis(self.cutoff, config["radial_basis_size"], config["radial_polynomial_p"])
        self._filters = SphericalHarmonics(
            Irreps.spherical_harmonics(config["lmax"]), normalize=True, normalization="component"
        )
        self._atoms = weights.take(len(self.species))
        self._layers = list(_layers(config, weights))
        self._readout = weights.linear(self._layers[-1].irreps, Irreps("1x0e"))
        self._scale, self._shift = config["scale"], config["shift"]
        weights.check_all_taken()

    def atom_energies(self, graph: Graph) -> Tensor:
        """Energy of each centre, (C,) eV."""
        filters, radial = self._filters(graph.bonds), Radial.of(self._basis, graph)
        features = one_hot(graph.species, len(self.species)).to(graph.bonds.dtype)
        for layer in self._layers:
            features = layer(features, filters, radial, graph)
        energies: Tensor = self._readout(features).squeeze(1) * self._scale + self._shift + self._atoms[graph.species]
        return energies


@dataclass(frozen=True)
class _RadialBasis:
    """Bessel functions that end smoothly at the cutoff."""

    cutoff: float
    """Å"""
    size: int
    power: float
    """Of the polynomial that ends them."""

    def __call__(self, distances: Tensor) -> Tensor:
        """(R, size) of distances (R,)."""
        x, p = distances[:, None] / self.cutoff, self.power
        waves = torch.sin(torch.pi * torch.arange(1, self.size + 1) * x) / distances[:, None]
        end = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
        basis: Tensor = 2 / self.cutoff * waves * (end * (x < 1))
        return basis


@dataclass(frozen=True)
class _Linear:
    """Mixes the channels of each irrep."""

    blocks: list[tuple[slice, int, Tensor]]
    """Of each irrep of the output: columns of the input, 2l + 1, and weights (channels in, channels out)."""

    def __call__(self, features: Tensor) -> Tensor:
        """(C, d') of (C, d)."""
        mixed = []
        for where, dim, weights in self.blocks:
            block = features[:, where].reshape(len(features), len(weights), dim)
            mixed.append((weights.T @ block).flatten(1))
        return torch.cat(mixed, dim=1)


@dataclass(frozen=True)
class _Norm:
    """Divides by a root of squares of all channels, each irrep weighted by 1 / (2l + 1)² as in training."""

    irreps: Irreps
    weights: list[Tensor]
    """Of each irrep's channels, (u,)."""

    def __call__(self, features: Tensor) -> Tensor:
        """(C, d) of (C, d)."""
        blocks = [
            features[:, where].reshape(len(features), mul, ir.dim)
            for (mul, ir), where in zip(self.irreps, self.irreps.slices(), strict=True)
        ]
        squares = [(block**2).sum(dim=(1, 2)) / block.shape[2] ** 2 for block in blocks]
        norm = (torch.stack(squares).mean(dim=0) + 1e-12) ** -0.5
        scaled = zip(blocks, self.weights, strict=True)
        return torch.cat([(b * w[:, None] * norm[:, None, None]).flatten(1) for b, w in scaled], dim=1)


@dataclass(frozen=True)
class _Gate:
    """Nonlinearity: scalars of their own, and scalars that scale the other channels."""

    irreps: Irreps
    """What comes out; the input has one more scalar for every channel that is none."""

    def __call__(self, features: Tensor) -> Tensor:
        """(C, d') of (C, d)."""
        others = self.irreps.filter(drop=[SCALAR])
        n, n_gates = self.irreps.count(SCALAR), others.num_irreps
        scalars, gates, rest = torch.split(features, [n, n_gates, others.dim], dim=1)
        each = torch.tensor([ir.dim for mul, ir in others for _ in range(mul)], dtype=torch.int64)
        return torch.cat([_activation(scalars), rest * _activation(gates).repeat_interleave(each, dim=1)], dim=1)


@dataclass(frozen=True)
class _Layer:
    """One round of messages: features of atoms and their neighbours to new features."""

    before: _Linear
    convolution: Convolution
    after: _Linear
    skip: _Linear
    norm: _Norm
    gate: _Gate

    @property
    def irreps(self) -> Irreps:
        """Of the features that come out."""
        return self.gate.irreps

    def __call__(self, features: Tensor, filters: Tensor, radial: Radial, graph: Graph) -> Tensor:
        """Features of the centres, (C, d'), of theirs (C, d)."""
        around = graph.on_atoms(self.before(features), self.convolution.irreps)
        messages = self.convolution(around, filters, radial, graph)
        return self.gate(self.norm(self.after(messages) + self.skip(features)))


def _activation(x: Tensor) -> Tensor:
    """SiLU, scaled to a mean square of 1 for normally distributed numbers."""
    return silu(x) / _size_of_silu()


@cache
def _size_of_silu() -> float:
    """By the rule that the weights were trained with: a million quantiles of the normal distribution."""
    quantiles = torch.linspace(-1, 1, 1_000_003, dtype=torch.float64)[1:-1]
    return float((silu(2**0.5 * torch.erfinv(quantiles)) ** 2).mean() ** 0.5)


class _Weights:
    """The numbers of a file, in the order of the ``.nqx`` format, taken one array after the other."""

    def __init__(self, path: Path, numbers: Tensor) -> None:
        self._path, self._left = path, numbers

    def take(self, *shape: int) -> Tensor:
        """The next array.

        :raises InputError: if too few numbers are left.
        """
        n = math.prod(shape)
        if len(self._left) < n:
            raise InputError(f"{self._path}: holds too few numbers for the network that it describes; {OTHERS}")
        found, self._left = self._left[:n].reshape(shape), self._left[n:]
        return found

    def linear(self, irreps_in: Irreps, irreps_out: Irreps) -> _Linear:
        """Weights of the irreps that both have; what the input lacks is zero."""
        channels = {ir: (mul, where) for (mul, ir), where in zip(irreps_in, irreps_in.slices(), strict=True)}
        blocks = []
        for mul, ir in irreps_out:
            n, where = channels.get(ir, (0, slice(0, 0)))
            blocks.append((where, ir.dim, self.take(n, mul) / max(n, 1) ** 0.5))
        return _Linear(blocks)

    def check_all_taken(self) -> None:
        """Raise where numbers are left.

        :raises InputError: if so.
        """
        if len(self._left):
            raise InputError(f"{self._path}: holds more numbers than the network that it describes; {OTHERS}")


def _layers(config: dict[str, Any], weights: _Weights) -> Iterator[_Layer]:
    hidden = Irreps(config["hidden_irreps"])
    filters = Irreps.spherical_harmonics(config["lmax"])
    widths = [config["radial_basis_size"], *[config["radial_mlp_size"]] * config["radial_mlp_layers"]]
    irreps = Irreps([(len(config["atomic_numbers"]), SCALAR)])
    for i in range(config["n_layers"]):
        out = hidden if i < config["n_layers"] - 1 else hidden.filter(keep=[SCALAR])
        n_gates = out.filter(drop=[SCALAR]).num_irreps
        ungated = (out + Irreps([(n_gates, SCALAR)])).regroup()
        product = _product(irreps, filters, out)
        sizes = [*widths, product.irreps_out.num_irreps]
        radial = Perceptron([weights.take(a, b) for a, b in pairwise(sizes)])
        yield _Layer(
            before=weights.linear(irreps, irreps),
            convolution=Convolution(product, radial, config["avg_n_neighbors"] ** 0.5),
            after=weights.linear(product.irreps_out.regroup(), ungated),
            skip=weights.linear(irreps, ungated),
            norm=_Norm(ungated, [weights.take(mul) for mul, _ in ungated]),
            gate=_Gate(out),
        )
        irreps = out


def _product(irreps: Irreps, filters: Irreps, out: Irreps) -> TensorProduct:
    """All products of features and spherical harmonics that are irreps of ``out``, sorted by these."""
    paths = [
        (ir_out, i, j, mul)
        for i, (mul, ir) in enumerate(irreps)
        for j, (_, of_filter) in enumerate(filters)
        for ir_out in ir * of_filter
        if ir_out in out
    ]
    paths.sort(key=lambda path: path[0])
    return TensorProduct(
        irreps,
        filters,
        Irreps([(mul, ir_out) for ir_out, _, _, mul in paths]),
        instructions=[(i, j, k, "uvu", True) for k, (_, i, j, _) in enumerate(paths)],
        shared_weights=False,
        internal_weights=False,
    )


def _read(path: Path) -> tuple[dict[str, Any], _Weights]:
    """What a file says of its network, and the network's numbers."""
    try:
        with path.open("rb") as file:
            config = json.loads(file.readline())
            arrays = _arrays_of_torch(file) if path.suffix == ".pt" else _arrays_of_jax(file)
        numbers = torch.cat([array.flatten() for array in arrays]).to(torch.float32)
    except (OSError, ValueError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: no weights of Nequix, .nqx or .pt ({type(error).__name__}: {error})") from None
    if missing := KEYS - set(config):
        raise InputError(f"{path}: says nothing of {', '.join(sorted(missing))}; {OTHERS}")
    if config["index_weights"] or not config["layer_norm"] or config["lmax"] > HIGHEST:
        raise InputError(f"{path}: a network with index_weights, without layer_norm or with lmax > {HIGHEST}; {OTHERS}")
    return config, _Weights(path, numbers)


def _arrays_of_jax(file: BufferedReader) -> list[Tensor]:
    """Arrays in numpy's format, one after the other."""
    arrays = []
    while file.peek(1):
        arrays.append(torch.from_numpy(np.load(file)))
    return arrays


def _arrays_of_torch(file: BufferedReader) -> list[Tensor]:
    """The arrays that are weights, in the order of the other format."""
    found = torch.load(file, map_location="cpu", weights_only=True)
    parts = ("radial_mlp", "linear_1", "linear_2", "skip", "layer_norm")

    def of_layer(i: int) -> Iterator[Tensor]:
        for part in parts:
            yield from (array for name, array in found.items() if re.match(rf"layers\.{i}\.{part}\..*weight", name))

    n_layers = len({name.split(".")[1] for name in found if name.startswith("layers.")})
    layers = [array for i in range(n_layers) for array in of_layer(i)]
    return [found["atom_energies"], *layers, found["readout.weight"]]
