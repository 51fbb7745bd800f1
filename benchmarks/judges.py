"""The relaxed crystals of a run beside several judges, each on its own hull of the same known phases.

    python benchmarks/judges.py results m3gnet=M3GNet-MP-2021.2.8-PES chgnet sevennet-0 nequix=nequix-oam-1-pft.nqx

All potentials see the geometries of the run's judge, of the crystals as of the known phases. Prints one row for each
novel, distinct crystal, best first by the run's judge, then how far the others are from it, and how the run's judge
differs from its screening potential on the candidates that were selected and on those drawn at random.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.results.agreement import NEAR_HULL
from cgwgan_core.results.selection_error import selection_error
from cgwgan_core.screening.energies import energies_above_hull, hull_by
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.refusals import OK

warnings.filterwarnings("ignore")


def by_rank(results: Path) -> None:
    """Print the difference of judge and screening potential, selected and at random."""
    shards = sorted((results / "evaluated").glob("*.parquet"))
    error = selection_error([results / "promoted" / path.name for path in shards], shards)
    if error is None:
        return
    for name, best in (("selected", True), ("random", False)):
        part = error.difference[error.best == best]
        if (found := error.quantiles(best)) is not None:
            ten, half, ninety = found
            told = f"median {half:+.3f} ({ten:+.3f}, {ninety:+.3f}), mean {part.mean():+.3f} ± {part.std():.3f}"
            print(f"judge less screening, {name}, {len(part):,} candidates: {told} eV/atom")
    print(f"from one rank to ten times that rank: {error.slope:+.3f} eV/atom; fooled: {error.fooled}")


def main() -> None:
    """Print the tables of ``docs/benchmarks/judges.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder results/ of a run")
    parser.add_argument("potentials", nargs="+", help="name, or name=path of its weights")
    parser.add_argument("--top", type=int, default=60, help="crystals in the table")
    given = parser.parse_args()
    rows = tables.read(given.results / "compared.parquet", tables.COMPARED).to_pylist()
    good = [r for r in rows if r["status"] == OK and r["known_match"] is None and r["duplicate_of"] is None]
    good = sorted(good, key=lambda row: (row["energy_above_hull"], row["candidate_id"]))[: given.top]
    phases = tables.read(given.results / "known_phases.parquet", tables.KNOWN_PHASES)
    crystals = [row_to_atoms(row) for row in good]
    first = np.array([row["energy_above_hull"] for row in good])
    others: dict[str, Floats] = {}
    for told in given.potentials:
        name, _, path = told.partition("=")
        potential = load(PotentialOptions(name, path or None))
        others[potential.name] = energies_above_hull(crystals, potential, hull_by(potential, phases))
    print("| crystal | the run's judge | " + " | ".join(others) + " |")
    print("|---|---|" + "---|" * len(others))
    for i, row in enumerate(good):
        values = " | ".join(f"{found[i]:+.3f}" for found in others.values())
        print(f"| {row['formula']}, {row['spacegroup']} ({row['candidate_id']}) | {first[i]:+.3f} | {values} |")
    print()
    for name, found in others.items():
        off = (found - first)[np.isfinite(found)]
        print(f"{name} less the run's judge: {off.mean():+.3f} ± {off.std():.3f} eV/atom, {len(off)} crystals")
    every = np.stack([first, *others.values()])
    near, below = (every <= NEAR_HULL).all(axis=0), (every < 0).all(axis=0)
    print(
        f"within {NEAR_HULL} eV/atom of the hull: {(first <= NEAR_HULL).sum()} by the run's judge, {near.sum()} by all"
    )
    print(f"below it: {(first < 0).sum()} by the run's judge, {below.sum()} by all")
    by_rank(given.results)


if __name__ == "__main__":
    main()
