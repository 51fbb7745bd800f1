"""Every rule alone, on the inputs of a complete run: its outputs come out again, byte for byte."""

import shutil
from pathlib import Path

import pytest

from cgwgan_core.jobs import digest_file
from tests.support.workflow import ROOT, copy_run, snakemake

RULES = {
    "read_database": ["data/structures.parquet", "data/refused/read.parquet"],
    "asymmetric_units": ["data/asu.parquet", "data/refused/asu.parquet"],
    "training_set": ["data/training.parquet", "data/rejected.parquet"],
    "train": ["model/generator.ckpt", "model/training.csv"],
    "generate": ["templates/1.parquet", "templates/1.json"],
    "merge_templates": ["templates.parquet", "template_counts.json"],
    "infill": ["candidates/1.parquet"],
    "verify_potential": ["potential.json"],
    "known_phases": ["known_phases.parquet"],
    "screen": ["screened/1.parquet"],
    "rank": ["ranked.parquet", "rank_refused.parquet", "ranking_counts.json"],
    "relax": ["relaxed/1.parquet"],
    "unique": ["unique.parquet"],
    "phonons": ["phonons/1.parquet"],
    "store": ["stable.parquet", "stable.db", "cif"],
    "dft_inputs": ["dft", "dft.parquet"],
    "report": ["report.html", "funnel.json", "funnel.svg"],
}


def test_every_rule_has_its_test() -> None:
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    names = {line.split()[1].rstrip(":") for line in text.splitlines() if line.startswith("rule ")}
    assert names == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_rule_alone(rule: str, run: Path, tmp_path: Path) -> None:
    folder = copy_run(run, tmp_path / "run")
    outputs = [folder / "results" / name for name in RULES[rule]]
    before = [digest_file(path) for path in outputs]
    for path in outputs:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    # one core here, two in the run: results must not depend on it
    done = snakemake(folder, str(outputs[0].relative_to(folder)), "--allowed-rules", rule, cores=1)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [digest_file(path) for path in outputs] == before
    log = next((folder / "results" / "logs").rglob(f"{rule}*"))
    assert log.exists()
