"""Two judges, one verdict: what both say of a crystal, and what they dispute.

A crystal is stable by a judge if it has neither imaginary frequencies nor a negative eigenvalue of the elastic tensor.
"""

from collections.abc import Mapping
from typing import Any

from cgwgan_core.phonons.phonons import PASSING

STABLE, UNSTABLE, DISPUTED = "agreed stable", "agreed unstable", "disputed"
NEAR_HULL = 0.05
"""eV/atom above the hull within which a crystal is near it: about the error of a good potential."""
SECOND = ("min_frequency", "verdict", "mechanically_stable", "energy_above_hull")
"""Columns of ``tables.SECOND_PHONONS`` that stand beside the judge's, as ``second_*``."""


def with_second(row: Mapping[str, Any], second: Mapping[str, Any] | None) -> dict[str, Any]:
    """A judged crystal with what the second judge says of it.

    :param row: columns of ``tables.PHONONS``; ``energy_above_hull`` is the judge's.
    :param second: the crystal's row of ``tables.SECOND_PHONONS``; ``None``: there is none.
    :returns: the row with ``second_potential``, ``second_*``, ``disagreement`` (eV/atom), ``agreement``, ``dispute``.
    """
    found = {
        "second_potential": second and second["potential"],
        **{f"second_{name}": second and second[name] for name in SECOND},
    }
    first_above, second_above = row["energy_above_hull"], found["second_energy_above_hull"]
    both = first_above is not None and second_above is not None
    found["disagreement"] = second_above - first_above if both else None
    return {**row, **found, **_agreement({**row, **found})}


def _agreement(row: Mapping[str, Any]) -> dict[str, str | None]:
    if row["verdict"] is None or row["second_verdict"] is None:
        return {"agreement": None, "dispute": None}
    first, second = stable_by(row), stable_by(row, "second_")
    if not (first or second):
        return {"agreement": UNSTABLE, "dispute": None}
    disputes = [about(row) for about in (_phonons, _elasticity, _hull)]
    told = "; ".join(dispute for dispute in disputes if dispute)
    return {"agreement": DISPUTED if told else STABLE, "dispute": told or None}


def stable_by(row: Mapping[str, Any], judge: str = "") -> bool:
    """Whether a judge has a crystal stable.

    :param judge: empty, or ``second_``.
    """
    return row[f"{judge}verdict"] in PASSING and row[f"{judge}mechanically_stable"] is not False


def in_words(row: Mapping[str, Any]) -> str | None:
    """``agreement``, naming the verdict where a crystal passes by both judges: one may call it only borderline."""
    if row["agreement"] != STABLE:
        agreement: str | None = row["agreement"]
        return agreement
    verdicts = {row["verdict"], row["second_verdict"]}
    return f"agreed {verdicts.pop()}" if len(verdicts) == 1 else f"agreed: {' or '.join(PASSING)}"


def near_hull(row: Mapping[str, Any], limit: float = NEAR_HULL) -> bool:
    """Whether a crystal lies no more than ``limit`` (eV/atom) above the hull, by both judges where there are two."""
    distances = [row["energy_above_hull"], row["second_energy_above_hull"]]
    said = [distance for distance in distances if distance is not None]
    return bool(said) and max(said) <= limit


def _phonons(row: Mapping[str, Any]) -> str | None:
    if (row["verdict"] in PASSING) == (row["second_verdict"] in PASSING):
        return None
    return f"lowest frequency {row['min_frequency']:.2f} and {row['second_min_frequency']:.2f} THz"


def _elasticity(row: Mapping[str, Any]) -> str | None:
    """Elastic constants are there only where phonons pass."""
    said = row["mechanically_stable"], row["second_mechanically_stable"]
    if None in said or said[0] == said[1]:
        return None
    return "elastically {}stable and {}stable".format(*("" if stable else "un" for stable in said))


def _hull(row: Mapping[str, Any]) -> str | None:
    """A dispute is a distance that is near the hull by one judge only, by more than the judges' usual error."""
    first, second = row["energy_above_hull"], row["second_energy_above_hull"]
    if first is None or second is None or abs(second - first) <= NEAR_HULL:
        return None
    if (first <= NEAR_HULL) == (second <= NEAR_HULL):
        return None
    return f"{first:+.3f} and {second:+.3f} eV/atom from the hull"
