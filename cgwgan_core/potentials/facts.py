"""What is known of a potential before it is loaded, in milliseconds: its elements and the scale of its energies.

A network may have parameters for elements that it never met: CHGNet has 94 of them, and energies of polonium as an
untrained network gives them. What counts is the training data.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from cgwgan_core.workflow.errors import InputError

MPTRJ = frozenset(chemical_symbols[1:84]) | frozenset(chemical_symbols[89:95])
"""The 89 elements of MPtrj (Deng et al., Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3): H to Bi
and Ac to Pu. Po to Ra and Am on occur in none of its 1,580,395 structures, Ne in 7, Ar in 13, He in 80, Kr in 193
(mp-trj-element-counts-by-occurrence.json of matbench-discovery)."""
SCALES = {"matpes": "matpes", "mp-2021": "mp_uncorrected"}
"""What the name of an M3GNet holds, in lower case -> the scale of its energies."""
M3GNET_FILES = ("model.json", "model.pt", "state.pt")
"""What the folder of an M3GNet holds."""
OWN_SCALES = {
    "chgnet": "mp_corrected",
    "nequix": "mp_uncorrected",
    "sevennet-0": "mp_uncorrected",
    "sevennet-l3i5": "mp_uncorrected",
}
"""Potentials with one scale."""


def trained_on(name: str, path: str | None) -> frozenset[str] | None:
    """Elements of a potential's training data; ``None`` where nothing tells them.

    :param name: as in ``potential.name``.
    :param path: of its weights.
    :raises InputError: if a file of weights is damaged.
    """
    if name == "chgnet" or name.startswith("sevennet"):
        return MPTRJ
    place = Path(path or "")
    try:
        if name == "m3gnet" and (place / "model.json").is_file():
            found = next(_values(json.loads((place / "model.json").read_text()), "element_types"), None)
            return found and frozenset(found)
        if name == "nequix" and place.exists():
            with place.open("rb") as stream:
                return frozenset(chemical_symbols[z] for z in json.loads(stream.readline())["atomic_numbers"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        what = "folder" if place.is_dir() else "file"
        raise InputError(f"{place} is a {what} that holds no weights of {name}; name others") from None
    return None


def scale_of(name: str, path: str | None, energy_scale: str | None) -> str | None:
    """The scale of a potential's energies; ``None`` where nothing tells it.

    :param energy_scale: as the configuration names it.
    """
    if energy_scale is not None:
        return energy_scale
    if name == "m3gnet":
        weights = Path(path or "").name.lower()
        return next((scale for part, scale in SCALES.items() if part in weights), None)
    return OWN_SCALES.get(name)


def _values(content: Any, key: str) -> Iterator[Any]:
    """What stands under a key, however deep."""
    if isinstance(content, dict):
        if key in content:
            yield content[key]
        content = list(content.values())
    if isinstance(content, list):
        for one in content:
            yield from _values(one, key)
