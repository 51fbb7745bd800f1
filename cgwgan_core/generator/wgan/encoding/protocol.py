"""What an encoder provides: templates as tensors for the networks, and an output layer for the generator."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.wgan.collisions import Geometry
from cgwgan_core.workflow.arrays import Booleans, Floats


class Encoded(NamedTuple):
    """Templates as the networks see them, float32."""

    whole: Tensor
    """The crystal as a whole, (B, G)."""
    sites: Tensor
    """The sites of the asymmetric unit, (B, K, S)."""


class Encoder(Protocol):
    """What a representation of templates provides."""

    groups: NDArray[np.int64]
    """Space groups that can be represented, ascending."""
    n_whole: int
    """G, length of the vector of the whole crystal."""
    n_slots: int
    """K, the most sites a template has."""
    n_site: int
    """S, length of the vector of one site."""

    @classmethod
    def fit(cls, templates: Templates, weights: Floats | None = None) -> "Encoder":
        """Learn what there is to represent (groups, numbers of sites, ranges) from the training data.

        :param weights: how often each template will be drawn in training, relative to the others, (N,); ``None`` is
            all alike.
        :raises InputError: if there are no templates.
        """

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Encoder":
        """The encoder again, from a checkpoint."""

    def state(self) -> dict[str, Any]:
        """All that :meth:`from_state` needs, as plain lists and numbers."""

    def covers(self, templates: Templates) -> Booleans:
        """Which templates can be encoded without loss, (N,)."""

    def encode(self, templates: Templates) -> Encoded:
        """Templates as tensors; those that are not covered raise :class:`ValueError`."""

    def decode(self, encoded: Encoded) -> Templates:
        """The inverse of :meth:`encode`; also takes whatever the head generates."""

    @property
    def geometry(self) -> Callable[[Encoded], Geometry] | None:
        """Where the atoms of templates are, with gradients; ``None`` where the representation has none to give."""

    def head(self, width: int) -> "Head":
        """A new output layer for a generator whose last hidden layer has ``width`` units."""


class Head(nn.Module):
    """Output layer of a generator."""

    encoder: Encoder
    """Whose form the generated templates take."""
    conditional = True
    """Whether the space group is a condition, so that :meth:`forward` takes ``like`` and ``groups``."""
    n_noise: int
    """How many uniform random numbers one template's choices take."""

    def forward(
        self,
        hidden: Tensor,
        noise: Tensor,
        pseudocount: float = 0.0,
        like: Encoded | None = None,
        groups: Tensor | None = None,
    ) -> Encoded:
        """Generate templates.

        :param hidden: last hidden layer, (B, width).
        :param noise: uniform in (0, 1), (B, n_noise).
        :param pseudocount: how many templates get choices that no training template has; 0 is none, infinity is as many
            as can be.
        :param like: templates whose space groups to take instead of drawing them.
        :param groups: space group numbers to draw from, in the proportions they have among themselves;
            ``None`` is all.
        """
        raise NotImplementedError

    def complete(self, hidden: Tensor, real: Encoded) -> Encoded:
        """Draw what is continuous, given the choices (space group and letters) of other templates.

        Heads that are not ``conditional`` have no choices to be given.

        :param hidden: last hidden layer, (B, width).
        :param real: the templates whose choices to take.
        """
        raise NotImplementedError

    def calibrate(self, drawn: Encoded) -> None:
        """Set the marginal distributions of continuous outputs to those of the data, for sampling.

        :param drawn: many templates of this head in training mode, in which there is no calibration.
        """

    def likelihood(self, real: Encoded) -> Tensor:
        """Mean logarithm of the probability that the sites' choices of real templates have, a scalar."""
        raise NotImplementedError
