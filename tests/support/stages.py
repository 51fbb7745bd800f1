"""Every script of the workflow on a small run of alloys, without Snakemake: EMT takes the place of all potentials and
of DFT, and what each stage hands on may be cut to a few rows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import pyarrow as pa
import yaml
from ase import Atoms
from ase.build import bulk

from cgwgan_core.database.training_set import TrainingOptions
from cgwgan_core.dft.crystals import CrystalOptions
from cgwgan_core.dft.engines import open_store
from cgwgan_core.dft.geometries import RelaxOptions as DftRelaxOptions
from cgwgan_core.dft.store import Store
from cgwgan_core.dft.vasp_presets import DftOptions
from cgwgan_core.generator.checkpoint import load_generator, save
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.scope import SHIPPED
from cgwgan_core.generator.selection import TemplateOptions
from cgwgan_core.generator.shards import request_of
from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.potentials.load import load
from cgwgan_core.relaxation.convergence import ConvergenceOptions
from cgwgan_core.relaxation.known_phases import KnownPhasesOptions
from cgwgan_core.relaxation.shortlist import RelaxOptions
from cgwgan_core.results.funnel import SEVERAL, RunFiles
from cgwgan_core.results.showcase import ShowcaseFiles
from cgwgan_core.screening.cascade import CascadeOptions
from cgwgan_core.screening.energies import ScreenOptions
from cgwgan_core.screening.infill import InfillOptions
from cgwgan_core.screening.ranking import RankOptions
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.reference import TABLES, find_rules
from scripts import (
    asymmetric_units,
    compare,
    convergence,
    dft,
    dft_crystals,
    dft_hull,
    dft_inputs,
    dft_phonons,
    dft_relax,
    dft_results,
    dft_statics,
    generate,
    infill,
    known_phases,
    merge_templates,
    phonons,
    promote,
    quality,
    rank,
    relax,
    relax_beside_random,
    relax_known_phases,
    report,
    screen,
    second_phonons,
    showcase,
    store,
    train,
    training_set,
)  # fmt: skip
from tests.support.crystals import crystal_row, perovskite
from tests.support.potentials import EMT

ROOT = Path(__file__).parents[2]
CHEMISTRY = ["Cu", "Ag", "Au"]
SHARDS = 3
MADE_FROM = Provenance("0123456789abcdef", {})
CHECKED = ("potential.json", "screening_potential.json", "second_potential.json")
DATABASE = {
    **{element: bulk(element) for element in CHEMISTRY},
    "CuAg": Atoms("CuAg", scaled_positions=[[0, 0, 0], [0.5] * 3], cell=[3.1] * 3, pbc=True),
    "perovskite": perovskite(4.3, ("Ag", "Au", "Cu")),
}


@dataclass(frozen=True)
class Settings:
    """What the stages are asked for; few and small, unless a test says else."""

    training: TrainingOptions = field(default_factory=lambda: TrainingOptions(n_sites=(1, 2, 3), held_out=0.0))
    templates: TemplateOptions = field(default_factory=lambda: TemplateOptions(max_atoms=12))
    samples: int = 900
    infill: InfillOptions = field(default_factory=InfillOptions)
    screen: ScreenOptions = field(default_factory=lambda: ScreenOptions(refine_below=None))
    cascade: CascadeOptions = field(default_factory=lambda: CascadeOptions(share=0.3, sample=2))
    rank: RankOptions = field(default_factory=lambda: RankOptions(top=6))
    hull: KnownPhasesOptions = field(default_factory=lambda: KnownPhasesOptions(leave_out=(), max_steps=50))
    relax: RelaxOptions = field(default_factory=lambda: RelaxOptions(unconstrained=False))
    convergence: ConvergenceOptions = field(
        default_factory=lambda: ConvergenceOptions(compositions=("Cu", "CuAg", "AgAuCu3"), each=3, max_steps=50)
    )
    top_phonons: int = 3
    phonons: PhononOptions = field(
        default_factory=lambda: PhononOptions(
            min_length=None,
            supercell=(1, 1, 1),
            mesh=(2, 2, 2),
            fmax=0.01,
            fmax_accepted=0.1,
            max_steps=100,
            borderline=-99.0,
        )
    )
    dft: CrystalOptions = field(default_factory=lambda: CrystalOptions(top=2))
    top_displaced: int = 1


class Run:
    """A run's folder, and each stage of it by the name of its rule."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.folder, self.settings = folder, settings or Settings()

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def shards(self, name: str) -> list[str]:
        return [self.path(name.format(shard=i)) for i in range(SHARDS)]

    def start(self) -> None:
        """What comes from outside: the database, the generator's checkpoint, the reports on the potentials."""
        rows = [
            {**crystal_row(crystal), "material_id": name, "formation_energy_per_atom": 0.0}
            for name, crystal in DATABASE.items()
        ]
        tables.write(self.path("data/structures.parquet"), rows, tables.STRUCTURES, MADE_FROM)
        tables.write(self.path("data/refused/read.parquet"), [], tables.REFUSED, MADE_FROM)
        shipped_generator(self.path("start.ckpt"), known=100)
        potential = load(EMT)
        crystals = [{"formula": "MgO", "error": 0.01, "expected_formation_energy_per_atom": -3.0, "lattice_error": 0.0}]
        checked = {
            **{name: getattr(potential, name) for name in ("name", "energy_scale", "digest", "versions")},
            "chosen": "named",
            "tolerance": 0.1,
            "lattice_tolerance": 0.03,
            "mean_absolute_error": 0.01,
            "largest_error": 0.01,
            "crystals": crystals,
        }
        for name in CHECKED:
            (self.folder / name).write_text(json.dumps(checked))

    def store(self) -> Store:
        engine = {"engine": "ase.calculators.emt:EMT", "command": None, "kspacing": None, "pseudopotentials": None}
        return open_store(engine, {}, self.path("dft_store"), 5.0)

    def cut(self, name: str, rows: int) -> None:
        """Leave a table, or a stage's shards together, the first rows; one in each shard from the first on."""
        schema = TABLES[name][0] if name in TABLES else tables.TEMPLATES
        if "{shard}" not in name:
            table = tables.read(self.path(name), schema).slice(0, rows)
            tables.write(self.path(name), table, schema, MADE_FROM)
            return
        paths = self.shards(name)
        whole = pa.concat_tables(tables.read(path, schema) for path in paths).slice(0, rows)
        for i, path in enumerate(paths):
            tables.write(path, whole.slice(i, 1), schema, MADE_FROM)


