"""Every crystal that a run relaxed, with what all tables know of it and what became of it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cgwgan_core.crystallography.symmetry import hermann_mauguin
from cgwgan_core.dft.hull import distance
from cgwgan_core.phonons.phonons import PASSING
from cgwgan_core.results.agreement import DISPUTED, UNSTABLE
from cgwgan_core.results.findings import BULKY, Findings
from cgwgan_core.results.funnel import RunFiles
from cgwgan_core.results.report_tables import reason
from cgwgan_core.results.survivors import after_tight_relaxation
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.refusals import KNOWN, OK

Row = dict[str, Any]
SURVIVOR = "survivor"
COMPARED = ("novelty", "prototype", "charge_balanced", "known_match")
"""Of ``tables.COMPARED``, added to survivors that were generated as they are."""
DFT = (
    "energy_above_hull_uncorrected", "min_frequency", "verdict", "known_match", "engine", "mechanically_stable",
)  # fmt: skip
"""Of ``tables.DFT``, as ``dft_*``, beside the distance that counts (:func:`cgwgan_core.dft.hull.distance`)."""


def crystals(files: RunFiles, found: Findings) -> list[Row]:
    """All rows of ``tables.COMPARED`` and the children of unstable crystals; survivors first, best first.

    :returns: rows with all columns of ``tables.STABLE`` but structures, those of ``tables.COMPARED`` above, ``before``
        (eV/atom above the hull before relaxation), ``dft_*``, ``fate`` and ``reason``.
    """
    columns = [name for name in tables.COMPARED.names if name not in BULKY]
    compared = {row["candidate_id"]: row for row in tables.read(files.compared, tables.COMPARED, columns).to_pylist()}
    ranked = tables.read(files.ranked, tables.RANKED, ["candidate_id", "energy_above_hull"]).to_pylist()
    before = {row["candidate_id"]: row["energy_above_hull"] for row in ranked}
    dft = {row["crystal_id"]: row for path in files.dft for row in tables.read(path, tables.DFT).to_pylist()}
    survivors = {row["candidate_id"]: row for row in found.survivors}
    judged = {row["candidate_id"]: row for row in found.judged}
    rows = []
    for name in [*compared, *(name for name in judged if name not in compared)]:
        row = compared.get(name) or _child(judged[name], compared)
        row = {**dict.fromkeys(tables.STABLE.names), **row, **judged.get(name, {}), **survivors.get(name, {})}
        fate, why = _fate(row, name in survivors, judged.get(name))
        row |= {"before": before.get(name), "fate": fate, "reason": why}
        row |= {f"dft_{column}": dft.get(name, {}).get(column) for column in DFT}
        row["dft_energy_above_hull"] = distance(dft[name]) if name in dft else None
        if row["spacegroup"] and row["spacegroup_symbol"] is None:
            row["spacegroup_symbol"] = hermann_mauguin(row["spacegroup"])
        rows.append(row)
    return sorted(rows, key=best_first)


def _child(row: Row, compared: Mapping[str, Row]) -> Row:
    """A crystal found along imaginary modes: energies move with it, kinds of novelty do not."""
    ancestor = compared[row["ancestor_id"]]
    energies = {
        name: after_tight_relaxation(name, ancestor, row)
        for name in ("formation_energy_per_atom", "uncorrected_formation_energy_per_atom")
    }
    return {**row, **energies, **dict.fromkeys(COMPARED), "charge_balanced": ancestor["charge_balanced"]}


def _fate(row: Row, survives: bool, judged: Row | None) -> tuple[str, str]:
    """What became of a crystal, in a word or two, and why."""
    if judged:
        repeats = str(judged["repeats"] or "")
        ended = "known" if repeats.startswith(KNOWN) else "repeat" if repeats else judged["verdict"] or "no verdict"
        return SURVIVOR if survives else ended, reason(judged)
    if row["status"] != OK:
        return "failed", str(row["status"])
    if row["known_match"]:
        return "known", f"is {row['known_match']} after relaxation"
    if row["duplicate_of"]:
        return "repeat", f"repeats {row['duplicate_of']}"
    return "not chosen", "beyond the number of phonon calculations asked for"


def best_first(row: Mapping[str, Any]) -> tuple[bool, bool, float, str]:
    """Survivors first, of these what no judge disputes; then by the judge that puts a crystal highest."""
    heights = (row["energy_above_hull"], row["second_energy_above_hull"], row.get("dft_energy_above_hull"))
    said = [height for height in heights if height is not None]
    survives = row["fate"] == SURVIVOR
    denied = row["agreement"] in (DISPUTED, UNSTABLE) or row.get("dft_verdict") not in (None, *PASSING)
    return not survives, survives and denied, max(said, default=math.inf), row["candidate_id"]


def cif_files(folder: str | Path, names: Sequence[str]) -> dict[str, Path]:
    """The CIF file of each survivor, from the run's folder of them."""
    by_end = {path.stem.split("_", 2)[-1]: path for path in sorted(Path(folder).glob("*.cif"))}
    return {name: by_end[name] for name in names if name in by_end}
