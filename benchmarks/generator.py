"""How good a generator is, beside what it has to beat. Prints the tables of the model card, writes a JSON file.

    python benchmarks/generator.py cgwgan_core/generator/wgan/shipped.ckpt results/data/training.parquet

Four parts. ``--pictures`` also draws, into a folder, crystal systems and number densities of a run's ``--templates``
beside training's. Figures are means over the seeds with the half width of the 95 % interval, but for the last:

1. ``--samples`` draws of the checkpoint and of each reference of :mod:`cgwgan_core.generator.evaluation`;
2. the same with as many draws as PyXtal can afford (``--pyxtal``), and PyXtal's random crystals beside them: with
   groups, elements and numbers of atoms of training structures. What it finds no crystal for is a failed draw;
3. how distinct templates, novelty and recall grow up to ``--growth`` draws, and of PyXtal's crystals, one seed of
   them, up to ``--pyxtal-growth``;
4. with ``--over-training``, of a GAN: what draws are like over the training. The checkpoint is trained again, with its
   options and that seed of a run, and its averaged generator is looked at ten times. One seed of draws.

:data:`cgwgan_core.generator.quality.METRICS` defines the figures. Here recall is also that of the AFLOW
prototypes with as many sites as training has, by isopointal type: of all, and of those that are and are not on the
training side.
"""

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import lightning.pytorch as pl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from lightning.pytorch.callbacks import Callback
from threadpoolctl import threadpool_limits

from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit
from cgwgan_core.crystallography.fingerprint import isopointal_types
from cgwgan_core.crystallography.spacegroups import letter_index
from cgwgan_core.crystallography.symmetry import SymmetryError
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.database import aflow
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.distributions import DENSITY_EDGES, histogram, overlap, total_variation
from cgwgan_core.generator.draws import Draws
from cgwgan_core.generator.evaluation import Figures, Maker, evaluate, makers, summary
from cgwgan_core.generator.model import PSEUDOCOUNT, TrainedModel
from cgwgan_core.generator.options import SCRATCH
from cgwgan_core.generator.quality import BY_SITES, METRICS, Metric, discovery, judge
from cgwgan_core.generator.sampling import sample
from cgwgan_core.generator.selection import TemplateOptions
from cgwgan_core.generator.steps import TrainingFiles
from cgwgan_core.generator.training import train
from cgwgan_core.generator.wgan.model import WganModel
from cgwgan_core.generator.wgan.training import WGANGP
from cgwgan_core.results.figures import figure_crystal_systems, figure_number_density
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.seeds import derive_seed

if TYPE_CHECKING:
    from pyxtal import pyxtal

ROWS = {
    **METRICS,
    "recall_aflow": Metric("recall of AFLOW isopointal types", "share of them among the usable draws"),
    "recall_aflow_in_training": Metric("recall of AFLOW isopointal types in training", ""),
    "recall_aflow_not_in_training": Metric("recall of AFLOW isopointal types not in training", ""),
    "seconds": Metric("seconds per 1,000 draws", ""),
}
GROWN = ("generator", "independent")
"""Sets whose growth is measured."""


def aflow_keys(n_sites: Sequence[int], min_spacegroup: int, symprec: float = 0.1) -> set[str]:
    """Isopointal types of the AFLOW prototypes inside pymatgen that have so many sites.

    :param min_spacegroup: lowest space group that counts.
    :param symprec: of the search for symmetry, Å.
    """
    found = []
    for record in aflow.read():
        if record.reason is not None:
            continue
        lattice, coords = record.lattice.reshape(3, 3), record.frac_coords.reshape(-1, 3)
        try:
            template = asymmetric_unit(lattice, coords, record.numbers.tolist(), symprec).template
        except SymmetryError:
            continue
        if template.n_sites[0] in n_sites and template.spacegroup[0] >= min_spacegroup:
            found.append(template)
    return set(isopointal_types(Templates.concat(found)))


def pyxtal_maker(table: pa.Table, n: int) -> Maker:
    """Random crystals of PyXtal for the group, elements and numbers of atoms of structures of a table.

    What it finds no crystal for, or one of more sites than the table has, is a template without sites.
    """
    width = max(len(x) for x in table["letters"].to_pylist())

    @cache  # the slowest by far
    def make(seed: int) -> Templates:
        rows = table.take(np.random.default_rng(seed).integers(table.num_rows, size=n)).to_pylist()
        return Templates.concat([_random_crystal(row, width, seed * n + i) for i, row in enumerate(rows)])

    return make


