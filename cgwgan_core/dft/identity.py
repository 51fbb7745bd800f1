"""What relaxation by DFT makes of a crystal: a new one, a known one, or a better candidate; and how X-rays see it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cgwgan_core.crystallography.diffraction import lines, patterns, similarity, strongest
from cgwgan_core.crystallography.structures import atoms_to_structure, row_to_atoms, row_to_structure
from cgwgan_core.crystallography.symmetry import conventional_cell
from cgwgan_core.dft.crystals import CANDIDATE
from cgwgan_core.dft.spin import SYMPREC
from cgwgan_core.screening.comparison import Library

Row = dict[str, Any]
LINES = ("xrd_two_theta", "xrd_intensity", "xrd_indices")
NEAREST = ("nearest_known", "nearest_known_similarity")


def identify(rows: Iterable[Row], relaxed: Sequence[Row], known: Library) -> None:
    """Fill ``known_match``, ``known_rms`` and ``duplicate_of`` of the candidates that DFT has relaxed.

    :param rows: of ``tables.DFT``, best first; changed in place.
    :param relaxed: rows of ``tables.DFT_RELAXED``.
    :param known: database crystals, of :func:`.comparison.known_library`.
    """
    geometries = {row["crystal_id"]: row for row in relaxed if row["lattice"]}
    distinct = Library()
    for row in rows:
        row |= {"known_match": None, "known_rms": None, "duplicate_of": None}
        name = row["crystal_id"]
        if row["kind"] != CANDIDATE or name not in geometries:
            continue
        structure = row_to_structure(geometries[name])
        row["known_match"], row["known_rms"] = known.nearest(structure) or (None, None)
        row["duplicate_of"] = distinct.find(structure)
        if row["duplicate_of"] is None:
            distinct.add(name, structure)


def add_diffraction(rows: Iterable[Row], relaxed: Sequence[Row], known_phases: Sequence[Row]) -> None:
    """Fill ``xrd_*`` of all crystals that DFT has relaxed, and ``nearest_known*`` of the candidates among them.

    :param rows: of ``tables.DFT``; changed in place.
    :param relaxed: rows of ``tables.DFT_RELAXED``.
    :param known_phases: rows of ``tables.KNOWN_PHASES``; where DFT has relaxed one, its geometry counts.
    """
    geometries = {row["crystal_id"]: row for row in relaxed if row["lattice"]}
    for row in rows:
        row.update(dict.fromkeys((*LINES, *NEAREST)))
        geometry = geometries.get(row["crystal_id"])
        if geometry is None:
            continue
        found = strongest(lines(atoms_to_structure(conventional_cell(row_to_atoms(geometry), SYMPREC))))
        row.update(zip(LINES, (found.angles, found.heights, found.indices), strict=True))
        if row["kind"] == CANDIDATE:
            same = [p for p in known_phases if p["formula"] == row["formula"] and p["lattice"]]
            row.update(zip(NEAREST, _nearest(geometry, same, geometries), strict=True))


def _nearest(geometry: Row, phases: Sequence[Row], geometries: Mapping[str, Row]) -> tuple[str | None, float | None]:
    """The phase whose pattern is most like a crystal's, and how like."""
    if not phases:
        return None, None
    theirs = [row_to_structure(geometries.get(phase["material_id"], phase)) for phase in phases]
    alike = similarity(patterns([row_to_structure(geometry)]), patterns(theirs))[0]
    first = int(np.argmax(alike))
    return phases[first]["material_id"], float(alike[first])
