"""End to end: every table, counts that add up, nothing left to do, reruns by content."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.db import connect

from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.quality import BY_SITES, METRICS
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.reference import TABLES
from tests.support.workflow import ROOT, copy_run, snakemake

SCHEMAS = {path.format(shard=0): schema for path, (schema, _) in TABLES.items() if "{crystal}" not in path}
"""Of every table of a complete run, of the first shard where there are several."""


def read(run: Path, name: str) -> pa.Table:
    return tables.read(run / "results" / name, SCHEMAS[name])


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_table_is_there_with_schema_and_provenance(run: Path, name: str) -> None:
    assert read(run, name).schema.names == SCHEMAS[name].names
    metadata = pq.read_schema(run / "results" / name).metadata
    assert {b"cgwgan.version", b"cgwgan.config", b"cgwgan.inputs"} <= metadata.keys()
    assert str(run).encode() not in b"".join(metadata.values())


def test_every_record_is_kept_or_refused(run: Path) -> None:
    refused = read(run, "data/refused.parquet").num_rows
    assert read(run, "data/training.parquet").num_rows + refused == 288
    counts = json.loads((run / "results/template_counts.json").read_text())
    assert counts["sampled"] == counts["kept"] + sum(counts["refused"].values()) == 2000
    for counts, table in (("promoted", "candidates"), ("ranking_counts", "promoted")):
        found = json.loads((run / f"results/{counts}.json").read_text())
        entered = sum(tables.count(p) for p in (run / "results" / table).glob("*.parquet"))
        assert found["screened"] == found["kept"] + sum(found["refused"].values()) == entered > 0


def test_the_split_is_by_template(run: Path) -> None:
    training = read(run, "data/training.parquet")
    sides: dict[str, set[str]] = {"train": set(), "held-out": set()}
    for key, split in zip(training["isopointal_type"].to_pylist(), training["split"].to_pylist(), strict=True):
        sides[split].add(key)
    assert sides["train"]
    assert sides["held-out"]
    assert not sides["train"] & sides["held-out"]


def test_the_generator_is_judged_beside_its_references(run: Path) -> None:
    found = json.loads((run / "results/quality.json").read_text())
    assert list(found["figures"]) == ["generator", "held-out", "training", "jittered", "independent"]
    for row in found["figures"].values():
        assert set(row) == {"n", *METRICS, *(f"{key}_{n}" for key in BY_SITES for n in (3, 4))}
        assert row["n"] == [200, 0]
    assert found["figures"]["training"]["memorised"][0] > 0.95
    assert found["figures"]["held-out"]["memorised"][0] < 0.05
    assert len(found["latent"]["real"]) == len(found["latent"]["generated"]) > 10


def test_templates_keep_what_was_asked(run: Path) -> None:
    table = read(run, "templates.parquet")
    templates = Templates.from_table(table)
    assert 1 <= len(templates) <= 30
    assert min_distances(templates) == pytest.approx(table["min_distance"].to_numpy())
    assert table["min_distance"].to_numpy().min() >= 1.0
    assert templates.n_atoms.max() <= 12
    assert len(set(table["fingerprint"].to_pylist())) == len(templates)


def test_candidates_hold_all_elements(run: Path) -> None:
    for elements in read(run, "candidates/0.parquet")["elements"].to_pylist():
        assert set(elements) == {"Ba", "Ru", "O"}


def test_the_shortlist_is_in_order_and_phonons_are_computed(run: Path) -> None:
    ranked = read(run, "ranked.parquet")
    assert ranked["rank"].to_pylist() == list(range(1, ranked.num_rows + 1))
    assert np.all(np.diff(ranked["energy_above_hull"].to_numpy()) >= 0)
    phonons = [tables.read(p, tables.PHONONS) for p in sorted((run / "results/phonons").glob("*.parquet"))]
    done = pa.concat_tables(phonons)
    assert done.num_rows == 2
    assert "ok" in done["status"].to_pylist()
    assert set(done["potential"].to_pylist()) == {"SevenNet-0"}


def test_the_cascade_sends_the_best_on_and_a_sample(run: Path) -> None:
    def whole(name: str, schema: pa.Schema) -> pa.Table:
        return pa.concat_tables(tables.read(p, schema) for p in sorted((run / "results" / name).glob("*.parquet")))

    screened, promoted, evaluated = (
        whole(name, schema)
        for name, schema in (
            ("screened", tables.SCREENED),
            ("promoted", tables.PROMOTED),
            ("evaluated", tables.SCREENED),
        )
    )
    assert promoted["candidate_id"].to_pylist() == evaluated["candidate_id"].to_pylist()
    n = sum(status == "ok" for status in screened["status"].to_pylist())
    reasons = promoted["promoted_as"].to_pylist()
    assert reasons.count("sample") == 5
    assert reasons.count("best") >= 0.3 * n
    # each potential has its own distance to its own hull
    cheap = dict(zip(screened["candidate_id"].to_pylist(), screened["energy_above_hull"].to_pylist(), strict=True))
    rows = promoted.to_pylist()
    assert [row["screening_energy_above_hull"] for row in rows] == [cheap[row["candidate_id"]] for row in rows]
    judged = dict(zip(evaluated["candidate_id"].to_pylist(), evaluated["energy_above_hull"].to_pylist(), strict=True))
    for row in read(run, "ranked.parquet").to_pylist():
        assert row["energy_above_hull"] == judged[row["candidate_id"]] != row["screening_energy_above_hull"]


def test_the_second_judge_has_a_verdict_on_each_of_the_first(run: Path) -> None:
    for path in (run / "results/phonons").glob("*.parquet"):
        first = tables.read(path, tables.PHONONS).to_pylist()
        second = tables.read(run / "results/second_phonons" / path.name, tables.SECOND_PHONONS).to_pylist()
        judged = [row["candidate_id"] for row in first if row["verdict"] is not None]
        assert [row["candidate_id"] for row in second] == judged
        assert {row["potential"] for row in second} <= {"CHGNet-0.3.0"}
    for row in read(run, "compared.parquet").to_pylist():
        assert row["status"] != "ok" or row["second_potential"] == "CHGNet-0.3.0"
    for role, name in (
        ("potential", "SevenNet-0"),
        ("screening_potential", "CHGNet-0.3.0"),
        ("second_potential", "CHGNet-0.3.0"),
    ):
        assert json.loads((run / f"results/{role}.json").read_text())["name"] == name


def test_the_stores_agree(run: Path) -> None:
    stable = read(run, "stable.parquet")
    with connect(run / "results/stable.db") as database:
        assert database.count() == stable.num_rows
    assert len(list((run / "results/cif").glob("*.cif"))) == stable.num_rows
    assert len(list((run / "results/phonopy").glob("*/phonopy.yaml"))) == stable.num_rows
    assert read(run, "dft_inputs.parquet").num_rows == 2 * stable.num_rows
    assert read(run, "dft_results.parquet").num_rows == 0


def test_dft_has_a_verdict_on_the_best(run: Path) -> None:
    """CHGNet is in the place of a DFT code; the database has no crystals of the metals, hence no hull."""
    stable, rows = read(run, "stable.parquet"), read(run, "dft.parquet").to_pylist()
    candidates = [row for row in rows if row["kind"] == "candidate"]
    assert {row["crystal_id"] for row in candidates} == set(stable["candidate_id"].to_pylist())
    assert {row["formula"] for row in rows if row["kind"] == "element"} == {"Ba", "Ru", "O2"}
    best = candidates[0]
    assert best["status"] == "converged"
    assert best["engine"].startswith("chgnet ")
    assert best["starts"][0] == "FM"
    assert best["hull_status"].startswith("no energy of Ba")
    assert best["gain"] is not None
    assert best["phonons"] is not None
    # every calculation is in the store, under the name that the table gives
    for path in (run / "results/dft_statics").glob("*.parquet"):
        for row in tables.read(path, tables.DFT_STATICS).to_pylist():
            if row["status"] == "converged":
                assert (run / "results/dft_store" / row["calculation"] / "result.json").exists()
    assert json.loads((run / "results/dft.json").read_text())["counts"]["with_energy"] == len(candidates)


def test_dft_is_no_part_of_a_run_without_an_engine(run: Path, tmp_path: Path) -> None:
    folder = copy_run(run, tmp_path / "run")
    found = snakemake(folder, "--dry-run", "--forceall", config={"dft": {"engine": "vasp"}})
    assert found.returncode == 0
    assert rules_to_run(found.stdout + found.stderr) & (DFT | {"dft_inputs"}) == {"dft_inputs"}


def test_the_report_is_one_file_about_this_run(run: Path) -> None:
    report = (run / "results/report.html").read_text()
    assert "Ba–Ru–O" in report
    for name in ("Judge: SevenNet-0", "Screening potential: CHGNet-0.3.0", "Second judge: CHGNet-0.3.0"):
        assert name in report
    assert "The screening potential beside the judge" in report
    assert "288" in report
    assert not re.search(r'(src|href)="https?:', report)


def test_the_showcase_holds_what_is_stable(run: Path) -> None:
    folder, stable = run / "results/showcase", read(run, "stable.parquet")
    rows = list(csv.DictReader((folder / "stable.csv").open()))
    assert [row["candidate_id"] for row in rows] == stable["candidate_id"].to_pylist()
    assert len(list((folder / "cif").glob("*.cif"))) == min(stable.num_rows, 100)
    stages = {stage["stage"]: stage for stage in json.loads((folder / "funnel.json").read_text())}
    assert stages["stable"]["kept"] == stable.num_rows
    assert stages["candidates"]["paper"] == 1_795_032
    cost = {row["rule"]: row for row in csv.DictReader((folder / "cost.csv").open())}
    assert cost["screen"]["jobs"] == "2"
    assert float(cost["screen"]["minutes_in_all"]) >= float(cost["screen"]["longest_minutes"]) > 0
    assert (folder / "report.html").read_text() == (run / "results/report.html").read_text()


def test_a_second_run_has_nothing_to_do(run: Path) -> None:
    again = snakemake(run, "--dry-run")
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


DFT = {"dft_crystals", "dft_statics", "dft_hull", "dft_relax", "dft_phonons", "dft"}
AFTER_COMPARE = {"phonons", "second_phonons", "store", *DFT, "dft_inputs", "dft_results", "report", "all"}


def rules_to_run(text: str) -> set[str]:
    """Names of the rules in a dry run's table of jobs."""
    block = text.split("Job stats:")[1].split("total", maxsplit=1)[0]
    return {line.split()[0] for line in block.splitlines()[3:] if line.split()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that a test may change."""
    for name in ("cgwgan_core", "scripts", "rules", "envs", "schemas", "configs", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / "project" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy2(ROOT / name, tmp_path / "project" / name)
    return tmp_path / "project"


def test_a_changed_script_reruns_what_depends_on_it(run: Path, tmp_path: Path, project: Path) -> None:
    folder = copy_run(run, tmp_path / "run")
    script = project / "scripts" / "rank.py"
    script.write_text("# only a comment\n" + script.read_text())
    untouched = snakemake(folder, "--dry-run", root=project)
    assert "Nothing to be done" in untouched.stdout + untouched.stderr
    script.write_text(script.read_text().replace("made_from: Provenance", "made_from: Provenance, more: int = 1"))
    changed = snakemake(folder, "--dry-run", root=project)
    found = rules_to_run(changed.stdout + changed.stderr)
    assert found == {"rank", "relax", "compare", *AFTER_COMPARE}


def test_a_changed_setting_reruns_what_depends_on_it(run: Path, tmp_path: Path) -> None:
    folder = copy_run(run, tmp_path / "run")
    changed = snakemake(folder, "--dry-run", config={"phonons": {"borderline": -0.3}})
    found = rules_to_run(changed.stdout + changed.stderr)
    assert found == AFTER_COMPARE


def test_a_run_of_one_potential_needs_no_other(run: Path, tmp_path: Path) -> None:
    folder = copy_run(run, tmp_path / "run")
    one = {"potential": {"name": "chgnet"}}
    changed = snakemake(folder, "--dry-run", config=one)
    found = rules_to_run(changed.stdout + changed.stderr)
    judged = {"verify_potential", "relax_known_phases", "known_phases", "screen", "rank", "relax", "compare"}
    assert found == (judged | AFTER_COMPARE) - {"second_phonons"}