def _random_crystal(row: dict, width: int, seed: int) -> Templates:
    from pyxtal import pyxtal  # noqa: PLC0415 - not every benchmark needs it

    crystal = pyxtal()
    group, elements, numbers = row["spacegroup"], row["elements"], row["multiplicities"]
    try:
        crystal.from_random(3, group, elements, numbers, max_count=3, random_state=seed)
    except Exception:  # noqa: BLE001 - a failed draw, whatever the cause
        crystal.valid = False
    letters, coords = np.full((1, width), -1, dtype=np.int8), np.zeros((1, width, 3))
    spacegroup = np.array([group], np.int16)
    if not crystal.valid or not 0 < len(crystal.atom_sites) <= width:
        return Templates(spacegroup, np.full((1, 6), np.nan), letters, coords)
    for k, site in enumerate(crystal.atom_sites):
        letters[0, k], coords[0, k] = letter_index(site.wp.letter), site.position
    return Templates(spacegroup, _cell(crystal), letters, coords).projected()


def _cell(crystal: "pyxtal") -> Floats:
    """a, b, c, alpha, beta, gamma of a PyXtal crystal, (1, 6)."""
    return np.array([crystal.lattice.get_para(degree=True)], dtype=float)


def measure(
    sets: dict[str, Maker], n: int, train: Draws, held_out: Draws, seeds: int, wanted: dict[str, set[str]]
) -> Figures:
    """Figures of all sets, and the seconds that 1,000 draws take."""
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in sets}

    def timed(name: str, make: Maker) -> Maker:
        def draw(seed: int) -> Templates:
            start = time.perf_counter()
            drawn = make(seed)
            seconds[name].append({"seconds": 1000 * (time.perf_counter() - start) / n})
            print(f"{name}, {n:,} draws, seed {seed}", file=sys.stderr)
            return drawn

        return draw

    clocked = {name: timed(name, make) for name, make in sets.items()}
    figures = evaluate(clocked, train, held_out, range(seeds), TemplateOptions(), wanted)
    return {name: row | summary(seconds[name]) for name, row in figures.items()}


def growth(
    sets: dict[str, Maker], n: int, train: Draws, held_out: Draws, seeds: int, wanted: dict[str, set[str]]
) -> dict[str, list[dict]]:
    """Set -> one row for 1,000, 2,000, 5,000, ..., n draws; see :func:`cgwgan_core.generator.quality.discovery`."""
    steps = [m * 10**e for e in range(3, 9) for m in (1, 2, 5) if m * 10**e < n] + [n]
    out = {}
    for name, make in sets.items():
        repeats = []
        for seed in range(seeds):
            repeats.append(discovery(Draws(make(seed)), train, held_out, TemplateOptions(), steps, wanted))
            print(f"{name}, growth, seed {seed}", file=sys.stderr)
        out[name] = [summary(rows) for rows in zip(*repeats, strict=True)]
    return out


