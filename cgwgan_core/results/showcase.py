"""What a run found, small enough to keep in a repository: counts, table, CIF files, bands, report, what it cost."""

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgwgan_core.results.costs import benchmarks
from cgwgan_core.results.figures import figure_bands
from cgwgan_core.results.findings import read_bands
from cgwgan_core.workflow import tables

PAPER = {"templates": 120_000, "candidates": 1_795_032, "screened": 1_795_030, "ranked": 5_000, "phonons": 1_156}
"""The paper's own counts (J. Mater. Inf. 2024, 4, 20), by the stage of this workflow that they compare with.
``candidates`` is without what the database has, which the ranking leaves out here; ``phonons`` are those above
-0.5 THz."""
COLUMNS = (
    "candidate_id", "formula", "spacegroup", "spacegroup_symbol", "n_atoms", "energy_above_hull",
    "second_energy_above_hull", "agreement", "dispute", "hull_low", "hull_high", "probability_near_hull",
    "decomposition", "formation_energy_per_atom", "min_frequency", "verdict", "paper_stable", "across_cutoff",
    "mechanically_stable", "bulk_modulus", "shear_modulus", "vibrational_free_energy_per_atom",
    "heat_capacity_per_atom", "nearest_known", "nearest_known_similarity", "parent_id", "template_id", "potential",
)  # fmt: skip
"""Of ``tables.STABLE``, in the table of the showcase."""

PANELS = 12
"""Crystals whose bands are drawn."""


@dataclass(frozen=True)
class ShowcaseFiles:
    """The files of a run that its showcase is made from."""

    funnel: str
    """``funnel.json``"""
    report: str
    """``report.html``"""
    stable: str
    """``stable.parquet``: novel and distinct, lowest above the hull first"""
    cifs: str
    """``cif/``, a file for each of these, whose name ends with its candidate_id"""
    phonons: Sequence[str]
    """``phonons/*.parquet``"""
    benchmarks: str
    """``benchmarks/``, Snakemake's"""


def write_showcase(folder: Path, files: ShowcaseFiles, most: int) -> None:
    """Fill a folder with what is kept of a run.

    :param most: CIF files, of the crystals lowest above the hull; bands are drawn of the first :data:`PANELS`.
    """
    rows = tables.read(files.stable, tables.STABLE).to_pylist()
    (folder / "funnel.json").write_text(json.dumps(_counts(Path(files.funnel)), indent=1) + "\n")
    _write_csv(folder / "stable.csv", COLUMNS, rows)
    spent = benchmarks(Path(files.benchmarks))
    _write_csv(folder / "cost.csv", list(spent[0]) if spent else [], spent)
    picture = figure_bands(read_bands(files.phonons, rows[:PANELS]))
    (folder / "bands.svg").write_text(picture, encoding="utf-8")
    shutil.copyfile(files.report, folder / "report.html")
    (folder / "cif").mkdir()
    for row in rows[:most]:
        (path,) = Path(files.cifs).glob(f"*_{row['candidate_id']}.cif")
        shutil.copyfile(path, folder / "cif" / path.name)


def _counts(funnel: Path) -> list[dict[str, Any]]:
    """Stages of a run beside the paper's: their names, what was kept of what entered, and what the paper kept.

    :param funnel: ``funnel.json`` of the run.
    """
    return [
        {
            "stage": s["key"],
            "what": s["name"],
            "entered": s["count_in"],
            "kept": s["kept"],
            "paper": PAPER.get(s["key"]),
        }
        for s in json.loads(funnel.read_text(encoding="utf-8"))["stages"]
    ]


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Write some columns of rows; numbers with six digits."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
