"""What reruns what: every output that is lost, every key that changes, every folder that an input lies in."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cgwgan_core.potentials.facts import M3GNET_FILES
from cgwgan_core.potentials.roles import ROLES
from cgwgan_core.workflow.reference import find_rules
from tests.support.dry_run import CHANGED_INPUT, CHANGED_PARAMS, MISSING, RULES, UPDATED, outputs, planned, pretend
from tests.support.workflow import ROOT

DEFAULTS: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
CONFIG = {
    block: {**keys, **yaml.safe_load((ROOT / "configs" / "test.yaml").read_text()).get(block, {})}
    if isinstance(keys, dict)
    else keys
    for block, keys in DEFAULTS.items()
}
"""That of the run."""
HERE, FILE = str(Path(__file__).parent), str(ROOT / "README.md")
OTHERS: Mapping[str, Any] = {
    "chemistry": ["Sr", "Ru", "O"],
    "data.source": "folder",
    "data.path": HERE,
    "data.chunk": 500,
    "training.n_sites": [3],
    "model.kind": "flow",
    "model.flow": {"width": 24, "layers": 1, "steps": 2},
    "model.init": "pretrained",
    "model.generator": [64],
    "model.critic": [64],
    "model.encoder": "continuous",
    "templates.spacegroups": ["cubic"],
    "templates.n_sites": [3],
    "templates.formulas": ["ABX3"],
    "templates.number_density": [0.02, 0.2],
    "templates.tolerance": {"length": 0.2, "angle": 3.0, "site": 0.1},
    "infill.volume": "template",
    "infill.formulas": ["BaRuO3"],
    "infill.max_atoms": 30,
    "infill.per_template": 5,
    "infill.fixed": {"Ba": [1]},
    "infill.atomic_fractions": {"O": [0.1, 0.9]},
    "infill.charge": "require",
    "infill.oxidation_states": "icsd",
    "potential.name": "sevennet-l3i5",
    "potential.path": HERE,
    "potential.energy_scale": "mp_uncorrected",
    "screening_potential.name": "sevennet-0",
    "screening_potential.path": FILE,
    "screening_potential.energy_scale": "mp_corrected",
    "second_potential.name": "sevennet-l3i5",
    "second_potential.path": FILE,
    "second_potential.energy_scale": "mp_corrected",
    "hull.leave_out": [],
    "screen.rank_by": "formation_energy",
    "screen.per_formula": 5,
    "screen.per_template": 5,
    "convergence.compositions": ["MgO"],
    "phonons.min_length": 9.0,
    "phonons.supercell": [1, 1, 1],
    "phonons.mesh": [2, 2, 2],
    "dft.engine": "ase.calculators.emt:EMT",
    "dft.command": "python3",
    "dft.kspacing": 0.3,
    "dft.pseudopotentials": HERE,
    "dft.dispersion": "D4",
    "dft.orders": ["FM"],
    "dft.store": "elsewhere",
    "dft.also": ["t1-Ba-Ru-O"],
    "dft.phonon_supercell": [2, 2, 2],
    "vasp.preset": "paper",
    "vasp.dispersion": "D3",
    "vasp.phonon_method": "dfpt",
    "vasp.supercell": [1, 1, 1],
    "vasp.command": "vasp_std",
    "vasp.job": FILE,
}
"""Other values of keys that are no plain numbers."""
KEYS = [f"{block}.{key}" for block, keys in CONFIG.items() if isinstance(keys, dict) for key in keys]
KEYS = [key for key in KEYS if not key.endswith(".compile")]  # is for M3GNet alone, which this run does without
KEYS.remove("templates.energy_above_hull")  # is for a flow alone, which has a test of its own
KEYS += [block for block, keys in CONFIG.items() if not isinstance(keys, dict)]
READERS = {rule.name: rule.keys for rule in find_rules(ROOT, DEFAULTS)}


def other(key: str) -> Any:
    """A value that a key does not have in the run."""
    if key in OTHERS:
        return OTHERS[key]
    block, _, name = key.partition(".")
    value = CONFIG[block][name] if name else CONFIG[block]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else 0.9 * value


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is complete in Snakemake's eyes; tests leave it as it was."""
    folder = pretend(tmp_path_factory.mktemp("whole"))
    assert planned(folder) == {}
    return folder


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_is_lost_is_made_again(whole: Path, tmp_path: Path, rule: Any) -> None:
    """Whatever was made from it since: each output in turn, then all, as a killed ``--forcerun`` leaves it."""
    names = outputs(rule)
    for lost in [[name] for name in names] + [names]:
        for name in lost:
            shutil.move(whole / "results" / name, tmp_path / name.replace("/", "-"))
        found = planned(whole)
        for name in lost:
            shutil.move(tmp_path / name.replace("/", "-"), whole / "results" / name)
        assert found.get(MISSING) == {rule.name}, lost


