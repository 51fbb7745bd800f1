"""A trained flow: letters, and the velocities that carry noise to cells and coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.composition import can_hold_one
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

BATCH = 2048
"""Templates that move together; part of the result, as sums round."""
HASTE = 20.0
"""Coordinates move 1 + HASTE t times as far as their velocity says: what is uncertain falls into the nearest likely
place, and atoms keep apart (Miller et al., arXiv:2406.04713)."""
BEYOND = 1.5
"""At most so many times as far as to where the velocity points, and in the last step there."""
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
        height: Tensor,
        time: Floats,
        scores: Floats,
        coords: Floats,
        device: torch.device | None = None,
    ) -> tuple[Tensor, Tensor, Floats]:
        """Velocities of scores and coordinates, and the conventional vectors there; see :meth:`.Velocity.forward`.

        Templates of each number of sites go through the network together.
        """
        spacegroup, slots = self.groups[group.numpy()], letters.shape[1]
        vectors = sg.cell_vectors(self.cells(spacegroup, letters, scores))
        sites = (letters >= 0).sum(1)
        done, of_scores, of_coords = [], [], []
        for number in np.unique(sites).tolist():
            rows = np.flatnonzero(sites == number)
            few, places = letters[rows, :number], coords[rows, :number]
            seen, away = surroundings(spacegroup[rows], few, places, vectors[rows])
            numbers = (time[rows], scores[rows], places, vectors[rows], seen, away)
            arrays = (torch.from_numpy(np.asarray(x, dtype=np.float32)) for x in numbers)
            inputs = [
                x.to(device) if device else x for x in (group[rows], torch.from_numpy(few), height[rows], *arrays)
            ]
            cell, moved = self.velocity(*inputs)
            done.append(rows)
            of_scores.append(cell)
            of_coords.append(functional.pad(moved, (0, 0, 0, slots - number)))
        order = torch.from_numpy(np.argsort(np.concatenate(done)))
        return torch.cat(of_scores)[order], torch.cat(of_coords)[order], vectors

    def flow(
        self,
        group: Tensor,
        letters: NDArray[np.int64],
        height: Tensor,
        random: torch.Generator,
        volume: Floats | None = None,
    ) -> Templates:
        """Cells and coordinates for letters: steps from noise, of second order in the cell (Adams and Bashforth).

        :param height: see :func:`.shares_of_heights`, (B, 5).
        :param volume: normal scores that the volumes per atom are led to, straight from noise, (B,); ``None``: they
            move as the others do.
        """
        n, sites = letters.shape
        spacegroup = self.groups[group.numpy()]
        free = sg.FREE[spacegroup[:, None], letters] & (letters >= 0)[..., None]
        coords = torch.rand(n, sites, 3, generator=random, dtype=torch.float64).numpy() * free
        scores = torch.randn(n, 6, generator=random, dtype=torch.float64).clamp(-REACH, REACH).numpy()
        scores = scores * sg.CELL_FREE[spacegroup]
        step, before = 1 / self.options.steps, None
        for i in range(self.options.steps):
            time = i * step
            of_scores, of_coords, _ = self.velocities(group, letters, height, np.full(n, time), scores, coords)
            velocity = of_scores.double().numpy()
            moves = velocity if before is None else 1.5 * velocity - 0.5 * before
            before = velocity
            if volume is not None:
                moves[:, 0] = (volume - scores[:, 0]) / (1 - time)
            scores = scores + step * moves
            reach = (1 - time) * (BEYOND if i < self.options.steps - 1 else 1)
            coords = coords + min(step * (1 + HASTE * time), reach) * of_coords.double().numpy()
        even = np.linspace(-REACH, REACH, KNOTS)
        scores = np.stack(
            [np.interp(x, y, even) for x, y in zip(scores.T, self.drawn.double().numpy(), strict=True)], 1
        )
        if volume is not None:
            scores[:, 0] = volume
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
            chosen = self._letters(n, random, request)
            found = self._flow(chosen, random)
            if request.number_density is not None:
                found = self._dense(chosen, found, random, request.number_density)
        return found

    def _flow(self, chosen: Sequence[Tensor], random: torch.Generator, volume: Floats | None = None) -> Templates:
        """Templates of groups, letters and shares of heights; see :meth:`Flow.flow`."""
        parts = []
        for rows in (slice(i, i + BATCH) for i in range(0, len(chosen[0]), BATCH)):
            group, letters, height = (x[rows] for x in chosen)
            parts.append(
                self.network.flow(group, letters.numpy(), height, random, None if volume is None else volume[rows])
            )
        return Templates.concat(parts)

    def _dense(
        self, chosen: Sequence[Tensor], found: Templates, random: torch.Generator, limits: tuple[float, float]
    ) -> Templates:
        """Templates whose number densities lie within limits.

        What lies outside is drawn again, with the letters of one that lies inside, led to its volume: so letters and
        volumes have the distribution that the model gives them there. If none is inside, letters stay and the volume
        is led to the nearest limit.
        """
        scores = self.network.scores(found)[:, 0]
        inside = (found.number_density >= limits[0]) & (found.number_density <= limits[1])
        rows, sources = np.flatnonzero(~inside), np.flatnonzero(inside)
        if not len(rows):
            return found
        # a trifle inside the limits, as densities are computed from the cell
        ends = np.log([(1 - 1e-9) / limits[0], (1 + 1e-9) / limits[1]])
        low, high = to_scores(np.tile(ends[::-1, None], (1, len(self.network.knots))), self.network.knots)[:, 0]
        if len(sources):
            places = torch.randint(len(sources), (len(rows),), generator=random).numpy()
        sources = sources[places] if len(sources) else rows
        again = self._flow([x[sources] for x in chosen], random, np.clip(scores[sources], low, high))
        order = np.arange(len(found))
        order[rows] = len(found) + np.arange(len(rows))
        return Templates.concat([found, again])[order]

    def _letters(self, n: int, random: torch.Generator, request: Request) -> list[Tensor]:
        """Groups, (n,), letters, (n, K), and shares of heights, (n, 5), that are what is asked for, as the model draws
        them: others are drawn again.
        """
        letters, energy = self.network.letters, request.energy_above_hull
        if energy is not None and not letters.knows_energies:
            raise InputError(
                "templates.energy_above_hull: the generator learnt from structures without energies above the hull; "
                "write null, or train with a database that has them"
            )
        joint = letters.often if energy is None else letters.often_at(energy)
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
            drawn = letters.draw(joint, n, random, energy)
            good = self._wanted(*drawn[:2], request)
            sets.append([x[good] for x in drawn])
            enough += int(good.sum())
            if enough >= n:
                break
        if enough < n:
            logger.warning(f"warning: of {TRIES * n:,} sets of Wyckoff letters {enough:,} can hold what is asked for")
        # rare sets come again, each time with other coordinates
        return [torch.cat(parts)[torch.arange(n) % enough] for parts in zip(*sets, strict=True)] if enough else [*drawn]

    def _wanted(self, group: Tensor, letters: Tensor, request: Request) -> Tensor:
        """Which groups, (B,), and letters, (B, K), are what is asked for, (B,)."""
        held = np.where(letters >= 0, sg.MULTIPLICITY[self.groups[group][:, None], letters], 0)
        good = held.sum(1) <= (np.inf if request.max_atoms is None else request.max_atoms)
        if request.formulas:
            good = good & [can_hold_one(row, request.formulas) for row in held.tolist()]
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
            "energies": network.letters.knows_energies,
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
