"""Tables of the report as cells, each with what it shows and what it stands for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cgwgan_core.results.text import NONE, fixed, formula_html, spacegroup_html

MOST_ROWS = 500
"""Rows that a table of the report shows at most; the files hold the others."""
LAST = 1e99
"""What has no number stands for this."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str | Markup
    sort: str | float
    """Number or text that it stands for: columns of numbers are set to the right."""


@dataclass(frozen=True)
class Table:
    """A table of the report."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: Sequence[bool]
    left_out: int = 0
    """Rows beyond :data:`MOST_ROWS`."""


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    """A table, cut to :data:`MOST_ROWS`; a column is numeric if all its cells stand for numbers."""
    numeric = [bool(rows) and all(isinstance(row[i].sort, (int, float)) for row in rows) for i in range(len(heads))]
    return Table(heads, rows[:MOST_ROWS], numeric, max(0, len(rows) - MOST_ROWS))


def text(value: str) -> Cell:
    """Plain text."""
    return Cell(value, value)


def number(value: float | None, digits: int) -> Cell:
    """A number with so many decimals, or a dash."""
    return Cell(fixed(value, digits), LAST if value is None or not math.isfinite(value) else value)


def formula(value: str) -> Cell:
    """A formula with subscripts."""
    return Cell(formula_html(value), value)


def spacegroup(value: int | None) -> Cell:
    """A space group's symbol and number, or a dash."""
    return number(None, 0) if value is None else Cell(spacegroup_html(value), value)


def verdict(value: str | None) -> Cell:
    """The verdict of phonons in its colour."""
    return Cell(Markup('<span class="{}">{}</span>').format(value or "none", value or NONE), value or "")


def value(value: Any) -> Cell:
    """Whatever a file holds."""
    if isinstance(value, bool):
        return text("yes" if value else "no")
    if isinstance(value, int):
        return number(value, 0)
    if isinstance(value, float):
        return number(value, 4)
    return text(NONE if value is None else str(value))
