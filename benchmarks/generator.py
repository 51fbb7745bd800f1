"""How good a generator is, beside what it has to beat. Writes a JSON file, prints a table.

    python benchmarks/generator.py cgwgan_core/data/generator.ckpt results/data/training.parquet --output generator.json

For every seed, n templates are drawn from the checkpoint and from each reference, and judged by
:func:`cgwgan_core.quality.judge`, whose docstring defines every figure:

- ``real``: structures of the training side drawn with replacement: what no generator can surpass but in novelty;
- ``jittered``: retrieval, the same with noise on coordinates and lattice;
- ``independent``: every part of a template drawn by itself from the training side;
- ``pyxtal``: random crystals of PyXtal, with groups, elements and numbers of atoms of training structures. It
  takes longer than all else, hence a smaller number. A composition it finds no crystal for is a failed draw.

Distributions are compared with the training side and, in a second table, with the held-out side of the split,
which has other coarse keys by construction. Figures are means over the seeds with the half width of the 95 %
interval.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cgwgan_core import tables
from cgwgan_core.baselines import independent, jittered
from cgwgan_core.crystal import Templates
from cgwgan_core.fingerprint import coarse_keys, fingerprints
from cgwgan_core.gan import BOLDNESS, load_generator
from cgwgan_core.quality import Draws, Facts, interval, judge
from cgwgan_core.sampling import sample
from cgwgan_core.spacegroups import letter_index
from cgwgan_core.templates import TemplateOptions

ROWS = {
    "symmetric": "requested group or supergroup",
    "valid": "valid: distances ≥ 1 Å",
    "usable": "usable: and ≤ 40 atoms, 0.01-0.25 Å⁻³",
    "density_overlap": "number-density overlap",
    "tv_spacegroup": "space groups, total variation",
    "js_spacegroup": "space groups, Jensen-Shannon distance",
    "tv_crystal_system": "crystal systems, total variation",
    "tv_n_atoms": "atoms per cell, total variation",
    "tv_letters": "letters given the group, total variation",
    "density_overlap_distinct": "number-density overlap, distinct templates",
    "tv_spacegroup_distinct": "space groups, total variation, distinct templates",
    "distinct_1000": "distinct usable per 1,000 draws, first 1,000",
    "distinct": "distinct usable per 1,000 draws, all",
    "novel": "novel share of distinct coarse keys",
    "novel_fingerprints": "novel share of distinct fingerprints",
    "recall": "recall of held-out coarse keys",
    "recall_fingerprints": "recall of held-out fingerprints",
    "memorised": "usable draws with a fingerprint of the training side",
    "seconds": "seconds per 1,000 draws",
}


def known(table: pa.Table) -> Draws:
    """Structures of the training table; keys are computed again, as they are for draws."""
    templates = Templates.from_table(table)
    distances = np.full(len(templates), np.inf)  # they define what is real; judge() never asks for theirs
    facts = Facts.from_templates(templates, fingerprints(templates))
    return Draws(facts, np.array(coarse_keys(templates)), distances, np.ones(len(templates), dtype=bool))


def pyxtal_random(rows: pa.Table, seed: int) -> tuple[Templates, list[int]]:
    """A random crystal of PyXtal for each row's group, elements and numbers of atoms.

    :returns: the crystals it found, and the places of the rows it found none for or whose sites are too many.
    """
    from pyxtal import pyxtal

    found: list[Templates] = []
    failed: list[int] = []
    width = max(len(x) for x in rows["letters"].to_pylist())
    for i, row in enumerate(rows.to_pylist()):
        crystal = pyxtal()
        try:
            crystal.from_random(
                3, row["spacegroup"], row["elements"], row["multiplicities"], max_count=3, random_state=seed + i
            )
        except Exception:
            crystal.valid = False
        sites = crystal.atom_sites if crystal.valid else []
        if not 0 < len(sites) <= width:
            failed.append(i)
            continue
        letters, coords = np.full((1, width), -1, dtype=np.int8), np.zeros((1, width, 3))
        for k, site in enumerate(sites):
            letters[0, k], coords[0, k] = letter_index(site.wp.letter), site.position
        found.append(Templates(np.array([row["spacegroup"]], np.int16), cell(crystal), letters, coords).projected())
    return Templates.concat(found), failed


def cell(crystal: "pyxtal") -> np.ndarray:  # noqa: F821
    """a, b, c, alpha, beta, gamma of a PyXtal crystal, (1, 6)."""
    return np.array([crystal.lattice.get_para(degree=True)], dtype=float)


def with_failures(draws: Draws, failed: pa.Table) -> Draws:
    """Draws, and after them those that failed: neither valid nor symmetric, with no density and no key."""
    n = failed.num_rows
    facts = draws.facts
    return Draws(
        Facts(
            np.concatenate([facts.spacegroup, failed["spacegroup"].to_numpy()]),
            np.concatenate([facts.n_atoms, failed["n_atoms"].to_numpy()]),
            np.concatenate([facts.number_density, np.zeros(n)]),
            np.concatenate([facts.fingerprint, np.full(n, "none")]),
        ),
        np.concatenate([draws.coarse, np.full(n, "none")]),
        np.concatenate([draws.min_distance, np.zeros(n)]),
        np.concatenate([draws.symmetric, np.zeros(n, dtype=bool)]),
    )


def measure(
    checkpoint: str,
    training: str,
    samples: int,
    seeds: int,
    boldness: float,
    pyxtal_samples: int,
    only: str | None,
) -> dict[str, dict[str, dict[str, tuple[float, float]]]]:
    """Reference side -> generator -> figure -> mean and half width.

    :param pyxtal_samples: crystals of PyXtal for each seed; 0 leaves it out.
    :param only: "generator" or "references", to judge the checkpoint or the others alone.
    """
    table = tables.read(training, tables.TRAINING)
    sides = {name: table.filter(pc.field("split") == name) for name in ("train", "held-out")}
    real = {name: known(side) for name, side in sides.items()}
    learnt = Templates.from_table(sides["train"])
    model = load_generator(checkpoint)
    options = TemplateOptions()

    def drawn(make: Callable[[], Templates]) -> tuple[Draws, float]:
        start = time.perf_counter()
        templates = make()
        seconds = time.perf_counter() - start
        return Draws.of(templates), 1000 * seconds / len(templates)

    figures: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in sides}
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        sets = {}
        if only != "references":
            sets["generator"] = drawn(lambda seed=seed: sample(model, samples, seed, boldness))
        if only != "generator":
            sets["real"] = drawn(lambda random=random: learnt[random.integers(len(learnt), size=samples)])
            sets["jittered"] = drawn(lambda random=random: jittered(learnt, samples, random))
            sets["independent"] = drawn(lambda random=random: independent(learnt, samples, random))
        if pyxtal_samples and only != "generator":
            rows = sides["train"].take(random.integers(len(learnt), size=pyxtal_samples))
            start = time.perf_counter()
            crystals, failed = pyxtal_random(rows, seed * pyxtal_samples)
            seconds = 1000 * (time.perf_counter() - start) / pyxtal_samples
            sets["pyxtal"] = with_failures(Draws.of(crystals), rows.take(pa.array(failed, pa.int64()))), seconds
        for side, reference in real.items():
            for name, (draws, seconds) in sets.items():
                row = judge(draws, reference, real["train"], real["held-out"], options)
                figures[side].setdefault(name, []).append({**row, "seconds": seconds})
        print(f"seed {seed} done", file=sys.stderr)
    return {
        side: {name: {key: interval([row[key] for row in rows]) for key in ("n", *ROWS)} for name, rows in sets.items()}
        for side, sets in figures.items()
    }


def markdown(figures: dict[str, dict[str, tuple[float, float]]]) -> str:
    """One side's figures as a table."""
    names = list(figures)
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    lines.append("| draws per seed | " + " | ".join(f"{figures[name]['n'][0]:,.0f}" for name in names) + " |")
    for key, meaning in ROWS.items():
        digits = 0 if key.startswith("distinct") else 3
        cells = (f"{mean:.{digits}f} ± {half:.{digits}f}" for mean, half in (figures[name][key] for name in names))
        lines.append(f"| {meaning} | {' | '.join(cells)} |")
    return "\n".join(lines)


