"""What DFT found, back into the funnel: a model of the potential's error, and whom DFT should see next.

The model is ridge regression of DFT's formation energy less the potential's in the composition: the share of each
element, and the mean oxidation state of the elements that vary theirs. Composition is what the hull decides about, and
what a dozen energies can carry. Leave-one-out predictions of ridge regression have a closed form (Hastie, Tibshirani
and Friedman, The Elements of Statistical Learning (2009), section 7.10, doi:10.1007/978-0-387-84858-7).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymatgen.core import Composition

from cgwgan_core.dft.crystals import ELEMENTAL, KNOWN_PHASE, doubted, element_of
from cgwgan_core.dft.formation import shares_of
from cgwgan_core.dft.hull import CORRECTED, POTENTIAL
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.workflow.arrays import Booleans, Floats
from cgwgan_core.workflow.refusals import OK

Row = dict[str, Any]
FEWEST = 12
"""DFT energies that a model needs."""
PENALTIES = (*np.logspace(-4, 2, 13).tolist(), np.inf)
"""Per crystal, of the squares of the coefficients of features of unit variance; infinite: the mean error alone."""
STATES = (-4.0, 8.0)
"""Oxidation states outside of which no mean is taken for one: metals with a little oxygen have none."""


@dataclass(frozen=True)
class Correction:
    """A model of DFT's formation energy less the potential's."""

    status: str
    """ok, or why nothing is corrected."""
    n: int
    """DFT energies that it was fitted to."""
    error_before: float | None = None
    """eV/atom, mean absolute error of the potential."""
    error_after: float | None = None
    """eV/atom, mean absolute error once corrected, each crystal left out in turn, penalty and all."""
    error_new_compositions: float | None = None
    """The same, all crystals of one composition left out in turn."""
    penalty: float | None = None
    """Of :data:`PENALTIES`, that with the least leave-one-out error."""
    elements: tuple[str, ...] = ()
    """Whose shares are features, in alphabetical order; the mean oxidation state is the last feature."""
    coefficients: tuple[float, ...] = ()
    """eV/atom per unit of each feature."""
    constant: float = 0.0
    """eV/atom."""

    def predict(self, formulas: Sequence[str]) -> Floats:
        """What is to be added to the potential's formation energies, (N,) eV/atom; zeros if the status is not ok."""
        if self.status != OK:
            return np.zeros(len(formulas))
        found: Floats = features(formulas, self.elements) @ np.array(self.coefficients) + self.constant
        return found


def fit(rows: Sequence[Row]) -> Correction:
    """The model, from all candidates and known phases that have both energies.

    It corrects nothing if there are fewer than :data:`FEWEST`, or if crystals left out are predicted no better with it.

    :param rows: of :func:`.hull.hulls`.
    """
    both = [r for r in rows if r["kind"] != ELEMENTAL and r[CORRECTED] is not None and r[POTENTIAL] is not None]
    if len(both) < FEWEST:
        return Correction(f"{len(both)} DFT energies, fewer than {FEWEST}", len(both))
    formulas = [row["formula"] for row in both]
    errors = np.array([row[CORRECTED] - row[POTENTIAL] for row in both])
    elements = tuple(sorted({symbol for formula in formulas for symbol in shares_of(formula)}))
    x = features(formulas, elements)
    before = float(np.abs(errors).mean())
    after = _error_left_out(x, errors, [str(i) for i in range(len(both))])
    new = _error_left_out(x, errors, formulas)
    coefficients, constant, penalty = _ridge(x, errors)
    status = OK if after < before else f"no better than none: {after:.3f} eV/atom off, {before:.3f} without"
    return Correction(
        status, len(both), before, after, new, penalty, elements, tuple(coefficients.tolist()), float(constant)
    )


def rank_again(
    candidates: Sequence[Row], rows: Sequence[Row], correction: Correction, asked: Collection[str], n: int, most: int
) -> list[Row]:
    """All candidates that DFT was not asked for, in the order that DFT is expected to put them in.

    Their distance is to the hull of the known phases by DFT. A phase without a DFT energy counts with its corrected
    energy by the potential.

    :param candidates: rows with ``candidate_id``, ``formula``, ``numbers`` and, by the potential,
        ``formation_energy_per_atom`` and ``energy_above_hull``.
    :param rows: of :func:`.hull.hulls`.
    :param asked: candidates that DFT was asked for, with or without success.
    :param n: how many to name as the next.
    :param most: atoms in the cell of those that are named.
    """
    known = [row for row in rows if row["kind"] == KNOWN_PHASE and not doubted(row)]
    shifts = correction.predict([row["formula"] for row in known])
    phases = [(row["formula"], _dft_or_expected(row, shift)) for row, shift in zip(known, shifts, strict=True)]
    hull = Hull(
        [(formula, energy) for formula, energy in phases if energy is not None],
        [element_of(row) for row in rows if row["kind"] == ELEMENTAL],
    )
    open_ = [r for r in candidates if r["candidate_id"] not in asked and r["formation_energy_per_atom"] is not None]
    open_.sort(key=_best_first)
    found = []
    for before, (row, shift) in enumerate(
        zip(open_, correction.predict([row["formula"] for row in open_]).tolist(), strict=True), start=1
    ):
        energy = row["formation_energy_per_atom"] + shift
        found.append(
            {
                "crystal_id": row["candidate_id"],
                "formula": row["formula"],
                "n_atoms": len(row["numbers"]),
                "potential_energy_above_hull": row["energy_above_hull"],
                "correction": shift,
                "expected_formation_energy_per_atom": energy,
                "expected_energy_above_hull": energy - hull.energy_per_atom(row["formula"]),
                "rank_before": before,
            }
        )
    found.sort(key=lambda row: (row["expected_energy_above_hull"], row["crystal_id"]))
    named = [row["crystal_id"] for row in found if row["n_atoms"] <= most][:n]
    return [{**row, "rank": rank, "next": row["crystal_id"] in named} for rank, row in enumerate(found, start=1)]


