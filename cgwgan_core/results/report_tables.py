"""The tables of the report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cgwgan_core.generator.quality import BY_SITES, METRICS
from cgwgan_core.results import cells
from cgwgan_core.results.cells import Cell, Table
from cgwgan_core.results.findings import Row
from cgwgan_core.results.funnel import Funnel
from cgwgan_core.results.text import fixed

SETS = {
    "generator": "generated",
    "held-out": "held-out",
    "training": "training",
    "jittered": "jittered copies",
    "independent": "independent parts",
}
"""Heads of the columns of the generator and its references."""


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
        (Cell(stage.key, i), cells.text(why), cells.number(n, 0), cells.number(100 * n / stage.count_in, 1))
        for i, stage in enumerate(funnel.stages)
        for why, n in stage.refused.items()
    ]
    return cells.table(("stage", "reason", "refused", "of what entered (%)"), rows)


def quality_table(found: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Table:
    """One row for each figure, a column for the generator and for each reference.

    :param found: ``figures`` of ``quality.json``.
    """
    rows = [
        (
            cells.text(metric.name),
            *(_interval(found[name][key], metric.digits) for name in SETS if name in found),
            cells.text(metric.meaning),
        )
        for key, metric in METRICS.items()
    ]
    return cells.table(("figure", *(head for name, head in SETS.items() if name in found), "meaning"), rows)


def quality_by_sites(found: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Table:
    """One row for each number of sites of the training structures: generated ones beside those.

    :param found: ``figures`` of ``quality.json``.
    """
    sides = {"generated": found["generator"], "training": found["training"]}
    numbers = sorted(int(key.removeprefix("share_")) for key in found["training"] if key.startswith("share_"))
    rows = [
        (
            cells.number(n, 0),
            *(
                _interval(side[f"{key}_{n}"], metric.digits)
                for key, metric in BY_SITES.items()
                for side in sides.values()
            ),
        )
        for n in numbers
    ]
    heads = [f"{metric.name}, {name}" for metric in BY_SITES.values() for name in sides]
    return cells.table(("sites", *heads), rows)


def _interval(interval: Sequence[float | None], digits: int) -> Cell:
    """A mean with the half width of its interval."""
    mean, half = interval
    spread = "" if half is None else f" ± {fixed(half, digits)}"
    return Cell(f"{fixed(mean, digits)}{spread}", cells.number(mean, digits).sort)


def potential_facts(path: str | Path) -> dict[str, Any]:
    """Facts (name, value) and tables of ``potential.json``."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    facts: dict[str, str] = {}
    lists: list[tuple[str, Table]] = []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            heads = list(value[0])
            rows = [[cells.value(row[head]) for head in heads] for row in value]
            lists.append((_plain(key), cells.table([_plain(head) for head in heads], rows)))
        elif isinstance(value, dict):
            facts[_plain(key)] = ", ".join(f"{k} {cells.value(v).text}" for k, v in value.items())
        else:
            facts[_plain(key)] = str(cells.value(value).text)
    return {"facts": facts, "tables": lists, "name": content["name"]}


def _plain(key: str) -> str:
    return key.replace("_", " ")
