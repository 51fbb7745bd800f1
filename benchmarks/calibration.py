"""How wrong a distance to the hull may be: the table that ``cgwgan_core/results/confidence.py`` reads.

    python benchmarks/calibration.py choose FOLDER /path/to/data
    python benchmarks/calibration.py types FOLDER /path/to/data
    python benchmarks/calibration.py energies FOLDER m3gnet=/path/to/M3GNet-MP-2021.2.8-PES --atoms 90000
    python benchmarks/calibration.py energies FOLDER sevennet-l3i5 --atoms 40000
    python benchmarks/calibration.py distances FOLDER
    python benchmarks/calibration.py table FOLDER > tables.md

``choose`` draws chemical systems of the database, in an order that a hash of their name fixes, one class of chemistry
after the other, and keeps their phases near the hull. ``energies`` evaluates these with a potential in the database's
geometries, system by system, until it has so many atoms. ``distances`` gives each phase its distance to the hull of
all others of its system, by each potential and by the database. ``table`` writes the quantiles of the differences to
``cgwgan_core/results/hull_errors.csv`` and prints the tables of ``docs/benchmarks/calibration.md``.

FOLDER keeps everything; each command goes on where it was stopped, and gives the same bytes.

The data are ``mp_v2023_11_1.parquet`` and ``mp_energies_union.parquet``. The latter names the crystals that M3GNet has
learnt from (those with ``energy_per_atom_uncorrected_mpf2021``). Energies with the database's earlier corrections are
converted to MP2020: a linear function of the shares of the elements, fitted to the crystals that have both.
"""

import argparse
import csv
import hashlib
import logging
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ase import Atoms
from ase.data import chemical_symbols

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.symmetry import SymmetryError, find_symmetry
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.results import confidence
from cgwgan_core.results.agreement import NEAR_HULL
from cgwgan_core.results.confidence import CLASSES, LEVELS, Errors, chemistry
from cgwgan_core.screening.energetics import Hull, formation_energies
from cgwgan_core.screening.energies import evaluate
from cgwgan_core.screening.references import references

LARGEST = 40
"""Atoms in the cell; larger crystals are left out, of all hulls."""
MOST_ELEMENTS = 4
PART_OF_HULL = 0.1
"""eV/atom above the database's hull; phases beyond it count only as crystals to judge, not as parts of a hull."""
SYSTEM_ATOMS = 1000
"""Systems whose phases have more atoms are passed over."""
LEARNT = "energy_per_atom_uncorrected_mpf2021"
"""Column of the union that the crystals have which M3GNet has learnt from."""
SEED = "hull errors"
U_METALS = ("Co", "Cr", "Fe", "Mn", "Mo", "Ni", "V", "W")
"""Corrected by the database in oxides and fluorides only."""
CHUNK = 64
PUBLISHED = {"M3GNet-MP-2021.2.8-PES": 0.101, "CHGNet-0.3.0": 0.063, "SevenNet-0": 0.054, "SevenNet-l3i5": 0.050}
"""Mean absolute error (eV/atom) of the distance to the hull of those 10,000 of 215,488 substituted crystals (WBM set)
that each potential puts lowest: what a survivor is. No potential has learnt from them. Of Matbench Discovery (Riebesell
et al., doi:10.1038/s42256-025-01055-1), ``most_stable_10k`` of its files of metrics."""
REFERENCE = "M3GNet-MP-2021.2.8-PES"
"""Whose errors on crystals that are new to it tell how the classes of chemistry differ."""


# ------------------------------------------------------------------------------------------------ systems


