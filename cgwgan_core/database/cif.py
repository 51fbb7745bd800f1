"""CIF text to crystals, read strictly: what a file leaves open is settled by what else it says, or refused.

Parts: :mod:`cif_fields` (syntax), :mod:`cif_atoms` (the list of atoms), :mod:`space_group_settings` (what symbols
and numbers mean), :mod:`cif_crystal` (which of the possible settings is meant).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from pymatgen.core import Lattice

from cgwgan_core.database import space_group_settings as settings
from cgwgan_core.database.cif_atoms import read_atoms, read_formula
from cgwgan_core.database.cif_crystal import MISFIT, Evidence, Hypothesis, Reading, choose
from cgwgan_core.database.cif_fields import Fields, RefusedError, number, parse, refused
from cgwgan_core.database.record import UNREADABLE, Record
from cgwgan_core.database.space_group_settings import Setting
from cgwgan_core.workflow.arrays import Floats

LENGTHS = ("_cell_length_a", "_cell_length_b", "_cell_length_c")
ANGLES = ("_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")
OPERATORS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
MAGNETIC_OPERATORS, MAGNETIC_CENTRINGS = (
    "_space_group_symop_magn_operation_xyz",
    "_space_group_symop_magn_centering_xyz",
)
HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
SYMBOLS = (
    "_space_group_name_h-m_alt",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
    "_space_group_name_h-m",
    "_symmetry_space_group_name_h-m",
)
SCHOENFLIES = "_space_group_name_schoenflies"
NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number", "_symmetry_it_number")
MODULATED = (
    "_cell_wave_vector_",
    "_space_group_ssg_",
    "_space_group_symop_ssg_",
    "_space_group_symop_magn_ssg_",
    "_atom_site_fourier_",
    "_cell_subsystem_",
)
"""Beginnings of the tags that only modulated structures have."""
SYMBOL, NUMBER = "the symbol", "the number"
REMEDY = "list the operators in _space_group_symop_operation_xyz"


def from_cif(
    content: str, name: str, formation_energy_per_atom: float = np.nan, energy_above_hull: float = np.nan
) -> list[Record]:
    """The crystals of a CIF, in the cell the CIF gives.

    Crystals of a CIF with several of them are called ``name#1``, ``name#2``, ... What the file leaves open and how
    it was settled is the record's remark; what cannot be settled is refused.
    """
    try:
        blocks, mended = parse(content)
        # Publication data often stand in a block of their own, without a cell.
        blocks = [b for b in blocks if b.tags("_cell_length_") or b.tags("_atom_site_fract_")]
        if not blocks:
            raise refused(UNREADABLE, "CIF not understood (it has neither cell nor atoms)")
    except RefusedError as error:
        return [Record(name, reason=str(error))]
    if len(blocks) == 1:
        return [_record(blocks[0], name, mended, formation_energy_per_atom, energy_above_hull)]
    return [_record(block, f"{name}#{i}", mended) for i, block in enumerate(blocks, start=1)]


def _record(fields: Fields, name: str, mended: list[str], formation: float = np.nan, hull: float = np.nan) -> Record:
    try:
        reading, remarks = read_block(fields)
    except RefusedError as error:
        return Record(name, reason=str(error))
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        return Record(name, reason=f"{UNREADABLE}: CIF not understood ({error})")
    return Record(
        name,
        reading.lattice.ravel(),
        reading.numbers.astype(float),
        reading.frac_coords.ravel(),
        formation,
        hull,
        remark="; ".join(dict.fromkeys([*mended, *remarks])) or None,
    )


def read_block(fields: Fields) -> tuple[Reading, list[str]]:
    """The crystal of a block, and what was doubtful in it.

    :raises RefusedError: where there is none, or it is not clear which.
    """
    _refuse_modulated(fields)
    lattice, assumed = _cell(fields)
    formula_text = fields.one("_chemical_formula_sum")
    formula = read_formula(formula_text)
    magnetic = bool(fields.texts(MAGNETIC_OPERATORS))
    evidence = Evidence(
        formula,
        # That of a magnetic file may count the parent's cell.
        None if magnetic else _hint(fields, "_cell_formula_units_z"),
        _hint(fields, "_exptl_crystal_density_diffrn"),
        _hint(fields, "_cell_volume"),
    )
    if not any(fields.tags(f"_atom_site_{kind}_") for kind in ("fract", "cartn")):
        raise refused(UNREADABLE, "CIF not understood (it lists no atoms)")
    atoms = read_atoms(fields, lattice, formula)
    tiers, remarks = _hypotheses(fields)
    reading = choose(tiers, lattice, atoms, evidence)
    if assumed:
        _check_assumed(assumed, reading, evidence)
        remarks = [*remarks, f"cell: {', '.join(assumed)} not given, taken as 90°"]
    if formula_text and formula is None:
        remarks = [*remarks, f"formula: {formula_text[:80]!r} not understood, not compared"]
    if reading.hypothesis.needs == "room" and reading.strained:
        remarks = [*remarks, "distances: some atoms are closer than is usual; are origin and axes right?"]
    chosen = reading.hypothesis.remark
    return reading, [*remarks, *([chosen] if chosen else []), *atoms.remarks, *reading.remarks, *reading.doubts]


def _refuse_modulated(fields: Fields) -> None:
    dimension = fields.one("_cell_modulation_dimension")
    tags = [tag for start in MODULATED for tag in fields.tags(start)]
    if dimension not in (None, "0") or any(fields.texts(tag) for tag in tags):
        raise refused("modulated", "the atoms' waves make it no crystal with one cell; give a commensurate supercell")


def _hint(fields: Fields, tag: str) -> float | None:
    """A number that helps to judge, if it is one."""
    try:
        value = fields.number(tag)
    except RefusedError:
        return None
    return value if value is not None and value > 0 else None


# --------------------------------------------------------------------------------------------------- cell


def _cell(fields: Fields) -> tuple[Floats, list[str]]:
    """The lattice (rows in Å), and the tags of the angles that the file does not give."""
    lengths = []
    for tag in LENGTHS:
        length = fields.number(tag)
        if length is None:
            raise refused("cell", f"{tag} is missing")
        if not 0.4 < length < 10_000:
            raise refused("cell", f"{tag} is {length:g} Å; give it in Å")
        lengths.append(length)
    angles = [fields.number(tag) for tag in ANGLES]
    assumed = [tag for tag, angle in zip(ANGLES, angles, strict=True) if angle is None]
    filled = [90.0 if angle is None else angle for angle in angles]
    cosines = np.cos(np.radians(filled))
    if not all(5 < angle < 175 for angle in filled) or 1 - cosines @ cosines + 2 * cosines.prod() < 1e-5:
        raise refused(
            "cell", f"no cell has the angles {', '.join(f'{angle:g}' for angle in filled)}; give them in degrees"
        )
    return np.array(Lattice.from_parameters(*lengths, *filled).matrix), assumed


def _check_assumed(assumed: list[str], reading: Reading, evidence: Evidence) -> None:
    """Refuse where 90°, the dictionary's default, is neither the symmetry's nor the volume's."""
    cell = Lattice(reading.lattice)
    for tag in assumed:
        angles = list(cell.angles)
        angles[ANGLES.index(tag)] += 1
        free = reading.hypothesis.setting.misfit(Lattice.from_parameters(*cell.abc, *angles).matrix) < MISFIT
        if free and not evidence.volume and "density" not in reading.confirmed:
            raise refused("cell", f"{tag} is missing, and the symmetry does not tell it")


