"""Training of a generator, whatever its kind: where it starts, what it learns from, what it leaves."""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from cgwgan_core.crystallography.fingerprint import fingerprints
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.checkpoint import FORMAT, MODELS, load_generator, save
from cgwgan_core.generator.flow.training import FlowMatching
from cgwgan_core.generator.model import TrainedModel
from cgwgan_core.generator.options import PRETRAINED, SCRATCH, ModelOptions
from cgwgan_core.generator.scope import SHIPPED
from cgwgan_core.generator.steps import TrainingFiles, on_cpu, reproducible, run_steps
from cgwgan_core.generator.wgan.training import WGANGP
from cgwgan_core.workflow.arrays import Booleans, Floats
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.files import replacing
from cgwgan_core.workflow.logs import logger
from cgwgan_core.workflow.provenance import Provenance

TRAININGS: dict[str, type[WGANGP] | type[FlowMatching]] = {"wgan": WGANGP, "flow": FlowMatching}
"""By ``model.kind``."""


def train(
    templates: Templates,
    held_out: Templates,
    options: ModelOptions,
    seed: int,
    files: TrainingFiles,
    made_from: Provenance,
    save_every: int = 200,
    callbacks: Sequence[Callback] = (),
    energies: Floats | None = None,
) -> TrainedModel:
    """Train the generator on templates and write its checkpoint.

    Goes on from the last checkpoint in ``files.scratch`` if that belongs to the same data, options and seed.

    :param templates: the training templates; not used if ``options.max_steps`` is 0.
    :param held_out: templates with other isopointal types, by which a GAN chooses the best of its late steps.
    :param save_every: steps between two checkpoints in ``files.scratch``.
    :param callbacks: Lightning's, for those who want to look on.
    :param energies: of the training templates above the hull, eV/atom, NaN where unknown, (N,), which a flow takes as
        a condition; ``None``: unknown.
    :returns: the model, with the weights as the checkpoint has them.
    :raises InputError: if the checkpoint to start from is unreadable or does not fit the options, if no
        template can be represented, or if the losses are no longer finite.
    """
    start = None if options.init == SCRATCH else _start(options)
    if start is not None and options.max_steps == 0:
        logger.info(f"{options.init}: used as it is, after {start.steps:,} steps of training")
        model, curve = start, list[list[float]]()
    else:
        energies = np.full(len(templates), np.nan) if energies is None else energies
        model, curve = _train(
            templates, held_out, energies, options, seed, start, files, made_from, save_every, callbacks
        )
    _write_curve(files.curve, TRAININGS[options.kind].losses, curve)
    save(model, files.checkpoint, made_from)
    shutil.rmtree(files.scratch, ignore_errors=True)
    return load_generator(files.checkpoint)


def _train(
    templates: Templates,
    held_out: Templates,
    energies: Floats,
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
    networks = MODELS[options.kind].untrained(templates, weights, options, seed) if start is None else start
    covered = _covered(networks.covers(templates), options.init)
    learnt, data = templates[covered], _digest(templates[covered])
    origin = None if start is None else _digest_of_weights(start)
    known_energies = hashlib.sha256(np.ascontiguousarray(energies).tobytes()).hexdigest()[:16]
    identity = json.dumps([FORMAT, asdict(options), seed, data, known_energies, origin, made_from.metadata()])
    with reproducible():
        module = TRAININGS[options.kind](
            cast(Any, networks), learnt, weights[covered], held_out, options, seed, energies[covered]
        )
        run_steps(module, files, hashlib.sha256(identity.encode()).hexdigest(), save_every, callbacks)
        known = {
            side: Templates.concat([start.known[side], own] if start else [own])
            for side, own in (("train", learnt), ("held-out", held_out))
        }
        model = module.finished(data, start.steps if start else 0, known)
    return model, module.curve


def _start(options: ModelOptions) -> TrainedModel:
    """The checkpoint that ``model.init`` names, if its architecture is the one the options ask for."""
    model = load_generator(SHIPPED[options.kind] if options.init == PRETRAINED else options.init)
    found, wanted = model.options.architecture(), options.architecture()
    if differ := [
        f"model.{name} is {wanted.get(name)} here and {found.get(name)} there"
        for name in wanted
        if wanted[name] != found.get(name)
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


def _covered(covered: Booleans, init: str) -> Booleans:
    """Which templates there are to learn from, (N,)."""
    if not covered.all():
        logger.info(
            f"{(~covered).sum():,} of {len(covered):,} templates are left out: {init} was trained without "
            "their space groups, numbers of sites, or cell shapes"
        )
    if not covered.any():
        raise InputError(f"{init}: none of the training templates can be encoded; set model.init to scratch")
    return covered


def _digest(templates: Templates) -> str:
    total = hashlib.sha256()
    for part in vars(templates).values():
        total.update(np.ascontiguousarray(part).tobytes())
    return total.hexdigest()[:16]


def _digest_of_weights(model: TrainedModel) -> str:
    stream = io.BytesIO()
    torch.save({k: part if k == "encoder" else on_cpu(part) for k, part in model.state().items()}, stream)
    return hashlib.sha256(stream.getvalue()).hexdigest()[:16]


def _write_curve(path: Path, losses: Sequence[str], rows: list[list[float]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(["step", *losses])
        out.writerows([int(step), *(f"{x:.6g}" for x in values)] for step, *values in rows)
