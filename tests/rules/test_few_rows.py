"""Every script on no row, on one, and on fewer than there are shards; runs that find nothing end in a report."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cgwgan_core.database.training_set import TrainingOptions
from cgwgan_core.dft.crystals import CrystalOptions
from cgwgan_core.generator.selection import TemplateOptions
from cgwgan_core.relaxation.shortlist import RelaxOptions
from cgwgan_core.screening.infill import InfillOptions
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.reference import TABLES, find_rules
from tests.support.stages import ROOT, SHARDS, STAGES, Run, Settings, shipped_generator

ROWS = (0, 1, SHARDS - 1)
RULES = {rule.name: rule for rule in find_rules(ROOT, yaml.safe_load((ROOT / "config.yaml").read_text()))}
TAKES = {
    "asymmetric_units": ["data/structures.parquet"],
    "training_set": ["data/asu.parquet"],
    "train": ["data/training.parquet"],
    "merge_templates": ["templates/{shard}.parquet"],
    "infill": ["templates.parquet"],
    "relax_known_phases": ["data/structures.parquet"],
    "known_phases": ["known_phases/{shard}.parquet"],
    "screen": ["candidates/{shard}.parquet"],
    "promote": ["candidates/{shard}.parquet", "screened/{shard}.parquet"],
    "evaluate": ["promoted/{shard}.parquet"],
    "rank": ["promoted/{shard}.parquet", "evaluated/{shard}.parquet"],
    "relax": ["ranked.parquet"],
    "compare": ["relaxed/{shard}.parquet"],
    "phonons": ["compared.parquet"],
    "second_phonons": ["phonons/{shard}.parquet"],
    "store": ["phonons/{shard}.parquet", "second_phonons/{shard}.parquet"],
    "dft_crystals": ["stable.parquet"],
    "dft_statics": ["dft_crystals.parquet"],
    "dft_hull": ["dft_statics/{shard}.parquet"],
    "dft_relax": ["dft_hull.parquet"],
    "dft_phonons": ["dft_relaxed/{shard}.parquet"],
    "dft": ["dft_statics/{shard}.parquet", "dft_relaxed/{shard}.parquet", "dft_phonons/{shard}.parquet"],
    "dft_inputs": ["stable.parquet"],
    "dft_results": ["dft_inputs.parquet"],
    "showcase": ["stable.parquet"],
    "relax_beside_random": ["templates.parquet"],
    "convergence": ["convergence/{shard}.parquet"],
}
"""What the rows of a stage come from."""
ELSEWHERE = {
    "read_database", "verify_potential", "dft_electrons",  # have no table before them
    "quality", "generate", "report",  # below
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with some rows everywhere."""
    run = Run(tmp_path_factory.mktemp("whole"))
    run.start()
    for stage in STAGES.values():
        stage(run)
    return run


@pytest.fixture
def again(whole: Run, tmp_path: Path) -> Callable[..., Run]:
    """A copy of that run, of which stages run again with other settings."""

    def copy(settings: Settings | None = None) -> Run:
        return Run(Path(shutil.copytree(whole.folder, tmp_path / "run")), settings)

    return copy


def test_every_rule_is_tried() -> None:
    assert RULES.keys() == TAKES.keys() | ELSEWHERE
    assert STAGES.keys() == RULES.keys() - {"read_database", "verify_potential", "dft_electrons"}


def test_the_whole_run_has_rows_everywhere(whole: Run) -> None:
    for names in TAKES.values():
        for name in names:
            schema = TABLES[name][0] if name in TABLES else tables.TEMPLATES
            paths = whole.shards(name) if "{shard}" in name else [whole.path(name)]
            assert sum(tables.read(path, schema).num_rows for path in paths) > 0, name


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("rule", TAKES)
def test_every_stage_takes_few_rows(again: Callable[..., Run], rule: str, rows: int) -> None:
    run = again()
    for name in TAKES[rule]:
        run.cut(name, rows)
    outputs = RULES[rule].outputs
    for path in {path for name in outputs for path in run.shards(name)}:
        shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()
    STAGES[rule](run)
    for name in outputs:
        for path in run.shards(name):
            assert Path(path).exists()
            if name in TABLES:
                tables.read(path, TABLES[name][0])


@pytest.mark.parametrize("known", ROWS[1:])
@pytest.mark.parametrize("rule", ["quality", "generate", "merge_templates"])
def test_a_generator_may_know_few_templates(again: Callable[..., Run], rule: str, known: int) -> None:
    run = again()
    shipped_generator(run.path("model/generator.ckpt"), known)
    STAGES[rule](run)


TOO_FEW_ATOMS = TemplateOptions(max_atoms=1)
NOTHING = {
    "no structure to learn from": ("training_set", {"training": TrainingOptions(n_sites=(12,))}, "training", 0),
    "no template drawn": ("generate", {"samples": 1, "templates": TOO_FEW_ATOMS}, "templates", 0),
    "no template kept": ("generate", {"templates": TOO_FEW_ATOMS}, "templates", 0),
    "no such formula": ("infill", {"infill": InfillOptions(formulas=("Cu97Ag2Au",))}, "candidates", 0),
    "all too close": ("infill", {"infill": InfillOptions(min_distance_ratio=9)}, "candidates", 0),
    "nothing relaxed": ("relax", {"relax": RelaxOptions(max_steps=1, fmax=1e-9)}, "relaxed", 0),
    "no phonons asked for": ("compare", {"top_phonons": 0}, "stable", 0),
    "no phonons possible": ("phonons", {"phonons": replace(Settings().phonons, max_atoms=1)}, "stable", 0),
    "nothing for DFT": ("dft_crystals", {"dft": CrystalOptions(top=0)}, "dft", 0),
}
"""What is not found -> the rule whose settings make it so, these settings, the stage of the funnel, its count."""


@pytest.mark.parametrize("what", NOTHING)
def test_a_run_that_finds_nothing_reports_it(again: Callable[..., Run], what: str) -> None:
    rule, settings, stage, kept = NOTHING[what]
    run = again(Settings(**settings))
    names = list(STAGES)
    for name in names[names.index(rule) :]:
        STAGES[name](run)
    funnel = {row["key"]: row for row in json.loads(Path(run.path("funnel.json")).read_text())["stages"]}
    assert funnel[stage]["kept"] == kept
    report = Path(run.path("report.html")).read_text()
    assert not re.search(
        r"\b(nan|NaN|inf)\b", re.sub(r"<(script|style|svg).*?</\1>|<[^>]*>", "", report, flags=re.DOTALL)
    )


def test_a_database_without_the_chemistry(again: Callable[..., Run]) -> None:
    run = again()
    run.cut("data/structures.parquet", 0)
    for stage in STAGES.values():
        stage(run)
    assert tables.read(run.path("known_phases.parquet"), tables.KNOWN_PHASES)["formula"].to_pylist() == [
        "Ag",
        "Au",
        "Cu",
    ]
