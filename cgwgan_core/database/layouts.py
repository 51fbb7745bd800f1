"""One document of any layout to its crystal: the places where databases keep cell, species and coordinates."""

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import cellpar_to_cell

from cgwgan_core.database import fields
from cgwgan_core.database.fields import Facts
from cgwgan_core.database.record import UNREADABLE, Record, atomic_number, crystal
from cgwgan_core.database.text import Text

Fields = Mapping[str, Any]

_FORMULA_PART = re.compile(r"([A-Z][a-z]?|[()])([0-9]*(?:\.[0-9]+)?)")
_FORMULA = re.compile(rf"(?:{_FORMULA_PART.pattern}){{1,200}}")

LATTICES, CELL_PARAMETERS = ("lattice", "cell"), ("a", "b", "c", "alpha", "beta", "gamma")
FRACTIONAL = ("frac_coords", "scaled_positions", "fractional_site_positions")
CARTESIAN = ("cart_coords", "cartesian_site_positions", "positions")
SPECIES = ("species", "symbols", "numbers", "atomic_numbers", "elements")
FAR = 0.1
"""How far two statements of one length or place may be apart, in Å."""
TEXTS = {"cif": "cif", "cif_string": "cif", "cif_text": "cif", "poscar": "poscar"}
"""Names of fields that hold a crystal as text -> what kind of text."""
CRYSTALS = {
    "structure", "sites", "lattice", "cell", "unit_cell", "lattice_vectors", "atoms", "attributes", "geometry", *TEXTS
}  # fmt: skip
"""Names that tell that an object is a document with a crystal."""


def from_document(document: Any, name: str) -> Record | Text:
    """The crystal of one document, or why it has none; a :class:`.Text` where it still has to be parsed.

    :param name: what to call the record if the document has no identifier of its own.
    """
    if isinstance(document, ValueError):
        return Record(name, reason=f"{UNREADABLE}: {document}")
    if not isinstance(document, dict):
        return Record(name, reason=f"{UNREADABLE}: the record is a {type(document).__name__}, not a document")
    try:
        facts = fields.facts(document)
    except ValueError as error:
        return Record(fields.own_name(document) or name, reason=f"not a number: {error}")
    name = facts.name or name
    try:
        found = _crystal(document, name, facts)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        return Record(name, reason=f"{UNREADABLE}: structure not understood ({type(error).__name__}: {words})")
    if isinstance(found, Record) and found.reason is None and (reason := _disagrees(document, found)):
        return Record(name, reason=reason)
    return found


def _crystal(document: Fields, name: str, facts: Facts) -> Record | Text:
    for place in fields.parts(document):
        for keys, read in _LAYOUTS:
            if all(place.get(key) is not None for key in keys):
                return read(place, name, facts)
        if (found := _from_arrays(place, name, facts)) is not None:
            return found
    return Record(name, reason=f"no structure: found only {', '.join(list(document)[:12]) or 'an empty document'}")


def _from_structure(document: Fields, name: str, facts: Facts) -> Record | Text:
    structure = document["structure"]
    if isinstance(structure, str):
        return _from_text(structure, name, facts)
    if "lattice" in structure and "sites" in structure:
        return _from_pymatgen(structure, name, facts)
    if (found := _from_arrays(structure, name, facts)) is not None:
        return found
    if all(key.isdecimal() for key in structure):
        raise ValueError('a column of a table; write the table with orient="records"')
    raise ValueError(f"found only {', '.join(list(structure)[:12])}")


def _from_text(text: str, name: str, facts: Facts) -> Record | Text:
    """A crystal as text in a field: JSON of a structure, a CIF or a POSCAR, by its content."""
    if text.lstrip().startswith("{"):
        return _from_structure({"structure": json.loads(text)}, name, facts)
    kind = "cif" if re.search(r"^\s*data_", text, re.MULTILINE | re.IGNORECASE) else "poscar"
    return Text(name, kind, text, *facts[1:3], remark=facts.remark)


def _from_pymatgen(structure: Fields, name: str, facts: Facts) -> Record:
    """Straight from a dictionary of ``pymatgen.core.Structure.as_dict``.

    Building the Structure itself would take most of the time of reading a dump, for objects used only to
    take three arrays from them.
    """
    lattice, sites = structure["lattice"], structure["sites"]
    if "matrix" in lattice:
        matrix = lattice["matrix"]
        if (reason := _other_volume(matrix, lattice.get("volume"))) is not None:
            return Record(name, reason=reason)
    else:
        matrix = cellpar_to_cell([float(lattice[key]) for key in CELL_PARAMETERS])
    species: list[dict[str, float]] = []
    for site in sites:
        if len(held := site["species"]) == 1:
            species.append({held[0]["element"]: held[0]["occu"]})
            continue
        occupancies: dict[str, float] = {}
        for s in held:  # oxidation states are dropped: one element in two of them adds up
            occupancies[s["element"]] = occupancies.get(s["element"], 0) + s["occu"]
        species.append(occupancies)
    cartesian = bool(sites) and "abc" not in sites[0]
    coords = [site["xyz" if cartesian else "abc"] for site in sites]
    remarks = (facts.remark, None if cartesian else _disregarded(structure, coords))
    return crystal(
        name,
        matrix,
        species,
        coords,
        *facts[1:3],
        cartesian=cartesian,
        periodic=lattice.get("pbc") or (),
        remark="; ".join(filter(None, remarks)) or None,
    )


