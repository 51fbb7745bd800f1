"""The pages of ``docs/`` on configuration keys and files, from their definitions: ``make docs``.

Rule files are read as text: a section of a rule is the arguments of a Python call.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_text

TABLES: dict[str, tuple[pa.Schema, str]] = {
    "data/structures.parquet": (tables.STRUCTURES, "a structure of the database"),
    "data/refused.parquet": (tables.REFUSED, "a record that reading, asymmetric units or training refused"),
    "data/asu.parquet": (tables.ASU, "a structure as space group, cell and Wyckoff sites"),
    "data/training.parquet": (tables.TRAINING, "a structure to learn from, with its keys and its side of the split"),
    "templates.parquet": (tables.TEMPLATES, "a distinct template that passed all checks"),
    "candidates/{shard}.parquet": (tables.CANDIDATES, "a template with an element on every site"),
    "screened/{shard}.parquet": (tables.SCREENED, "a candidate with its energies"),
    "promoted/{shard}.parquet": (tables.PROMOTED, "a candidate that the screening potential sends on to the judge"),
    "evaluated/{shard}.parquet": (tables.SCREENED, "a promoted candidate with its energies by the judge"),
    "known_phases/{shard}.parquet": (tables.KNOWN_PHASES, "a known phase of the chemistry, relaxed"),
    "known_phases.parquet": (tables.KNOWN_PHASES, "a known phase or an element of the chemistry, on their hull"),
    "ranked.parquet": (tables.RANKED, "a candidate of the shortlist, or a known phase at its rank"),
    "ranking_refused.parquet": (tables.RANKING_REFUSED, "a candidate that repeats a better one, or a known phase"),
    "relaxed/{shard}.parquet": (tables.RELAXED, "a relaxed crystal of the shortlist"),
    "compared.parquet": (tables.COMPARED, "a relaxed crystal, compared with the others and with the database"),
    "phonons/{shard}.parquet": (tables.PHONONS, "a phonon calculation with its verdict"),
    "second_phonons/{shard}.parquet": (tables.SECOND_PHONONS, "what the second potential says of a judged crystal"),
    "stable.parquet": (tables.STABLE, "a novel, distinct crystal that is stable or borderline"),
    "stable_refused.parquet": (tables.STABLE_REFUSED, "a crystal that passes, but is known or a repeat"),
    "dft_crystals.parquet": (tables.DFT_CRYSTALS, "a candidate, known phase or element that DFT may see"),
    "dft_statics/{shard}.parquet": (tables.DFT_STATICS, "its energy by DFT"),
    "dft_hull.parquet": (tables.DFT_HULL, "its distances to hulls by DFT, at the potential's geometry"),
    "dft_relaxed/{shard}.parquet": (tables.DFT_RELAXED, "a crystal relaxed by DFT"),
    "dft_phonons/{shard}.parquet": (tables.DFT_PHONONS, "a crystal's phonons by DFT"),
    "dft.parquet": (tables.DFT, "what DFT says of a crystal in the end"),
    "dft_next.parquet": (tables.DFT_NEXT, "a candidate that DFT has not seen, in the order expected of it"),
    "dft_electrons/{crystal}.parquet": (tables.DFT_ELECTRONS, "the electrons of a crystal that was asked for by name"),
    "convergence/{shard}.parquet": (tables.CONVERGENCE_CRYSTALS, "a crystal relaxed to count how many converge"),
    "convergence.parquet": (tables.CONVERGENCE, "a point of that figure: arm, number of elements, range of sizes"),
    "dft_inputs.parquet": (tables.DFT_INPUTS, "a folder of VASP inputs, `dft/<candidate_id>/<task>/`"),
    "dft_results.parquet": (tables.DFT_RESULTS, "a relaxation by VASP beside the potential's values"),
}
"""Tables by their path under ``results/``, in the order of the pipeline: schema, and what a row is."""
SHARED = {
    "STORE": (
        *(f"dft.{key}" for key in ("engine", "command", "kspacing", "pseudopotentials", "dispersion")),
        *("dft.store", "dft.max_minutes", "dft.orders"),
        *(f"vasp.{key}" for key in ("preset", "dispersion", "kspacing", "ediff", "command", "job")),
    ),
    "HUBBARD": ("dft.engine", "vasp.preset"),
}
"""Names of ``rules/common.smk`` -> configuration keys that stand in them."""
OTHERS = {
    "data/refused/read.parquet": "the first part of `data/refused.parquet`",
    "data/refused/asu.parquet": "the second part of `data/refused.parquet`",
    "model/generator.ckpt": "the generator: weights, options, encoder, and the templates that it was trained on",
    "model/training.csv": "the losses over the training",
    "quality.json": "figures of the generator and of its references, the critic's latent space",
    "templates/{shard}.parquet": "one shard of draws, with the columns of `templates.parquet`",
    "templates/{shard}.json": "how many were drawn, kept, and refused for which reason",
    "template_counts.json": "the sum of these counts, and the repeats among shards",
    "candidates/{shard}.json": "how many candidates were made, kept, and refused for which reason",
    "{role}.json": "a potential, its weights' digest, its errors on known crystals: `potential.json`, "
    "`screening_potential.json`, `second_potential.json`",
    "promoted.json": "how many candidates go on to the judge, and how many do not",
    "ranking_counts.json": "how many candidates were ranked, and set aside for which reason",
    "stable.db": "`stable.parquet` as an ASE database",
    "cif": "a CIF file of each of these crystals",
    "phonopy": "cell and force constants of each, for phonopy",
    "xrd_similarity.csv": "likeness of their powder diffraction patterns, each with each",
    "dft.json": "how many candidates hold by DFT; the model of the potential's error",
    "dft_electrons/{crystal}.json": "the short columns of its table: charges, moments, gap",
    "dft_electrons/{crystal}.svg": "its bands and densities of states",
    "report.html": "the run for reading, one file",
    "funnel.json": "how many enter and leave each stage, and why; the files that the report was made of",
    "funnel.svg": "its picture",
    "convergence.svg": "shares of converged relaxations, generated and random; made only when asked for",
    "showcase": "what the run found, small enough to keep; made only when asked for",
}
"""All other outputs of rules, with what they hold."""


@dataclass(frozen=True)
class Rule:
    """What a rule reads and writes."""

    name: str
    keys: frozenset[str]
    """Configuration keys that the rule gets, such as ``seed`` and ``relax.fmax``: a change of one reruns it."""
    inputs: frozenset[str]
    """Paths under ``results/``, with wildcards."""
    outputs: tuple[str, ...]
    """Paths under ``results/``, with wildcards."""


def find_rules(root: Path, config: Mapping[str, Any]) -> list[Rule]:
    """All rules of the workflow, in the order of the Snakefile.

    :param root: folder of the Snakefile.
    :param config: the default configuration.
    """
    found = []
    for path in re.findall(r'^include: "(.+)"$', (root / "Snakefile").read_text(encoding="utf-8"), re.MULTILINE):
        text = (root / path).read_text(encoding="utf-8")
        for name, body in re.findall(r"^rule (\w+):\n((?: .*\n|\n)+)", text, re.MULTILINE):
            sections = dict(re.findall(r"^    (input|output|params):\n((?:        .*\n)+)", body, re.MULTILINE))
            calls = {section: ast.parse(f"f(\n{arguments})") for section, arguments in sections.items()}
            keys = frozenset(key for call in calls.values() for key in _keys(call, config))
            inputs, outputs = (tuple(_paths(calls[s])) if s in calls else () for s in ("input", "output"))
            found.append(Rule(name, keys, frozenset(inputs), outputs))
    return found


def _keys(node: ast.AST, config: Mapping[str, Any]) -> Iterator[str]:
    """Configuration keys that an expression reads, by the ways that rule files have."""
    match node:
        case ast.Subscript(ast.Subscript(ast.Name("config"), ast.Constant(str(block))), ast.Constant(str(key))):
            yield f"{block}.{key}"
        case ast.Subscript(ast.Name("config"), ast.Constant(str(block))):
            yield from _keys_of(block, config)
        case ast.Name("config"):
            for block in config:
                yield from _keys_of(block, config)
        case ast.Name(("STORE" | "HUBBARD") as name):
            yield from SHARED[name]
        case ast.Call(ast.Name("block" | "part" | "shards" | "options_of" | "promoted" | "second_phonons")):
            yield from _keys_of_helper(node, config)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _keys(child, config)


def _keys_of_helper(call: ast.Call, config: Mapping[str, Any]) -> Iterator[str]:
    """Keys that a function of ``rules/common.smk`` reads."""
    match call:
        case ast.Call(ast.Name("block"), [ast.Constant(str(block)), *without]):
            names = {ast.literal_eval(name) for name in without}
            yield from (f"{block}.{key}" for key in config[block] if key not in names)
        case ast.Call(ast.Name("part"), [ast.Constant(str(block)), *keys]):
            yield from (f"{block}.{ast.literal_eval(key)}" for key in keys)
        case ast.Call(ast.Name("shards"), [ast.Constant(str(block))]):
            yield f"{block}.shards"
        case ast.Call(ast.Name(("promoted" | "second_phonons") as helper)):
            yield {"promoted": "cascade.shards", "second_phonons": "phonons.shards"}[helper]
        case ast.Call(ast.Name("options_of"), [role]):
            named = {node.value for node in ast.walk(role) if isinstance(node, ast.Constant)}
            blocks = [block for block in config if block.endswith("potential") and (block in named or not named)]
            yield from (key for block in blocks for key in _keys_of(block, config) if key != "potential.tolerance")


def _keys_of(block: str, config: Mapping[str, Any]) -> list[str]:
    return [f"{block}.{key}" for key in config[block]] if isinstance(config[block], dict) else [block]


def _paths(call: ast.AST) -> Iterator[str]:
    for node in ast.walk(call):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("results/"):
            yield node.value.removeprefix("results/")


def configuration_page(schema: Mapping[str, Any], config: Mapping[str, Any], rules: list[Rule]) -> str:
    """``docs/CONFIGURATION.md``.

    :param schema: ``schemas/config.schema.yaml``.
    :param config: the default configuration.
    """
    keys = [key for block in config for key in _keys_of(block, config)]
    whole = [rule for rule in rules if rule.keys == set(keys)]
    readers = {key: _code(r.name for r in rules if key in r.keys and r not in whole) for key in keys}
    lines = [
        "# Configuration",
        "",
        "Every key of [config.yaml](../config.yaml) with its default. The `config.yaml` of a run's folder, and an",
        "overlay for `--configfile`, name only what differs, the latter over the former. A key that is not here is an",
        "error. The last column names the rules that get a key: a change",
        f"reruns these and what follows from them. {_code(r.name for r in whole)} gets all keys.",
        "",
        "`make docs` makes this page from [schemas/config.schema.yaml](../schemas/config.schema.yaml), `config.yaml`",
        "and the rule files.",
    ]
    header = ["", "| key | default | type | meaning | rules |", "|---|---|---|---|---|"]
    scalars = [name for name, value in config.items() if not isinstance(value, dict)]
    lines += ["", "## Of the whole run", *header]
    lines += [_row(name, config[name], _resolve(schema["properties"][name], schema), readers[name]) for name in scalars]
    for block in (name for name in config if name not in scalars):
        rule = schema["properties"][block]
        lines += ["", f"## {block}", "", rule["description"], *header]
        for key, inner in rule["properties"].items():
            key_rule, default, reader = _resolve(inner, schema), config[block][key], readers[f"{block}.{key}"]
            for name, part in key_rule.get("properties", {}).items():
                lines.append(_row(f"{key}.{name}", default[name], part, reader))
            if "properties" not in key_rule:
                lines.append(_row(key, default, key_rule, reader))
    return "\n".join(lines) + "\n"


def _resolve(rule: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema with what its reference holds; its own words come first."""
    reference = rule.get("$ref", "").rpartition("/")[2]
    return {**schema["$defs"].get(reference, {}), **rule}