def _asymmetric_units(run: Run) -> None:
    asymmetric_units.main(
        run.path("data/structures.parquet"), run.path("data/asu.parquet"), run.path("data/refused/asu.parquet"),
        0.1, 1, MADE_FROM,
    )  # fmt: skip


def _training_set(run: Run) -> None:
    refused = [run.path(f"data/refused/{part}.parquet") for part in ("read", "asu")]
    training_set.main(
        run.path("data/asu.parquet"), refused, run.path("data/training.parquet"), run.path("data/refused.parquet"),
        run.settings.training, 1, MADE_FROM,
    )  # fmt: skip


def _train(run: Run) -> None:
    options = ModelOptions(init=run.path("start.ckpt"))
    train.main(
        run.path("data/training.parquet"), run.path("model/generator.ckpt"), run.path("model/training.csv"), options, 1,
        MADE_FROM,
    )  # fmt: skip


def _quality(run: Run) -> None:
    quality.main(
        run.path("model/generator.ckpt"), run.path("quality.json"), 20, 1, 3.0, TemplateOptions(), 1, MADE_FROM
    )


def _generate(run: Run) -> None:
    for i in range(SHARDS):
        generate.main(
            run.path("model/generator.ckpt"), run.shards("templates/{shard}.parquet")[i],
            run.shards("templates/{shard}.json")[i], run.settings.samples,
            request_of(3.0, ["cubic"], None, run.settings.templates), run.settings.templates, i, SHARDS, 1, MADE_FROM,
        )  # fmt: skip