def choose(folder: Path, data: Path, systems: int) -> None:
    """Write ``phases.parquet``: the phases of the chosen systems, in the order of the systems."""
    dump = pq.read_table(data / "mp_v2023_11_1.parquet", columns=["material_id", "numbers", "formula"])
    energies = pq.read_table(data / "mp_energies_union.parquet").to_pandas().set_index("material_id")
    energies = energies.reindex(dump["material_id"].to_pylist())
    numbers = dump["numbers"].to_pylist()
    known, converted = database_energies(energies, numbers)
    learnt = np.isfinite(energies[LEARNT].to_numpy(float))
    formulas = dump["formula"].to_pylist()
    usable = set(references("mp_uncorrected"))
    of_system = defaultdict(list)
    for i, each in enumerate(numbers):
        symbols = frozenset(chemical_symbols[z] for z in each)
        if np.isfinite(known[i]) and len(each) <= LARGEST and len(symbols) <= MOST_ELEMENTS and symbols <= usable:
            of_system[symbols].append(i)
    rows, place = [], 0
    for system in ordered(of_system, learnt):
        inside = [i for part in subsets(system) for i in of_system.get(part, [])]
        new = [i for i in of_system[system] if not learnt[i]]
        hull = Hull([(formulas[i], known[i]) for i in inside], sorted(system))
        above = dict(zip(inside, hull.energy_above_hull([formulas[i] for i in inside], known[inside]), strict=True))
        phases = [i for i in inside if above[i] <= PART_OF_HULL or i in new]
        if sum(len(numbers[i]) for i in phases) > SYSTEM_ATOMS:
            continue
        rows += [
            {
                "place": place,
                "system": "-".join(sorted(system)),
                "index": i,
                "in_hull": bool(above[i] <= PART_OF_HULL),
                "known": known[i],
                "converted": bool(converted[i]),
                "learnt": bool(learnt[i]),
            }
            for i in sorted(phases)
        ]
        place += 1
        if place == systems:
            break
    geometry = pq.read_table(data / "mp_v2023_11_1.parquet", columns=["lattice", "frac_coords"])
    index = pa.array([row.pop("index") for row in rows])
    table = pa.Table.from_pylist(rows)
    for source, names in ((dump, ("material_id", "numbers")), (geometry, ("lattice", "frac_coords"))):
        for name in names:
            table = table.append_column(name, source[name].take(index))
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "phases.parquet")
    print(f"{place} systems, {table.num_rows:,} phases")


