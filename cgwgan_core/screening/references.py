"""Reference energies of the elements, on each energy scale."""

import gzip
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import numpy as np

from cgwgan_core.workflow.errors import InputError

FILES: Mapping[str, str] = {
    "mp_uncorrected": "MP-PBE",
    "mp_corrected": "MP-PBE",
    "matpes": "MatPES-PBE",
}
"""Energy scale -> how matcalc's file of its references begins."""


@cache
def references(energy_scale: str) -> Mapping[str, float]:
    """Energy of each element in its most stable form, eV/atom, from the reference entries that matcalc ships."""
    # find_spec does not import matcalc, which would ask the network for lists of models
    spec = find_spec("matcalc")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("matcalc is not installed; its elemental reference energies are needed")
    name = f"{FILES[energy_scale]}-Element-Refs.json.gz"
    with gzip.open(Path(spec.submodule_search_locations[0]) / "elemental_refs" / name, "rt") as stream:
        entries = json.load(stream)
    return MappingProxyType(
        {element: float(np.min(entries[element]["energy_per_atom"])) for element in sorted(entries)}
    )
