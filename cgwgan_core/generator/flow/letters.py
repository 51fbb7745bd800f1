"""Sets of Wyckoff letters, one letter after the other, with a likelihood.

    p(group) p(number of sites | group) Σ p(height | group, number of sites)
        Π p(letter | group, number of sites, height, letters before)

The sum is over the energies above the hull of :mod:`.stability` and over "unknown", with the shares that they have
among the data's structures of that group and number of sites. Who asks for an energy gets its letters alone, and more
of the groups and numbers of sites that have such energies often, where these are known.

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
from cgwgan_core.generator.flow.stability import HEIGHTS, shares_of_heights
from cgwgan_core.workflow.arrays import Floats

WIDTH = 64
"""Length of what is learnt of a position."""
DROPOUT = 0.5
TABLE = 0.25
"""Share of the table in the mixture."""
BACKING = 30.0
"""Structures' worth of the group's own frequencies that the counts of a letter after another are backed by, and of the
data's shares of heights that those of a group and number of sites are."""


class Letters(nn.Module):
    """Draws groups, numbers of sites and letters."""

    often: Tensor
    """Shares of groups and numbers of sites in the data, (G, K)."""
    follows: Tensor
    """The table: share of each letter after another, and after none (the last row), (G, 28, 27)."""
    heights: Tensor
    """Shares of the heights of :mod:`.stability`, and of unknown energies (the last), (G, K, 6)."""

    def __init__(self, positions: Positions, n_slots: int) -> None:
        """With empty tables, which :meth:`count` or a checkpoint fills.

        :param n_slots: K, the most sites.
        """
        super().__init__()
        self.positions, self.n_slots = positions, n_slots
        n = len(positions.numbers)
        self.register_buffer("often", torch.full((n, n_slots), 1.0 / (n * n_slots)))
        self.register_buffer("follows", torch.zeros(n, N_LETTERS + 1, N_LETTERS))
        self.register_buffer("heights", torch.eye(len(HEIGHTS) + 1)[-1].repeat(n, n_slots, 1))
        self.group = nn.Embedding(n, WIDTH)
        self.position, self.trait = nn.Embedding(n * N_LETTERS, WIDTH), nn.Linear(N_TRAITS, WIDTH)
        self.key, self.key_of_trait = nn.Embedding(n * N_LETTERS, WIDTH), nn.Linear(N_TRAITS, WIDTH)
        self.rate = nn.Embedding(n * N_LETTERS, 1)
        self.total, self.left = nn.Embedding(n_slots + 1, WIDTH), nn.Embedding(n_slots + 1, WIDTH)
        self.height = nn.Linear(len(HEIGHTS), WIDTH, bias=False)
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

    def count_heights(
        self, group: NDArray[np.int64], sites: NDArray[np.int64], weights: Floats, height: Floats
    ) -> None:
        """Fill the table of heights from data.

        :param group: places among the groups, (N,).
        :param sites: numbers of sites, (N,).
        :param weights: how much each counts, (N,).
        :param height: see :func:`.shares_of_heights`, (N, 5).
        """
        counts = np.zeros(self.heights.shape)
        np.add.at(counts, (group, sites - 1), weights[:, None] * np.column_stack([height, 1 - height.sum(1)]))
        counts += BACKING * counts.sum((0, 1)) / counts.sum()
        self.heights = torch.from_numpy(counts / counts.sum(2, keepdims=True)).float()

    @property
    def knows_energies(self) -> bool:
        """Whether an energy above the hull can be asked for."""
        return bool(self.heights[..., :-1].any())

    def often_at(self, energy: float) -> Tensor:
        """Shares of groups and numbers of sites among structures with this energy above the hull, (G, K).

        A structure whose energy is unknown counts as those of its group and number of sites with a known one.

        :param energy: eV/atom.
        """
        height = torch.from_numpy(shares_of_heights(np.array([energy]))[0]).float()
        known = self.heights[..., :-1]
        found: Tensor = self.often * (known @ height) / known.sum(2)
        return found / found.sum()

    def log_likelihood(
        self, group: Tensor, letters: Tensor, table: float = 0.0, height: Tensor | None = None
    ) -> Tensor:
        """Natural logarithm of the probability of sets of letters given their groups, (B,).

        :param group: places among the groups, (B,).
        :param letters: indices, -1 for no site, ascending, (B, K).
        :param table: share of the table in the mixture; training takes 0, so that the network learns all it can.
        :param height: see :func:`.shares_of_heights`, (B, 5): the probability given this; ``None``: whatever it is.
        """
        filled = letters >= 0
        held = letters.clamp(min=0)
        total = filled.sum(1)
        if height is None:
            each = torch.eye(len(HEIGHTS) + 1, len(HEIGHTS), device=group.device)
            given = [self.log_likelihood(group, letters, table, one.expand(len(group), -1)) for one in each]
            shares = self.heights[group, total - 1].clamp(min=1e-12)
            return torch.logsumexp(torch.stack(given, dim=1) + shares.log(), dim=1)
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
        context = (self.group(group) + self.height(height) + self.total(total))[:, None]
        shares = self._shares(group[:, None], context, total[:, None] - slot, so_far, last, atoms, before, table)
        chosen = shares.gather(2, held[..., None])[..., 0]
        number = self.often[group] / self.often[group].sum(1, keepdim=True)
        letter = torch.where(filled, chosen.clamp(min=1e-12), 1.0).log().sum(1)
        found: Tensor = letter + number.gather(1, (total - 1)[:, None])[:, 0].clamp(min=1e-12).log()
        return found

    def draw(
        self, joint: Tensor, n: int, random: torch.Generator, energy: float | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Groups, (n,), letters, (n, K), ascending, -1 for no site, and shares of heights, (n, 5).

        :param joint: weights of group and number of sites, (G, K), such as :attr:`often` where it is asked for, else 0.
        :param energy: above the hull, eV/atom; ``None``: heights, or unknown, as often as the data has them.
        """
        k = self.n_slots
        both = torch.multinomial(joint.flatten().double(), n, replacement=True, generator=random)
        group, total = both // k, both % k + 1
        if energy is None:
            of = torch.multinomial(self.heights[group, total - 1].double(), 1, generator=random)[:, 0]
            height = torch.eye(len(HEIGHTS) + 1, len(HEIGHTS))[of]
        else:
            height = torch.from_numpy(shares_of_heights(np.array([energy]))).float().expand(n, -1)
        context = self.group(group) + self.height(height) + self.total(total)
        letters = torch.full((n, k), -1)
        so_far, last, atoms = torch.zeros(n, WIDTH), torch.zeros(n, WIDTH), torch.zeros(n)
        before = torch.full((n,), N_LETTERS)
        for slot in range(k):
            rows = torch.nonzero(total > slot)[:, 0]
            if not len(rows):
                break
            so = so_far[rows], last[rows], atoms[rows], before[rows]
            shares = self._shares(group[rows], context[rows], total[rows] - slot, *so, TABLE)
            chosen = torch.multinomial(shares.double(), 1, generator=random)[:, 0]
            vector, more = self._of_sites(group[rows], chosen)
            so_far[rows] += vector
            last[rows], before[rows], letters[rows, slot] = vector, chosen, chosen
            atoms[rows] += more
        return group, letters, height

    def _of_sites(self, group: Tensor, letter: Tensor) -> tuple[Tensor, Tensor]:
        """What is learnt of positions, (..., WIDTH), and their atoms, (...)."""
        known = self.positions
        vector = self.position(group * N_LETTERS + letter) + self.trait(known.traits.to(group.device)[group, letter])
        return vector, known.multiplicity.to(group.device)[group, letter]

    def _shares(
        self,
        group: Tensor,
        context: Tensor,
        left: Tensor,
        so_far: Tensor,
        last: Tensor,
        atoms: Tensor,
        before: Tensor,
        table: float,
    ) -> Tensor:
        """Distribution of the next letter, (..., 27).

        :param group: place among the groups, (...), or (..., 1) where sites share it, as in the next.
        :param context: what is learnt of group, height and number of sites, (..., WIDTH).
        :param left: number of sites to come, (...).
        :param so_far: sum of what is learnt of them, (..., WIDTH).
        :param last: what is learnt of the last, (..., WIDTH).
        :param atoms: of them all, (...).
        :param before: letter of the last, 27 before the first, (...).
        """
        known = self.positions
        single, offered = known.single.to(group.device), known.offered.to(group.device)
        general = known.multiplicity.to(group.device).amax(1)[group]
        to_come = self.left(left.clamp(0, self.n_slots))
        sizes = torch.stack([torch.log2(1 + atoms) / 8, (atoms / general).clamp(max=8) / 4], dim=-1)
        parts = [so_far, last, context.expand_as(so_far), to_come.expand_as(so_far), sizes]
        hidden = self.layers(torch.cat(parts, dim=-1))
        every = torch.arange(N_LETTERS, device=group.device)
        code = group[..., None] * N_LETTERS + every
        keys = self.key(code) + self.key_of_trait(known.traits.to(group.device)[group])
        logits = torch.einsum("...lw,...w->...l", keys, hidden) / WIDTH**0.5 + self.rate(code)[..., 0]
        first = before == N_LETTERS
        held = before.clamp(max=N_LETTERS - 1)
        lowest = torch.where(first, 0, held + single[group, held].long())
        allowed = offered[group] & (every >= lowest[..., None])
        shares = torch.softmax(logits.masked_fill(~allowed, -torch.inf), dim=-1)
        if table:
            counted = torch.where(allowed, self.follows[group, before], 0.0).clamp(min=0)
            shares = (1 - table) * shares + table * counted / counted.sum(-1, keepdim=True).clamp(min=1e-12)
        return shares
