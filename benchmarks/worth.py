r"""What templates are worth: crystals near the hull, and known phases found again, at equal numbers of candidates.

    python benchmarks/worth.py make flow runs/base runs/flow --candidates 20000
    snakemake results/compared.parquet --directory runs/flow --rerun-triggers mtime \
        --allowed-rules infill screen rank relax compare
    python benchmarks/worth.py table runs/wgan runs/flow runs/prototypes runs/pyxtal

``make`` takes a run that has known phases, ``runs/base``, and makes another of the same settings, whose templates are:

- ``wgan``, ``flow``: draws of the shipped generators, at the usual pseudocount, from all their space groups;
- ``flow-stable``: draws of the flow that are like structures on the hull;
- ``prototypes``: the distinct templates of the training structures, in random order: substitution into what is known;
- ``pyxtal``: PyXtal's random crystals with groups, elements and numbers of atoms of training structures.

All pass the same checks, have at least as many sites as the chemistry elements, and end with the template that gives
the last of ``--candidates``. ``table`` counts the shortlist's distinct crystals by their distance to the hull after
relaxation, and the distinct known phases that ranking or relaxation met; ``prototypes`` holds the training side's own.
"""

import argparse
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from cgwgan_core.crystallography.matching import Distinct
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.sampling import sample
from cgwgan_core.generator.scope import SHIPPED
from cgwgan_core.generator.selection import TemplateOptions, merge, select
from cgwgan_core.generator.shards import request_of
from cgwgan_core.screening.infill import InfillOptions, infill
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance

ROOT = Path(__file__).parents[1]
BATCH = 2048
MOST_SITES = 8
KEPT = ("data", "known_phases.parquet", "known_phases", "potential.json", "screening_potential.json")
"""Of the base run."""
DRAWN = {"wgan": ("wgan", None), "flow": ("flow", None), "flow-stable": ("flow", 0.0)}
"""Arms that a shipped generator draws: its kind, and the energy above the hull that it is asked for, eV/atom."""


def draws(arm: str, training: pa.Table, config: dict, options: TemplateOptions) -> Iterator[Templates]:
    """Batches of templates without end, but for ``prototypes``."""
    known = training.filter(pc.field("split") == "train")
    if arm in DRAWN:
        kind, energy = DRAWN[arm]
        model = load_generator(SHIPPED[kind])
        request = request_of(3.0, None, config["infill"]["formulas"], options, energy)
        for i in range(10**6):
            yield sample(model, BATCH, config["seed"] * 1000 + i, request)
    elif arm == "prototypes":
        order = np.random.default_rng(config["seed"]).permutation(known.num_rows)
        every = Templates.from_table(known.take(order))
        for i in range(0, len(every), BATCH):
            yield every[i : i + BATCH]
    else:
        spec = importlib.util.spec_from_file_location("generator", Path(__file__).parent / "generator.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        make = module.pyxtal_maker(known, 200)
        for i in range(10**6):
            yield make(config["seed"] * 1000 + i)


def settings(folder: Path) -> dict:
    """Defaults under a run's own settings."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    for key, value in yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")).items():
        config[key] = config[key] | value if isinstance(value, dict) and isinstance(config.get(key), dict) else value
    return config


def taken(block: dict, options: type) -> dict:
    """The keys of a block that options have."""
    return {key: value for key, value in block.items() if key in options.__dataclass_fields__}


def make(arm: str, base: Path, folder: Path, candidates: int) -> None:
    """A run's folder with templates, ready for infill."""
    (folder / "results").mkdir(parents=True)
    shutil.copy2(base / "config.yaml", folder)
    for name in (name for name in KEPT if (base / "results" / name).exists()):
        source, target = base / "results" / name, folder / "results" / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
    config = settings(folder)
    elements = config["chemistry"]
    sites = {"n_sites": tuple(range(len(elements), MOST_SITES + 1))}
    options = TemplateOptions(**(taken(config["templates"], TemplateOptions) | sites))
    filling = InfillOptions(**taken(config["infill"], InfillOptions))
    training = tables.read(folder / "results/data/training.parquet", tables.TRAINING)
    seen, parts, drawn, found = Distinct(options.tolerance), [], 0, 0
    for batch in draws(arm, training, config, options):
        drawn += len(batch)
        selection = select(batch[batch.offered & (batch.volume > 0)], options, seen)
        names = [f"{len(parts)}-{i}" for i in range(len(selection.found))]
        given = infill(selection.found, elements, filling, names, config["seed"]).template[: candidates - found]
        found += len(given)
        last = int(given[-1]) + 1 if found == candidates else len(names)
        columns = {name: column[:last] for name, column in selection.to_columns().items()}
        parts.append(tables.to_table(columns, tables.TEMPLATES))
        print(f"{arm}: {drawn:,} draws, {sum(part.num_rows for part in parts):,} templates, {found:,} candidates")
        if found == candidates:
            break
    learnt = Templates.from_table(training)
    known = {"train": learnt, "held-out": learnt[:0]}
    table, _ = merge(parts, [{"sampled": drawn, "refused": {}}], None, known, options.tolerance, 1)
    tables.write(folder / "results/templates.parquet", table, tables.TEMPLATES, Provenance())


def row(folder: Path) -> list[str]:
    """Of the table."""
    results = folder / "results"
    compared = tables.read(results / "compared.parquet", tables.COMPARED).to_pandas()
    ranked = tables.read(results / "ranked.parquet", tables.RANKED).to_pandas()
    templates = tables.read(results / "templates.parquet", tables.TEMPLATES)
    candidates = sum(
        tables.read(path, tables.CANDIDATES).num_rows for path in (results / "candidates").glob("*.parquet")
    )
    relaxed = compared[compared["energy_above_hull"].notna()]
    distinct = relaxed[relaxed["duplicate_of"].isna()]
    new = distinct[distinct["novelty"] != "known"]
    known = set(ranked["known_match"].dropna()) | set(relaxed["known_match"].dropna())
    counts = [int((new["energy_above_hull"] <= limit).sum()) for limit in (0.0, 0.05, 0.1, 0.2)]
    best = new["energy_above_hull"].nsmallest(10)
    cells = [folder.name, templates.num_rows, candidates, len(compared), len(relaxed), *counts, len(known)]
    return [f"{cell:,}" if isinstance(cell, int) else cell for cell in cells] + [f"{best.mean():+.3f}"]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("arm", choices=[*DRAWN, "prototypes", "pyxtal"])
    making.add_argument("base", type=Path)
    making.add_argument("folder", type=Path)
    making.add_argument("--candidates", type=int, default=20_000)
    showing = commands.add_parser("table")
    showing.add_argument("folders", type=Path, nargs="+")
    given = parser.parse_args()
    if given.command == "make":
        make(given.arm, given.base, given.folder, given.candidates)
        return
    heads = [
        "arm",
        "templates",
        "candidates",
        "shortlist",
        "relaxed",
        "new below the hull",
        "within 0.05",
        "within 0.1",
    ]
    heads += ["within 0.2 eV/atom", "known phases met", "mean of the best ten (eV/atom)"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for folder in given.folders:
        print(f"| {' | '.join(row(folder))} |")


if __name__ == "__main__":
    main()
