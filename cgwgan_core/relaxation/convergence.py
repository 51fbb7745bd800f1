"""How many relaxations converge, and where they end: filled templates beside PyXtal's random crystals (paper, Fig. 4A).

Beside each filled template stands a crystal that PyXtal draws with as many atoms of each element in a random space
group. Both relax by the same potential, optimiser and limits, in their symmetry. Converged is what reaches ``fmax`` and
has neither collapsed nor fallen apart. A point of the figure is an arm, a number of elements and a range of sizes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice, zip_longest
from typing import Any

import numpy as np
import pyarrow as pa
from ase import Atoms
from pymatgen.core import Composition
from scipy.stats import binomtest

from cgwgan_core.crystallography.symmetry import primitive_cell
from cgwgan_core.crystallography.templates import Templates, to_atoms
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.columns import energy_columns, or_null
from cgwgan_core.relaxation.defects import KINDS
from cgwgan_core.relaxation.descent import SYMPREC_BEFORE, Relaxation
from cgwgan_core.relaxation.known_phases import KnownPhasesOptions, relax_known_phases, within
from cgwgan_core.relaxation.relax import relax_each
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.screening.infill import InfillOptions, infill
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.refusals import OK
from cgwgan_core.workflow.seeds import derive_seed

Row = dict[str, Any]
GENERATED, RANDOM, KNOWN = "generated", "random", "known phase"
"""The two arms, and the phases that make the hull of a composition."""
SIZES = ((2, 8), (9, 16), (17, 24), (25, 32))
"""Atoms in the conventional cell, both ends included."""
MAX_STEP = 0.1
"""Å; the paper's longest step of the optimiser."""
GROUPS = 40
"""Random space groups that PyXtal is given for one crystal."""
TRIES = 3
"""Of PyXtal's for one group."""
HULL, LOWEST = "hull", "lowest crystal"
"""What energies are measured from: the hull where the database has phases of the system, or the lowest crystal of the
composition in either arm."""


@dataclass(frozen=True)
class ConvergenceOptions:
    """What is relaxed, and how; keys of the config block ``convergence``."""

    compositions: Sequence[str] = ("P", "NiSe", "TiO2", "BaRuO3", "MgSiO3")
    """Formulas, pooled by their number of elements."""
    each: int = 100
    """Crystals of each number of elements and range of sizes, in each arm, from the compositions in turn."""
    fmax: float = 0.05
    """As in :class:`Relaxation`."""
    max_steps: int = 300
    """As in :class:`Relaxation`; the paper's."""

    def __post_init__(self) -> None:
        _ = self.relaxation  # checks its own
        if self.each < 1:
            raise InputError(f"convergence.each: {self.each} must be at least 1")
        for formula in self.compositions:
            try:
                Composition(formula)
            except ValueError:
                raise InputError(f"convergence.compositions: {formula!r} is no formula such as BaRuO3") from None

    @property
    def relaxation(self) -> Relaxation:
        """How a crystal of either arm is relaxed.

        :raises InputError: if there is no such relaxation.
        """
        return Relaxation(self.fmax, self.max_steps, max_step=MAX_STEP)

    @property
    def pools(self) -> dict[int, list[str]]:
        """Number of elements -> the compositions of so many."""
        ordered = sorted(self.compositions, key=_n_elements)
        return {number: list(formulas) for number, formulas in groupby(ordered, _n_elements)}


@dataclass(frozen=True)
class Start:
    """A crystal before its relaxation."""

    row: Row
    """Composition, arm, crystal_id, and n_atoms of the conventional cell."""
    atoms: Atoms


# --------------------------------------------------------------------------------------------- crystals


