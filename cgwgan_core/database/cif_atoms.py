"""The atoms that a CIF lists, as they stand: elements, coordinates, occupancies; and its formula."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from pymatgen.core import Composition

from cgwgan_core.database.cif_fields import Fields, number, refused
from cgwgan_core.database.record import MAX_ATOMS, atomic_number
from cgwgan_core.workflow.arrays import Floats, Integers

AXES = ("x", "y", "z")
MAX_NAME, MAX_FORMULA = 75, 1000
"""Characters of labels and types (CIF's own limit for names), and of formulas."""
MAX_COORDINATE = 1000
"""Fractions of a cell, or Å: further out no one writes an atom."""
WHOLE = 1e-3
"""Occupancies this close to 1 are 1."""
HYDROGEN, OXYGEN, HOLMIUM, TUNGSTEN = 1, 8, 67, 74


@dataclass(frozen=True)
class Atoms:
    """The n sites of the list of atoms, one atom on each."""

    labels: list[str]
    numbers: Integers
    frac_coords: Floats
    """(n, 3)."""
    decimals: Integers
    """(n,) The most decimals that one of a site's coordinates has."""
    multiplicities: list[int | None]
    """Atoms in the cell of each site, as the file has it."""
    remarks: list[str] = field(default_factory=list)


def read_atoms(fields: Fields, lattice: Floats, formula: dict[int, float] | None) -> Atoms:
    """The list of atoms, whole and ordered.

    :param formula: helps with labels such as CA1, calcium or carbon.
    :raises RefusedError: for atoms without a position or element, disorder, and hydrogens that are not listed.
    """
    coords, decimals = _coordinates(fields, lattice)
    n = len(coords)
    remarks: list[str] = []
    labels, types = _columns(fields, n, "_atom_site_label", "_atom_site_type_symbol")
    if all(label is None for label in labels):
        labels = types
    names = [label or kind or f"site {i}" for i, (label, kind) in enumerate(zip(labels, types, strict=True), start=1)]
    known = formula.keys() if formula else _declared_elements(fields)

    occupancies = _occupancies(fields, names)
    flags, attached, groups, assemblies, multiplicities, wyckoff = _columns(
        fields,
        n,
        "_atom_site_calc_flag",
        "_atom_site_attached_hydrogens",
        "_atom_site_disorder_group",
        "_atom_site_disorder_assembly",
        "_atom_site_symmetry_multiplicity",
        "_atom_site_wyckoff_symbol",
    )
    rows = []
    for i in range(n):
        if (flags[i] or "").lower() == "dum":
            remarks.append(f"dummy: {names[i]} is flagged as no atom and left out")
        elif occupancies[i] == 0:
            remarks.append(f"empty site: {names[i]} has occupancy 0 and is left out")
        else:
            rows.append(i)
        if groups[i] not in (None, "0") or assemblies[i] not in (None, "0"):
            raise refused("disordered", f"site {names[i]} belongs to a disorder group; give one ordered arrangement")
        if (number(attached[i] or "0") or 0) > 0:
            raise refused(
                "hydrogens not given", f"{attached[i]} are attached to {names[i]} without positions; list them"
            )
    for i in rows:
        if np.isnan(coords[i]).any():
            raise refused("no position", f"site {names[i]} has no coordinates; give them or leave the atom out")
    if not rows:
        raise refused("empty", "the CIF lists no atoms")
    numbers = {i: element(labels[i], types[i], names[i], known) for i in rows}
    rows = _whole(rows, names, numbers, occupancies, coords)
    sizes = [multiplicities[i] or wyckoff[i] for i in rows]
    found = Atoms(
        [names[i] for i in rows],
        np.array([numbers[i] for i in rows], dtype=np.int64),
        coords[rows],
        decimals[rows],
        [int(m.group()) if size and (m := re.match(r"[1-9]\d*", size.lstrip("."))) else None for size in sizes],
        remarks,
    )
    _refuse_lost_hydrogens(fields, found, labels, types, formula)
    return found


def _columns(fields: Fields, n: int, *tags: str) -> list[list[str | None]]:
    columns = []
    for tag in tags:
        column = fields.column(tag) or [None] * n
        if len(column) != n:
            raise refused("incomplete", f"{tag} has {len(column)} values for {n} atoms; list the atoms in one loop")
        columns.append(column)
    return columns


def _coordinates(fields: Fields, lattice: Floats) -> tuple[Floats, Integers]:
    """Fractional coordinates (n, 3), NaN where the file has none, and their decimals (n,)."""
    axes, cartesian = [fields.column(f"_atom_site_fract_{axis}") for axis in AXES], False
    if not any(axes):
        axes, cartesian = [fields.column(f"_atom_site_cartn_{axis}") for axis in AXES], True
    n = len(axes[0])
    if n > MAX_ATOMS:
        raise refused("too large", f"{n} atoms, more than {MAX_ATOMS}")
    if {len(axis) for axis in axes} != {n} or n == 0:
        raise refused("incomplete", "CIF not understood: the lists of x, y and z differ in length")
    coords = np.full((n, 3), np.nan)
    decimals = np.zeros(n, dtype=np.int64)
    for column, axis in enumerate(axes):
        for row, text in enumerate(axis):
            if text is None:
                continue
            coords[row, column] = _coordinate(text, row)
            decimals[row] = max(decimals[row], _decimals(text))
    if cartesian:
        if np.abs(lattice @ lattice.T - np.diag(np.diag(lattice @ lattice.T))).max() > 1e-4:
            raise refused(
                "no position",
                "Cartesian coordinates in an oblique cell: no one says along which axes; give "
                "_atom_site_fract_x, _y, _z",
            )
        coords = coords / np.linalg.norm(lattice, axis=1)
        decimals[:] = 6
    return coords, decimals


def _coordinate(text: str, row: int) -> float:
    value = number(text)
    if value is None:
        raise refused("not a number", f"coordinate {text!r} of atom {row + 1}; write it as 0.25 or 0.25(1)")
    if abs(value) > MAX_COORDINATE:
        raise refused("no position", f"coordinate {text} of atom {row + 1}; give it as a fraction of the cell")
    return value


def _decimals(text: str) -> int:
    exact = "/" in text or "e" in text.lower()
    return 9 if exact else len(text.partition(".")[2].partition("(")[0])


def _occupancies(fields: Fields, names: list[str]) -> list[float]:
    """1 where the file says nothing: the dictionary's default."""
    (texts,) = _columns(fields, len(names), "_atom_site_occupancy")
    found = []
    for name, text in zip(names, texts, strict=True):
        value = 1.0 if text is None else number(text)
        if value is None:
            raise refused("not a number", f"occupancy {text!r} of {name}")
        if not 0 <= value <= 1 + WHOLE:
            raise refused("disordered", f"site {name} has occupancy {value:g}, which is none")
        found.append(value)
    return found


def _whole(
    rows: list[int], names: list[str], numbers: dict[int, int], occupancies: list[float], coords: Floats
) -> list[int]:
    """Rows with one whole atom each: parts of one element on one place (Fe2+ and Fe3+) become one.

    :raises RefusedError: for other partial occupancies.
    """
    if all(occupancies[i] >= 1 - WHOLE for i in rows):
        return rows
    places: dict[tuple[float, ...], list[int]] = {}
    for i in rows:
        places.setdefault(tuple(np.round(coords[i] % 1.0, 4) % 1.0), []).append(i)
    for members in places.values():
        total = sum(occupancies[i] for i in members)
        if len({numbers[i] for i in members}) > 1 or abs(total - 1) > WHOLE:
            if all(occupancies[i] >= 1 - WHOLE for i in members):
                continue  # whole atoms on one place: told where distances are
            listed = ", ".join(f"{chemical_symbols[numbers[i]]} {occupancies[i]:g}" for i in members)
            raise refused("disordered", f"site {names[members[0]]} holds {listed}")
    whole = {i for i in rows if occupancies[i] >= 1 - WHOLE}
    first = {members[0] for members in places.values()}
    return [i for i in rows if i in whole or i in first]


# ---------------------------------------------------------------------------------------------- elements

_TYPE = re.compile(
    r"\d{0,3}([A-Za-z]{1,2})(?:val|va)?"
    r"(?:\((?:[IV]+|\d*[+-]|[+-]?\d+)\)|[+-][IV]+|[+-]?\d*\.?\d*[+-]?)"
)
"""An element with or without its mass number, valence or charge: Fe3+, O2-, O-2, Fe(III), Cval, 57Fe."""
_MOLECULE = re.compile(r"(?i)(?:o\d*w\w*|wat\w*|hoh\w*|h\d?o\w*|oh\w*|nh\d\w*|ch\d\w*|d2o\w*)[+-]?")
"""Labels and types that say that hydrogens belong to the site: O1W, Wat, OH, H2O, NH4."""
_MIXED = re.compile(r"[A-Z][a-z]?[\d.]*\s*[,+/&|]\s*[\d.]*[A-Z]|\d*\.\d+\s*[A-Z]|[A-Z][a-z]?0?\.\d+\s*[A-Z]")
"""Types that name several elements: "0.75Si + 0.25Al", "Nb,Zr"."""


def element(label: str | None, kind: str | None, name: str, known: Collection[int]) -> int:
    """Atomic number of a site.

    :param label: ``_atom_site_label``, begins with the element by the dictionary.
    :param kind: ``_atom_site_type_symbol``, the element and maybe its charge; it counts where it is given.
    :param known: atomic numbers that the crystal has, empty if unknown.
    :raises RefusedError: where neither names one element.
    """
    for text in (kind, label):
        if text is not None and len(text) > MAX_NAME:
            raise refused("not an element", f"species {text[:20]!r}...; write the element in _atom_site_type_symbol")
        if text is not None and _MIXED.search(text):
            raise refused("disordered", f"site {name} holds {text}")
    if kind is not None:
        found = HYDROGEN if kind == "T" and HYDROGEN in known else _from_type(kind)
        if found:
            return found
        if not _MOLECULE.fullmatch(kind):
            raise refused(
                "not an element", f"species {kind!r} on site {name}; write the element in _atom_site_type_symbol"
            )
        return _heavy(kind, name)
    if label is None:
        raise refused("not an element", f"{name} has neither label nor type; write _atom_site_type_symbol")
    return _from_label(label, name, known)


@lru_cache(maxsize=4096)
def _from_type(kind: str) -> int:
    """Atomic number of a type; 0 where it is no element."""
    match = _TYPE.fullmatch(kind.replace(" ", ""))
    return _number(match.group(1)) if match else 0


def _number(symbol: str) -> int:
    return HYDROGEN if symbol in ("D", "d") else atomic_numbers.get(symbol.capitalize(), 0)


def _from_label(label: str, name: str, known: Collection[int]) -> int:
    """The element that a label begins with: Ca1 is calcium by custom; CA1, Cg1 and Vac may be anything.

    Letters that may be two elements are the one that the crystal has.
    """
    letters = re.match(r"\d{0,3}([A-Za-z]*)", label).group(1)  # type: ignore[union-attr] # it always matches
    if letters.upper().startswith(("OH", "WAT", "HOH")):
        return OXYGEN
    two, one = (_number(letters[:2]) if len(letters) > 1 else 0), _number(letters[:1])
    candidates = [z for z in dict.fromkeys((two, one)) if z]
    if not candidates:
        raise refused("not an element", f"label {name!r} names no element; write the element in _atom_site_type_symbol")
    agreeing = [z for z in candidates if z in known]
    if len(agreeing) == 1:
        return agreeing[0]
    second, third = letters[1:2].islower(), letters[2:3].islower()
    if second and two and not third:
        return two
    if not second and len(candidates) == 1:
        return candidates[0]
    if second and not two and one == OXYGEN:
        return one
    raise refused(
        "ambiguous",
        f"label {name!r} may be {' or '.join(chemical_symbols[z] for z in candidates)} or no atom; "
        "write the element in _atom_site_type_symbol, or the formula in _chemical_formula_sum",
    )


def _heavy(kind: str, name: str) -> int:
    """The atom of a group that stands as one site (OH, H2O, NH4)."""
    for letter in kind.upper():
        if letter in "ONC":
            return atomic_numbers[letter]
    if kind.upper().startswith("WAT"):
        return OXYGEN
    raise refused("not an element", f"species {kind!r} on site {name}; write the element in _atom_site_type_symbol")


def _declared_elements(fields: Fields) -> set[int]:
    return {_from_type(kind) for kind in fields.texts("_atom_type_symbol")} - {0}


def _refuse_lost_hydrogens(
    fields: Fields,
    atoms: Atoms,
    labels: list[str | None],
    types: list[str | None],
    formula: dict[int, float] | None,
) -> None:
    """Refuse water, hydroxide and the like without their hydrogens: X-rays hardly see them."""
    if HYDROGEN in atoms.numbers:
        if formula is None:
            for text in types:
                if text and not _from_type(text) and _MOLECULE.fullmatch(text):
                    raise refused(
                        "hydrogens not given",
                        f"the type {text} stands for several atoms; list each, or give _chemical_formula_sum",
                    )
        return
    remedy = "list the hydrogens with their positions"
    for text in (*types, *labels):
        if text is None or not _MOLECULE.fullmatch(text):
            continue
        holmium = HOLMIUM in atoms.numbers and text.lower().startswith("ho")
        tungstate = TUNGSTEN in atoms.numbers and "w" in text.lower()
        if not holmium and not tungstate:
            raise refused("hydrogens not given", f"site {text} says that it has some; {remedy}")
    if said := _hydrogens_named(fields):
        raise refused("hydrogens not given", f"{said}, no atom is hydrogen; {remedy}")


def _hydrogens_named(fields: Fields) -> str | None:
    """Which name or formula says that there are hydrogens."""
    for text in fields.texts("_chemical_name_systematic", "_chemical_name_common"):
        if re.search(r"(?i)hydroxide|(?<!an)hydrate\b|hydride\b|\bhydrogen", text):
            return f"the name is {text}"
    for tag in ("_chemical_formula_sum", "_chemical_formula_moiety", "_chemical_formula_structural"):
        formula = fields.one(tag)
        if formula and re.search(r"[HD](?![a-z])", formula):
            return f"the formula is {formula}"
    return None


# ----------------------------------------------------------------------------------------------- formula


def read_formula(text: str | None) -> dict[int, float] | None:
    """Atomic number -> count; ``None`` where the text is no formula."""
    if text is None or len(text) > MAX_FORMULA:
        return None
    counts: dict[int, float] = {}
    words = re.findall(r"([A-Z][a-z]?)\s?(\d*\.?\d*)", text)
    if re.sub(r"[\s,;]", "", text) == "".join(symbol + amount for symbol, amount in words):
        for symbol, amount in words:
            z = atomic_number(symbol)
            counts[z] = counts.get(z, 0.0) + float(amount or 1)
    else:
        try:
            for species, amount in Composition(text).items():
                z = atomic_number(str(species))
                counts[z] = counts.get(z, 0.0) + float(amount)
        except Exception:  # noqa: BLE001 - free text stands in this field, too
            return None
    return None if 0 in counts or not counts or sum(counts.values()) <= 0 else counts


def formula_text(counts: dict[int, float]) -> str:
    """As "Ru2 O3", in the order given."""
    return " ".join(f"{chemical_symbols[z]}{count:g}" for z, count in counts.items())
