"""What a CIF's statements of symmetry mean: symbols, numbers and lists of operators to space groups in their settings.

The table is gemmi's: the 530 settings of International Tables (vol. B, 1.4) and some thirty more in use.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import gemmi
import numpy as np
import spglib
from numpy.typing import NDArray

from cgwgan_core.workflow.arrays import Floats

DENOMINATOR = 24
"""Translations are counted in 24ths of a cell edge, as in gemmi."""
MAX_ORDER = 192
"""Operators of the largest space groups, in a conventional cell."""
MAX_LISTED = 4 * MAX_ORDER
"""Operators that a file may list: cells of several conventional ones exist (magnetic ones, for example)."""

MAX_SYMBOL = 100
"""Characters of a symbol; more is text."""

Operator = tuple[tuple[int, ...], tuple[int, ...]]
"""Rotation (9 integers, row by row) and translation (3, in 24ths, below 24)."""


@dataclass(frozen=True)
class Setting:
    """A space group in one choice of axes and origin: all its operators, the lattice's centring included."""

    name: str
    """As one says it: "F d -3 m:1"."""
    number: int | None
    """Of International Tables; ``None`` where no one said it."""
    operators: frozenset[Operator]

    @cached_property
    def rotations(self) -> NDArray[np.int64]:
        """(n, 3, 3), acting on column vectors of fractional coordinates; the identity comes first."""
        return np.array([r for r, _ in self._ordered], dtype=np.int64).reshape(-1, 3, 3)

    @cached_property
    def translations(self) -> Floats:
        """(n, 3), fractional."""
        return np.array([t for _, t in self._ordered], dtype=float) / DENOMINATOR

    @cached_property
    def _ordered(self) -> list[Operator]:
        return sorted(self.operators, key=lambda operator: (operator != IDENTITY, operator))

    def misfit(self, lattice: Floats) -> float:
        """How far the cell (rows in Å) is from this symmetry: the largest change, relative for lengths, of a length
        or a cosine under an operator.
        """
        metric = lattice @ lattice.T
        turned = np.einsum("nki,kl,nlj->nij", self.rotations, metric, self.rotations)
        lengths = np.sqrt(np.abs(np.einsum("nii->ni", turned)))
        edges = np.sqrt(np.diag(metric))
        cosines = turned / (lengths[:, :, None] * lengths[:, None, :])
        return float(max(np.abs(lengths / edges - 1).max(), np.abs(cosines - metric / np.outer(edges, edges)).max()))

    def subgroup_of(self, other: "Setting") -> bool:
        """Whether the other group has all these operators, and more."""
        return self.operators < other.operators


IDENTITY: Operator = ((1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, 0))
TRIVIAL = Setting("P 1", 1, frozenset([IDENTITY]))


# ---------------------------------------------------------------------------------------------- operators


def from_triplets(triplets: Iterable[str]) -> Setting:
    """The group of listed operators ("-x,y+1/2,z"), whatever its setting; :func:`is_group` says if it is one.

    :raises ValueError: naming an operator that is none.
    """
    operators = set()
    for triplet in triplets:
        operators.add(_operator(triplet))
        if len(operators) > MAX_LISTED:
            raise ValueError(f"more than {MAX_LISTED} operators")
    return _named(frozenset(operators))


