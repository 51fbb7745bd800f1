"""What the crystallography of ``cgwgan_core`` achieves, measured on a database and against other programs.

    python benchmarks/crystallography.py structures.parquet --generator generator.ckpt

Reads a structures table (``results/data/structures.parquet``), generates templates with a trained generator
(``results/model/generator.ckpt``), and prints the tables of ``docs/benchmarks/crystallography.md``. The asymmetric
units are made by two processes and their time is that elapsed; all else is done by one process, and times are those of
the processor.
"""

import argparse
import resource
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from ase import Atoms
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.optimization.neighbors import find_points_in_spheres

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.fingerprint import fingerprints, isopointal_types
from cgwgan_core.crystallography.matching import Distinct, Tolerances
from cgwgan_core.crystallography.structures import atoms_to_structure, row_to_atoms
from cgwgan_core.crystallography.symmetry import TIGHT, find_symmetry
from cgwgan_core.crystallography.templates import Templates, decorate, expand
from cgwgan_core.database.asymmetric_units import asymmetric_units
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.sampling import CHUNK, sample
from cgwgan_core.generator.selection import TemplateOptions, select
from cgwgan_core.workflow import tables

SYMPREC = 0.1
ELEMENTS = ("Ba", "Ru", "O", "Ti", "F", "Na", "Cl", "Mg", "K", "S", "Li", "Al", "Si", "P", "Zn", "Zr")


