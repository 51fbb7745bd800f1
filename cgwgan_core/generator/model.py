"""What a trained generator provides, whatever its kind, and what may be asked of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.workflow.arrays import Booleans, Floats
from cgwgan_core.workflow.errors import InputError

PSEUDOCOUNT = 3.0
"""Usual β of :mod:`.unseen` in sampling; generators are chosen and calibrated at it."""


@dataclass(frozen=True)
class Request:
    """Which templates to draw; ``None`` is all. No template is thrown away for a condition; sets of letters may be."""

    pseudocount: float = PSEUDOCOUNT
    """``wgan``: β of :mod:`.unseen`: how many draws have letters that no training template has; 0 is none on purpose.
    A flow makes letters that the data lacks by itself."""
    spacegroups: tuple[int, ...] | None = None
    """In the proportions that the training data had them, as far as nothing else is asked for."""
    n_sites: tuple[int, ...] | None = None
    """Numbers of sites, in these proportions, too. ``flow`` only."""
    max_atoms: int | None = None
    """Most atoms in the conventional cell. ``flow`` only: sets of letters with more are drawn again."""
    formulas: tuple[tuple[int, ...], ...] = ()
    """Numbers of atoms of each element of formulas of which the sites must be able to hold one. ``flow`` only: other
    sets of letters are drawn again."""
    number_density: tuple[float, float] | None = None
    """Lowest and highest number of atoms per Å³. ``flow`` only: what is outside is drawn again, led inside."""
    energy_above_hull: float | None = None
    """eV/atom: templates like those of structures with this energy, as far as the training data had energies. ``flow``
    only."""

    def __post_init__(self) -> None:
        if self.pseudocount < 0:
            raise InputError(f"templates.pseudocount: {self.pseudocount} is below 0")
        if self.energy_above_hull is not None and self.energy_above_hull < 0:
            raise InputError(f"templates.energy_above_hull: {self.energy_above_hull} is below 0")


class TrainedModel(Protocol):
    """All that a checkpoint holds."""

    @property
    def options(self) -> ModelOptions:
        """It was trained with (``init`` is not kept)."""

    @property
    def data(self) -> str:
        """Digest of the templates it was trained on."""

    @property
    def steps(self) -> int:
        """Steps of training, those of the checkpoints it started from included."""

    @property
    def known(self) -> dict[str, Templates]:
        """The templates it was trained on, ``train``, and those that were kept back, ``held-out``: what is new to it.
        Those of the checkpoints it started from are included. Lengths, angles and coordinates in half precision.
        """

    @property
    def groups(self) -> NDArray[np.int64]:
        """Space groups that it can draw, ascending."""

    def covers(self, templates: Templates) -> Booleans:
        """Which templates it can represent, (N,)."""

    def draw(self, n: int, random: torch.Generator, request: Request) -> Templates:
        """One batch of templates, exactly in their space groups; atoms may be too close.

        :raises InputError: if it cannot draw what is asked for.
        """

    def latent(self, templates: Templates) -> Floats | None:
        """Vectors that its critic's scores are linear in, of templates that it covers; ``None``: it has no critic."""

    def state(self) -> dict[str, Any]:
        """Its networks, as tensors and plain values. ``encoder`` says what can be drawn: ``groups``, ``min_sites`` and
        ``max_sites``, where the kind knows them, and whether ``energies`` can be asked for.
        """

    @classmethod
    def untrained(cls, templates: Templates, weights: Floats, options: ModelOptions, seed: int) -> "TrainedModel":
        """New networks that can represent all of the templates; equal seeds give equal weights.

        :param weights: in proportion to which each template is drawn in training, (N,).
        """

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], options: ModelOptions, data: str, steps: int, known: dict[str, Templates]
    ) -> "TrainedModel":
        """The inverse of :meth:`state`."""
