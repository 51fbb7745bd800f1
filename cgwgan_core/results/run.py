"""A finished run for a notebook: its crystals, and the figures of its report as Plotly's.

>>> run = open_run("my-run")  # doctest: +SKIP
>>> run.figures["hull"].show()  # doctest: +SKIP
>>> run.crystal_figures(run.crystals[0]["candidate_id"])["bands"]  # doctest: +SKIP
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from pymatgen.core import Composition

from cgwgan_core.results.cards import Drawings
from cgwgan_core.results.crystals import crystals
from cgwgan_core.results.findings import Row, findings
from cgwgan_core.results.funnel import SEVERAL, RunFiles, collect
from cgwgan_core.results.report import figures
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError

PLACES = {
    "structures": "data/structures.parquet", "refused": "data/refused.parquet", "asu": "data/asu.parquet",
    "training": "data/training.parquet", "training_curve": "model/training.csv", "quality": "quality.json",
    "template_counts": "template_counts.json", "candidate_counts": "candidates/*.json", "potential": "potential.json",
    "screening_potential": "screening_potential.json", "second_potential": "second_potential.json",
    "promotion_counts": "promoted.json", "ranking_counts": "ranking_counts.json", "dft_counts": "dft.json",
    "cifs": "cif",
}  # fmt: skip
"""Where fields of :class:`RunFiles` lie, that are not named as their table is."""
SHARDED = ("candidates", "screened", "promoted", "evaluated", "relaxed", "phonons", "second_phonons")
"""Fields that are folders of tables."""


def run_files(results: Path) -> RunFiles:
    """The files of a run's folder ``results/``.

    :raises InputError: if one that every run has is not there.
    """
    found: dict[str, Any] = {}
    for name in (field.name for field in fields(RunFiles)):
        pattern = PLACES.get(name) or (f"{name}/*.parquet" if name in SHARDED else f"{name}.parquet")
        paths = sorted(str(path) for path in results.glob(pattern))
        if name not in SEVERAL and not paths:
            raise InputError(f"{results / pattern}: not there; a report is of a run that is finished")
        found[name] = paths if name in SEVERAL else paths[0]
    return RunFiles(**found)


@dataclass(frozen=True)
class Run:
    """A finished run."""

    files: RunFiles
    chemistry: tuple[str, ...]

    @cached_property
    def crystals(self) -> list[Row]:
        """Every relaxed crystal, best first; see :func:`cgwgan_core.results.crystals.crystals`."""
        return crystals(self.files, findings(self.files))

    @cached_property
    def figures(self) -> Mapping[str, go.Figure]:
        """The report's figures of the whole run, by name: ``hull``, ``funnel``, ``energies``, ..."""
        drawn = figures(self.files, collect(self.files), {"chemistry": self.chemistry}, self.crystals)
        return {name: go.Figure(figure) for name, figure in drawn.items()}

    def crystal_figures(self, candidate_id: str) -> Mapping[str, go.Figure]:
        """``cell``, ``primitive``, ``bands`` and ``pattern`` of a crystal with phonons, as far as there are such.

        :raises InputError: if the run has no such crystal.
        """
        row = next((row for row in self.crystals if row["candidate_id"] == candidate_id), None)
        if row is None:
            raise InputError(f"{candidate_id}: this run has relaxed no such crystal; Run.crystals lists them")
        known = tables.read(self.files.known_phases, tables.KNOWN_PHASES).to_pylist()
        drawings = Drawings(self.files.phonons, [candidate_id], {phase["material_id"]: phase for phase in known})
        return {name: go.Figure(figure) for name, figure in drawings.figures(row).items()}


def open_run(folder: str | Path) -> Run:
    """The run in a folder, which holds ``results/``, or is that folder.

    :raises InputError: if no finished run lies there.
    """
    folder = Path(folder)
    results = folder / "results" if (folder / "results").is_dir() else folder
    files = run_files(results)
    known = tables.read(files.known_phases, tables.KNOWN_PHASES, ["formula"])["formula"].to_pylist()
    elements = {element.symbol for formula in known for element in Composition(formula).elements}
    return Run(files, tuple(sorted(elements)))
