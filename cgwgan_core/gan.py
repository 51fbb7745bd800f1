"""The Wasserstein GAN that learns templates: its options, its training, its checkpoint.

Arjovsky et al., arXiv:1701.07875, with the gradient penalty of Gulrajani et al., arXiv:1704.00028. With
critic D, generator G, real templates x, generated ones G(z), and x̂ uniform on the line between a pair of them:

    critic:     minimise  E[D(G(z))] - E[D(x)] + λ E[(‖∇D(x̂)‖₂ - 1)²]
    generator:  minimise  -E[D(G(z))] - μ E[log p(letters of x | space group of x)] + κ E[max(0, 1 - d / d₀)]
                          + ν E[½|G(z) - x| + ½|G(z') - x| - ½|G(z) - G(z')|]

The gradient is taken over both parts of x̂ (the whole crystal and its sites) as one vector. The space group is a
condition (unless the encoder's output layer takes none): every generated template of a batch has that of the real
one it is paired with. The second term of the
generator's loss is the likelihood of the real templates' letters, which the generator knows in closed form; it
holds the discrete choices, for which the critic's gradient is noisy, to the data. The third is for collisions: d is the
shortest distance between two atoms of a template, and it is taken over the generated batch and one more with letters
that no real template has, of which the critic knows nothing; hence without gradients on the volume. The fourth is the
energy score (Gneiting and Raftery, J. Am. Stat. Assoc. 102, 359 (2007), doi:10.1198/016214506000001437) of cell and
coordinates given the letters of x, with two noises z and z': least where generated cells and coordinates are
distributed as the real ones of the same letters. Without it they vary little within one set of letters. With
μ = κ = ν = 0 it is the plain WGAN.

All random numbers of a step are drawn from a generator seeded by (seed, step). A step hence depends on the
weights and its number alone, and a training that was killed goes on from its last Lightning checkpoint to
the same bytes as one that never stopped.
"""

import csv
import hashlib
import io
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from . import jobs
from .collisions import ShortestDistances
from .crystal import Templates, min_distances
from .distributions import DENSITY_EDGES, overlap, shares, total_variation
from .encoding import ENCODERS, Encoded, Encoder
from .errors import InputError
from .fingerprint import fingerprints
from .jobs import Provenance, logger
from .networks import Critic, Generator
from .tables import replacing

FORMAT = "cgwgan generator 4"
"""Marks our checkpoints; the number changes with their layout."""
SCRATCH = "scratch"
"""Value of ``model.init`` that starts from random weights."""
PRETRAINED = "pretrained"
"""Value of ``model.init`` that starts from the checkpoint that comes with the package."""
SHIPPED = Path(__file__).parent / "data" / "generator.ckpt"
"""That checkpoint; docs/MODEL_CARD.md says what it is."""
BOLDNESS = 3.0
"""Usual β of :mod:`cgwgan_core.encoding.unseen` in sampling: the one that generators are chosen and calibrated at."""
CALIBRATION = 32768
"""Templates drawn to calibrate a trained generator."""
CHOICES = 40
"""Steps, evenly spaced, of which those of the second half are scored; at least 50 lie between two of them."""
SCORED = 4096
"""Templates drawn for one score."""
TOO_CLOSE = 1.2
"""Distance d₀ below which atoms collide in training, Å; the margin to 1 Å is for what the average smooths out."""
LOG_POINTS = 1000
"""Most rows of the training curve."""
LOSSES = (
    "critic_loss",
    "wasserstein",
    "gradient_penalty",
    "generator_loss",
    "letters_nll",
    "collisions",
    "energy_score",
)
"""What the training curve holds for each step, besides ``step``."""