def _row(key: str, default: Any, rule: Mapping[str, Any], readers: str) -> str:
    # a list around it, so that a plain value is one line as well
    shown = yaml.safe_dump([default], default_flow_style=True, allow_unicode=True, width=1000).strip()[1:-1]
    return f"| `{key}` | `{shown}` | {type_of(rule)} | {rule['description']} | {readers} |"


def type_of(rule: Mapping[str, Any]) -> str:
    """Type and bounds of a JSON schema in words.

    >>> type_of({"type": ["integer", "null"], "minimum": 1})
    'integer ≥ 1, or null'
    """
    if "enum" in rule:
        names = ["null" if value is None else str(value) for value in rule["enum"]]
        return " or ".join(names) if len(names) < 20 else f"{names[0]} ... {names[-1]}"
    if "anyOf" in rule:
        return ", or ".join(type_of(one) for one in rule["anyOf"])
    kinds = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
    return ", or ".join(_kind(kind, rule) for kind in kinds)


_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _kind(kind: str, rule: Mapping[str, Any]) -> str:
    match kind:
        case "array":
            least, most = rule["minItems"], rule.get("maxItems")
            number = f"{least}" if least == most else f"{least} or more"
            return f"list of {number}{' different' if rule.get('uniqueItems') else ''}: {type_of(rule['items'])}"
        case "object":
            return f"element → {type_of(rule['additionalProperties'])}"
        case "integer" | "number":
            bounds = [f"{sign} {rule[name]}" for name, sign in _BOUNDS.items() if name in rule]
            return f"{kind} {' and '.join(bounds)}".strip()
        case _:
            return kind