@dataclass
class Report:
    """Lines of the table as they are measured."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def add(self, what: str, measured: str) -> None:
        """Print a line, and keep it."""
        print(f"| {what} | {measured} |", flush=True)
        self.lines.append((what, measured))


# ------------------------------------------------------------------------------- structures to sites and back


def round_trip(structures: Path, report: Report, sample_size: int, rng: np.random.Generator) -> pa.Table:
    """Structure to asymmetric unit to structure, for all; returns the asymmetric units."""
    start = time.perf_counter()
    parts, refused = [], []
    for kept, bad in asymmetric_units(structures, SYMPREC, threads=2):
        parts.append(tables.to_table(kept, tables.ASU))
        refused += bad
    seconds = time.perf_counter() - start
    asu = pa.concat_tables(parts)
    total = asu.num_rows + len(refused)
    report.add("structures read", f"{total:,}")
    report.add("asymmetric units kept, refused", f"{asu.num_rows:,}, {len(refused):,} ({len(refused) / total:.4%})")
    for reason, count in Counter(row["reason"] for row in refused).most_common(3):
        report.add("refused", f"{count}: {reason}")
    groups = asu["spacegroup"].to_numpy()
    report.add("space groups present", f"{len(np.unique(groups))}")
    report.add("time for all of them, two processes", f"{seconds:.0f} s")

    chosen = set(_stratified(groups, asu["n_atoms"].to_numpy(), sample_size, rng).tolist())
    matchers = [StructureMatcher(scale=False), StructureMatcher(scale=False, primitive_cell=False)]
    counts: Counter[str] = Counter()
    failed: list[str] = []
    worst_volume, shifts, matched_groups = 0.0, [], set()
    for i, (before, after) in enumerate(_pairs(structures, asu)):
        counts["composition"] += _reduced(before) == _reduced(after)
        change = abs(after.get_volume() / len(after) / (before.get_volume() / len(before)) - 1)
        worst_volume = max(worst_volume, change)
        shifts.append(distance_shift(before, after))
        if i not in chosen:
            continue
        first, second = atoms_to_structure(before), atoms_to_structure(after)
        counts["compared"] += 1
        matched_groups.add(int(groups[i]))
        if matchers[0].fit(first, second) or matchers[1].fit(moyo_primitive(before), second):
            counts["matched"] += 1
        else:
            failed.append(asu["material_id"][i].as_py())
    report.add("same composition", f"{counts['composition']:,} of {asu.num_rows:,}")
    report.add("largest change of the volume per atom", f"{worst_volume:.2%}")
    quantiles = np.quantile(shifts, [0.5, 0.99, 1.0])
    report.add(
        "change of sorted interatomic distances below 5 Å: median, 99 %, largest",
        ", ".join(f"{value:.3f}" for value in quantiles) + " Å",
    )
    report.add(
        f"of these within {2 * SYMPREC} Å, twice the tolerance", f"{np.mean(np.array(shifts) < 2 * SYMPREC):.3%}"
    )
    report.add(
        "`StructureMatcher.fit(scale=False)`, stratified sample",
        f"{counts['matched']:,} of {counts['compared']:,}, {len(matched_groups)} space groups"
        + (f"; not: {', '.join(failed[:5])}" if failed else ""),
    )
    return asu


def _pairs(structures: Path, asu: pa.Table) -> Iterator[tuple[Atoms, Atoms]]:
    """Each structure as read, and as its asymmetric unit gives it."""
    templates = Templates.from_table(asu)
    ids, elements = asu["material_id"].to_pylist(), asu["elements"].to_pylist()
    columns = ("material_id", "lattice", "numbers", "frac_coords")
    i = 0
    for batch in tables.read_batches(structures, tables.STRUCTURES, rows=500, columns=columns):
        records = batch.to_pylist()
        kept = set(ids[i : i + len(records)])
        records = [r for r in records if r["material_id"] in kept]
        part = slice(i, i + len(records))
        back = decorate(templates[part], elements[part], np.ones(len(records)))
        for record, after in zip(records, back, strict=True):
            assert record["material_id"] == ids[i]
            yield (
                row_to_atoms(record),
                after,
            )
            i += 1


def _stratified(
    groups: NDArray[np.int16], atoms: NDArray[np.int32], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """About ``size`` rows, as equally from all groups as they allow; of cells that take long, as few as possible."""
    order = rng.permutation(len(groups))
    order = order[np.argsort(atoms[order] > 200, kind="stable")]
    rank = np.empty(len(groups), dtype=np.int64)
    for number in np.unique(groups):
        members = order[groups[order] == number]
        rank[members] = np.arange(len(members))
    return np.sort(order[np.argsort(rank[order], kind="stable")][:size])


def _reduced(atoms: Atoms) -> tuple[tuple[int, int], ...]:
    counts = Counter(atoms.numbers.tolist())
    divisor = np.gcd.reduce(list(counts.values()))
    return tuple(sorted((z, int(n // divisor)) for z, n in counts.items()))


def distance_shift(before: Atoms, after: Atoms) -> float:
    """Largest difference between sorted interatomic distances below 5 Å, Å; cells may hold multiples of atoms."""
    multiple = len(before) // len(after), len(after) // len(before)
    first, second = (np.repeat(_distances(a), max(m, 1)) for a, m in ((before, multiple[1]), (after, multiple[0])))
    # distances that lie at the end of the range may be within it for one only
    count = min(len(first), len(second))
    return float(np.abs(np.sort(first)[:count] - np.sort(second)[:count]).max(initial=0))


def _distances(atoms: Atoms) -> NDArray[np.float64]:
    positions = atoms.get_positions(wrap=True)
    found = find_points_in_spheres(positions, positions, 5.0, np.array([1, 1, 1]), atoms.cell[:], tol=1e-4)
    return found[3][found[3] > 1e-4]


def moyo_primitive(atoms: Atoms) -> Structure:
    """The primitive cell at the tolerance of the round trip, not refined."""
    found = find_symmetry(atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers, SYMPREC).prim_std_cell
    return Structure(found.basis, found.numbers, found.positions)


# ------------------------------------------------------------------------------------ templates that are one


def recognition(pool: Templates, report: Report, size: int, rng: np.random.Generator) -> None:
    """Fingerprints and distances against anonymous ``StructureMatcher``, on pairs of one isopointal type and of two."""
    types, keys = np.array(isopointal_types(pool)), np.array(fingerprints(pool))
    parts = {"within": _draw_pairs(types, size * 2 // 3, rng)}
    multiplicities = [sorted(m[m > 0].tolist()) for m in pool.multiplicities]
    alike = np.array([f"{g}:{m}" for g, m in zip(pool.spacegroup, multiplicities, strict=True)])
    atoms = np.array([f"{g}:{n}" for g, n in zip(pool.spacegroup, pool.n_atoms, strict=True)])
    for name, strata in (("multiplicities", alike), ("atoms", atoms)):
        pairs = _draw_pairs(strata, 2 * size, rng)
        parts[name] = pairs[types[pairs[:, 0]] != types[pairs[:, 1]]][: size // 6]
    pairs = np.concatenate(list(parts.values()))
    within = np.arange(len(pairs)) < len(parts["within"])

    report.add(
        "pairs of templates: of one isopointal type, across",
        f"{within.sum():,}, {(~within).sum():,} of equal space group and multiplicities or number of atoms",
    )
    decorated = _as_structures(pool, np.unique(pairs))
    for name, tolerances in (("", Tolerances()), ("its default tolerances, ", Tolerances(0.2, 5.0, 0.3))):
        ours = np.array([Distinct(tolerances).add(pool[pair[::-1]])[1] for pair in pairs])
        given = {"ltol": tolerances.length, "angle_tol": tolerances.angle, "stol": tolerances.site}
        for how, matcher in (
            ("`primitive_cell=False`", StructureMatcher(**given, primitive_cell=False)),
            ("as it comes", StructureMatcher(**given)),
        ):
            theirs = np.array([matcher.fit_anonymous(decorated[i], decorated[j]) for i, j in pairs])
            report.add(f"{name}{how}: all pairs", _agreement(ours, theirs))
            report.add(f"{name}{how}: pairs of one isopointal type", _agreement(ours[within], theirs[within]))
    by_key = keys[pairs[:, 0]] == keys[pairs[:, 1]]
    report.add("equal fingerprints are the same by `matching` at the wide tolerances", f"{ours[by_key].mean():.2%}")


def _agreement(own: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> str:
    both = int((own & theirs).sum())
    return (
        f"agree {np.mean(own == theirs):.2%}; same by both {both:,}, by ours only {int((own & ~theirs).sum())}, by"
        f" theirs only {int((~own & theirs).sum())}; of theirs found {both / max(theirs.sum(), 1):.2%}, of ours"
        f" confirmed {both / max(own.sum(), 1):.2%}; different by both {int((~own & ~theirs).sum()):,}"
    )


def _draw_pairs(strata: NDArray[np.str_], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pairs within strata, (size, 2); a stratum's chance grows with the root of its size, so that small ones count."""
    _, inverse = np.unique(strata, return_inverse=True)
    counts = np.bincount(inverse)
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])
    weights = np.where(counts > 1, np.sqrt(counts), 0)
    drawn = rng.choice(len(counts), size, p=weights / weights.sum())
    return np.array([rng.choice(members[stratum], 2, replace=False) for stratum in drawn])