def product(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """Triplets of all products of two lists: operators and centrings are listed apart in magnetic CIFs."""
    right = [gemmi.Op(t) for t in second]
    return [(gemmi.Op(t) * c).wrap().triplet() for t in first for c in right]


def is_group(setting: Setting) -> bool:
    """Whether the operators hold the identity, and every product of two of them."""
    if IDENTITY not in setting.operators:
        return False
    rotations, translations = setting.rotations, np.rint(setting.translations * DENOMINATOR).astype(np.int64)
    n = len(rotations)
    products = np.einsum("aij,bjk->abik", rotations, rotations).reshape(n * n, 9)
    moved = (np.einsum("aij,bj->abi", rotations, translations) + translations[:, None]) % DENOMINATOR
    found = np.unique(np.concatenate([products, moved.reshape(n * n, 3)], axis=1), axis=0)
    # n distinct products at least, those with the identity; exactly n if all are listed.
    return len(found) == n


@lru_cache(maxsize=4096)
def _operator(triplet: str) -> Operator:
    try:
        op = gemmi.Op(triplet)
    except (RuntimeError, ValueError):
        raise ValueError(f"operator {triplet!r} not understood") from None
    rotation = np.array(op.rot)
    if (rotation % DENOMINATOR).any() or abs(round(np.linalg.det(rotation / DENOMINATOR))) != 1:
        raise ValueError(f"operator {triplet!r} is no symmetry of a lattice")
    return _plain(op)


def _plain(op: gemmi.Op) -> Operator:
    return (
        tuple(value // DENOMINATOR for row in op.rot for value in row),
        tuple(value % DENOMINATOR for value in op.tran),
    )


@lru_cache(maxsize=4096)
def _named(operators: frozenset[Operator]) -> Setting:
    """The setting by its name in the table, or by its number where its axes or origin are not in the table."""
    entry = _table().by_operators.get(operators)
    if entry is not None:
        return entry
    setting = Setting("the operators listed", None, operators)
    if len(operators) > MAX_ORDER or not is_group(setting):
        return setting
    try:
        kind = spglib.get_spacegroup_type_from_symmetry(setting.rotations, setting.translations)
    except Exception:  # noqa: BLE001 - spglib has errors of its own for what it cannot name
        kind = None
    return setting if kind is None else Setting(f"operators of group {kind.number}", int(kind.number), operators)


# ------------------------------------------------------------------------------------------------- symbols


@lru_cache(maxsize=4096)
def from_hall(symbol: str) -> Setting | None:
    """The setting of a Hall symbol; ``None`` where it is none."""
    try:
        operations = gemmi.symops_from_hall(" ".join(symbol.replace("_", " ").split()))
    except (RuntimeError, ValueError):
        return None
    operators = frozenset(_plain(op) for op in operations)
    setting = _named(operators)
    return setting if setting.number is not None or is_group(setting) else None


@lru_cache(maxsize=4096)
def from_symbol(symbol: str) -> tuple[tuple[Setting, ...], ...]:
    """The settings that a Hermann-Mauguin symbol may mean, the likeliest first; none where it is not understood.

    Short, full and old symbols in any spelling; origin and axes as ":1", ":2", ":H", ":R", ":b1", "S", "Z", "HR",
    "(origin choice 2)". Settings of one tier are equally likely: two origins, or hexagonal and rhombohedral axes,
    where the symbol does not say which.
    """
    if len(symbol) > MAX_SYMBOL:
        return ()
    body, choice = _split(symbol)
    entries = _lookup(body)
    if choice:
        chosen = tuple(e for e in entries if choice in _choices(e))
        # "S", the standard setting, may stand for any group; else it says which, and we do not understand it.
        if not chosen and choice != "1" and any(e.ext in "12HR" for e in entries):
            return ()
        entries = chosen or entries
    tiers: dict[int, list[Setting]] = {}
    for entry in entries:
        tiers.setdefault(_unlikely(entry), []).append(_table().settings[entry.hall])
    return tuple(tuple(dict.fromkeys(tiers[rank])) for rank in sorted(tiers))


@lru_cache(maxsize=1024)
def from_number(number: int, choice: str = "") -> tuple[tuple[Setting, ...], ...]:
    """The settings of a group of International Tables: the standard one (both origins, both axes), then all others.

    :param choice: code of axes and origin ("b1", "cab", "2", "h"), if one is known.
    """
    entries = [e for e in gemmi.spacegroup_table_itb() if e.number == number]
    if choice:
        entries = [e for e in entries if choice.lower() in _choices(e)] or entries
    if not entries:
        return ()
    standard = next((e.hm for e in entries if e.is_reference_setting()), entries[0].hm)
    tiers = [e for e in entries if e.hm == standard], [e for e in entries if e.hm != standard]
    return tuple(tuple(_table().settings[e.hall] for e in tier) for tier in tiers if tier)


def number_of_schoenflies(symbol: str) -> int | None:
    """Number of International Tables of a Schoenflies symbol ("Oh^5", "C2h.5"); ``None`` where it is none."""
    return _schoenflies().get(re.sub(r"[\s_.^{}$-]", "", symbol).lower())


@lru_cache(maxsize=1)
def _schoenflies() -> dict[str, int]:
    kinds = [spglib.get_spacegroup_type(hall_number) for hall_number in range(1, 531)]
    return {kind.schoenflies.replace("^", "").lower(): int(kind.number) for kind in kinds if kind is not None}


def _choices(entry: gemmi.SpaceGroup) -> set[str]:
    """Codes of an entry's axes and origin, in lower case."""
    origin = entry.ext.lower().strip("\0 ")
    return {origin, entry.qualifier, origin + entry.qualifier} - {""}


def _unlikely(entry: gemmi.SpaceGroup) -> int:
    """A short monoclinic symbol without its axis means b (the tables' first choice), else c, else a."""
    unique = entry.qualifier.lstrip("-")[:1]
    return {"b": 0, "c": 1, "a": 2}.get(unique, 0) if 3 <= entry.number <= 15 else 0


_ENDINGS = (
    (r"[\s:,({]*\b(?:origin|choice)(?:\s*choice)?\s*(?:no\.?)?\s*([12])\s*[)}]?", r"\1"),
    (r"[\s:,({-]*\bo([12])[)}]?", r"\1"),
    (r"[\s:,({]*\bhex(?:agonal)?(?:\s+axes)?\s*[)}]?", "h"),
    (r"[\s:,({]*\brhombohedral(?:\s+axes)?\s*[)}]?", "r"),
    (r"(?<=\S)[\s:]*(?:hr|h)", "h"),
    (r"(?<=\S)[\s:]*(?:rs|rh|r)", "r"),
    (r"(?<=\S)[\s:]*z", "2"),  # ICSD: with the origin at the centre (Zentrum)
    (r"(?<=\S)[\s:]*s", "1"),
    (r"\s*:\s*(-?[\w-]+)", r"\1"),
)
"""Endings that say which origin or axes, in lower case -> the code. No symbol has o, s, z, h or r in itself."""


def _split(symbol: str) -> tuple[str, str]:
    """Symbol without its ending, and the ending's code ("" if it has none)."""
    text = symbol.strip().strip("'\"*").lower().split("=")[-1].strip()
    # As in: F m -3 m (225); F m -3 m, No. 225; F d -3 m :2 {origin at -3m}.
    text = re.sub(r"[\s,(]*(?:no\.?|#)\s*\d+\s*\)?$|\(\s*(?:[7-9]|\d{2,3})\s*\)$", "", text)
    text = re.sub(r"\s*[({]origin at [^)}]*[)}]$", "", text).strip()
    for pattern, code in _ENDINGS:
        if match := re.search(pattern + "$", text):
            rest = text[: match.start()].strip()
            if rest:
                return rest, match.expand(code)
    return text, ""


def _lookup(body: str) -> tuple[gemmi.SpaceGroup, ...]:
    names = _table().by_name
    if re.fullmatch(r"p\s+3_?[12]\s+[12]", body):
        return ()  # P 31 2: the third axis is missing, and without spaces it would read P 3 1 2
    plain = re.sub(r"\\*bar\{?(\d)\}?", r"-\1", body)
    plain = re.sub(r"</?su[bp]>|[\s_{}$~^]", "", plain)
    plain = re.sub(r"(?<=\d)\((\d)\)", r"\1", plain)  # P 2(1)/c
    # Full symbols lose the axes that short ones leave out: F 4/m -3 2/m, P 21/n 21/m 21/a, P -3 1 2/m.
    short = re.sub(r"-?3(1?)2/([a-z])", r"-3\1\2", plain)
    short = re.sub(r"(?<=[a-z])21?/(?=[a-z])", "", short)
    short = re.sub(r"^([a-z])[24]\d?/([a-z])(-?3)", r"\1\2\3", short)
    # Old symbols of the cubic groups with a centre: F m 3 m.
    old = re.sub(r"^([pfi][mnad])3", r"\1-3", short)
    return next((names[key] for key in (plain, short, old) if key in names), ())


# ---------------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class _Table:
    settings: dict[str, Setting]
    """Hall symbol -> setting."""
    by_operators: dict[frozenset[Operator], Setting]
    by_name: dict[str, tuple[gemmi.SpaceGroup, ...]]
    """Hermann-Mauguin symbol in lower case without spaces -> entries of gemmi's table."""


@lru_cache(maxsize=1)
def _table() -> _Table:
    settings: dict[str, Setting] = {}
    by_operators: dict[frozenset[Operator], Setting] = {}
    by_name: dict[str, list[gemmi.SpaceGroup]] = {}
    n_standard = len(list(gemmi.spacegroup_table_itb()))
    for place, entry in enumerate(gemmi.spacegroup_table()):
        operators = frozenset(_plain(op) for op in entry.operations())
        settings[entry.hall] = by_operators.setdefault(operators, Setting(entry.xhm(), entry.number, operators))
        for name in _spellings(entry):
            # Entries beyond the 530 count where no other has the name.
            if place < n_standard or name not in by_name:
                by_name.setdefault(name, []).append(entry)
    return _Table(settings, by_operators, {name: tuple(entries) for name, entries in by_name.items()})


def _spellings(entry: gemmi.SpaceGroup) -> set[str]:
    """All short symbols of an entry, compact and in lower case."""
    lattice, *parts = entry.hm.lower().split()
    names: list[Sequence[str]] = [parts]
    if 3 <= entry.number <= 15:
        names.append([part for part in parts if part != "1"])
    if 16 <= entry.number <= 74 and lattice in "abc":
        # Planes across a centred face glide both ways: e, since 1992.
        place = "abc".index(lattice)
        if parts[place] in ("a", "b", "c"):
            names.append([*parts[:place], "e", *parts[place + 1 :]])
    return {lattice + "".join(name) for name in names}
