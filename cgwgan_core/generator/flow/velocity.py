"""The network of the flow: how cell and free coordinates move, from noise to a template.

Sites are nodes, pairs of sites edges. An edge sees how many atoms of the other site lie at which distance
(:func:`.orbits.surroundings`), so distances are exact, images and symmetry included. Of each edge the network makes
weights of the classes of distance; with them, the unit vectors from those atoms add up to a motion of the site. It is
a force between pairs that is learnt, and depends on everything: it turns and wraps as the crystal does, and
lies on the representative's line or plane by itself. A second part, from coordinates alone, knows the places that
crystals prefer in a group.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cgwgan_core.crystallography.spacegroups import N_LETTERS
from cgwgan_core.generator.flow.orbits import SHELLS
from cgwgan_core.generator.flow.positions import N_TRAITS, Positions
from cgwgan_core.generator.flow.stability import HEIGHTS
from cgwgan_core.generator.lattice import CELL_TERMS

HARMONICS = 3
"""Of free coordinates, as the network sees them."""
PHASES = 4
"""Of the time, as the network sees it."""


class Velocity(nn.Module):
    """Velocities of cell scores and free coordinates."""

    def __init__(self, positions: Positions, width: int, layers: int) -> None:
        """
        :param width: of a node; an edge has two thirds of it.
        :param layers: rounds of messages between sites.
        """
        super().__init__()
        self.positions = positions
        n, edge = len(positions.numbers), 2 * width // 3
        self.group, self.position = nn.Embedding(n, width), nn.Embedding(n * N_LETTERS, 16)
        self.of_position = nn.Linear(16, width)
        self.height = nn.Linear(len(HEIGHTS), width, bias=False)
        inputs = 6 * HARMONICS + N_TRAITS + 2 * len(CELL_TERMS) + 2 * PHASES + 2
        self.start = nn.Linear(inputs, width)
        self.rounds = nn.ModuleList(_Round(width, edge) for _ in range(layers))
        self.pull = _still(nn.Linear(edge, SHELLS))
        self.drift = _head(width, 3)
        self.cell = _head(width, len(CELL_TERMS))

    def forward(
        self,
        group: Tensor,
        letters: Tensor,
        height: Tensor,
        time: Tensor,
        scores: Tensor,
        coords: Tensor,
        vectors: Tensor,
        seen: Tensor,
        away: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Velocities per unit of time, of templates of K sites each.

        :param group: places among the groups, (B,).
        :param letters: indices, (B, K).
        :param height: see :func:`.shares_of_heights`, (B, 5).
        :param time: from 0, noise, to 1, (B,).
        :param scores: cell terms as normal scores, 0 where they are fixed, (B, 6).
        :param coords: free coordinates, 0 where they are fixed, (B, K, 3).
        :param vectors: conventional lattice vectors as rows, (B, 3, 3) Å.
        :param seen: see :func:`.orbits.surroundings`.
        :param away: see there.
        :returns: of the scores, (B, 6), and of the free coordinates, (B, K, 3).
        """
        known, sites, place = self.positions, letters.shape[1], (group[:, None], letters)
        free = known.free.to(group.device)[place]
        cell_free = known.cell_free.to(group.device)[group]
        angle = 2 * math.pi * coords[..., None] * torch.arange(1, HARMONICS + 1, device=group.device)
        circle = torch.cat([angle.sin(), angle.cos()], dim=-1) * free[..., None]
        phase = math.pi * time[:, None] * torch.arange(1, PHASES + 1, device=group.device)
        atoms = known.multiplicity.to(group.device)[place].sum(1, keepdim=True)
        sizes = [atoms.log2() / 6, torch.full_like(atoms, sites / 8)]
        whole = torch.cat([scores, cell_free, phase.sin(), phase.cos(), *sizes], dim=1)
        own = torch.cat([circle.flatten(2), known.traits.to(group.device)[place]], dim=2)
        # what all sites of a template share goes through its part of the layer once
        shared, single = self.start.weight[:, own.shape[2] :], self.start.weight[:, : own.shape[2]]
        every = functional.linear(whole, shared, self.start.bias) + self.group(group) + self.height(height)
        position = self.of_position(self.position(group[:, None] * N_LETTERS + letters))
        x = functional.linear(own, single) + position + every[:, None]
        same = torch.eye(sites, device=group.device).expand(len(group), -1, -1)
        alike = (letters[:, :, None] == letters[:, None]).float()
        edges = torch.cat([torch.log1p(seen), same[..., None], alike[..., None]], dim=-1)
        # one product for all rounds
        rounds = cast(list[_Round], list(self.rounds))
        layers = functional.linear(edges, torch.cat([messages.pair.weight for messages in rounds]))
        for messages, pair in zip(rounds, layers.chunk(len(rounds), -1), strict=True):
            x, edge = messages(x, pair)
        pulls = self.pull(edge).flatten(2)[:, :, None] @ away.flatten(2, 3)
        moved = (self.drift(x) + pulls[:, :, 0] @ torch.linalg.inv(vectors)) * free
        return self.cell(x.mean(1)) * cell_free, moved


class _Round(nn.Module):
    """Each site takes in what it makes of all sites, itself included."""

    def __init__(self, width: int, edge: int) -> None:
        super().__init__()
        self.mine, self.other = nn.Linear(width, edge), nn.Linear(width, edge, bias=False)
        self.pair = nn.Linear(SHELLS + 2, edge, bias=False)
        self.update = nn.Sequential(
            nn.LayerNorm(width + edge), nn.Linear(width + edge, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, pair: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes (B, K, width) anew, and the messages (B, K, K, edge) from the second site to the first.

        :param pair: edges after the layer of that name, (B, K, K, edge).
        """
        message = self.mine(x)[:, :, None] + self.other(x)[:, None]
        message = functional.silu(message.add_(pair))
        return x + self.update(torch.cat([x, message.sum(2)], dim=-1)), message


def _head(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), _still(nn.Linear(width, outputs)))


def _still(layer: nn.Linear) -> nn.Linear:
    """With weights of zero: an untrained network moves nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