def pairs(
    templates: pa.Table, options: ConvergenceOptions, seed: int, shard: int = 0, shards: int = 1
) -> Iterator[Start]:
    """The crystals of one shard: templates filled, and a random crystal beside each.

    :param templates: rows of ``tables.TEMPLATES`` that this shard alone fills.
    :param seed: of the run.
    """
    wanted = len(range(shard, options.each, shards))
    for n_elements, formulas in options.pools.items():
        for start in generated(templates, formulas, wanted, derive_seed(seed, GENERATED, n_elements, shard)):
            yield start
            row = {**start.row, "arm": RANDOM}
            atoms = at_random(row["composition"], row["n_atoms"], derive_seed(seed, RANDOM, row["crystal_id"]))
            if atoms is not None:
                yield Start(row, atoms)


def generated(templates: pa.Table, formulas: Sequence[str], wanted: int, seed: int) -> Iterator[Start]:
    """Templates filled to compositions: of each range of sizes so many, at random, from each composition in turn."""
    batch, names = Templates.from_table(templates), templates["template_id"].to_pylist()
    rng = np.random.default_rng(seed)
    filled = {formula: infill(batch, _elements(formula), InfillOptions(formulas=(formula,))) for formula in formulas}
    for low, high in SIZES:
        drawn = []
        for formula, candidates in filled.items():
            sizes = batch.n_atoms[candidates.template]
            fitting = rng.permutation(np.flatnonzero((sizes >= low) & (sizes <= high)))
            drawn.append([(formula, candidates, i) for i in fitting.tolist()])
        turns = (one for turn in zip_longest(*drawn) for one in turn if one is not None)
        for formula, candidates, i in islice(turns, wanted):
            template, elements = int(candidates.template[i]), candidates.elements[i]
            name = "-".join([names[template], *elements])
            n_atoms = int(batch.n_atoms[template])
            row = {"composition": formula, "arm": GENERATED, "crystal_id": name, "n_atoms": n_atoms}
            yield Start(row, to_atoms(batch, template, elements, float(candidates.volume_scale[i])))


def at_random(formula: str, n_atoms: int, seed: int) -> Atoms | None:
    """PyXtal's crystal of a composition in a random group, as a primitive cell; ``None`` if no group allows it.

    :param n_atoms: in the conventional cell.
    """
    from pyxtal import pyxtal  # noqa: PLC0415 - takes seconds

    composition = Composition(formula)
    symbols = _elements(formula)
    numbers = [round(n_atoms * amount / composition.num_atoms) for amount in composition.values()]
    rng = np.random.default_rng(seed)
    for group in rng.integers(2, 231, GROUPS).tolist():
        crystal = pyxtal()
        try:
            crystal.from_random(3, group, symbols, numbers, max_count=TRIES, random_state=seed)
        except Exception:  # noqa: BLE001 - a failed draw, whatever the cause
            continue
        if crystal.valid:
            return primitive_cell(crystal.to_ase(), SYMPREC_BEFORE)
    return None


# ------------------------------------------------------------------------------------------- relaxation


def relax_pairs(starts: Sequence[Start], potential: Potential, options: ConvergenceOptions) -> list[Row]:
    """Relax the crystals of both arms side by side.

    :returns: rows of ``tables.CONVERGENCE_CRYSTALS``, one for each crystal and in their order.
    """
    crystals = {i: start.atoms for i, start in enumerate(starts)}
    found = relax_each(crystals, potential, options.relaxation, "crystals of both arms relaxed")
    rows = []
    for i, start in enumerate(starts):
        relaxed = found[i]
        energies = energy_columns(relaxed, potential.energy_scale)
        rows.append(
            {
                **start.row,
                "spacegroup_before": relaxed.spacegroup_before,
                "spacegroup": relaxed.spacegroup,
                "formation_energy_per_atom": energies["formation_energy_per_atom"],
                "n_steps": relaxed.n_steps,
                "fmax": or_null(relaxed.fmax),
                "volume_ratio": or_null(relaxed.volume_ratio),
                "status": relaxed.status,
            }
        )
    return rows


