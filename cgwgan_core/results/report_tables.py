"""The tables of the report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cgwgan_core.generator.quality import METRICS
from cgwgan_core.results import cells
from cgwgan_core.results.cells import Cell, Table
from cgwgan_core.results.findings import Row
from cgwgan_core.results.funnel import Funnel
from cgwgan_core.results.text import NONE, fixed

SETS = {
    "generator": "generated",
    "held-out": "held-out",
    "training": "training",
    "jittered": "jittered copies",
    "independent": "independent parts",
}
"""Heads of the columns of the generator and its references."""


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
            cells.formula(row["formula"]),
            cells.spacegroup(row["spacegroup"]),
            cells.number(row["energy_above_hull"], 3),
            cells.number(row["second_energy_above_hull"], 3),
            _between(row["hull_low"], row["hull_high"]),
            cells.number(row["probability_near_hull"], 2),
            cells.number(row["min_frequency"], 2),
            cells.number(row["second_min_frequency"], 2),
            cells.verdict(row["verdict"]),
            cells.text(row["agreement"] or NONE),
            cells.text(row["dispute"] or ""),
            cells.value(row["mechanically_stable"]),
            cells.number(row["bulk_modulus"], 0),
            cells.number(row["shear_modulus"], 0),
            cells.number(row["n_atoms"], 0),
            cells.number(row["volume_per_atom"], 2),
            cells.number(row["formation_energy_per_atom"], 3),
            cells.text((row["decomposition"] or NONE).replace(" ", "\u00a0")),
            _hangs_on(row),
            cells.number(row["energy_above_joint_hull"], 3),
            cells.number(row["energy_above_hull_uncorrected"], 3),
            _alike(row, "nearest_known"),
            _alike(row, "nearest_survivor"),
            cells.text(f"{row['template_id']} ({'in training' if row['in_training'] else 'new'})"),
            cells.text(row["candidate_id"]),
        )
        for row in survivors
    ]
    return cells.table(heads, rows)


def judged_table(judged: Sequence[Row]) -> Table:
    """One row for each crystal whose phonons were asked for, with the verdict and the reason for it."""
    heads = (
        "formula", "space group", "energy above hull (eV/atom)", "above hull by the second (eV/atom)",
        "lowest frequency (THz)", "lowest by the second (THz)", "verdict", "judges", "reason", "candidate",
    )  # fmt: skip
    rows = [
        (
            cells.formula(row["formula"]),
            cells.spacegroup(row["spacegroup"]),
            cells.number(row["energy_above_hull"], 3),
            cells.number(row["second_energy_above_hull"], 3),
            cells.number(row["min_frequency"], 2),
            cells.number(row["second_min_frequency"], 2),
            cells.verdict(row["verdict"]),
            cells.text(row["agreement"] or NONE),
            cells.text(reason(row)),
            cells.text(row["candidate_id"]),
        )
        for row in judged
    ]
    return cells.table(heads, rows)


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


def _interval(interval: Sequence[float | None], digits: int) -> Cell:
    """A mean with the half width of its interval."""
    mean, half = interval
    spread = "" if half is None else f" ± {fixed(half, digits)}"
    return Cell(f"{fixed(mean, digits)}{spread}", cells.number(mean, digits).sort)


def _between(low: float | None, high: float | None) -> Cell:
    """The two ends of an interval, sorted by its middle."""
    if low is None or high is None:
        return cells.number(None, 2)
    return Cell(f"{fixed(low, 2)} to {fixed(high, 2)}", (low + high) / 2)


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


def _hangs_on(row: Row) -> Cell:
    """The known phase that the distance hangs on most, how far it comes down without, and what is doubted."""
    name = row["largest_shift_phase"]
    doubt = f"; doubted: {row['hull_defects']}" if row["hull_defects"] else ""
    return cells.text(NONE if name is None else f"{name} ({fixed(row['largest_shift'], 3)}){doubt}")


def _alike(row: Row, column: str) -> Cell:
    """What is nearest in diffraction, with the similarity of the patterns."""
    name = row[column]
    return cells.text(NONE if name is None else f"{name} ({fixed(row[f'{column}_similarity'], 2)})")
