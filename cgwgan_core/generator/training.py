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

A generator seeded by (seed, step) draws all random numbers of a step. A step hence depends on the weights and its
number alone. A killed training goes on from its last Lightning checkpoint, to the same bytes as one that never stopped.
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
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.fingerprint import fingerprints
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.checkpoint import (
    FORMAT,
    PRETRAINED,
    SCRATCH,
    ModelOptions,
    TrainedModel,
    build,
    load_generator,
    on_cpu,
    save,
)
from cgwgan_core.generator.collisions import ShortestDistances
from cgwgan_core.generator.distributions import DENSITY_EDGES, histogram, overlap, total_variation
from cgwgan_core.generator.encoding.encoders import ENCODERS
from cgwgan_core.generator.encoding.protocol import Encoded, Encoder
from cgwgan_core.generator.networks import Critic, Generator
from cgwgan_core.generator.sampling import PSEUDOCOUNT
from cgwgan_core.generator.scope import SHIPPED
from cgwgan_core.workflow.arrays import Booleans, Floats
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.files import replacing
from cgwgan_core.workflow.logs import logger
from cgwgan_core.workflow.provenance import Provenance
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
TOLD_EVERY = 10.0
"""Seconds between two lines of progress in the log."""
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
class TrainingFiles:
    """Where a training leaves what it makes."""

    checkpoint: Path
    """Of :func:`.checkpoint.save`."""
    curve: Path
    """CSV: step and :data:`LOSSES`, at most :data:`LOG_POINTS` rows."""
    scratch: Path
    """Folder of Lightning's own checkpoints, removed at the end."""
    logs: Path
    """Folder of Lightning's CSV and TensorBoard logs."""


def train(
    templates: Templates,
    held_out: Templates,
    options: ModelOptions,
    seed: int,
    files: TrainingFiles,
    made_from: Provenance,
    save_every: int = 200,
    callbacks: Sequence[Callback] = (),
) -> TrainedModel:
    """Train the generator on templates and write its checkpoint.

    Goes on from the last checkpoint in ``files.scratch`` if that belongs to the same data, options and seed.

    :param templates: the training templates; not used if ``options.max_steps`` is 0.
    :param held_out: templates with other isopointal types, by which the best of the late steps is chosen; with fewer
        than :data:`FEWEST_HELD_OUT` that the encoder covers, it is the last step.
    :param save_every: generator steps between two checkpoints in ``files.scratch``.
    :param callbacks: Lightning's, for those who want to look on.
    :returns: the model, with the weights as the checkpoint has them.
    :raises InputError: if the checkpoint to start from is unreadable or does not fit the options, if no
        template can be encoded, or if the losses are no longer finite.
    """
    start = None if options.init == SCRATCH else _start(options)
    if start is not None and options.max_steps == 0:
        logger.info(f"{options.init}: used as it is, after {start.steps:,} steps of training")
        model, curve = start, list[list[float]]()
    else:
        model, curve = _train(templates, held_out, options, seed, start, files, made_from, save_every, callbacks)
    _write_curve(files.curve, curve)
    save(model, files.checkpoint, made_from)
    shutil.rmtree(files.scratch, ignore_errors=True)
    return load_generator(files.checkpoint)


def _train(
    templates: Templates,
    held_out: Templates,
    options: ModelOptions,
    seed: int,
    start: TrainedModel | None,
    files: TrainingFiles,
    made_from: Provenance,
    save_every: int,
    callbacks: Sequence[Callback],
) -> tuple[TrainedModel, list[list[float]]]:
    """The model, and the rows of its curve."""
    if not len(templates):
        raise InputError(
            f"training: no structure of the database is left to learn from, {len(held_out):,} are held out; widen "
            "training.n_sites, lower training.held_out, or use a larger database"
        )
    weights = draw_weights(templates, options.duplicate_exponent)
    encoder = ENCODERS[options.encoder].fit(templates, weights) if start is None else start.encoder
    covered = _covered(encoder, templates, options.init)
    real = encoder.encode(templates[covered])
    generator, critic = build(encoder, options, derive_seed(seed, "weights"))
    if start is not None:
        generator.load_state_dict(start.generator.state_dict())
        critic.load_state_dict(start.critic.state_dict())
    data = _digest(real)
    identity = json.dumps(
        [
            FORMAT,
            asdict(options),
            seed,
            data,
            encoder.state(),
            start and _digest_of_weights(start),
            made_from.metadata(),
        ]
    )
    with _reproducible():
        module = WGANGP(generator, critic, real, weights[covered], held_out, options, seed)
        _fit(module, files, hashlib.sha256(identity.encode()).hexdigest(), save_every, callbacks)
        generator, steps = module.finished()
    known = {
        side: Templates.concat([start.known[side], own] if start else [own])
        for side, own in (("train", templates[covered]), ("held-out", held_out))
    }
    steps += start.steps if start else 0
    return TrainedModel(encoder, generator, module.critic.eval(), options, data, steps, known), module.curve


