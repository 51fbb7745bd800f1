"""The paper's representation: a template as real numbers only (Su et al., J. Mater. Inf. 2024, 4, 20, Eqs. 1-5).

Space group, number of atoms and Wyckoff letters are numbers like any other, and all of them come out of one tanh,
without a condition. Decoding rounds them to the nearest group and letter, so :class:`Continuous` can generate what no
crystal is: letters that the group lacks, sites without freedom used twice, angles that enclose no volume. Nothing of
this is mended. It serves to compare with :class:`.Categorical`.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgwgan_core.crystallography.spacegroups import constrain_cell
from cgwgan_core.crystallography.templates import Templates, on_representatives
from cgwgan_core.generator.wgan.encoding.protocol import Encoded, Head
from cgwgan_core.workflow.arrays import Booleans, Floats
from cgwgan_core.workflow.errors import InputError

WHOLE = ("space group", "atoms", "a", "b", "c", "alpha", "beta", "gamma")
"""The global site encoder: what the vector of the whole crystal holds, before it is standardised."""
SITE = ("letter", "x", "y", "z")
"""The local site encoder: the same of a site. Letters as :class:`Templates` has them: a = 0, "no site" = -1."""
ROUNDED = 0.49
"""How far the range of a number that decoding rounds goes beyond the data's: as far as it rounds to that end."""
MARGIN = 0.05
"""Share by which the range of lengths, angles and coordinates exceeds the data's, as tanh never reaches its ends."""


