"""Hulls by one DFT engine, and what the distances to them hang on.

Energies of different engines do not compare, so elements, known phases and candidates all come from the same one. One
hull is mixed, and named so: the candidates are the engine's there, the known phases the database's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.dft.calculation import CONVERGED
from cgwgan_core.dft.crystals import CANDIDATE, ELEMENTAL, KNOWN_PHASE, database_phases, doubted, element_of
from cgwgan_core.dft.formation import References, element_references, formation_energies, shares_of
from cgwgan_core.dft.oxygen import oxygen_loss
from cgwgan_core.relaxation.known_phases import ON_HULL
from cgwgan_core.screening.energetics import Hull, oxygen_species
from cgwgan_core.workflow.refusals import OK

Row = dict[str, Any]
CORRECTED, UNCORRECTED = "formation_energy_per_atom", "uncorrected_formation_energy_per_atom"
DATABASE, POTENTIAL = "database_formation_energy_per_atom", "potential_formation_energy_per_atom"
NEAR, WRONG = 0.05, 0.1
"""eV/atom: near the hull; a potential's distance that is further than this from DFT's is wrong."""
ROUNDING = 1e-9
"""eV/atom."""
COLUMNS = (
    *("energy_per_atom", CORRECTED, UNCORRECTED, "fitted", "reference", "energy_above_hull"),
    *("energy_above_hull_uncorrected", "energy_above_mixed_hull", "mixed_shift", "energy_above_joint_hull"),
    *("decomposition", "hull_phases", "hull_missing", "hull_status"),
    *("oxygen_loss", "oxygen_loss_uncorrected", "oxygen_loss_products", "oxygen_loss_status"),
)
"""Columns that :func:`hulls` fills; null where there is nothing to say."""


def hulls(crystals: Sequence[Row], statics: Sequence[Row], hubbard: bool = False) -> list[Row]:
    """Every crystal with its formation energies and its distances to the hulls, eV/atom.

    =============================  ==================================================================================
    energy_above_hull              over the known phases by this engine, all with MP2020's corrections of anions
    energy_above_hull_uncorrected  the same, all without
    energy_above_mixed_hull        of candidates: over the known phases by the database's energies, corrected
    mixed_shift                    engine less database, of the phases that this distance is to, in their shares
    energy_above_joint_hull        over the known phases and all candidates by this engine, corrected
    hull_missing                   formulas that it falls apart into by potential or database and that have no energy
                                   by the engine: with them the distance to its hull can only be larger
    oxygen_loss                    eV per O2 (:class:`.oxygen.OxygenLoss`), corrected; ``_uncorrected``: without
    =============================  ==================================================================================

    :param crystals: rows of :func:`.crystals.choose`.
    :param statics: rows with ``crystal_id``, ``status`` and ``energy_per_atom`` (eV/atom).
    :param hubbard: as for :func:`.formation.formation_energies`.
    :returns: a row for each crystal, in their order. ``status`` says why there is no energy, ``hull_status`` why there
        is no distance, ``oxygen_loss_status`` why no O2 is lost. ``fitted`` names elements whose energy is fitted to
        the database (:func:`.formation.element_references`); ``reference`` tells where an element's energy is from.
    """
    rows = _with_energies(crystals, statics)
    references = element_references(rows, hubbard)
    for row in rows:
        if row["kind"] == ELEMENTAL:
            zero = 0.0 if element_of(row) in references.energies else None
            row.update({CORRECTED: zero, UNCORRECTED: zero, "reference": references.origin[element_of(row)]})
        elif row["energy_per_atom"] is not None and not references.lacking(row["formula"]):
            row[CORRECTED], row[UNCORRECTED] = formation_energies(
                row["formula"], row["energy_per_atom"], row["oxygen"], references, hubbard
            )
            row["fitted"] = ", ".join(sorted(shares_of(row["formula"]).keys() & references.fitted)) or None
    judge = _Judge(rows, references)
    for row in rows:
        if row["kind"] != ELEMENTAL:
            judge.fill(row)
    return rows


def own_hull(rows: Sequence[Row], column: str = CORRECTED) -> Hull:
    """The hull of the known phases by the engine.

    :param rows: of :func:`hulls`.
    :param column: of the formation energies.
    """
    known = [row for row in rows if row["kind"] == KNOWN_PHASE and row[column] is not None]
    return Hull(((row["formula"], row[column]) for row in known), _elements(rows))


def distance(row: Mapping[str, Any]) -> float | None:
    """How high a crystal lies over the hull by the engine, eV/atom; ``None`` where it cannot be told.

    Where that hull lacks phases, the distance can only be larger: the one to the mixed hull counts if it is.

    :param row: of :func:`hulls`.
    """
    own, mixed = row["energy_above_hull"], row["energy_above_mixed_hull"]
    if own is not None and mixed is not None and row["hull_missing"]:
        return float(max(own, mixed))
    return None if own is None else float(own)


def counts(
    rows: Sequence[Mapping[str, Any]], above: Callable[[Mapping[str, Any]], float | None] = distance
) -> dict[str, int]:
    """How many candidates hold.

    :param rows: of :func:`hulls`.
    :param above: the distance that counts, of a row.
    :returns: candidates that have an energy; a distance; lie on the hull or below; no further than :data:`NEAR` above;
        whose distance by the potential is wrong by more than :data:`WRONG`.
    """
    candidates = [row for row in rows if row["kind"] == CANDIDATE]
    found = [(height, row) for row in candidates if (height := above(row)) is not None]
    both = [(height, row) for height, row in found if row["potential_energy_above_hull"] is not None]
    return {
        "with_energy": sum(row["energy_per_atom"] is not None for row in candidates),
        "with_distance": len(found),
        "on_or_below": sum(height <= ON_HULL for height, _ in found),
        "near": sum(height <= NEAR for height, _ in found),
        "wrong": sum(abs(height - row["potential_energy_above_hull"]) > WRONG for height, row in both),
    }


def told(found: Mapping[str, int]) -> str:
    """The :func:`counts` in words, for a log."""
    return (
        f"{found['with_distance']} candidates with a distance to the hull by DFT: {found['on_or_below']} on it or"
        f" below, {found['near']} at most {NEAR} eV/atom above it"
    )


def _with_energies(crystals: Sequence[Row], statics: Sequence[Row]) -> list[Row]:
    found = {row["crystal_id"]: row for row in statics}
    rows = []
    for crystal in crystals:
        row = dict.fromkeys(COLUMNS) | {name: crystal[name] for name in ("crystal_id", "kind", "rank", "formula")}
        row |= {"potential": crystal["potential"], DATABASE: crystal[DATABASE], POTENTIAL: crystal[CORRECTED]}
        row["potential_energy_above_hull"] = crystal["energy_above_hull"]
        row["n_atoms"] = len(crystal["numbers"]) if crystal["numbers"] else None
        row["oxygen"] = oxygen_species(row_to_atoms(crystal)) if crystal["lattice"] else "oxide"
        row["status"] = crystal["status"]
        if crystal["status"] == OK:
            static = found.get(crystal["crystal_id"], {"status": "not calculated"})
            row["status"] = static["status"]
            row["energy_per_atom"] = static["energy_per_atom"] if static["status"] == CONVERGED else None
        rows.append(row)
    return rows


def _elements(rows: Sequence[Row]) -> list[str]:
    return sorted(element_of(row) for row in rows if row["kind"] == ELEMENTAL)


class _Judge:
    """What the hulls say of each compound."""

    def __init__(self, rows: Sequence[Row], references: References) -> None:
        self._references, self._elements = references, _elements(rows)
        self._known = [row for row in rows if row["kind"] == KNOWN_PHASE and not doubted(row)]
        compounds = [row for row in rows if row["kind"] != ELEMENTAL and row[CORRECTED] is not None]
        self._computed = [row for row in compounds if row["kind"] == KNOWN_PHASE]
        self._own = {column: own_hull(rows, column) for column in (CORRECTED, UNCORRECTED)}
        self._joint = self._hull(compounds, CORRECTED)
        self._lower = [
            dict.fromkeys((CORRECTED, UNCORRECTED), -references.doubt) | {"formula": symbol}
            for symbol in sorted(references.fitted)
        ]
        self._doubtful = {
            self._joint: self._hull([*compounds, *self._lower], CORRECTED),
            **{hull: self._hull([*self._computed, *self._lower], column) for column, hull in self._own.items()},
        }
        self._potential = self._hull([row for row in self._known if row[POTENTIAL] is not None], POTENTIAL)
        self._database = Hull(database_phases(self._known), self._elements)
        self._names = {element_of(row): row["crystal_id"] for row in rows if row["kind"] == ELEMENTAL}
        self._names |= {formula: row["crystal_id"] for formula, row in _lowest(self._computed, CORRECTED).items()}

    def _hull(self, rows: Sequence[Row], column: str) -> Hull:
        return Hull(((row["formula"], row[column]) for row in rows), self._elements)

    def fill(self, row: Row) -> None:
        """Fill the columns of hulls; changed in place."""
        formula, own = row["formula"], self._own[CORRECTED]
        row["hull_missing"] = self._missing(formula)
        row["hull_status"] = row["oxygen_loss_status"] = self._no_distance(row, own) or OK
        if row[CORRECTED] is None:
            return
        row["decomposition"] = own.decomposition(formula)
        row["hull_phases"] = [self._names[name] for name in own.shares(formula)]
        row["energy_above_hull"] = self._distance(row, own)
        row["energy_above_hull_uncorrected"] = self._distance(row, self._own[UNCORRECTED], UNCORRECTED)
        row["energy_above_joint_hull"] = self._distance(row, self._joint)
        if row["kind"] == CANDIDATE and not row["fitted"]:
            row["energy_above_mixed_hull"] = row[CORRECTED] - self._database.energy_per_atom(formula)
            row["mixed_shift"] = self._mixed_shift(formula)
        self._fill_oxygen_loss(row)

    def _no_distance(self, row: Row, hull: Hull) -> str | None:
        """Why there is no distance to a hull; ``None`` if there is."""
        if row["energy_per_atom"] is None:
            return str(row["status"])
        return self._references.lacking(row["formula"]) or self._hangs_on(self._doubtful[hull].shares(row["formula"]))

    def _hangs_on(self, phases: Mapping[str, float]) -> str | None:
        """Energies of elements cancel in a distance, but for those elements that the crystal falls apart into."""
        fitted = sorted({formula.rstrip("0123456789") for formula in phases} & self._references.fitted)
        return f"falls apart into {fitted[0]}, whose energy is fitted to the database's" if fitted else None

    def _distance(self, row: Row, hull: Hull, column: str = CORRECTED) -> float | None:
        if self._no_distance(row, hull):
            return None
        above = float(row[column]) - hull.energy_per_atom(row["formula"])
        if row["kind"] == KNOWN_PHASE or hull is self._joint:  # parts of the hull: below it by rounding only
            return above if above > ROUNDING else 0.0
        return above

    def _mixed_shift(self, formula: str) -> float | None:
        engine, database = _lowest(self._computed, CORRECTED), _lowest(self._known, DATABASE)
        phases = {name: share for name, share in self._database.shares(formula).items() if name not in self._elements}
        if phases.keys() - engine.keys():
            return None
        return float(sum(n * (engine[name][CORRECTED] - database[name][DATABASE]) for name, n in phases.items()))

    def _missing(self, formula: str) -> str | None:
        names = self._potential.shares(formula).keys() | self._database.shares(formula).keys()
        computed = {row["formula"] for row in self._computed}
        missing = [_lowest_known(self._known, name) for name in sorted(names - computed - set(self._elements))]
        return "; ".join(f"{row['formula']} ({row['crystal_id']}): {row['status']}" for row in missing) or None

    def _fill_oxygen_loss(self, row: Row) -> None:
        for column, name in ((UNCORRECTED, "oxygen_loss_uncorrected"), (CORRECTED, "oxygen_loss")):
            row["oxygen_loss_status"], row[name], row["oxygen_loss_products"] = self._oxygen_loss(row, column)

    def _oxygen_loss(self, row: Row, column: str) -> tuple[str, float | None, str | None]:
        """Status, eV per O2, products."""
        if "O" not in shares_of(row["formula"]):
            return "no oxygen", None, None
        if reason := self._hangs_on({"O": 1.0}):
            return reason, None, None
        others = [other for other in self._computed if other["crystal_id"] != row["crystal_id"]] + self._lower
        loss = oxygen_loss(row["formula"], row[column], [(other["formula"], other[column]) for other in others])
        if loss is None:
            return "falls apart without losing O2", None, None
        if reason := self._hangs_on(loss.products):
            return reason, None, None
        return OK, loss.energy, " + ".join(f"{share:.2f} {name}" for name, share in loss.products.items())


def _lowest(rows: Sequence[Row], column: str) -> dict[str, Row]:
    """Formula -> the row that is lowest."""
    found: dict[str, Row] = {}
    for row in rows:
        if row[column] is not None and (row["formula"] not in found or row[column] < found[row["formula"]][column]):
            found[row["formula"]] = row
    return found


def _lowest_known(rows: Sequence[Row], formula: str) -> Row:
    def height(row: Row) -> tuple[float, float, str]:
        energies = [np.inf if row[column] is None else row[column] for column in (DATABASE, POTENTIAL)]
        return (*energies, row["crystal_id"])

    return min((row for row in rows if row["formula"] == formula), key=height)