# ----------------------------------------------------------------------------------------------- symmetry


@dataclass(frozen=True)
class Statement:
    """What one item of a file says of the symmetry."""

    source: str
    """In words: "the symbol F m -3 m"."""
    tiers: tuple[tuple[Setting, ...], ...]
    """Settings that it may mean, the likeliest first."""

    @cached_property
    def numbers(self) -> set[int | None]:
        """Groups of International Tables."""
        return {setting.number for setting in self.settings}

    @cached_property
    def settings(self) -> list[Setting]:
        """Those of all tiers."""
        return [setting for tier in self.tiers for setting in tier]


def _hypotheses(fields: Fields) -> tuple[list[list[Hypothesis]], list[str]]:
    """The settings that a file may mean, and remarks on what it says of them."""
    remarks: list[str] = []
    listed, partial = _operators(fields, remarks)
    if fields.texts(MAGNETIC_OPERATORS):
        # Symbols and numbers may be those of the parent structure, in another cell.
        if listed is None:
            raise refused("symmetry not understood", "the magnetic operators form no group; correct them")
        return [[Hypothesis(listed.settings[0])]], remarks
    stated, unknown = _stated(fields)
    doubted = False
    if partial is not None:
        if not stated:
            raise refused(
                "symmetry not understood",
                f"the {len(partial.operators)} operators listed form no group, and no symbol says which; list all",
            )
        stated, doubted = _holding(partial, stated)
        remarks.append(f"operators: the {len(partial.operators)} listed form no group, {stated[0].source} counts")
    statements = [listed, *stated] if listed else stated
    if unknown:
        told = ", ".join(repr(symbol) for symbol in unknown)
        if not statements:
            raise refused("symmetry not understood", f"the symbol {told}; {REMEDY}")
        remarks.append(f"symbol: {told} not understood, {statements[0].source} counts")
    if not statements:
        return _nothing(fields), remarks
    tiers = _weighed(statements, "sense" if doubted else "proof" if unknown else "")
    seen = {h.setting.operators for tier in tiers for h in tier}
    others = [
        # Hexagonal and rhombohedral axes are told apart by the cell alone.
        Hypothesis(
            s,
            "sense" if s.name.endswith((":H", ":R")) else "proof",
            f"setting: {statements[0].source} does not fit, read as {s.name}",
        )
        for n in sorted({n for s in statements for n in s.numbers if n is not None} - {1})
        for tier in settings.from_number(n)
        for s in tier
        if s.operators not in seen
    ]
    crowded = [
        Hypothesis(h.setting, "number", f"distances: atoms closer than a bond in {h.setting.name}")
        for tier in tiers
        for h in tier
        if h.needs == "room"
    ]
    stale = f"symmetry: all atoms are listed, read as P 1; as they stand they have that of {statements[0].source}"
    groups = tuple(s for said in statements for s in said.settings if len(s.operators) > 1)
    full = [Hypothesis(settings.TRIVIAL, "list", stale, groups)] if groups else []
    return [tier for tier in (*tiers, others, crowded, full) if tier], remarks


