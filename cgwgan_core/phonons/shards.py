"""The phonons of many crystals: dealt out to shards, kept as they are finished."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from ase import Atoms

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.children import child
from cgwgan_core.phonons.phonons import PhononOptions, phonons
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Relaxed
from cgwgan_core.relaxation.relax import relax_each
from cgwgan_core.workflow.files import KeptRows
from cgwgan_core.workflow.logs import logger, progress

CHILD = "-child"
"""What a child's identifier ends with, after its parent's."""


def crystals_of_shard(compared: pa.Table, shard: int, shards: int) -> list[dict[str, Any]]:
    """The crystals whose phonons one shard computes: every ``shards``-th in order of phonon_rank.

    :param compared: a table of the schema ``tables.COMPARED``; rows without a phonon_rank are passed over.
    """
    rows = [row for row in compared.to_pylist() if row["phonon_rank"] is not None]
    return sorted(rows, key=lambda row: row["phonon_rank"])[shard::shards]


def phonon_rows(
    crystals: Sequence[dict[str, Any]], potential: Potential, options: PhononOptions, kept: KeptRows
) -> Iterator[dict[str, Any]]:
    """Rows of ``tables.PHONONS``: one for each crystal in the same order, that of its child after it.

    Every unstable crystal among the first ``options.follow_modes`` has a row for its child, if only to say why there is
    none.

    :param crystals: rows of ``tables.COMPARED``.
    :param kept: where finished rows are kept, and taken from after a kill.
    """

    def key_of(crystal: dict[str, Any]) -> list[Any]:
        return [crystal[name] for name in ("candidate_id", "lattice", "numbers", "frac_coords")]

    def followed(crystal: dict[str, Any], verdict: str | None) -> bool:
        return crystal["phonon_rank"] <= options.follow_modes and verdict == "unstable"

    def missing(crystal: dict[str, Any]) -> bool:
        row, of_child = kept.get(key_of(crystal)), kept.get([*key_of(crystal), CHILD])
        return row is None or (followed(crystal, row["verdict"]) and of_child is None)

    # all of them, even after a kill: a crystal's last digits depend on those that it shares a batch with
    relaxed = _relaxed(crystals, potential, options) if any(map(missing, crystals)) else {}
    for crystal in progress(crystals, len(crystals), "crystals"):
        key, name = key_of(crystal), crystal["candidate_id"]
        row, of_child = kept.get(key), kept.get([*key, CHILD])
        if missing(crystal):
            result = phonons(row_to_atoms(crystal), potential, options, relaxed.get(name))
            row = kept.put(key, result.row(name, options))
            if followed(crystal, result.verdict):
                found = child(name, result, potential, options)
                of_child = kept.put([*key, CHILD], found.row(name + CHILD, options))
        for done in (row, of_child):
            if done is not None:
                logger.info(f"{done['candidate_id']}: {_told(done)}")
                yield done


def _relaxed(crystals: Sequence[dict[str, Any]], potential: Potential, options: PhononOptions) -> dict[str, Relaxed]:
    """Standard primitive cells of crystals, relaxed side by side, by candidate.

    Those that have none, or are too large for phonons, are left out: :func:`phonons` says so of each.
    """
    start: dict[str, Atoms] = {}
    for crystal in crystals:
        try:
            primitive, _, _ = standardise(row_to_atoms(crystal))
        except Exception:  # noqa: BLE001 - a crystal's failure is a row
            continue
        if options.supercell_atoms(primitive) <= options.max_atoms:
            start[crystal["candidate_id"]] = primitive
    return relax_each(start, potential, options.relaxation, "crystals relaxed")


def _told(row: dict[str, Any]) -> str:
    """What the log says of a row."""
    if row["verdict"] is None:
        return str(row["status"])
    q = ", ".join(f"{x:.3f}" for x in row["min_frequency_q"])
    gain = "" if row["energy_gain"] is None else f", {1000 * row['energy_gain']:.1f} meV/atom below its parent"
    return f"{row['verdict']}, lowest frequency {row['min_frequency']:.2f} THz at ({q}), {row['potential']}{gain}"