@dataclass(frozen=True)
class ModelOptions:
    """The block ``model`` of the configuration."""

    init: str = PRETRAINED
    """``scratch``, ``pretrained`` (the checkpoint of the package), or the path of a checkpoint to start from."""
    max_steps: int = 0
    """Generator steps; 0 uses the checkpoint as it is."""
    encoder: str = "categorical"
    """How a template becomes tensors: a name of :data:`cgwgan_core.encoding.ENCODERS`."""
    latent: int = 128
    """Size of the generator's noise vector."""
    generator: tuple[int, ...] = (128, 256, 512)
    """Widths of the generator's fully connected layers."""
    critic: tuple[int, ...] = (512, 256, 128)
    """Widths of the critic's fully connected layers before the two sub-discriminators."""
    batch_size: int = 128
    """Templates per step."""
    n_critic: int = 5
    """Critic steps per generator step."""
    gradient_penalty: float = 10.0
    """Weight λ of the gradient penalty."""
    likelihood: float = 1.0
    """Weight μ of the likelihood of the training templates' letters in the generator's loss; 0 leaves it out. No
    effect with the encoder ``continuous``, where letters are no choices and have none."""
    collisions: float = 4.0
    """Weight κ of atoms that are too close in the generator's loss; 0 leaves it out. No effect with ``continuous``."""
    energy_score: float = 3.0
    """Weight ν of the energy score of cells and coordinates given the letters; 0 leaves it out. No effect with
    ``continuous``."""
    repeats: float = 1.0
    """A template that the data holds m times is drawn in training in proportion to m to this power: 1 learns
    the database as it is, 0 every distinct template alike."""
    learning_rate: float = 5e-4
    """Of Adam with betas 0 and 0.9, for both networks; over the last half of the steps it falls to zero."""
    ema: float = 0.99
    """Decay of the moving average of the generator's weights, which is what samples."""

    def __post_init__(self) -> None:
        for name in ("generator", "critic"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.encoder not in ENCODERS:
            raise InputError(f"model.encoder: no encoder {self.encoder!r}; choose one of {', '.join(ENCODERS)}")
        if self.max_steps == 0 and self.init == SCRATCH:
            raise InputError(
                "model: max_steps is 0 and init is scratch, so there is nothing to sample from; "
                "set max_steps, or init to pretrained or the path of a checkpoint"
            )
        for name, least in (("max_steps", 0), ("latent", 1), ("batch_size", 1), ("n_critic", 1)):
            if getattr(self, name) < least:
                raise InputError(f"model.{name}: {getattr(self, name)} is below {least}")
        for name in ("generator", "critic"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise InputError(f"model.{name}: needs at least one layer, every width 1 or more")
        for name in ("likelihood", "collisions", "energy_score"):
            if getattr(self, name) < 0:
                raise InputError(f"model.{name}: {getattr(self, name)} is below 0")
        if not 0 <= self.repeats <= 1:
            raise InputError(f"model.repeats: {self.repeats} is not in [0, 1]")
        if self.learning_rate <= 0:
            raise InputError(f"model.learning_rate: {self.learning_rate} is not above 0")
        if not 0 <= self.ema < 1:
            raise InputError(f"model.ema: {self.ema} is not in [0, 1)")

    def architecture(self) -> dict[str, Any]:
        """The options that a checkpoint's weights depend on."""
        return {
            "encoder": self.encoder,
            "latent": self.latent,
            "generator": list(self.generator),
            "critic": list(self.critic),
        }


# --------------------------------------------------------------------------------------------- checkpoints


@dataclass(frozen=True)
class Bundle:
    """A trained model, as a checkpoint holds it."""

    encoder: Encoder
    """Fitted to the training data."""
    generator: Generator
    """With the averaged weights, ready to sample."""
    critic: Critic
    """As it was at the end of the training."""
    options: ModelOptions
    """It was trained with (``init`` is not kept)."""
    data: str
    """Digest of the templates it was trained on."""
    steps: int
    """Generator steps taken, those of the checkpoints it started from included."""
    known: dict[str, Templates]
    """The templates it was trained on, ``train``, and those that were kept back, ``held-out``: what is new to it. Those
    of the checkpoints it started from are included. Lengths, angles and coordinates in half precision."""


def save(bundle: Bundle, path: str | Path, made_from: Provenance) -> None:
    """Write a checkpoint: tensors and plain values only, equal bytes for equal content.

    All large tensors are in half precision, which is enough for weights and halves the file.
    """
    options = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(bundle.options).items() if k != "init"}
    content = {
        "format": FORMAT,
        "options": options,
        "encoder": bundle.encoder.state(),
        "data": bundle.data,
        "steps": bundle.steps,
        "known": {side: _packed(templates) for side, templates in bundle.known.items()},
        "generator": _half(bundle.generator.state_dict()),
        "critic": _half(bundle.critic.state_dict()),
        "metadata": made_from.metadata(),
    }
    with replacing(path) as temporary, temporary.open("wb") as stream:
        torch.save(content, stream)  # through a stream: given a path, it would write the file's name inside


def load_generator(path: str | Path) -> Bundle:
    """Read a checkpoint of :func:`save`.

    :raises InputError: if the file is missing, unreadable, or not such a checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such checkpoint; set model.init to an existing one, to pretrained, or to scratch"
        ) from None
    except Exception as error:  # unpickling what is no checkpoint may raise anything
        raise InputError(f"{path}: not a readable checkpoint ({_first_line(error)}); train it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise InputError(f"{path}: not a checkpoint of this program (format {found!r}, not {FORMAT!r}); train one")
    try:
        options = ModelOptions(**content["options"], init=str(path))
        encoder = ENCODERS[options.encoder].from_state(content["encoder"])
        generator, critic = build(encoder, options, seed=0)
        generator.load_state_dict(content["generator"])
        critic.load_state_dict(content["critic"])
        known = {side: _unpacked(packed) for side, packed in content["known"].items()}
        return Bundle(encoder, generator.eval(), critic.eval(), options, content["data"], content["steps"], known)
    except (KeyError, TypeError, RuntimeError, InputError) as error:
        raise InputError(
            f"{path}: a damaged checkpoint, or one of another version ({_first_line(error)}); train it again"
        ) from None


def _packed(templates: Templates) -> dict[str, Tensor]:
    arrays = {name: torch.from_numpy(array) for name, array in vars(templates).items()}
    return {name: array.half() if array.is_floating_point() else array for name, array in arrays.items()}


def _unpacked(packed: dict[str, Tensor]) -> Templates:
    arrays = {name: array.numpy() for name, array in packed.items()}
    return Templates(
        arrays["spacegroup"], arrays["cell"].astype(float), arrays["letters"], arrays["coords"].astype(float)
    ).projected()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def build(encoder: Encoder, options: ModelOptions, seed: int) -> tuple[Generator, Critic]:
    """New networks; equal seeds give equal weights. The random state of the caller stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(encoder, options.latent, options.generator), Critic(encoder, options.critic)


def _half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() if tensor.numel() > 1000 else tensor for name, tensor in _cpu(state).items()}


