"""What the report says of DFT: who holds, how far the potential was wrong and why, whom DFT should see next."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from cgwgan_core.dft.calculation import CONVERGED
from cgwgan_core.dft.crystals import CANDIDATE, ELEMENTAL
from cgwgan_core.dft.hull import CORRECTED, DATABASE, NEAR, UNCORRECTED, WRONG, counts
from cgwgan_core.phonons.phonons import PASSING
from cgwgan_core.relaxation.known_phases import ON_HULL
from cgwgan_core.results import cells
from cgwgan_core.results.cells import Table
from cgwgan_core.results.funnel import RunFiles
from cgwgan_core.results.text import fixed
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.refusals import OK, category

Row = Mapping[str, Any]
NAMED = 5
"""Candidates that DFT should see next."""
LINES = 3
"""Lines of the powder pattern that the table names."""


@dataclass(frozen=True)
class ByDft:
    """What the report says of DFT."""

    sentence: str
    """How many hold."""
    more: str
    """What that hangs on: corrections, the other candidates, relaxation, phonons."""
    moved: str
    """How far the crystals are from where the potential has them: in energy, volume, space group and rank."""
    candidates: Table
    known: Table
    error: str
    """How large the potential's error is, and what it depends on."""
    coming: Table
    """Whom DFT should see next."""


def by_dft(files: RunFiles, survivors: Sequence[Row]) -> ByDft | None:
    """What DFT says of a run; ``None`` where it is no part of it.

    :param survivors: rows with ``candidate_id`` and ``spacegroup``, before DFT.
    """
    if not files.dft:
        return None
    crystals = tables.read(files.dft_crystals[0], tables.DFT_CRYSTALS, ["crystal_id", "kind", "status"]).to_pylist()
    asked = {row["crystal_id"] for row in crystals if row["status"] == OK or row["kind"] == ELEMENTAL}
    rows = [row for row in tables.read(files.dft[0], tables.DFT).to_pylist() if row["crystal_id"] in asked]
    coming = tables.read(files.dft_next[0], tables.DFT_NEXT).to_pylist()
    correction = json.loads(Path(files.dft_counts[0]).read_text(encoding="utf-8"))["correction"]
    groups = {row["candidate_id"]: row["spacegroup"] for row in survivors}
    return ByDft(
        sentence(rows),
        more(rows),
        moved(rows),
        candidates_table(rows),
        known_table(rows),
        error_in_words(correction, rows),
        next_table(coming, groups),
    )


# ---------------------------------------------------------------------------------------------- in words


def sentence(rows: Sequence[Row]) -> str:
    """How many of the candidates hold.

    :param rows: of ``tables.DFT``, of what DFT was asked for.
    """
    found, candidates = counts(rows), _candidates(rows)
    if not found["with_distance"]:
        reasons = Counter(category(row["hull_status"]) for row in candidates)
        why = f": {reasons.most_common(1)[0][0]}" if reasons else ""
        return f"No candidate of {len(candidates):,} that DFT was asked for has a distance to the hull{why}."
    below, near = found["on_or_below"], found["near"]
    return (
        f"Of {found['with_distance']:,} candidates that DFT ({_engines(rows)}) places, {below:,} {_verb(below)} on its "
        f"hull of the known phases or below it, and {near:,} no more than {NEAR} eV/atom above; {_potential(rows)} is "
        f"wrong by more than {WRONG} eV/atom about {found['wrong'] or 'none'}."
    )


def more(rows: Sequence[Row]) -> str:
    """What their number hangs on, and what relaxation and phonons say; parameters as of :func:`sentence`."""
    said = []
    if placed := [row for row in _candidates(rows) if row["energy_above_hull"] is not None]:
        lacking = sum(row["hull_missing"] is not None for row in placed)
        without = counts(rows, lambda row: row["energy_above_hull_uncorrected"])["on_or_below"]
        heights = [row["energy_above_joint_hull"] for row in placed]
        joint = sum(height is not None and height <= ON_HULL for height in heights)
        if lacking:
            said.append(
                f"The hull lacks phases below {lacking:,} of them, which can only lie higher: the distance to the "
                "mixed hull counts where it is larger."
            )
        said += [
            f"Without corrections of anions, {without:,} {_verb(without)} on the hull or below.",
            f"Candidates compete, too: {joint:,} {_verb(joint)} on the joint hull of known phases and candidates.",
        ]
    relaxed = [row for row in _candidates(rows) if row["relaxation"] == CONVERGED]
    if relaxed:
        gains = [1000 * row["gain"] for row in relaxed if row["gain"] is not None]
        most = f", by up to {fixed(max(gains), 1)} meV/atom" if gains else ""
        said.append(f"DFT has relaxed {len(relaxed):,}{most}.")
    verdicts = [row["verdict"] for row in _candidates(rows) if row["verdict"] is not None]
    if verdicts:
        passing = sum(verdict in PASSING for verdict in verdicts)
        said.append(f"Of {len(verdicts):,} with phonons by DFT, {passing:,} {'is' if passing == 1 else 'are'} stable.")
    return " ".join(said)