def database_energies(energies, numbers: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Formation energies with MP2020 corrections, (N,) eV/atom, NaN where unknown; and whether they are converted."""
    new = energies["eform_mp20"].fillna(energies["eform_wyformer"]).to_numpy(float)
    old = energies["eform_roost_2020_02"].to_numpy(float)
    terms = np.zeros((len(numbers), 2 * 119))
    for i, each in enumerate(numbers):
        counts = np.bincount(each, minlength=119) / len(each)
        terms[i, :119] = counts
        # which corrections apply depends on whether there is oxygen or fluorine
        if counts[8] or counts[9]:
            terms[i, 119:] = counts
    both = np.flatnonzero(np.isfinite(new) & np.isfinite(old))
    change = new - old
    fit, held_out = both[both % 4 > 0], both[both % 4 == 0]
    weights = np.linalg.lstsq(terms[fit], change[fit], rcond=None)[0]
    for _ in range(8):  # crystals that were computed anew are no part of the fit
        near = fit[np.abs(change[fit] - terms[fit] @ weights) < 0.02]
        weights = np.linalg.lstsq(terms[near], change[near], rcond=None)[0]
    off = np.abs(change[held_out] - terms[held_out] @ weights)
    shares = ", ".join(f"{q:.0%} within {np.quantile(off, q):.4f}" for q in (0.5, 0.75, 0.9, 0.95))
    print(f"Earlier corrections converted: of {len(held_out):,} crystals held out {shares} eV/atom of MP2020")
    converted = ~np.isfinite(new) & np.isfinite(old)
    return np.where(converted, old + terms @ weights, new), converted


def subsets(system: frozenset[str]) -> list[frozenset[str]]:
    """The system and all within it."""
    members = sorted(system)
    return [frozenset(m for k, m in enumerate(members) if bits >> k & 1) for bits in range(1, 2 ** len(members))]


def ordered(of_system: dict[frozenset[str], list[int]], learnt: np.ndarray) -> list[frozenset[str]]:
    """Systems of two elements and more with a crystal that is not learnt, class after class in turn."""
    queues: dict[str, list[frozenset[str]]] = {name: [] for name in CLASSES}
    for system, members in of_system.items():
        if len(system) > 1 and not all(learnt[i] for i in members):
            queues[chemistry(system)].append(system)
    for queue in queues.values():
        queue.sort(key=lambda system: hashlib.sha256(f"{SEED} {'-'.join(sorted(system))}".encode()).digest())
    longest = max(len(queue) for queue in queues.values())
    return [queue[i] for i in range(longest) for queue in queues.values() if i < len(queue)]


# ----------------------------------------------------------------------------------------------- energies


def energies(folder: Path, given: str, atoms: int) -> None:
    """Append to ``energies-NAME.csv`` what the potential says of the phases of so many atoms, system by system."""
    phases = pq.read_table(folder / "phases.parquet", columns=["material_id", "numbers"]).to_pylist()
    first: dict[str, int] = {}
    for i, row in enumerate(phases):
        first.setdefault(row["material_id"], i)
    name, _, path = given.partition("=")
    potential = load(PotentialOptions(name=name, path=path or None))
    kept = folder / f"energies-{potential.name}.csv"
    done = set(read_energies(kept)) if kept.exists() else set()
    geometry = pq.read_table(folder / "phases.parquet", columns=["numbers", "lattice", "frac_coords"])
    total, names = 0, list(first)
    # the same crystals beside each other, wherever a run was stopped: rounding depends on it
    for start in range(0, len(names), CHUNK):
        if total >= atoms:
            break
        part = names[start : start + CHUNK]
        rows = geometry.take(pa.array([first[material] for material in part])).to_pylist()
        total += sum(len(row["numbers"]) for row in rows)
        if done.issuperset(part):
            continue
        crystals = [to_atoms(row) for row in rows]
        found, errors = evaluate(crystals, potential, 16)
        formation = formation_energies(crystals, found, potential.energy_scale)
        lines = [
            f"{material},{'' if error else f'{value:.6f}'}\n"
            for material, value, error in zip(part, formation, errors, strict=True)
            if material not in done
        ]
        with kept.open("a") as stream:
            stream.write("".join(lines))
    print(f"{potential.name}: {total:,} atoms")


def to_atoms(row: dict) -> Atoms:
    """A crystal of the database, as it has it."""
    cell, places = np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3))
    return Atoms(row["numbers"], scaled_positions=places, cell=cell, pbc=True)


def read_energies(path: Path) -> dict[str, float]:
    """Formation energy of each crystal that a potential was asked about, eV/atom; NaN where it refused."""
    pairs = (line.split(",") for line in path.read_text().splitlines())
    return {material: float(value) if value else np.nan for material, value in pairs}


def structure_types(folder: Path, data: Path) -> None:
    """Write ``new_types.csv``: those of the phases whose structure type M3GNet has not learnt in any composition."""
    energies = pq.read_table(data / "mp_energies_union.parquet", columns=["material_id", LEARNT])
    learnt = pc.filter(energies["material_id"], pc.is_valid(energies[LEARNT]))
    columns = ["material_id", "numbers", "lattice", "frac_coords"]
    dump = pq.read_table(data / "mp_v2023_11_1.parquet", columns=[*columns, "nsites"])
    dump = dump.filter(pc.and_(pc.is_in(dump["material_id"], learnt), pc.less_equal(dump["nsites"], LARGEST)))
    known = {structure_type(row) for batch in dump.to_batches(4096) for row in batch.to_pylist()}
    phases = pq.read_table(folder / "phases.parquet", columns=columns).to_pylist()
    kinds = {row["material_id"]: structure_type(row) for row in phases}
    new = sorted(material for material, kind in kinds.items() if kind is not None and kind not in known)
    (folder / "new_types.csv").write_text("".join(f"{material}\n" for material in new))
    print(f"{len(known):,} structure types learnt; {len(new):,} of {len(kinds):,} crystals are of none of them")


def structure_type(row: dict) -> tuple | None:
    """Space group, and the Wyckoff letters of each element, whichever elements they are; ``None``: moyo fails."""
    try:
        found = find_symmetry(
            np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3)), row["numbers"], 0.1
        )
    except SymmetryError:
        return None
    letters = defaultdict(list)
    for first in sorted(set(found.orbits)):
        letters[row["numbers"][first]].append(found.wyckoffs[first])
    return found.number, tuple(sorted("".join(sorted(each)) for each in letters.values()))


# ---------------------------------------------------------------------------------------------- distances


def distances(folder: Path) -> None:
    """Write ``distances.csv``: each crystal above the hull of all others, by the database and by the potentials."""
    phases = pq.read_table(folder / "phases.parquet").to_pylist()
    of_system: dict[frozenset[str], dict[str, dict]] = defaultdict(dict)
    for row in phases:
        row["formula"] = formula_of_atoms(to_atoms(row))
        row["symbols"] = frozenset(chemical_symbols[z] for z in row["numbers"])
        of_system[row["symbols"]][row["material_id"]] = row
    judges = {"database": {row["material_id"]: row["known"] for row in phases}}
    for path in sorted(folder.glob("energies-*.csv")):
        judges[path.stem.removeprefix("energies-")] = read_energies(path)
    out = {}
    for name, energy in judges.items():
        for system, members in of_system.items():
            if len(system) < 2:
                continue
            inside = {m: row for part in subsets(system) for m, row in of_system.get(part, {}).items()}
            # a potential that has not come to a system yet knows only a part of it
            if not all(m in energy for m in inside):
                continue
            own = {m: row for m, row in members.items() if np.isfinite(energy[m])}
            hull = [(m, row["formula"], energy[m]) for m, row in inside.items() if row["in_hull"]]
            hull = [entry for entry in hull if np.isfinite(entry[2])]
            for m, height in above_others(own, hull, energy, system).items():
                out.setdefault(m, {})[name] = height
    every = {row["material_id"]: row for row in phases}
    with (folder / "distances.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["material_id", "system", "n_atoms", "learnt", "converted", *judges])
        for m in sorted(out):
            row = every[m]
            facts = ["-".join(sorted(row["symbols"])), len(row["numbers"]), int(row["learnt"]), int(row["converted"])]
            writer.writerow([m, *facts, *(f"{out[m][j]:.6f}" if j in out[m] else "" for j in judges)])
    print(f"{len(out):,} crystals")


def above_others(own: dict[str, dict], hull: list, energy: dict[str, float], system: frozenset[str]) -> dict:
    """Distance of some crystals of a system to the hull of all others, eV/atom."""
    whole = Hull([(formula, e) for _, formula, e in hull], sorted(system))
    stable = set(whole.stable_formulas)
    lowest: dict[str, float] = {}
    for _, formula, e in hull:
        lowest[formula] = min(e, lowest.get(formula, np.inf))
    found = {}
    for m, row in own.items():
        formula, without = row["formula"], whole
        # only what the hull stands on changes it by leaving
        if formula in stable and energy[m] <= lowest[formula]:
            without = Hull([(f, e) for other, f, e in hull if other != m], sorted(system))
        found[m] = float(without.energy_above_hull([formula], [energy[m]])[0])
    return found


# -------------------------------------------------------------------------------------------------- table

FOLDS = 5
LEANS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
"""Tried for :attr:`.Errors.lean` and :attr:`.Errors.weight`."""
TRIMMED = 0.02
"""Share of the largest errors that a mean is taken without: there the database's energy is often not that of its
geometry (of mp-1078815, NbSe, M3GNet and SevenNet agree within 0.01 eV/atom, and differ from it by 0.38)."""
FEWEST = 30
"""Crystals with an element; below it none is left out by itself."""
SCALE_LEVEL = 0.8
"""The scale of a class is this quantile of its absolute errors."""


@dataclass(frozen=True)
class Sample:
    """Crystals that M3GNet has not learnt from, with the errors of crystals that no potential knows."""

    systems: list[frozenset[str]]
    """Elements of each crystal, (N,)."""
    kinds: np.ndarray
    """Class of chemistry, (N,)."""
    first: np.ndarray
    """Distance by the potential, (N,) eV/atom."""
    second: np.ndarray
    """Distance by the second judge; the potential's where there is none, (N,) eV/atom."""
    database: np.ndarray
    """Distance by DFT, (N,) eV/atom."""
    sizes: np.ndarray
    """Atoms in the cell, (N,)."""
    new_type: np.ndarray
    """Whether M3GNet has learnt no crystal of this structure type, (N,)."""

    def part(self, some: np.ndarray) -> "Sample":
        """Some of the crystals.

        :param some: a mask, (N,).
        """
        systems = [system for system, taken in zip(self.systems, some, strict=True) if taken]
        rest = (self.kinds, self.first, self.second, self.database, self.sizes, self.new_type)
        return Sample(systems, *(values[some] for values in rest))


def read_distances(folder: Path) -> dict[str, np.ndarray]:
    """Columns of ``distances.csv``."""
    with (folder / "distances.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        text = name in ("material_id", "system")
        columns[name] = np.array(values if text else [float(v) if v else np.nan for v in values])
    new = set((folder / "new_types.csv").read_text().split())
    columns["new_type"] = np.array([material in new for material in columns["material_id"]])
    return columns


def judged(columns: dict[str, np.ndarray], learnt: bool = False) -> np.ndarray:
    """Which crystals count, (N,): those whose energy is the database's own, and that M3GNet has (not) learnt from."""
    return (columns["learnt"] == learnt) & (columns["converted"] == 0)


def mean_error(errors: np.ndarray) -> float:
    """Mean absolute error, the largest left out, eV/atom."""
    sizes = np.sort(np.abs(errors[np.isfinite(errors)]))
    return float(sizes[: len(sizes) - int(TRIMMED * len(sizes))].mean())


def factors(columns: dict[str, np.ndarray]) -> dict[str, float]:
    """By what the errors of each potential are multiplied, so that they are those of crystals it never saw."""
    some = judged(columns)
    return {
        name: published / mean_error((columns[name] - columns["database"])[some])
        for name, published in PUBLISHED.items()
        if name in columns
    }


def sample(columns: dict[str, np.ndarray], first: str, second: str | None) -> Sample:
    """Crystals that both potentials have judged."""
    multiplied, known = factors(columns), columns["database"]
    heights = [known + multiplied[name] * (columns[name] - known) for name in (first, second or first)]
    some = judged(columns) & np.isfinite(heights[0]) & np.isfinite(heights[1])
    systems = [frozenset(system.split("-")) for system in columns["system"]]
    kinds = np.array([chemistry(system) for system in systems])
    return Sample(systems, kinds, *heights, known, columns["n_atoms"], columns["new_type"]).part(some)


def fitted(rows: Sample, ratios: dict[str, float], lean: float, weight: float) -> Errors:
    """Scales and quantiles.

    :param ratios: of the classes' scales to that of all.
    """
    all_together = float(np.quantile(np.abs(rows.database - rows.first), SCALE_LEVEL))
    scales = {name: all_together * ratio for name, ratio in ratios.items()}
    known = Errors(scales, lean, weight, np.zeros(len(LEVELS)))
    z = np.sort(reduced(rows, known))
    # of n + 1 crystals, the new one among them: ends move outwards
    n = len(z)
    ranks = [np.floor((n + 1) * q) if q < 0.5 else np.ceil((n + 1) * q) for q in LEVELS]
    return replace(known, quantiles=z[np.clip(np.array(ranks, dtype=int) - 1, 0, n - 1)])


def class_ratios(rows: Sample) -> dict[str, float]:
    """Scale of the error of each class of chemistry, over that of all."""
    size = np.abs(rows.database - rows.first)
    whole = np.quantile(size, SCALE_LEVEL)
    return {name: float(np.quantile(size[rows.kinds == name], SCALE_LEVEL) / whole) for name in CLASSES}


def scales_of(rows: Sample, known: Errors) -> np.ndarray:
    """Scale of each crystal's error, (N,) eV/atom."""
    return np.hypot([known.scales[kind] for kind in rows.kinds], known.weight * (rows.second - rows.first))


def reduced(rows: Sample, known: Errors) -> np.ndarray:
    """What is left of the error, over its scale, (N,)."""
    return (rows.database - rows.first - known.lean * (rows.second - rows.first)) / scales_of(rows, known)


def width(rows: Sample, known: Errors) -> float:
    """Mean width of the intervals, eV/atom."""
    return float(scales_of(rows, known).mean() * (known.quantile(0.95) - known.quantile(0.05)))


def best(rows: Sample, ratios: dict[str, float], second: str | None) -> Errors:
    """With the lean and the weight that make intervals shortest."""
    tried = [fitted(rows, ratios, a, w) for a in LEANS for w in WEIGHTS] if second else [fitted(rows, ratios, 0, 0)]
    return min(tried, key=lambda known: width(rows, known))


def inside(rows: Sample, known: Errors) -> np.ndarray:
    """Which crystals DFT puts into their interval, (N,)."""
    z = reduced(rows, known)
    return (known.quantile(0.05) <= z) & (z <= known.quantile(0.95))


def left_out(rows: Sample, new: Sample, second: str | None) -> tuple[np.ndarray, dict[str, float]]:
    """Which crystals lie in an interval made without their part of chemistry.

    :param new: of :data:`REFERENCE` alone, for the classes; the same part is left out of it.
    :returns: with a fifth of the chemical systems left out in turn, (N,); and the share for each element, all
        crystals that hold it left out.
    """
    held = np.zeros(len(rows.systems), dtype=bool)
    of_rows, of_new = fold(rows), fold(new)
    for k in range(FOLDS):
        test = of_rows == k
        known = best(rows.part(~test), class_ratios(new.part(of_new != k)), second)
        held[test] = inside(rows.part(test), known)
    shares = {}
    for element in sorted(set().union(*rows.systems)):
        test, rest = with_element(rows, element), ~with_element(new, element)
        # without oxygen there is no class of oxides to learn from
        if test.sum() >= FEWEST and set(new.kinds[rest]) == set(CLASSES):
            known = best(rows.part(~test), class_ratios(new.part(rest)), second)
            shares[element] = float(inside(rows.part(test), known).mean())
    return held, shares


def fold(rows: Sample) -> np.ndarray:
    """The part of the chemical systems that each crystal belongs to, (N,)."""
    names = ["-".join(sorted(system)) for system in rows.systems]
    return np.array([int(hashlib.sha256(name.encode()).hexdigest(), 16) % FOLDS for name in names])


def with_element(rows: Sample, element: str) -> np.ndarray:
    """Which crystals hold an element, (N,)."""
    return np.array([element in system for system in rows.systems])


def table(folder: Path) -> None:
    """Write the table, print what it is worth."""
    columns = read_distances(folder)
    names = [name for name in PUBLISHED if name in columns]
    print_errors(columns, names)
    new = sample(columns, REFERENCE, None)
    print_quantiles(columns, new)
    ratios = class_ratios(new)
    lines = []
    print(
        "\n| potential | second judge | crystals | lean | weight | mean width | systems left out | elements left out |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        for second in (None, *(other for other in names if other != name)):
            rows = sample(columns, name, second)
            known = best(rows, ratios, second)
            held, shares = left_out(rows, new, second)
            spread = list(shares.values())
            lines.append(line(name, second or "", len(rows.systems), known))
            elements = f"{np.mean(spread):.1%}, {min(spread):.0%} to {max(spread):.0%}" if spread else ""
            print(
                f"| {name} | {second or ''} | {len(held):,} | {known.lean:g} | {known.weight:g}"
                f" | {width(rows, known):.3f} | {held.mean():.1%} | {elements} |",
                flush=True,
            )
    with confidence.FILE.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            ["potential", "second_potential", "n", *CLASSES, "lean", "weight", *(f"z{level:g}" for level in LEVELS)]
        )
        writer.writerows(lines)
    confidence.errors.cache_clear()
    print_parts(columns, names, new)
    print_transfer(columns)
    print_checks()


def line(name: str, second: str, n: int, known: Errors) -> list:
    """A row of the file."""
    scales = [f"{known.scales[kind]:.4f}" for kind in CLASSES]
    return [name, second, n, *scales, f"{known.lean:g}", f"{known.weight:g}", *(f"{z:.3f}" for z in known.quantiles)]


def print_errors(columns: dict[str, np.ndarray], names: list[str]) -> None:
    """Errors as they were measured."""
    multiplied = factors(columns)
    heads = ("potential", "learnt by M3GNet", "crystals", "mean error", "5 %", "median", "95 %", "published", "factor")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in names:
        for learnt in (False, True):
            off = (columns["database"] - columns[name])[judged(columns, learnt)]
            off = off[np.isfinite(off)]
            ends = " | ".join(f"{q:+.3f}" for q in np.quantile(off, [0.05, 0.5, 0.95]))
            last = " | |" if learnt else f" {PUBLISHED[name]:.3f} | {multiplied[name]:.2f} |"
            print(f"| {name} | {'yes' if learnt else 'no'} | {len(off):,} | {mean_error(off):.4f} | {ends} |{last}")


def parts() -> dict[str, Callable[[Sample], np.ndarray]]:
    """Names of parts of a sample, and functions that tell which crystals belong to them, (N,)."""
    found: dict[str, Callable[[Sample], np.ndarray]] = {}
    for kind in CLASSES:
        found[kind] = lambda rows, kind=kind: rows.kinds == kind
    for low, high in ((1, 4), (5, 8), (9, 16), (17, LARGEST)):
        found[f"{low} to {high} atoms"] = lambda rows, a=low, b=high: (rows.sizes >= a) & (rows.sizes <= b)
    found["structure type learnt"] = lambda rows: ~rows.new_type
    found["structure type new"] = lambda rows: rows.new_type
    return found


def print_quantiles(columns: dict[str, np.ndarray], new: Sample) -> None:
    """Errors of the reference as measured, by class, size and structure type."""
    error = (new.database - new.first) / factors(columns)[REFERENCE]
    print("\n| | crystals | mean error | 5 % | 25 % | median | 75 % | 95 % |\n|---|---|---|---|---|---|---|---|")
    for text, which in parts().items():
        off = error[which(new)]
        ends = " | ".join(f"{q:+.3f}" for q in np.quantile(off, [0.05, 0.25, 0.5, 0.75, 0.95]))
        print(f"| {text} | {len(off):,} | {mean_error(off):.3f} | {ends} |")


def print_parts(columns: dict[str, np.ndarray], names: list[str], new: Sample) -> None:
    """Coverage by class and size, systems left out; and whether the probabilities are right."""
    print("\n| | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    found = {}
    for name in names:
        rows = sample(columns, name, None)
        found[name] = rows, left_out(rows, new, None)[0]
    for text, which in parts().items():
        shares = [(held[which(rows)].mean(), which(rows).sum()) for rows, held in found.values()]
        print(f"| {text} | " + " | ".join(f"{share:.0%} of {n:,}" for share, n in shares) + " |")
    print("\n| told that DFT puts it within 0.05 eV/atom | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for low, high in pairwise((0, 0.2, 0.4, 0.6, 0.8, 1.01)):
        cells = []
        for name in names:
            rows = sample(columns, name, None)
            known = best(rows, class_ratios(new), None)
            told = [
                known.share_below((NEAR_HULL - h) / known.scales[kind])
                for h, kind in zip(rows.first, rows.kinds, strict=True)
            ]
            some = (np.array(told) >= low) & (np.array(told) < high)
            near = (rows.database[some] <= NEAR_HULL).mean() if some.any() else np.nan
            cells.append(f"{near:.0%} of {some.sum():,}")
        print(f"| {low:.0%} to {min(high, 1):.0%} | " + " | ".join(cells) + " |")


def print_transfer(columns: dict[str, np.ndarray]) -> None:
    """Whether errors on learnt crystals, multiplied, tell those on others: M3GNet has both."""
    name = REFERENCE
    off = columns[name] - columns["database"]
    new, old = judged(columns), judged(columns, learnt=True)
    ratio = mean_error(off[new]) / mean_error(off[old])
    known = columns["database"]
    systems = [frozenset(system.split("-")) for system in columns["system"]]
    kinds = np.array([chemistry(system) for system in systems])
    learnt = Sample(
        systems,
        kinds,
        known + ratio * (columns[name] - known),
        columns[name],
        known,
        columns["n_atoms"],
        columns["new_type"],
    )
    learnt = replace(learnt, second=learnt.first)
    others = replace(learnt, first=columns[name], second=columns[name])
    finite = np.isfinite(columns[name])
    fit = learnt.part(old & finite)
    test = others.part(new & finite)
    share = inside(test, best(fit, class_ratios(fit), None)).mean()
    print(
        f"\nFrom {len(fit.systems):,} learnt crystals, errors times {ratio:.2f}: "
        f"{share:.1%} of {len(test.systems):,} others"
    )


def tell(count: list[int], found: confidence.Confidence, truth: float) -> bool:
    """Count whether DFT's distance lies in an interval."""
    assert found.low is not None
    assert found.high is not None
    held = found.low <= truth <= found.high
    count[0] += held
    count[1] += 1
    return held


CHECKS = Path(__file__).with_name("calibration_checks.csv")
"""Generated crystals that GPAW (PBE) has judged."""


def print_checks() -> None:
    """Generated crystals that DFT has judged: whether they lie in their intervals."""
    with CHECKS.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    print("\n| crystal | DFT | potential | second judge | interval alone | with the second | near the hull, odds |")
    print("|---|---|---|---|---|---|---|")
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        heights = {name: float(row[name]) for name in PUBLISHED if row.get(name)}
        truth = float(row["dft"])
        for name, height in heights.items():
            alone = confidence.confidence(name, row["formula"], height)
            tell(counts[name, ""], alone, truth)
            for second, other in heights.items():
                if second == name:
                    continue
                both = confidence.confidence(name, row["formula"], height, second, other)
                held = tell(counts[name, second], both, truth)
                print(
                    f"| {row['formula']} {row['spacegroup']}, {row['geometry']} | {truth:+.3f} | {name} {height:+.3f}"
                    f" | {second} {other:+.3f} | {alone.low:+.2f} to {alone.high:+.2f}"
                    f" | {both.low:+.2f} to {both.high:+.2f}{'' if held else ' **outside**'}"
                    f" | {alone.probability_near_hull:.2f}, {both.probability_near_hull:.2f} |"
                )
    for (name, second), (held, n) in counts.items():
        print(f"\n{name}{f' beside {second}' if second else ''}: {held} of {n} in their intervals")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    first = parts.add_parser("choose", help="chemical systems and their phases")
    types = parts.add_parser("types", help="which phases are of a structure type that M3GNet has not learnt")
    second = parts.add_parser("energies", help="energies by a potential")
    third = parts.add_parser("distances", help="distances to the hull")
    fourth = parts.add_parser("table", help="hull_errors.csv, and the tables of the documentation")
    for part in (first, types, second, third, fourth):
        part.add_argument("folder", type=Path, help="where results are kept")
    for part in (first, types):
        part.add_argument("data", type=Path, help="folder of the database")
    first.add_argument("--systems", type=int, default=500)
    second.add_argument("potential", help="name of potential.name, or m3gnet=FOLDER")
    second.add_argument("--atoms", type=int, default=40000, help="at least so many")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable()
    if given.part == "choose":
        choose(given.folder, given.data, given.systems)
    elif given.part == "types":
        structure_types(given.folder, given.data)
    elif given.part == "energies":
        energies(given.folder, given.potential, given.atoms)
    elif given.part == "distances":
        distances(given.folder)
    else:
        table(given.folder)


if __name__ == "__main__":
    main()