def _best_first(row: Row) -> tuple[float, str]:
    above = row["energy_above_hull"]
    return (np.inf if above is None else above, row["candidate_id"])


def _dft_or_expected(row: Mapping[str, Any], shift: float) -> float | None:
    if row[CORRECTED] is not None:
        return float(row[CORRECTED])
    return None if row[POTENTIAL] is None else float(row[POTENTIAL] + shift)


# --------------------------------------------------------------------------------------------- features


def features(formulas: Sequence[str], elements: Sequence[str]) -> Floats:
    """Share of each element and the mean oxidation state, (N, E + 1)."""
    rows = []
    for formula in formulas:
        shares = shares_of(formula)
        rows.append([*(shares.get(symbol, 0.0) for symbol in elements), mean_oxidation_state(formula)])
    return np.array(rows).reshape(len(formulas), len(elements) + 1)


def mean_oxidation_state(formula: str) -> float:
    """Mean oxidation state of the elements that have several common ones, as the others leave it to them.

    The most electronegative element has its lowest common state. No less than, and no more than :data:`STATES`; zero
    where that element is no anion or no element is left.

    >>> mean_oxidation_state("Ba2RuO5"), mean_oxidation_state("Li3PS4"), mean_oxidation_state("BaO")
    (6.0, 5.0, 0.0)
    """
    composition = Composition(formula)
    anion = max(composition.elements, key=lambda element: (element.X, element.symbol))
    lowest = min(_states(anion), default=0)
    if lowest >= 0:
        return 0.0
    charge, varying = 0.0, 0.0
    for element, count in composition.items():
        states = (lowest,) if element == anion else _states(element)
        if len(states) == 1:
            charge += count * states[0]
        else:
            varying += count
    return float(np.clip(-charge / varying, *STATES)) if varying else 0.0


def _states(element: Any) -> tuple[int, ...]:
    return tuple(element.common_oxidation_states)


# ------------------------------------------------------------------------------------- ridge regression


def _ridge(x: Floats, y: Floats) -> tuple[Floats, float, float]:
    """Coefficients of the features, constant and penalty of the least leave-one-out error."""
    scaled, mean, scale = _standard(x)
    penalty = min(PENALTIES, key=lambda each: float((_left_out(scaled, y, each) ** 2).mean()))
    u, s, vt = np.linalg.svd(scaled, full_matrices=False)
    coefficients = vt.T @ (s / (s**2 + penalty * len(y)) * (u.T @ (y - y.mean()))) / scale
    return coefficients, float(y.mean() - mean @ coefficients), penalty


def _standard(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Features of zero mean and unit variance, (N, F), and their means and scales, (F,); constant ones become zero."""
    mean, scale = x.mean(axis=0), x.std(axis=0)
    varies = scale > 1e-9
    scale = np.where(varies, scale, 1.0)
    return (x - mean) / scale * varies, mean, scale


def _left_out(scaled: Floats, y: Floats, penalty: float) -> Floats:
    """Each crystal's error, predicted from all others at the same scale of the features, (N,)."""
    u, s, _ = np.linalg.svd(scaled, full_matrices=False)
    kept = s**2 / (s**2 + penalty * len(y))
    leverage = 1 / len(y) + (u**2 * kept).sum(axis=1)
    residual = y - y.mean() - u @ (kept * (u.T @ y))
    errors: Floats = residual / (1 - leverage)
    return errors


def _error_left_out(x: Floats, y: Floats, groups: Sequence[str]) -> float:
    """Mean absolute error where each group in turn is predicted from all others, eV/atom."""
    labels = np.array(groups)
    off = np.zeros(len(y))
    for group in sorted(set(groups)):
        out: Booleans = labels == group
        if out.all():
            off[out] = y[out]
            continue
        coefficients, constant, _ = _ridge(x[~out], y[~out])
        off[out] = y[out] - (x[out] @ coefficients + constant)
    return float(np.abs(off).mean())
