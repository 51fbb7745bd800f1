"""Is a configuration one that can run? Everything that is wrong with it, at once, one line each.

Numbers, truth and null may arrive as text: ``--config`` gives what stands in braces so, and YAML 1.1 reads 1e-3 so.
:func:`settled` takes them for what the schema says.
"""

import difflib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from cgwgan_core.workflow.errors import first_line

RENAMED = {
    "dft.ediff": "vasp.ediff",
    "dft.supercell": "vasp.supercell",
    "infill.shares": "infill.atomic_fractions",
    "model.repeats": "model.duplicate_exponent",
    "phonons.follow": "phonons.follow_modes",
    "relax.free": "relax.unconstrained",
    "screen.min_distance_ratio": "infill.min_distance_ratio",
    "screen.min_separation": "infill.min_distance_ratio",
    "templates.boldness": "templates.pseudocount",
}
"""Former names of keys -> what they are called now."""


WILDCARD = re.compile(r"\{\s*[.\w]+\s*(,[^{}]*)?\}")
"""What Snakemake takes for a wildcard in the name of an input."""
KEY = "MP_API_KEY"
"""Variable of the environment with the key of the Materials Project."""
DOWNLOADED = Path("results/data/structures.parquet")
"""What the key is needed for, as seen from a run's folder."""
BUNDLED = ("chgnet", "sevennet-0", "sevennet-l3i5")
"""Potentials whose weights are installed with them."""
OWN_READERS = ("auto", "m3gnet", "nequix")
"""Potentials whose weights are files: those of other packages may be names."""
WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def settled(config: Mapping[str, Any], schema: Path) -> dict[str, Any]:
    """A configuration with each value of the type that the schema says, where text can be taken for it.

    Keys are in the schema's order, wherever they were given, and paths have their ``~`` expanded. What cannot be taken
    for what the schema says stays as it is: :func:`problems` tells of it.

    :param config: the merged configuration.
    :param schema: ``schemas/config.schema.yaml``.
    """
    rules = yaml.safe_load(schema.read_text(encoding="utf-8"))
    settled: dict[str, Any] = _settled(config, rules, rules["$defs"])
    return settled


def _settled(value: Any, rule: Mapping[str, Any], shared: Mapping[str, Any]) -> Any:
    """A value as its rule means it.

    :param shared: rules that others refer to.
    """
    rule = {**shared.get(rule.get("$ref", "").rpartition("/")[2], {}), **rule}
    kinds = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", [])
    if isinstance(value, Mapping):
        known, others = rule.get("properties", {}), rule.get("additionalProperties") or {}
        keys = [*(key for key in known if key in value), *(key for key in value if key not in known)]
        value = {key: _settled(value[key], known.get(key, others), shared) for key in keys}
    elif isinstance(value, list):
        value = [_settled(one, rule.get("items", {}), shared) for one in value]
    elif isinstance(value, float) and not math.isfinite(value):
        value = str(value)  # no bound of a schema keeps it out
    elif isinstance(value, float) and "integer" in kinds and value.is_integer():
        value = int(value)
    elif isinstance(value, str):
        several = [_settled(value, one, shared) for one in rule.get("anyOf", [])]
        value = next((one for one in several if one != value), _taken(value, kinds, rule))
    return value


def _taken(text: str, kinds: Sequence[str], rule: Mapping[str, Any]) -> Any:
    """What a text stands for where its rule wants one of these kinds."""
    if text.lower() in ("null", "~") and ("null" in kinds or None in rule.get("enum", [])):
        return None
    if "boolean" in kinds:
        return WORDS.get(text.lower(), text)
    if "integer" in kinds or "number" in kinds:
        return _number(text, "integer" in kinds)
    return str(Path(text).expanduser()) if rule.get("format") == "path" and text.startswith("~") else text


def _number(text: str, whole: bool) -> int | float | str:
    """The number that a text stands for; the text if it stands for none."""
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        number = float(text.replace("_", "?"))
    except ValueError:
        return text
    if not math.isfinite(number) or (whole and not number.is_integer()):
        return text
    return int(number) if whole else number


