r"""How wrong a distance to the hull may be: an interval for DFT's, and the odds that a crystal lies near the hull.

``hull_errors.csv`` beside this module holds what ``benchmarks/calibration.py`` measured, one row for each potential
alone and with each second judge: a scale of the error for each class of chemistry, and quantiles of error over scale.
``docs/benchmarks/calibration.md`` says how they are made and how often they hold.

With :math:`h` the potential's distance, :math:`D` the second judge's less it, and :math:`s` the scale of the class,
DFT's distance is :math:`h + a D + z \sigma`, where :math:`\sigma^2 = s^2 + (w D)^2`. The lean :math:`a` is the share of
a disagreement that is the potential's own error; :math:`w` is how much less is known where the judges disagree.
Quantiles of :math:`z` make a split conformal interval (Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018),
doi:10.1080/01621459.2017.1307116).
"""

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from pymatgen.core import Composition

from cgwgan_core.results.agreement import NEAR_HULL
from cgwgan_core.workflow.arrays import Floats

CLASSES = ("oxide", "halide", "chalcogenide", "pnictide", "other", "intermetallic")
"""Classes of chemistry; a compound belongs to the first that it has an element of."""
_MEMBERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "oxide": frozenset({"O"}),
        "halide": frozenset({"F", "Cl", "Br", "I"}),
        "chalcogenide": frozenset({"S", "Se", "Te"}),
        "pnictide": frozenset({"N", "P", "As", "Sb"}),
        "other": frozenset({"H", "B", "C", "Si", "Ge"}),
    }
)
COVERAGE = 0.9
"""How often DFT's distance is to lie in the interval."""
LEVELS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
    *(0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995),
)
"""Of the quantiles in the table."""
FILE = Path(__file__).with_name("hull_errors.csv")


@dataclass(frozen=True)
class Errors:
    """What is known of a potential's errors, alone or beside a second judge."""

    scales: Mapping[str, float]
    """eV/atom, of each of :data:`CLASSES`."""
    lean: float
    """Share of the judges' disagreement by which the interval moves; 0 without a second judge."""
    weight: float
    """Of the disagreement in the scale; 0 without a second judge."""
    quantiles: Floats
    """Of z at :data:`LEVELS`."""

    def quantile(self, level: float) -> float:
        """Of z."""
        return float(np.interp(level, LEVELS, self.quantiles))

    def share_below(self, z: float) -> float:
        """Share of crystals whose z is lower; no nearer to 0 and 1 than :data:`LEVELS` are."""
        return float(np.interp(z, self.quantiles, LEVELS))


@dataclass(frozen=True)
class Confidence:
    """What DFT would say of a crystal's distance to the database's hull. All but ``calibrated`` are ``None`` where the
    errors of the potential were never measured.
    """

    calibrated: bool
    """Whether the potential is in the table."""
    low: float | None = None
    """eV/atom, lower end of the interval that holds :data:`COVERAGE` of such crystals."""
    high: float | None = None
    """eV/atom, its upper end."""
    probability_near_hull: float | None = None
    """That DFT's distance is at most :data:`NEAR_HULL`."""


def chemistry(symbols: Collection[str]) -> str:
    """The class of a compound of these elements: the first of :data:`CLASSES` that it has an element of."""
    return next((name for name, members in _MEMBERS.items() if members & set(symbols)), "intermetallic")


def confidence(
    potential: str,
    formula: str,
    energy_above_hull: float,
    second_potential: str | None = None,
    second_energy_above_hull: float | None = None,
    file: Path = FILE,
) -> Confidence:
    """How far from the database's hull DFT may put a crystal.

    A second judge whose errors were not measured beside the potential's tells nothing and is left out.

    :param potential: name of the potential, as in ``tables.STABLE``.
    :param formula: reduced formula.
    :param energy_above_hull: by the potential, on its own hull, eV/atom.
    :param second_energy_above_hull: by the second potential, on its own hull, eV/atom.
    """
    table = errors(file)
    known = table.get((potential, ""))
    if known is None or not np.isfinite(energy_above_hull):
        return Confidence(calibrated=False)
    disagreement = 0.0
    beside = table.get((potential, second_potential or ""))
    if second_potential and beside is not None and second_energy_above_hull is not None:
        known, disagreement = beside, second_energy_above_hull - energy_above_hull
    kind = chemistry([e.symbol for e in Composition(formula).elements])
    scale = float(np.hypot(known.scales[kind], known.weight * disagreement))
    middle, tail = energy_above_hull + known.lean * disagreement, (1 - COVERAGE) / 2
    low, high = middle + known.quantile(tail) * scale, middle + known.quantile(1 - tail) * scale
    return Confidence(True, low, high, known.share_below((NEAR_HULL - middle) / scale))


def add_confidence(row: dict[str, Any]) -> None:
    """Fill ``hull_low``, ``hull_high`` and ``probability_near_hull`` of a row of ``tables.STABLE``.

    Nulls stay where the hull is that of the elements alone: such a distance is a formation energy, and says nothing of
    how near to stability a crystal lies.
    """
    above = row["energy_above_hull"]
    if above is None or _falls_into_elements(row["decomposition"]):
        return
    found = confidence(
        row["potential"], row["formula"], above, row["second_potential"], row["second_energy_above_hull"]
    )
    row["hull_low"], row["hull_high"] = found.low, found.high
    row["probability_near_hull"] = found.probability_near_hull


def _falls_into_elements(decomposition: str | None) -> bool:
    """Whether these phases, as in ``0.40 Ba + 0.60 O``, are elements all."""
    phases = [part.split()[-1] for part in (decomposition or "").split(" + ") if part]
    return bool(phases) and all(Composition(phase).is_element for phase in phases)


@cache
def errors(file: Path = FILE) -> Mapping[tuple[str, str], Errors]:
    """The table: names of the potential and of the second judge, empty without, to what is known of the errors."""
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return MappingProxyType(
        {
            (row["potential"], row["second_potential"]): Errors(
                MappingProxyType({name: float(row[name]) for name in CLASSES}),
                float(row["lean"]),
                float(row["weight"]),
                np.array([float(row[f"z{level:g}"]) for level in LEVELS]),
            )
            for row in rows
        }
    )
