"""Configuration errors: all at once, one line each, with the nearest known key."""

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from cgwgan_core.database.training_set import TrainingOptions
from cgwgan_core.dft.vasp_presets import DftOptions
from cgwgan_core.generator.model import PSEUDOCOUNT
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.selection import TemplateOptions
from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.relaxation.known_phases import KnownPhasesOptions
from cgwgan_core.relaxation.shortlist import RelaxOptions
from cgwgan_core.screening.cascade import CascadeOptions
from cgwgan_core.screening.energies import ScreenOptions
from cgwgan_core.screening.infill import InfillOptions
from cgwgan_core.screening.ranking import RankOptions
from cgwgan_core.workflow.config import RENAMED, problems, repeated, settled, unreadable

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "schemas" / "config.schema.yaml"


@pytest.fixture
def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config.yaml").read_text()) | {"chemistry": ["Ba", "Ru", "O"]}


def test_the_shipped_configuration_has_no_problems() -> None:
    assert problems(yaml.safe_load((ROOT / "config.yaml").read_text()), SCHEMA) == []


@pytest.mark.parametrize("overlay", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_overlays_fit_the_schema(config: dict[str, Any], overlay: Path) -> None:
    for block, keys in yaml.safe_load(overlay.read_text()).items():
        config[block] = {**config[block], **keys} if isinstance(keys, dict) else keys
    # a path that the user has to name is all that may be missing
    paths = ("data.path: missing", "potential.path: missing")
    assert [line for line in problems(config, SCHEMA) if not line.startswith(paths)] == []


def test_every_key_is_described_and_commented(config: dict[str, Any]) -> None:
    schema = yaml.safe_load(SCHEMA.read_text())
    commented = (ROOT / "config.yaml").read_text().splitlines()
    for block, rule in schema["properties"].items():
        assert block in config
        assert rule.get("description"), block
        for key, inner in rule.get("properties", {}).items():
            assert key in config[block], f"{block}.{key} has no default"
            assert inner.get("description") or "$ref" in inner, f"{block}.{key}"
    # what its name does not explain has a comment beside it
    plain = {line.split(":")[0].strip() for line in commented if line.startswith("  ") and "#" not in line}
    assert plain <= {"shards", "batch_size", "supercell"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"screan": {}}, "screan: no such key; did you mean screen?"),
        ({"fmax": 1}, "fmax: no such key; did you mean hull.fmax or relax.fmax or convergence.fmax or phonons.fmax?"),
        ({"chemistry": ["Ba", "Rx"]}, "chemistry.1: 'Rx' is no element"),
        (
            {"potential": {"name": "sevenet-0"}},
            "potential.name: 'sevenet-0' is not allowed; did you mean sevennet-0?; one of auto",
        ),
        ({"chemistry": ["Ba", "o"]}, "chemistry.1: 'o' is no element; did you mean O?"),
        ({"chemistry": ["Ba", False]}, 'write "No" in quotes'),
        ({"seed": "one"}, "seed: 'one' is not of type 'integer'"),
        ({"templates": {"min_distnace": 1}}, "templates.min_distnace: no such key; did you mean min_distance?"),
        ({"data": {"source": "csvv"}}, "data.source: 'csvv' is not allowed; did you mean csv?"),
        ({"data": {"source": "csv"}}, "data.path: missing; data.source csv reads a file or folder"),
        ({"data": {"source": "csv", "path": "no.csv"}}, "data.path: no.csv does not exist"),
        ({"model": {"init": "no.ckpt"}}, "model.init: no.ckpt does not exist"),
        ({"model": {"init": "scratch"}}, "model.max_steps: 0 uses a checkpoint as it is"),
        ({"data": {"source": "csv", "path": ""}}, "data.path: is empty; write null for none"),
        ({"data": {"source": "csv", "path": "a{run}/b.csv"}}, "data.path: a{run}/b.csv: Snakemake takes {run} for a"),
        ({"data": {"source": "mp"}}, "data.source: mp downloads with the key in $MP_API_KEY, which is not set"),
        ({"model": {"init": ""}}, "model.init: is empty"),
        ({"potential": {"path": ""}}, "potential.path: is empty; write null for none"),
        (
            {"templates": {"spacegroups": [62, "cubc"]}},
            "templates.spacegroups.1: 'cubc' is not allowed; did you mean cubic?; a number from 1 to 230",
        ),
        ({"templates": {"spacegroups": [231]}}, "templates.spacegroups.0: 231 is not allowed; a number from 1 to 230"),
        ({"templates": {"number_density": [0.2, 0.1]}}, "templates.number_density: the first number"),
        ({"templates": {"formulas": ["ABA3"]}}, "templates.formulas: ABA3 has a letter twice"),
        ({"templates": {"formulas": ["BaRuO3"]}}, "templates.formulas.0: 'BaRuO3'"),
        ({"templates": {"energy_above_hull": 0.0}}, "templates.energy_above_hull: a wgan cannot draw by it"),
        ({"templates": {"energy_above_hull": -0.1}}, "templates.energy_above_hull: -0.1"),
        ({"dft": {"orders": []}}, "dft.orders"),
        ({"dft": {"orders": ["FM", "AF"]}}, "dft.orders.1: 'AF'"),
        ({"infill": {"fixed": {"Ti": [1]}}}, "infill.fixed.Ti: not in chemistry, Ba, Ru, O"),
        ({"infill": {"fixed": {"Ba": [1], "O": [1]}}}, "infill.fixed: multiplicity 1 stands at two elements"),
        (
            {"infill": {"atomic_fractions": {"O": [0.7, 0.6]}}},
            "infill.atomic_fractions.O: the first number must not be above",
        ),
        ({"infill": {"atomic_fractions": {"O": [0.7]}}}, "infill.atomic_fractions.O"),
        (
            {"infill": {"atomic_fractions": {"O": [0.6, 0.7], "Ba": [0.5, 1]}}},
            "infill.atomic_fractions: the least fractions add up to more than 1",
        ),
        ({"infill": {"max_atoms": 2}}, "infill.max_atoms: fewer than the 3 elements of chemistry"),
        ({"potential": {"name": "m3gnet"}}, "potential.path: missing"),
        ({"second_potential": {"name": "nequix", "path": "no.nqx"}}, "second_potential.path: no.nqx does not exist"),
        ({"screening_potential": {"path": "/no/folder"}}, "screening_potential.path: /no/folder does not exist"),
        ({"screening_potential": {"name": "m3gnet"}}, "screening_potential.path: missing"),
        ({"second_potential": {"name": "m3gnet"}}, "second_potential.path: missing"),
        ({"screening_potential": {"name": "m3gnet", "path": "../m"}}, "screening_potential.path: ../m does not exist"),
        ({"screening_potential": {"path": "../m"}}, "screening_potential.path: ../m does not exist"),
        ({"second_potential": {"name": "nequix"}}, "second_potential.path: missing; nequix needs its weights"),
        ({"second_potential": {"name": "mace"}}, "second_potential.path: missing; mace needs its weights"),
        ({"second_potential": {"name": "mace", "path": "medium"}}, "second_potential.energy_scale: missing; mace does"),
        (
            {"potential": {"name": "sevennet-0", "path": "x"}},
            "potential.path: sevennet-0 brings its own weights; write",
        ),
        ({"second_potential": {"name": "mine:make"}}, "second_potential.energy_scale: missing"),
        ({"templates": None}, "templates: is empty; give its keys, or delete the line"),
        ({"seed": None}, "seed: is empty; give a value, or delete the line"),
        ({"screening_potential": {"name": "chgnett"}}, "screening_potential.name: 'chgnett'"),
        ({"second_potential": {"tolerance": 0.1}}, "second_potential.tolerance: no such key"),
        ({"cascade": {"share": 0}}, "cascade.share: 0"),
        ({"cascade": {"share": 1.5}}, "cascade.share: 1.5"),
        ({"cascade": {"margin": -0.1}}, "cascade.margin: -0.1"),
        ({"cascade": {"sample": 0.5}}, "cascade.sample: 0.5"),
        ({"cascade": {"top": 5}}, "cascade.top: no such key; did you mean screen.top or phonons.top or dft.top?"),
    ],
)
def test_each_mistake_is_told(
    config: dict[str, Any], change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where no run has been
    for variable in ("CGWGAN_POTENTIAL", "MP_API_KEY"):
        monkeypatch.setenv(variable, "")
    for block, keys in change.items():
        config[block] = {**config[block], **keys} if isinstance(keys, dict) and block in config else keys
    found = problems(config, SCHEMA)
    assert any(message in line for line in found), found
    assert all("\n" not in line for line in found)


@pytest.mark.parametrize(
    ("block", "given", "meant"),
    [
        ("seed", "7", 7),
        ("chemistry", ["Ba", "No"], ["Ba", "No"]),
        ("training", {"n_sites": ["3", "4"]}, {"n_sites": [3, 4]}),
        ("templates", {"samples": "2e3", "keep": "null"}, {"samples": 2000, "keep": None}),
        ("templates", {"samples": 2000.0, "keep": "~"}, {"samples": 2000, "keep": None}),
        ("templates", {"spacegroups": ["225", "cubic"]}, {"spacegroups": [225, "cubic"]}),
        ("templates", {"tolerance": {"angle": "3"}}, {"tolerance": {"angle": 3}}),
        ("infill", {"mixed_valence": "Yes", "peroxides": "false"}, {"mixed_valence": True, "peroxides": False}),
        ("infill", {"fixed": {"Ba": ["1", "2"]}}, {"fixed": {"Ba": [1, 2]}}),
        ("infill", {"atomic_fractions": {"O": ["0.5", ".75"]}}, {"atomic_fractions": {"O": [0.5, 0.75]}}),
        ("second_potential", "null", None),
        ("second_potential", {"energy_scale": "null", "compile": "on"}, {"energy_scale": None, "compile": True}),
        ("relax", {"shards": "10", "fmax": "1e-3"}, {"shards": 10, "fmax": 0.001}),
        ("phonons", {"supercell": ["2", "2", "1"], "min_length": "null"}, {"supercell": [2, 2, 1], "min_length": None}),
        (
            "dft",
            {"command": "true", "store": "~/kept"},
            {"command": "true", "store": "/home/u/kept"},
        ),
        ("model", {"init": "~/my run/a.ckpt"}, {"init": "/home/u/my run/a.ckpt"}),
    ],
)
def test_text_is_taken_for_what_the_schema_says(
    block: str, given: object, meant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    assert settled({block: given}, SCHEMA) == {block: meant}


@pytest.mark.parametrize("given", ["ten", "1.5", "nan", "1_0", "", float("nan"), float("inf"), "0x10"])
def test_what_is_no_number_stays_and_is_told(config: dict[str, Any], given: object) -> None:
    config["relax"]["max_steps"] = given
    assert [line for line in problems(settled(config, SCHEMA), SCHEMA) if line.startswith("relax.max_steps")]


def test_the_shipped_configuration_is_settled(config: dict[str, Any]) -> None:
    assert settled(config, SCHEMA) == config


def test_keys_that_stand_twice_are_told(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("relax:\n  fmax: 0.1\n  shards: 2\n  fmax: 0.2\nseed: 1\nrelax: {}\n")
    assert repeated(overlay) == [
        f"{overlay}: fmax stands in line 2 and in line 4; keep one",
        f"{overlay}: relax stands in line 1 and in line 6; keep one",
    ]
    assert repeated(ROOT / "config.yaml") == []


def test_weights_of_other_packages_may_be_names(config: dict[str, Any]) -> None:
    config["second_potential"] |= {"name": "mace", "path": "medium", "energy_scale": "mp_uncorrected"}
    assert problems(config, SCHEMA) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"seed: 1\ninfill:\n\tcharge: tag\n", "line 3: a tab; indent with spaces"),
        (b"infill:\n  charge: tag\n   max_atoms: 9\n", "line 3: mapping values are not allowed here; is it indented"),
        (b"infill:\n  charge: tag\n max_atoms: 9\n", "line 3: expected <block end>"),
        (b"", "has no keys; write some"),
        (b"# seed: 1\n", "has no keys; write some"),
        (b"Sr-Ti-O\n", "has no keys; write some"),
        (b"chemistry: [Sr, \xff]\n", "no text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    assert str(unreadable(file)).startswith(f"{file}: {told}")
    file.write_text("seed: 1\n")
    assert unreadable(file) is None
    assert unreadable(tmp_path / "lost") == f"{tmp_path / 'lost'}: No such file or directory"


def test_a_run_may_have_one_potential(config: dict[str, Any]) -> None:
    config |= {"screening_potential": None, "second_potential": None}
    assert problems(config, SCHEMA) == []
    assert problems(config | {"potential": None}, SCHEMA) != []


def test_renamed_keys_are_told_where_they_stand(config: dict[str, Any]) -> None:
    for old in RENAMED:
        block, key = old.split(".")
        config[block][key] = None
    assert set(problems(config, SCHEMA)) == {
        "dft.ediff: renamed; write vasp.ediff",
        "dft.supercell: renamed; write vasp.supercell",
        "infill.shares: renamed; write infill.atomic_fractions",
        "model.repeats: renamed; write model.duplicate_exponent",
        "phonons.follow: renamed; write phonons.follow_modes",
        "relax.free: renamed; write relax.unconstrained",
        "screen.min_distance_ratio: renamed; write infill.min_distance_ratio",
        "screen.min_separation: renamed; write infill.min_distance_ratio",
        "templates.boldness: renamed; write templates.pseudocount",
    }


@pytest.mark.parametrize("new", RENAMED.values())
def test_new_names_are_keys(config: dict[str, Any], new: str) -> None:
    block, key = new.split(".")
    assert key in config[block]


def test_all_mistakes_are_told_at_once(config: dict[str, Any]) -> None:
    wrong = copy.deepcopy(config)
    wrong["chemistry"] = ["Xx"]
    wrong["relax"].pop("fmax")
    wrong["topp"] = 1
    wrong["data"] |= {"source": "csv", "path": "no.csv"}
    wrong["templates"]["number_density"] = [0.2, 0.1]
    told = [line.split(":")[0] for line in problems(wrong, SCHEMA)]
    # what the schema says, then contradictions among the other blocks
    assert told == ["topp", "chemistry.0", "relax.fmax", "data.path", "templates.number_density"]


def test_options_in_code_have_the_defaults_of_the_configuration(config: dict[str, Any]) -> None:
    options = [
        ("training", TrainingOptions()),
        ("model", ModelOptions()),
        ("templates", TemplateOptions()),
        ("infill", InfillOptions(charge="require")),
        ("cascade", CascadeOptions()),
        ("hull", KnownPhasesOptions()),
        ("screen", ScreenOptions()),
        ("screen", RankOptions()),
        ("relax", RelaxOptions()),
        ("phonons", PhononOptions()),
        ("vasp", DftOptions()),
    ]
    for block, default in options:
        for key, value in asdict(default).items():
            where = "infill" if key == "min_distance_ratio" else block
            assert config[where][key] == (list(value) if isinstance(value, tuple) else value), f"{block}.{key}"
    # the shipped generator is chosen and calibrated at the usual pseudocount
    assert config["templates"]["pseudocount"] == PSEUDOCOUNT
