"""Training: a Wasserstein GAN with gradient penalty that learns templates.

Arjovsky et al., arXiv:1701.07875, with the gradient penalty of Gulrajani et al., arXiv:1704.00028. With
critic D, generator G, real templates x, generated ones G(z), and x̂ uniform on the line between a pair of them:

    critic:     minimise  E[D(G(z))] - E[D(x)] + λ E[(‖∇D(x̂)‖₂ - 1)²]
    generator:  minimise  -E[D(G(z))] - μ E[log p(letters of x | space group of x)] + κ E[max(0, 1 - d / d₀)]
                          + ν E[½|G(z) - x| + ½|G(z') - x| - ½|G(z) - G(z')|]

The gradient is taken over both parts of x̂ (the whole crystal and its sites) as one vector. The space group is a
condition, unless the encoder's output layer takes none: every generated template of a batch has the group of the real
one it is paired with. With μ = κ = ν = 0 this is the plain WGAN. The other terms of the generator's loss are:

- The likelihood of the real templates' letters, which the generator knows in closed form. It holds the discrete
  choices to the data; the critic's gradient of these is noisy.
- Collisions. d is the shortest distance between two atoms of a template. The mean is over the generated batch and one
  more, with letters that no real template has. The critic knows nothing of those letters, hence no gradient on volume.
- The energy score (Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359 (2007), doi:10.1198/016214506000001437) of cell
  and coordinates given the letters of x, with two noises z and z'. It is least where generated cells and coordinates
  are distributed as the real ones of the same letters; without it they vary little within one set of letters.
"""

import math
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.distributions import DENSITY_EDGES, histogram, overlap, total_variation
from cgwgan_core.generator.model import PSEUDOCOUNT
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.steps import Stepwise, averaging, on_cpu
from cgwgan_core.generator.wgan.collisions import ShortestDistances
from cgwgan_core.generator.wgan.encoding.protocol import Encoded, Encoder
from cgwgan_core.generator.wgan.model import WganModel
from cgwgan_core.generator.wgan.networks import Critic, Generator
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.logs import logger
from cgwgan_core.workflow.seeds import derive_seed

CALIBRATION = 32768
"""Templates drawn to calibrate a trained generator."""
CHOICES = 40
"""Steps, evenly spaced, of which those of the second half are scored; at least 50 lie between two of them."""
SCORED = 4096
"""Templates drawn for one score."""
FEWEST_HELD_OUT = 100
"""Held-out templates that steps can be scored by."""
TOO_CLOSE = 1.2
"""Distance d₀ below which atoms collide in training, Å; the margin to 1 Å is for what the average smooths out."""


