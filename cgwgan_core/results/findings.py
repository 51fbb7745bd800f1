"""What the phonon calculations of a run came to: the crystals, one sentence about them, and their bands."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cgwgan_core.phonons.phonons import PASSING
from cgwgan_core.results import hulls
from cgwgan_core.results.agreement import DISPUTED, NEAR_HULL, SECOND, STABLE, UNSTABLE, near_hull, with_second
from cgwgan_core.results.figures import Bands
from cgwgan_core.results.funnel import RunFiles, Stage
from cgwgan_core.results.survivors import after_tight_relaxation
from cgwgan_core.results.text import fixed, formula_text, symbol_text
from cgwgan_core.workflow import tables

Row = dict[str, Any]
BAND_COLUMNS = ("band_distances", "band_frequencies", "band_breaks", "band_ticks", "band_labels")
BULKY = (*BAND_COLUMNS, "lattice", "numbers", "frac_coords", "force_constants", "elastic_tensor")
"""Columns that are read only where they are asked for."""


@dataclass(frozen=True)
class Findings:
    """What the phonon calculations of a run came to, as rows of the tables."""

    survivors: list[Row]
    """Rows of ``tables.STABLE`` with ``in_training``, by energy above the hull: stable and borderline crystals."""
    judged: list[Row]
    """All rows of ``tables.PHONONS`` with what ``tables.COMPARED`` knows of the crystal (of a child: of its ancestor),
    and ``repeats`` of ``tables.STABLE_REFUSED``, in order of phonon_rank."""
    asked: int
    """Crystals whose phonons were asked for."""
    stable: float | None = None
    """Lowest frequency of a stable crystal, THz; ``None`` without phonons."""
    borderline: float | None = None
    """Lowest frequency of a borderline one, THz."""
    potential: str = ""
    """Potential that the verdicts hold for."""


def findings(files: RunFiles) -> Findings:
    """Survivors and all judged crystals, joined with what the other tables know of them."""
    compared = {row["candidate_id"]: row for row in _rows(files.compared, tables.COMPARED)}
    templates = tables.read(files.templates, tables.TEMPLATES, ["template_id", "in_training"]).to_pylist()
    in_training = {row["template_id"]: row["in_training"] for row in templates}
    phonons = list(chain.from_iterable(_rows(path, tables.PHONONS) for path in files.phonons))
    refused = tables.read(files.stable_refused, tables.STABLE_REFUSED).to_pylist()
    repeats = {row["candidate_id"]: f"{row['reason']}: {row['match']}" for row in refused}
    second = {
        row["candidate_id"]: row
        for path in files.second_phonons
        for row in tables.read(path, tables.SECOND_PHONONS, ["candidate_id", "potential", *SECOND]).to_pylist()
    }
    judged = [
        with_second(_judged(row, compared[row["ancestor_id"] or row["candidate_id"]]), second.get(row["candidate_id"]))
        | {"repeats": repeats.get(row["candidate_id"])}
        for row in phonons
    ]
    judged.sort(key=lambda row: (row["phonon_rank"], row["generation"]))
    survivors = [row | {"in_training": in_training[row["template_id"]]} for row in _rows(files.stable, tables.STABLE)]
    survivors.sort(key=lambda row: (_above(row), row["candidate_id"]))
    asked = sum(row["phonon_rank"] is not None for row in compared.values())
    if not phonons:
        return Findings(survivors, judged, asked)
    first = phonons[0]
    return Findings(survivors, judged, asked, first["stable_from"], first["borderline_from"], first["potential"])


def _judged(row: Row, before: Row) -> Row:
    """A row of ``tables.PHONONS`` with what was known before; energies and space group are the latest there are."""
    latest = {
        "energy_above_hull": after_tight_relaxation("energy_above_hull", before, row),
        "spacegroup": before["spacegroup"] if row["spacegroup"] is None else row["spacegroup"],
    }
    return {**before, **row, **latest}


def _rows(path: str, schema: pa.Schema) -> list[Row]:
    rows: list[Row] = tables.read(path, schema, [name for name in schema.names if name not in BULKY]).to_pylist()
    return rows


def _above(row: Row) -> float:
    value: float | None = row["energy_above_hull"]
    return math.inf if value is None else value


def sentence(found: Findings, end: Stage | None = None) -> str:
    """What the run found, in one or two sentences, without claiming more than was computed.

    :param end: the first stage that kept nothing.
    """
    verdicts = [row for row in found.judged if row["verdict"] is not None]
    if not verdicts and not found.asked:
        return (
            "No crystal of this run reached the phonon calculations, so none is known to be dynamically stable."
            f"{_lost(end)}"
        )
    if not verdicts:
        crystals = _of(found.asked, "crystal")
        return f"The phonon calculations of all {crystals} failed, so none is known to be dynamically stable."
    computed = f"{_of(len(verdicts), 'crystal')} whose phonons were computed"
    rule = f"no frequency below {fixed(found.borderline, 2)} THz by {found.potential}"
    passing = sum(row["verdict"] in PASSING for row in verdicts)
    if not found.survivors and passing:
        return (
            f"{passing:,} of the {computed} {'is' if passing == 1 else 'are'} dynamically stable ({rule}), but none "
            "is new: after the tight relaxation, all are phases of the database."
        )
    if not found.survivors:
        nearest = max(verdicts, key=lambda row: row["min_frequency"])
        what = f"{formula_text(nearest['formula'])} ({symbol_text(nearest['spacegroup'])})"
        return (
            f"None of the {computed} is dynamically stable ({rule}). The nearest to it is {what}, "
            f"whose lowest frequency is {fixed(nearest['min_frequency'], 2)} THz."
        )
    n = len(found.survivors)
    borderline = sum(row["verdict"] == "borderline" for row in found.survivors)
    doubt = f"; {borderline:,} of them only borderline, below {fixed(found.stable, 2)} THz" if borderline else ""
    others = f", and {passing - n:,} more repeat one of them or a known phase" if passing > n else ""
    return (
        f"{n:,} of the {computed} {'is' if n == 1 else 'are'} dynamically stable ({rule}{doubt}){others}. "
        f"{_agreed(found.survivors)}{hulls.in_words(found.survivors)}"
    )


def _lost(end: Stage | None) -> str:
    """Where the last were lost, and why."""
    if end is None:
        return ""
    reasons = ", ".join(f"{reason} ({n:,})" for reason, n in end.refused.items())
    return f" Nothing is left after “{end.name}”: {end.count_in:,} entered{f'; {reasons}' if reasons else ''}."


def _agreed(survivors: Sequence[Row]) -> str:
    """What the judges agree on, or what the only one says."""
    names = {row["second_potential"] for row in survivors} - {None}
    agreed = [row for row in survivors if row["agreement"] == STABLE]
    disputed = sum(row["agreement"] == DISPUTED for row in survivors)
    if not names:
        best, by = survivors[0], "by this potential alone; no second one has judged"
    else:
        rest = {
            "finds unstable, as the first does,": sum(row["agreement"] == UNSTABLE for row in survivors),
            "has no verdict on": sum(row["agreement"] is None for row in survivors),
        }
        also = "".join(f", {what} {n:,}" for what, n in rest.items() if n)
        told = f"{' and '.join(sorted(names))} agrees on {len(agreed):,}, disputes {disputed:,}{also}. "
        if not agreed:
            return told + "No crystal is stable by both."
        best, by = min(agreed, key=_worst), "by both"
    near = sum(near_hull(row) for row in agreed or survivors)
    what = f"{formula_text(best['formula'])} ({symbol_text(best['spacegroup'])})"
    height = _worst(best)
    bound, side = ("at most ", "above") if height >= 0 else ("at least ", "below")
    place = f"{bound if names else ''}{fixed(abs(height), 3)} eV/atom {side} the hull of the known phases"
    close = f"{near:,} {'lies' if near == 1 else 'lie'} within {NEAR_HULL} eV/atom of the hull {by}"
    return (told if names else "") + f"{close}; the lowest, {what}, lies {place}."


def _worst(row: Row) -> float:
    """Energy above the hull by the judge that puts it higher, eV/atom."""
    said = [row[name] for name in ("energy_above_hull", "second_energy_above_hull") if row[name] is not None]
    return max(said, default=math.inf)


def _of(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def read_bands(shards: Sequence[str], drawn: Sequence[Row]) -> list[Bands]:
    """Bands of the crystals to be drawn, the only ones that are read.

    :param shards: files of ``tables.PHONONS``.
    :param drawn: rows with ``candidate_id``, ``formula``, ``spacegroup``, ``verdict`` and ``min_frequency``.
    """
    names = pa.array([row["candidate_id"] for row in drawn], pa.string())
    stored: dict[str, Row] = {}
    for shard in shards:
        table = tables.read(shard, tables.PHONONS, ["candidate_id", *BAND_COLUMNS])
        for row in table.filter(pc.is_in(table["candidate_id"], value_set=names)).to_pylist():
            stored[row["candidate_id"]] = row
    found = []
    for row in drawn:
        path = stored[row["candidate_id"]]
        distances = np.array(path["band_distances"])
        found.append(
            Bands(
                title=f"{formula_text(row['formula'])}  {symbol_text(row['spacegroup'])}",
                verdict=f"{row['verdict']}, lowest {fixed(row['min_frequency'], 2)} THz",
                stable=row["verdict"] in PASSING,
                distances=distances,
                frequencies=np.array(path["band_frequencies"]).reshape(len(distances), -1),
                breaks=path["band_breaks"],
                ticks=path["band_ticks"],
                labels=path["band_labels"],
            )
        )
    return found