def tables_page(rules: list[Rule]) -> str:
    """``docs/TABLES.md``."""
    maker = {path: rule.name for rule in rules for path in rule.outputs}
    lines = [
        "# Files of a run",
        "",
        "All paths are under `results/`. Tables are Parquet with zstd. The metadata of each column hold unit and",
        'meaning, as `pq.read_schema(path).field("a").metadata`. The metadata of the file hold the version of the',
        "package, a digest of the settings that the job ran with, and digests of its inputs. They hold no path and no",
        "time, so equal runs give equal bytes, except where `phonons.max_minutes` (wall-clock time) ends a crystal.",
        "A column holds null where a value does not exist.",
        "",
        "`make docs` makes this page from `cgwgan_core/workflow/tables.py` and the rule files.",
        "",
        "| table | a row is | made by |",
        "|---|---|---|",
    ]
    lines += [f"| [`{p}`](#{_anchor(p)}) | {row} | `{maker[p]}` |" for p, (_, row) in TABLES.items()]
    lines += ["", "| other file or folder | content | made by |", "|---|---|---|"]
    lines += [f"| `{path}` | {content} | `{maker[path]}` |" for path, content in OTHERS.items()]
    for path, (schema, row) in TABLES.items():
        readers = _code(rule.name for rule in rules if path in rule.inputs)
        read_by = f", read by {readers}" if readers else ""
        lines += ["", f"## {path}", "", f"A row is {row}. Made by `{maker[path]}`{read_by}."]
        lines += ["", "| column | type | unit | meaning |", "|---|---|---|---|"]
        for field in schema:
            about = {key.decode(): value.decode() for key, value in field.metadata.items()}
            kind = f"list of {field.type.value_type}" if pa.types.is_list(field.type) else str(field.type)
            lines.append(f"| `{field.name}` | {kind} | {about.get('unit', '')} | {about['description']} |")
    return "\n".join(lines) + "\n"


def _anchor(heading: str) -> str:
    """Where GitHub puts a heading: lower case, without punctuation."""
    return re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def pages(root: Path) -> dict[Path, str]:
    """Every generated page by its path.

    :param root: folder of the Snakefile.
    """
    schema = yaml.safe_load((root / "schemas" / "config.schema.yaml").read_text(encoding="utf-8"))
    config = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    rules = find_rules(root, config)
    return {
        root / "docs" / "CONFIGURATION.md": configuration_page(schema, config, rules),
        root / "docs" / "TABLES.md": tables_page(rules),
    }


if __name__ == "__main__":
    for path, text in pages(Path.cwd()).items():
        write_text(path, text)
