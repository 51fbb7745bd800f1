"""Shortest distances in a batch of templates of mixed groups and letters, with gradients, for training.

:func:`.distances.min_distances` is exact for every cell, but has no gradient and takes one group and set of letters
after the other. Here all pairs of atoms of the batch lie in one long list.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.workflow.arrays import Floats, Integers


class Geometry(NamedTuple):
    """Where the atoms of B templates are, as tensors with gradients."""

    group: Tensor
    """Index of the space group among those of the encoder, (B,)."""
    letters: Tensor
    """Indices of the Wyckoff letters, -1 where there is no site, (B, K)."""
    coords: Tensor
    """Fractional coordinates of which the free ones count, (B, K, 3)."""
    vectors: Tensor
    """Conventional lattice vectors as rows, (B, 3, 3) Å."""


class ShortestDistances(nn.Module):
    """Shortest distance between two atoms of each template.

    Rounding finds the nearest images of two atoms, and no atom is compared with its own images. This is exact for
    distances below half of the smallest distance between lattice planes of the conventional cell. Collisions nearly
    always are.
    """

    maps: Tensor
    """The maps of x onto their atoms of all positions of all groups, one after the other, (A, 3, 4); the first map of a
    position leads to the representative."""
    first: Tensor
    """Place of the first map of each position, (groups, letters)."""
    count: Tensor
    """Number of its maps, (groups, letters)."""

    def __init__(self, groups: Integers) -> None:
        """For these space groups, in the order of :attr:`Geometry.group`."""
        super().__init__()
        first = np.zeros((len(groups), sg.N_LETTERS), dtype=np.int64)
        count = sg.MULTIPLICITY[groups].astype(np.int64)
        maps: list[Floats] = []
        total = 0
        for i, number in enumerate(groups.tolist()):
            for letter in np.flatnonzero(count[i]):
                maps.append(sg.conventional_orbit(number, int(letter)))
                first[i, letter] = total
                total += count[i, letter]
        self.register_buffer("maps", torch.from_numpy(np.concatenate(maps)).float(), persistent=False)
        self.register_buffer("first", torch.from_numpy(first), persistent=False)
        self.register_buffer("count", torch.from_numpy(count), persistent=False)

    def forward(self, geometry: Geometry) -> Tensor:
        """Shortest distances, (B,) Å; infinite where there is but one atom."""
        group, letters, coords, vectors = geometry
        n_slots = letters.shape[1]
        one, other = torch.triu_indices(n_slots, n_slots, device=group.device)
        filled = letters >= 0
        # the representative of one site against all atoms of the other, or of its own
        row, pair = torch.nonzero(filled[:, one] & filled[:, other], as_tuple=True)
        one, other = one[pair], other[pair]
        letter = letters[row, other]
        count, first = self.count[group[row], letter], self.first[group[row], letter]
        place = torch.repeat_interleave(torch.arange(len(row), device=group.device), count)
        within = torch.arange(len(place), device=group.device) - (count.cumsum(0) - count)[place]
        # not an atom against itself
        keep = (within > 0) | (one != other)[place]
        place, within = place[keep], within[keep]
        row, one, other = row[place], one[place], other[place]
        representative = self.maps[self.first[group[row], letters[row, one]]]
        atom = self.maps[first[place] + within]
        difference = _apply(atom, coords[row, other]) - _apply(representative, coords[row, one])
        difference = difference - difference.detach().round()
        squared = (difference[:, None] @ vectors[row])[:, 0].square().sum(1)
        shortest = squared.new_full((len(group),), torch.inf)
        shortest = shortest.scatter_reduce(0, row, squared, "amin")
        # the gradient of the root has no limit at 0
        return (shortest + 1e-8).sqrt()


def _apply(maps: Tensor, x: Tensor) -> Tensor:
    return (maps[:, :, :3] @ x[:, :, None])[:, :, 0] + maps[:, :, 3]
