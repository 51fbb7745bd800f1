"""Known phases that a run found again: a test of the search that needs no other database."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from cgwgan_core.crystallography.structures import row_to_structure
from cgwgan_core.results.findings import Findings
from cgwgan_core.results.funnel import RunFiles
from cgwgan_core.results.text import formula_text, symbol_text
from cgwgan_core.screening.comparison import Library
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.refusals import KNOWN

TOLD = 5
"""Phases that are named one by one."""


@dataclass(frozen=True)
class Sighting:
    """The best candidate that is a known phase."""

    rank: int
    """On the shortlist, before relaxation."""
    relaxed: bool
    """Whether it became the phase by relaxation only."""

    def __str__(self) -> str:
        return f"{'relaxed from ' if self.relaxed else ''}rank {self.rank:,}"


@dataclass(frozen=True)
class Phase:
    """A phase of the database, and where the run met it."""

    material_id: str
    formula: str
    spacegroup: int
    """International Tables number."""
    seen: Sighting | None = None

    def __str__(self) -> str:
        text = f"{formula_text(self.formula)} {symbol_text(self.spacegroup)} ({self.material_id})"
        return text if self.seen is None else f"{text}, {self.seen}"


def rediscoveries(files: RunFiles, found: Findings, chemistry: Sequence[str]) -> list[Phase]:
    """Phases of the database with all these elements: those that were met, best rank first, then those that were not.

    Of the latter only those that templates could meet: whose like is in the training set, and that are not the same
    as one that was met.
    """
    seen = _sightings(files, found)
    learnt = tables.read(files.training, tables.TRAINING, ["material_id"])["material_id"].to_pylist()
    table = tables.read(files.asu, tables.ASU, ["material_id", "formula", "spacegroup", "elements"])
    table = table.filter(pc.is_in(table["material_id"], value_set=pa.array([*seen, *learnt], pa.string())))
    phases = [
        Phase(row["material_id"], row["formula"], row["spacegroup"], seen.get(row["material_id"]))
        for row in table.to_pylist()
        if set(row["elements"]) == set(chemistry)
    ]
    met = [phase for phase in phases if phase.seen]
    same = _same_as(files.structures, met, phases)
    missed = [phase for phase in phases if phase.material_id not in same]
    return sorted(met, key=lambda phase: phase.seen.rank if phase.seen else 0) + missed


def _sightings(files: RunFiles, found: Findings) -> dict[str, Sighting]:
    """material_id -> its best candidate: as generated, or after the first or the tight relaxation."""
    columns = ["known_match", "rank"]
    sightings = [(row, False) for row in tables.read(files.ranked, tables.RANKED, columns).to_pylist()]
    sightings += [(row, True) for row in tables.read(files.compared, tables.COMPARED, columns).to_pylist()]
    for row in found.judged:
        reason, _, match = (row["repeats"] or "").partition(": ")
        if reason == KNOWN:
            sightings.append(({"known_match": match, "rank": row["rank"]}, True))
    # the best last, so that it stays
    sightings.sort(key=lambda one: (-one[0]["rank"], not one[1]))
    return {row["known_match"]: Sighting(row["rank"], relaxed) for row, relaxed in sightings if row["known_match"]}


def _same_as(structures: str, met: Sequence[Phase], phases: Sequence[Phase]) -> set[str]:
    """Identifiers of the phases that are the same as one that was met; databases hold some twice."""
    names = pa.array([phase.material_id for phase in phases], pa.string())
    rows = []
    for batch in tables.read_batches(structures, tables.STRUCTURES):
        rows += batch.filter(pc.is_in(batch["material_id"], value_set=names)).to_pylist()
    crystals = {row["material_id"]: row_to_structure(row) for row in rows}
    library = Library()
    for phase in met:
        library.add(phase.material_id, crystals[phase.material_id])
    return {name for name, crystal in crystals.items() if library.find(crystal)}


def sentence(phases: Sequence[Phase]) -> str:
    """Which known phases were found again, at which rank, and which were not.

    :param phases: of :func:`rediscoveries`.
    """
    met = [phase for phase in phases if phase.seen]
    missed = [phase for phase in phases if not phase.seen]
    if not phases:
        return "The database holds none with all these elements that templates could meet."
    found = f"Found again: {_listed(met)}." if met else "None was found again."
    return found + (f" Not met by any candidate: {_listed(missed)}." if missed else "")


def _listed(phases: Sequence[Phase]) -> str:
    more = f"; and {len(phases) - TOLD:,} more" if len(phases) > TOLD else ""
    return "; ".join(map(str, phases[:TOLD])) + more
