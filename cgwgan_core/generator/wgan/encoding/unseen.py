"""Wyckoff letters that no training template has: where new prototypes come from.

A model mostly learns how often the database holds each set of letters. Flattening that distribution distorts it, and
its draws still mostly repeat what is known. Here unseen sets are drawn on their own, and their share is a choice. In a
group of which the data has N structures with M different sets of letters, unseen sets have the share

    β M / (N + β M)

of the draws, as if the data held β more structures for every set, all of them with sets it lacks. With β ≤ 1 this is
close to what a Pitman-Yor process with discount β expects of the next structure. Unseen sets hence come where the data
is varied, and not in the groups that a few prototypes dominate.

The letters of an unseen set are independent of each other: each has its share among the sites of the group's sets,
every set counted once. The number of sites has its share among all sets. A set that symmetry forbids, or that describes
one of the data in any setting, is drawn again.
"""

import torch
from torch import Tensor, nn

from cgwgan_core.workflow.arrays import Floats, Integers

TRIES = 16
"""Sets that are drawn for one template. If none is unseen, the template keeps letters of a known one."""


class UnseenLetters(nn.Module):
    """Draws sets of letters that are possible, in canonical order, and not among those of the data.

    Classes of letters are 0 to C - 1, and C is the class of an empty slot.
    """

    single: Tensor
    known: Tensor
    odds: Tensor
    """M / N of each group, (groups,)."""
    often: Tensor
    """Shares of the letters of each group, (groups, C)."""
    sites: Tensor
    """Shares of the numbers of sites, from 1 to K, (K,)."""

    def __init__(self, single: Tensor, known: list[int], n_slots: int) -> None:
        """Without frequencies, which :meth:`fit` or a checkpoint gives.

        :param single: letters that only one site can occupy, (groups, C).
        :param known: :func:`codes` of all sets that describe one of the data's.
        :param n_slots: K, the most sites.
        """
        super().__init__()
        n, c = single.shape
        self.n_slots = n_slots
        self.n_noise = 1 + TRIES * (1 + n_slots)
        self.register_buffer("single", single, persistent=False)
        self.register_buffer("known", torch.tensor(known, dtype=torch.long), persistent=False)
        self.register_buffer("odds", torch.zeros(n))
        self.register_buffer("often", torch.ones(n, c))
        self.register_buffer("sites", torch.ones(n_slots))

    def fit(self, odds: Floats, letters: Floats, sites: Integers) -> None:
        """Take over the frequencies of the data.

        :param odds: different sets of letters per structure, (groups,).
        :param letters: how often each letter occurs among the sites of the different sets, (groups, C).
        :param sites: how many of them have 1, ..., K sites, (K,).
        """
        self.odds = torch.as_tensor(odds).float()
        self.often, self.sites = _shares(letters), _shares(sites)

    def forward(self, group: Tensor, uniform: Tensor, pseudocount: float) -> tuple[Tensor, Tensor]:
        """Which templates get an unseen set of letters, and which.

        :param group: class of the space group, (B,).
        :param uniform: random numbers in (0, 1), (B, n_noise).
        :param pseudocount: β, see the module; infinity asks for unseen sets only.
        :returns: places in the batch, (U,), and classes of the slots there, (U, K).
        """
        k, c = self.n_slots, self.often.shape[1]
        share = uniform[:, 0]
        rows = torch.nonzero(share < pseudocount * self.odds[group] * (1 - share))[:, 0]
        number = group[rows]
        tries = uniform[rows, 1:].view(-1, TRIES, 1 + k)
        n_sites = 1 + _drawn(self.sites, tries[..., 0])
        letters = _drawn(self.often[number][:, None, None], tries[..., 1:])
        letters = letters.masked_fill(torch.arange(k, device=group.device) >= n_sites[..., None], c).sort(-1).values
        held = letters.clamp(max=c - 1)
        single = self.single[number[:, None, None], held] & (letters < c)
        possible = ~((letters[..., 1:] == letters[..., :-1]) & single[..., 1:]).any(-1)
        good = possible & ~torch.isin(codes(number[:, None], letters, c), self.known)
        found = good.any(1)
        first = good.int().argmax(1)
        return rows[found], letters[torch.arange(len(rows), device=group.device), first][found]


def _shares(counts: Floats | Integers) -> Tensor:
    """Counts over their sum along the last axis."""
    exact = torch.as_tensor(counts).double()
    return (exact / exact.sum(-1, keepdim=True).clamp(min=1e-12)).float()


def _drawn(shares: Tensor, uniform: Tensor) -> Tensor:
    """Classes with the given shares (..., C) by the inverse of their sums; the shape is that of the numbers."""
    upto = shares.cumsum(-1)
    return (uniform[..., None] >= upto / upto[..., -1:]).sum(-1)


def codes(group: Tensor, letters: Tensor, empty: int) -> Tensor:
    """Group and sorted letters as one number.

    From 12 sites on it may overflow: two sets may then share a number, and an unseen one may count as known.

    :param group: (...).
    :param letters: (..., K).
    :param empty: the largest class, which stands for no site.
    """
    code = group
    for slot in range(letters.shape[-1]):
        code = code * (empty + 1) + letters[..., slot]
    return code
