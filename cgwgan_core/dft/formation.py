"""Formation energies by one DFT engine: all from its own energies of the elements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from pymatgen.core import Composition

from cgwgan_core.dft.crystals import ELEMENTAL, KNOWN_PHASE, TIE, element_of
from cgwgan_core.screening.energetics import OxygenSpecies, anion_correction_per_atom, correction_per_atom
from cgwgan_core.workflow.arrays import Floats

Row = Mapping[str, Any]
LEAST_DOUBT, DEVIATIONS = 0.1, 5
"""eV/atom, and mean absolute deviations of the fit: a fitted energy may be too high by the larger of both. This holds
for 17 of 18 elements of six chemistries where the Materials Project's raw energies stand for an engine's."""


@dataclass(frozen=True)
class References:
    """Energies of the elements of a chemistry by one engine."""

    energies: Mapping[str, float]
    """Symbol -> eV/atom."""
    origin: Mapping[str, str]
    """Symbol -> where the energy is from, or why there is none; of every element."""
    fitted: frozenset[str] = frozenset()
    """Elements whose energy was not computed, but makes the engine's formation energies the database's."""
    doubt: float = 0.0
    """eV/atom by which these energies may be too high. What would fall apart into such an element, were it that much
    lower, has no distance to a hull."""

    def lacking(self, formula: str) -> str | None:
        """Why a compound has no formation energy; ``None`` if it has."""
        without = sorted(shares_of(formula).keys() - self.energies.keys())
        return f"no energy of {without[0]}: {self.origin[without[0]]}" if without else None


def element_references(rows: Sequence[Row], hubbard: bool = False) -> References:
    """Energies of the elements: computed, else fitted.

    A crystal that is not its element's lowest counts less its height in the database. The energies of elements without
    a computed crystal are fitted by least squares: the engine's formation energies of known phases are to be those of
    the database, both without corrections of anions.

    :param rows: of crystals, with ``energy_per_atom`` (``None``: none) and ``oxygen``, their species.
    :param hubbard: see :func:`formation_energies`.
    """
    energies, origin = {}, {}
    for row in rows:
        if row["kind"] != ELEMENTAL:
            continue
        symbol, height = element_of(row), row["database_formation_energy_per_atom"] or 0.0
        origin[symbol] = row["status"]
        if row["energy_per_atom"] is not None:
            energies[symbol] = row["energy_per_atom"] - height
            origin[symbol] = "computed"
            if height > TIE:
                origin[symbol] += f": a crystal {height:.3f} eV/atom above the element's lowest, taken off"
    missing = sorted(set(origin) - set(energies))
    equations = _equations(rows, energies, missing, hubbard)
    if not missing or np.linalg.matrix_rank(equations[:, :-1]) < len(missing):
        return References(energies, origin)
    shares, wanted = equations[:, :-1], equations[:, -1]
    found, *_ = np.linalg.lstsq(shares, wanted, rcond=None)
    off = np.abs(shares @ found - wanted).mean()
    how = f"fitted to {len(wanted)} known phases, {off:.3f} eV/atom off"
    return References(
        energies | dict(zip(missing, found.tolist(), strict=True)),
        origin | {symbol: f"{how}: {origin[symbol]}" for symbol in missing},
        frozenset(missing),
        max(LEAST_DOUBT, DEVIATIONS * float(off)),
    )


def _equations(rows: Sequence[Row], energies: Mapping[str, float], missing: Sequence[str], hubbard: bool) -> Floats:
    """A row for each known phase with missing elements: their shares, and the energy that these give it, eV/atom."""
    found = []
    for row in rows:
        shares, formation = shares_of(row["formula"]), row["database_formation_energy_per_atom"]
        usable = row["kind"] == KNOWN_PHASE and row["energy_per_atom"] is not None and formation is not None
        if not usable or not shares.keys() & set(missing):
            continue
        formation -= anion_correction_per_atom(row["formula"], row["oxygen"])
        computed = sum(energies[symbol] * share for symbol, share in shares.items() if symbol in energies)
        energy = row["energy_per_atom"] + _with_u(row["formula"], row["oxygen"], hubbard)
        found.append([*(shares.get(symbol, 0.0) for symbol in missing), energy - formation - computed])
    return np.array(found).reshape(-1, len(missing) + 1)


def formation_energies(
    formula: str, energy_per_atom: float, oxygen: OxygenSpecies, references: References, hubbard: bool = False
) -> tuple[float, float]:
    """Formation energy of a compound with MP2020's corrections of anions, and without, eV/atom.

    :param hubbard: whether the engine has MP2020's U on transition metals in oxides and fluorides. Its energies then
        get the corrections of these metals, which make them comparable with energies without U, in both values.
    """
    elements = sum(references.energies[symbol] * share for symbol, share in shares_of(formula).items())
    uncorrected = energy_per_atom - elements + _with_u(formula, oxygen, hubbard)
    return uncorrected + anion_correction_per_atom(formula, oxygen), uncorrected


def _with_u(formula: str, oxygen: OxygenSpecies, hubbard: bool) -> float:
    if not hubbard:
        return 0.0
    return correction_per_atom(formula, oxygen) - anion_correction_per_atom(formula, oxygen)


@cache
def shares_of(formula: str) -> Mapping[str, float]:
    """Symbol -> share of the atoms; kept, as few formulas differ."""
    composition = Composition(formula).fractional_composition
    return MappingProxyType({element.symbol: float(share) for element, share in composition.items()})
