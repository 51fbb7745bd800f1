"""The names under which databases give a record's identifier and energies: the one place that knows them.

A name counts whatever its case and with blanks or hyphens for underscores; a provider's prefix (``_mp_``) is dropped.
The first name of a tuple that has a value wins. Total energies stand in no tuple: they are no formation energies.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

IDS = (
    "material_id", "mp_id", "mat_id", "materialid", "jid", "uid", "auid", "entry_id", "id", "identifier",
    "immutable_id", "matpes_id", "mpid", "task_id", "_id",
)  # fmt: skip
"""Materials Project, Alexandria (mat_id), GNoME (MaterialId), JARVIS (jid), C2DB (uid), AFLOW (auid), OQMD (entry_id),
OPTIMADE (id), LeMat (immutable_id), MatPES, MongoDB (_id)."""
FORMATION = (
    "formation_energy_per_atom", "formation_energy_peratom", "e_form_per_atom", "enthalpy_formation_atom", "hform",
    "delta_e", "e_form",
)  # fmt: skip
"""All in eV/atom: Materials Project and GNoME, JARVIS, WBM, AFLOW, C2DB, OQMD, Alexandria."""
HULL = ("energy_above_hull", "e_above_hull", "ehull", "hull_distance", "stability")
"""All in eV/atom: Materials Project, Alexandria and MP-20, JARVIS and C2DB, Alexandria's OPTIMADE, OQMD."""
ONLY_BESIDE = {"e_form": ("e_above_hull", "mat_id"), "stability": ("delta_e",)}
"""Names that mean this only beside one of these; elsewhere they stand for energies per cell, or for words."""
INNER = ("data", "attributes", "key_value_pairs", "output", "computed_structure_entry", "entry")
"""Where a document may hold its fields further down: entries, OPTIMADE, ASE, emmet's tasks, Matbench Discovery."""

_MISSING = {"", "nan", "none", "null", "n/a", "na", "-", "?", "."}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITE = {"inf", "infinity"}
_LIKE_ID = re.compile(r"(?:.*_)?(?:ids?|uuid|uid|identifier)")
_LIKE_FORMATION = re.compile(
    r".*(?:form.*(?:energy|enthalpy)|(?:energy|enthalpy).*form|e_?form|heat_of_form|hform|delta_?[eh]\b).*"
)
_LIKE_HULL = re.compile(r".*hull.*")
_LIKE = (_LIKE_ID, _LIKE_FORMATION, _LIKE_HULL)
_SCALES = ("gga_gga+u", "gga_gga+u_r2scan", "r2scan")


class Facts(NamedTuple):
    """What a record says of itself besides its crystal."""

    name: str | None
    formation_energy_per_atom: float
    energy_above_hull: float
    remark: str | None
    """Fields that look like one of these and were not taken."""


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """A field's name as this module writes it.

    >>> [canonical(name) for name in ("Formation Energy Per Atom", "_mp_energy_above_hull", "_id")]
    ['formation_energy_per_atom', 'energy_above_hull', '_id']
    """
    return re.sub(r"^_[a-z0-9]+_(?=.)", "", re.sub(r"[\s-]+", "_", name.strip().lower()))


def pick(names: Iterable[str], wanted: tuple[str, ...]) -> str | None:
    """The first of the wanted names that is there, as it is written there."""
    written = {canonical(name): name for name in reversed(list(names))}
    return next((written[name] for name in wanted if name in written and _means_it(name, written)), None)


def facts(document: Mapping[str, Any]) -> Facts:
    """Identifier and energies of a document, its inner fields included.

    :raises ValueError: where a value that should be a number is neither one nor missing.
    """
    found = _found(document)
    remarks = []
    if isinstance(stability := found.get("stability"), dict):
        remarks += _take_scale(found, stability)
    name = _name(found)
    values = []
    for wanted, like in ((FORMATION, _LIKE_FORMATION), (HULL, _LIKE_HULL)):
        key = next((k for k in wanted if k in found and _means_it(k, found)), None)
        values.append(energy(found[key], key) if key else float("nan"))
        if key is None and (unused := [k for k in found if like.fullmatch(k)]):
            remarks.append(f"not taken for {wanted[0]}: {', '.join(unused[:5])}")
    if name is None and (unused := [k for k in found if _LIKE_ID.fullmatch(k)]):
        remarks.append(f"not taken for an identifier: {', '.join(unused[:5])}")
    return Facts(name, values[0], values[1], "; ".join(remarks) or None)


def parts(document: Mapping[str, Any], depth: int = 3) -> Iterator[Mapping[str, Any]]:
    """A document and those inside it that tell of the same crystal, the outer before the inner."""
    yield document
    for key in INNER if depth else ():
        if isinstance(inner := document.get(key), dict):
            yield from parts(inner, depth - 1)


def own_name(document: Mapping[str, Any]) -> str | None:
    """The identifier of a document, its inner fields included."""
    return _name(_found(document))


def _found(document: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that have a value, under their canonical names; outer ones go before inner ones."""
    found: dict[str, Any] = {}
    for part in parts(document):
        for key, value in part.items():
            if value is not None and (name := _told(key)):
                found.setdefault(name, value)
    return found


@lru_cache(maxsize=4096)
def _told(key: str) -> str | None:
    """The canonical name of a field that may tell something of this module; most of a document's fields do not."""
    name = canonical(key)
    tells = name in (*IDS, *FORMATION, *HULL) or any(like.fullmatch(name) for like in _LIKE)
    return name if tells else None


def _name(found: Mapping[str, Any]) -> str | None:
    return next((told for key in IDS if key in found and (told := identifier(found[key]))), None)


def _means_it(name: str, names: Iterable[str]) -> bool:
    return name not in ONLY_BESIDE or any(other in names for other in ONLY_BESIDE[name])


def _take_scale(found: dict[str, Any], stability: dict[str, Any]) -> list[str]:
    """Energies of the Materials Project's OPTIMADE, which gives them for several functionals."""
    del found["stability"]
    scale = next((name for name in _SCALES if isinstance(stability.get(name), dict)), None)
    if scale is None:
        return []
    found |= {key: value for key, value in stability[scale].items() if value is not None and key not in found}
    return [f"energies of {scale}, of {len(stability)} given"] if len(stability) > 1 else []


def identifier(value: Any) -> str | None:
    """An identifier as text: also MongoDB's ``{"$oid": ...}`` and emmet's ``{"@class": "MPID", "string": ...}``."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("$oid", "string", "$uuid", "identifier", "value") if key in value), None)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of integers with a gap
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value).strip() or None


def energy(value: Any, name: str) -> float:
    """An energy as a float, NaN where it is missing.

    :raises ValueError: where it is neither a number nor missing; "-3,02" is none, as "1,234" might be a thousand.
    """
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in _MISSING:
            return float("nan")
        if _NUMBER.fullmatch(text) or text.lower().lstrip("+-") in _INFINITE:
            return float(text)
    elif value is None:
        return float("nan")
    shown = value if isinstance(value, str) else type(value).__name__
    remedy = "; write it with a decimal point" if isinstance(value, str) and "," in value else ""
    raise ValueError(f"{name} is {str(shown)[:40]!r}{remedy}")
