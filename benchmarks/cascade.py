"""What the cascade loses: recall of the judge's best candidates against the share that the judge gets to see.

    python benchmarks/cascade.py results --best 500

``results`` is of a run with ``cascade: {share: 1.0}``, so that the judge has evaluated every candidate with an energy
by the screening potential. The candidates that the judge puts first are sought among the first by the screening
potential. Prints the recall for several shares, the rank correlation, the difference of the judges by rank, and the
cost of a candidate from the run's own benchmark files.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.stats import spearmanr

from cgwgan_core.screening.ranking import NOT_CREDIBLE
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Floats

SHARES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)


def read(results: Path) -> tuple[Floats, Floats, Floats]:
    """Screening rank, its distance to the hull and the judge's, of all candidates with credible ones, (N,) each."""
    ranks, cheap, judge = [], [], []
    for path in sorted((results / "evaluated").glob("*.parquet")):
        promoted = tables.read(results / "promoted" / path.name, tables.PROMOTED)
        evaluated: pa.Table = tables.read(path, tables.SCREENED)
        ranks.append(promoted["screening_rank"].to_numpy())
        cheap.append(promoted["screening_energy_above_hull"].to_numpy())
        judge.append(evaluated["energy_above_hull"].to_numpy())
    rank, first, second = map(np.concatenate, (ranks, cheap, judge))
    good = np.isfinite(first) & np.isfinite(second) & (second > first - NOT_CREDIBLE)
    return rank[good].astype(float), first[good], second[good]


def seconds(results: Path, rule: str) -> float:
    """Processor seconds of all jobs of a rule, as Snakemake has measured them."""
    total = 0.0
    for path in (results / "benchmarks" / rule).glob("*.tsv"):
        with path.open() as stream:
            total += sum(float(row["cpu_time"]) for row in csv.DictReader(stream, delimiter="\t"))
    return total


def main() -> None:
    """Print the tables of ``docs/benchmarks/cascade.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="folders results/ of runs")
    parser.add_argument("--best", type=int, default=500, help="candidates that the judge puts first")
    given = parser.parse_args()
    for results in given.results:
        rank, cheap, judge = read(results)
        order = np.argsort(np.argsort(rank)) / len(rank)
        first = np.argsort(judge, kind="stable")[: given.best]
        print(f"{results}: {len(rank):,} candidates; rank correlation {spearmanr(cheap, judge).statistic:.3f}")
        print("\n| share sent on | " + " | ".join(f"{share:.1%}" for share in SHARES) + " |")
        print("|---|" + "---|" * len(SHARES))
        for count in sorted({50, 100, given.best}):
            found = [(order[first[:count]] < share).mean() for share in SHARES]
            print(f"| of the judge's best {count} | " + " | ".join(f"{x:.3f}" for x in found) + " |")
        difference = judge - cheap
        print("\n| screening rank | judge less screening, median (10 %, 90 %), eV/atom |\n|---|---|")
        for low, high in ((0, 0.025), (0.025, 0.1), (0.1, 0.3), (0.3, 1.0)):
            part = difference[(order >= low) & (order < high)]
            ten, half, ninety = np.quantile(part, [0.1, 0.5, 0.9])
            print(f"| {low:.1%} to {high:.1%} | {half:+.3f} ({ten:+.3f}, {ninety:+.3f}) |")
        for rule, folder in (("screen", "screened"), ("evaluate", "evaluated")):
            done = sum(map(tables.count, (results / folder).glob("*.parquet")))
            print(f"\n{rule}: {1e3 * seconds(results, rule) / done:.2f} ms a candidate")


if __name__ == "__main__":
    main()