def relax_references(
    structures: pa.Table,
    potential: Potential,
    compositions: Sequence[str],
    options: KnownPhasesOptions,
    share_with_energy: float = 0.0,
    shard: int = 0,
    shards: int = 1,
) -> list[Row]:
    """Relax one shard of the known phases of every composition's system, as for the hull of a run.

    :param structures: rows of ``tables.STRUCTURES``.
    :param options: as :func:`relax_known_phases` takes them, and ``share_with_energy``.
    :returns: rows of ``tables.CONVERGENCE_CRYSTALS``, of the phases that belong on a hull.
    """
    rows = []
    for formula in compositions:
        elements = _elements(formula)
        phases = within(structures, elements)
        named = {*KINDS, *phases["material_id"].to_pylist()}  # the run may leave out phases of other systems
        here = replace(options, leave_out=[name for name in options.leave_out if name in named])
        rows += [
            {
                "composition": row["formula"],
                "arm": KNOWN,
                "crystal_id": row["material_id"],
                "n_atoms": len(row["numbers"]),
                "formation_energy_per_atom": row["formation_energy_per_atom"],
                "status": row["status"],
            }
            for row in relax_known_phases(phases, elements, potential, here, share_with_energy, shard, shards)
            if row["status"] == OK
        ]
    return rows


# --------------------------------------------------------------------------------------------- the figure


def points(rows: Sequence[Row]) -> list[Row]:
    """Shares and energies of each arm, number of elements and range of sizes.

    :param rows: of ``tables.CONVERGENCE_CRYSTALS``, all shards.
    :returns: rows of ``tables.CONVERGENCE``.
    """
    known = [row for row in rows if row["arm"] == KNOWN]
    crystals = [row for row in rows if row["arm"] != KNOWN]
    floors = {formula: _floor(formula, known, crystals) for formula in sorted({r["composition"] for r in crystals})}
    found = []
    for n_elements in sorted({_n_elements(formula) for formula in floors}):
        for arm in (GENERATED, RANDOM):
            for low, high in SIZES:
                these = [
                    row
                    for row in crystals
                    if row["arm"] == arm and _n_elements(row["composition"]) == n_elements
                    if low <= row["n_atoms"] <= high
                ]
                keys = {"n_elements": n_elements, "arm": arm, "min_atoms": low, "max_atoms": high}
                if these:
                    found.append({**keys, **_point(these, floors)})
    return found


def summary(found: Sequence[Row]) -> str:
    """How many converge of each arm, over all points.

    :param found: of :func:`points`.
    """
    arms = {arm: [row for row in found if row["arm"] == arm] for arm in (GENERATED, RANDOM)}
    told = (
        f"{sum(r['converged'] for r in rows):,} of {sum(r['n'] for r in rows):,} {arm}" for arm, rows in arms.items()
    )
    return f"relaxations that converge: {', '.join(told)}"


def _floor(formula: str, known: Sequence[Row], crystals: Sequence[Row]) -> tuple[float, str]:
    """Formation energy that a composition's crystals are measured from, eV/atom, and what has it."""
    elements = set(_elements(formula))
    phases = [row for row in known if elements.issuperset(_elements(row["composition"]))]
    if phases or len(elements) == 1:
        hull = Hull(((row["composition"], row["formation_energy_per_atom"]) for row in phases), elements)
        return hull.energy_per_atom(formula), HULL
    energies = [
        row["formation_energy_per_atom"] for row in crystals if row["composition"] == formula and row["status"] == OK
    ]
    return min(energies, default=np.nan), LOWEST


def _point(rows: Sequence[Row], floors: dict[str, tuple[float, str]]) -> Row:
    above = [row["formation_energy_per_atom"] - floors[row["composition"]][0] for row in rows if row["status"] == OK]
    interval = binomtest(len(above), len(rows)).proportion_ci(0.95, "wilson")
    return {
        "n": len(rows),
        "converged": len(above),
        "share": len(above) / len(rows),
        "share_low": float(interval.low),
        "share_high": float(interval.high),
        "median_above": float(np.median(above)) if above else None,
        "above": ", ".join(sorted({floors[row["composition"]][1] for row in rows})),
    }


def _elements(formula: str) -> list[str]:
    return [element.symbol for element in Composition(formula).elements]


def _n_elements(formula: str) -> int:
    return len(Composition(formula))
