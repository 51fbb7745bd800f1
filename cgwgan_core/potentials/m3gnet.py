"""M3GNet, and any other potential that matgl loads, evaluated in batches.

Chen and Ong, Nat. Comput. Sci. 2, 718 (2022). Two exact changes make M3GNet about twice as fast as in matgl.
The first layer of each gated network is applied to atoms before they are gathered to pairs, not after. Three-body
terms whose weights are all zero are left out. A third makes symmetric crystals several times faster: one atom of each
orbit is evaluated. Where a C++ compiler is at hand, torch can compile the layers.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matgl
import numpy as np
import torch
from ase import Atoms
from ase.units import GPa
from torch import Tensor, nn
from torch_geometric.data import Batch as GraphBatch

from cgwgan_core.potentials.facts import M3GNET_FILES, scale_of
from cgwgan_core.potentials.neighbours import Neighbours
from cgwgan_core.potentials.orbits import Orbits
from cgwgan_core.potentials.protocol import ENERGY_SCALES, Batch, EnergyScale, Potential
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import InputError, first_line


class M3GNet(Potential):
    """A matgl potential from its folder of three files.

    :param source: the folder.
    :param energy_scale: where ``None``, told by the name: MatPES, or MP-2021.
    :param compiled: whether layers are compiled.
    :raises InputError: if a file is missing, cannot be loaded, or the energy scale is unknown; if compiled code is
        asked for and there is no compiler, or the potential is no M3GNet.
    """

    def __init__(self, source: str, energy_scale: str | None, compiled: bool) -> None:
        folder = locate(source)
        self.name = Path(source).name
        self.energy_scale = _energy_scale(self.name, energy_scale)
        self.digest = _digest(folder)
        self.versions = {"matgl": version("matgl"), "torch": version("torch")}
        self._potential = _load(folder)
        if compiled:
            _compile(self._potential.model)
        model, references = self._potential.model, self._potential.element_refs
        self.cutoff = float(model.cutoff)
        self.by_orbit = (
            type(model).__name__ == "M3GNet"
            and not model.is_intensive
            and not model.include_state
            and not self._potential.calc_repuls
            and (references is None or references.property_offset.ndim == 1)
        )
        self._species = {symbol: i for i, symbol in enumerate(model.element_types)}

    def unknown(self, symbols: set[str]) -> set[str]:
        """Those of the elements that the potential has no parameters for."""
        return symbols - set(self._species)

    def compute(self, crystals: Sequence[Atoms], pairs: Sequence[Neighbours], forces: bool, stress: bool) -> Batch:
        """Evaluate one batch as one graph."""
        sizes = np.array([len(atoms) for atoms in crystals])
        starts = np.concatenate([[0], np.cumsum(sizes)])
        edges = [np.stack([p.centre, p.neighbour]) + s for p, s in zip(pairs, starts[:-1], strict=True)]
        species = [self._species[symbol] for atoms in crystals for symbol in atoms.get_chemical_symbols()]
        graph = GraphBatch(
            edge_index=torch.as_tensor(np.concatenate(edges, axis=1)),
            pbc_offset=_float(np.concatenate([p.image for p in pairs])),
            node_type=torch.tensor(species),
            frac_coords=_float(np.concatenate([a.get_scaled_positions(wrap=False) for a in crystals])),
            batch=torch.as_tensor(np.repeat(np.arange(len(crystals)), sizes)),
            ptr=torch.as_tensor(starts),
            num_nodes=int(starts[-1]),
        )
        graph._num_graphs = len(crystals)
        # matgl computes the stress along with the forces only
        self._potential.calc_forces, self._potential.calc_stresses = forces or stress, stress
        energies, gradient, virial, _ = self._potential(
            graph, _float(np.stack([a.cell.array for a in crystals])), torch.zeros(len(crystals), 2)
        )
        return Batch(
            _numpy(energies).reshape(-1),
            np.split(_numpy(gradient), starts[1:-1]) if forces else None,
            _numpy(virial).reshape(-1, 3, 3) * GPa if stress else None,
        )

    def compute_by_orbit(
        self,
        crystals: Sequence[Atoms],
        pairs: Sequence[Neighbours],
        orbits: Sequence[Orbits],
        forces: bool,
        stress: bool,
    ) -> Batch:
        """Evaluate one batch from a graph whose nodes are orbits.

        A node's neighbours are those of the first atom of its orbit. Atoms of an orbit have equal features in every
        layer, as only distances and angles enter, so features may be gathered from the neighbour's orbit.
        """
        first = [found.first for found in orbits]
        numbers = [found.number for found in orbits]
        sizes = np.array([len(f) for f in first])
        starts = np.concatenate([[0], np.cumsum(sizes)])
        edges, bonds = [], []
        for atoms, found, number, start in zip(crystals, pairs, numbers, starts[:-1], strict=True):
            edges.append(np.stack([number[found.centre], number[found.neighbour]]) + start)
            bonds.append(found.bonds(atoms))
        symbols = [[atoms.symbols[i] for i in f] for atoms, f in zip(crystals, first, strict=True)]
        species = np.array([self._species[symbol] for several in symbols for symbol in several])
        owner = np.repeat(np.arange(len(crystals)), sizes)
        weights = np.concatenate([np.bincount(number) for number in numbers])
        potential, device = self._potential, self._potential.data_mean.device
        bond = _float(np.concatenate(bonds)).to(device).requires_grad_(forces or stress)
        graph = GraphBatch(
            edge_index=torch.as_tensor(np.concatenate(edges, axis=1)),
            node_type=torch.as_tensor(species),
            batch=torch.as_tensor(owner),
            num_nodes=int(starts[-1]),
        ).to(device)
        # one node stands for atoms at several places: all that is known of places is in the bonds
        graph.pos, graph.pbc_offshift = torch.zeros(int(starts[-1]), 3, device=device), bond
        graph._num_graphs = len(crystals)
        potential.model(graph)
        each = potential.data_std * potential.model.feature_dict["readout"].view(-1)
        energy = _numpy(each)
        if potential.element_refs is not None:
            energy += _numpy(potential.element_refs.property_offset)[species]
        total = np.bincount(owner, weights=energy * weights, minlength=len(crystals)) + float(potential.data_mean)
        batch = Batch(np.asarray(total, dtype=np.float64), None, None)
        if not (forces or stress):
            return batch
        (pull,) = torch.autograd.grad(each, bond, _float(weights).to(device))
        pulls = np.split(_numpy(pull), np.cumsum([len(found.centre) for found in pairs])[:-1])
        if forces:
            on_atoms = [found.forces(p, len(a)) for p, found, a in zip(pulls, pairs, crystals, strict=True)]
            batch = replace(batch, forces=on_atoms)
        if stress:
            virials = [b.T @ p / a.get_volume() for b, p, a in zip(bonds, pulls, crystals, strict=True)]
            batch = replace(batch, stresses=np.stack(virials))
        return batch


def locate(source: str) -> Path:
    """The folder of a potential.

    :raises InputError: if it is none, or lacks a file.
    """
    folder = Path(source).expanduser()
    if missing := [name for name in M3GNET_FILES if not (folder / name).is_file()]:
        raise InputError(
            f"{source}: no M3GNet, it lacks {', '.join(missing)}; name a folder with {', '.join(M3GNET_FILES)}"
        )
    return folder


def _load(folder: Path) -> Any:
    torch.set_num_threads(1)
    try:
        potential = matgl.load_model(str(folder))
    except Exception as error:  # noqa: BLE001 - files of any content fail in any way
        cause = error.__cause__ or error
        raise InputError(f"{folder}: matgl {version('matgl')} cannot load it ({cause}); get it anew") from None
    if not hasattr(potential, "calc_stresses"):
        raise InputError(f"{folder}: a {type(potential).__name__}, which predicts no forces; name a potential (PES)")
    potential.eval()
    potential.requires_grad_(False)
    if torch.cuda.is_available():
        potential.to("cuda")  # what it is given goes there by itself
    if type(potential.model).__name__ == "M3GNet":
        _speed_up(potential.model)
    return potential


def _speed_up(model: Any) -> None:
    interactions = model.three_body_interactions
    if all(not block.update_network_bond.layers[0].weight.any() for block in interactions):
        # Their networks have no biases, so zero weights add exactly zero. No pair is within the tiny cutoff,
        # hence no triplet is ever listed.
        model.three_body_interactions = nn.ModuleList(_NoThreeBody() for _ in interactions)
        model.threebody_cutoff = 0.01
    if not model.include_state:
        for block in model.graph_layers:
            block.conv = _FusedConvolution(block.conv)
    expansion = model.bond_expansion
    if type(expansion.rbf).__name__ == "SphericalBesselFunction" and not expansion.rbf.smooth:
        expansion.rbf = _ContinuedBessel(expansion.rbf)


class _ContinuedBessel(nn.Module):
    """matgl's ``SphericalBesselFunction``, which is constant beyond the cutoff, without a corner there.

    The same for every pair within the cutoff. A pair that is kept beyond it (``pairs`` of :meth:`Potential.evaluate`)
    goes on to be counted as it was.
    """

    cutoff: Tensor
    roots: Tensor
    norm: Tensor

    def __init__(self, bessel: Any) -> None:
        super().__init__()
        self.functions = bessel.funcs[: bessel.max_l]
        self.register_buffer("cutoff", bessel.cutoff)
        self.register_buffer("roots", bessel.roots_slice, persistent=False)
        self.register_buffer("norm", bessel.inv_norm, persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        scaled = distance.unsqueeze(-1) / self.cutoff
        orders = zip(self.functions, self.roots, self.norm, strict=True)
        return torch.cat([function(scaled * roots) * norm for function, roots, norm in orders], dim=1)


class _NoThreeBody(nn.Module):
    """A three-body interaction whose weights are all zero."""

    def forward(self, *arguments: Tensor) -> Tensor:
        return arguments[-1]


class _FusedConvolution(nn.Module):
    """matgl's ``M3GNetGraphConv`` without a global state, its first layers applied where the rows are few.

    A layer on a pair's features [v_i, v_j, e_ij] is W_i v_i + W_j v_j + W_e e_ij + b. The first two terms need one
    product per atom, not per pair. The layer and its gate share their input, hence one matrix product.
    """

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        self.edge_weight = convolution.edge_weight_func
        self.node_weight = convolution.node_weight_func
        self.edge = _FusedGate(convolution.edge_update_func)
        self.node = _FusedGate(convolution.node_update_func)

    def forward(
        self, edge_index: Tensor, edge: Tensor, node: Tensor, state: Tensor | None, radial: Tensor, *_: Any
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        edge = edge + self.edge(node, edge, edge_index) * self.edge_weight(radial)
        message = self.node(node, edge, edge_index) * self.node_weight(radial)
        return edge, node.index_add(0, edge_index[0], message), state


class _FusedGate(nn.Module):
    """matgl's ``GatedMLP`` on [v_i, v_j, e_ij]."""

    def __init__(self, gated: Any) -> None:
        super().__init__()
        first = (gated.layers[0], gated.gates[0])
        weight = torch.cat([layer.weight for layer in first])
        width = gated.layers[0].weight.shape[1] // 3
        self.centre, self.neighbour, self.pair = (w.T.contiguous() for w in torch.split(weight, width, dim=1))
        self.bias = torch.cat([layer.bias for layer in first])
        self.layers, self.gates = gated.layers[1:], gated.gates[1:]

    def forward(self, node: Tensor, edge: Tensor, edge_index: Tensor) -> Tensor:
        centre, neighbour = edge_index[0], edge_index[1]
        hidden = (node @ self.centre + self.bias)[centre] + (node @ self.neighbour)[neighbour] + edge @ self.pair
        value, gate = hidden.chunk(2, dim=1)
        gated: Tensor = self.layers(value) * self.gates(gate)
        return gated