def _other_volume(matrix: Any, stated: Any) -> str | None:
    """Whether the matrix holds another volume than is stated beside it: one of its numbers is broken."""
    if not isinstance(stated, (int, float)) or not stated > 0:
        return None
    (a, b, c), (d, e, f), (g, h, i) = matrix
    volume = abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
    if volume and abs(volume / stated - 1) > 0.01:
        return f"contradictory: the lattice holds {volume:.4g} Å³, its stated volume is {stated:.4g} Å³"
    return None


@np.errstate(over="ignore", invalid="ignore")
def _disregarded(structure: Fields, abc: Any) -> str | None:
    """What a structure says twice, and differently; as in pymatgen, ``matrix`` and ``abc`` count."""
    lattice, sites = structure["lattice"], structure["sites"][-4:]  # a writer errs at all sites but the origin
    if not sites or "matrix" not in lattice:
        return None
    told = []
    try:
        matrix = lattice["matrix"]
        if any(
            abs(math.hypot(*row) - lattice.get(key, math.nan)) > FAR for key, row in zip("abc", matrix, strict=True)
        ):
            told.append("the lattice's a, b, c are not those of its matrix, which counts")
        if all("xyz" in site for site in sites) and not all(
            _leads_to(site["xyz"], place, matrix) for site, place in zip(sites, abc[-4:], strict=True)
        ):
            cell = np.array(matrix, dtype=float)
            away = np.array(abc[-4:], dtype=float) @ cell - np.array([site["xyz"] for site in sites], dtype=float)
            if FAR < np.abs(away).max() < math.inf:  # perhaps the same atom in another cell
                away -= np.rint(away @ np.linalg.inv(cell)) @ cell
            if not np.abs(away).max() <= FAR:
                told.append("xyz of the sites disagrees with abc, which counts")
    except (TypeError, ValueError, OverflowError):
        pass  # what is broken is told where it is needed
    return "; ".join(told) or None


def _leads_to(xyz: Any, abc: Any, matrix: Any) -> bool:
    """Whether fractional coordinates are the Cartesian ones; plain numbers, as arrays of one atom take longer."""
    (x, y, z), (u, v, w), ((a, b, c), (d, e, f), (g, h, i)) = xyz, abc, matrix
    return bool(
        abs(u * a + v * d + w * g - x) <= FAR
        and abs(u * b + v * e + w * h - y) <= FAR
        and abs(u * c + v * f + w * i - z) <= FAR
    )


def _from_optimade(document: Fields, name: str, facts: Facts) -> Record:
    """OPTIMADE's attributes, as LeMat has them in columns, too."""
    hidden = {"implicit_atoms", "site_attachments", "assemblies"} & set(document.get("structure_features") or ())
    if hidden:
        return Record(name, reason=f"incomplete: {', '.join(sorted(hidden))}")
    held: dict[str, dict[str, float]] = {}
    for kind in document.get("species") or ():
        occupancies: dict[str, float] = {}
        for symbol, amount in zip(kind["chemical_symbols"], kind["concentration"], strict=True):
            if symbol != "vacancy":
                occupancies[symbol] = occupancies.get(symbol, 0) + amount
        held[kind["name"]] = occupancies
    return crystal(
        name,
        document["lattice_vectors"],
        [held[s] if held else {s: 1} for s in document["species_at_sites"]],
        document["cartesian_site_positions"],
        *facts[1:3],
        cartesian=True,
        periodic=_periodic(document),
        remark=facts.remark,
    )


def _from_jarvis(document: Fields, name: str, facts: Facts) -> Record | Text:
    atoms = document["atoms"]
    if isinstance(atoms, str):
        return _from_text(atoms, name, facts)
    if "lattice_mat" not in atoms:
        found = _from_arrays(atoms, name, facts)
        if found is None:
            raise ValueError(f"found only {', '.join(list(atoms)[:12])}")
        return found
    species = [{str(s).strip(): 1} for s in atoms["elements"]]
    return crystal(
        name,
        atoms["lattice_mat"],
        species,
        atoms["coords"],
        *facts[1:3],
        cartesian=bool(atoms.get("cartesian")),
        remark=facts.remark,
    )


def _from_oqmd(document: Fields, name: str, facts: Facts) -> Record:
    """OQMD's interface: sites as ``"Cu @ 0 0 0.5"``."""
    symbols, _, places = zip(*(str(site).partition("@") for site in document["sites"]), strict=True)
    coords = [[float(x) for x in place.split()] for place in places]
    species = [{symbol.strip(): 1} for symbol in symbols]
    return crystal(name, document["unit_cell"], species, coords, *facts[1:3], remark=facts.remark)


