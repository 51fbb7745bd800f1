"""Which crystals survive: those that pass (stable or borderline), novel and distinct as the phonons have them.

Energies and structures are those of the tight relaxation that precedes the phonons. What passes is compared once
more, as it is then, with the database and with what passes at lower energy.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cgwgan_core.crystallography.diffraction import patterns, similarity
from cgwgan_core.crystallography.structures import row_to_structure
from cgwgan_core.crystallography.symmetry import hermann_mauguin
from cgwgan_core.phonons.phonons import PASSING, VERDICTS
from cgwgan_core.results.agreement import SECOND, with_second
from cgwgan_core.results.confidence import add_confidence
from cgwgan_core.screening.comparison import Library
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.refusals import KNOWN, REPEATED, tally
from cgwgan_core.workflow.tables import PHONONS, STABLE

ENERGIES = ("formation_energy_per_atom", "uncorrected_formation_energy_per_atom", "energy_above_hull")
"""Columns of ``tables.COMPARED`` that move with the energy."""
JUDGED = [name for name in PHONONS.names if name != "force_constants" and not name.startswith("band_")]
"""Columns of ``tables.PHONONS`` that :func:`survivors` needs."""
SECOND_JUDGED = ["candidate_id", "potential", *SECOND]
"""Columns of ``tables.SECOND_PHONONS`` that it needs."""


def survivors(
    compared: pa.Table, phonons: pa.Table, second: pa.Table, known: Library
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The crystals that pass and are novel and distinct, by energy above hull, then by identifier; and the others.

    :param compared: the schema ``tables.COMPARED``.
    :param phonons: the columns :data:`JUDGED` of ``tables.PHONONS``, all shards together.
    :param second: the columns :data:`SECOND_JUDGED` of ``tables.SECOND_PHONONS``, all shards together; may be empty.
    :param known: the database's structures of this chemistry.
    :returns: rows of ``tables.STABLE``, their columns nearest_* and those of hulls still to be filled
        (:func:`add_nearest`, :func:`.hulls.add_hulls`), and rows of ``tables.STABLE_REFUSED``.
    """
    relaxed = {row["candidate_id"]: row for row in compared.to_pylist()}
    again = {row["candidate_id"]: row for row in second.to_pylist()}
    passing = []
    for found in phonons.to_pylist():
        if found["verdict"] not in PASSING:
            continue
        before = relaxed[found["ancestor_id"] or found["candidate_id"]]
        volume = abs(np.linalg.det(np.reshape(found["lattice"], (3, 3))))
        passing.append(
            with_second(
                {
                    **dict.fromkeys(STABLE.names),
                    **{name: before[name] for name in ("formula", "template_id", "rank", "decomposition")},
                    **{name: found[name] for name in JUDGED if name in STABLE.names},
                    "spacegroup_symbol": hermann_mauguin(found["spacegroup"]),
                    "n_atoms": len(found["numbers"]),
                    "volume_per_atom": float(volume) / len(found["numbers"]),
                    **{name: after_tight_relaxation(name, before, found) for name in ENERGIES},
                },
                again.get(found["candidate_id"]),
            )
        )
    kept, refused, distinct = [], [], Library()
    for row in sorted(passing, key=_order):
        structure = row_to_structure(row)
        if match := known.find(structure):
            refused.append({"candidate_id": row["candidate_id"], "reason": KNOWN, "match": match})
        elif match := distinct.find(structure):
            refused.append({"candidate_id": row["candidate_id"], "reason": REPEATED, "match": match})
        else:
            distinct.add(row["candidate_id"], structure)
            add_confidence(row)
            kept.append(row)
    return kept, refused


def after_tight_relaxation(column: str, before: Mapping[str, Any], found: Mapping[str, Any]) -> float | None:
    """Formation energy or energy above hull, eV/atom, once the relaxation before the phonons has lowered the energy.

    At fixed composition both are linear in the energy, so both move with it; so they do from an unstable crystal to
    its descendants.

    :param column: of ``before``, a row of ``tables.COMPARED``.
    :param found: the row of ``tables.PHONONS`` of the crystal or of a descendant.
    """
    energy: float | None = before[column]
    earlier: float | None = before["energy_per_atom"]
    later: float | None = found["energy_per_atom"]
    return energy if energy is None or earlier is None or later is None else energy + (later - earlier)


def _order(row: dict[str, Any]) -> tuple[float, str]:
    energy = row["energy_above_hull"]
    return (np.inf if energy is None else energy, row["candidate_id"])


def add_nearest(rows: Sequence[dict[str, Any]], known_phases: pa.Table) -> Floats:
    """Fill the columns nearest_*: what looks most alike in powder diffraction, so that two names of one crystal show.

    :param rows: rows of ``tables.STABLE``; changed in place.
    :param known_phases: the schema ``tables.KNOWN_PHASES``; structures as the potential relaxed them.
    :returns: similarity of each row's pattern with each other's, (N, N).
    """
    own = patterns([row_to_structure(row) for row in rows])
    each = similarity(own, own)
    formulas = {row["formula"] for row in rows}
    phases = [row for row in known_phases.to_pylist() if row["lattice"] and row["formula"] in formulas]
    theirs = patterns([row_to_structure(row) for row in phases])
    for i, row in enumerate(rows):
        same = [j for j, phase in enumerate(phases) if phase["formula"] == row["formula"]]
        alike = similarity(own[i : i + 1], theirs[same])[0]
        _nearest(row, "nearest_known", alike, [phases[j]["material_id"] for j in same])
        others = [j for j in range(len(rows)) if j != i]
        _nearest(row, "nearest_survivor", each[i, others], [rows[j]["candidate_id"] for j in others])
    return each


def _nearest(row: dict[str, Any], column: str, alike: Floats, names: Sequence[str]) -> None:
    if names:
        first = int(np.argmax(alike))
        row[column], row[f"{column}_similarity"] = names[first], float(alike[first])


def summary(phonons: pa.Table, stored: int) -> str:
    """How many crystals were judged how, and what to do if none passes, in one line.

    :param stored: those that pass and are novel and distinct.
    """
    rows = phonons.select(["verdict", "status"]).to_pylist()
    verdicts = Counter(row["verdict"] for row in rows)
    reasons = tally(row["status"] for row in rows if row["verdict"] is None)
    without = "".join(f", {n:,} {reason}" for reason, n in sorted(reasons.items()))
    judged = ", ".join(f"{verdicts[name]:,} {name}" for name in VERDICTS)
    line = f"{len(rows):,} crystals: {judged}{without}; {stored:,} stored, novel and distinct"
    if not any(verdicts[name] for name in PASSING):
        line += "; no crystal is phonon-stable, so the stores are empty (phonons.top computes more of them)"
    return line
