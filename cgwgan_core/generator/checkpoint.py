"""A trained model: its options, its networks, and the file that holds them.

Nothing here trains, so what samples does not load Lightning.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.encoding.encoders import ENCODERS
from cgwgan_core.generator.encoding.protocol import Encoder
from cgwgan_core.generator.networks import Critic, Generator
from cgwgan_core.workflow.errors import InputError, first_line
from cgwgan_core.workflow.files import replacing
from cgwgan_core.workflow.provenance import Provenance

FORMAT = "cgwgan generator 4"
"""Marks the checkpoints of this program; the number changes with their layout."""
RENAMED = {"repeats": "duplicate_exponent"}
"""Options that checkpoints of this layout, the shipped one among them, may hold under the name on the left.

Not taken from :mod:`.workflow.config`: a change there would train the generator anew."""
SCRATCH = "scratch"
"""Value of ``model.init`` that starts from random weights."""
PRETRAINED = "pretrained"
"""Value of ``model.init`` that starts from the checkpoint that comes with the package."""
LEAST = {
    "max_steps": 0, "latent": 1, "batch_size": 2, "n_critic": 1, "likelihood": 0, "collisions": 0, "energy_score": 0,
}  # fmt: skip
"""The lowest value of options that have one."""


@dataclass(frozen=True)
class ModelOptions:
    """The block ``model`` of the configuration."""

    init: str = PRETRAINED
    """``scratch``, ``pretrained`` (the checkpoint of the package), or the path of a checkpoint to start from."""
    max_steps: int = 0
    """Generator steps; 0 uses the checkpoint as it is."""
    encoder: str = "categorical"
    """How a template becomes tensors: a name of :data:`.encoders.ENCODERS`."""
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
    duplicate_exponent: float = 1.0
    """A template that the data holds m times is drawn in training in proportion to m to this power: 1 learns
    the database as it is, 0 every distinct template alike."""
    learning_rate: float = 5e-4
    """Of Adam with betas 0 and 0.9, for both networks; over the last half of the steps it falls to zero."""
    ema: float = 0.99
    """Decay of the moving average of the generator's weights, which is what samples."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "generator", tuple(self.generator))
        object.__setattr__(self, "critic", tuple(self.critic))
        if self.encoder not in ENCODERS:
            raise InputError(f"model.encoder: no encoder {self.encoder!r}; choose one of {', '.join(ENCODERS)}")
        if self.max_steps == 0 and self.init == SCRATCH:
            raise InputError(
                "model: max_steps is 0 and init is scratch, so there is nothing to sample from; "
                "set max_steps, or init to pretrained or the path of a checkpoint"
            )
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise InputError(f"model.{name}: {getattr(self, name)} is below {least}")
        for name, widths in (("generator", self.generator), ("critic", self.critic)):
            if not widths or min(widths) < 1:
                raise InputError(f"model.{name}: needs at least one layer, every width 1 or more")
        if not 0 <= self.duplicate_exponent <= 1:
            raise InputError(f"model.duplicate_exponent: {self.duplicate_exponent} is not in [0, 1]")
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


@dataclass(frozen=True)
class TrainedModel:
    """All that a checkpoint holds."""

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


def build(encoder: Encoder, options: ModelOptions, seed: int) -> tuple[Generator, Critic]:
    """New networks; equal seeds give equal weights. The random state of the caller stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(encoder, options.latent, options.generator), Critic(encoder, options.critic)


def save(model: TrainedModel, path: str | Path, made_from: Provenance) -> None:
    """Write a checkpoint: tensors and plain values only, equal bytes for equal content.

    All large tensors are in half precision, which is enough for weights and halves the file.
    """
    options = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(model.options).items() if k != "init"}
    content = {
        "format": FORMAT,
        "options": options,
        "encoder": model.encoder.state(),
        "data": model.data,
        "steps": model.steps,
        "known": {side: _packed(templates) for side, templates in model.known.items()},
        "generator": _half(model.generator.state_dict()),
        "critic": _half(model.critic.state_dict()),
        "metadata": made_from.metadata(),
    }
    with replacing(path) as temporary, temporary.open("wb") as stream:
        torch.save(content, stream)  # through a stream: given a path, it would write the file's name inside


def load_generator(path: str | Path) -> TrainedModel:
    """Read a checkpoint of :func:`save`.

    :raises InputError: if the file is missing, unreadable, or not such a checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such checkpoint; set model.init to an existing one, to pretrained, or to scratch"
        ) from None
    except Exception as error:  # noqa: BLE001 - unpickling what is no checkpoint may raise anything
        raise InputError(f"{path}: not a readable checkpoint ({first_line(error)}); train it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise InputError(f"{path}: not a checkpoint of this program (format {found!r}, not {FORMAT!r}); train one")
    try:
        stored = {RENAMED.get(name, name): value for name, value in content["options"].items()}
        options = ModelOptions(**stored, init=str(path))
        encoder = ENCODERS[options.encoder].from_state(content["encoder"])
        generator, critic = build(encoder, options, seed=0)
        generator.load_state_dict(content["generator"])
        critic.load_state_dict(content["critic"])
        known = {side: _unpacked(packed) for side, packed in content["known"].items()}
        return TrainedModel(encoder, generator.eval(), critic.eval(), options, content["data"], content["steps"], known)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, InputError) as error:
        raise InputError(
            f"{path}: a damaged checkpoint, or one of another version ({first_line(error)}); train it again"
        ) from None


def on_cpu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of a network's weights that no training changes any more."""
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() if tensor.numel() > 1000 else tensor for name, tensor in on_cpu(state).items()}


def _packed(templates: Templates) -> dict[str, Tensor]:
    arrays = {name: torch.from_numpy(array) for name, array in vars(templates).items()}
    return {name: array.half() if array.is_floating_point() else array for name, array in arrays.items()}


def _unpacked(packed: Mapping[str, Tensor]) -> Templates:
    arrays = {name: array.numpy() for name, array in packed.items()}
    return Templates(
        arrays["spacegroup"], arrays["cell"].astype(float), arrays["letters"], arrays["coords"].astype(float)
    ).projected()