class Watch(Callback):
    """Judges the averaged generator some times in a training."""

    def __init__(self, train: Draws, held_out: Draws, samples: int, times: int = 10) -> None:
        self.train, self.held_out, self.samples, self.times = train, held_out, samples, times
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(self, _: pl.Trainer, module: WGANGP, *__: object) -> None:
        """See Lightning."""
        if module.step % (module.options.max_steps // self.times):
            return
        generator = copy.deepcopy(module.averaged).eval()
        now = WganModel(module.encoder, generator, module.critic, module.options, "", module.step, {})
        drawn = Draws(sample(now, self.samples, 0))
        self.rows.append({"step": module.step} | judge(drawn, self.train, self.held_out, TemplateOptions()))
        print(f"step {module.step:,} judged", file=sys.stderr)


def over_training(model: WganModel, learnt: Draws, held_out: Draws, samples: int, seed: int) -> list[dict[str, float]]:
    """Figures of the averaged generator at ten steps of a training like the checkpoint's.

    It is not calibrated yet, which the checkpoint is at the end.

    :param seed: of the run.
    """
    watch = Watch(learnt, held_out, samples)
    options = replace(model.options, init=SCRATCH)
    with tempfile.TemporaryDirectory() as folder:
        files = TrainingFiles(*(Path(folder, name) for name in ("generator.ckpt", "curve.csv", "scratch", "logs")))
        made = train(
            learnt.templates,
            held_out.templates,
            options,
            derive_seed(seed, "train"),
            files,
            Provenance(),
            callbacks=[watch],
        )
    pairs = zip(*(x.generator.state_dict().values() for x in (model, made)), strict=True)
    print(f"the weights are{'' if all(torch.equal(a, b) for a, b in pairs) else ' not'} the checkpoint's")
    return watch.rows


def steps_markdown(rows: list[dict[str, float]]) -> str:
    """Figures over the training as a table."""
    keys = ("valid", "density_overlap", "tv_letters", "frechet", "distinct", "novel", "recall_held_out", "memorised")
    lines = [f"| step | {' | '.join(METRICS[key].name for key in keys)} |", f"|---|{'---|' * len(keys)}"]
    for row in rows:
        cells = (_shown(row[key], None, METRICS[key].digits) for key in keys)
        lines.append(f"| {row['step']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(mean: float | None, half: float | None, digits: int) -> str:
    if mean is None:
        return "–"
    return f"{mean:,.{digits}f}" + ("" if half is None else f" ± {half:,.{digits}f}")


def sites_markdown(figures: Figures) -> str:
    """Figures by number of sites as a table, of the generator and of training drawn again."""
    numbers = [int(key.removeprefix("share_")) for key in next(iter(figures.values())) if key.startswith("share_")]
    lines = [f"| sites | {' | '.join(map(str, numbers))} |", f"|---|{'---|' * len(numbers)}"]
    for name in (name for name in ("generator", "training", "pyxtal") if name in figures):
        for key, metric in BY_SITES.items():
            cells = (_shown(*figures[name][f"{key}_{n}"], metric.digits) for n in numbers)
            lines.append(f"| {name}: {metric.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def markdown(figures: Figures) -> str:
    """Figures as a table, a column for each set."""
    lines = [f"| | {' | '.join(figures)} |", f"|---|{'---|' * len(figures)}"]
    lines.append("| draws per seed | " + " | ".join(f"{row['n'][0]:,.0f}" for row in figures.values()) + " |")
    for key, metric in ROWS.items():
        cells = (_shown(*row[key], metric.digits) for row in figures.values())
        lines.append(f"| {metric.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def growth_markdown(rows: list[dict]) -> str:
    """One set's growth as a table."""
    shares = [key for key in ROWS if key in rows[0] and key != "distinct"]
    digits = {"distinct": 0} | dict.fromkeys(shares, 3)
    names = ["distinct usable templates", *(ROWS[key].name for key in shares)]
    lines = [f"| draws | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for row in rows:
        cells = (_shown(*row[key], number) for key, number in digits.items())
        lines.append(f"| {row['draws'][0]:,.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def run(
    model: TrainedModel,
    table: pa.Table,
    samples: int,
    seeds: int,
    pseudocount: float,
    pyxtal: int,
    grown: int,
    pyxtal_grown: int,
    only: set[str],
    training: int | None = None,
) -> dict:
    """All parts; a number of 0 leaves its part out.

    :param only: names of sets; empty is all.
    :param training: seed of the run that trained the checkpoint, to train it again; ``None``: not.
    """
    rows = {side: table.filter(pc.field("split") == side) for side in ("train", "held-out")}
    train, held_out = (Draws(Templates.from_table(part)) for part in rows.values())
    sizes = sorted(set(train.templates.n_sites.tolist()))
    prototypes, learnt = aflow_keys(sizes, int(train.templates.spacegroup.min())), set(train.isopointal.tolist())
    wanted = {
        "aflow": prototypes,
        "aflow_in_training": prototypes & learnt,
        "aflow_not_in_training": prototypes - learnt,
    }

    def sets(n: int) -> dict[str, Maker]:
        found = makers(model, train.templates, held_out.templates, n, pseudocount)
        return {name: make for name, make in found.items() if not only or name in only}

    found: dict = {"wanted": {name: len(keys) for name, keys in wanted.items()}}
    with threadpool_limits(1):
        if samples:
            found["figures"] = measure(sets(samples), samples, train, held_out, seeds, wanted)
        if pyxtal:
            with_pyxtal = sets(pyxtal) | {"pyxtal": pyxtal_maker(rows["train"], pyxtal)}
            found["with_pyxtal"] = measure(with_pyxtal, pyxtal, train, held_out, seeds, wanted)
        if grown:
            some = {name: make for name, make in sets(grown).items() if name in GROWN}
            found["growth"] = growth(some, grown, train, held_out, seeds, wanted)
        if pyxtal_grown:
            some = {"pyxtal": pyxtal_maker(rows["train"], pyxtal_grown)}
            found.setdefault("growth", {}).update(growth(some, pyxtal_grown, train, held_out, 1, wanted))
        if training is not None and isinstance(model, WganModel):
            found["training"] = over_training(model, train, held_out, samples or 10_000, training)
    return found


def draw(templates: str, training: str, folder: Path) -> None:
    """Draw ``templates-systems.svg`` and ``templates-density.svg`` into a folder; print how distinct ones differ."""
    real = tables.read(training, tables.TRAINING)
    sets = real.filter(pc.field("split") == "train"), tables.read(templates, tables.TEMPLATES)
    for name, column, figure in (
        ("systems", "spacegroup", figure_crystal_systems),
        ("density", "number_density", figure_number_density),
    ):
        text = figure(*(table[column].to_numpy() for table in sets))
        (folder / f"templates-{name}.svg").write_text(text, encoding="utf-8")
    learnt = Draws(Templates.from_table(sets[0]))
    learnt, made = (Draws(x) for x in (learnt.templates[learnt.distinct], Templates.from_table(sets[1])))
    densities = (histogram(x.number_density, DENSITY_EDGES) for x in (made, learnt))
    print(
        f"{len(made):,} distinct templates beside {len(learnt):,} of training: number density, overlap "
        f"{overlap(*densities):.3f}; space groups, total variation "
        f"{total_variation(made.spacegroup, learnt.spacegroup):.3f}; sites, total variation "
        f"{total_variation(made.templates.n_sites, learnt.templates.n_sites):.3f}"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("training", help="training table of a run, with the split the checkpoint was trained with")
    parser.add_argument("--samples", type=int, default=10_000, help="draws for each seed; 0: leave this part out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pseudocount", type=float, default=PSEUDOCOUNT, help="of the draws, see config.yaml")
    parser.add_argument("--pyxtal", type=int, default=500, help="crystals of PyXtal for each seed; 0: leave out")
    parser.add_argument("--growth", type=int, default=140_000, help="draws to grow to; 0: leave out")
    parser.add_argument("--pyxtal-growth", type=int, default=0, help="crystals of PyXtal to grow to; 0: leave out")
    parser.add_argument("--only", nargs="+", default=[], help="of the sets, these alone, such as generator")
    parser.add_argument("--over-training", type=int, help="seed of the run, to train the checkpoint again")
    parser.add_argument("--output", help="JSON file")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of --templates; nothing else is done")
    parser.add_argument("--templates", help="templates.parquet of a run")
    given = parser.parse_args()
    if given.over_training is not None and not isinstance(load_generator(given.checkpoint), WganModel):
        parser.error("--over-training looks at a GAN; training.csv has the losses of a flow")
    if given.pictures:
        draw(given.templates, given.training, given.pictures)
        return
    start = time.perf_counter()
    found = run(
        load_generator(given.checkpoint),
        tables.read(given.training, tables.TRAINING),
        given.samples,
        given.seeds,
        given.pseudocount,
        given.pyxtal,
        given.growth,
        given.pyxtal_growth,
        set(given.only),
        given.over_training,
    )
    print(f"AFLOW isopointal types: {', '.join(f'{k} {n}' for k, n in found['wanted'].items())}")
    for part in ("figures", "with_pyxtal"):
        if part in found:
            print(f"\n{markdown(found[part])}\n\n{sites_markdown(found[part])}")
    for name, rows in found.get("growth", {}).items():
        print(f"\nGrowth, {name}\n\n{growth_markdown(rows)}")
    if "training" in found:
        print(f"\nOver the training\n\n{steps_markdown(found['training'])}")
    print(f"\n{time.perf_counter() - start:.0f} s in all")
    if given.output:
        Path(given.output).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