def _cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _fitting(path: str, options: ModelOptions) -> Bundle:
    """The checkpoint that ``model.init`` names, if its architecture is the one the options ask for."""
    bundle = load_generator(SHIPPED if path == PRETRAINED else path)
    found, wanted = bundle.options.architecture(), options.architecture()
    if differ := [
        f"model.{name} is {wanted[name]} here and {found[name]} there" for name in wanted if wanted[name] != found[name]
    ]:
        raise InputError(f"{path}: does not fit the configuration: {'; '.join(differ)}; set what the checkpoint has")
    return bundle


# ------------------------------------------------------------------------------------------------ training


class WGANGP(pl.LightningModule):
    """One training step is one generator step, after ``n_critic`` critic steps."""

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        real: Encoded,
        options: ModelOptions,
        seed: int,
        weights: NDArray[np.float64] | None = None,
        held_out: Templates | None = None,
    ) -> None:
        """
        :param real: all training templates; batches are drawn from them with replacement.
        :param weights: in proportion to which each is drawn, (N,); ``None`` is uniformly.
        :param held_out: templates, covered by the encoder, to choose the best step by; ``None`` is the last one.
        """
        super().__init__()
        self.automatic_optimization = False
        self.options, self.seed = options, seed
        self.generator, self.critic = generator, critic
        # the decay grows towards its final value, so that short trainings are not averages over their start
        self.average = AveragedModel(
            generator, avg_fn=lambda mean, new, n: torch.lerp(mean, new, 1 - min(options.ema, (1 + n) / (10 + n)))
        )
        self.register_buffer("whole", real.whole, persistent=False)
        self.register_buffer("sites", real.sites, persistent=False)
        share = np.ones(len(real.whole)) if weights is None else weights
        self.register_buffer("upto", torch.from_numpy(np.cumsum(share) / np.sum(share)), persistent=False)
        self.held_out = held_out
        self.encoder = generator.head.encoder
        self.distances = (
            ShortestDistances(self.encoder.groups) if options.collisions and self.encoder.geometry else None
        )
        self.step = 0
        """Generator steps done."""
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        """Score, step and averaged generator of the best step so far."""
        self.curve: list[list[float]] = []
        """Rows of step and :data:`LOSSES`."""

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the generator and for the critic."""
        return [
            torch.optim.Adam(network.parameters(), lr=self.options.learning_rate, betas=(0.0, 0.9), fused=True)
            for network in (self.generator, self.critic)
        ]

    def training_step(self, step: int, _: int) -> None:
        """Update the critic ``n_critic`` times, then the generator, then its average."""
        options = self.options
        generator_adam, critic_adam = self.optimizers()
        random = torch.Generator().manual_seed(jobs.seed(self.seed, "step", int(step)))
        left = 1 - int(step) / options.max_steps
        for adam in (generator_adam, critic_adam):
            for group in adam.param_groups:
                group["lr"] = options.learning_rate * min(1.0, 2 * left)

        for _ in range(options.n_critic):
            real = self.draw(random)
            with torch.no_grad():
                fake = self.generate(random, real)
            along = torch.rand(options.batch_size, generator=random).to(self.device)
            both = self.critic(Encoded(*(torch.cat(parts) for parts in zip(real, fake, strict=True))))
            distance = both[: options.batch_size].mean() - both[options.batch_size :].mean()
            # half of the pairs are enough for its mean, and it is what costs most
            pairs = (Encoded(*(part[: -(-options.batch_size // 2)] for part in x)) for x in (real, fake))
            penalty = gradient_penalty(self.critic, *pairs, along[: -(-options.batch_size // 2)])
            critic_loss = options.gradient_penalty * penalty - distance
            critic_adam.zero_grad()
            self.manual_backward(critic_loss)
            critic_adam.step()

        self.critic.requires_grad_(False)
        real = self.draw(random)
        fake = self.generate(random, real)
        generator_loss = -self.critic(fake).mean()
        nll = -self.generator.likelihood(real) if options.likelihood else torch.zeros(())
        close = self.closeness(fake, self.generate(random, real, math.inf)) if self.distances else torch.zeros(())
        score = self.energy_score(random, real)
        generator_adam.zero_grad()
        self.manual_backward(
            generator_loss + options.likelihood * nll + options.collisions * close + options.energy_score * score
        )
        generator_adam.step()
        self.critic.requires_grad_(True)
        self.average.update_parameters(self.generator)

        self.step = int(step) + 1
        if self.step % -(-options.max_steps // LOG_POINTS) == 0 or self.step == options.max_steps:
            losses = torch.stack([critic_loss, distance, penalty, generator_loss, nll, close, score]).tolist()
            if not all(map(torch.isfinite, torch.tensor(losses))):
                raise InputError(
                    f"training diverged at step {self.step}; lower model.learning_rate (now {options.learning_rate})"
                )
            self.curve.append([self.step, *losses])
            # "step" is the loggers' abscissa; by itself Lightning counts the steps of both optimizers
            self.log_dict({**dict(zip(LOSSES, losses, strict=True)), "step": float(self.step)})
        # the first half is of no interest, and the rate of learning is still high
        every = max(50, options.max_steps // CHOICES)
        if self.held_out is not None and 2 * self.step > options.max_steps and self.step % every == 0:
            score = self.score(jobs.seed(self.seed, "score"))
            logger.info(f"step {self.step:,}: score {score:.3f} on the held-out templates")
            if self.best is None or score > self.best[0]:
                self.best = score, self.step, _cpu(self.average.module.state_dict())
        if self.step == options.max_steps:
            self.trainer.should_stop = True

    def draw(self, random: torch.Generator, n: int | None = None) -> Encoded:
        """``n`` real templates; a batch by default."""
        point = torch.rand(n or self.options.batch_size, generator=random, dtype=torch.float64).to(self.device)
        rows = torch.searchsorted(self.upto, point).clamp(max=len(self.whole) - 1)
        return Encoded(self.whole[rows], self.sites[rows])

    def noise(self, random: torch.Generator) -> tuple[Tensor, ...]:
        """Random input of a batch."""
        return tuple(x.to(self.device) for x in self.generator.noise(self.options.batch_size, random))

    def generate(self, random: torch.Generator, like: Encoded, boldness: float = 0.0) -> Encoded:
        """A batch of generated templates, with the space groups of a real batch where these are a condition."""
        return self.generator(*self.noise(random), boldness, like=like if self.generator.head.conditional else None)

    def closeness(self, *batches: Encoded) -> Tensor:
        """E[max(0, 1 - d / d₀)] of generated templates, with gradients at constant volume.

        With letters that the critic never sees, nothing else would keep the volume from growing until no atoms meet.
        """
        shortest = []
        for batch in batches:
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

    @torch.no_grad()
    def score(self, seed: int) -> float:
        """How good the averaged generator is on the space groups of the held-out templates, 0 to 1.

        The share of draws without two atoms closer than 1 Å, times the overlap Σ min(p, q) of the number density
        of draws and held-out templates, drawn at the usual :data:`BOLDNESS`. The coarse keys of the latter are none
        of the training's, so that a generator that only remembers has no advantage.

        One without a condition cannot be asked for these groups, which are not those of the training templates. It
        is compared with the latter, and the overlap of the space groups is a third factor.
        """
        random = torch.Generator().manual_seed(seed)
        if self.generator.head.conditional:
            rows = torch.randint(len(self.held_out), (SCORED,), generator=random)
            wanted = self.held_out[rows.numpy()]
            like = Encoded(*(x.to(self.device) for x in self.encoder.encode(wanted)))
        else:
            wanted, like = self.encoder.decode(self.draw(random, SCORED)), None
        noise = (x.to(self.device) for x in self.generator.noise(SCORED, random))
        drawn = self.encoder.decode(self.average.module(*noise, BOLDNESS, like=like)).projected()
        p, q = (shares(x.number_density, DENSITY_EDGES) for x in (drawn, wanted))
        groups = 1 - total_variation(drawn.spacegroup, wanted.spacegroup)  # 1 where they are a condition
        return float((min_distances(drawn) >= 1.0).mean()) * overlap(p, q) * groups

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
    return (norm - 1).square().mean()


class _Steps(pl.LightningDataModule):
    """Numbers of the steps to do. An epoch ends where a resume checkpoint is due."""

    def __init__(self, total: int, every: int) -> None:
        super().__init__()
        self.total, self.every = total, every

    def train_dataloader(self) -> DataLoader:
        start = self.trainer.lightning_module.step
        return DataLoader(range(start, min(start + self.every, self.total)), batch_size=None)


class _Progress(Callback):
    """Lines in the job's log: steps done, their rate, what remains, and the losses."""

    def __init__(self, total: int, every: float = 10.0) -> None:
        self.total, self.every = total, every

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.first, self.start = module.step, time.monotonic()
        self.last = self.start

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        now = time.monotonic()
        if now - self.last < self.every and module.step < self.total:
            return
        self.last = now
        rate = (module.step - self.first) / (now - self.start)
        losses = "".join(f", {k} {v:.3g}" for row in module.curve[-1:] for k, v in zip(LOSSES, row[1:], strict=True))
        logger.info(
            f"{module.step:,} of {self.total:,} steps, {rate:.1f}/s, {(self.total - module.step) / rate:.0f} s remain"
            f"{losses}"
        )