def _nothing(fields: Fields) -> list[list[Hypothesis]]:
    """What a file without symmetry may mean: all atoms are listed, if their number is confirmed."""
    if fields.tags("_space_group_magn_") or fields.tags("_parent_space_group_"):
        raise refused("symmetry not understood", "a magnetic group without its operators; list them")
    remark = "symmetry: none given, read as P 1"
    return [[Hypothesis(settings.TRIVIAL, "proof", remark)], [Hypothesis(settings.TRIVIAL, "list", remark)]]


def _weighed(statements: list[Statement], needs: str) -> list[list[Hypothesis]]:
    """Hypotheses of statements, the most trusted first: alike where they agree, rivals where they do not."""
    top, rest = statements[0], statements[1:]
    dissent = [s for s in rest if not (s.numbers & top.numbers) or not _agree(top, s)]
    if not dissent:
        return [[replace(h, agreed=bool(rest)) for h in tier] for tier in _alone(top, needs)]
    said = ", ".join([top.source, *(s.source for s in dissent)])
    rivals = [top, *dissent]
    # Two against one, or one group in two settings: the most trusted first. Else all are equal.
    in_turn = (len(dissent) < len(rest) and top.numbers != {1}) or all(s.numbers & top.numbers for s in dissent)
    tiers: list[list[Hypothesis]] = []
    for statement in rivals:
        remark = f"contradictory: {said}; {statement.source} agrees with the rest of the file"
        own = statement.tiers[0] if statement.source.startswith(NUMBER) else statement.settings
        larger = tuple(
            other
            for rival in rivals
            if rival is not statement
            for other in rival.settings
            if any(setting.subgroup_of(other) for setting in own)
        )
        found = [Hypothesis(setting, "proof" if larger else "sense", remark, larger) for setting in own]
        if in_turn or not tiers:
            tiers.append(found)
        else:
            tiers[0].extend(found)
    return tiers


def _agree(one: Statement, other: Statement) -> bool:
    """Whether two statements on one group leave a setting that both allow; axes and origins of a table's alone."""
    if other.source.startswith(NUMBER) or one.source.startswith(NUMBER):
        return True
    tabled = {setting.operators for n in one.numbers if n for tier in settings.from_number(n) for setting in tier}
    ours = {setting.operators for setting in one.settings}
    return bool(ours & {s.operators for s in other.settings}) or not ours <= tabled


def _alone(statement: Statement, needs: str) -> list[list[Hypothesis]]:
    """Hypotheses of the only statement.

    :param needs: of settings that something in the file speaks against; "proof" is for P 1 only, which any file fits.
    """
    if statement.source.startswith(NUMBER) and statement.numbers != {1}:
        return [
            [Hypothesis(s, "sense", f"setting: only {statement.source} is given, read as {s.name}") for s in tier]
            for tier in statement.tiers
        ]
    if needs != "sense" and statement.numbers != {1}:
        needs = "room" if statement.source.startswith(SYMBOL) else ""
    return [[Hypothesis(setting, needs) for setting in tier] for tier in statement.tiers]


