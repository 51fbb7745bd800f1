"""What a flow's conditions do to its draws.

    python benchmarks/conditions.py stability results/model/generator.ckpt results/data/training.parquet
    python benchmarks/conditions.py density results/model/generator.ckpt

``stability``: how far draws at several energies above the hull are from training structures near the hull (at most
0.025 eV/atom) and far from it (more than 0.1), by total variation: of space groups, of numbers of sites, of letters
given the group with up to four sites, and of number densities in classes of 0.005 1/Å³. Real structures drawn again,
as many, show what chance leaves.

``density``: share of draws within a range of number densities, validity there, distinct templates and time, with the
range as a condition and without.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.fingerprint import fingerprints, isopointal_types
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.distributions import DENSITY_EDGES, histogram, overlap, total_variation, within
from cgwgan_core.generator.flow.model import FlowModel
from cgwgan_core.generator.model import Request
from cgwgan_core.generator.sampling import sample
from cgwgan_core.workflow import tables

DRAWS = 10_000
NEAR, FAR = 0.025, 0.1
"""eV/atom."""
RANGES = ((0.01, 0.25), (0.06, 0.09), (0.075, 0.08), (0.12, 0.2))
"""1/Å³."""


def distances(drawn: Templates, real: Templates) -> list[float]:
    """Total variations of two sets: groups, numbers of sites, letters, densities."""
    few = [x[x.n_sites <= 4] for x in (drawn, real)]
    letters = [part for x in few for part in (x.spacegroup, np.array(isopointal_types(x)))]
    return [
        total_variation(drawn.spacegroup, real.spacegroup),
        total_variation(drawn.n_sites, real.n_sites),
        within(total_variation, *letters),
        1 - overlap(*(histogram(x.number_density, DENSITY_EDGES) for x in (drawn, real))),
    ]


def stability(model: FlowModel, training: str) -> None:
    """Print the table of ``stability``."""
    table = tables.read(training, tables.TRAINING)
    table = table.filter(pc.field("split") == "train")
    templates, energies = Templates.from_table(table), table["energy_above_hull"].to_numpy()
    real = {f"≤ {NEAR}": templates[energies <= NEAR], f"> {FAR}": templates[energies > FAR]}
    random = np.random.default_rng(0)
    sets = {f"draws at {e}": sample(model, DRAWS, 1, Request(energy_above_hull=e)) for e in (0.0, 0.1, 0.5)}
    sets["draws without"] = sample(model, DRAWS, 1)
    sets |= {f"real, {name}, drawn again": x[random.integers(len(x), size=DRAWS)] for name, x in real.items()}
    print(", ".join(f"{name}: {len(x):,}" for name, x in real.items()), f"unknown: {np.isnan(energies).sum():,}")
    parts = ("space groups", "sites", "letters", "density")
    print(f"| | {' | '.join(f'{part} to {name}' for part in parts for name in real)} | median density | valid |")
    print("|---|" + "---|" * (2 * len(parts) + 2))
    for name, drawn in sets.items():
        off = np.array([distances(drawn, x) for x in real.values()])
        cells = [f"{x:.3f}" for x in off.T.ravel()]
        cells += [f"{np.median(drawn.number_density):.4f}", f"{(min_distances(drawn) >= 1).mean():.3f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def density(model: FlowModel) -> None:
    """Print the table of ``density``."""
    free, free_time = timed(model, Request())
    print(
        "| range (1/Å³) | | within | valid of these | distinct per 1,000 draws | ms a draw |\n|---|---|---|---|---|---|"
    )
    for limits in RANGES:
        asked, took = timed(model, Request(number_density=limits))
        for name, drawn, ms in (("without", free, free_time), ("with", asked, took)):
            print(
                f"| {limits[0]} to {limits[1]} | {name} | {' | '.join(figures(drawn, limits))} | {ms:.2f} |", flush=True
            )


def timed(model: FlowModel, request: Request) -> tuple[Templates, float]:
    """Draws, and processor milliseconds of each."""
    start = time.process_time()
    drawn = sample(model, DRAWS, 1, request)
    return drawn, 1e3 * (time.process_time() - start) / len(drawn)


def figures(drawn: Templates, limits: Sequence[float]) -> list[str]:
    """Share within limits, share of valid ones of these, distinct fingerprints of those per 1,000 draws."""
    inside = drawn[(limits[0] <= drawn.number_density) & (drawn.number_density <= limits[1])]
    valid = inside[min_distances(inside) >= 1]
    distinct = len(set(fingerprints(valid)))
    return [
        f"{len(inside) / len(drawn):.3f}",
        f"{len(valid) / max(len(inside), 1):.3f}",
        f"{1000 * distinct / len(drawn):.0f}",
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["stability", "density"])
    parser.add_argument("checkpoint", help="of a flow")
    parser.add_argument("training", nargs="?", help="stability: training table of the run that trained it")
    given = parser.parse_args()
    model = load_generator(given.checkpoint)
    if not isinstance(model, FlowModel):
        parser.error(f"{given.checkpoint} is no flow")
    with threadpool_limits(1):
        if given.command == "density":
            density(model)
        elif given.training:
            stability(model, given.training)
        else:
            parser.error("stability needs the training table")


if __name__ == "__main__":
    main()
