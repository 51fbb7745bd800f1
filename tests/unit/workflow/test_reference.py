"""The generated pages are in step with their sources, and rules are found to read what they read."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from cgwgan_core.workflow import tables
from cgwgan_core.workflow.reference import OTHERS, TABLES, Rule, find_rules, pages, type_of

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture(scope="module")
def rules(config: dict[str, Any]) -> list[Rule]:
    return find_rules(ROOT, config)


@pytest.mark.parametrize("path", pages(ROOT), ids=lambda path: path.name)
def test_pages_are_in_step(path: Path) -> None:
    assert path.read_text() == pages(ROOT)[path], "run make docs"


def test_every_output_of_a_rule_is_explained(rules: list[Rule]) -> None:
    outputs = [path for rule in rules for path in rule.outputs]
    assert sorted(outputs) == sorted([*TABLES, *OTHERS])


def test_every_schema_has_its_file() -> None:
    schemas = {id(value) for value in vars(tables).values() if isinstance(value, pa.Schema)}
    assert schemas == {id(schema) for schema, _ in TABLES.values()}


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("seed", {"training_set", "train", "quality", "generate", "promote", "relax_beside_random", "infill"}),
        (
            "chemistry",
            {"infill", "relax_known_phases", "known_phases", "rank", "compare", "store", "dft_crystals", "dft"},
        ),
        ("data.path", {"read_database"}),  # as an input, too
        ("model.init", {"train"}),  # in a dictionary
        ("templates.keep", {"merge_templates"}),  # left out of the blocks of generate and quality
        ("templates.pseudocount", {"generate", "quality"}),  # left out of their blocks, and read by itself
        ("templates.tolerance", {"generate", "merge_templates"}),
        ("infill.shards", {"infill", "promote", "rank"}),  # by shards(), and left out of infill's block
        ("infill.charge", {"infill"}),
        ("screen.batch_size", {"screen", "evaluate"}),
        ("screen.refine_below", {"screen"}),  # left out of evaluate's block, which has its own
        ("screen.rank_by", {"promote", "rank"}),
        ("screen.top", {"rank"}),
        ("cascade.refine_below", {"evaluate"}),
        ("cascade.share", {"promote"}),
        ("cascade.shards", {"promote", "rank"}),  # by promoted()
        ("hull.max_atoms", {"relax_known_phases", "relax_beside_random"}),
        ("convergence.each", {"relax_beside_random"}),
        ("convergence.shards", {"relax_beside_random", "convergence"}),
        ("phonons.top", {"compare"}),
        ("phonons.shards", {"phonons", "store", "showcase"}),
        ("phonons.fmax", {"phonons", "second_phonons"}),
        ("phonons.follow_modes", {"phonons"}),
        ("potential.tolerance", {"verify_potential"}),
        (
            "potential.name",
            {
                "verify_potential",
                "relax_known_phases",
                "screen",
                "evaluate",
                "relax",
                "relax_beside_random",
                "phonons",
                "dft_relax",
            },
        ),
        ("phonons.stable", {"phonons", "second_phonons", "dft_phonons"}),
        ("dft.command", {"dft_statics", "dft_relax", "dft_phonons", "dft_electrons"}),  # by STORE
        ("dft.top", {"dft_crystals", "dft"}),  # by part()
        ("vasp.preset", {"dft_inputs", "dft_statics", "dft_hull", "dft_relax", "dft_phonons", "dft", "dft_electrons"}),
        ("screening_potential.name", {"verify_potential", "screen"}),
        ("second_potential.name", {"verify_potential", "compare", "second_phonons"}),
    ],
)
def test_readers_of_a_key(rules: list[Rule], key: str, names: set[str]) -> None:
    # the report shows the whole configuration
    assert {rule.name for rule in rules if key in rule.keys} == names | {"report"}


def test_rules_are_chained_by_their_files(rules: list[Rule]) -> None:
    by_name = {rule.name: rule for rule in rules}
    assert by_name["compare"].outputs == ("compared.parquet",)
    # the candidates of a cascade, or all
    assert by_name["rank"].inputs >= {"screened/{shard}.parquet", "evaluated/{shard}.parquet", "templates.parquet"}
    assert set(by_name["promote"].outputs) == {"promoted/{shard}.parquet", "promoted.json"}
    assert {rule.name for rule in rules if "second_phonons/{shard}.parquet" in rule.inputs} == {"store", "report"}
    assert {rule.name for rule in rules if "compared.parquet" in rule.inputs} == {"phonons", "store", "report"}
    assert [rule.name for rule in rules][:4] == ["read_database", "asymmetric_units", "training_set", "train"]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"type": "boolean"}, "boolean"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.2}, "number > 0 and ≤ 0.2"),
        ({"type": ["number", "null"]}, "number, or null"),
        ({"enum": ["tag", "require"]}, "tag or require"),
        ({"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}}, "list of 2: number"),
        (
            {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "integer", "minimum": 1}},
            "list of 1 or more different: integer ≥ 1",
        ),
    ],
)
def test_types_in_words(rule: dict[str, Any], text: str) -> None:
    assert type_of(rule) == text