def _start(options: ModelOptions) -> TrainedModel:
    """The checkpoint that ``model.init`` names, if its architecture is the one the options ask for."""
    model = load_generator(SHIPPED if options.init == PRETRAINED else options.init)
    found, wanted = model.options.architecture(), options.architecture()
    if differ := [
        f"model.{name} is {wanted[name]} here and {found[name]} there" for name in wanted if wanted[name] != found[name]
    ]:
        raise InputError(
            f"{options.init}: does not fit the configuration: {'; '.join(differ)}; set what the checkpoint has"
        )
    return model


def draw_weights(templates: Templates, exponent: float) -> Floats:
    """How often each template is drawn, (N,): m equal ones share m ** exponent."""
    if exponent == 1:
        return np.ones(len(templates))
    _, kind, counts = np.unique(fingerprints(templates), return_inverse=True, return_counts=True)
    weights: Floats = counts[kind].astype(float) ** (exponent - 1)
    return weights


def _covered(encoder: Encoder, templates: Templates, init: str) -> Booleans:
    """Which templates there are to learn from, (N,)."""
    covered = encoder.covers(templates)
    if not covered.all():
        logger.info(
            f"{(~covered).sum():,} of {len(templates):,} templates are left out: {init} was trained without "
            "their space groups, numbers of sites, or cell shapes"
        )
    if not covered.any():
        raise InputError(f"{init}: none of the training templates can be encoded; set model.init to scratch")
    return covered


