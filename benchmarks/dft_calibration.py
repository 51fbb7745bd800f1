"""Formation and decomposition energies by a DFT engine beside the Materials Project's, of compounds on its hull.

    python benchmarks/dft_calibration.py mp_v2023_11_1.parquet STORE Ba-Ti-O K-Mg-F Ca-Ge-N

The lowest compounds of each chemistry, most elements first, are computed at the database's geometry, and the elements.
Prints each compound's formation energy less the database's (both without corrections), which is also the error of its
distance to a hull of the database's energies, and its decomposition energy into the other compounds and the elements,
all by the engine, less the database's. The store keeps what was computed, so that a second call goes on.
"""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from ase.data import atomic_numbers
from pymatgen.core import Composition

from cgwgan_core.dft.crystals import CrystalOptions, choose, element_of
from cgwgan_core.dft.engines import open_store
from cgwgan_core.dft.statics import crystal_atoms, static
from cgwgan_core.dft.store import Store
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.screening.references import references

Row = dict[str, Any]
ON_HULL = 1e-3
"""eV/atom."""


def chosen(rows: Sequence[Row], each: int, max_atoms: int) -> list[Row]:
    """Compounds on the database's hull, one of each formula: most elements first, then smallest."""
    needed = ("energy_per_atom_uncorrected", "energy_above_hull")
    known = [row for row in rows if len(set(row["numbers"])) > 1 and all(row[name] is not None for name in needed)]
    lowest: dict[str, Row] = {}
    for row in sorted(known, key=lambda row: (row["energy_above_hull"], row["nsites"], row["material_id"])):
        if row["energy_above_hull"] <= ON_HULL and row["nsites"] <= max_atoms:
            lowest.setdefault(Composition(row["formula"]).reduced_formula, row)
    found = sorted(lowest.values(), key=lambda row: (-len(set(row["numbers"])), row["nsites"], row["material_id"]))
    return found[:each]


def per_atom(row: Row, store: Store) -> float:
    """Energy by the engine, of the lowest start."""
    one = static(crystal_atoms(row), store)
    if one.outcome.energy is None:
        raise SystemExit(f"{row['crystal_id']}: {one.outcome.status}")
    return one.outcome.energy / len(one.calculation.atoms)


def calibrate(rows: Sequence[Row], chemistry: Sequence[str], store: Store, each: int, max_atoms: int) -> Iterator[Row]:
    """Errors of each compound, eV/atom."""
    by_engine: dict[str, float] = {}
    for element in choose([], [], rows, chemistry, CrystalOptions(max_atoms_known=max_atoms)):
        height = element["database_formation_energy_per_atom"] or 0.0
        by_engine[element_of(element)] = per_atom(element, store) - height
    by_database = references("mp_uncorrected")
    compounds = []
    for row in chosen(rows, each, max_atoms):
        shares = {e.symbol: x for e, x in Composition(row["formula"]).fractional_composition.items()}
        energy = per_atom({**row, "crystal_id": row["material_id"]}, store)
        engine = energy - sum(x * by_engine[e] for e, x in shares.items())
        database = row["energy_per_atom_uncorrected"] - sum(x * by_database[e] for e, x in shares.items())
        names = {"material_id": row["material_id"], "formula": Composition(row["formula"]).reduced_formula}
        compounds.append({**names, "engine": engine, "database": database})
    for one in compounds:
        others = [other for other in compounds if other is not one]
        hull = Hull(((other["formula"], other["database"]) for other in others), chemistry)
        errors = {other["formula"]: other["engine"] - other["database"] for other in compounds}
        # the same products on both sides, those of the database
        shared = sum(share * errors.get(name, 0.0) for name, share in hull.shares(one["formula"]).items())
        error = errors[one["formula"]]
        yield {
            **one,
            "products": hull.decomposition(one["formula"]),
            "formation": error,
            "decomposition": error - shared,
        }


def main() -> None:
    """Print a line for each compound and the mean absolute errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database")
    parser.add_argument("store")
    parser.add_argument("chemistries", nargs="+")
    parser.add_argument("--each", type=int, default=5, help="compounds of a chemistry")
    parser.add_argument("--max-atoms", type=int, default=12)
    options = parser.parse_args()
    store = open_store({"engine": "gpaw"}, {}, options.store, 60)
    table = pq.read_table(options.database)
    numbers = table["numbers"].to_pylist()
    found: list[Row] = []
    for name in options.chemistries:
        chemistry = name.split("-")
        of_chemistry = {atomic_numbers[symbol] for symbol in chemistry}
        rows = table.take([i for i, n in enumerate(numbers) if set(n) <= of_chemistry]).to_pylist()
        for row in calibrate(rows, chemistry, store, options.each, options.max_atoms):
            found.append(row)
            errors = " ".join(f"{1000 * row[by]:+8.1f}" for by in ("formation", "decomposition"))
            print(f"{name:10} {row['material_id']:12} {row['formula']:10} {errors}  {row['products']}", flush=True)
    for by in ("formation", "decomposition"):
        sizes = np.abs([1000 * row[by] for row in found])
        print(f"{by:13} mean absolute {sizes.mean():.1f}, largest {sizes.max():.1f} meV/atom, {len(sizes)} compounds")


if __name__ == "__main__":
    main()