def unreadable(path: str | Path) -> str | None:
    """Why a file of settings cannot be read, and where; ``None`` where it can."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}" if mark else "somewhere"
        if "'\\t'" in (error.problem or ""):
            return f"{path}: {line}: a tab; indent with spaces"
        return f"{path}: {line}: {error.problem}; is it indented as the lines beside it are?"
    except OSError as error:
        return f"{path}: {error.strerror}"
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return f"{path}: no text in UTF-8 ({first_line(error)}); write it anew"
    if isinstance(content, Mapping):
        return None
    return f"{path}: has no keys; write some, such as chemistry: [Sr, Ti, O], or remove the file"


def repeated(path: str | Path) -> list[str]:
    """Keys that stand twice in one block of a YAML file, of which the last would win in silence; a line each."""
    with Path(path).open(encoding="utf-8") as stream:
        root = yaml.compose(stream, Loader=yaml.SafeLoader)
    return list(_repeated(root, str(path))) if root else []


def _repeated(node: yaml.Node, path: str) -> Iterator[str]:
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _repeated(one, path)
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in first:
                yield f"{path}: {key.value} stands in line {first[key.value]} and in line {line}; keep one"
            first.setdefault(str(key.value), line)
            yield from _repeated(value, path)


def problems(config: Mapping[str, Any], schema: Path) -> list[str]:
    """What is wrong with a configuration, one line each; empty where all is well.

    :param config: the merged configuration.
    :param schema: ``schemas/config.schema.yaml``.
    """
    rules = yaml.safe_load(schema.read_text(encoding="utf-8"))
    errors = sorted(Draft202012Validator(rules).iter_errors(config), key=lambda e: [str(p) for p in e.absolute_path])
    found = [line for error in errors for line in _explain(error, rules)]
    found += _of_paths(config, rules)
    sound = config.keys() - {error.absolute_path[0] for error in errors if error.absolute_path}
    for blocks, contradictions in CONTRADICTIONS:
        if sound.issuperset(blocks):
            found += contradictions(*(config[block] for block in blocks))
    return found


def _explain(error: ValidationError, rules: Mapping[str, Any]) -> Iterator[str]:
    where = ".".join(str(part) for part in error.absolute_path)
    prefix = f"{where}." if where else ""
    # all three are set in every error of a validator
    value, rule = cast("Any", error.instance), cast("Mapping[str, Any]", error.schema)
    wanted = cast("Any", error.validator_value)
    if error.validator == "additionalProperties":
        for key in sorted(set(value) - set(rule["properties"])):
            yield f"{prefix}{key}: {_unknown(prefix, str(key), list(rule['properties']), rules)}"
    elif error.validator == "required":
        for key in sorted(set(wanted) - set(value)):
            # one error per missing key comes from the validator; each is told once
            if f"'{key}'" in error.message:
                yield f"{prefix}{key}: missing; config.yaml has its default"
    elif error.validator == "minLength":
        yield f"{where}: is empty{'; write null for none' if 'null' in rule['type'] else ''}"
    elif error.validator == "enum":
        yield _no_choice(where, value, [str(choice) for choice in wanted])
    elif error.validator == "anyOf":
        names = [str(name) for one in wanted for name in one.get("enum", [])]
        yield f"{where}: {value!r} is not allowed{_nearest(str(value), names)}; {rule['description']}"
    elif error.validator == "pattern" and "examples" in rule:
        names = rule["examples"]
        hint = _nearest(str(value), names)
        yield f"{where}: {value!r} is not allowed{hint}; one of {', '.join(names)}, or package.module:function"
    else:
        yield f"{where or 'config'}: {_otherwise(error)}"


def _otherwise(error: ValidationError) -> str:
    """A mistake as the validator words it, or that nothing stands there."""
    rule = cast("Mapping[str, Any]", error.schema)
    if error.validator == "type" and error.instance is None:
        return f"is empty; give {'its keys' if error.validator_value == 'object' else 'a value'}, or delete the line"
    meaning = rule.get("description", "")
    return f"{error.message}{f' ({meaning})' if meaning else ''}"


def _no_choice(where: str, value: Any, choices: list[str]) -> str:
    shown = f"; one of {', '.join(choices)}" if len(choices) < 20 else ""
    what = "is no element" if where.startswith("chemistry") else "is not allowed"
    hint = _nearest(str(value), choices)
    if value is False:
        hint = '; YAML reads No as false, write "No" in quotes for nobelium'
    return f"{where}: {value!r} {what}{hint}{shown}"


def _of_paths(config: Mapping[str, Any], rules: Mapping[str, Any]) -> Iterator[str]:
    """Paths that the workflow cannot take as the names of its inputs."""
    for block, rule in rules["properties"].items():
        for key, inner in rule.get("properties", {}).items():
            value = config[block].get(key) if isinstance(config.get(block), Mapping) else None
            if inner.get("format") == "path" and isinstance(value, str) and (found := WILDCARD.search(value)):
                yield (f"{block}.{key}: {value}: Snakemake takes {found[0]} for a wildcard; rename it, or name a link")


def _unknown(prefix: str, key: str, known: list[str], rules: Mapping[str, Any]) -> str:
    """What to write instead of a key that its block does not have."""
    if now := RENAMED.get(f"{prefix}{key}"):
        return f"renamed; write {now}"
    return f"no such key{_nearest(key, known) or _elsewhere(key, rules)}"


def _nearest(word: str, known: list[str]) -> str:
    match = [k for k in known if k.lower() == word.lower()] or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else ""


def _elsewhere(word: str, rules: Mapping[str, Any]) -> str:
    """Where a key that stands in the wrong block belongs."""
    places = [f"{block}.{word}" for block, rule in rules["properties"].items() if word in rule.get("properties", {})]
    return f"; did you mean {' or '.join(places)}?" if places else ""


def _of_data(data: Mapping[str, Any]) -> Iterator[str]:
    if data["source"] == "mp" and not os.environ.get(KEY) and not DOWNLOADED.exists():
        yield f"data.source: mp downloads with the key in ${KEY}, which is not set; materialsproject.org/api has one"
    if data["source"] in ("aflow", "mp"):
        return
    if data["path"] is None:
        yield f"data.path: missing; data.source {data['source']} reads a file or folder"
    elif not Path(data["path"]).exists():
        yield f"data.path: {data['path']} does not exist"


def _of_infill(infill: Mapping[str, Any], chemistry: list[str]) -> Iterator[str]:
    fixed, fractions = infill["fixed"] or {}, infill["atomic_fractions"] or {}
    for key, elements in (("fixed", fixed), ("atomic_fractions", fractions)):
        for element in sorted(set(elements) - set(chemistry)):
            yield f"infill.{key}.{element}: not in chemistry, {', '.join(chemistry)}"
    multiplicities = [m for several in fixed.values() for m in several]
    for multiplicity in sorted({m for m in multiplicities if multiplicities.count(m) > 1}):
        yield f"infill.fixed: multiplicity {multiplicity} stands at two elements; a site holds one"
    for element, (least, most) in fractions.items():
        if least > most:
            yield f"infill.atomic_fractions.{element}: the first number must not be above the second"
    if sum(least for least, _ in fractions.values()) > 1:
        yield "infill.atomic_fractions: the least fractions add up to more than 1"
    if infill["max_atoms"] is not None and infill["max_atoms"] < len(chemistry):
        yield f"infill.max_atoms: fewer than the {len(chemistry)} elements of chemistry; raise it, or write null"


def _of_model(model: Mapping[str, Any]) -> Iterator[str]:
    if model["init"] == "scratch":
        if model["max_steps"] == 0:
            yield "model.max_steps: 0 uses a checkpoint as it is; name one in model.init, or train"
    elif model["init"] != "pretrained" and not Path(model["init"]).exists():
        yield f"model.init: {model['init']} does not exist; write pretrained, or scratch to train from scratch"


def _of_templates(templates: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[str]:
    least, most = templates["number_density"]
    if least >= most:
        yield "templates.number_density: the first number must be below the second"
    for formula in templates["formulas"] or ():
        letters = re.sub(r"\d", "", formula)
        if len(set(letters)) < len(letters):
            yield f"templates.formulas: {formula} has a letter twice; write one for each element, such as ABX3"
    if templates["energy_above_hull"] is not None and model["kind"] != "flow":
        yield f"templates.energy_above_hull: a {model['kind']} cannot draw by it; write null, or set model.kind to flow"


def _of_potential(role: str, potential: Mapping[str, Any] | None) -> Iterator[str]:
    if potential is None:
        return
    name, path = potential["name"], potential["path"]
    if path and name in BUNDLED:
        yield f"{role}.path: {name} brings its own weights; write null"
    elif path and (name in OWN_READERS or Path(path).is_absolute()) and not Path(path).exists():
        yield f"{role}.path: {path} does not exist"
    elif not path and name == "m3gnet" and not os.environ.get("CGWGAN_POTENTIAL"):
        yield f"{role}.path: missing; name the folder of the M3GNet potential, here or in $CGWGAN_POTENTIAL"
    elif not path and name not in (*BUNDLED, "auto", "m3gnet") and ":" not in name:
        yield f"{role}.path: missing; {name} needs its weights, docs/POTENTIALS.md says which"
    if name not in (*BUNDLED, *OWN_READERS) and potential["energy_scale"] is None:
        yield f"{role}.energy_scale: missing; {name} does not tell what its energies compare with"


def _of_dft(dft: Mapping[str, Any]) -> Iterator[str]:
    if dft["engine"] == "espresso":
        if dft["pseudopotentials"] is None:
            yield "dft.pseudopotentials: missing; espresso needs a folder of UPF files, such as SSSP's"
        elif not Path(dft["pseudopotentials"]).is_dir():
            yield f"dft.pseudopotentials: {dft['pseudopotentials']} is no folder"


def _of_vasp(vasp: Mapping[str, Any]) -> Iterator[str]:
    if vasp["job"] and not Path(vasp["job"]).is_file():
        yield f"vasp.job: {vasp['job']} does not exist"


CONTRADICTIONS: list[tuple[tuple[str, ...], Callable[..., Iterator[str]]]] = [
    (("data",), _of_data),
    (("infill", "chemistry"), _of_infill),
    (("model",), _of_model),
    (("templates", "model"), _of_templates),
    (("dft",), _of_dft),
    (("vasp",), _of_vasp),
    *(((role,), partial(_of_potential, role)) for role in ("potential", "screening_potential", "second_potential")),
]
"""What the schema cannot say: blocks, and what tells of keys in them that do not go together."""