class WGANGP(pl.LightningModule):
    """One training step is one generator step, after ``n_critic`` critic steps."""

    whole: Tensor
    sites: Tensor
    """All training templates as :class:`Encoded` has them."""
    upto: Tensor
    """Sum of the shares of the templates up to each, (N,)."""

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        real: Encoded,
        weights: Floats,
        held_out: Templates,
        options: ModelOptions,
        seed: int,
    ) -> None:
        """Take the networks to train and the data.

        :param real: all training templates; batches are drawn from them with replacement.
        :param weights: in proportion to which each is drawn, (N,).
        :param held_out: templates to choose the best step by; those that the encoder does not cover are left out.
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
        self.register_buffer("upto", torch.from_numpy(np.cumsum(weights) / np.sum(weights)), persistent=False)
        self.encoder: Encoder = generator.head.encoder
        self.held_out = held_out[self.encoder.covers(held_out)]
        self.distances = (
            ShortestDistances(self.encoder.groups) if options.collisions and self.encoder.geometry else None
        )
        self.step = 0
        """Generator steps done."""
        self.best: tuple[float, int, dict[str, Tensor]] | None = None
        """Score, step and averaged generator of the best step so far."""
        self.curve: list[list[float]] = []
        """Rows of step and :data:`LOSSES`."""

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

    def record(self, losses: Sequence[Tensor]) -> None:
        """Add the :data:`LOSSES` of this step to the curve and to Lightning's logs, if the step is one of those.

        :raises InputError: if one of them is not finite.
        """
        if self.step % -(-self.options.max_steps // LOG_POINTS) and self.step != self.options.max_steps:
            return
        values = torch.stack(list(losses)).tolist()
        if not all(map(math.isfinite, values)):
            raise InputError(
                f"training diverged at step {self.step}; lower model.learning_rate (now {self.options.learning_rate})"
            )
        self.curve.append([self.step, *values])
        # "step" is the loggers' abscissa; by itself Lightning counts the steps of both optimizers
        self.log_dict({**dict(zip(LOSSES, values, strict=True)), "step": float(self.step)})

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

    def finished(self) -> tuple[Generator, int]:
        """The averaged generator of the best step, calibrated for sampling, and that step."""
        self.to("cpu")
        made, steps = self.averaged, self.options.max_steps
        if self.best is not None:
            score, steps, state = self.best
            made.load_state_dict(state)
            logger.info(f"the generator of step {steps:,} is kept, with a score of {score:.3f}")
        with torch.no_grad():
            random = torch.Generator().manual_seed(derive_seed(self.seed, "calibrate"))
            made.head.calibrate(made.train()(*made.noise(CALIBRATION, random), PSEUDOCOUNT))
        return made.eval(), steps

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


def _fit(module: WGANGP, files: TrainingFiles, identity: str, save_every: int, callbacks: Sequence[Callback]) -> None:
    """Run Lightning's trainer, from the last checkpoint in ``files.scratch`` if that is of this training.

    :param identity: digest of all that the training follows from.
    """
    mark = files.scratch / "identity"
    if not mark.exists() or mark.read_text() != identity:
        shutil.rmtree(files.scratch, ignore_errors=True)
        files.scratch.mkdir(parents=True)
        mark.write_text(identity)
    # equal widths of the number make the order of names that of the steps
    kept = sorted(files.scratch.glob("*.ckpt"))
    if kept:
        logger.info(f"going on from {kept[-1]}")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = pl.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=-1,
        max_steps=-1,
        logger=[
            CSVLogger(files.logs, name="csv", version=""),
            TensorBoardLogger(files.logs, name="tensorboard", version=""),
        ],
        log_every_n_steps=1,
        callbacks=[
            ModelCheckpoint(files.scratch, filename="{epoch:06d}", every_n_epochs=1, save_on_train_epoch_end=True),
            _Progress(module),
            *callbacks,
        ],
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=_Steps(module, save_every), ckpt_path=kept[-1] if kept else None)


class _Steps(pl.LightningDataModule):
    """Numbers of the steps to do. An epoch ends where a resume checkpoint is due."""

    def __init__(self, module: WGANGP, every: int) -> None:
        super().__init__()
        self.module, self.every = module, every

    def train_dataloader(self) -> DataLoader[int]:
        start, total = self.module.step, self.module.options.max_steps
        steps = range(start, min(start + self.every, total))
        return DataLoader(steps, batch_size=None)  # type: ignore[arg-type]  # it takes any sequence


class _Progress(Callback):
    """Lines in the job's log: steps done, their rate, what remains, and the losses."""

    def __init__(self, module: WGANGP) -> None:
        self.module = module

    def on_train_start(self, *_: Any) -> None:
        self.first, self.start = self.module.step, time.monotonic()
        self.last = self.start

    def on_train_batch_end(self, *_: Any) -> None:
        now, step, total = time.monotonic(), self.module.step, self.module.options.max_steps
        if now - self.last < TOLD_EVERY and step < total:
            return
        self.last = now
        rate = (step - self.first) / (now - self.start)
        losses = "".join(
            f", {k} {v:.3g}" for row in self.module.curve[-1:] for k, v in zip(LOSSES, row[1:], strict=True)
        )
        logger.info(f"{step:,} of {total:,} steps, {rate:.1f}/s, {(total - step) / rate:.0f} s remain{losses}")


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


def _digest(real: Encoded) -> str:
    total = hashlib.sha256()
    for part in real:
        total.update(part.numpy().tobytes())
    return total.hexdigest()[:16]


def _digest_of_weights(model: TrainedModel) -> str:
    stream = io.BytesIO()
    torch.save([on_cpu(model.generator.state_dict()), on_cpu(model.critic.state_dict())], stream)
    return hashlib.sha256(stream.getvalue()).hexdigest()[:16]


def _write_curve(path: Path, rows: list[list[float]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(["step", *LOSSES])
        out.writerows([int(step), *(f"{x:.6g}" for x in losses)] for step, *losses in rows)
