"""Elements that an engine has potentials for, read in milliseconds: asked before anything runs."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from cgwgan_core.dft.pseudopotentials import Pseudopotentials
from cgwgan_core.workflow.errors import InputError

SETS = {"mp": "MPRelaxSet", "mp_r2scan": "PBE64Base", "paper": "MPRelaxSet"}
"""VASP's presets -> pymatgen's file that names their potentials."""


def unserved(config: Mapping[str, Any]) -> list[str]:
    """Elements of the chemistry that VASP's set or the folder of pseudopotentials lacks, a line each.

    :param config: a configuration without :func:`~cgwgan_core.workflow.config.problems`.
    """
    chemistry: Sequence[str] = config["chemistry"]
    found = []
    # inputs for VASP are written in every run
    if missing := [e for e in chemistry if e not in potcars(config["vasp"]["preset"])]:
        others = [preset for preset in SETS if set(missing) <= potcars(preset)]
        remedy = f"write {' or '.join(others)}" if others else "leave them out of chemistry"
        found.append(f"vasp.preset: {config['vasp']['preset']} has no potential for {', '.join(missing)}; {remedy}")
    if config["dft"]["engine"] == "espresso":
        library = Pseudopotentials(Path(config["dft"]["pseudopotentials"]))
        for element in chemistry:
            try:
                library[element]
            except InputError as error:
                found.append(f"dft.pseudopotentials: {error}")
    return found


@cache
def potcars(preset: str) -> frozenset[str]:
    """Elements of the potentials that a preset takes, from pymatgen's file: its class takes seconds to import."""
    spec = find_spec("pymatgen.io")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "vasp" / f"{SETS[preset]}.yaml"
    with path.open(encoding="utf-8") as stream:
        return frozenset(yaml.load(stream, Loader=yaml.CSafeLoader)["POTCAR"])
