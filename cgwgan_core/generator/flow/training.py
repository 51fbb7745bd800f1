"""Training of a flow: letters by likelihood, cells and coordinates by conditional flow matching.

Lipman et al., arXiv:2210.02747, on the torus of free coordinates and the normal scores of the cell. A point x₀ of
noise (uniform coordinates, normal scores) moves to a template x₁ at constant velocity, and the network learns the mean
velocity at x_t = x₀ + t (x₁ - x₀):

    minimise  E[|v(x_t, t) - (x₁ - x₀)|²],  t uniform

A template has many descriptions of equal letters: other atoms of an orbit, other orders of the sites of a letter, other
origins. Of these x₁ is one of the nearest to x₀ (:func:`.orbits.nearest_descriptions`), so that ways are short and
rarely cross. Errors of coordinates count in Å, those of scores as they are, at half the weight. The likelihood of the
letters is a loss of its own, on weights of its own, in the first steps alone. Space groups, numbers of sites and the
table of letters are those of the data that the first checkpoint was trained on, shares of energies those of the last.
"""

from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.cell_scores import REACH, calibration
from cgwgan_core.generator.flow.model import Flow, FlowModel
from cgwgan_core.generator.flow.orbits import nearest_descriptions
from cgwgan_core.generator.flow.stability import shares_of_heights
from cgwgan_core.generator.model import Request
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.steps import Stepwise, averaging
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.seeds import derive_seed

CALIBRATION = 16384
"""Templates drawn to calibrate a trained flow."""
CELL_WEIGHT = 0.5
"""Of the errors of normal scores, beside those of coordinates in Å."""
DECAY = {"letters": 1e-2, "velocity": 1e-4}
"""Of the weights of each network."""
WARMUP = 300
"""Steps in which the learning rate rises."""
LETTER_STEPS = 2000
"""Steps in which letters are learnt, the first ones: later the network would learn the data's sets by heart."""
LONGEST = 1.0
"""Norm that a gradient is cut to."""