def _holding(partial: Setting, statements: list[Statement]) -> tuple[list[Statement], bool]:
    """Statements, narrowed to settings with the operators listed; and whether none has them."""
    narrowed = []
    for statement in statements:
        tiers = tuple(tuple(s for s in tier if partial.operators <= s.operators) for tier in statement.tiers)
        narrowed.append(Statement(statement.source, tuple(tier for tier in tiers if tier)))
    found = any(statement.tiers for statement in narrowed)
    return [n if n.tiers else s for n, s in zip(narrowed, statements, strict=True)], not found


def _operators(fields: Fields, remarks: list[str]) -> tuple[Statement | None, Setting | None]:
    """The operators listed: as a statement if they form a group, else as they are."""
    magnetic = bool(fields.texts(MAGNETIC_OPERATORS))
    try:
        found = [_magnetic(fields)] if magnetic else [_listed(fields, tag) for tag in OPERATORS]
    except (ValueError, RuntimeError) as error:
        if magnetic or not _stated(fields)[0]:
            raise refused("symmetry not understood", f"{error}; write it as -x,y+1/2,z") from None
        remarks.append(f"operators: {error}, not used")
        return None, None
    lists = {setting for setting in found if setting is not None}
    if len(lists) > 1:
        raise refused("contradictory", f"{' and '.join(OPERATORS)} list different operators; keep one list")
    for setting in lists:
        if setting.number is not None or settings.is_group(setting):
            return Statement(f"the list of operators ({setting.name})", ((setting,),)), None
        return None, setting
    return None, None


def _listed(fields: Fields, tag: str) -> Setting | None:
    triplets = [text.strip(" ;,()") for text in fields.texts(tag)]
    parts = ",".join((text or "").strip(" ,") for text in fields.column(tag)).split(",")
    if any("," not in triplet for triplet in triplets) and len(parts) % 3 == 0:
        # Not quoted, "x, y, z" are three values.
        triplets = [",".join(parts[i : i + 3]) for i in range(0, len(parts), 3)]
    return settings.from_triplets(triplets) if triplets else None


def _magnetic(fields: Fields) -> Setting:
    """Operators and centrings, which magnetic files list apart, without their time reversal."""
    centrings = [_triplet(text) for text in fields.texts(MAGNETIC_CENTRINGS)]
    operators = [_triplet(text) for text in fields.texts(MAGNETIC_OPERATORS)]
    return settings.from_triplets(settings.product(operators, centrings or ["x,y,z"]))


def _triplet(text: str) -> str:
    """A magnetic operator without its time reversal."""
    return ",".join(text.split(",")[:3])


def _stated(fields: Fields) -> tuple[list[Statement], list[str]]:
    """What symbols and number say, the most definite first, and the symbols not understood."""
    choice = fields.one("_space_group_it_coordinate_system_code") or ""
    hall = [(text, _by_hall(text)) for text in fields.texts(*HALL)]
    named = [(text, _by_symbol(text, choice)) for text in _distinct(fields.texts(*SYMBOLS))]
    numbered = [(text, _by_number(text, choice)) for text in fields.texts(*NUMBERS, SCHOENFLIES) if text != "0"]
    named.sort(key=lambda pair: len(pair[1].settings) if pair[1] else 0)
    all_of_them = [*hall, *named, *numbered]
    return [said for _, said in all_of_them if said], [text for text, said in all_of_them if said is None]


def _by_hall(text: str) -> Statement | None:
    setting = settings.from_hall(text)
    return Statement(f"the Hall symbol {text}", ((setting,),)) if setting else None


def _by_symbol(text: str, choice: str) -> Statement | None:
    if text.startswith("-"):  # no Hermann-Mauguin symbol begins so
        return _by_hall(text)
    tiers = (settings.from_symbol(f"{text}:{choice}") if choice else ()) or settings.from_symbol(text)
    if tiers:
        return Statement(f"{SYMBOL} {text}", tiers)
    return _by_number(text, choice) if re.search(r"[.^]", text) else None


def _by_number(text: str, choice: str) -> Statement | None:
    """Of a number, or of a Schoenflies symbol, which says no more."""
    plain, _, code = text.partition(":")  # 227:2
    value = number(plain.strip()) or settings.number_of_schoenflies(text) or 0
    tiers = settings.from_number(int(value), code.strip() or choice) if value % 1 == 0 else ()
    return Statement(f"{NUMBER} {text}", tiers) if tiers else None


def _distinct(symbols: Iterable[str]) -> list[str]:
    kept = {re.sub(r"\s+", "", symbol).lower(): symbol for symbol in symbols}
    return [s for key, s in kept.items() if key not in ("unknown", "none", "n/a", "x")]
