"""What the phonon calculations of a run came to: the crystals, one sentence about them, and their bands."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cgwgan_core.phonons.phonons import PASSING
from cgwgan_core.results import agreement, hulls
from cgwgan_core.results.agreement import NEAR_HULL, SECOND, near_hull, stable_by, with_second
from cgwgan_core.results.figures import Bands
from cgwgan_core.results.funnel import RunFiles, Stage
from cgwgan_core.results.survivors import after_tight_relaxation
from cgwgan_core.results.text import fixed, formula_text, symbol_text
from cgwgan_core.workflow import tables

Row = dict[str, Any]
BAND_COLUMNS = ("band_distances", "band_frequencies", "band_breaks", "band_ticks", "band_labels")
BULKY = (*BAND_COLUMNS, "lattice", "numbers", "frac_coords", "force_constants", "elastic_tensor")
"""Columns that are read only where they are asked for."""
NAMED = 6
"""Crystals that the sentence names."""


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
    """What the run found, in a few sentences, without claiming more than was computed.

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
    computed = f"{_of(len(verdicts), 'crystal')} with phonons"
    rule = f"no frequency below {fixed(found.borderline, 2)} THz"
    passing = sum(row["verdict"] in PASSING for row in verdicts)
    if not found.survivors and passing:
        return (
            f"{passing:,} of the {computed} {_is(passing)} stable or borderline by {found.potential} ({rule}), but "
            "none is new: after the tight relaxation, all are phases of the database."
        )
    if not found.survivors:
        nearest = max(verdicts, key=lambda row: row["min_frequency"])
        return (
            f"None of the {computed} is stable or borderline by {found.potential} ({rule}). The nearest to it is "
            f"{_name(nearest)}, whose lowest frequency is {fixed(nearest['min_frequency'], 2)} THz."
        )
    n = len(found.survivors)
    borderline = sum(row["verdict"] == "borderline" for row in found.survivors)
    doubt = f"; {borderline:,} borderline, below {fixed(found.stable, 2)} THz" if borderline else ""
    others = f", and {passing - n:,} more repeat one of them or a known phase" if passing > n else ""
    return (
        f"{_stable(found, computed)} By {found.potential}, {n:,} {_is(n)} stable or borderline ({rule}{doubt}){others}"
        f"{_agreed(found)}.{hulls.in_words(found.survivors)}"
    )


def stable_by_all(survivors: Sequence[Row]) -> list[Row]:
    """Survivors that every judge of the run calls stable, not only borderline; by the judge that puts one highest."""
    judges = ("", "second_") if any(row["second_potential"] for row in survivors) else ("",)
    called = [
        row
        for row in survivors
        if all(row[f"{judge}verdict"] == "stable" and stable_by(row, judge) for judge in judges)
    ]
    return sorted(called, key=_worst)


def recommended(survivors: Sequence[Row]) -> list[Row]:
    """Of :func:`stable_by_all`, those near the hull by every judge."""
    return [row for row in stable_by_all(survivors) if near_hull(row)]


def _stable(found: Findings, computed: str) -> str:
    """What all judges call stable, and what of it is near the hull."""
    both = any(row["second_potential"] for row in found.survivors)
    who = "Both judges call" if both else f"{found.potential}, the only judge, calls"
    hull = "both hulls" if both else "the hull"
    stable, near = stable_by_all(found.survivors), recommended(found.survivors)
    told = f"{who} {f'{len(stable):,}' if stable else 'none'} of the {computed} stable"
    if near:
        names = ", ".join(map(_name, near[:NAMED])) + (f" and {len(near) - NAMED:,} more" if len(near) > NAMED else "")
        told += f"; {len(near):,} of these {_lie(near)} at most {NEAR_HULL} eV/atom above {hull}: {names}."
        without = [row for row in near if (row.get("energy_above_hull_uncorrected") or 0.0) > NEAR_HULL]
        return told + (
            f" Without anion corrections, {len(without):,} of them {_lie(without)} higher than that." if without else ""
        )
    if stable and math.isfinite(_worst(stable[0])):
        height = fixed(_worst(stable[0]), 3)
        told += f"; the nearest to {hull}, {_name(stable[0])}, lies {'up to ' if both else ''}{height} eV/atom above"
    return told + "."


def _lost(end: Stage | None) -> str:
    """Where the last were lost, and why."""
    if end is None:
        return ""
    reasons = ", ".join(f"{reason} ({n:,})" for reason, n in end.refused.items())
    return f" Nothing is left after “{end.name}”: {end.count_in:,} entered{f'; {reasons}' if reasons else ''}."


def _agreed(found: Findings) -> str:
    """What the second judge says of the survivors; empty where there is none."""
    names = " and ".join(sorted({row["second_potential"] for row in found.survivors} - {None}))
    if not names:
        return ""
    said = Counter(row["agreement"] for row in found.survivors)
    told = f"; {names} agrees on {said[agreement.STABLE]:,}, disputes {said[agreement.DISPUTED]:,}"
    if silent := said[None]:
        told += f", has no verdict on {silent:,}"
    if soft := said[agreement.UNSTABLE]:
        gives = "it gives" if soft == 1 else "they give"
        told += f"; {soft:,} {_is(soft)} unstable by both, as {gives} way to a strain by {found.potential}"
    return told


def _name(row: Row) -> str:
    return f"{formula_text(row['formula'])} ({symbol_text(row['spacegroup'])})"


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def _lie(rows: Sequence[Row]) -> str:
    return "lies" if len(rows) == 1 else "lie"


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