class WGANGP(Stepwise):
    """One training step is one generator step, after ``n_critic`` critic steps."""

    whole: Tensor
    sites: Tensor
    """All training templates as :class:`Encoded` has them."""
    upto: Tensor
    """Sum of the shares of the templates up to each, (N,)."""
    losses = (
        "critic_loss",
        "wasserstein",
        "gradient_penalty",
        "generator_loss",
        "letters_nll",
        "collisions",
        "energy_score",
    )

    def __init__(
        self,
        model: WganModel,
        templates: Templates,
        weights: Floats,
        held_out: Templates,
        options: ModelOptions,
        seed: int,
        _energies: Floats | None = None,
    ) -> None:
        """Take the networks to train and the data; energies are for a flow.

        :param templates: batches are drawn from them with replacement.
        :param weights: in proportion to which each is drawn, (N,).
        :param held_out: templates to choose the best step by; those that the encoder does not cover are left out. With
            fewer than :data:`FEWEST_HELD_OUT` the last step is kept.
        """
        super().__init__()
        self.automatic_optimization = False
        self.options, self.seed = options, seed
        self.generator, self.critic = model.generator.train(), model.critic.train()
        real = model.encoder.encode(templates)
        self.average = AveragedModel(self.generator, avg_fn=averaging(options.ema))
        self.register_buffer("whole", real.whole, persistent=False)
        self.register_buffer("sites", real.sites, persistent=False)
        self.register_buffer("upto", torch.from_numpy(np.cumsum(weights) / np.sum(weights)), persistent=False)
        self.encoder: Encoder = model.encoder
        self.held_out = held_out[self.encoder.covers(held_out)]
        self.distances = (
            ShortestDistances(self.encoder.groups) if options.collisions and self.encoder.geometry else None
        )
        self.step = 0
        """Generator steps done."""
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        """Score, step and averaged generator of the best step so far."""
        self.curve: list[list[float]] = []
        """Rows of step and :attr:`losses`."""

    @property
    def averaged(self) -> Generator:
        """The generator with the moving average of its weights, which is what samples."""
        return cast(Generator, self.average.module)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the generator and for the critic."""
        return [
            torch.optim.Adam(network.parameters(), lr=self.options.learning_rate, betas=(0.0, 0.9), fused=True)
            for network in (self.generator, self.critic)
        ]

    def training_step(self, step: int, _: int) -> None:
        """Update the critic ``n_critic`` times, then the generator, then its average."""
        options, step = self.options, int(step)
        generator_adam, critic_adam = cast(list[LightningOptimizer], self.optimizers())
        random = torch.Generator().manual_seed(derive_seed(self.seed, "step", step))
        left = 1 - step / options.max_steps
        for adam in (generator_adam, critic_adam):
            for group in adam.param_groups:
                group["lr"] = options.learning_rate * min(1.0, 2 * left)
        for _ in range(options.n_critic):
            of_critic = self.critic_step(random, critic_adam)
        of_generator = self.generator_step(random, generator_adam)
        self.average.update_parameters(self.generator)
        self.step = step + 1
        self.record([*of_critic, *of_generator])
        self.keep_best()
        if self.step == options.max_steps:
            self.trainer.should_stop = True

    def critic_step(self, random: torch.Generator, adam: LightningOptimizer) -> tuple[Tensor, Tensor, Tensor]:
        """Update the critic once.

        :returns: its loss, the estimate of the Wasserstein distance, and the gradient penalty.
        """
        n = self.options.batch_size
        real = self.draw(random, n)
        with torch.no_grad():
            fake = self.generate(random, real)
        along = torch.rand(n, generator=random).to(self.device)
        both = self.critic(Encoded(*(torch.cat(parts) for parts in zip(real, fake, strict=True))))
        distance = both[:n].mean() - both[n:].mean()
        # half of the pairs are enough for its mean, and it is what costs most
        half = -(-n // 2)
        some_real, some_fake = (Encoded(*(part[:half] for part in x)) for x in (real, fake))
        penalty = gradient_penalty(self.critic, some_real, some_fake, along[:half])
        loss = self.options.gradient_penalty * penalty - distance
        adam.zero_grad()
        self.manual_backward(loss)
        adam.step()
        return loss, distance, penalty

    def generator_step(
        self, random: torch.Generator, adam: LightningOptimizer
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Update the generator once.

        :returns: the terms of its loss without their weights: critic, letters, collisions, energy score.
        """
        options = self.options
        self.critic.requires_grad_(False)
        real = self.draw(random, options.batch_size)
        fake = self.generate(random, real)
        loss = -self.critic(fake).mean()
        nll = -self.generator.likelihood(real) if options.likelihood else torch.zeros(())
        close = self.closeness(random, real, fake)
        score = self.energy_score(random, real)
        adam.zero_grad()
        self.manual_backward(
            loss + options.likelihood * nll + options.collisions * close + options.energy_score * score
        )
        adam.step()
        self.critic.requires_grad_(True)
        return loss, nll, close, score

    def draw(self, random: torch.Generator, n: int) -> Encoded:
        """``n`` real templates."""
        point = torch.rand(n, generator=random, dtype=torch.float64).to(self.device)
        rows = torch.searchsorted(self.upto, point).clamp(max=len(self.whole) - 1)
        return Encoded(self.whole[rows], self.sites[rows])

    def generate(self, random: torch.Generator, like: Encoded, pseudocount: float = 0.0) -> Encoded:
        """A batch of generated templates, with the space groups of a real batch where these are a condition."""
        normal, uniform = (x.to(self.device) for x in self.generator.noise(self.options.batch_size, random))
        condition = like if self.generator.head.conditional else None
        drawn: Encoded = self.generator(normal, uniform, pseudocount, like=condition)
        return drawn

    def closeness(self, random: torch.Generator, real: Encoded, fake: Encoded) -> Tensor:
        """E[max(0, 1 - d / d₀)] of generated templates, with gradients at constant volume; a scalar.

        With letters that the critic never sees, nothing else would keep the volume from growing until no atoms meet.
        """
        if self.distances is None or self.encoder.geometry is None:
            return torch.zeros(())
        shortest = []
        for batch in (fake, self.generate(random, real, math.inf)):
            geometry = self.encoder.geometry(batch)
            volume = torch.linalg.det(geometry.vectors)
            fixed = geometry.vectors * (volume.detach() / volume)[:, None, None] ** (1 / 3)
            shortest.append(self.distances(geometry._replace(vectors=fixed)))
        return torch.relu(1 - torch.cat(shortest) / TOO_CLOSE).mean()

    def energy_score(self, random: torch.Generator, real: Encoded) -> Tensor:
        """E[½|G(z) - x| + ½|G(z') - x| - ½|G(z) - G(z')|], G with the group and letters of x; a scalar."""
        if not self.options.energy_score or not self.generator.head.conditional:
            return torch.zeros(())
        size = (2, self.options.batch_size, self.options.latent)
        one, other = (self.generator.complete(z.to(self.device), real) for z in torch.randn(size, generator=random))
        return 0.5 * (distances(one, real) + distances(other, real) - distances(one, other)).mean()

    def keep_best(self) -> None:
        """Score the averaged generator, if the step is one of :data:`CHOICES`, and keep it if it is the best."""
        total = self.options.max_steps
        # the first half is of no interest: the rate of learning is still high
        if 2 * self.step <= total or self.step % max(50, total // CHOICES) or len(self.held_out) < FEWEST_HELD_OUT:
            return
        score = self.score(derive_seed(self.seed, "score"))
        logger.info(f"step {self.step:,}: score {score:.3f} on the held-out templates")
        if self.best is None or score > self.best[0]:
            self.best = score, self.step, on_cpu(self.averaged.state_dict())

    @torch.no_grad()
    def score(self, seed: int) -> float:
        """How good the averaged generator is on the space groups of the held-out templates, 0 to 1.

        The share of draws without two atoms closer than 1 Å, times the overlap Σ min(p, q) of the number density
        of draws and held-out templates, drawn at the usual :data:`PSEUDOCOUNT`. The latter's isopointal types are none
        of the training's, so that a generator that only remembers has no advantage.

        A generator without a condition cannot be asked for these groups. It is compared with the training templates
        instead, and the overlap of the space groups is a third factor.
        """
        random = torch.Generator().manual_seed(seed)
        like = None
        if self.generator.head.conditional:
            rows = torch.randint(len(self.held_out), (SCORED,), generator=random)
            wanted = self.held_out[rows.numpy()]
            like = Encoded(*(x.to(self.device) for x in self.encoder.encode(wanted)))
        else:
            wanted = self.encoder.decode(self.draw(random, SCORED))
        noise = (x.to(self.device) for x in self.generator.noise(SCORED, random))
        drawn = self.encoder.decode(self.averaged(*noise, PSEUDOCOUNT, like=like)).projected()
        p, q = (histogram(x.number_density, DENSITY_EDGES) for x in (drawn, wanted))
        groups = 1 - total_variation(drawn.spacegroup, wanted.spacegroup)  # 1 where they are a condition
        return float((min_distances(drawn) >= 1.0).mean()) * overlap(p, q) * groups

    def finished(self, data: str, before: int, known: dict[str, Templates]) -> WganModel:
        """The averaged generator of the best step, calibrated for sampling.

        :param data: see :class:`.TrainedModel`, as for ``known``.
        :param before: steps of the checkpoint that the training started from.
        """
        self.to("cpu")
        made, steps = self.averaged, self.options.max_steps
        if self.best is not None:
            score, steps, state = self.best
            made.load_state_dict(state)
            logger.info(f"the generator of step {steps:,} is kept, with a score of {score:.3f}")
        with torch.no_grad():
            random = torch.Generator().manual_seed(derive_seed(self.seed, "calibrate"))
            made.head.calibrate(made.train()(*made.noise(CALIBRATION, random), PSEUDOCOUNT))
        return WganModel(self.encoder, made.eval(), self.critic.eval(), self.options, data, before + steps, known)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning keeps weights and optimizers; this adds how far we are and the curve so far."""
        checkpoint["cgwgan"] = {"step": self.step, "curve": self.curve, "best": self.best}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The inverse of :meth:`on_save_checkpoint`."""
        self.step, self.curve, self.best = (checkpoint["cgwgan"][name] for name in ("step", "curve", "best"))


def distances(one: Encoded, other: Encoded) -> Tensor:
    """Euclidean distances of two batches of encoded templates, (B,)."""
    squared = (one.whole - other.whole).square().sum(1) + (one.sites - other.sites).square().sum((1, 2))
    return (squared + 1e-6).sqrt()  # the gradient of the root has no limit at 0


def gradient_penalty(critic: Critic, real: Encoded, fake: Encoded, along: Tensor) -> Tensor:
    """E[(‖∇D(x̂)‖₂ - 1)²], the norm taken over both parts of each template together.

    :param along: place of x̂ between the fake (0) and the real template (1), (B,).
    """
    between = Encoded(
        torch.lerp(fake.whole, real.whole, along[:, None]).requires_grad_(),
        torch.lerp(fake.sites, real.sites, along[:, None, None]).requires_grad_(),
    )
    gradients = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norm = torch.cat([g.flatten(1) for g in gradients], dim=1).norm(dim=1)
    penalty: Tensor = (norm - 1).square().mean()
    return penalty
