"""A finished run for a notebook: its crystals, and the figures of its report as Plotly's.

>>> run = open_run("my-run")  # doctest: +SKIP
>>> run.figures["hull"].show()  # doctest: +SKIP
>>> run.crystal_figures(run.crystals[0]["candidate_id"])["bands"]  # doctest: +SKIP
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from pymatgen.core import Composition

from cgwgan_core.results.cards import Drawings
from cgwgan_core.results.crystals import crystals
from cgwgan_core.results.findings import Row, findings
from cgwgan_core.results.funnel import RunFiles, collect
from cgwgan_core.results.report import figures
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError

COUNTS = "funnel.json"
"""Written with the report: what it was made of. Other files in the folder may be left from an earlier configuration."""


def run_files(results: Path) -> RunFiles:
    """The files that the report of a run was made of.

    :param results: the run's folder ``results/``.
    :raises InputError: if there is no report, or one of its files is not there.
    """
    counts = results / COUNTS
    if not counts.exists():
        raise InputError(f"{counts}: not there; a report is of a run that is finished")
    content = json.loads(counts.read_text(encoding="utf-8"))
    if "files" not in content:
        raise InputError(
            f"{counts}: names no files, an earlier version wrote it; make the report again (--forcerun report)"
        )
    found: dict[str, Any] = {
        name: str(results / paths) if isinstance(paths, str) else [str(results / path) for path in paths]
        for name, paths in content["files"].items()
    }
    for path in chain.from_iterable([paths] if isinstance(paths, str) else paths for paths in found.values()):
        if not Path(path).exists():
            raise InputError(f"{path}: not there, and the report was made of it; run the workflow again")
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
