"""The block ``model`` of the configuration."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cgwgan_core.workflow.errors import InputError

SCRATCH = "scratch"
"""Value of ``model.init`` that starts from random weights."""
PRETRAINED = "pretrained"
"""Value of ``model.init`` that starts from the checkpoint of its kind that comes with the package."""
KINDS = ("wgan", "flow")
"""Families of generators."""
ENCODERS = ("categorical", "continuous")
"""Representations of templates that the networks of a GAN can work on."""
LEAST = {
    "max_steps": 0, "latent": 1, "batch_size": 2, "n_critic": 1, "likelihood": 0, "collisions": 0, "energy_score": 0,
}  # fmt: skip
"""The lowest value of options that have one."""


@dataclass(frozen=True)
class FlowOptions:
    """The block ``model.flow``."""

    width: int = 96
    """Of the vector of a site."""
    layers: int = 3
    """Rounds of messages between sites."""
    steps: int = 8
    """From noise to a template, in drawing."""

    def __post_init__(self) -> None:
        for name, least in {"width": 2, "layers": 1, "steps": 1}.items():
            if getattr(self, name) < least:
                raise InputError(f"model.flow.{name}: {getattr(self, name)} is below {least}")


@dataclass(frozen=True)
class ModelOptions:
    """The block ``model``."""

    kind: str = "wgan"
    """Family of generators, of :data:`KINDS`."""
    init: str = PRETRAINED
    """``scratch``, ``pretrained`` (the checkpoint of the package), or the path of a checkpoint to start from."""
    max_steps: int = 0
    """Steps of training; 0 uses the checkpoint as it is."""
    encoder: str = "categorical"
    """``wgan``: how a template becomes tensors, of :data:`ENCODERS`."""
    latent: int = 128
    """``wgan``: size of the generator's noise vector."""
    generator: tuple[int, ...] = (128, 256, 512)
    """``wgan``: widths of the generator's fully connected layers."""
    critic: tuple[int, ...] = (512, 256, 128)
    """``wgan``: widths of the critic's fully connected layers before the two sub-discriminators."""
    batch_size: int = 128
    """Templates per step."""
    n_critic: int = 5
    """``wgan``: critic steps per generator step."""
    gradient_penalty: float = 10.0
    """``wgan``: weight λ of the gradient penalty."""
    likelihood: float = 1.0
    """``wgan``: weight μ of the likelihood of the training templates' letters in the generator's loss; 0 leaves it out.
    No effect with the encoder ``continuous``, where letters are no choices and have none."""
    collisions: float = 4.0
    """``wgan``: weight κ of atoms that are too close in the generator's loss; 0 leaves it out. No effect with
    ``continuous``."""
    energy_score: float = 3.0
    """``wgan``: weight ν of the energy score of cells and coordinates given the letters; 0 leaves it out. No effect
    with ``continuous``."""
    flow: FlowOptions = field(default_factory=FlowOptions)
    """``flow``: its network."""
    duplicate_exponent: float = 1.0
    """A template that the data holds m times is drawn in training in proportion to m to this power: 1 learns
    the database as it is, 0 every distinct template alike."""
    learning_rate: float = 5e-4
    """Of Adam; over the last half of the steps, of a flow's letters the first 2,000, it falls to zero."""
    ema: float = 0.99
    """Decay of the moving average of the generator's weights, which is what samples."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "generator", tuple(self.generator))
        object.__setattr__(self, "critic", tuple(self.critic))
        if isinstance(self.flow, Mapping):
            object.__setattr__(self, "flow", FlowOptions(**self.flow))
        for name, choices in (("kind", KINDS), ("encoder", ENCODERS)):
            if getattr(self, name) not in choices:
                raise InputError(f"model.{name}: no {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
        if self.max_steps == 0 and self.init == SCRATCH:
            raise InputError(
                "model: max_steps is 0 and init is scratch, so there is nothing to sample from; "
                "set max_steps, or init to pretrained or the path of a checkpoint"
            )
        inside = {
            "duplicate_exponent": (0 <= self.duplicate_exponent <= 1, "in [0, 1]"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "ema": (0 <= self.ema < 1, "in [0, 1)"),
        }
        for name in (name for name, (good, _) in inside.items() if not good):
            raise InputError(f"model.{name}: {getattr(self, name)} is not {inside[name][1]}")
        self._check_sizes()

    def _check_sizes(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise InputError(f"model.{name}: {getattr(self, name)} is below {least}")
        for name, widths in (("generator", self.generator), ("critic", self.critic)):
            if not widths or min(widths) < 1:
                raise InputError(f"model.{name}: needs at least one layer, every width 1 or more")

    def architecture(self) -> dict[str, Any]:
        """The options that a checkpoint depends on: of its weights, and the steps that a flow is calibrated for."""
        if self.kind == "flow":
            return {"kind": self.kind, **{f"flow.{name}": value for name, value in asdict(self.flow).items()}}
        return {
            "kind": self.kind,
            "encoder": self.encoder,
            "latent": self.latent,
            "generator": list(self.generator),
            "critic": list(self.critic),
        }
