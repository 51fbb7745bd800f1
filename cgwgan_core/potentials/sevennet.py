"""SevenNet with the weights of its own package, evaluated in batches and by one atom of each orbit.

Park et al., J. Chem. Theory Comput. 20, 4857 (2024), doi:10.1021/acs.jctc.4c00190. Both sizes learnt raw PBE and PBE+U
energies of the Materials Project (MPtrj, late 2022). SevenNet's irreps have no parity: features follow rotations, not
reflections.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import sevenn
import torch
from sevenn import _keys as key
from sevenn.util import load_checkpoint
from torch import Tensor

from cgwgan_core.potentials.convolution import Convolution, Perceptron, Radial
from cgwgan_core.potentials.equivariant import EquivariantPotential, Graph
from cgwgan_core.workflow.provenance import digest_file

WEIGHTS = {
    "sevennet-0": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "sevennet-l3i5": "SevenNet_l3i5/checkpoint_l3i5.pth",
}
"""Names in ``potential.name`` -> files of weights in the package."""
CONVOLUTION = "_convolution"
"""What the names of SevenNet's convolutions end with."""
TOTALS = ("reduce_total_enegy", "force_output")
"""SevenNet's last layers, which are done here: sums over atoms, and derivatives."""


class SevenNet(EquivariantPotential):
    """A pretrained SevenNet.

    :param size: one of :data:`WEIGHTS`.
    """

    energy_scale = "mp_uncorrected"
    reflections = False

    def __init__(self, size: str) -> None:
        torch.set_num_threads(1)
        weights = Path(sevenn.__file__).parent / "pretrained_potentials" / WEIGHTS[size]
        checkpoint = load_checkpoint(str(weights))
        model = checkpoint.build_model().eval().requires_grad_(False)
        self.name = size.replace("sevennet", "SevenNet")
        self.digest = digest_file(weights)
        self.versions = {"sevenn": version("sevenn"), "torch": version("torch")}
        self.cutoff = float(checkpoint.config[key.CUTOFF])
        self.species = dict(model.type_map or {})
        layers = {name: layer for name, layer in model.named_children() if name not in TOTALS}
        self._edges: Any = layers.pop("edge_embedding")
        self._layers: dict[str, Any] = {
            name: _convolution(layer) if name.endswith(CONVOLUTION) else layer for name, layer in layers.items()
        }

    def atom_energies(self, graph: Graph) -> Tensor:
        """Energy of each centre, (C,) eV."""
        filters, radial = self._edges.spherical(graph.bonds), Radial.of(self._basis, graph)
        data = {key.NODE_FEATURE: graph.species}
        for layer in self._layers.values():
            if isinstance(layer, Convolution):
                around = graph.on_atoms(data[key.NODE_FEATURE], layer.irreps)
                data[key.NODE_FEATURE] = layer(around, filters, radial, graph)
            else:
                data = layer(data)
        return data[key.ATOMIC_ENERGY].squeeze(1)

    def _basis(self, distances: Tensor) -> Tensor:
        """(R, b) of distances (R,)."""
        values: Tensor = self._edges.basis_function(distances) * self._edges.cutoff_function(distances)[:, None]
        return values


def _convolution(layer: Any) -> Convolution:
    """The package's ``IrrepsConvolution`` as ours."""
    network = list(layer.weight_nn)
    scaled = [one.weight / one.h_in**0.5 for one in network]  # e3nn's, for inputs and outputs of variance 1
    return Convolution(layer.convolution, Perceptron(scaled, network[0].act.cst), layer.denominator)
