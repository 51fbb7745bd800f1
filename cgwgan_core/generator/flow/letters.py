"""Sets of Wyckoff letters, one letter after the other, with a likelihood.

    p(group) p(number of sites | group) Π p(letter | group, number of sites, letters before)

Letters ascend, and one without free coordinates cannot repeat, so every set that symmetry allows has one order and a
probability, and none that it forbids has. Group and number of sites have the frequencies of the data, but for numbers
that a group lacks, which are given as much as one structure of the group in all. A letter is
drawn from a mixture of two distributions over those that may follow. A network sees the sites so far as the sum of what
is learnt of their positions: of the group's letter itself, and of its traits, which positions of all groups share. A
table holds how often the data has this letter after the last, backed by how often it has it in the group. The network
alone is too sure of what it has seen; a quarter of the table gives sets that the data lacks a chance.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cgwgan_core.crystallography.spacegroups import N_LETTERS
from cgwgan_core.generator.flow.positions import N_TRAITS, Positions
from cgwgan_core.workflow.arrays import Floats

WIDTH = 64
"""Length of what is learnt of a position."""
DROPOUT = 0.5
TABLE = 0.25
"""Share of the table in the mixture."""
BACKING = 30.0
"""Structures' worth of the group's own frequencies that the counts of a letter after another are backed by."""


class Letters(nn.Module):
    """Draws groups, numbers of sites and letters."""

    often: Tensor
    """Shares of groups and numbers of sites in the data, (G, K)."""
    follows: Tensor
    """The table: share of each letter after another, and after none (the last row), (G, 28, 27)."""

    def __init__(self, positions: Positions, n_slots: int) -> None:
        """With empty tables, which :meth:`count` or a checkpoint fills.

        :param n_slots: K, the most sites.
        """
        super().__init__()
        self.positions, self.n_slots = positions, n_slots
        n = len(positions.numbers)
        self.register_buffer("often", torch.full((n, n_slots), 1.0 / (n * n_slots)))
        self.register_buffer("follows", torch.zeros(n, N_LETTERS + 1, N_LETTERS))
        self.group = nn.Embedding(n, WIDTH)
        self.position, self.trait = nn.Embedding(n * N_LETTERS, WIDTH), nn.Linear(N_TRAITS, WIDTH)
        self.key, self.key_of_trait = nn.Embedding(n * N_LETTERS, WIDTH), nn.Linear(N_TRAITS, WIDTH)
        self.rate = nn.Embedding(n * N_LETTERS, 1)
        self.total, self.left = nn.Embedding(n_slots + 1, WIDTH), nn.Embedding(n_slots + 1, WIDTH)
        self.layers = nn.Sequential(
            nn.Linear(4 * WIDTH + 2, 2 * WIDTH), nn.SiLU(), nn.Dropout(DROPOUT),
            nn.Linear(2 * WIDTH, 2 * WIDTH), nn.SiLU(), nn.Dropout(DROPOUT),
            nn.Linear(2 * WIDTH, WIDTH),
        )  # fmt: skip
        for table, spread in ((self.position, 0.05), (self.key, 0.05), (self.group, 0.3), (self.rate, 0.0)):
            nn.init.normal_(table.weight, std=spread)

    def count(self, group: NDArray[np.int64], letters: NDArray[np.int64], weights: Floats) -> None:
        """Fill the tables from data.

        :param group: places among the groups, (N,).
        :param letters: indices, -1 for no site, (N, K).
        :param weights: how much each counts, (N,).
        """
        n, k = self.often.shape
        often, after = np.zeros((n, k)), np.zeros((n, N_LETTERS + 1, N_LETTERS))
        sites = (letters >= 0).sum(1)
        np.add.at(often, (group, sites - 1), weights)
        # numbers of sites that a group lacks are rare, not impossible
        often = often.sum(1, keepdims=True) * (often + often.sum(0) / often.sum()) / (often.sum(1, keepdims=True) + 1)
        for slot in range(letters.shape[1]):
            rows = letters[:, slot] >= 0
            before = letters[rows, slot - 1] if slot else np.full(int(rows.sum()), N_LETTERS)
            np.add.at(after, (group[rows], before, letters[rows, slot]), weights[rows])
        own = after.sum(1) + 0.5 * self.positions.offered.numpy()
        after += BACKING * (own / own.sum(1, keepdims=True))[:, None]
        self.often = torch.from_numpy(often / often.sum()).float()
        self.follows = torch.from_numpy(after / after.sum(2, keepdims=True)).float()

    def log_likelihood(self, group: Tensor, letters: Tensor, table: float = 0.0) -> Tensor:
        """Natural logarithm of the probability of sets of letters given their groups, (B,).

        :param group: places among the groups, (B,).
        :param letters: indices, -1 for no site, ascending, (B, K).
        :param table: share of the table in the mixture; training takes 0, so that the network learns all it can.
        """
        filled = letters >= 0
        held = letters.clamp(min=0)
        total = filled.sum(1)
        vector, atoms = self._of_sites(group[:, None], held)
        vector, atoms = vector * filled[..., None], atoms * filled
        none = torch.zeros_like(vector[:, :1])
        # by a matrix: sums along an axis are not deterministic on GPUs
        earlier = torch.ones(letters.shape[1], letters.shape[1], device=group.device).tril(-1)
        so_far = earlier @ vector
        last = torch.cat([none, vector[:, :-1]], dim=1)
        atoms = atoms @ earlier.T
        slot = torch.arange(letters.shape[1], device=group.device)
        before = torch.cat([torch.full_like(held[:, :1], N_LETTERS), held[:, :-1]], dim=1)
        shares = self._shares(group[:, None].expand_as(held), total[:, None], slot, so_far, last, atoms, before, table)
        chosen = shares.gather(2, held[..., None])[..., 0]
        number = self.often[group] / self.often[group].sum(1, keepdim=True)
        letter = torch.where(filled, chosen.clamp(min=1e-12), 1.0).log().sum(1)
        found: Tensor = letter + number.gather(1, (total - 1)[:, None])[:, 0].clamp(min=1e-12).log()
        return found

    def draw(self, joint: Tensor, n: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Groups, (n,), and letters, (n, K), ascending, -1 for no site.

        :param joint: weights of group and number of sites, (G, K), such as :attr:`often` where it is asked for, else 0.
        """
        k = self.n_slots
        both = torch.multinomial(joint.flatten().double(), n, replacement=True, generator=random)
        group, total = both // k, both % k + 1
        letters = torch.full((n, k), -1)
        so_far, last, atoms = torch.zeros(n, WIDTH), torch.zeros(n, WIDTH), torch.zeros(n)
        before = torch.full((n,), N_LETTERS)
        for slot in range(k):
            rows = torch.nonzero(total > slot)[:, 0]
            if not len(rows):
                break
            shares = self._shares(
                group[rows], total[rows], torch.tensor(slot), so_far[rows], last[rows], atoms[rows], before[rows], TABLE
            )
            chosen = torch.multinomial(shares.double(), 1, generator=random)[:, 0]
            vector, more = self._of_sites(group[rows], chosen)
            so_far[rows] += vector
            last[rows], before[rows], letters[rows, slot] = vector, chosen, chosen
            atoms[rows] += more
        return group, letters

    def _of_sites(self, group: Tensor, letter: Tensor) -> tuple[Tensor, Tensor]:
        """What is learnt of positions, (..., WIDTH), and their atoms, (...)."""
        known = self.positions
        vector = self.position(group * N_LETTERS + letter) + self.trait(known.traits.to(group.device)[group, letter])
        return vector, known.multiplicity.to(group.device)[group, letter]

    def _shares(
        self,
        group: Tensor,
        total: Tensor,
        slot: Tensor,
        so_far: Tensor,
        last: Tensor,
        atoms: Tensor,
        before: Tensor,
        table: float,
    ) -> Tensor:
        """Distribution of the next letter, (..., 27).

        :param group: place among the groups, (...).
        :param total: number of sites, (...).
        :param slot: number of sites so far.
        :param so_far: sum of what is learnt of them, (..., WIDTH).
        :param last: what is learnt of the last, (..., WIDTH).
        :param atoms: of them all, (...).
        :param before: letter of the last, 27 before the first, (...).
        """
        known = self.positions
        single, offered = known.single.to(group.device), known.offered.to(group.device)
        general = known.multiplicity.to(group.device).amax(1)[group]
        context = self.group(group) + self.total(total)
        left = self.left((total - slot).clamp(0, self.n_slots))
        sizes = torch.stack([torch.log2(1 + atoms) / 8, (atoms / general).clamp(max=8) / 4], dim=-1)
        parts = [so_far, last, context.expand_as(so_far), left.expand_as(so_far), sizes]
        hidden = self.layers(torch.cat(parts, dim=-1))
        every = torch.arange(N_LETTERS, device=group.device)
        code = group[..., None] * N_LETTERS + every
        keys = self.key(code) + self.key_of_trait(known.traits.to(group.device)[group])
        logits = (keys @ hidden[..., None])[..., 0] / WIDTH**0.5 + self.rate(code)[..., 0]
        first = before == N_LETTERS
        held = before.clamp(max=N_LETTERS - 1)
        lowest = torch.where(first, 0, held + single[group, held].long())
        allowed = offered[group] & (every >= lowest[..., None])
        shares = torch.softmax(logits.masked_fill(~allowed, -torch.inf), dim=-1)
        if table:
            counted = torch.where(allowed, self.follows[group, before], 0.0).clamp(min=0)
            shares = (1 - table) * shares + table * counted / counted.sum(-1, keepdim=True).clamp(min=1e-12)
        return shares
