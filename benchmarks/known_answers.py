"""What a rank is worth: a run's potential and its candidates, beside what is known of the same crystals.

    python benchmarks/known_answers.py energies results --crystals 2000
    python benchmarks/known_answers.py rediscovered results
    python benchmarks/known_answers.py filters results

``energies``: whole chemical systems of the run's database, drawn at random with all their phases until there are so
many crystals; formation energies and distances to the hull by the potential, on its own hull of the same phases,
beside the database's. Geometries are the database's, nothing is relaxed.

``rediscovered``: the database's phases of exactly the run's elements, with as many sites as templates have: which of
them is among the candidates (``StructureMatcher``), and at which rank. The generator may have learnt their templates;
a column tells. Nothing else of the run knows of them but the hull.

``filters``: what share of the candidates passes the paper's filter, a negative formation energy, and what share lies
near the hull. The latter is the stricter the more stable the compounds of the system are.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ase.data import chemical_symbols

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.structures import atoms_to_structure, row_to_atoms, row_to_structure
from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.screening.candidates import TemplateLookup
from cgwgan_core.screening.comparison import Library
from cgwgan_core.screening.energetics import Hull, formation_energies
from cgwgan_core.screening.energies import evaluate
from cgwgan_core.screening.references import references
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.refusals import OK

CLASSES = {
    "oxides": {"O"},
    "halides": {"F", "Cl", "Br", "I"},
    "sulphides, selenides, tellurides": {"S", "Se", "Te"},
    "other non-metals": {"N", "P", "As", "C", "H", "B", "Si", "Ge", "Sb"},
    "metals alone": set(),
}
"""By the first of these sets that a compound has an element of."""
LARGEST = 60
"""Atoms; larger crystals of a system are left out, of both hulls."""


def chemistry(symbols: set[str]) -> str:
    """The class of a compound."""
    return next(name for name, members in CLASSES.items() if members & symbols or not members)


def systems(structures: pa.Table, crystals: int, seed: int, elements: set[str]) -> list[dict]:
    """Crystals of whole chemical systems of two or three of some elements, at least so many in all; those without an
    energy in the database left out.
    """
    allowed = {chemical_symbols.index(symbol) for symbol in elements}
    rows = structures.filter(pc.is_finite(structures["formation_energy_per_atom"]))
    sets = [frozenset(numbers) for numbers in rows["numbers"].to_pylist()]
    of_system: dict[frozenset[int], list[int]] = defaultdict(list)
    for i, members in enumerate(sets):
        of_system[members].append(i)
    names = sorted((s for s in of_system if len(s) in (2, 3) and s <= allowed), key=sorted)
    chosen: set[int] = set()
    for i in np.random.default_rng(seed).permutation(len(names)):
        if len(chosen) >= crystals:
            break
        chosen |= {k for part in _parts(names[i], of_system) for k in of_system[part]}
    found = rows.take(pa.array(sorted(chosen))).to_pylist()
    return [row for row in found if len(row["numbers"]) <= LARGEST]


def _parts(system: frozenset[int], of_system: dict[frozenset[int], list[int]]) -> list[frozenset[int]]:
    """The system and all within it that the database has, elements apart."""
    members = sorted(system)
    subsets = [frozenset(m for k, m in enumerate(members) if bits >> k & 1) for bits in range(1, 2 ** len(members))]
    return [s for s in subsets if s in of_system and len(s) > 1]


def energies(results: Path, options: PotentialOptions, crystals: int, seed: int) -> None:
    """Print a table of errors by chemistry."""
    potential = load_checked(options, results / "potential.json")
    usable = set(references(potential.energy_scale)) - potential.unknown(set(references(potential.energy_scale)))
    rows = systems(tables.read(results / "data" / "structures.parquet", tables.STRUCTURES), crystals, seed, usable)
    atoms = [row_to_atoms(row) for row in rows]
    found, errors = evaluate(atoms, potential, 16)
    good = [i for i, error in enumerate(errors) if error is None]
    formation = formation_energies(atoms, found, potential.energy_scale)
    real = np.array([row["formation_energy_per_atom"] for row in rows])
    formulas = [formula_of_atoms(a) for a in atoms]
    elements = sorted({s for a in atoms for s in a.get_chemical_symbols()})
    hulls = {}
    for name, values in (("potential", formation), ("database", real)):
        above = np.full(len(rows), np.nan)
        # a hull of each crystal's own elements: one of all of them would have dozens of dimensions
        members = [frozenset(a.get_chemical_symbols()) for a in atoms]
        for system in set(members):
            inside = [i for i in good if members[i] <= system]
            hull = Hull([(formulas[i], values[i]) for i in inside], sorted(system))
            own = [i for i in inside if members[i] == system]
            above[own] = hull.energy_above_hull([formulas[i] for i in own], values[own])
        hulls[name] = above
    kind = np.array([chemistry(set(a.get_chemical_symbols())) for a in atoms])
    print(
        f"{len(rows)} crystals of {len(elements)} elements, {len(rows) - len(good)} without an energy; {potential.name}"
    )
    print("| | crystals | formation energy, MAE | its mean error | above hull, MAE | within 0.05 of the database's |")
    print("|---|---|---|---|---|---|")
    for name in [*CLASSES, "all"]:
        mine = np.array([i for i in good if name in ("all", kind[i])], dtype=int)
        if not len(mine):
            continue
        off, above = formation[mine] - real[mine], hulls["potential"][mine] - hulls["database"][mine]
        near = (np.abs(above) <= 0.05).mean()
        print(
            f"| {name} | {len(mine):,} | {np.abs(off).mean():.3f} | {off.mean():+.3f} | {np.abs(above).mean():.3f}"
            f" | {near:.0%} |"
        )


def rediscovered(results: Path) -> None:
    """Print a table of the known phases that templates could give."""
    templates = tables.read(results / "templates.parquet", tables.TEMPLATES)
    sizes = set(np.unique(templates["n_sites"].to_numpy()).tolist())
    candidates = sorted((results / "candidates").glob("*.parquet"))
    screened = [results / "screened" / path.name for path in candidates]
    elements = set(tables.read(candidates[0], tables.CANDIDATES)["elements"][0].as_py())
    asu = tables.read(results / "data" / "asu.parquet", tables.ASU).to_pylist()
    wanted = {row["material_id"]: row for row in asu if set(row["elements"]) == elements and row["n_sites"] in sizes}
    structures = tables.read(results / "data" / "structures.parquet", tables.STRUCTURES)
    mine = structures.filter(pc.is_in(structures["material_id"], pa.array(list(wanted), pa.string())))
    phases = {row["material_id"]: row_to_structure(row) for row in mine.to_pylist()}
    known = {
        row["material_id"]: row["energy_above_hull"]
        for row in tables.read(results / "known_phases.parquet", tables.KNOWN_PHASES).to_pylist()
    }
    parts = [np.zeros(0)]
    formulas = pa.array(sorted({s.composition.reduced_formula for s in phases.values()}), pa.string())
    some = []
    for path, filled in zip(screened, candidates, strict=True):
        table = tables.read(path, tables.SCREENED)
        above = table["energy_above_hull"].to_numpy()
        parts.append(above[np.isfinite(above)])
        hit = pc.and_(pc.is_in(table["formula"], formulas), pc.equal(table["status"], OK))
        more = tables.read(filled, tables.CANDIDATES, ["template_id", "elements"]).filter(hit)
        some += [a | b for a, b in zip(table.filter(hit).to_pylist(), more.to_pylist(), strict=True)]
    every = np.sort(np.concatenate(parts))
    some.sort(key=lambda row: row["energy_above_hull"])
    lookup = TemplateLookup(templates)
    learnt = templates["in_training"].to_pylist()
    libraries: dict[str, Library] = defaultdict(Library)
    for name, structure in phases.items():
        libraries[name].add(name, structure)
    first: dict[str, dict] = {}
    for row in some:
        left = [n for n, s in phases.items() if n not in first and s.composition.reduced_formula == row["formula"]]
        if not left:
            continue
        structure = atoms_to_structure(lookup.atoms(row))
        for name in left:
            if libraries[name].find(structure):
                first[name] = row | {"in_training": learnt[lookup.place(row["template_id"])]}
    print(f"{len(every):,} candidates with an energy; {len(phases)} known phases, {len(first)} of them found\n")
    print("| phase | formula | group | sites | above hull, relaxed | candidate's, unrelaxed | rank | template learnt |")
    print("|---|---|---|---|---|---|---|---|")
    for name, structure in sorted(phases.items(), key=lambda item: known.get(item[0]) or 9.0):
        row, unit = first.get(name), wanted[name]
        height = known.get(name)
        print(
            f"| {name} | {structure.composition.reduced_formula} | {unit['spacegroup']} | {unit['n_sites']}"
            f" | {'' if height is None else f'{height:.3f}'} | "
            + (
                "– | – | – |"
                if row is None
                else f"{row['energy_above_hull']:.3f} | {np.searchsorted(every, row['energy_above_hull']) + 1:,}"
                f" | {'yes' if row['in_training'] else 'no'} |"
            )
        )


def filters(results: Path) -> None:
    """Print the shares that pass."""
    formation, above, n = [], [], 0
    for path in sorted((results / "screened").glob("*.parquet")):
        table = tables.read(path, tables.SCREENED, ["formation_energy_per_atom", "energy_above_hull", "status"])
        n += table.num_rows
        good = table.filter(pc.equal(table["status"], OK))
        formation.append(good["formation_energy_per_atom"].to_numpy())
        above.append(good["energy_above_hull"].to_numpy())
    lowest, height = np.concatenate(formation), np.concatenate(above)
    if not n:
        sys.exit(f"{results}: no screened candidates there")
    print(
        f"{n:,} candidates, {len(lowest):,} of them with an energy\n| | candidates | of all | of those with an energy |"
    )
    print("|---|---|---|---|")
    tests = {"formation energy below 0 (the paper's)": lowest < 0}
    tests |= {f"above hull at most {limit:g} eV/atom": height <= limit for limit in (0.5, 0.2, 0.1, 0.05, 0.0)}
    for name, passes in tests.items():
        print(f"| {name} | {passes.sum():,} | {passes.sum() / n:.2%} | {passes.mean():.2%} |")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("energies", "rediscovered", "filters"))
    parser.add_argument("results", type=Path, help="folder of a run")
    parser.add_argument("--crystals", type=int, default=2000, help="energies: at least so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--potential", type=json.loads, default={}, help='energies: the config block, such as {"name": "chgnet"}'
    )
    given = parser.parse_args()
    if given.part == "energies":
        energies(given.results, PotentialOptions(**given.potential), given.crystals, given.seed)
    elif given.part == "rediscovered":
        rediscovered(given.results)
    else:
        filters(given.results)


if __name__ == "__main__":
    main()
