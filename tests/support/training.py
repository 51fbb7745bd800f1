"""Trainings small enough for a test."""

from pathlib import Path
from typing import Any

import numpy as np

from cgwgan_core.crystallography.spacegroups import constrain_cell
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.steps import TrainingFiles
from cgwgan_core.generator.training import train
from cgwgan_core.workflow.provenance import Provenance

SMALL = {"latent": 16, "generator": (32, 32), "critic": (32, 16), "batch_size": 32, "n_critic": 2}
MADE_FROM = Provenance("0123456789abcdef", {"training": "fedcba9876543210"})


def small_templates(n: int = 200, seed: int = 0) -> Templates:
    """Four of five are rhombohedral with one free coordinate about 0.25, the rest are monoclinic."""
    random = np.random.default_rng(seed)
    groups = np.where(np.arange(n) % 5, 166, 12).astype(np.int16)
    cell = np.column_stack([random.uniform(4, 6, (n, 2)), random.uniform(6, 9, n), random.uniform(85, 100, (n, 3))])
    letters = np.where((groups == 166)[:, None], [0, 1, 2], [0, 8, 9]).astype(np.int8)
    coords = random.normal(0.25, 0.02, (n, 3, 3))
    return Templates(groups, constrain_cell(groups, cell), letters, coords).projected()


def fit(
    folder: Path,
    steps: int = 12,
    seed: int = 1,
    data: Templates | None = None,
    held_out: Templates | None = None,
    save_every: int = 5,
    energies: np.ndarray | None = None,
    **options: object,
) -> Any:
    """Train on :func:`small_templates`, or other data, into a folder: a model of the kind that options name."""
    data = small_templates() if data is None else data
    files = (folder / name for name in ("generator.ckpt", "training.csv", "scratch", "logs"))
    return train(
        data,
        data[:0] if held_out is None else held_out,
        ModelOptions(**{**SMALL, "init": "scratch", "max_steps": steps, **options}),
        seed,
        TrainingFiles(*files),
        MADE_FROM,
        save_every=save_every,
        energies=energies,
    )