def _as_structures(pool: Templates, index: NDArray[np.int64]) -> dict[int, Structure]:
    """Primitive cells, every site an element of its own."""
    part = pool[index]
    elements = [ELEMENTS[:k] for k in part.n_sites]
    return {
        int(i): atoms_to_structure(a) for i, a in zip(index, decorate(part, elements, np.ones(len(part))), strict=True)
    }


def deduplication(known: Templates, new: Templates, report: Report, size: int, rng: np.random.Generator) -> None:
    """Time to find what repeats, and how many are left, among known templates and a large set of new ones."""
    start = time.process_time()
    distinct = Distinct(Tolerances())
    repeated = distinct.add(known)
    report.add(
        "distinct among the templates of the database",
        f"{(~repeated).sum():,} of {len(known):,} ({len(set(fingerprints(known))):,} fingerprints),"
        f" {time.process_time() - start:.0f} s",
    )
    many = new[rng.integers(len(new), size=size)]
    shape = rng.normal(scale=0.1, size=many.cell[:, :3].shape)
    moved = many.coords + rng.normal(scale=0.05, size=many.coords.shape) * (many.letters >= 0)[..., None]
    many = Templates(
        many.spacegroup, many.cell * np.concatenate([np.exp(shape), np.ones_like(shape)], axis=1), many.letters, moved
    ).projected()
    start = time.process_time()
    repeated, held = Distinct(Tolerances()).add(many), distinct.holds(many)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    report.add(
        f"{size:,} templates against each other and against these {len(distinct):,}",
        f"{time.process_time() - start:.0f} s of one processor: {(~repeated).sum():,} distinct, {held.sum():,} known;"
        f" peak memory of all of this page's work {peak:.1f} GB",
    )


# ------------------------------------------------------------------------------------------------- generation


