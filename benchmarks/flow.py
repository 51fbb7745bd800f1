"""What a flow's settings bring: letters in bits beside simple models, and drawing with other constants.

    python benchmarks/flow.py letters results/model/generator.ckpt results/data/training.parquet
    python benchmarks/flow.py drawing results/model/generator.ckpt

``letters``: bits of a set of Wyckoff letters and its number of sites given the space group. All models are of the
training side, and all have the flow's probability of the number of sites. Each then gives the letters in ascending
order: *allowed*, all alike that symmetry allows; *marginal*, as often as all groups have them; *unigram*, as often as
the group has them; *bigram*, as often as the group has them after the last one, backed by thirty structures' worth of
unigrams. Held-out structures have sets of letters that the training side lacks. Then the flow with other shares of its
table: what is new among 10,000 draws, and how far letters are from the training side's.

``drawing``: validity, shortest distances, number densities and the time of a draw, with more or fewer steps, and with
coordinates that move more or less ahead of their velocity. The map of cell terms is made anew for each setting.
"""

import argparse
import time
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pyarrow.compute as pc
import torch
from threadpoolctl import threadpool_limits

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.fingerprint import isopointal_types
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.cell_scores import KNOTS, REACH, calibration
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.distributions import DENSITY_EDGES, histogram, overlap, total_variation, within
from cgwgan_core.generator.flow.letters import TABLE, Letters
from cgwgan_core.generator.flow.model import FlowModel
from cgwgan_core.generator.sampling import sample
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Floats, Integers

SLICE = 4096
SETTINGS = ((6, 20, 1.5), (8, 20, 1.5), (10, 20, 1.5), (8, 10, 1.5), (8, 20, 1.0))
"""Of ``drawing``: steps, and the constants of the drawing that are named so; the usual ones first."""


def network(letters: Letters, group: Integers, sites: Integers, table: float) -> Floats:
    """Bits of each template."""
    parts = []
    with torch.no_grad():
        for i in range(0, len(group), SLICE):
            chunk = torch.from_numpy(group[i : i + SLICE]), torch.from_numpy(sites[i : i + SLICE])
            parts.append(-letters.log_likelihood(*chunk, table).double().numpy() / np.log(2))
    return np.concatenate(parts)


def simple(letters: Letters, group: Integers, sites: Integers, weights: Floats) -> Floats:
    """Bits of each template, letters in proportion to weights of group and last letter, (G, 28, 27)."""
    known = letters.positions
    offered, single = known.offered.numpy(), known.single.numpy()
    numbers = (letters.often / letters.often.sum(1, keepdim=True)).double().numpy()
    bits = -np.log2(numbers[group, (sites >= 0).sum(1) - 1])
    for slot in range(sites.shape[1]):
        rows = np.flatnonzero(sites[:, slot] >= 0)
        before = sites[rows, slot - 1] if slot else np.full(len(rows), sg.N_LETTERS)
        held = np.minimum(before, sg.N_LETTERS - 1)
        lowest = np.where(before == sg.N_LETTERS, 0, held + single[group[rows], held])
        share = weights[group[rows], before] * (offered[group[rows]] & (np.arange(sg.N_LETTERS) >= lowest[:, None]))
        bits[rows] -= np.log2(share[np.arange(len(rows)), sites[rows, slot]] / share.sum(1))
    return bits


def compared(model: FlowModel, training: str) -> None:
    """Print the tables of ``letters``."""
    letters, table = model.network.letters, tables.read(training, tables.TRAINING)
    own = np.zeros((len(model.groups), sg.N_LETTERS))
    sides = {}
    for side in ("train", "held-out"):
        templates = Templates.from_table(table.filter(pc.field("split") == side))
        templates = templates[model.covers(templates)]
        sites = np.full((len(templates), letters.n_slots), -1)
        sites[:, : templates.letters.shape[1]] = templates.letters[:, : letters.n_slots]
        sides[side] = np.searchsorted(model.groups, templates.spacegroup), sites
    group, sites = sides["train"]
    for slot in range(sites.shape[1]):
        rows = sites[:, slot] >= 0
        np.add.at(own, (group[rows], sites[rows, slot]), 1)
    marginal = np.tile(own.sum(0), (len(own), 1)) + 1e-9
    own += 0.5 * letters.positions.offered.numpy()

    def alike(weights: Floats) -> Floats:
        return np.repeat(weights[:, None], sg.N_LETTERS + 1, axis=1)

    rivals = {
        "allowed": alike(np.ones_like(own)),
        "marginal": alike(marginal),
        "unigram": alike(own),
        "bigram": letters.follows.double().numpy(),
    }
    bits = {name: [simple(letters, *rows, weights) for rows in sides.values()] for name, weights in rivals.items()}
    for name, share in (("network alone", 0.0), ("flow", TABLE)):
        bits[name] = [network(letters, *rows, share) for rows in sides.values()]
    print("| | " + " | ".join(f"{side}, {len(rows[0]):,}" for side, rows in sides.items()) + " |\n|---|---|---|")
    for name, columns in bits.items():
        print(f"| {name} | " + " | ".join(f"{column.mean():.2f}" for column in columns) + " |")
    shares(model, sides)