def _merge_templates(run: Run) -> None:
    merge_templates.main(
        run.shards("templates/{shard}.parquet"), run.shards("templates/{shard}.json"),
        run.path("model/generator.ckpt"), run.path("templates.parquet"), run.path("template_counts.json"), 8,
        run.settings.templates.tolerance, 1, MADE_FROM,
    )  # fmt: skip


def _infill(run: Run) -> None:
    for i in range(SHARDS):
        infill.main(
            run.path("templates.parquet"), run.shards("candidates/{shard}.parquet")[i],
            run.shards("candidates/{shard}.json")[i], CHEMISTRY, run.settings.infill, i, SHARDS, 1, MADE_FROM,
        )  # fmt: skip


def _relax_known_phases(run: Run) -> None:
    for i in range(SHARDS):
        relax_known_phases.main(
            run.path("data/structures.parquet"), run.path("potential.json"),
            run.shards("known_phases/{shard}.parquet")[i], CHEMISTRY, EMT, run.settings.hull, i, SHARDS, MADE_FROM,
        )  # fmt: skip


def _known_phases(run: Run) -> None:
    known_phases.main(
        run.shards("known_phases/{shard}.parquet"), run.path("potential.json"), run.path("known_phases.parquet"),
        CHEMISTRY, MADE_FROM,
    )  # fmt: skip


def _screening(run: Run, candidates: str, screened: str, judge: bool) -> None:
    checked = "potential.json" if judge else "screening_potential.json"
    for i in range(SHARDS):
        screen.main(
            run.shards(candidates)[i], run.path("templates.parquet"), run.path("known_phases.parquet"),
            run.path(checked), judge, run.shards(screened)[i], EMT, run.settings.screen, MADE_FROM,
        )  # fmt: skip


def _screen(run: Run) -> None:
    _screening(run, "candidates/{shard}.parquet", "screened/{shard}.parquet", judge=False)


def _promote(run: Run) -> None:
    promote.main(
        run.shards("screened/{shard}.parquet"), run.shards("candidates/{shard}.parquet"),
        run.shards("promoted/{shard}.parquet"), run.path("promoted.json"), run.settings.cascade, "energy_above_hull",
        1, MADE_FROM,
    )  # fmt: skip


def _evaluate(run: Run) -> None:
    _screening(run, "promoted/{shard}.parquet", "evaluated/{shard}.parquet", judge=True)


def _rank(run: Run) -> None:
    rank.main(
        run.shards("evaluated/{shard}.parquet"), run.shards("promoted/{shard}.parquet"),
        run.path("templates.parquet"), run.path("data/structures.parquet"), run.path("known_phases.parquet"),
        run.path("ranked.parquet"), run.path("ranking_refused.parquet"), run.path("ranking_counts.json"), CHEMISTRY,
        run.settings.rank, True, MADE_FROM,
    )  # fmt: skip


def _relax(run: Run) -> None:
    for i in range(SHARDS):
        relax.main(
            run.path("ranked.parquet"), run.path("templates.parquet"), run.path("known_phases.parquet"),
            run.path("potential.json"), run.shards("relaxed/{shard}.parquet")[i], EMT, run.settings.relax, i, SHARDS,
            MADE_FROM,
        )  # fmt: skip


def _relax_beside_random(run: Run) -> None:
    for i in range(SHARDS):
        relax_beside_random.main(
            run.path("templates.parquet"), run.path("data/structures.parquet"), run.path("potential.json"),
            run.shards("convergence/{shard}.parquet")[i], EMT, run.settings.convergence, run.settings.hull, i, SHARDS,
            1, MADE_FROM,
        )  # fmt: skip


def _convergence(run: Run) -> None:
    convergence.main(
        run.shards("convergence/{shard}.parquet"), run.path("convergence.parquet"), run.path("convergence.svg"),
        MADE_FROM,
    )  # fmt: skip