def train(
    templates: Templates,
    options: ModelOptions,
    seed: int,
    checkpoint: str | Path,
    curve: str | Path,
    scratch: str | Path,
    logs: str | Path,
    made_from: Provenance,
    held_out: Templates | None = None,
    save_every: int = 200,
    callbacks: Sequence[Callback] = (),
) -> Bundle:
    """Train the generator on templates and write its checkpoint.

    Goes on from the last checkpoint in ``scratch`` if that belongs to the same data, options and seed.

    :param templates: the training templates; not used if ``options.max_steps`` is 0.
    :param checkpoint: written by :func:`save`.
    :param curve: written as CSV: step and :data:`LOSSES`, at most :data:`LOG_POINTS` rows.
    :param scratch: folder of Lightning's own checkpoints; removed at the end.
    :param logs: folder of Lightning's CSV and TensorBoard logs.
    :param held_out: templates with other coarse keys, by which the best of the late steps is chosen; with none,
        or fewer than 100 that the encoder covers, it is the last step.
    :param save_every: generator steps between two checkpoints in ``scratch``.
    :param callbacks: Lightning's, for those who want to look on.
    :raises InputError: if the checkpoint to start from is unreadable or does not fit the options, if no
        template can be encoded, or if the losses are no longer finite.
    """
    start = None if options.init == SCRATCH else _fitting(options.init, options)
    if options.max_steps == 0:
        assert start is not None  # ModelOptions refuses the rest
        logger.info(f"{options.init}: used as it is, after {start.steps:,} steps of training")
        _write_curve(curve, [])
        save(start, checkpoint, made_from)
        return start

    weights = _weights_of(templates, options.repeats)
    encoder = ENCODERS[options.encoder].fit(templates, weights) if start is None else start.encoder
    covered = encoder.covers(templates)
    if not covered.all():
        logger.info(
            f"{(~covered).sum():,} of {len(templates):,} templates are left out: {options.init} was trained without "
            "their space groups, numbers of sites, or cell shapes"
        )
    if not covered.any():
        raise InputError(f"{options.init}: none of the training templates can be encoded; set model.init to scratch")
    real = encoder.encode(templates[covered])
    generator, critic = build(encoder, options, jobs.seed(seed, "weights"))
    if start is not None:
        generator.load_state_dict(start.generator.state_dict())
        critic.load_state_dict(start.critic.state_dict())
    kept_back = templates[:0] if held_out is None else held_out
    judged = kept_back[encoder.covers(kept_back)]
    data = _digest(real)
    identity = json.dumps(
        [FORMAT, asdict(options), seed, data, encoder.state(), start and _weights(start), made_from.metadata()]
    )

    with _reproducible():
        module = WGANGP(
            generator, critic, real, options, seed, weights[covered], judged if len(judged) >= 100 else None
        )
        _fit(module, Path(scratch), Path(logs), hashlib.sha256(identity.encode()).hexdigest(), save_every, callbacks)
        module.to("cpu")
        made = module.average.module
        steps = options.max_steps
        if module.best is not None:
            score, steps, state = module.best
            made.load_state_dict(state)
            logger.info(f"the generator of step {steps:,} is kept, with a score of {score:.3f}")
        with torch.no_grad():
            random = torch.Generator().manual_seed(jobs.seed(seed, "calibrate"))
            made.head.calibrate(made.train()(*made.noise(CALIBRATION, random), BOLDNESS))
    bundle = Bundle(
        encoder,
        made.eval(),
        module.critic.eval(),
        options,
        data,
        steps + (start.steps if start else 0),
        {
            side: Templates.concat([start.known[side], own] if start else [own])
            for side, own in (("train", templates[covered]), ("held-out", kept_back))
        },
    )
    _write_curve(curve, module.curve)
    save(bundle, checkpoint, made_from)
    shutil.rmtree(scratch, ignore_errors=True)
    return load_generator(checkpoint)  # with the weights as the file has them


