"""The phonons of many crystals: dealt out to shards, kept as they are finished."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from ase import Atoms

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.children import descendants
from cgwgan_core.phonons.phonons import PhononOptions, phonons
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Relaxed
from cgwgan_core.relaxation.relax import relax_each
from cgwgan_core.workflow.files import KeptRows
from cgwgan_core.workflow.logs import logger, progress


def crystals_of_shard(compared: pa.Table, shard: int, shards: int) -> list[dict[str, Any]]:
    """The crystals whose phonons one shard computes: every ``shards``-th in order of phonon_rank.

    :param compared: a table of the schema ``tables.COMPARED``; rows without a phonon_rank are passed over.
    """
    rows = [row for row in compared.to_pylist() if row["phonon_rank"] is not None]
    return sorted(rows, key=lambda row: row["phonon_rank"])[shard::shards]


def phonon_rows(
    crystals: Sequence[dict[str, Any]], potential: Potential, options: PhononOptions, kept: KeptRows
) -> Iterator[dict[str, Any]]:
    """Rows of ``tables.PHONONS``: one for each crystal in the same order, those of its descendants after it.

    Every unstable crystal among the first ``options.follow_modes``, and every unstable descendant of it, has a row for
    its child, if only to say why there is none.

    :param crystals: rows of ``tables.COMPARED``.
    :param kept: where finished rows are kept, and taken from after a kill.
    """
    lines = [kept.get(_key(crystal)) for crystal in crystals]
    # all of them, even after a kill: a crystal's last digits depend on those that it shares a batch with
    relaxed = _relaxed(crystals, potential, options) if None in lines else {}
    for crystal, line in progress(zip(crystals, lines, strict=True), len(crystals), "crystals"):
        found = line or kept.put(_key(crystal), {"rows": list(_line(crystal, relaxed, potential, options))})
        for row in found["rows"]:
            logger.info(f"{row['candidate_id']}: {_told(row)}")
            yield row


def _key(crystal: dict[str, Any]) -> list[Any]:
    return [crystal[name] for name in ("candidate_id", "lattice", "numbers", "frac_coords")]


def _line(
    crystal: dict[str, Any], relaxed: dict[str, Relaxed], potential: Potential, options: PhononOptions
) -> Iterator[dict[str, Any]]:
    """The row of a crystal and those of its descendants."""
    name = crystal["candidate_id"]
    result = phonons(row_to_atoms(crystal), potential, options, relaxed.get(name))
    yield result.row(name, options)
    if crystal["phonon_rank"] <= options.follow_modes:
        for child_id, child in descendants(name, result, potential, options):
            yield child.row(child_id, options)


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