def _compare(run: Run) -> None:
    compare.main(
        run.shards("relaxed/{shard}.parquet"), run.path("data/structures.parquet"), run.path("data/asu.parquet"),
        run.path("known_phases.parquet"), run.path("compared.parquet"), CHEMISTRY, run.settings.top_phonons, 0.1, EMT,
        run.path("second_potential.json"), MADE_FROM,
    )  # fmt: skip


def _phonons(run: Run) -> None:
    for i in range(SHARDS):
        phonons.main(
            run.path("compared.parquet"), run.path("potential.json"), run.shards("phonons/{shard}.parquet")[i], EMT,
            run.settings.phonons, i, SHARDS, MADE_FROM,
        )  # fmt: skip


def _second_phonons(run: Run) -> None:
    for i in range(SHARDS):
        second_phonons.main(
            run.shards("phonons/{shard}.parquet")[i], run.path("known_phases.parquet"),
            run.path("second_potential.json"), run.shards("second_phonons/{shard}.parquet")[i], EMT,
            run.settings.phonons, MADE_FROM,
        )  # fmt: skip


def _store(run: Run) -> None:
    store.main(
        run.path("compared.parquet"), run.shards("phonons/{shard}.parquet"),
        run.shards("second_phonons/{shard}.parquet"), run.path("data/structures.parquet"),
        run.path("known_phases.parquet"), run.path("stable.parquet"), run.path("stable_refused.parquet"),
        run.path("stable.db"), run.path("cif"), run.path("phonopy"), run.path("xrd_similarity.csv"), CHEMISTRY,
        MADE_FROM,
    )  # fmt: skip


def _dft_crystals(run: Run) -> None:
    dft_crystals.main(
        run.path("stable.parquet"), run.path("known_phases.parquet"), run.path("data/structures.parquet"),
        run.path("dft_crystals.parquet"), CHEMISTRY, run.settings.dft, MADE_FROM,
    )  # fmt: skip


def _dft_statics(run: Run) -> None:
    for i in range(SHARDS):
        dft_statics.main(
            run.path("dft_crystals.parquet"), run.store(), run.shards("dft_statics/{shard}.parquet")[i], i, SHARDS,
            MADE_FROM,
        )  # fmt: skip


def _dft_hull(run: Run) -> None:
    dft_hull.main(
        run.path("dft_crystals.parquet"), run.shards("dft_statics/{shard}.parquet"), run.path("dft_hull.parquet"),
        False, MADE_FROM,
    )  # fmt: skip


def _dft_relax(run: Run) -> None:
    for i in range(SHARDS):
        dft_relax.main(
            run.path("dft_crystals.parquet"), run.path("dft_hull.parquet"), load(EMT), run.store(),
            run.shards("dft_relaxed/{shard}.parquet")[i], DftRelaxOptions(relax=1, max_steps=1), i, SHARDS, MADE_FROM,
        )  # fmt: skip


def _dft_phonons(run: Run) -> None:
    for i in range(SHARDS):
        dft_phonons.main(
            run.path("dft_crystals.parquet"), run.shards("dft_statics/{shard}.parquet"),
            run.shards("dft_relaxed/{shard}.parquet"), run.store(), run.shards("dft_phonons/{shard}.parquet")[i],
            replace(run.settings.phonons, displacement=0.03), run.settings.top_displaced, 2, 0, False, i, SHARDS,
            MADE_FROM,
        )  # fmt: skip


def _dft(run: Run) -> None:
    dft.main(
        stable=run.path("stable.parquet"), crystals=run.path("dft_crystals.parquet"),
        statics=run.shards("dft_statics/{shard}.parquet"), relaxed=run.shards("dft_relaxed/{shard}.parquet"),
        phonons=run.shards("dft_phonons/{shard}.parquet"), structures=run.path("data/structures.parquet"),
        known_phases=run.path("known_phases.parquet"), chemistry=CHEMISTRY, table=run.path("dft.parquet"),
        coming=run.path("dft_next.parquet"), counts=run.path("dft.json"), top=10, max_atoms=20, hubbard=False,
        made_from=MADE_FROM,
    )  # fmt: skip


