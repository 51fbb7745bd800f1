"""A trained flow: letters, and the velocities that carry noise to cells and coordinates."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.composition import can_hold
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.cell_scores import KNOTS, REACH, fit_scores, from_scores, to_scores, within_reach
from cgwgan_core.generator.flow.letters import Letters
from cgwgan_core.generator.flow.orbits import surroundings
from cgwgan_core.generator.flow.positions import positions
from cgwgan_core.generator.flow.velocity import Velocity
from cgwgan_core.generator.lattice import cell_from_terms, cell_terms
from cgwgan_core.generator.model import Request
from cgwgan_core.generator.options import FlowOptions, ModelOptions
from cgwgan_core.workflow.arrays import Booleans, Floats
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.logs import logger
from cgwgan_core.workflow.seeds import derive_seed

BATCH = 512
"""Templates that move together; part of the result, as sums round."""
TOGETHER = (3, 5, 8)
"""Most sites of templates that go through the network together."""
HASTE = 10.0
"""Coordinates move 1 + HASTE t times as far as their velocity says, at most to where it points: what is uncertain falls
into the nearest likely place, and atoms keep apart (Miller et al., arXiv:2406.04713)."""
TRIES = 100
"""Most times that a batch of letters is drawn to find as many as are wanted. If none is, the last are taken."""


class Flow(nn.Module):
    """Both networks, and the scale of the cell."""

    drawn: Tensor
    """See :func:`.cell_scores.calibration`; as long as nothing is calibrated, scores stay as they are. (6, KNOTS)."""

    def __init__(
        self, groups: NDArray[np.int64], min_sites: int, max_sites: int, knots: Floats, options: FlowOptions
    ) -> None:
        """
        :param groups: space groups that can be drawn, ascending.
        :param knots: of :mod:`.cell_scores`, (6, KNOTS).
        """
        super().__init__()
        self.groups, self.min_sites, self.max_sites = groups, min_sites, max_sites
        self.knots, self.options = knots, options
        known = positions(groups)
        self.letters = Letters(known, max_sites)
        self.register_buffer("drawn", torch.linspace(-REACH, REACH, KNOTS).repeat(6, 1))
        self.velocity = Velocity(known, options.width, options.layers)

    @classmethod
    def fit(cls, templates: Templates, weights: Floats, options: FlowOptions, seed: int) -> "Flow":
        """New networks for the groups, numbers of sites and cells of the data; equal seeds give equal weights.

        :param weights: how much each template counts, (N,).
        """
        share = weights / weights.mean()
        groups, sites = np.unique(templates.spacegroup).astype(np.int64), templates.n_sites
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            flow = cls(groups, int(sites.min()), int(sites.max()), fit_scores(templates, share), options)
        flow.letters.count(np.searchsorted(groups, templates.spacegroup), templates.letters.astype(np.int64), share)
        return flow

    def covers(self, templates: Templates) -> Booleans:
        """Which templates it can represent, (N,)."""
        sites = templates.n_sites
        return (
            np.isin(templates.spacegroup, self.groups)
            & (self.min_sites <= sites)
            & (sites <= self.max_sites)
            & within_reach(templates, self.knots)
        )

    def cells(self, spacegroup: NDArray[np.int64], letters: NDArray[np.int64], scores: Floats) -> Floats:
        """Conventional cells, (B, 6), of normal scores, which are cut to their range."""
        held = np.where(letters >= 0, sg.MULTIPLICITY[spacegroup[:, None], letters], 0)
        terms = from_scores(np.clip(scores, -REACH, REACH), self.knots)
        return cell_from_terms(spacegroup, terms, held.sum(1))

    def scores(self, templates: Templates) -> Floats:
        """Normal scores of the cells of templates, 0 where a term is fixed, (N, 6)."""
        found = to_scores(cell_terms(templates.cell, templates.n_atoms), self.knots)
        return np.where(sg.CELL_FREE[templates.spacegroup], found, 0.0)

    def velocities(
        self,
        group: Tensor,
        letters: NDArray[np.int64],
        time: Floats,
        scores: Floats,
        coords: Floats,
        device: torch.device | None = None,
    ) -> tuple[Tensor, Tensor, Floats]:
        """Velocities of scores and coordinates, and the conventional vectors there; see :meth:`.Velocity.forward`.

        Templates of few sites go through the network apart from those of many, with as few pairs of sites as they need.
        """
        spacegroup, slots = self.groups[group.numpy()], letters.shape[1]
        vectors = sg.cell_vectors(self.cells(spacegroup, letters, scores))
        sites = (letters >= 0).sum(1)
        done, of_scores, of_coords = [], [], []
        least = 0
        for most in (*(n for n in TOGETHER if n < slots), slots):
            rows = np.flatnonzero((sites > least) & (sites <= most))
            least = most
            if not len(rows):
                continue
            few, places = letters[rows, :most], coords[rows, :most]
            seen, away = surroundings(spacegroup[rows], few, places, vectors[rows])
            numbers = (time[rows], scores[rows], places, vectors[rows], seen, away)
            arrays = (torch.from_numpy(np.asarray(x, dtype=np.float32)) for x in numbers)
            inputs = [x.to(device) if device else x for x in (group[rows], torch.from_numpy(few), *arrays)]
            cell, moved = self.velocity(*inputs)
            done.append(rows)
            of_scores.append(cell)
            of_coords.append(functional.pad(moved, (0, 0, 0, slots - most)))
        order = torch.from_numpy(np.argsort(np.concatenate(done)))
        return torch.cat(of_scores)[order], torch.cat(of_coords)[order], vectors

    def flow(self, group: Tensor, letters: NDArray[np.int64], random: torch.Generator) -> Templates:
        """Cells and coordinates for letters: Euler's steps from noise."""
        n, sites = letters.shape
        spacegroup = self.groups[group.numpy()]
        free = sg.FREE[spacegroup[:, None], letters] & (letters >= 0)[..., None]
        coords = torch.rand(n, sites, 3, generator=random, dtype=torch.float64).numpy() * free
        scores = torch.randn(n, 6, generator=random, dtype=torch.float64).clamp(-REACH, REACH).numpy()
        scores = scores * sg.CELL_FREE[spacegroup]
        step = 1 / self.options.steps
        for i in range(self.options.steps):
            time = i * step
            of_scores, of_coords, _ = self.velocities(group, letters, np.full(n, time), scores, coords)
            scores = scores + step * of_scores.double().numpy()
            coords = coords + min(step * (1 + HASTE * time), 1 - time) * of_coords.double().numpy()
        even = np.linspace(-REACH, REACH, KNOTS)
        scores = np.stack(
            [np.interp(x, y, even) for x, y in zip(scores.T, self.drawn.double().numpy(), strict=True)], 1
        )
        cells = self.cells(spacegroup, letters, scores)
        return Templates(spacegroup.astype(np.int16), cells, letters.astype(np.int8), coords).projected()


