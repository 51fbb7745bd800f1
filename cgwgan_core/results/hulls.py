"""What the survivors' distances to the hull hang on: single phases, corrections, other survivors."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pymatgen.core import Composition

from cgwgan_core.relaxation.defects import grave
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.workflow.refusals import OK

Row = dict[str, Any]
UNCORRECTED = "uncorrected_formation_energy_per_atom"
ON_HULL = 1e-9
"""eV/atom; what lies no higher, but for rounding, is on a hull."""


def add_hulls(rows: Sequence[Row], known_phases: pa.Table) -> None:
    """Fill what ``tables.STABLE`` says about the hull beyond energy_above_hull; changed in place.

    A crystal without a formation energy keeps nulls.

    :param rows: rows of ``tables.STABLE``.
    :param known_phases: the schema ``tables.KNOWN_PHASES``.
    """
    good = [row for row in rows if row["formation_energy_per_atom"] is not None]
    if not good:
        return
    phases = KnownHull(known_phases)
    without_corrections = Hull.from_known_phases(known_phases, UNCORRECTED)
    joint = Hull(
        [*phases.energies(), *((row["formula"], row["formation_energy_per_atom"]) for row in good)],
        phases.hull.elements,
    )
    for row in good:
        row.update(phases.dependence(row["formula"]))
        above = row["formation_energy_per_atom"] - joint.energy_per_atom(row["formula"])
        row["energy_above_joint_hull"] = max(above, 0.0)  # rounding
        if row[UNCORRECTED] is not None:
            ground = without_corrections.energy_per_atom(row["formula"])
            row["energy_above_hull_uncorrected"] = row[UNCORRECTED] - ground


def in_words(survivors: Sequence[Row]) -> str:
    """How the survivors compete with each other, and how many hang on doubted or missing phases, in one sentence.

    :param survivors: rows of ``tables.STABLE``.
    :returns: nothing where no distance is known.
    """
    heights = [row["energy_above_joint_hull"] for row in survivors if row.get("energy_above_joint_hull") is not None]
    if not heights:
        return ""
    on = sum(height <= ON_HULL for height in heights)
    doubted = sum(bool(row["hull_defects"]) for row in survivors)
    told = f"; {doubted:,} {_lies(doubted)} above doubted entries of the database" if doubted else ""
    if bare := sum(map(_below_an_element, survivors)):
        falls = "falls" if bare == 1 else "fall"
        told += f"; {bare:,} below the hull {falls} apart into an element: the database may lack compounds there"
    return f" Of the survivors, {on:,} {_lies(on)} on the joint hull with the known phases{told}."


def _below_an_element(row: Row) -> bool:
    """Whether a crystal lies below a part of the hull that reaches an element."""
    products = [part.split()[-1] for part in (row.get("decomposition") or "").split(" + ") if part]
    return (row["energy_above_hull"] or 0.0) < 0 and any(Composition(name).is_element for name in products)


def _lies(n: int) -> str:
    return "lies" if n == 1 else "lie"


class KnownHull:
    """The hull of the known phases, and what becomes of it without one of them.

    :param table: the schema ``tables.KNOWN_PHASES``.
    """

    def __init__(self, table: pa.Table) -> None:
        self._phases = [row for row in table.to_pylist() if row["status"] == OK]
        self.hull = Hull(self.energies())
        self._without: dict[str, Hull] = {}
        self._lowest: dict[str, Row] = {}
        for row in self._phases:
            best = self._lowest.setdefault(row["formula"], row)
            if row["formation_energy_per_atom"] < best["formation_energy_per_atom"]:
                self._lowest[row["formula"]] = row

    def energies(self, without: str | None = None) -> Iterator[tuple[str, float]]:
        """Formula and formation energy (eV/atom) of each phase.

        :param without: material_id of one that is left out.
        """
        for row in self._phases:
            if row["material_id"] != without:
                yield row["formula"], row["formation_energy_per_atom"]

    def dependence(self, formula: str) -> Row:
        """The compounds that a composition falls apart into, and how far its distance falls without each of them.

        Elements cannot be left out: without them there is no hull. A polymorph that is nearly as low takes the place of
        the one left out, and little changes.

        :returns: the columns hull_phases, hull_shifts, largest_shift, largest_shift_phase and hull_defects of
            ``tables.STABLE``.
        """
        phases = [self._lowest[name] for name in self.hull.shares(formula) if name in self._compounds]
        names = [row["material_id"] for row in phases]
        ground = self.hull.energy_per_atom(formula)
        shifts = [max(self.without(name).energy_per_atom(formula) - ground, 0.0) for name in names]
        largest = max(range(len(shifts)), key=shifts.__getitem__, default=None)
        defects = [f"{row['formula']} ({row['material_id']}): {why}" for row in phases if (why := grave(row["defect"]))]
        return {
            "hull_phases": names,
            "hull_shifts": shifts,
            "largest_shift": None if largest is None else shifts[largest],
            "largest_shift_phase": None if largest is None else names[largest],
            "hull_defects": "; ".join(defects) or None,
        }

    @property
    def _compounds(self) -> set[str]:
        return {formula for formula, row in self._lowest.items() if row["lattice"]}

    def without(self, material_id: str) -> Hull:
        """The hull with one phase left out; kept, as many crystals fall apart into the same phases."""
        if material_id not in self._without:
            self._without[material_id] = Hull(self.energies(material_id), self.hull.elements)
        return self._without[material_id]