def growth(checkpoint: str, training: str, samples: int, boldness: float) -> list[dict[str, float]]:
    """How distinct templates, novelty and recall grow with the number of draws, one seed.

    :returns: one row for 1,000, 2,000, 5,000, ... up to ``samples`` draws.
    """
    table = tables.read(training, tables.TRAINING)
    train, held_out = (known(table.filter(pc.field("split") == name)) for name in ("train", "held-out"))
    drawn = Draws.of(sample(load_generator(checkpoint), samples, 0, boldness))
    steps = [m * 10**e for e in range(3, 9) for m in (1, 2, 5) if m * 10**e < samples]
    rows = []
    for n in [*steps, samples]:
        part = Draws(drawn.facts[:n], drawn.coarse[:n], drawn.min_distance[:n], drawn.symmetric[:n])
        row = judge(part, train, train, held_out, TemplateOptions())
        names = ("novel", "novel_fingerprints", "recall", "recall_fingerprints")
        rows.append({"draws": n, "distinct": round(row["distinct"] * n / 1000), **{k: row[k] for k in names}})
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("training", help="training table of a run, with the split the checkpoint was trained with")
    parser.add_argument("--samples", type=int, default=10_000, help="draws for each seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--boldness", type=float, default=BOLDNESS, help="of the draws, see config.yaml")
    parser.add_argument("--pyxtal", type=int, default=300, help="crystals of PyXtal for each seed")
    parser.add_argument("--only", choices=["generator", "references"], help="judge these alone")
    parser.add_argument("--growth", type=int, help="measure the growth up to so many draws instead")
    parser.add_argument("--output", help="JSON file")
    given = parser.parse_args()
    if given.growth:
        found = growth(given.checkpoint, given.training, given.growth, given.boldness)
        for row in found:
            print("  ".join(f"{k} {v:,.3f}" if isinstance(v, float) else f"{k} {v:,}" for k, v in row.items()))
    else:
        found = measure(
            given.checkpoint,
            given.training,
            given.samples,
            given.seeds,
            given.boldness,
            given.pyxtal,
            given.only,
        )
        for side, figures in found.items():
            print(f"\nDistributions against the {side} side\n\n{markdown(figures)}")
    if given.output:
        Path(given.output).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