def generation(generator: Path, report: Report, batches: int, seconds_of_pyxtal: float) -> Templates:
    """Rate of valid templates, their symmetry, and PyXtal's rate for the same groups and sites; returns them."""
    model = load_generator(generator)
    options, seen = TemplateOptions(), Distinct(Tolerances())
    valid, kept, parts = [], [], []
    seconds = []
    for batch in range(batches):
        start = time.process_time()
        drawn = sample(model, CHUNK, batch)
        selection = select(drawn, options, seen)
        tables.to_table(selection.to_columns(), tables.TEMPLATES)
        seconds.append(time.process_time() - start)
        valid.append(len(selection.kept) + selection.refused["duplicate"])
        kept.append(len(selection.kept))
        parts.append((drawn[selection.kept], selection.found))
    # normalisers of the groups are found when first met, once per process
    later = slice(batches // 2, None)
    rate = sum(valid[later]) / sum(seconds[later])
    report.add("templates sampled", f"{batches * CHUNK:,}")
    report.add("valid, distinct", f"{sum(valid):,}, {sum(kept):,} (of the last batch {kept[-1] / valid[-1]:.0%})")
    report.add(
        "valid templates a second of one processor, sampled, checked and compared",
        f"{rate:,.0f} ({sum(valid) / sum(seconds):,.0f} with the start)",
    )
    templates = Templates.concat([as_drawn for as_drawn, _ in parts])
    found = Templates.concat([as_found for _, as_found in parts])
    holding = has_requested_symmetry(templates)
    larger = found.spacegroup != templates.spacegroup
    report.add(
        "have the requested space group or a supergroup, symprec 1e-3",
        f"{holding.sum():,} of {len(holding):,} ({holding.mean():.2%}), {larger.mean():.1%} in a larger one",
    )
    for given, what in ((False, "space groups and multiplicities of the sites"), (True, "the same, letters given")):
        theirs, failures = pyxtal_rate(templates, given, seconds_of_pyxtal)
        report.add(
            f"random crystals of PyXtal a second of one processor: {what}",
            f"{theirs:.1f} ({failures:.0%} of its attempts fail); ours are {rate / theirs:,.0f} times as many",
        )
    return found


def has_requested_symmetry(templates: Templates) -> NDArray[np.bool_]:
    """Whether moyo, too, finds every operation of the requested group in the expanded template, (N,)."""
    out = np.zeros(len(templates), dtype=bool)
    for group in expand(templates):
        number = int(templates.spacegroup[group.index[0]])
        basis = sg.primitive_basis(number)
        # operations act on columns of coordinates: x' = inv(basis.T) x
        to_primitive = np.linalg.inv(basis.T)
        operations = sg.operations(number)
        rotations = np.round(to_primitive @ operations[:, :, :3] @ basis.T)
        shifts = operations[:, :, 3] @ to_primitive.T
        for i, vectors, positions in zip(group.index, group.vectors, group.positions, strict=True):
            found = find_symmetry(vectors, np.mod(positions, 1.0), group.site + 1, TIGHT).operations
            same = (np.array(found.rotations) == rotations[:, None]).all(axis=(-2, -1))
            off = np.array(found.translations) - shifts[:, None]
            near = np.linalg.norm((off - np.round(off)) @ vectors, axis=-1) < TIGHT
            out[i] = (same & near).any(axis=1).all()
    return out


def pyxtal_rate(templates: Templates, letters_given: bool, seconds: float) -> tuple[float, float]:
    """Random crystals a second that PyXtal makes for groups and sites of templates, and its share of failures."""
    from pyxtal import pyxtal  # noqa: PLC0415 - takes seconds

    made = attempts = 0
    start = time.process_time()
    for i in np.random.default_rng(0).permutation(len(templates)):
        number = int(templates.spacegroup[i])
        k = int(templates.n_sites[i])
        multiplicities = templates.multiplicities[i, :k]
        letters = [[f"{m}{sg.letter_name(x)}"] for m, x in zip(multiplicities, templates.letters[i, :k], strict=True)]
        crystal = pyxtal()
        attempts += 1
        try:
            crystal.from_random(
                3,
                number,
                list(ELEMENTS[:k]),
                multiplicities.tolist(),
                sites=letters if letters_given else None,
                random_state=int(i),
            )
            made += bool(crystal.valid)
        except Exception:  # noqa: BLE001 - it raises errors of many kinds where it finds no crystal
            continue
        finally:
            elapsed = time.process_time() - start
        if elapsed > seconds:
            break
    return made / elapsed, 1 - made / attempts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", type=Path, help="table of structures, results/data/structures.parquet")
    parser.add_argument("--generator", type=Path, required=True, help="results/model/generator.ckpt")
    parser.add_argument("--pairs", type=int, default=12_000, help="pairs of templates that StructureMatcher judges")
    parser.add_argument("--matched", type=int, default=5_000, help="structures whose round trip it judges")
    parser.add_argument("--many", type=int, default=140_000, help="templates to find repeats among")
    parser.add_argument("--batches", type=int, default=4, help=f"batches of {CHUNK:,} templates to generate")
    parser.add_argument("--pyxtal", type=float, default=60.0, help="seconds given to PyXtal")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--asu", type=Path, help="results/data/asu.parquet: leaves out the round trip")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    rng, report = np.random.default_rng(options.seed), Report()
    print("| what | measured |\n|---|---|")
    if options.asu:
        asu = tables.read(options.asu, tables.ASU)
    else:
        asu = round_trip(options.structures, report, options.matched, rng)
    generated = generation(options.generator, report, options.batches, options.pyxtal)
    sites, number = asu["n_sites"].to_numpy(), asu["spacegroup"].to_numpy()
    known = Templates.from_table(asu.filter(pa.array(np.isin(sites, (3, 4)) & (number > 1))))
    first = np.sort(np.unique(np.array(fingerprints(known)), return_index=True)[1])
    pool = Templates.concat([known[first], generated])
    recognition(pool, report, options.pairs, rng)
    deduplication(known, pool, report, options.many, rng)


if __name__ == "__main__":
    main()
