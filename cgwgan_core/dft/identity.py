"""What relaxation by DFT makes of each candidate: a crystal of its own, a known one, or that of a better candidate."""

from collections.abc import Iterable, Sequence
from typing import Any

from cgwgan_core.crystallography.structures import row_to_structure
from cgwgan_core.dft.crystals import CANDIDATE
from cgwgan_core.screening.comparison import Library

Row = dict[str, Any]


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
