"""From energies to verdicts: who is relaxed, who gets phonons, and what DFT says of each crystal in the end."""

from collections.abc import Sequence
from typing import Any

from cgwgan_core.dft.calculation import CONVERGED
from cgwgan_core.dft.crystals import CANDIDATE, KNOWN_PHASE
from cgwgan_core.dft.elasticity import COLUMNS as ELASTICITY
from cgwgan_core.dft.hull import CORRECTED, counts, distance, hulls

Row = dict[str, Any]


def height(row: Row) -> float | None:
    """Distance to the hull by the engine, or, where it has none, to the mixed one, eV/atom."""
    own, mixed = distance(row), row["energy_above_mixed_hull"]
    return own if own is not None or mixed is None else float(mixed)


def best(rows: Sequence[Row], n: int) -> list[str]:
    """crystal_id of the best candidates that have an energy, best first.

    Those without a distance to a hull come last, in the potential's order: their geometry and phonons can be told, too.

    :param rows: of :func:`.hull.hulls`.
    """
    found = [row for row in rows if row["kind"] == CANDIDATE and row["energy_per_atom"] is not None]
    return [row["crystal_id"] for row in sorted(found, key=_best_first)[:n]]


def _best_first(row: Row) -> tuple[float, int, str]:
    above = height(row)
    return (float("inf") if above is None else above, row["rank"], row["crystal_id"])


def to_relax(rows: Sequence[Row], n: int) -> list[str]:
    """The best candidates, and the known phases that they fall apart into: both sides gain by relaxation.

    :param rows: of :func:`.hull.hulls`.
    :param n: candidates.
    """
    names = best(rows, n)
    chosen = set(names)
    known = {row["crystal_id"] for row in rows if row["kind"] == KNOWN_PHASE}
    phases = {p for row in rows if row["crystal_id"] in chosen for p in row["hull_phases"] or () if p in known}
    return [*names, *sorted(phases)]


def to_displace(rows: Sequence[Row], relaxed: Sequence[Row], n: int) -> list[Row]:
    """The best candidates that have a geometry by DFT.

    :param rows: of :func:`.hull.hulls`, of :func:`relaxed_statics`.
    :param relaxed: rows of ``tables.DFT_RELAXED``.
    :param n: candidates.
    :returns: their rows of ``relaxed``, best first.
    """
    found = {row["crystal_id"]: row for row in relaxed if row["lattice"]}
    return [found[name] for name in best(rows, len(rows)) if name in found][:n]


def relaxed_statics(statics: Sequence[Row], relaxed: Sequence[Row]) -> list[Row]:
    """Statics, those of relaxed crystals in place of the others where relaxation gained something.

    :param statics: rows of ``tables.DFT_STATICS``.
    :param relaxed: rows of ``tables.DFT_RELAXED``.
    """
    lower = {r["crystal_id"]: r["energy_per_atom"] for r in relaxed if r["energy_per_atom"] is not None}

    def energy(row: Row) -> float | None:
        found = [e for e in (row["energy_per_atom"], lower.get(row["crystal_id"])) if e is not None]
        return min(found, default=None)

    return [
        {**row, "energy_per_atom": energy(row), "status": CONVERGED if row["crystal_id"] in lower else row["status"]}
        for row in statics
    ]


def final_rows(
    crystals: Sequence[Row],
    statics: Sequence[Row],
    relaxed: Sequence[Row],
    phonons: Sequence[Row],
    hubbard: bool = False,
    judged: Sequence[Row] = (),
) -> tuple[list[Row], dict[str, int]]:
    """What DFT says of every crystal that it was asked about, and how many candidates hold.

    :param crystals: rows of ``tables.DFT_CRYSTALS``.
    :param statics: rows of ``tables.DFT_STATICS``.
    :param relaxed: rows of ``tables.DFT_RELAXED``.
    :param phonons: rows of ``tables.DFT_PHONONS``.
    :param hubbard: as for :func:`.hull.hulls`.
    :param judged: rows of ``tables.STABLE``: the candidates by the potential.
    :returns: rows of ``tables.DFT``, candidates first, best first; and counts.
    """
    first = {row["crystal_id"]: row for row in hulls(crystals, statics, hubbard)}
    last = hulls(crystals, relaxed_statics(statics, relaxed), hubbard)
    of_static, of_relaxed, of_phonons = (
        {row["crystal_id"]: row for row in rows} for rows in (statics, relaxed, phonons)
    )
    before = {row["candidate_id"]: row for row in judged}
    placed = [row for row in last if height(row) is not None]
    ranks = {name: rank for rank, name in enumerate(best(placed, len(placed)), start=1)}
    rows = []
    for row in last:
        name = row["crystal_id"]
        static = of_static.get(name, {})
        row |= {key: static.get(key) for key in ("magnetic_order", "magnetic_moment", "starts", "start_energies")}
        row |= {"engine": static.get("engine"), "remedies": static.get("remedies") or []}
        row["static_energy_above_hull"] = first[name]["energy_above_hull"]
        row |= {key: (of_relaxed.get(name) or {}).get(key) for key in RELAXED_COLUMNS}
        row["relaxation"] = (of_relaxed.get(name) or {}).get("status")
        row["min_frequency"] = (of_phonons.get(name) or {}).get("min_frequency")
        row["verdict"] = (of_phonons.get(name) or {}).get("verdict")
        row["phonons"] = (of_phonons.get(name) or {}).get("status")
        row |= {key: (of_phonons.get(name) or {}).get(key) for key in ELASTICITY}
        row |= {f"potential_{key}": before.get(name, {}).get(key) for key in ("spacegroup", "elastic_min_eigenvalue")}
        row["dft_rank"] = ranks.get(name)
        row["difference"] = _difference(row)
        rows.append(row)
    rows.sort(key=lambda row: (row["kind"] != CANDIDATE, row["dft_rank"] or len(last), row["rank"] or 0))
    return rows, counts(last) | {f"static_{key}": n for key, n in counts(list(first.values())).items()}


RELAXED_COLUMNS = ("steps", "predicted_gain", "gain", "volume_ratio", "spacegroup", "fmax", "pressure")
"""What the table of relaxed crystals adds to the last."""


def _difference(row: Row) -> float | None:
    """DFT's formation energy less the potential's, eV/atom."""
    mine, theirs = row[CORRECTED], row["potential_formation_energy_per_atom"]
    return None if mine is None or theirs is None else mine - theirs