def shares(model: FlowModel, sides: dict[str, tuple[Integers, Integers]]) -> None:
    """Print what other shares of the table do to draws."""
    real = model.known["train"]
    types, few = np.array(isopointal_types(real)), real.n_sites <= 4
    print("\n| share of the table | held-out, bits | new isopointal types | letters, 1 to 4 sites: total variation |")
    print("|---|---|---|---|")
    for share in (0.0, 0.1, 0.25, 0.4):
        with patch("cgwgan_core.generator.flow.letters.TABLE", share), torch.no_grad():
            group, sites, _ = model.network.letters.draw(
                model.network.letters.often, 10_000, torch.Generator().manual_seed(1)
            )
        drawn = Templates(
            model.groups[group].astype(np.int16),
            np.ones((len(group), 6)),
            sites.numpy().astype(np.int8),
            np.zeros((*sites.shape, 3)),
        )
        mine, small = np.array(isopointal_types(drawn)), drawn.n_sites <= 4
        off = within(total_variation, drawn.spacegroup[small], mine[small], real.spacegroup[few], types[few])
        held_out = network(model.network.letters, *sides["held-out"], share).mean()
        print(f"| {share} | {held_out:.2f} | {(~np.isin(mine, types)).mean():.3f} | {off:.3f} |")
    rows = np.random.default_rng(0).integers(len(real), size=10_000)
    rows = rows[few[rows]]
    off = within(total_variation, real.spacegroup[rows], types[rows], real.spacegroup[few], types[few])
    print(f"| training drawn again | | 0.000 | {off:.3f} |")


def drawing(model: FlowModel) -> None:
    """Print the table of ``drawing``."""
    real, network = model.known["train"], model.network
    distances, sites = min_distances(real), real.n_sites
    wanted = {k: np.median(distances[sites == k]) for k in np.unique(sites).tolist()}
    n, usual = 16384, network.options
    heads = [
        "steps",
        "haste",
        "beyond",
        "valid",
        "the same, least",
        "median shortest distance over the real one, least",
    ]
    print(f"| {' | '.join([*heads, 'number density, overlap', 'ms a draw'])} |\n|" + "---|" * 8)
    for steps, haste, beyond in SETTINGS:
        network.options = replace(usual, steps=steps)
        with patch.multiple("cgwgan_core.generator.flow.model", HASTE=haste, BEYOND=beyond):
            network.drawn.copy_(torch.linspace(-REACH, REACH, KNOTS).expand_as(network.drawn))
            drawn = sample(model, n, 77)
            found = calibration(network.scores(drawn), sg.CELL_FREE[drawn.spacegroup])
            network.drawn.copy_(torch.from_numpy(found))
            start = time.process_time()
            drawn = sample(model, n, 3)
            took = (time.process_time() - start) / n
        distances = min_distances(drawn)
        by_sites = {k: distances[drawn.n_sites == k] for k in wanted}
        densities = (histogram(x.number_density, DENSITY_EDGES) for x in (drawn, real))
        figures = [
            f"{(distances >= 1).mean():.3f}",
            f"{min((x >= 1).mean() for x in by_sites.values()):.3f}",
            f"{min(np.median(x) / wanted[k] for k, x in by_sites.items()):.2f}",
            f"{overlap(*densities):.3f}",
            f"{1e3 * took:.2f}",
        ]
        print(f"| {steps} | {haste} | {beyond} | {' | '.join(figures)} |", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["letters", "drawing"])
    parser.add_argument("checkpoint", help="of a flow")
    parser.add_argument("training", nargs="?", help="letters: training table of the run that trained it")
    given = parser.parse_args()
    model = load_generator(given.checkpoint)
    if not isinstance(model, FlowModel):
        parser.error(f"{given.checkpoint} is no flow")
    with threadpool_limits(1):
        if given.command == "drawing":
            drawing(model)
        elif given.training:
            compared(model, given.training)
        else:
            parser.error("letters needs the training table")


if __name__ == "__main__":
    main()
