"""Is a configuration one that can run? Everything that is wrong with it, at once, one line each."""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError


def problems(config: Mapping[str, Any], schema: Path) -> list[str]:
    """What is wrong with a configuration, one line each; empty where all is well.

    :param config: the merged configuration.
    :param schema: ``schemas/config.schema.yaml``.
    """
    rules = yaml.safe_load(schema.read_text())
    errors = sorted(Draft202012Validator(rules).iter_errors(config), key=lambda e: [str(p) for p in e.absolute_path])
    found = [line for error in errors for line in _explain(error, rules)]
    return found or list(_contradictions(config))


def _explain(error: ValidationError, rules: Mapping[str, Any]) -> Iterator[str]:
    where = ".".join(str(part) for part in error.absolute_path)
    prefix = f"{where}." if where else ""
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        for key in sorted(set(error.instance) - set(known)):
            yield f"{prefix}{key}: no such key{_nearest(str(key), known) or _elsewhere(str(key), rules)}"
    elif error.validator == "required":
        for key in sorted(set(error.validator_value) - set(error.instance)):
            # one error per missing key comes from the validator; each is told once
            if f"'{key}'" in error.message:
                yield f"{prefix}{key}: missing; config.yaml has its default"
    elif error.validator == "enum":
        choices = [str(choice) for choice in error.validator_value]
        shown = f"; one of {', '.join(choices)}" if len(choices) < 20 else ""
        what = "is no element" if where.startswith("chemistry") else "is not allowed"
        hint = _nearest(str(error.instance), choices)
        if error.instance is False:
            hint = '; YAML reads No as false, write "No" in quotes for nobelium'
        yield f"{where}: {error.instance!r} {what}{hint}{shown}"
    else:
        meaning = error.schema.get("description", "")
        yield f"{where or 'config'}: {error.message}{f' ({meaning})' if meaning else ''}"


def _nearest(word: str, known: list[str]) -> str:
    match = [k for k in known if k.lower() == word.lower()] or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else ""


def _elsewhere(word: str, rules: Mapping[str, Any]) -> str:
    """Where a key that stands in the wrong block belongs."""
    places = [f"{block}.{word}" for block, rule in rules["properties"].items() if word in rule.get("properties", {})]
    return f"; did you mean {' or '.join(places)}?" if places else ""


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """What the schema cannot say: keys that do not go together."""
    data, training, model, templates = (config[block] for block in ("data", "training", "model", "templates"))
    if data["source"] not in ("aflow", "mp"):
        if data["path"] is None:
            yield f"data.path: missing; data.source {data['source']} reads a file or folder"
        elif not Path(data["path"]).exists():
            yield f"data.path: {data['path']} does not exist"
    if len(config["chemistry"]) > max(training["n_sites"]):
        yield (
            f"chemistry: {len(config['chemistry'])} elements do not fit on at most {max(training['n_sites'])} sites;"
            " add larger numbers to training.n_sites"
        )
    for key in ("fixed", "shares"):
        for element in sorted(set(config["infill"][key] or {}) - set(config["chemistry"])):
            yield f"infill.{key}.{element}: not in chemistry, {', '.join(config['chemistry'])}"
    fixed = [m for several in (config["infill"]["fixed"] or {}).values() for m in several]
    for multiplicity in sorted({m for m in fixed if fixed.count(m) > 1}):
        yield f"infill.fixed: multiplicity {multiplicity} stands at two elements; a site holds one"
    for element, (least, most) in (config["infill"]["shares"] or {}).items():
        if least > most:
            yield f"infill.shares.{element}: the first number must not be above the second"
    if model["init"] == "scratch":
        if model["max_steps"] == 0:
            yield "model.max_steps: 0 uses a checkpoint as it is; name one in model.init, or train"
    elif model["init"] != "pretrained" and not Path(model["init"]).exists():
        yield f"model.init: {model['init']} does not exist; write pretrained, or scratch to train from scratch"
    if templates["number_density"][0] >= templates["number_density"][1]:
        yield "templates.number_density: the first number must be below the second"
    potential = config["potential"]
    if potential["name"] == "m3gnet" and not (potential["path"] or os.environ.get("CGWGAN_POTENTIAL")):
        yield "potential.path: missing; name the folder of the M3GNet potential, here or in $CGWGAN_POTENTIAL"
    if ":" in potential["name"] and potential["energy_scale"] is None:
        yield "potential.energy_scale: missing; an ASE calculator does not tell what its energies compare with"