class Continuous:
    """The numbers of :data:`WHOLE` and :data:`SITE`, each less its mean and over its standard deviation.

    The published code takes such numbers for the output of a tanh as they are, which reaches one standard deviation
    from the mean. Here the head's tanh spans all of the data's range. Coordinates run from 0 to 1.
    """

    geometry = None
    """See :class:`.Encoder`: rounding leaves no gradient."""

    def __init__(self, n_slots: int, whole: list[list[float]], site: list[list[float]]) -> None:
        """The encoder of a state.

        :param n_slots: most sites of a template.
        :param whole: lowest, highest, mean and standard deviation of each of :data:`WHOLE`, (8, 4).
        :param site: the same of each of :data:`SITE`, over all slots, empty ones included, (4, 4).
        """
        self.n_slots = n_slots
        self.whole, self.site = np.array(whole), np.array(site)
        self.n_whole, self.n_site = len(WHOLE), len(SITE)
        lowest, highest = np.rint(self.whole[0, :2]).astype(int)
        self.groups = np.arange(lowest, highest + 1)

    @classmethod
    def fit(cls, templates: Templates, weights: Floats | None = None) -> "Continuous":
        """Ranges, means and standard deviations of the training data.

        :param weights: how much each template counts in the means, (N,); ``None`` is once.
        :raises InputError: if there are no templates.
        """
        if len(templates) == 0:
            raise InputError("no templates to fit the encoder to; widen the block `training` of the configuration")
        n_slots = int(templates.n_sites.max())
        whole, sites = _numbers(templates, n_slots)
        sites = sites.reshape(-1, len(SITE))
        share = np.ones(len(templates)) if weights is None else weights
        beyond = np.array([ROUNDED, ROUNDED, *[0.0] * 6])
        factor = np.array([0.0, 0.0, *[MARGIN] * 6])
        whole_range = whole.min(0) * (1 - factor) - beyond, whole.max(0) * (1 + factor) + beyond
        lowest = np.array([sites[:, 0].min() - ROUNDED, *[-MARGIN] * 3])
        highest = np.array([sites[:, 0].max() + ROUNDED, *[1 + MARGIN] * 3])
        return cls(
            n_slots,
            np.column_stack([*whole_range, *_moments(whole, share)]).tolist(),
            np.column_stack([lowest, highest, *_moments(sites, np.repeat(share, n_slots))]).tolist(),
        )

    def state(self) -> dict[str, Any]:
        """See :class:`.Encoder`."""
        return {"n_slots": self.n_slots, "whole": self.whole.tolist(), "site": self.site.tolist()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Continuous":
        """See :class:`.Encoder`."""
        return cls(**state)

    def covers(self, templates: Templates) -> Booleans:
        """See :class:`.Encoder`: all numbers within their ranges, and no more sites than slots."""
        whole, sites = _numbers(templates, self.n_slots)
        return (
            (templates.n_sites <= self.n_slots)
            & _inside(whole, self.whole).all(1)
            & _inside(sites, self.site).all((1, 2))
        )

    def encode(self, templates: Templates) -> Encoded:
        """See :class:`.Encoder`."""
        if not (covered := self.covers(templates)).all():
            raise ValueError(f"{(~covered).sum()} templates lie outside of what this encoder represents")
        parts = zip(_numbers(templates, self.n_slots), (self.whole, self.site), strict=True)
        return Encoded(*(torch.from_numpy((x - scale[:, 2]) / scale[:, 3]).float() for x, scale in parts))

    def decode(self, encoded: Encoded) -> Templates:
        """See :class:`.Encoder`. Groups and letters as they round; dependent coordinates and cell parameters follow.

        The number of atoms is that of the letters, whatever the number for it says. Sites keep the order they have,
        with empty slots after them.
        """
        parts = zip(encoded, (self.whole, self.site), strict=True)
        whole, sites = (x.detach().cpu().double().numpy() * scale[:, 3] + scale[:, 2] for x, scale in parts)
        spacegroup = np.rint(whole[:, 0]).astype(np.int16)
        sites = np.take_along_axis(sites, np.argsort(sites[..., :1] < -0.5, axis=1, kind="stable"), axis=1)
        letters = np.rint(sites[..., 0]).astype(np.int8)
        coords = on_representatives(spacegroup, letters, sites[..., 1:])
        return Templates(spacegroup, constrain_cell(spacegroup, whole[:, 2:]), letters, coords)

    def head(self, width: int) -> "ContinuousHead":
        """See :class:`.Encoder`."""
        return ContinuousHead(self, width)


class ContinuousHead(Head):
    """One linear layer and a tanh, stretched to the range of each number.

    Everything comes from the noise vector: there is no condition and no choice, hence no pseudocount, no
    likelihood and nothing to calibrate. Untrained, it draws about the means of the data.
    """

    encoder: Continuous
    conditional = False
    n_noise = 0
    middle: Tensor
    reach: Tensor
    """Middle and half width of the range of each number."""

    def __init__(self, encoder: Continuous, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        scales = np.concatenate([encoder.whole, np.tile(encoder.site, (encoder.n_slots, 1))])
        low, high = ((scales[:, i] - scales[:, 2]) / scales[:, 3] for i in (0, 1))
        self.register_buffer("middle", torch.from_numpy((low + high) / 2).float(), persistent=False)
        self.register_buffer("reach", torch.from_numpy((high - low) / 2).float(), persistent=False)
        self.numbers = nn.Linear(width, len(scales))
        with torch.no_grad():
            self.numbers.bias.copy_(torch.atanh(-self.middle / self.reach))

    def forward(
        self,
        hidden: Tensor,
        noise: Tensor,  # noqa: ARG002 - of the interface
        pseudocount: float = 0.0,  # noqa: ARG002 - of the interface
        like: Encoded | None = None,
        groups: Tensor | None = None,
    ) -> Encoded:
        """See :class:`.Head`.

        :param pseudocount: has no effect, as nothing is a choice.
        :raises InputError: if space groups are asked for.
        """
        if like is not None or groups is not None:
            raise InputError(
                "with model.encoder continuous, space groups cannot be asked for: the generator draws all of them"
            )
        numbers = self.middle + self.reach * torch.tanh(self.numbers(hidden))
        whole, sites = torch.split(numbers, [len(WHOLE), self.encoder.n_slots * len(SITE)], dim=1)
        return Encoded(whole, sites.view(len(sites), self.encoder.n_slots, len(SITE)))

    def likelihood(self, real: Encoded) -> Tensor:
        """See :class:`.Head`: zero, as nothing is a choice; ``model.likelihood`` has no effect."""
        return -real.whole.new_zeros(())  # its negative is a loss, and that is then 0, not -0


def _numbers(templates: Templates, n_slots: int) -> tuple[Floats, Floats]:
    """The numbers of :data:`WHOLE`, (N, 8), and of :data:`SITE`, (N, n_slots, 4)."""
    sites = np.zeros((len(templates), n_slots, len(SITE)))
    sites[..., 0] = -1
    width = min(n_slots, templates.letters.shape[1])
    sites[:, :width, 0], sites[:, :width, 1:] = templates.letters[:, :width], templates.coords[:, :width]
    return np.column_stack([templates.spacegroup, templates.n_atoms, templates.cell]), sites


def _moments(x: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column, 1 where all values are equal."""
    mean = np.average(x, axis=0, weights=weights)
    deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    return mean, np.where(deviation > 1e-6, deviation, 1.0)


def _inside(x: Floats, scale: Floats) -> Booleans:
    return (scale[:, 0] <= x) & (x <= scale[:, 1])