@pytest.mark.parametrize("key", KEYS)
def test_a_key_reruns_the_rules_that_are_listed_for_it(whole: Path, key: str) -> None:
    block, _, name = key.partition(".")
    # another source needs a file or folder, and weights of another package its name
    along = {"path": HERE} if key == "data.source" else {}
    if block in ROLES and name == "path":
        along = {"name": "mace", "energy_scale": "mp_uncorrected"}
    found = planned(whole, {block: {name: other(key), **along} if name else other(key)})
    ran = {rule.name for rule in RULES}
    listed = {rule for rule, keys in READERS.items() if key in keys} & ran
    direct = found.get(CHANGED_PARAMS, set()) | found.get(CHANGED_INPUT, set())
    assert direct <= listed
    # of one that also follows another, Snakemake tells that alone; of a further shard, that nothing is there yet
    assert listed <= direct | found.get(UPDATED, set()) | found.get(MISSING, set())
    assert direct
    assert MISSING not in found or key.endswith(".shards")


def test_another_energy_above_the_hull_draws_again(tmp_path: Path) -> None:
    config = {"model": {"kind": "flow"}}
    run = pretend(tmp_path / "run", config)
    assert planned(run, config) == {}
    found = planned(run, config | {"templates": {"energy_above_hull": 0.1}})
    assert found[CHANGED_PARAMS] == {"generate"}


def test_a_key_that_arrives_as_text_is_no_change(whole: Path) -> None:
    text = {"relax": {"fmax": "5e-2", "shards": "2"}, "seed": "1", "infill": {"peroxides": "no", "formulas": "null"}}
    assert planned(whole, text) == {}


def test_content_of_a_folder_is_an_input(tmp_path: Path) -> None:
    folders = {name: tmp_path / f"{name} of mine" for name in ("database", "weights", "upf")}
    for folder in folders.values():
        (folder / "more").mkdir(parents=True)
        for name in M3GNET_FILES:
            (folder / name).write_text("{}")
    config = {
        "data": {"source": "folder", "path": str(folders["database"])},
        "second_potential": {"name": "m3gnet", "path": str(folders["weights"]), "energy_scale": "mp_uncorrected"},
        "dft": {"pseudopotentials": str(folders["upf"])},
    }
    run = pretend(tmp_path / "run", config)
    readers = {
        "database": {"read_database"},
        "weights": {"verify_potential"},
        "upf": {"dft_statics"},  # dft_relax and dft_phonons follow it
    }
    assert planned(run, config) == {}
    for name, rules in readers.items():
        added, there = folders[name] / "more" / "b.cif", folders[name] / "model.json"
        added.write_text("a file in a subfolder")
        assert planned(run, config)[CHANGED_PARAMS] == rules
        added.unlink()
        assert planned(run, config) == {}
        before = there.stat()
        there.write_text("[]")  # as long as before
        assert planned(run, config)[CHANGED_PARAMS] == rules
        there.write_text("{}")
        os.utime(there, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_results_of_vasp_that_arrive_are_read(whole: Path) -> None:
    arrived = whole / "results" / "dft" / "t1" / "relax" / "vasprun.xml"
    arrived.parent.mkdir(parents=True)
    arrived.write_text("")
    found = planned(whole)
    shutil.rmtree(whole / "results" / "dft")
    assert set().union(*found.values()) == {"dft_results"}


def test_content_of_a_job_script_is_an_input(tmp_path: Path) -> None:
    (tmp_path / "job {} $x.sh").write_text("{command}\n")
    config = {"vasp": {"job": str(tmp_path / "job {} $x.sh")}}
    run = pretend(tmp_path / "run", config)
    assert planned(run, config) == {}
    (tmp_path / "job {} $x.sh").write_text("{command} now\n")
    assert "dft_inputs" in set().union(*planned(run, config).values())
