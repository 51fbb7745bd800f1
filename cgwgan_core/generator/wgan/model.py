"""A trained GAN: two networks and the encoder between them and templates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.model import Request
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.wgan.encoding.encoders import ENCODERS
from cgwgan_core.generator.wgan.encoding.protocol import Encoder
from cgwgan_core.generator.wgan.networks import Critic, Generator
from cgwgan_core.workflow.arrays import Booleans, Floats
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.seeds import derive_seed


@dataclass(frozen=True)
class WganModel:
    """See :class:`.TrainedModel`."""

    encoder: Encoder
    """Fitted to the training data."""
    generator: Generator
    """With the averaged weights, ready to sample."""
    critic: Critic
    """As it was at the end of the training."""
    options: ModelOptions
    data: str
    steps: int
    known: dict[str, Templates]

    @property
    def groups(self) -> NDArray[np.int64]:
        """See :class:`.TrainedModel`."""
        return self.encoder.groups

    def covers(self, templates: Templates) -> Booleans:
        """See :class:`.TrainedModel`."""
        return self.encoder.covers(templates)

    def draw(self, n: int, random: torch.Generator, request: Request) -> Templates:
        """See :class:`.TrainedModel`."""
        if request.energy_above_hull is not None:
            raise InputError("templates.energy_above_hull: a wgan takes no such condition; write null, or take a flow")
        groups = None if request.spacegroups is None else torch.tensor(sorted(request.spacegroups))
        with torch.no_grad():
            encoded = self.generator(*self.generator.noise(n, random), request.pseudocount, groups=groups)
        return self.encoder.decode(encoded).projected()

    def latent(self, templates: Templates) -> Floats | None:
        """See :class:`.TrainedModel`."""
        with torch.no_grad():
            found: Floats = self.critic.latent(self.encoder.encode(templates)).numpy()
        return found

    def state(self) -> dict[str, Any]:
        """See :class:`.TrainedModel`."""
        return {
            "encoder": self.encoder.state(),
            "generator": self.generator.state_dict(),
            "critic": self.critic.state_dict(),
        }

    @classmethod
    def untrained(cls, templates: Templates, weights: Floats, options: ModelOptions, seed: int) -> "WganModel":
        """See :class:`.TrainedModel`."""
        encoder = ENCODERS[options.encoder].fit(templates, weights)
        return cls(encoder, *build(encoder, options, derive_seed(seed, "weights")), options, "", 0, {})

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], options: ModelOptions, data: str, steps: int, known: dict[str, Templates]
    ) -> "WganModel":
        """The inverse of :meth:`state`."""
        encoder = ENCODERS[options.encoder].from_state(state["encoder"])
        generator, critic = build(encoder, options, seed=0)
        generator.load_state_dict(state["generator"])
        critic.load_state_dict(state["critic"])
        return cls(encoder, generator.eval(), critic.eval(), options, data, steps, known)


def build(encoder: Encoder, options: ModelOptions, seed: int) -> tuple[Generator, Critic]:
    """New networks; equal seeds give equal weights. The random state of the caller stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(encoder, options.latent, options.generator), Critic(encoder, options.critic)
