"""Energies above the hull for a database that has them of a part of its structures only.

    python benchmarks/heights.py database.parquet energies.parquet filled.parquet formation_energy another

Each structure of ``database.parquet`` without ``energy_above_hull`` gets its height above the hull of the formation
energies in the named columns of ``energies.parquet``, of the first that has it. All must be on one scale. The hull is
that of the database's compounds and of elements at zero. Prints how far these heights are from those that
the database has.
"""

import argparse
import math
from collections import defaultdict
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import linprog

Formula = tuple[tuple[int, int], ...]
"""Atomic numbers, ascending, and their smallest whole numbers of atoms."""


def formula_of(numbers: np.ndarray) -> Formula:
    """Of the atoms of a crystal, (n,)."""
    elements, counts = np.unique(numbers, return_counts=True)
    return tuple(zip(elements.tolist(), (counts // np.gcd.reduce(counts)).tolist(), strict=True))


def hull(lowest: dict[Formula, float]) -> dict[Formula, float]:
    """Energy of the hull at each composition, eV/atom.

    :param lowest: formation energy of the lowest structure of each, eV/atom.
    """
    by_elements: dict[tuple[int, ...], list[Formula]] = defaultdict(list)
    for formula in lowest:
        by_elements[tuple(element for element, _ in formula)].append(formula)
    found = {}
    for formula, energy in lowest.items():
        elements = [element for element, _ in formula]
        if len(elements) == 1:
            found[formula] = min(0.0, energy)
            continue
        parts = [
            part
            for n in range(2, len(elements) + 1)
            for some in combinations(elements, n)
            for part in by_elements[some]
            if lowest[part] < 0
        ]
        amounts = np.zeros((len(elements), len(parts)))
        for i, part in enumerate(parts):
            for element, n in part:
                amounts[elements.index(element), i] = n
        shares = np.column_stack([amounts / amounts.sum(0), np.eye(len(elements))])
        wanted = np.array([n for _, n in formula]) / sum(n for _, n in formula)
        energies = [*(lowest[part] for part in parts), *[0.0] * len(elements)]
        found[formula] = float(linprog(energies, A_eq=shares, b_eq=wanted, method="highs").fun)
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database")
    parser.add_argument("energies", help="with material_id")
    parser.add_argument("filled")
    parser.add_argument("columns", nargs="+", help="of formation energies, eV/atom, the best first")
    given = parser.parse_args()
    table, energies = pq.read_table(given.database), pq.read_table(given.energies).to_pandas().set_index("material_id")
    first = energies[given.columns].bfill(axis=1).iloc[:, 0].reindex(table["material_id"].to_pylist()).to_numpy(float)
    formulas = [formula_of(numbers) for numbers in table["numbers"].to_numpy()]
    lowest: dict[Formula, float] = {}
    for formula, energy in zip(formulas, first.tolist(), strict=True):
        if not math.isnan(energy):
            lowest[formula] = min(lowest.get(formula, np.inf), energy)
    ground = hull(lowest)
    heights = first - np.array([ground.get(formula, np.nan) for formula in formulas])
    own = table["energy_above_hull"].to_numpy()
    off = np.abs(heights - own)[~np.isnan(heights - own)]
    print(
        f"{(~np.isnan(own)).sum():,} of {len(own):,} structures have an energy above the hull, "
        f"{(~np.isnan(heights) & np.isnan(own)).sum():,} get one; where both are known, {len(off):,}, they differ by "
        f"{off.mean():.4f} eV/atom in the mean, {(off <= 0.005).mean():.3f} by at most 0.005"
    )
    column = pa.array(np.where(np.isnan(own), np.maximum(heights, 0), own), from_pandas=True)
    pq.write_table(
        table.set_column(table.column_names.index("energy_above_hull"), "energy_above_hull", column), given.filled
    )


if __name__ == "__main__":
    main()
