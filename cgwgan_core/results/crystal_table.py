"""The table of all crystals, as the page's script reads it: columns with their units and meanings, and rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cgwgan_core.results.agreement import in_words
from cgwgan_core.results.text import symbol_text
from cgwgan_core.workflow import tables


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    key: str
    """Of the rows of :func:`cgwgan_core.results.crystals.crystals`."""
    head: str
    digits: int | None = None
    """Decimals that are shown of a number; ``None``: text."""
    shown: bool = False
    """Whether it is seen before the reader chooses."""
    unit: str = ""
    told: str = ""
    """Meaning, for who points at the head."""


SCHEMAS = (tables.STABLE, tables.COMPARED, tables.PHONONS)
"""Where units and meanings are looked up."""
_OWN = {
    "fate": ("", "survivor: novel, distinct, stable or borderline; or what became of it instead"),
    "reason": ("", "why"),
    "symbol": ("", "Hermann-Mauguin symbol after relaxation"),
    "before": ("eV/atom", "distance to the hull before relaxation, by the judge"),
    "dft_energy_above_hull": (
        "eV/atom",
        "over the known phases by DFT; over the database's where DFT lacks some and these lie lower",
    ),
    "dft_energy_above_hull_uncorrected": ("eV/atom", "the same without corrections of anions"),
    "dft_verdict": ("", "phonons by DFT"),
}
"""Unit and meaning of columns that no table has under this name."""


def _column(key: str, head: str, digits: int | None = None, shown: bool = False) -> Column:
    if key in _OWN:
        return Column(key, head, digits, shown, *_OWN[key])
    field = next(schema.field(key) for schema in SCHEMAS if key in schema.names)
    unit, told = (field.metadata.get(name, b"").decode() for name in (b"unit", b"description"))
    return Column(key, head, digits, shown, unit, told)


COLUMNS = (
    _column("formula", "formula", shown=True),
    _column("symbol", "group", shown=True),
    _column("spacegroup", "group number", 0),
    _column("fate", "became", shown=True),
    _column("energy_above_hull", "above hull", 3, shown=True),
    _column("second_energy_above_hull", "above hull, second judge", 3, shown=True),
    _column("dft_energy_above_hull", "above hull, DFT", 3, shown=True),
    _column("energy_above_hull_uncorrected", "above hull without anion corrections", 3, shown=True),
    _column("min_frequency", "lowest frequency", 2, shown=True),
    _column("second_min_frequency", "lowest, second judge", 2, shown=True),
    _column("verdict", "verdict", shown=True),
    _column("agreement", "judges", shown=True),
    _column("dispute", "disputed"),
    _column("novelty", "novelty", shown=True),
    _column("n_atoms", "atoms", 0, shown=True),
    _column("reason", "reason", shown=True),
    _column("second_verdict", "verdict, second judge"),
    _column("dft_verdict", "verdict, DFT"),
    _column("hull_low", "DFT at least", 3),
    _column("hull_high", "DFT at most", 3),
    _column("probability_near_hull", "odds near hull", 2),
    _column("before", "before relaxation", 3),
    _column("formation_energy_per_atom", "formation energy", 3),
    _column("energy_above_joint_hull", "over joint hull", 3),
    _column("dft_energy_above_hull_uncorrected", "above hull without anion corrections, DFT", 3),
    _column("decomposition", "falls apart into"),
    _column("largest_shift_phase", "hangs on"),
    _column("largest_shift", "falls by without", 3),
    _column("hull_defects", "doubted"),
    _column("mechanically_stable", "elastically stable"),
    _column("bulk_modulus", "bulk modulus", 0),
    _column("shear_modulus", "shear modulus", 0),
    _column("volume_per_atom", "volume", 2),
    _column("vibrational_free_energy_per_atom", "vibrational free energy", 3),
    _column("heat_capacity_per_atom", "heat capacity", 2),
    _column("charge_balanced", "charges balance"),
    _column("prototype", "type of"),
    _column("nearest_known", "nearest known"),
    _column("nearest_known_similarity", "likeness", 2),
    _column("nearest_survivor", "nearest survivor"),
    _column("nearest_survivor_similarity", "likeness to it", 2),
    _column("across_cutoff", "across cutoff", 3),
    _column("paper_stable", "paper's criterion"),
    _column("parent_id", "led to by"),
    _column("template_id", "template"),
    _column("rank", "rank before relaxation", 0),
    _column("candidate_id", "candidate", shown=True),
)


def payload(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns and rows for the page's script.

    A column that is empty in all rows is left out.

    :param rows: of :func:`cgwgan_core.results.crystals.crystals`.
    """
    columns = [c for c in COLUMNS if (c.shown and not rows) or any(_value(row, c) is not None for row in rows)]
    return {
        "columns": [asdict(column) for column in columns],
        "rows": [[_value(row, column) for column in columns] for row in rows],
    }


def _value(row: Mapping[str, Any], column: Column) -> Any:
    if column.key == "symbol":
        return symbol_text(row["spacegroup"]) if row["spacegroup"] else None
    if column.key == "agreement" and row.get("agreement"):
        return in_words(row)
    value = row.get(column.key)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return round(value, 6)
    return None if value == "" else value
