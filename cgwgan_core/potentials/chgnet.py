"""CHGNet with the weights of its own package, evaluated in batches.

Deng et al., Nat. Mach. Intell. 5, 1031 (2023). It was trained on Materials Project energies with their
corrections (the scheme of 2020) already in, so its energies need none.
"""

import contextlib
import io
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import chgnet
import numpy as np
import torch
from ase import Atoms
from chgnet.graph.crystalgraph import TORCH_DTYPE, CrystalGraph
from chgnet.model.model import BatchedGraph
from chgnet.model.model import CHGNet as Model

from cgwgan_core.potentials.facts import MPTRJ
from cgwgan_core.potentials.neighbours import Neighbours
from cgwgan_core.potentials.protocol import Batch, Potential
from cgwgan_core.workflow.provenance import digest_file

WEIGHTS = "0.3.0"


class CHGNet(Potential):
    """The pretrained CHGNet, version 0.3.0 of the weights."""

    name = f"CHGNet-{WEIGHTS}"
    energy_scale = "mp_corrected"
    batch_atoms = 64

    def __init__(self) -> None:
        torch.set_num_threads(1)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its number of parameters
            self._model = Model.load(model_name=WEIGHTS, use_device="cpu", verbose=False)
        self._model.eval()
        self._model.requires_grad_(False)
        (weights,) = (Path(chgnet.__file__).parent / "pretrained" / WEIGHTS).glob("*.pth.tar")
        self.digest = digest_file(weights)
        self.cutoff = float(self._model.graph_converter.atom_graph_cutoff)
        self.versions = {"chgnet": version("chgnet"), "torch": version("torch")}

    def unknown(self, symbols: set[str]) -> set[str]:
        """Elements that it never met in training, whether it has parameters for them or not."""
        return symbols - MPTRJ

    def compute(self, crystals: Sequence[Atoms], pairs: Sequence[Neighbours], forces: bool, stress: bool) -> Batch:
        """Evaluate one batch as one graph."""
        model = self._model
        graphs = [self._graph(atoms, found) for atoms, found in zip(crystals, pairs, strict=True)]
        sizes = np.array([len(atoms) for atoms in crystals])
        # The model's own forces keep a graph for second derivatives, which training needs: twice the time.
        with torch.set_grad_enabled(forces or stress):
            batch = BatchedGraph.from_graphs(
                graphs, model.bond_basis_expansion, model.angle_basis_expansion, compute_stress=stress
            )
            per_atom = model._compute(batch)["e"]
        energies = (per_atom + model.composition_model(graphs)).detach().numpy().astype(float) * sizes
        if not (forces or stress):
            return Batch(energies, None, None)
        variables = list(batch.atom_positions) + (list(batch.strains) if stress else [])
        slopes = torch.autograd.grad((per_atom * torch.as_tensor(sizes)).sum(), variables)
        gradients = [slope.numpy().astype(float) for slope in slopes]
        n = len(crystals)
        volumes = np.array([abs(atoms.cell.volume) for atoms in crystals])
        return Batch(
            energies,
            [-g for g in gradients[:n]] if forces else None,
            np.stack(gradients[n:]) / volumes[:, None, None] if stress else None,
        )

    def _graph(self, atoms: Atoms, pairs: Neighbours) -> CrystalGraph:
        """What CHGNet's own converter gives, without a detour over pymatgen's structures.

        The converter also leaves a CIF in the working directory when it fails; this one raises.
        """
        converter = self._model.graph_converter
        graph = converter.create_graph(len(atoms), pairs.centre, pairs.neighbour, pairs.image, pairs.distance)
        atom_graph, directed = graph.adjacency_list()
        bond_graph, undirected = graph.line_graph_adjacency_list(cutoff=converter.bond_graph_cutoff)
        return CrystalGraph(
            atomic_number=torch.tensor(atoms.numbers, dtype=torch.int32),
            atom_frac_coord=torch.tensor(atoms.get_scaled_positions(wrap=False), dtype=TORCH_DTYPE, requires_grad=True),
            atom_graph=torch.tensor(atom_graph, dtype=torch.int32),
            neighbor_image=torch.tensor(pairs.image, dtype=TORCH_DTYPE),
            directed2undirected=torch.tensor(directed, dtype=torch.int32),
            undirected2directed=torch.tensor(undirected, dtype=torch.int32),
            bond_graph=torch.tensor(bond_graph, dtype=torch.int32),
            lattice=torch.tensor(atoms.cell.array, dtype=TORCH_DTYPE, requires_grad=True),
            composition=atoms.get_chemical_formula(),
            atom_graph_cutoff=converter.atom_graph_cutoff,
            bond_graph_cutoff=converter.bond_graph_cutoff,
        )
