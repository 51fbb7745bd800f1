"""The tables of the report, as cells to be shown and sorted."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cgwgan_core.generator.quality import METRICS
from cgwgan_core.results.findings import Row
from cgwgan_core.results.funnel import Funnel
from cgwgan_core.results.text import NONE, fixed, formula_html, spacegroup_html

MOST_ROWS = 500
"""Rows that a table of the report shows at most; the files hold the others."""
SETS = {
    "generator": "generated",
    "held-out": "held-out",
    "training": "training",
    "jittered": "jittered copies",
    "independent": "independent parts",
}
"""Heads of the columns of the generator and its references."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str | Markup
    sort: str | float
    """What the reader's browser sorts the column by."""


@dataclass(frozen=True)
class Table:
    """A table of the report, sortable by its heads."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: Sequence[bool]
    left_out: int = 0
    """Rows beyond :data:`MOST_ROWS`."""


def survivors_table(survivors: Sequence[Row]) -> Table:
    """One row for each survivor, lowest energy above the hull first."""
    heads = (
        "formula", "space group", "energy above hull (eV/atom)", "above hull by the second (eV/atom)",
        "90 % interval for DFT (eV/atom)", "odds of lying within 0.05 eV/atom", "lowest frequency (THz)",
        "lowest by the second (THz)", "verdict", "judges", "disputed", "elastically stable", "bulk modulus (GPa)",
        "shear modulus (GPa)", "atoms in primitive cell", "volume (Å³/atom)",
        "formation energy (eV/atom)", "hull there", "it hangs on (falls by, eV/atom)", "over the joint hull (eV/atom)",
        "without anion corrections (eV/atom)", "nearest known phase (likeness)", "nearest survivor (likeness)",
        "template", "candidate",
    )  # fmt: skip
    rows = [
        (
            Cell(formula_html(row["formula"]), row["formula"]),
            Cell(spacegroup_html(row["spacegroup"]), row["spacegroup"]),
            _number(row["energy_above_hull"], 3),
            _number(row["second_energy_above_hull"], 3),
            _between(row["hull_low"], row["hull_high"]),
            _number(row["probability_near_hull"], 2),
            _number(row["min_frequency"], 2),
            _number(row["second_min_frequency"], 2),
            _verdict(row["verdict"]),
            _text(row["agreement"] or NONE),
            _text(row["dispute"] or ""),
            _any(row["mechanically_stable"]),
            _number(row["bulk_modulus"], 0),
            _number(row["shear_modulus"], 0),
            _number(row["n_atoms"], 0),
            _number(row["volume_per_atom"], 2),
            _number(row["formation_energy_per_atom"], 3),
            _text((row["decomposition"] or NONE).replace(" ", "\u00a0")),
            _hangs_on(row),
            _number(row["energy_above_joint_hull"], 3),
            _number(row["energy_above_hull_uncorrected"], 3),
            _alike(row, "nearest_known"),
            _alike(row, "nearest_survivor"),
            _text(f"{row['template_id']} ({'in training' if row['in_training'] else 'new'})"),
            _text(row["candidate_id"]),
        )
        for row in survivors
    ]
    return _table(heads, rows)


def judged_table(judged: Sequence[Row]) -> Table:
    """One row for each crystal whose phonons were asked for, with the verdict and the reason for it."""
    heads = (
        "formula", "space group", "energy above hull (eV/atom)", "above hull by the second (eV/atom)",
        "lowest frequency (THz)", "lowest by the second (THz)", "verdict", "judges", "reason", "candidate",
    )  # fmt: skip
    rows = [
        (
            Cell(formula_html(row["formula"]), row["formula"]),
            Cell(spacegroup_html(row["spacegroup"]), row["spacegroup"]),
            _number(row["energy_above_hull"], 3),
            _number(row["second_energy_above_hull"], 3),
            _number(row["min_frequency"], 2),
            _number(row["second_min_frequency"], 2),
            _verdict(row["verdict"]),
            _text(row["agreement"] or NONE),
            _text(reason(row)),
            _text(row["candidate_id"]),
        )
        for row in judged
    ]
    return _table(heads, rows)


def reason(row: Row) -> str:
    """Why a crystal got its verdict, or none."""
    if row["verdict"] is None:
        return str(row["status"])
    where = "(" + ", ".join(f"{x:.3g}" for x in row["min_frequency_q"]) + ")"
    bound = {
        "stable": f"not below {fixed(row['stable_from'], 2)}",
        "borderline": f"between {fixed(row['borderline_from'], 2)} and {fixed(row['stable_from'], 2)}",
        "unstable": f"below {fixed(row['borderline_from'], 2)}",
    }[row["verdict"]]
    text = f"{fixed(row['min_frequency'], 2)} THz at q = {where}, {bound} THz"
    if row["energy_gain"] is not None:
        text += f"; {fixed(1000 * row['energy_gain'], 1)} meV/atom below {row['parent_id']}"
    return text if row["repeats"] is None else f"{text}; {row['repeats']}"


def refusals_table(funnel: Funnel) -> Table:
    """One row for each reason at each stage."""
    rows = [
        (Cell(stage.key, i), _text(why), _number(n, 0), _number(100 * n / stage.count_in, 1))
        for i, stage in enumerate(funnel.stages)
        for why, n in stage.refused.items()
    ]
    return _table(("stage", "reason", "refused", "of what entered (%)"), rows)


def quality_table(found: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Table:
    """One row for each figure, a column for the generator and for each reference.

    :param found: ``figures`` of ``quality.json``.
    """
    rows = [
        (
            _text(metric.name),
            *(_interval(found[name][key], metric.digits) for name in SETS if name in found),
            _text(metric.meaning),
        )
        for key, metric in METRICS.items()
    ]
    return _table(("figure", *(head for name, head in SETS.items() if name in found), "meaning"), rows)


def _interval(interval: Sequence[float | None], digits: int) -> Cell:
    """A mean with the half width of its interval."""
    mean, half = interval
    spread = "" if half is None else f" ± {fixed(half, digits)}"
    return Cell(f"{fixed(mean, digits)}{spread}", _number(mean, digits).sort)


def _between(low: float | None, high: float | None) -> Cell:
    """The two ends of an interval, sorted by its middle."""
    if low is None or high is None:
        return Cell(NONE, 1e99)
    return Cell(f"{fixed(low, 2)} to {fixed(high, 2)}", (low + high) / 2)


def potential_facts(path: str | Path) -> dict[str, Any]:
    """Facts (name, value) and tables of ``potential.json``."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    facts: dict[str, str] = {}
    lists: list[tuple[str, Table]] = []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            heads = list(value[0])
            rows = [[_any(row[head]) for head in heads] for row in value]
            lists.append((_plain(key), _table([_plain(head) for head in heads], rows)))
        elif isinstance(value, dict):
            facts[_plain(key)] = ", ".join(f"{k} {_any(v).text}" for k, v in value.items())
        else:
            facts[_plain(key)] = str(_any(value).text)
    return {"facts": facts, "tables": lists, "name": content["name"]}