class FlowMatching(Stepwise):
    """One step is one batch, for both networks."""

    losses = ("letters_nll", "coordinates", "cell")

    def __init__(
        self,
        model: FlowModel,
        templates: Templates,
        weights: Floats,
        held_out: Templates,  # noqa: ARG002 - nothing is chosen by it
        options: ModelOptions,
        seed: int,
        energies: Floats,
    ) -> None:
        """Take the networks to train and the data.

        :param templates: batches are drawn from them with replacement.
        :param weights: in proportion to which each is drawn, (N,).
        :param energies: above the hull, eV/atom, NaN where unknown, (N,).
        """
        super().__init__()
        self.automatic_optimization = False
        self.options, self.seed = options, seed
        self.network = model.network.train()
        self.heights = shares_of_heights(energies)
        group = np.searchsorted(self.network.groups, templates.spacegroup)
        self.network.letters.count_heights(group, templates.n_sites, weights / weights.mean(), self.heights)
        self.average = AveragedModel(self.network, avg_fn=averaging(options.ema))
        self.templates, self.scores = templates, self.network.scores(templates)
        self.upto = np.cumsum(weights) / np.sum(weights)
        self.step, self.curve = 0, []
        self.nll = torch.zeros(())
        """Of the last step that learnt letters."""

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam with decoupled decay of the weights (AdamW) for each network."""
        return [
            torch.optim.AdamW(
                getattr(self.network, name).parameters(), lr=self.options.learning_rate, weight_decay=decay, fused=True
            )
            for name, decay in DECAY.items()
        ]

    def training_step(self, step: int, _: int) -> None:
        """Update both networks, then their average."""
        options, step = self.options, int(step)
        numbers = np.random.default_rng(derive_seed(self.seed, "step", step))
        learnt = {"letters": min(LETTER_STEPS, options.max_steps), "velocity": options.max_steps}
        optimizers = dict(zip(DECAY, cast(list[LightningOptimizer], self.optimizers()), strict=True))
        for name, adam in optimizers.items():
            for group in adam.param_groups:
                left = max(0.0, 1 - step / learnt[name])
                group["lr"] = options.learning_rate * min(1.0, 2 * left, (step + 1) / WARMUP)
        rows = np.searchsorted(self.upto, numbers.random(options.batch_size)).clip(max=len(self.templates) - 1)
        coordinates, cell = self.errors(rows, numbers)
        losses = {"velocity": coordinates + CELL_WEIGHT * cell}
        if step < LETTER_STEPS:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive_seed(self.seed, "dropout", step))
                losses["letters"] = self.letters_nll(rows)
                self.nll = losses["letters"].detach()
        for name, loss in losses.items():
            optimizers[name].zero_grad()
            self.manual_backward(loss)
            torch.nn.utils.clip_grad_norm_(getattr(self.network, name).parameters(), LONGEST)
            optimizers[name].step()
        self.average.update_parameters(self.network)
        self.step = step + 1
        self.record([self.nll.to(self.device), coordinates, cell])
        if self.step == options.max_steps:
            self.trainer.should_stop = True

    def letters_nll(self, rows: np.ndarray) -> Tensor:
        """-E[log p(letters and number of sites | group)], a scalar."""
        group, letters, height = (x.to(self.device) for x in self.choices(rows))
        return -self.network.letters.log_likelihood(group, letters, height=height).mean()

    def choices(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Places of the groups, (B,), letters, (B, K), and shares of heights, (B, 5), of templates."""
        chosen = self.templates[rows]
        letters = np.full((len(rows), self.network.max_sites), -1)
        letters[:, : chosen.letters.shape[1]] = chosen.letters[:, : letters.shape[1]]
        group = np.searchsorted(self.network.groups, chosen.spacegroup)
        return torch.from_numpy(group), torch.from_numpy(letters), torch.from_numpy(self.heights[rows]).float()

    def errors(self, rows: np.ndarray, numbers: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Mean squared errors of the velocities of free coordinates, Å², and of free scores."""
        chosen = self.templates[rows]
        group, letters, height = self.choices(rows)
        spacegroup, places = chosen.spacegroup.astype(np.int64), letters.numpy()
        free = sg.FREE[spacegroup[:, None], places] & (places >= 0)[..., None]
        goal = np.zeros(free.shape)
        goal[:, : chosen.coords.shape[1]] = chosen.coords[:, : places.shape[1]]
        start = numbers.random(free.shape) * free
        ways = nearest_descriptions(spacegroup, places, start, goal * free, sg.cell_vectors(chosen.cell))
        cell_free = sg.CELL_FREE[spacegroup]
        noise = np.clip(numbers.standard_normal((len(rows), 6)), -REACH, REACH) * cell_free
        time = numbers.random(len(rows))
        scores = noise + time[:, None] * (self.scores[rows] - noise)
        of_scores, of_coords, vectors = self.network.velocities(
            group, places, height, time, scores, start + time[:, None, None] * ways, self.device
        )
        lengths = np.linalg.norm(vectors, axis=2)[:, None]
        wanted, scale, target = (
            torch.from_numpy(x).float().to(self.device) for x in (ways, lengths * free, self.scores[rows] - noise)
        )
        coordinates = ((of_coords - wanted) * scale).square().sum() / max(free.sum(), 1)
        cell = (of_scores - target * torch.from_numpy(cell_free).to(self.device)).square().sum() / cell_free.sum()
        return coordinates, cell

    def finished(self, data: str, before: int, known: dict[str, Templates]) -> FlowModel:
        """The averaged networks.

        :param data: see :class:`.TrainedModel`, as for ``known``.
        :param before: steps of the checkpoint that the training started from.
        """
        self.to("cpu")
        network = cast(Flow, self.average.module).eval()
        model = FlowModel(network, self.options, data, before + self.options.max_steps, known)
        # as drawn: a training that goes on from a checkpoint has that one's map
        network.drawn.copy_(torch.linspace(-REACH, REACH, network.drawn.shape[1]).expand_as(network.drawn))
        random = torch.Generator().manual_seed(derive_seed(self.seed, "calibrate"))
        drawn = model.draw(CALIBRATION, random, Request())
        network.drawn.copy_(torch.from_numpy(calibration(network.scores(drawn), sg.CELL_FREE[drawn.spacegroup])))
        return model

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning keeps weights and optimizers; this adds how far we are and the curve so far."""
        checkpoint["cgwgan"] = {"step": self.step, "curve": self.curve, "nll": float(self.nll)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The inverse of :meth:`on_save_checkpoint`."""
        self.step, self.curve = (checkpoint["cgwgan"][name] for name in ("step", "curve"))
        self.nll = torch.tensor(checkpoint["cgwgan"]["nll"])
