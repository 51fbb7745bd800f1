"""The two networks of the Wasserstein GAN, after Su et al., J. Mater. Inf. 2024, 4, 20.

Neither knows what a template is: the generator ends in the output layer that the encoder brings
(:meth:`.Encoder.head`), the critic reads what the encoder encodes.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from cgwgan_core.generator.wgan.encoding.protocol import Encoded, Encoder, Head

SLOPE = 0.2
"""Slope of the critic's LeakyReLU below zero."""


class Generator(nn.Module):
    """Fully connected layers with ReLU, then the encoder's output layer."""

    def __init__(self, encoder: Encoder, latent: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.latent = latent
        self.hidden = nn.Sequential(*(m for a, b in pairwise([latent, *layers]) for m in (nn.Linear(a, b), nn.ReLU())))
        self.head: Head = encoder.head(layers[-1])

    def noise(self, n: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random input of ``n`` templates, on the CPU: normal (n, latent), and uniform (n, head.n_noise)."""
        return (
            torch.randn(n, self.latent, generator=random),
            torch.rand(n, self.head.n_noise, generator=random),
        )

    def forward(
        self,
        normal: Tensor,
        uniform: Tensor,
        pseudocount: float = 0.0,
        like: Encoded | None = None,
        groups: Tensor | None = None,
    ) -> Encoded:
        """Generate templates from :meth:`noise`; the rest as :meth:`.Head.forward` has it."""
        drawn: Encoded = self.head(self.hidden(normal), uniform, pseudocount, like, groups)
        return drawn

    def complete(self, normal: Tensor, real: Encoded) -> Encoded:
        """Templates with the choices of others, see :meth:`.Head.complete`."""
        return self.head.complete(self.hidden(normal), real)

    def likelihood(self, real: Encoded) -> Tensor:
        """Mean log-probability of the choices of real templates, see :meth:`.Head.likelihood`."""
        return self.head.likelihood(real)


class Attention(nn.Module):
    """Self-attention over the sites of each template: queries, keys and values by 1D convolution.

    The output is ``x + gamma * attention(x)`` with a learned gamma that starts at 0 (Zhang et al.,
    arXiv:1805.08318), so that the critic first learns from sites by themselves.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query = nn.Conv1d(channels, inner, 1)
        self.key = nn.Conv1d(channels, inner, 1)
        self.value = nn.Conv1d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def weights(self, x: Tensor) -> Tensor:
        """How much each site (second axis) attends to each other one (third), (B, K, K); rows sum to 1."""
        query, key = self.query(x), self.key(x)
        return torch.softmax(query.transpose(1, 2) @ key / query.shape[1] ** 0.5, dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, K) to the same shape."""
        out: Tensor = x + self.gamma * (self.value(x) @ self.weights(x).transpose(1, 2))
        return out


class Residual(nn.Module):
    """Two fully connected layers with a connection around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.LeakyReLU(SLOPE), nn.Linear(width, width), nn.LeakyReLU(SLOPE), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) to the same shape."""
        out: Tensor = x + self.inner(x)
        return out


class Critic(nn.Module):
    """Scores templates: fully connected layers per site, two sub-discriminators, one layer that joins them.

    Every site goes through the same fully connected layers, together with the vector of the whole crystal,
    so that a sequence of sites (B, K, C) remains. One sub-discriminator attends over that sequence, the
    other is residual over all sites at once. No normalisation over the batch: the gradient penalty is
    defined for each template by itself (Gulrajani et al., arXiv:1704.00028).
    """

    def __init__(self, encoder: Encoder, layers: Sequence[int]) -> None:
        super().__init__()
        width = layers[-1]
        # one layer of [whole ‖ site], split so that the crystal's part is computed once per template
        self.whole = nn.Linear(encoder.n_whole, layers[0])
        self.site = nn.Linear(encoder.n_site, layers[0], bias=False)
        self.hidden = nn.Sequential(*_leaky(layers))
        self.attention = nn.Sequential(
            Attention(width), nn.Flatten(), nn.Linear(encoder.n_slots * width, width), nn.LeakyReLU(SLOPE)
        )
        self.residual = nn.Sequential(
            nn.Flatten(), nn.Linear(encoder.n_slots * width, width), Residual(width), nn.LeakyReLU(SLOPE)
        )
        self.join = nn.Linear(2 * width, 1)

    def forward(self, encoded: Encoded) -> Tensor:
        """Scores, (B,); larger is more like the training data."""
        scores: Tensor = self.join(self.latent(encoded))[:, 0]
        return scores

    def latent(self, encoded: Encoded) -> Tensor:
        """What both sub-discriminators make of a template, (B, 2 width): the score is linear in it."""
        whole, sites = encoded
        x = self.hidden(self.whole(whole)[:, None] + self.site(sites)).transpose(1, 2)
        return torch.cat([self.attention(x), self.residual(x)], dim=1)


def _leaky(layers: Sequence[int]) -> Iterator[nn.Module]:
    """The layers after the first, which is linear so far, each preceded by LeakyReLU; one after the last."""
    yield nn.LeakyReLU(SLOPE)
    for a, b in pairwise(layers):
        yield nn.Linear(a, b)
        yield nn.LeakyReLU(SLOPE)
