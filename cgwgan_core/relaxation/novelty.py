"""Relaxed crystals, best first: which are distinct, which are known, and which get phonons."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pymatgen.core import Structure

from cgwgan_core.crystallography.structures import row_to_structure
from cgwgan_core.screening.comparison import Library
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.workflow.refusals import OK

KNOWN_CRYSTAL, KNOWN_TYPE, NEW_TYPE = "known", "new composition of a known structure type", "new structure type"
"""What a relaxed crystal is, compared with the database."""


@dataclass(frozen=True)
class Background:
    """What relaxed crystals are compared with."""

    known: Library
    """Database structures of the chemistry."""
    known_phases: pa.Table
    """A table of ``tables.KNOWN_PHASES``, to compare energies with and to fall apart into."""
    types: Mapping[str, tuple[str, float]]
    """candidate_id -> a database structure of the same structure type and how near it is, as
    :func:`.prototypes.structure_types` finds them."""
    opinions: Mapping[str, Mapping[str, Any]]
    """candidate_id -> columns, as :func:`.second_potential.second_opinions` finds them."""


def relaxed_structures(relaxed: pa.Table) -> dict[str, Structure]:
    """The crystals that have relaxed, by candidate_id.

    :param relaxed: a table of ``tables.RELAXED``.
    """
    return {row["candidate_id"]: row_to_structure(row) for row in relaxed.to_pylist() if row["status"] == OK}


def compare(relaxed: pa.Table, background: Background, phonons: int) -> Iterator[dict[str, Any]]:
    """Relaxed crystals, lowest energy above hull first, each compared with the known and with the better ones.

    :param relaxed: a table of ``tables.RELAXED``.
    :param phonons: how many of the novel, distinct crystals get phonons.
    :yields: rows of ``tables.COMPARED``; refused ones come last, in the order of their rank.
    """
    rows = relaxed.to_pylist()
    hull = Hull.from_known_phases(background.known_phases)
    energies = {
        row["material_id"]: row["formation_energy_per_atom"]
        for row in background.known_phases.to_pylist()
        if row["status"] == OK
    }
    distinct = Library()
    ranks = iter(range(1, phonons + 1))
    for row in sorted((r for r in rows if r["status"] == OK), key=lambda r: (r["energy_above_hull"], r["rank"])):
        name, structure = row["candidate_id"], row_to_structure(row)
        match, rms = background.known.nearest(structure) or (None, None)
        twin = distinct.find(structure)
        if twin is None:
            distinct.add(name, structure)
        known_energy = energies.get(match) if match else None
        prototype, prototype_rms = background.types.get(name, (None, None))
        yield {
            **row,
            "known_match": match,
            "known_rms": rms,
            "energy_above_known": None if known_energy is None else row["formation_energy_per_atom"] - known_energy,
            "novelty": KNOWN_CRYSTAL if match else KNOWN_TYPE if prototype else NEW_TYPE,
            "prototype": prototype,
            "prototype_rms": prototype_rms,
            "duplicate_of": twin,
            "decomposition": hull.decomposition(row["formula"]),
            **background.opinions.get(name, {}),
            "phonon_rank": next(ranks, None) if match is None and twin is None else None,
        }
    for row in sorted((r for r in rows if r["status"] != OK), key=lambda r: r["rank"]):
        yield {**row, "known_match": None, "novelty": None, "duplicate_of": None, "phonon_rank": None}


def summary(compared: Sequence[Mapping[str, Any]]) -> list[str]:
    """What came out, in lines for the log.

    :param compared: rows of :func:`compare`.
    """
    good = [row for row in compared if row["status"] == OK]
    labels = Counter(row["novelty"] for row in good if row["duplicate_of"] is None)
    told = ", ".join(f"{n} {label}" for label, n in sorted(labels.items()))
    lines = [f"{len(compared)} crystals, {len(good)} of them relaxed; {labels.total()} distinct: {told or 'none'}"]
    if asked := [row for row in good if row.get("second_potential")]:
        off = np.median([abs(row["disagreement"]) for row in asked])
        name = asked[0]["second_potential"]
        lines.append(f"{name} puts them {off:.3f} eV/atom (median) higher or lower above the hull")
    return lines
