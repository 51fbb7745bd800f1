"""Equal bytes on one core as on two, in another folder, locale and time zone; equal candidates from more shards."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from cgwgan_core.workflow import tables
from tests.support.workflow import copy_run, results, snakemake

AGAIN = ("data", "stable.parquet", "stable.db", "cif", "report.html", "funnel.json", "funnel.svg", "dft_inputs.parquet")
"""What is made again: of each stage that formats numbers and text, and none that a potential works in."""
RULES = ("read_database", "asymmetric_units", "training_set", "store", "dft_inputs", "report")


def test_the_surroundings_do_not_count(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy_run(run, tmp_path / "another folder, with ü")
    for name in AGAIN:
        path = folder / "results" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    # the poorest locale there is, without what Python does about it by itself
    for name, value in {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    done = snakemake(folder, "results/report.html", "results/dft_inputs.parquet", "--allowed-rules", *RULES, cores=1)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "[6/6] " in done.stderr
    assert results(folder) == results(run)


def test_candidates_do_not_depend_on_the_number_of_shards(run: Path, tmp_path: Path) -> None:
    """Elements are put on one template at a time. Energies do depend on it, in their last digits: by their batches."""
    folder = copy_run(run, tmp_path / "run")
    shutil.rmtree(folder / "results" / "candidates")
    names = [f"results/candidates/{shard}.parquet" for shard in range(3)]
    done = snakemake(folder, *names, "--allowed-rules", "infill", config={"infill": {"shards": 3}})
    assert done.returncode == 0, done.stderr[-3000:]
    two, three = (
        pa.concat_tables(
            tables.read(path, tables.CANDIDATES) for path in sorted(top.glob("results/candidates/*.parquet"))
        )
        for top in (run, folder)
    )
    assert two.num_rows > 0
    assert three.equals(two)
