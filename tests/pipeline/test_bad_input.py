"""Bad input: one clear message, exit status 1, no half-written output."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from tests.support.workflow import ROOT, copy_run, snakemake

STRUCTURES = "results/data/structures.parquet"
ROCKSALT = Structure.from_spacegroup(225, Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def data(source: str, path: Path) -> dict[str, Any]:
    return {"data": {"source": source, "path": str(path)}}


def refuse(folder: Path, target: str, *message: str, config: dict[str, Any]) -> None:
    """Run towards ``target`` and expect the message, status 1 and no output."""
    failed = snakemake(folder, target, config=config)
    text = failed.stdout + failed.stderr
    assert failed.returncode == 1, text[-2000:]
    told = [line for line in text.splitlines() if all(part in line for part in message)]
    assert len(told) == 1, text[-3000:]
    assert "Traceback" not in text
    written = [p for p in (folder / "results").rglob("*") if p.is_file() and "logs" not in p.parts]
    assert [p for p in written if p.suffix in (".parquet", ".part", ".ckpt")] == []


def test_truncated_cif(tmp_path: Path) -> None:
    cif = ROCKSALT.to(fmt="cif")
    (tmp_path / "cifs").mkdir()
    (tmp_path / "cifs" / "mgo.cif").write_text(cif[: len(cif) // 2])
    refuse(tmp_path, STRUCTURES, "error:", "cifs", "mgo", config=data("folder", tmp_path / "cifs"))


def test_truncated_cif_among_good_ones_is_refused_alone(tmp_path: Path) -> None:
    cif = ROCKSALT.to(fmt="cif")
    (tmp_path / "cifs").mkdir()
    (tmp_path / "cifs" / "bad.cif").write_text(cif[: len(cif) // 2])
    (tmp_path / "cifs" / "good.cif").write_text(cif)
    done = snakemake(tmp_path, STRUCTURES, config=data("folder", tmp_path / "cifs"))
    assert done.returncode == 0
    assert "2 records: 1 kept, 1 refused" in done.stderr


def test_empty_dump(tmp_path: Path) -> None:
    (tmp_path / "mp.json.gz").write_bytes(gzip.compress(b"[]"))
    refuse(tmp_path, STRUCTURES, "error:", "mp.json.gz", config=data("mp_dump", tmp_path / "mp.json.gz"))


def test_record_without_structure(tmp_path: Path) -> None:
    (tmp_path / "mp.json").write_text(json.dumps([{"material_id": "mp-1", "formation_energy_per_atom": -1.0}]))
    refuse(
        tmp_path, STRUCTURES, "error:", "mp.json", "mp-1", "structure",
        config=data("mp_dump", tmp_path / "mp.json"),
    )  # fmt: skip


def test_wrong_element(tmp_path: Path) -> None:
    refuse(tmp_path, STRUCTURES, "chemistry.1: 'Rx' is no element", config={"chemistry": ["Ba", "Rx", "O"]})


def test_more_elements_than_the_shipped_generator_has_sites(tmp_path: Path) -> None:
    five = {"chemistry": ["Ba", "Sr", "Ru", "Ti", "O"], "model": {"init": "pretrained", "max_steps": 0}}
    refuse(tmp_path, STRUCTURES, "5 elements do not fit on the 3 or 4 sites of the shipped generator", config=five)


def test_an_element_that_nothing_serves(tmp_path: Path) -> None:
    refuse(tmp_path, STRUCTURES, "chgnet (second_potential) was not trained on Po", config={"chemistry": ["Po", "O"]})


def test_values_of_the_command_line_are_what_the_schema_says(tmp_path: Path) -> None:
    values = ("relax={shards: 3, fmax: 1e-3, unconstrained: no}", "seed=7", "hull={max_above_hull: null}")
    done = snakemake(tmp_path, "--dry-run", "--config", *values)
    assert done.returncode == 0, done.stdout + done.stderr
    failed = snakemake(tmp_path, "--dry-run", "--config", "relax={shards: three}")
    assert "relax.shards: 'three' is not of type 'integer'" in failed.stdout + failed.stderr


def test_a_folder_without_settings_runs_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "--dry-run"]
    folder = tmp_path / "mistyped"
    failed = subprocess.run([*command, "--directory", str(folder)], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert f"{folder} has no config.yaml; correct --directory" in failed.stdout + failed.stderr
    (folder / "config.yaml").write_text("infill:\n\tcharge: tag\n")
    failed = subprocess.run([*command, "--directory", str(folder)], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert f"{folder}/config.yaml: line 2: a tab; indent with spaces" in failed.stdout + failed.stderr


def test_a_file_of_another_source_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "mp.json").write_bytes(b"PAR1")
    refuse(
        tmp_path, STRUCTURES, f"data.source: mp_dump does not read {tmp_path}/mp.json; write parquet",
        config=data("mp_dump", tmp_path / "mp.json"),
    )  # fmt: skip


def test_unknown_and_renamed_keys(tmp_path: Path) -> None:
    wrong = {"relax": {"fmx": 0.1, "free": 10}}
    refuse(tmp_path, STRUCTURES, "relax.fmx: no such key; did you mean fmax?", config=wrong)
    refuse(tmp_path, STRUCTURES, "relax.free: renamed; write relax.unconstrained", config=wrong)


@pytest.mark.parametrize("content", [b"no checkpoint", b""])
def test_unreadable_checkpoint(run: Path, tmp_path: Path, content: bytes) -> None:
    folder = copy_run(run, tmp_path / "run")
    (tmp_path / "my.ckpt").write_bytes(content)
    failed = snakemake(
        folder, "results/model/generator.ckpt", config={"model": {"init": str(tmp_path / "my.ckpt"), "max_steps": 0}}
    )
    text = failed.stdout + failed.stderr
    assert failed.returncode == 1
    assert len([line for line in text.splitlines() if "my.ckpt is no checkpoint of this program" in line]) == 1
    assert "Traceback" not in text
    # told before anything runs: what was there stays
    assert (folder / "results/model/generator.ckpt").exists()