def _fit(
    module: WGANGP, scratch: Path, logs: Path, identity: str, save_every: int, callbacks: Sequence[Callback]
) -> None:
    mark = scratch / "identity"
    if not mark.exists() or mark.read_text() != identity:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        mark.write_text(identity)
    # equal widths of the number make the order of names that of the steps
    kept = sorted(scratch.glob("*.ckpt"))
    if kept:
        logger.info(f"going on from {kept[-1]}")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    total = module.options.max_steps
    trainer = pl.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=-1,
        max_steps=-1,
        logger=[CSVLogger(logs, name="csv", version=""), TensorBoardLogger(logs, name="tensorboard", version="")],
        log_every_n_steps=1,
        callbacks=[
            ModelCheckpoint(scratch, filename="{epoch:06d}", every_n_epochs=1, save_on_train_epoch_end=True),
            _Progress(total),
            *callbacks,
        ],
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=_Steps(total, save_every), ckpt_path=kept[-1] if kept else None)


@contextmanager
def _reproducible() -> Iterator[None]:
    """One thread and deterministic kernels, so that results do not depend on the machine's cores."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def _weights_of(templates: Templates, repeats: float) -> NDArray[np.float64]:
    """How often each template is drawn: m equal ones share m ** repeats."""
    if repeats == 1:
        return np.ones(len(templates))
    _, kind, counts = np.unique(fingerprints(templates), return_inverse=True, return_counts=True)
    return counts[kind].astype(float) ** (repeats - 1)


def _digest(real: Encoded) -> str:
    total = hashlib.sha256()
    for part in real:
        total.update(part.numpy().tobytes())
    return total.hexdigest()[:16]


def _weights(bundle: Bundle) -> str:
    stream = io.BytesIO()
    torch.save([_cpu(bundle.generator.state_dict()), _cpu(bundle.critic.state_dict())], stream)
    return hashlib.sha256(stream.getvalue()).hexdigest()[:16]


def _write_curve(path: str | Path, rows: list[list[float]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(["step", *LOSSES])
        out.writerows([int(step), *(f"{x:.6g}" for x in losses)] for step, *losses in rows)