def moved(rows: Sequence[Row]) -> str:
    """How far DFT moves the candidates in energy, volume, space group and rank; parameters as of :func:`sentence`."""
    candidates = _candidates(rows)
    said = []
    if shifts := [row["difference"] for row in candidates if row["difference"] is not None]:
        said.append(
            f"DFT moves formation energies by {_signed(float(np.mean(shifts)))} eV/atom in the mean of {len(shifts):,} "
            f"({_signed(min(shifts))} to {_signed(max(shifts))})."
        )
    if volumes := [100 * (row["volume_ratio"] - 1) for row in candidates if row["volume_ratio"] is not None]:
        said.append(
            f"Relaxation changes volumes by {fixed(float(np.mean(volumes)), 1)} % in the mean of {len(volumes):,} "
            f"({fixed(min(volumes), 1)} to {fixed(max(volumes), 1)})."
        )
        both = [(row["potential_spacegroup"], row["spacegroup"]) for row in candidates if row["spacegroup"]]
        others = sum(before is not None and before != after for before, after in both)
        said.append(f"{others:,} of {len(both):,} {'has' if others == 1 else 'have'} another space group then.")
    order = [(row["dft_rank"], row["rank"]) for row in candidates if row["dft_rank"] and row["rank"]]
    if len(order) > 2:
        correlation = float(spearmanr(*zip(*order, strict=True)).statistic)
        said.append(f"Both orders of {len(order):,} have a rank correlation of {fixed(correlation, 2)}.")
    return " ".join(said)


