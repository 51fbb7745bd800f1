"""How many relaxations converge, and where they end: generated crystals beside PyXtal's random ones (paper, Fig. 4A).

    python benchmarks/convergence.py results/templates.parquet m3gnet=M3GNet-MP-2021.2.8-PES --out convergence

Templates are filled with the elements of each composition; beside each such crystal stands one that PyXtal draws with
as many atoms of each element in a random space group. Both relax by the same potential, optimiser and limits: 300
steps, to 0.05 eV/Å, in their symmetry. Converged is what reaches that, neither collapsed nor fallen apart.

Writes <out>.csv, a row for each crystal, from which an interrupted run goes on; <out>.md, the shares with 95 %
intervals (Wilson's) and the median energies over the lowest crystal of a composition in either arm; <out>.html, both as
figures.
"""

import argparse
import csv
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from ase import Atoms
from plotly.subplots import make_subplots
from pymatgen.core import Composition
from scipy.stats import norm

from cgwgan_core.crystallography.symmetry import primitive_cell
from cgwgan_core.crystallography.templates import Templates, to_atoms
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax_together
from cgwgan_core.screening.infill import InfillOptions, infill
from cgwgan_core.workflow import tables

warnings.filterwarnings("ignore")
COMPOSITIONS = ("P", "NiSe", "TiO2", "BaRuO3", "MgSiO3")
BINS = ((2, 8), (9, 16), (17, 24), (25, 32))
"""Atoms in the conventional cell, both ends included."""
GENERATED, RANDOM = "generated", "PyXtal"
KINDS = {1: "elements", 2: "binary", 3: "ternary"}
HOW = Relaxation(fmax=0.05, max_steps=300)
TRIES = 40
"""Space groups that PyXtal is given for one crystal."""
COLUMNS = ("formula", "arm", "place", "n_atoms", "status", "energy_per_atom", "n_steps")
Row = dict[str, Any]


def generated(templates: Templates, formula: str, each: int, seed: int) -> Iterator[Atoms]:
    """Templates filled to a composition, so many of each size, in their conventional cells' order of drawing."""
    elements = [element.symbol for element in Composition(formula).elements]
    filled = infill(templates, elements, InfillOptions(formulas=(formula,)))
    sizes = templates.multiplicities[filled.template].clip(min=0).sum(axis=1)
    rng = np.random.default_rng(seed)
    for low, high in BINS:
        within = np.flatnonzero((sizes >= low) & (sizes <= high))
        for i in sorted(rng.choice(within, min(each, len(within)), replace=False).tolist()):
            atoms = to_atoms(templates, int(filled.template[i]), filled.elements[i], float(filled.volume_scale[i]))
            atoms.info["n_atoms"] = int(sizes[i])
            yield atoms


def at_random(formula: str, n_atoms: int, seed: int) -> Atoms | None:
    """PyXtal's crystal of a composition with so many atoms in the conventional cell; none if no group allows it."""
    from pyxtal import pyxtal  # noqa: PLC0415 - takes seconds

    composition = Composition(formula)
    units = n_atoms / composition.num_atoms
    numbers = [round(units * amount) for amount in composition.values()]
    rng = np.random.default_rng(seed)
    for group in rng.integers(2, 231, TRIES).tolist():
        crystal = pyxtal()
        try:
            names = [element.symbol for element in composition.elements]
            crystal.from_random(3, group, names, numbers, max_count=3, random_state=seed)
        except Exception:  # noqa: BLE001 - a failed draw, whatever the cause
            continue
        if crystal.valid:
            return primitive_cell(crystal.to_ase(), symprec=0.01)
    return None


def relaxed(crystals: Sequence[tuple[Row, Atoms]], potential: Potential) -> Iterator[Row]:
    """The rows of crystals, completed as they finish."""
    for i, found in relax_together([atoms for _, atoms in crystals], potential, HOW):
        row, _ = crystals[i]
        yield {**row, "status": found.status, "energy_per_atom": found.energy_per_atom, "n_steps": found.n_steps}


