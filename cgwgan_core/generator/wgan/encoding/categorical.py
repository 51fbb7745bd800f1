"""The default representation: choices as choices, coordinates without a seam, nothing of what symmetry fixes.

Nothing that :class:`Categorical` can generate violates its space group: letters are drawn among those the drawn group
offers, a position without free parameters is occupied once, dependent coordinates and cell parameters are not
generated but follow.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cgwgan_core.crystallography.fingerprint import equivalent_letters
from cgwgan_core.crystallography.spacegroups import CELL_FREE, FREE, MULTIPLICITY, N_LETTERS, has_hexagonal_axes
from cgwgan_core.crystallography.templates import Templates, on_representatives
from cgwgan_core.generator.cell_scores import (
    KNOTS,
    REACH,
    calibration,
    fit_scores,
    from_scores,
    to_scores,
    within_reach,
)
from cgwgan_core.generator.lattice import CELL_TERMS, cell_from_terms, cell_terms, vectors_from_terms
from cgwgan_core.generator.wgan.collisions import Geometry
from cgwgan_core.generator.wgan.encoding.protocol import Encoded, Head
from cgwgan_core.generator.wgan.encoding.unseen import UnseenLetters, codes
from cgwgan_core.workflow.arrays import Booleans, Floats, Integers
from cgwgan_core.workflow.errors import InputError

NO_SITE = N_LETTERS
"""Class of an empty slot, after the 27 letters."""
N_CLASSES = N_LETTERS + 1
PAIR = 16
"""Length of the learned vector of a Wyckoff position (group and letter)."""


class Categorical:
    """One-hot space group and letters, periodic free coordinates, size and shape of the cell.

    The whole crystal, G = groups + 6: the space group, one-hot over the groups of the training data; the six
    :data:`CELL_TERMS`, as normal scores (:mod:`.cell_scores`), zero where the crystal system fixes them.

    A site, S = 28 + 6 + 1: the letter or "no site", one-hot; sine and cosine of 2πx for each coordinate, zero
    where it is not free; log2 of the multiplicity over 8. The last follows from group and letter, and tells the
    critic how many atoms the site stands for.
    """

    def __init__(
        self,
        groups: list[int],
        min_sites: int,
        max_sites: int,
        knots: list[list[float]],
        known: list[int],
    ) -> None:
        """The encoder of a state, without the frequencies that :meth:`fit` takes from the data.

        :param groups: space groups that can be represented, ascending.
        :param min_sites: fewest sites of a template.
        :param max_sites: most sites of a template.
        :param knots: values of each of the :data:`CELL_TERMS`, rising, whose scaled values are evenly spaced
            from -:data:`REACH` to :data:`REACH`, (6, :data:`KNOTS`).
        :param known: :func:`.unseen.codes` of all sets of letters that describe one of the training data's.
        """
        self.groups = np.array(groups)
        self.min_sites, self.n_slots = min_sites, max_sites
        self.knots = np.array(knots, dtype=np.float64)
        self.known = known
        self.n_whole = len(groups) + len(CELL_TERMS)
        # what follows from (group, letter): which coordinates are free, and the multiplicity
        offered = MULTIPLICITY[self.groups] > 0
        traits = np.zeros((len(groups), N_CLASSES, 4), dtype=np.float32)
        traits[:, :N_LETTERS, :3] = FREE[self.groups]
        traits[:, :N_LETTERS, 3] = np.log2(np.maximum(MULTIPLICITY[self.groups], 1)) / 8
        self.traits = torch.from_numpy(traits)
        """(groups, 28, 4): freedom of x, y, z and scaled multiplicity."""
        self.offered = torch.from_numpy(offered)
        """(groups, 27): letters the group has."""
        self.single = torch.from_numpy(offered & ~FREE[self.groups].any(-1))
        """(groups, 27): letters that only one site can occupy, having no free parameter."""
        self.cell_free = torch.from_numpy(CELL_FREE[self.groups].astype(np.float32))
        """(groups, 6): the volume is always free, and a term is free where its cell parameter is."""
        self.n_site = N_CLASSES + 6 + 1
        self.group_counts = np.zeros(len(groups))
        """(groups,): how often each occurs in the data; zero in an encoder that comes from a checkpoint."""
        self.letter_counts = np.zeros((max_sites, len(groups), N_CLASSES, N_CLASSES))
        """(K, groups, 28, 28): how often a class (last axis) follows another in a slot; NO_SITE before the first."""
        self.sets = np.zeros((0, 1 + max_sites), dtype=np.int64)
        """(M, 1 + K): every group with its letters that the data has, once, as classes."""

    @classmethod
    def fit(cls, templates: Templates, weights: Floats | None = None) -> "Categorical":
        """Groups, numbers of sites, frequencies and ranges of the training data.

        :param weights: how much each template counts in the frequencies, (N,); ``None`` is once.
        :raises InputError: if there are no templates.
        """
        if len(templates) == 0:
            raise InputError("no templates to fit the encoder to; widen the block `training` of the configuration")
        share = np.ones(len(templates)) if weights is None else weights / weights.mean()
        knots = fit_scores(templates, share)
        groups = np.unique(templates.spacegroup).tolist()
        sites = templates.n_sites
        encoder = cls(groups, int(sites.min()), int(sites.max()), knots.tolist(), [])
        group, letters = encoder._classes(templates)
        encoder.sets = np.unique(np.column_stack([group, letters]), axis=0)
        encoder.known = encoder._descriptions()
        np.add.at(encoder.group_counts, group, share)
        before = np.column_stack([np.full(len(templates), NO_SITE), letters[:, :-1]])
        places = np.arange(letters.shape[1]), group[:, None], before, letters
        np.add.at(encoder.letter_counts, places, share[:, None])
        return encoder

    def _descriptions(self) -> list[int]:
        """Codes of all sets of letters that describe one of ``sets``, ascending."""
        found = set()
        for group, *letters in self.sets.tolist():
            filled = tuple(letter for letter in letters if letter != NO_SITE)
            same = equivalent_letters(int(self.groups[group]), filled)
            same = np.pad(same, [(0, 0), (0, self.n_slots - len(filled))], constant_values=NO_SITE)
            found |= set(codes(torch.full((len(same),), group), torch.from_numpy(same), NO_SITE).tolist())
        return sorted(found)

    def _classes(self, templates: Templates) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Class of the group, (N,), and of each slot, (N, K)."""
        letters = np.full((len(templates), self.n_slots), NO_SITE)
        width = min(self.n_slots, templates.letters.shape[1])
        letters[:, :width] = np.where(templates.letters < 0, NO_SITE, templates.letters)[:, :width]
        return np.searchsorted(self.groups, templates.spacegroup), letters

    def variety(self) -> tuple[Floats, Floats, Integers]:
        """What :meth:`UnseenLetters.fit` takes over from the data."""
        group, letters = self.sets[:, 0], self.sets[:, 1:]
        sets = np.bincount(group, minlength=len(self.groups))
        counts = np.zeros((len(self.groups), N_CLASSES))
        np.add.at(counts, (group[:, None], letters), 1)
        # every letter of a group has a chance
        often = counts[:, :N_LETTERS] + 0.5 * self.offered.numpy()
        sites = np.bincount((letters != NO_SITE).sum(1), minlength=self.n_slots + 1)[1:]
        return sets / np.maximum(self.group_counts, 1e-12), often, sites

    def state(self) -> dict[str, Any]:
        """See :class:`.Encoder`."""
        return {
            "groups": self.groups.tolist(),
            "min_sites": self.min_sites,
            "max_sites": self.n_slots,
            "knots": self.knots.tolist(),
            "known": self.known,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Categorical":
        """See :class:`.Encoder`."""
        return cls(**state)

    def covers(self, templates: Templates) -> Booleans:
        """See :class:`.Encoder`: known group, allowed number of sites, and cell terms within the ranges."""
        sites = templates.n_sites
        return (
            np.isin(templates.spacegroup, self.groups)
            & (self.min_sites <= sites)
            & (sites <= self.n_slots)
            & within_reach(templates, self.knots)
        )

    def encode(self, templates: Templates) -> Encoded:
        """See :class:`.Encoder`."""
        if not (covered := self.covers(templates)).all():
            raise ValueError(f"{(~covered).sum()} templates lie outside of what this encoder represents")
        group, letters = self._classes(templates)
        coords = np.zeros((len(templates), self.n_slots, 3))
        width = min(self.n_slots, templates.letters.shape[1])
        coords[:, :width] = templates.coords[:, :width]
        scaled = to_scores(cell_terms(templates.cell, templates.n_atoms), self.knots)
        angle = 2 * np.pi * coords
        circle = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
        return self.assemble(
            functional.one_hot(torch.from_numpy(group), len(self.groups)).float(),
            torch.from_numpy(scaled).float(),
            functional.one_hot(torch.from_numpy(letters), N_CLASSES).float(),
            torch.from_numpy(circle).float(),
        )

    def assemble(self, group: Tensor, terms: Tensor, letters: Tensor, circle: Tensor) -> Encoded:
        """Join the parts, with zeros for all that symmetry fixes; for real and generated templates alike.

        :param group: one-hot, (B, groups).
        :param terms: scaled cell terms, (B, 6).
        :param letters: one-hot, (B, K, 28).
        :param circle: sine and cosine of 2πx, 2πy, 2πz, (B, K, 3, 2).
        """
        traits = self.traits.to(group.device)
        # contracted one after the other, so that gradients reach both choices
        by_letter = (group @ traits.flatten(1)).view(-1, *traits.shape[1:])
        trait = letters @ by_letter
        free, multiplicity = trait[..., :3], trait[..., 3:]
        whole = torch.cat([group, terms * (group @ self.cell_free.to(group.device))], dim=1)
        return Encoded(whole, torch.cat([letters, (circle * free[..., None]).flatten(2), multiplicity], dim=2))

    def decode(self, encoded: Encoded) -> Templates:
        """See :class:`.Encoder`. Coordinates are on the representatives; sites keep the order they have."""
        whole, sites = (part.detach().cpu().double().numpy() for part in encoded)
        n = len(self.groups)
        spacegroup = self.groups[whole[:, :n].argmax(1)].astype(np.int16)
        letters = sites[..., :N_CLASSES].argmax(2)
        letters = np.where(letters == NO_SITE, -1, letters).astype(np.int8)
        circle = sites[..., N_CLASSES : N_CLASSES + 6].reshape(*letters.shape, 3, 2)
        free = np.arctan2(circle[..., 0], circle[..., 1]) / (2 * np.pi)
        coords = on_representatives(spacegroup, letters, free)
        multiplicity = np.where(letters >= 0, MULTIPLICITY[spacegroup[:, None], letters], 0)
        cell = cell_from_terms(spacegroup, from_scores(whole[:, n:], self.knots), multiplicity.sum(1))
        return Templates(spacegroup, cell, letters, coords)

    def geometry(self, encoded: Encoded) -> Geometry:
        """See :class:`.Encoder`."""
        whole, sites = encoded
        n = len(self.groups)
        group, letters = whole[:, :n].argmax(1), sites[..., :N_CLASSES].argmax(2)
        trait = self.traits.to(group.device)[group[:, None], letters]
        circle = sites[..., N_CLASSES : N_CLASSES + 6].view(*letters.shape, 3, 2)
        # the angle of a fixed coordinate, a point at the origin, has no gradient
        cosine = torch.where(trait[..., :3] > 0, circle[..., 1], 1.0)
        coords = torch.atan2(circle[..., 0], cosine) / (2 * torch.pi)
        n_atoms = torch.where(letters == NO_SITE, 0.0, 2 ** (8 * trait[..., 3])).sum(1)
        terms = _interpolated(whole[:, n:], torch.from_numpy(self.knots).to(whole))
        hexagonal = torch.from_numpy(has_hexagonal_axes(self.groups)).to(group.device)[group]
        vectors = vectors_from_terms(terms, self.cell_free.to(group.device)[group], hexagonal, n_atoms)
        return Geometry(group, torch.where(letters == NO_SITE, -1, letters), coords, vectors)

    def head(self, width: int) -> "CategoricalHead":
        """See :class:`.Encoder`."""
        return CategoricalHead(self, width)


class CategoricalHead(Head):
    """Draws the space group, then a letter per site, then cell and coordinates, each given what came before.

    The space group is a condition: it is drawn with the frequency it has in the data, which is no matter of
    learning, and all else is learned given the group. In training it is that of a real template.

    Letters are straight-through Gumbel-softmax samples (Jang et al., arXiv:1611.01144): exactly one-hot
    forwards, the gradient of the softmax backwards. Letters that the group does not offer have probability
    zero; letters ascend (the canonical order of sites), and one without free parameters cannot repeat. The
    general position comes last and always has free parameters, hence some letter always remains. "No site" is
    open to the slots beyond the fewest sites of the training data, and nothing follows it.

    Letters depend on the group, on each other and on chance; the noise vector is for what is continuous.

    The logits of a letter have a learned term of their own, by group and preceding letter, that starts at the
    logarithm of the data's frequencies. An untrained generator hence draws letters about as often as the data
    has them, and the training is left with what depends on more than that.

    Cell terms are normal scores, so their distribution over the data is known. In sampling (evaluation mode) each
    term goes through a rising map that makes the distribution of the trained generator's draws the same
    (quantile mapping): it moves all draws a little, and keeps their order.
    """

    encoder: Categorical
    often: Tensor
    """Logarithms of the shares of the groups, (groups,)."""
    drawn: Tensor
    """Scores as drawn that become evenly spaced ones, for each cell term, (6, KNOTS)."""

    def __init__(self, encoder: Categorical, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        n, k = len(encoder.groups), encoder.n_slots
        self.unseen = UnseenLetters(encoder.single, encoder.known, k)
        self.unseen.fit(*encoder.variety())
        self.n_noise = n + k * N_CLASSES + self.unseen.n_noise
        self.register_buffer("often", _log_share(encoder.group_counts, 0.0))
        self.letter = nn.ModuleList(nn.Linear(width, N_CLASSES) for _ in range(k))
        self.next = nn.Parameter(_log_share(encoder.letter_counts, 0.5))
        self.pairs = nn.Parameter(torch.randn(n, N_CLASSES * PAIR) / PAIR**0.5)
        # what has been chosen so far is added to the hidden layer
        self.after_group = nn.Linear(n, width, bias=False)
        self.after_letter = nn.ModuleList(nn.Linear(N_CLASSES + 4 + PAIR, width, bias=False) for _ in range(k))
        # what is continuous depends on all choices together, and on the noise vector with a weight of its own,
        # or little would remain of it beside the choices
        self.spread = nn.LayerNorm(width)
        inner, outer = nn.Linear(width, width), nn.Linear(width, width)
        for layer in (inner, outer):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.mix = nn.Sequential(nn.ReLU(), inner, nn.ReLU(), outer, nn.ReLU())
        self.terms = nn.Linear(width, len(CELL_TERMS))
        self.coords = nn.Linear(width, k * 6)
        self.register_buffer("drawn", torch.linspace(-REACH, REACH, KNOTS).repeat(len(CELL_TERMS), 1))

    def forward(
        self,
        hidden: Tensor,
        noise: Tensor,
        pseudocount: float = 0.0,
        like: Encoded | None = None,
        groups: Tensor | None = None,
    ) -> Encoded:
        """See :class:`.Head`."""
        n, k = len(self.encoder.groups), self.encoder.n_slots
        if like is not None:
            group = like.whole[:, :n]
        else:
            often = self.often
            if groups is not None:
                known = torch.from_numpy(self.encoder.groups).to(groups.device)
                often = often.masked_fill(~torch.isin(known, groups).to(often.device), -torch.inf)
            group = choose(often.expand(len(hidden), n), noise[:, :n])
        uniform = noise[:, n : n + k * N_CLASSES].view(len(hidden), k, N_CLASSES)
        rows, unseen = self.unseen(group.argmax(1), noise[:, n + k * N_CLASSES :], pseudocount)
        unseen = functional.one_hot(unseen, N_CLASSES).to(hidden.dtype)
        letters, choices, _ = self._letters(
            group, lambda slot, logits: choose(logits, uniform[:, slot]).index_copy(0, rows, unseen[:, slot])
        )
        return self._continuous(hidden, group, letters, choices)

    def complete(self, hidden: Tensor, real: Encoded) -> Encoded:
        """See :class:`.Head`."""
        group, letters = real.whole[:, : len(self.encoder.groups)], real.sites[..., :N_CLASSES]
        _, choices, _ = self._letters(group, lambda slot, _: letters[:, slot])
        return self._continuous(hidden, group, letters, choices)

    def _continuous(self, hidden: Tensor, group: Tensor, letters: Tensor, choices: Tensor) -> Encoded:
        """Cell and coordinates, given the choices."""
        hidden = self.mix(self.spread(hidden) + choices)
        terms = REACH * torch.tanh(self.terms(hidden))
        if not self.training:
            terms = _mapped(terms, self.drawn)
        circle = torch.tanh(self.coords(hidden)).view(len(hidden), -1, 3, 2)
        # a point of the square becomes a point of the unit circle: a coordinate without a seam at 0 = 1
        circle = circle / (circle.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        return self.encoder.assemble(group, terms, letters, circle)

    def calibrate(self, drawn: Encoded) -> None:
        """See :class:`.Head`."""
        n = len(self.encoder.groups)
        free = (drawn.whole[:, :n].cpu() @ self.encoder.cell_free).bool().numpy()
        scores = drawn.whole[:, n:].detach().cpu().double().numpy()
        self.drawn.copy_(torch.from_numpy(calibration(scores, free)))

    def likelihood(self, real: Encoded) -> Tensor:
        """See :class:`.Head`."""
        group, letters = real.whole[:, : len(self.encoder.groups)], real.sites[..., :N_CLASSES]
        _, _, logits = self._letters(group, lambda slot, _: letters[:, slot])
        chosen = letters.argmax(2)
        terms = (-functional.cross_entropy(found, chosen[:, slot]) for slot, found in enumerate(logits))
        return sum(terms, real.whole.new_zeros(()))

    def _letters(self, group: Tensor, take: Callable[[int, Tensor], Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Letters slot by slot.

        :param group: one-hot, (B, groups).
        :param take: slot and logits (B, 28) to the one-hot class of that slot, (B, 28).
        :returns: the classes, (B, K, 28), a hidden layer of all choices, (B, width), the logits of each slot.
        """
        encoder = self.encoder
        offered, single, traits = (t.to(group.device) for t in (encoder.offered, encoder.single, encoder.traits))
        index = group.argmax(1)
        by_letter = torch.cat(
            [
                (group @ traits.flatten(1)).view(-1, *traits.shape[1:]),
                (group @ self.pairs).view(-1, N_CLASSES, PAIR),
            ],
            dim=2,
        )
        hidden = self.after_group(group)
        rank = torch.arange(N_LETTERS, device=group.device)
        ended = torch.zeros(len(group), dtype=torch.bool, device=group.device)
        lowest = torch.zeros(len(group), dtype=torch.long, device=group.device)
        chosen = torch.full_like(index, NO_SITE)
        letters, scores = [], []
        for k, (layer, after) in enumerate(zip(self.letter, self.after_letter, strict=True)):
            allowed = offered[index] & (rank >= lowest[:, None]) & ~ended[:, None]
            empty = ended if k < encoder.min_sites else torch.ones_like(ended)
            allowed = torch.cat([allowed, empty[:, None]], dim=1)
            logits = layer(torch.relu(hidden)) + self.next[k, index, chosen]
            logits = logits.masked_fill(~allowed, -torch.inf)
            letter = take(k, logits)
            chosen = letter.argmax(1)
            ended = chosen == NO_SITE
            held = chosen.clamp(max=N_LETTERS - 1)
            lowest = held + single[index, held]
            trait = (letter[:, None] @ by_letter)[:, 0]
            hidden = hidden + after(torch.cat([letter, trait], dim=1))
            letters.append(letter)
            scores.append(logits)
        return torch.stack(letters, dim=1), hidden, scores


def _log_share(counts: Floats, more: float) -> Tensor:
    """Logarithms of the shares along the last axis, with so much of a count more for every class."""
    counts = counts + more
    total = counts.sum(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.log(counts / np.where(total > 0, total, 1))).float()


def _mapped(x: Tensor, knots: Tensor) -> Tensor:
    """Piecewise linear, from rising knots to evenly spaced scores, column by column.

    :param x: (B, C).
    :param knots: (C, K).
    """
    columns = x.T.contiguous()
    place = torch.searchsorted(knots, columns).clamp(1, knots.shape[1] - 1)
    low, high = knots.gather(1, place - 1), knots.gather(1, place)
    step = 2 * REACH / (knots.shape[1] - 1)
    scores = -REACH + step * (place - 1 + (columns - low) / (high - low))
    return scores.clamp(-REACH, REACH).T


def _interpolated(scores: Tensor, knots: Tensor) -> Tensor:
    """Piecewise linear, from evenly spaced scores to knots, column by column: the inverse of :func:`_mapped`.

    :param scores: in [-REACH, REACH], (B, C).
    :param knots: (C, K).
    """
    place = (scores.T + REACH) * ((knots.shape[1] - 1) / (2 * REACH))
    below = place.detach().floor().long().clamp(0, knots.shape[1] - 2)
    low, high = knots.gather(1, below), knots.gather(1, below + 1)
    return (low + (high - low) * (place - below)).T


def choose(logits: Tensor, uniform: Tensor) -> Tensor:
    """One-hot samples of categorical distributions, with the softmax's gradient.

    :param logits: (B, C), -inf where a class is forbidden.
    :param uniform: random numbers in (0, 1), (B, C).
    """
    gumbel = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-7)))
    noisy = logits + gumbel
    soft = torch.softmax(noisy, dim=1)
    hard = functional.one_hot(noisy.argmax(1), logits.shape[1]).to(soft.dtype)
    return hard + (soft - soft.detach())