@dataclass(frozen=True)
class FlowModel:
    """See :class:`.TrainedModel`."""

    network: Flow
    """With the averaged weights."""
    options: ModelOptions
    data: str
    steps: int
    known: dict[str, Templates]

    @property
    def groups(self) -> NDArray[np.int64]:
        """See :class:`.TrainedModel`."""
        return self.network.groups

    def covers(self, templates: Templates) -> Booleans:
        """See :class:`.TrainedModel`."""
        return self.network.covers(templates)

    def draw(self, n: int, random: torch.Generator, request: Request) -> Templates:
        """See :class:`.TrainedModel`."""
        with torch.no_grad():
            group, letters = self._letters(n, random, request)
            parts = [
                self.network.flow(group[i : i + BATCH], letters[i : i + BATCH].numpy(), random)
                for i in range(0, n, BATCH)
            ]
        return Templates.concat(parts)

    def _letters(self, n: int, random: torch.Generator, request: Request) -> tuple[Tensor, Tensor]:
        """Groups and letters that are what is asked for, as the model draws them: others are drawn again."""
        letters = self.network.letters
        joint = letters.often
        if request.spacegroups is not None:
            joint = joint * torch.from_numpy(np.isin(self.groups, request.spacegroups))[:, None]
        if request.n_sites is not None:
            joint = joint * torch.from_numpy(np.isin(np.arange(1, letters.n_slots + 1), request.n_sites))
        if not joint.any():
            raise InputError(
                "the generator was trained on no such number of sites in these space groups; ask for others"
            )
        sets, enough = [], 0
        for _ in range(TRIES):
            drawn = torch.column_stack(letters.draw(joint, n, random))
            sets.append(drawn[self._wanted(drawn, request)])
            enough += len(sets[-1])
            if enough >= n:
                break
        if enough < n:
            logger.warning(f"warning: of {TRIES * n:,} sets of Wyckoff letters {enough:,} can hold what is asked for")
        # rare sets come again, each time with other coordinates
        chosen = torch.cat(sets)[torch.arange(n) % enough] if enough else drawn
        return chosen[:, 0], chosen[:, 1:]

    def _wanted(self, drawn: Tensor, request: Request) -> Tensor:
        """Which groups and letters, (B, 1 + K), are what is asked for, (B,)."""
        group, letters = drawn[:, 0].numpy(), drawn[:, 1:].numpy()
        held = np.where(letters >= 0, sg.MULTIPLICITY[self.groups[group][:, None], letters], 0)
        good = held.sum(1) <= (np.inf if request.max_atoms is None else request.max_atoms)
        if request.formulas:
            good = good & [_holds_one(tuple(sorted(row)), request.formulas) for row in held.tolist()]
        return torch.from_numpy(good)

    def latent(self, templates: Templates) -> Floats | None:  # noqa: ARG002 - a flow has no critic
        """See :class:`.TrainedModel`."""
        return None

    def state(self) -> dict[str, Any]:
        """See :class:`.TrainedModel`."""
        network = self.network
        encoder = {
            "groups": network.groups.tolist(),
            "min_sites": network.min_sites,
            "max_sites": network.max_sites,
            "knots": network.knots.tolist(),
        }
        return {"encoder": encoder, "flow": network.state_dict()}

    @classmethod
    def untrained(cls, templates: Templates, weights: Floats, options: ModelOptions, seed: int) -> "FlowModel":
        """See :class:`.TrainedModel`."""
        network = Flow.fit(templates, weights, options.flow, derive_seed(seed, "weights"))
        return cls(network, options, "", 0, {})

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], options: ModelOptions, data: str, steps: int, known: dict[str, Templates]
    ) -> "FlowModel":
        """The inverse of :meth:`state`."""
        encoder = state["encoder"]
        groups, knots = np.array(encoder["groups"]), np.array(encoder["knots"])
        network = Flow(groups, encoder["min_sites"], encoder["max_sites"], knots, options.flow)
        network.load_state_dict(state["flow"])
        return cls(network.eval(), options, data, steps, known)


@cache
def _holds_one(multiplicities: tuple[int, ...], formulas: tuple[tuple[int, ...], ...]) -> bool:
    return any(can_hold([m for m in multiplicities if m], amounts) for amounts in formulas)