def wilson(kept: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share.

    >>> low, high = wilson(9, 10)
    >>> round(low, 3), round(high, 3)
    (0.596, 0.982)
    """
    z = float(norm.ppf((1 + level) / 2))
    middle, half = (kept + z * z / 2) / (n + z * z), z * np.sqrt(kept * (n - kept) / n + z * z / 4) / (n + z * z)
    return middle - float(half), middle + float(half)


def points(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Share and energies of each kind of composition, arm and size.

    Energies are medians over the lowest crystal of the composition in either arm, of what converged.
    """
    lowest: dict[str, float] = {}
    for row in rows:
        if row["status"] == "ok":
            lowest[row["formula"]] = min(row["energy_per_atom"], lowest.get(row["formula"], np.inf))
    found = []
    for size, kind in KINDS.items():
        for arm in (GENERATED, RANDOM):
            for low, high in BINS:
                these = [
                    row
                    for row in rows
                    if len(Composition(row["formula"])) == size and row["arm"] == arm and low <= row["n_atoms"] <= high
                ]
                if not these:
                    continue
                good = [row["energy_per_atom"] - lowest[row["formula"]] for row in these if row["status"] == "ok"]
                ends = wilson(len(good), len(these))
                found.append(
                    {
                        "kind": kind,
                        "arm": arm,
                        "low": low,
                        "high": high,
                        "n": len(these),
                        "share": len(good) / len(these),
                    }
                    | {"least": ends[0], "most": ends[1], "median": float(np.median(good)) if good else None}
                )
    return found


def told(found: Sequence[Row]) -> str:
    """The points as a table in Markdown."""
    lines = [
        "| composition | atoms | crystals | arm | converged (%) | 95 % | median (eV/atom) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found:
        median = "–" if row["median"] is None else f"{row['median']:.3f}"
        ends = f"{100 * row['least']:.0f} to {100 * row['most']:.0f}"
        size = f"{row['low']}–{row['high']}"
        lines.append(
            f"| {row['kind']} | {size} | {row['n']} | {row['arm']} | {100 * row['share']:.0f} | {ends} | {median} |"
        )
    return "\n".join(lines) + "\n"


def drawn(found: Sequence[Row]) -> go.Figure:
    """Shares above, median energies below, a column for each kind of composition."""
    figure = make_subplots(2, len(KINDS), shared_xaxes=True, shared_yaxes=True, column_titles=list(KINDS.values()))
    for column, kind in enumerate(KINDS.values(), start=1):
        for arm, colour in ((GENERATED, "#2a8ab8"), (RANDOM, "#e07b29")):
            rows = [row for row in found if row["kind"] == kind and row["arm"] == arm]
            x = [(row["low"] + row["high"]) / 2 for row in rows]
            above, below = ([100 * abs(row[end] - row["share"]) for row in rows] for end in ("most", "least"))
            look = {"x": x, "name": arm, "mode": "lines+markers", "line": {"color": colour}}
            bars = {"type": "data", "array": above, "arrayminus": below}
            share = [100 * row["share"] for row in rows]
            figure.add_trace(go.Scatter(**look, y=share, error_y=bars, showlegend=column == 1), 1, column)
            figure.add_trace(go.Scatter(**look, y=[row["median"] for row in rows], showlegend=False), 2, column)
    figure.update_xaxes(title_text="Atoms in the conventional cell", row=2)
    figure.update_yaxes(title_text="Converged (%)", row=1, col=1)
    figure.update_yaxes(title_text="Median over the lowest (eV/atom)", row=2, col=1)
    return figure


def read(path: Path) -> list[Row]:
    """The rows that an earlier run has left."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        rows: list[Row] = list(csv.DictReader(stream))
    for row in rows:
        row |= {"n_atoms": int(row["n_atoms"]), "energy_per_atom": float(row["energy_per_atom"] or "nan")}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("templates", type=Path)
    parser.add_argument("potential", help="its name, or name=path of its weights")
    parser.add_argument("--each", type=int, default=100, help="crystals of each composition and size, in each arm")
    parser.add_argument("--out", type=Path, default=Path("convergence"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    templates = Templates.from_table(tables.read(options.templates, tables.TEMPLATES))
    name, _, path = options.potential.partition("=")
    potential = load(PotentialOptions(name, path or None))
    table = options.out.with_suffix(".csv")
    done = {row["formula"] for row in read(table)}
    for formula in COMPOSITIONS:
        if formula in done:
            continue
        crystals = []
        for place, atoms in enumerate(generated(templates, formula, options.each, options.seed)):
            row = {"formula": formula, "place": place, "n_atoms": atoms.info["n_atoms"]}
            crystals.append((row | {"arm": GENERATED}, atoms))
            other = at_random(formula, row["n_atoms"], options.seed * 10**6 + place)
            if other is not None:
                crystals.append((row | {"arm": RANDOM}, other))
        rows = sorted(relaxed(crystals, potential), key=lambda row: (row["arm"], row["place"]))
        new = not table.exists()
        with table.open("a", encoding="utf-8", newline="") as stream:  # whole compositions at once
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerows(rows)
        print(f"{formula}: {len(rows)} crystals", flush=True)
    found = points(read(table))
    options.out.with_suffix(".md").write_text(told(found), encoding="utf-8")
    drawn(found).write_html(options.out.with_suffix(".html"))


if __name__ == "__main__":
    main()