def _from_aflow(document: Fields, name: str, facts: Facts) -> Record:
    """AFLOW's interface: cell parameters, and the atoms of each species one after another."""
    symbols, counts = (_words(document[key]) for key in ("species", "composition"))
    species = [
        {str(symbol).strip(): 1} for symbol, n in zip(symbols, counts, strict=True) for _ in range(int(float(n)))
    ]
    cell = cellpar_to_cell([float(x) for x in _words(document["geometry"])])
    coords = document["positions_fractional"]
    if isinstance(coords, str):
        coords = [[float(x) for x in place.split(",")] for place in coords.split(";")]
    return crystal(name, cell, species, coords, *facts[1:3], remark=facts.remark)


def _words(value: Any) -> list[Any]:
    return re.split(r"[,;\s]+", value.strip()) if isinstance(value, str) else list(value)


def _from_arrays(document: Fields, name: str, facts: Facts) -> Record | None:
    """Plain arrays: a cell, positions of either kind, and symbols or atomic numbers."""
    lattice = next((document[key] for key in LATTICES if document.get(key) is not None), None)
    species = next((document[key] for key in SPECIES if document.get(key) is not None), None)
    fractional = next((document[key] for key in FRACTIONAL if document.get(key) is not None), None)
    cartesian = next((document[key] for key in CARTESIAN if document.get(key) is not None), None)
    coords = cartesian if fractional is None else fractional
    if lattice is None or species is None or coords is None:
        return None
    if isinstance(lattice, dict):
        lattice = lattice["matrix"] if "matrix" in lattice else [lattice[key] for key in CELL_PARAMETERS]
    if len(lattice) == len(CELL_PARAMETERS):
        lattice = cellpar_to_cell([float(x) for x in lattice])
    return crystal(
        name,
        lattice,
        [{s if isinstance(s, str) else _symbol(s): 1} for s in species],
        coords,
        *facts[1:3],
        cartesian=fractional is None,
        periodic=_periodic(document),
        remark=facts.remark,
    )


def _periodic(document: Fields) -> tuple[Any, ...]:
    """Along which cell vectors the crystal repeats, as far as the document tells."""
    told: list[Any] = []
    for key in ("pbc", "dimension_types"):
        value = document.get(key)
        if value is not None:
            told += [value] if isinstance(value, (bool, int)) else list(value)
    dimensions = document.get("nperiodic_dimensions")
    return (*told, dimensions is None or dimensions == 3)


def _symbol(number: Any) -> str:
    whole = int(number) if float(number).is_integer() else 0
    return chemical_symbols[whole] if 0 < whole < len(chemical_symbols) else str(number)


def _text_field(key: str) -> Callable[[Fields, str, Facts], Record | Text]:
    def read(document: Fields, name: str, facts: Facts) -> Text:
        return Text(name, TEXTS[key], str(document[key]), *facts[1:3], remark=facts.remark)

    return read


_LAYOUTS: list[tuple[tuple[str, ...], Callable[[Fields, str, Facts], Record | Text]]] = [
    (("structure",), _from_structure),
    (("unit_cell", "sites"), _from_oqmd),
    (("lattice", "sites"), _from_pymatgen),
    (("lattice_vectors", "cartesian_site_positions", "species_at_sites"), _from_optimade),
    (("atoms",), _from_jarvis),
    (("geometry", "positions_fractional", "species", "composition"), _from_aflow),
    *(((key,), _text_field(key)) for key in TEXTS),
]
"""Fields that must be there -> what reads them; the first that fits reads the document."""


def _disagrees(document: Fields, record: Record) -> str | None:
    """Why a crystal is not the one that its document describes."""
    stated = document.get("nsites")
    if isinstance(stated, int) and stated != record.numbers.size:
        return f"contradictory: nsites is {stated}, there are {record.numbers.size} atoms"
    formula = document.get("formula_pretty") or document.get("chemical_formula_reduced")
    if isinstance(formula, str) and (amounts := _amounts(formula)):
        numbers = record.numbers.tolist()
        ratio = len(numbers) / sum(amounts.values())
        if any(abs(numbers.count(z) - ratio * n) > 0.01 * ratio * n for z, n in amounts.items()):
            return f"contradictory: the formula is {formula[:80]}, its atoms are others"
    return None


@lru_cache(maxsize=65536)
def _amounts(formula: str) -> dict[float, float]:
    """Atomic number -> amount in a formula such as "Mg(ScSe2)2"; empty where it is no plain formula."""
    if not _FORMULA.fullmatch(formula):
        return {}
    stack: list[dict[float, float]] = [{}]
    for sign, number in _FORMULA_PART.findall(formula):
        if sign == "(":
            stack.append({})
            continue
        if sign == ")" and len(stack) == 1:
            return {}
        part = stack.pop() if sign == ")" else {float(atomic_number(sign)): 1.0}
        for z, amount in part.items():
            stack[-1][z] = stack[-1].get(z, 0.0) + amount * float(number or 1)
    return stack[0] if len(stack) == 1 and 0.0 not in stack[0] else {}


def is_document(value: Any) -> bool:
    """Whether a value is a document with a crystal, by the names of its fields."""
    if not isinstance(value, dict):
        return False
    return not CRYSTALS.isdisjoint(value) or any(is_document(value.get(key)) for key in fields.INNER)