def _dft_inputs(run: Run) -> None:
    dft_inputs.main(
        run.path("stable.parquet"), DftOptions(), run.path("dft"), run.path("dft_inputs.parquet"), MADE_FROM
    )


def _dft_results(run: Run) -> None:
    dft_results.main(
        [], run.path("dft_inputs.parquet"), run.path("stable.parquet"), run.path("dft_results.parquet"), MADE_FROM
    )


REPORTED = {
    "structures": "data/structures.parquet", "refused": "data/refused.parquet", "asu": "data/asu.parquet",
    "training": "data/training.parquet", "training_curve": "model/training.csv", "quality": "quality.json",
    "template_counts": "template_counts.json", "potential": "potential.json", "ranking_counts": "ranking_counts.json",
    "candidate_counts": "candidates/{shard}.json", "screening_potential": "screening_potential.json",
    "second_potential": "second_potential.json", "promotion_counts": "promoted.json", "dft_counts": "dft.json",
    "known_phases": "known_phases.parquet", "cifs": "cif",
}  # fmt: skip
"""Fields of :class:`RunFiles` whose file has another name."""


def _report(run: Run) -> None:
    files = {}
    for one in fields(RunFiles):
        name = REPORTED.get(one.name) or next(p for p in TABLES if p.split("/")[0].removesuffix(".parquet") == one.name)
        paths = run.shards(name) if "{shard}" in name else [run.path(name)]
        files[one.name] = paths if one.name in SEVERAL else paths[0]
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"chemistry": CHEMISTRY}
    report.main(
        files=RunFiles(**files), config=config, report=run.path("report.html"), counts=run.path("funnel.json"),
        rules=[(rule.name, sorted(rule.inputs), rule.outputs) for rule in find_rules(ROOT, config)],
        picture=run.path("funnel.svg"), made_from=MADE_FROM,
    )  # fmt: skip


def _showcase(run: Run) -> None:
    benchmarks = run.folder / "benchmarks"
    benchmarks.mkdir(exist_ok=True)
    files = ShowcaseFiles(
        funnel=run.path("funnel.json"), report=run.path("report.html"), stable=run.path("stable.parquet"),
        cifs=run.path("cif"), phonons=run.shards("phonons/{shard}.parquet"), benchmarks=str(benchmarks),
    )  # fmt: skip
    showcase.main(files, run.path("showcase"), 100)


STAGES: Mapping[str, Callable[[Run], None]] = {
    "asymmetric_units": _asymmetric_units, "training_set": _training_set, "train": _train, "quality": _quality,
    "generate": _generate, "merge_templates": _merge_templates, "infill": _infill,
    "relax_known_phases": _relax_known_phases, "known_phases": _known_phases, "screen": _screen, "promote": _promote,
    "evaluate": _evaluate, "rank": _rank, "relax": _relax, "compare": _compare, "phonons": _phonons,
    "second_phonons": _second_phonons, "store": _store, "dft_crystals": _dft_crystals, "dft_statics": _dft_statics,
    "dft_hull": _dft_hull, "dft_relax": _dft_relax, "dft_phonons": _dft_phonons, "dft": _dft,
    "dft_inputs": _dft_inputs, "dft_results": _dft_results, "report": _report, "showcase": _showcase,
    "relax_beside_random": _relax_beside_random, "convergence": _convergence,
}  # fmt: skip
"""Rules in an order in which they can run."""


def shipped_generator(path: str | Path, known: int) -> None:
    """Write the shipped generator, of the templates that it was trained on the first ones alone: reading takes less."""
    model = load_generator(SHIPPED["wgan"])
    few = {side: templates[:known] for side, templates in model.known.items()}
    save(replace(model, known=few), path, MADE_FROM)
