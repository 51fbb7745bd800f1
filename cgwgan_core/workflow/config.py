"""Is a configuration one that can run? Everything that is wrong with it, at once, one line each."""

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

RENAMED = {
    "dft.ediff": "vasp.ediff",
    "dft.supercell": "vasp.supercell",
    "infill.shares": "infill.atomic_fractions",
    "model.repeats": "model.duplicate_exponent",
    "phonons.follow": "phonons.follow_modes",
    "relax.free": "relax.unconstrained",
    "screen.min_separation": "screen.min_distance_ratio",
    "templates.boldness": "templates.pseudocount",
}
"""Former names of keys -> what they are called now."""


def problems(config: Mapping[str, Any], schema: Path) -> list[str]:
    """What is wrong with a configuration, one line each; empty where all is well.

    :param config: the merged configuration.
    :param schema: ``schemas/config.schema.yaml``.
    """
    rules = yaml.safe_load(schema.read_text())
    errors = sorted(Draft202012Validator(rules).iter_errors(config), key=lambda e: [str(p) for p in e.absolute_path])
    found = [line for error in errors for line in _explain(error, rules)]
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
    elif error.validator == "enum":
        choices = [str(choice) for choice in wanted]
        shown = f"; one of {', '.join(choices)}" if len(choices) < 20 else ""
        what = "is no element" if where.startswith("chemistry") else "is not allowed"
        hint = _nearest(str(value), choices)
        if value is False:
            hint = '; YAML reads No as false, write "No" in quotes for nobelium'
        yield f"{where}: {value!r} {what}{hint}{shown}"
    else:
        meaning = rule.get("description", "")
        yield f"{where or 'config'}: {error.message}{f' ({meaning})' if meaning else ''}"


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
    if data["source"] in ("aflow", "mp"):
        return
    if data["path"] is None:
        yield f"data.path: missing; data.source {data['source']} reads a file or folder"
    elif not Path(data["path"]).exists():
        yield f"data.path: {data['path']} does not exist"


def _of_chemistry(chemistry: list[str], training: Mapping[str, Any]) -> Iterator[str]:
    most_sites = max(training["n_sites"])
    if len(chemistry) > most_sites:
        yield (
            f"chemistry: {len(chemistry)} elements do not fit on at most {most_sites} sites;"
            " add larger numbers to training.n_sites"
        )


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


def _of_model(model: Mapping[str, Any]) -> Iterator[str]:
    if model["init"] == "scratch":
        if model["max_steps"] == 0:
            yield "model.max_steps: 0 uses a checkpoint as it is; name one in model.init, or train"
    elif model["init"] != "pretrained" and not Path(model["init"]).exists():
        yield f"model.init: {model['init']} does not exist; write pretrained, or scratch to train from scratch"


def _of_templates(templates: Mapping[str, Any]) -> Iterator[str]:
    least, most = templates["number_density"]
    if least >= most:
        yield "templates.number_density: the first number must be below the second"


def _of_potential(role: str, potential: Mapping[str, Any] | None) -> Iterator[str]:
    if potential is None:
        return
    if potential["name"] == "m3gnet" and not (potential["path"] or os.environ.get("CGWGAN_POTENTIAL")):
        yield f"{role}.path: missing; name the folder of the M3GNet potential, here or in $CGWGAN_POTENTIAL"
    path = potential["path"]
    # other weights may be names that a package knows
    if path and (potential["name"] == "nequix" or Path(path).is_absolute()) and not Path(path).exists():
        yield f"{role}.path: {path} does not exist"
    if ":" in potential["name"] and potential["energy_scale"] is None:
        yield f"{role}.energy_scale: missing; what is imported does not tell what its energies compare with"


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
    (("chemistry", "training"), _of_chemistry),
    (("infill", "chemistry"), _of_infill),
    (("model",), _of_model),
    (("templates",), _of_templates),
    (("dft",), _of_dft),
    (("vasp",), _of_vasp),
    *(((role,), partial(_of_potential, role)) for role in ("potential", "screening_potential", "second_potential")),
]
"""What the schema cannot say: blocks, and what tells of keys in them that do not go together."""
