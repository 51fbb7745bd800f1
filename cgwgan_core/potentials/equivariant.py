"""Potentials whose features turn with the crystal, such as SevenNet and Nequix, evaluated in batches.

What they share, and what makes them faster than their packages' own calculators, without approximation:

- energies alone need no gradients;
- a convolution sums products over neighbours as they come, before its paths are sorted (:mod:`.convolution`);
- one atom of each orbit is evaluated.

Features of equivalent atoms are not equal, but rotated copies. So those of the first atom of an orbit are computed, and
rotated for the others. Features without parity follow rotations, not reflections: then the orbits are those of a
crystal's rotations alone.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers
from e3nn.o3 import Irreps, matrix_to_angles, wigner_D
from torch import Tensor

from cgwgan_core.potentials.neighbours import Neighbours
from cgwgan_core.potentials.orbits import Orbits, under_rotations
from cgwgan_core.potentials.protocol import Batch, Potential
from cgwgan_core.workflow.arrays import Floats, Integers

HIGHEST = 3
"""Largest angular momentum of features."""


class EquivariantPotential(Potential):
    """A potential that gives an energy to each atom from the vectors to its neighbours.

    A subclass sets :attr:`species` and :attr:`cutoff`, and implements :meth:`atom_energies`.
    """

    by_orbit = True
    smooth = True
    batch_atoms = 64
    reflections: bool
    """Whether features follow reflections, too: those of degree l then have the parity of l."""
    species: dict[int, int]
    """Atomic number -> index of the element among those that it knows."""

    @abstractmethod
    def atom_energies(self, graph: "Graph") -> Tensor:
        """Energy of each centre, (C,) eV."""

    def unknown(self, symbols: set[str]) -> set[str]:
        """Those of the elements that the potential has no parameters for."""
        return {symbol for symbol in symbols if atomic_numbers[symbol] not in self.species}

    def equivalent(self, atoms: Atoms, number: Integers) -> Orbits:
        """Orbits under the operations that features follow."""
        return under_rotations(atoms, number, self.reflections)

    def compute(self, crystals: Sequence[Atoms], pairs: Sequence[Neighbours], forces: bool, stress: bool) -> Batch:
        """Evaluate one batch as one graph."""
        return self.compute_by_orbit(crystals, pairs, [Orbits.single(len(atoms)) for atoms in crystals], forces, stress)

    def compute_by_orbit(
        self,
        crystals: Sequence[Atoms],
        pairs: Sequence[Neighbours],
        orbits: Sequence[Orbits],
        forces: bool,
        stress: bool,
    ) -> Batch:
        """Evaluate one batch as one graph: centres are the first atoms of orbits, neighbours are atoms."""
        graph = Graph.of(crystals, pairs, orbits, self.species)
        graph.bonds.requires_grad_(forces or stress)
        with torch.set_grad_enabled(forces or stress):
            each = self.atom_energies(graph)
        weighted = each.detach().numpy().astype(float) * graph.weights
        total = np.bincount(graph.owner, weights=weighted, minlength=len(crystals))
        energies = np.asarray(total, dtype=np.float64)
        if not (forces or stress):
            return Batch(energies, None, None)
        (slope,) = torch.autograd.grad(each, graph.bonds, torch.as_tensor(graph.weights, dtype=each.dtype))
        ends = np.cumsum([len(found.centre) for found in pairs])
        pulls = np.split(slope.numpy().astype(float), ends[:-1])
        each_crystal = list(zip(crystals, pairs, pulls, strict=True))
        return Batch(
            energies,
            [found.forces(pull, len(atoms)) for atoms, found, pull in each_crystal] if forces else None,
            np.stack([found.bonds(a).T @ pull / a.get_volume() for a, found, pull in each_crystal]) if stress else None,
        )


@dataclass(frozen=True)
class Graph:
    """The crystals of a batch: C centres, A atoms, E directed pairs of them."""

    species: Tensor
    """Index of each centre's element, (C,)."""
    weights: Floats
    """Atoms that each centre stands for, (C,)."""
    owner: Integers
    """Crystal of each centre, (C,)."""
    bonds: Tensor
    """Vectors from centres to neighbours, (E, 3) Å."""
    centre: Tensor
    """Centre of each pair, (E,)."""
    neighbour: Tensor
    """Atom of each pair, (E,)."""
    orbit: Tensor
    """Centre that stands for each atom, (A,)."""
    rotations: Tensor
    """Cartesian operation that takes the surroundings of each atom's centre to the atom's own, (A, 3, 3)."""

    @classmethod
    def of(
        cls,
        crystals: Sequence[Atoms],
        pairs: Sequence[Neighbours],
        orbits: Sequence[Orbits],
        species: dict[int, int],
    ) -> "Graph":
        """Crystals side by side.

        :param species: atomic number -> index of the element.
        """
        firsts = [found.first for found in orbits]
        n_centres, n_atoms = [len(first) for first in firsts], [len(atoms) for atoms in crystals]
        centres, atoms_before = (np.cumsum([0, *counts])[:-1] for counts in (n_centres, n_atoms))
        numbers = np.concatenate([atoms.numbers[first] for atoms, first in zip(crystals, firsts, strict=True)])
        own = [found.number + start for found, start in zip(orbits, centres, strict=True)]
        bonds = np.concatenate([found.bonds(atoms) for atoms, found in zip(crystals, pairs, strict=True)])
        centre = np.concatenate([o[found.centre] for o, found in zip(own, pairs, strict=True)])
        neighbour = np.concatenate([found.neighbour + s for found, s in zip(pairs, atoms_before, strict=True)])
        return cls(
            species=torch.tensor([species[z] for z in numbers.tolist()]),
            weights=np.concatenate([np.bincount(found.number) for found in orbits]).astype(float),
            owner=np.repeat(np.arange(len(crystals)), n_centres),
            bonds=torch.tensor(bonds, dtype=torch.float32),
            centre=torch.as_tensor(centre),
            neighbour=torch.as_tensor(neighbour),
            orbit=torch.as_tensor(np.concatenate(own)),
            rotations=torch.tensor(np.concatenate([found.rotations for found in orbits])),
        )

    def on_atoms(self, features: Tensor, irreps: Irreps) -> Tensor:
        """Features of all atoms, (A, d), from those of the centres, (C, d)."""
        if len(self.orbit) == len(self.species):
            return features
        gathered, parts = features[self.orbit], []
        for (mul, ir), where in zip(irreps, irreps.slices(), strict=True):
            block = gathered[:, where]
            if ir.l:
                block = (block.view(-1, mul, ir.dim) @ self._turns[ir.l].transpose(1, 2)).reshape(len(block), -1)
            parts.append(block)
        return torch.cat(parts, dim=1)

    @cached_property
    def distances(self) -> Tensor:
        """Of each pair, (E,) Å; a function of :attr:`bonds`."""
        found: Tensor = torch.linalg.norm(self.bonds, dim=1)
        return found

    @cached_property
    def radii(self) -> tuple[Tensor, Tensor]:
        """The different distances, (R,) Å, and the place of each pair's among them, (E,)."""
        different, place = torch.unique(self.distances.detach(), return_inverse=True)
        return different, place

    @cached_property
    def _turns(self) -> list[Tensor]:
        """Wigner's matrices of the operations, by angular momentum, (A, 2l + 1, 2l + 1) each.

        A reflection is a rotation and the inversion, under which a feature of degree l has the parity of l.
        """
        signs = torch.linalg.det(self.rotations).round()
        angles = matrix_to_angles(self.rotations * signs[:, None, None])
        parity = [signs[:, None, None] ** degree for degree in range(HIGHEST + 1)]
        return [(wigner_D(degree, *angles) * parity[degree]).to(self.bonds.dtype) for degree in range(HIGHEST + 1)]
