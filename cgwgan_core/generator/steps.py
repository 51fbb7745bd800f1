"""Lightning around a module whose training is a sequence of numbered steps: killed, it goes on to the same bytes.

A generator seeded by (seed, step) draws all random numbers of a step. A step hence depends on the weights and its
number alone. A killed training goes on from its last Lightning checkpoint, to the same bytes as one that never stopped.
"""

import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.logs import logger

TOLD_EVERY = 10.0
"""Seconds between two lines of progress in the log."""
LOG_POINTS = 1000
"""Most rows of the training curve."""


@dataclass(frozen=True)
class TrainingFiles:
    """Where a training leaves what it makes."""

    checkpoint: Path
    """Of :func:`.checkpoint.save`."""
    curve: Path
    """CSV: step and the losses of the kind, at most :data:`LOG_POINTS` rows."""
    scratch: Path
    """Folder of Lightning's own checkpoints, removed at the end."""
    logs: Path
    """Folder of Lightning's CSV and TensorBoard logs."""


class Stepwise(pl.LightningModule):
    """A training of ``options.max_steps`` steps, one per :meth:`training_step`."""

    options: ModelOptions
    losses: tuple[str, ...] = ()
    """What the training curve holds for each step, besides ``step``."""
    step: int
    """Steps done."""
    curve: list[list[float]]
    """Rows of step and :attr:`losses`."""

    def record(self, losses: Sequence[Tensor]) -> None:
        """Add the :attr:`losses` of this step to the curve and to Lightning's logs, if the step is one of those.

        :raises InputError: if one of them is not finite.
        """
        total = self.options.max_steps
        if self.step % -(-total // LOG_POINTS) and self.step != total:
            return
        values = torch.stack(list(losses)).tolist()
        if not all(map(math.isfinite, values)):
            raise InputError(
                f"training diverged at step {self.step}; lower model.learning_rate (now {self.options.learning_rate})"
            )
        self.curve.append([self.step, *values])
        # "step" is the loggers' abscissa; by itself Lightning counts the steps of all optimizers
        self.log_dict({**dict(zip(self.losses, values, strict=True)), "step": float(self.step)})


def averaging(decay: float) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """A moving average of weights, whose decay grows to its final value: short trainings do not average their start."""
    return lambda mean, new, n: torch.lerp(mean, new, 1 - min(decay, (1 + n) / (10 + n)))


def on_cpu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of a network's weights that no training changes any more."""
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def run_steps(
    module: Stepwise, files: TrainingFiles, identity: str, save_every: int, callbacks: Sequence[Callback]
) -> None:
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

    def __init__(self, module: Stepwise, every: int) -> None:
        super().__init__()
        self.module, self.every = module, every

    def train_dataloader(self) -> DataLoader[int]:
        start, total = self.module.step, self.module.options.max_steps
        steps = range(start, min(start + self.every, total))
        return DataLoader(steps, batch_size=None)  # type: ignore[arg-type]  # it takes any sequence


class _Progress(Callback):
    """Lines in the job's log: steps done, their rate, what remains, and the losses."""

    def __init__(self, module: Stepwise) -> None:
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
            f", {k} {v:.3g}" for row in self.module.curve[-1:] for k, v in zip(self.module.losses, row[1:], strict=True)
        )
        logger.info(f"{step:,} of {total:,} steps, {rate:.1f}/s, {(total - step) / rate:.0f} s remain{losses}")


@contextmanager
def reproducible() -> Iterator[None]:
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