def _plain(key: str) -> str:
    return key.replace("_", " ")


def _table(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    numeric = [bool(rows) and all(isinstance(row[i].sort, (int, float)) for row in rows) for i in range(len(heads))]
    return Table(heads, rows[:MOST_ROWS], numeric, max(0, len(rows) - MOST_ROWS))


def _verdict(verdict: str | None) -> Cell:
    text = Markup('<span class="{}">{}</span>').format(verdict or "none", verdict or NONE)
    return Cell(text, verdict or "")


def _hangs_on(row: Row) -> Cell:
    """The known phase that the distance hangs on most, how far it comes down without, and what is doubted."""
    name = row["largest_shift_phase"]
    doubt = f"; doubted: {row['hull_defects']}" if row["hull_defects"] else ""
    return _text(NONE if name is None else f"{name} ({fixed(row['largest_shift'], 3)}){doubt}")


def _alike(row: Row, column: str) -> Cell:
    """What is nearest in diffraction, with the similarity of the patterns."""
    name = row[column]
    return _text(NONE if name is None else f"{name} ({fixed(row[f'{column}_similarity'], 2)})")


def _any(value: Any) -> Cell:
    if isinstance(value, bool):
        return _text("yes" if value else "no")
    if isinstance(value, int):
        return _number(value, 0)
    if isinstance(value, float):
        return _number(value, 4)
    return _text(NONE if value is None else str(value))


def _number(value: float | None, digits: int) -> Cell:
    return Cell(fixed(value, digits), 1e99 if value is None or not math.isfinite(value) else value)


def _text(value: str) -> Cell:
    return Cell(value, value)