def _compile(model: Any) -> None:
    if type(model).__name__ != "M3GNet":
        raise InputError(f"compile is for M3GNet, not for {type(model).__name__}; set it to false")
    import torch._inductor.config as inductor  # noqa: PLC0415 - loads torch's compiler

    inductor.compile_threads = 1  # a job has one core; torch would start a worker for each of the machine's
    try:
        torch.compile(torch.tanh, dynamic=True)(torch.zeros(3))
    except Exception as error:  # noqa: BLE001 - each compiler fails in its own way
        raise InputError(
            f"torch finds no C++ compiler that works ({first_line(error)}); set compile to false"
        ) from None
    for block in model.graph_layers:
        block.conv = torch.compile(block.conv, dynamic=True)


def _energy_scale(name: str, given: str | None) -> EnergyScale:
    scale = scale_of("m3gnet", name, given)
    if scale not in ENERGY_SCALES:
        raise InputError(
            f"the name {name} does not tell the energy scale; set energy_scale to one of {', '.join(ENERGY_SCALES)}"
        )
    return scale  # type: ignore[return-value]  # one of them, as was asked above


def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    # model.json may be formatted anew without a change of meaning
    total.update(json.dumps(json.loads((folder / "model.json").read_text()), sort_keys=True).encode())
    for name in M3GNET_FILES[1:]:
        total.update((folder / name).read_bytes())
    return total.hexdigest()[:16]


def _numpy(tensor: Tensor) -> Floats:
    return tensor.detach().cpu().numpy().astype(float)


def _float(array: Any) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)
