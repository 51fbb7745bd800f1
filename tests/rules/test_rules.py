"""Every rule alone, on the inputs of a complete run: its outputs come out again, byte for byte."""

import shutil
from pathlib import Path

import pytest
import yaml
from ase.build import bulk

from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance, digest_file
from cgwgan_core.workflow.reference import find_rules
from tests.support.vasp import write_relaxation
from tests.support.workflow import ROOT, copy_run, snakemake

FOUND = find_rules(ROOT, yaml.safe_load((ROOT / "config.yaml").read_text()))
# what is made of a crystal that is named is no part of a complete run
RULES = {rule.name: rule.outputs for rule in FOUND if "{crystal}" not in rule.outputs[0]}
RULES["dft_inputs"] += ("dft",)  # which it does not declare


@pytest.mark.parametrize("rule", RULES)
def test_rule_alone(rule: str, run: Path, tmp_path: Path) -> None:
    folder = copy_run(run, tmp_path / "run")
    # of a rule with shards, the second; calculations by DFT lie in a store, which is kept
    names = [name.format(shard=1, role="second_potential") for name in RULES[rule]]
    outputs = [folder / "results" / name for name in names]
    shutil.rmtree(folder / "results" / "logs")
    before = [digest_file(path) for path in outputs]
    for path in outputs:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    # one core here, two in the run: results must not depend on it
    done = snakemake(folder, str(outputs[0].relative_to(folder)), "--allowed-rules", rule, cores=1)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [digest_file(path) for path in outputs] == before
    assert list((folder / "results" / "logs").rglob(f"{rule}*"))


def test_results_of_dft_are_read_back_and_outlive_every_rerun(tmp_path: Path) -> None:
    atoms = bulk("MgO", "rocksalt", a=4.21)
    survivor = {
        "candidate_id": "t1-Mg-O",
        "lattice": atoms.cell.array.ravel().tolist(),
        "numbers": atoms.numbers.tolist(),
        "frac_coords": atoms.get_scaled_positions().ravel().tolist(),
        "formation_energy_per_atom": -3.0,
        "volume_per_atom": atoms.get_volume() / 2,
    }
    results = tmp_path / "results"

    def statuses(*arguments: str) -> list[tuple[str, bool]]:
        allowed = ("--allowed-rules", "dft_inputs", "dft_results")
        done = snakemake(tmp_path, "results/dft_results.parquet", *arguments, *allowed)
        assert done.returncode == 0, done.stderr[-3000:]
        rows = tables.read(results / "dft_results.parquet", tables.DFT_RESULTS).to_pylist()
        return [(row["status"], row["current"]) for row in rows]

    tables.write(results / "stable.parquet", [survivor], tables.STABLE, Provenance())
    assert statuses() == []
    vasprun = results / "dft" / "t1-Mg-O" / "relax" / "vasprun.xml"
    write_relaxation(vasprun, atoms, -12.0)
    before = {path: path.read_bytes() for path in vasprun.parent.iterdir()}
    assert statuses() == [("converged", True)]
    assert statuses("--forceall") == [("converged", True)]
    tables.write(results / "stable.parquet", [], tables.STABLE, Provenance())
    assert statuses() == [("converged", False)]
    assert {path: path.read_bytes() for path in vasprun.parent.iterdir()} == before