def error_in_words(correction: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """How large the potential's error is and what it depends on, by the model of it.

    :param correction: of ``dft.json``.
    :param rows: as of :func:`sentence`.
    """
    if correction["error_before"] is None:
        return f"A model of the error needs more: {correction['status']}."
    size = (
        f"Formation energies by DFT and {_potential(rows)} differ by {fixed(correction['error_before'], 3)} eV/atom in "
        f"the mean of {correction['n']:,} crystals. "
    )
    after = f"{fixed(correction['error_after'], 3)} eV/atom where each crystal is left out in turn"
    if correction["status"] != OK:
        return f"{size}Composition does not explain it: a model of it leaves {after}, so nothing is corrected."
    new = f"{fixed(correction['error_new_compositions'], 3)} where all crystals of one composition are"
    return f"{size}A model of composition leaves {after}, {new}. {_effects(correction)}"


def _effects(correction: Mapping[str, Any]) -> str:
    """What the model adds for which composition.

    Shares add up to one, so an element's effect is that of more of it in place of the others, all alike.
    """
    *shares, state = correction["coefficients"]
    if not any(correction["coefficients"]):
        return f"It adds {_signed(correction['constant'])} eV/atom to all."
    told = []
    for i, symbol in enumerate(correction["elements"]):
        others = [*shares[:i], *shares[i + 1 :]]
        told.append(f"{symbol} {_signed(0.1 * (shares[i] - float(np.mean(others) if others else 0.0)))}")
    return (
        f"It adds, for 10 % more of an element in place of the others: {', '.join(told)} eV/atom; for a mean oxidation "
        f"state higher by one: {_signed(state)}."
    )


def _signed(value: float) -> str:
    return ("+" if round(value, 3) > 0 else "") + fixed(value, 3)


def _verb(n: int) -> str:
    return "lies" if n == 1 else "lie"


def _candidates(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["kind"] == CANDIDATE]


def _engines(rows: Sequence[Row]) -> str:
    return " and ".join(sorted({row["engine"] for row in rows} - {None}))


def _potential(rows: Sequence[Row]) -> str:
    return " and ".join(sorted({row["potential"] for row in rows} - {None})) or "the potential"


# ---------------------------------------------------------------------------------------------- tables


def candidates_table(rows: Sequence[Row]) -> Table:
    """One row for each candidate that DFT was asked for, best by DFT first."""
    heads = (
        "rank", "by the potential", "formula", "space group", "after DFT", "formation energy (eV/atom)",
        "above the hull (eV/atom)", "by the potential (eV/atom)", "without anion corrections (eV/atom)",
        "over the mixed hull (eV/atom)", "over the joint hull (eV/atom)", "gained by relaxing (meV/atom)",
        "volume over the potential's", "lowest frequency (THz)", "phonons", "lowest elastic eigenvalue (GPa)",
        "by the potential (GPa)", "spins", "losing O2 (eV/O2)", "without corrections (eV/O2)", "what is left",
        "nearest known phase", "likeness by X-rays", "strongest lines, 2θ of Cu Kα (hkl)", "candidate", "remarks",
    )  # fmt: skip
    found = [
        (
            cells.number(row["dft_rank"], 0),
            cells.number(row["rank"], 0),
            cells.formula(row["formula"]),
            cells.spacegroup(row["potential_spacegroup"]),
            cells.spacegroup(row["spacegroup"]),
            cells.number(row[CORRECTED], 3),
            cells.number(row["energy_above_hull"], 3),
            cells.number(row["potential_energy_above_hull"], 3),
            cells.number(row["energy_above_hull_uncorrected"], 3),
            cells.number(row["energy_above_mixed_hull"], 3),
            cells.number(row["energy_above_joint_hull"], 3),
            cells.number(None if row["gain"] is None else 1000 * row["gain"], 1),
            cells.number(row["volume_ratio"], 3),
            cells.number(row["min_frequency"], 2),
            cells.verdict(row["verdict"]),
            cells.number((row["elastic_eigenvalues"] or [None])[0], 1),
            cells.number(row["potential_elastic_min_eigenvalue"], 1),
            cells.text(_spins(row)),
            cells.number(row["oxygen_loss"], 2),
            cells.number(row["oxygen_loss_uncorrected"], 2),
            cells.text(row["oxygen_loss_products"] or ""),
            cells.text(row["nearest_known"] or ""),
            cells.number(row["nearest_known_similarity"], 2),
            cells.text(_lines(row)),
            cells.text(row["crystal_id"]),
            cells.text(_remarks(row)),
        )
        for row in _candidates(rows)
    ]
    return cells.table(heads, found)


def known_table(rows: Sequence[Row]) -> Table:
    """One row for each known phase that DFT was asked for, and for each element."""
    heads = (
        "formula", "formation energy (eV/atom)", "without corrections (eV/atom)", "less the database's (eV/atom)",
        "above the hull (eV/atom)", "by the potential (eV/atom)", "spins", "crystal", "remarks",
    )  # fmt: skip
    found = [
        (
            cells.formula(row["formula"]),
            cells.number(row[CORRECTED], 3),
            cells.number(row[UNCORRECTED], 3),
            cells.number(_less_database(row), 3),
            cells.number(row["energy_above_hull"], 3),
            cells.number(row["potential_energy_above_hull"], 3),
            cells.text(_spins(row)),
            cells.text(row["crystal_id"]),
            cells.text(_remarks(row)),
        )
        for row in rows
        if row["kind"] != CANDIDATE
    ]
    return cells.table(heads, found)


def next_table(coming: Sequence[Row], groups: Mapping[str, int]) -> Table:
    """The first of those that DFT should see next.

    :param coming: rows of ``tables.DFT_NEXT``.
    :param groups: crystal_id -> number of the space group.
    """
    heads = (
        "formula", "space group", "atoms", "expected above the hull (eV/atom)", "by the potential (eV/atom)",
        "rank before", "candidate",
    )  # fmt: skip
    found = [
        (
            cells.formula(row["formula"]),
            cells.spacegroup(groups.get(row["crystal_id"])),
            cells.number(row["n_atoms"], 0),
            cells.number(row["expected_energy_above_hull"], 3),
            cells.number(row["potential_energy_above_hull"], 3),
            cells.number(row["rank_before"], 0),
            cells.text(row["crystal_id"]),
        )
        for row in sorted(coming, key=lambda row: row["rank"])
        if row["next"]
    ]
    return cells.table(heads, found[:NAMED])


def _spins(row: Row) -> str:
    """The order that is lowest, and the moment of the cell where it is one."""
    moment = row["magnetic_moment"]
    if row["magnetic_order"] in (None, "NM") or moment is None:
        return row["magnetic_order"] or ""
    return f"{row['magnetic_order']}, {fixed(moment, 1)} μB"


def _lines(row: Row) -> str:
    """The first of the strongest lines of the powder pattern, with their indices."""
    lines = zip(row["xrd_two_theta"] or (), row["xrd_indices"] or (), strict=True)
    return ", ".join(f"{fixed(angle, 2)}° ({indices})" for angle, indices in list(lines)[:LINES])


def _less_database(row: Row) -> float | None:
    mine, theirs = row[CORRECTED], row[DATABASE]
    return None if mine is None or theirs is None or row["kind"] == ELEMENTAL else mine - theirs


def _remarks(row: Row) -> str:
    """What a reader of the numbers must know, or why there are none."""
    said = [
        row["hull_status"] != OK and row["hull_status"],
        row["hull_missing"] and f"the hull lacks {row['hull_missing']}",
        row["fitted"] and f"energy of {row['fitted']} fitted to the database",
        row["reference"],
        row["known_match"] and f"relaxes to the known {row['known_match']}",
        row["duplicate_of"] and f"relaxes to the crystal of {row['duplicate_of']}",
        row["relaxation"] not in (None, CONVERGED) and f"relaxation: {row['relaxation']}",
        row["phonons"] not in (None, CONVERGED) and f"phonons: {row['phonons']}",
        row["elasticity"] not in (None, CONVERGED) and f"elastic constants: {row['elasticity']}",
        row["remedies"] and f"tried again with {', '.join(row['remedies'])}",
    ]
    return "; ".join(one for one in said if one)
