"""From energies of a potential to formation energies and distances to the convex hull.

Energies are comparable on one scale only (:data:`~cgwgan_core.potentials.protocol.EnergyScale`). Each scale has the
elemental references of the DFT data that the potential was trained on. The potential never computes elements: its
isolated O2 molecule is worthless. On ``mp_uncorrected`` the corrections of the Materials Project (MP2020: Wang et al.,
Sci. Rep. 11, 15496 (2021), doi:10.1038/s41598-021-94550-5) are added, as oxides and other compounds of anions cannot
be compared with their elements without. ``mp_corrected`` has them already in its energies. ``matpes`` has none, and
its formation energies are raw PBE.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
from ase import Atoms
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from pymatgen.entries import Entry

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.potentials.neighbours import neighbours
from cgwgan_core.potentials.protocol import EnergyScale
from cgwgan_core.screening.references import references
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.refusals import OK

OxygenSpecies = Literal["oxide", "peroxide", "superoxide", "ozonide"]

SUPEROXIDE, PEROXIDE = 1.05 * 1.35, 1.05 * 1.49
"""Å; O-O distances below which oxygen is superoxide or peroxide, as in pymatgen's MP2020 scheme."""


def oxygen_species(atoms: Atoms) -> OxygenSpecies:
    """Kind of a crystal's oxygen by its O-O distances, as pymatgen's ``oxide_type`` tells it.

    MP2020 corrects oxides by -0.687, peroxides by -0.465 and superoxides by -0.161 eV per O. Told by the
    structure, not by the formula: of BaO2 both kinds can be built, and only one is a peroxide.
    """
    oxygen = atoms[atoms.numbers == 8]
    if not len(oxygen):
        return "oxide"
    pairs = neighbours(oxygen, PEROXIDE)
    close = pairs.centre[pairs.distance < SUPEROXIDE]
    if len(close):
        return "ozonide" if len(close) > len(np.unique(close)) else "superoxide"
    return "peroxide" if len(pairs.centre) else "oxide"


def correction_per_atom(formula: str, oxygen: OxygenSpecies = "oxide") -> float:
    """MP2020 correction of a compound, eV/atom; to be added to a raw PBE or PBE+U energy.

    As Materials Project would have computed it: with its U on transition metals in oxides and fluorides.

    :param formula: reduced formula. Results are kept, so that a million candidates cost a few hundred calls.
    """
    return float(sum(_adjustments(formula, oxygen).values()))


def anion_correction_per_atom(formula: str, oxygen: OxygenSpecies = "oxide") -> float:
    """That part of :func:`correction_per_atom` which MP2020 fits to anions, eV/atom.

    The rest makes energies with and without U comparable. It follows the metals, which do not leave a crystal.
    """
    return float(sum(value for name, value in _adjustments(formula, oxygen).items() if _ANION in name))


_ANION = "anion correction"
"""In pymatgen's names of these adjustments."""


@cache
def _adjustments(formula: str, oxygen: OxygenSpecies) -> Mapping[str, float]:
    """The corrections that MP2020 adds up, by pymatgen's names, eV/atom."""
    from pymatgen.entries.computed_entries import ComputedEntry  # noqa: PLC0415 - takes seconds

    scheme = _scheme()
    composition = Composition(formula)
    anion = max(composition.elements, key=lambda element: element.X).symbol
    hubbards = {
        element.symbol: scheme.u_settings[anion][element.symbol]
        for element in composition.elements
        if scheme.u_settings.get(anion, {}).get(element.symbol)
    }
    data: dict[str, Any] = {"oxide_type": oxygen}
    # what may be an anion is told by guessed oxidation states, which takes most of the time: without it, no guess
    if not any(element.symbol in scheme.comp_correction for element in composition if element.symbol not in "OS"):
        data["oxidation_states"] = {}
    entry = ComputedEntry(
        composition, 0.0, parameters={"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards}, data=data
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about oxidation states it cannot guess; it then does the right thing
        adjustments = scheme.get_adjustments(entry)
    return {a.name: float(a.value) / composition.num_atoms for a in adjustments}


@cache
def _scheme() -> Any:
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility  # noqa: PLC0415 - takes seconds

    return MaterialsProject2020Compatibility(check_potcar=False)


@cache
def baseline_per_atom(formula: str, energy_scale: EnergyScale, oxygen: OxygenSpecies = "oxide") -> float:
    """What to subtract from an energy per atom to get the formation energy per atom, eV/atom.

    The elements' reference energies less the correction of the compound.

    :param formula: reduced formula.
    :raises InputError: if an element has no reference energy.
    """
    table, composition = references(energy_scale), Composition(formula)
    unknown = sorted(e.symbol for e in composition.elements if e.symbol not in table)
    if unknown:
        raise InputError(f"{formula}: no reference energy for {', '.join(unknown)} on the scale {energy_scale}")
    elements = sum(table[e.symbol] * share for e, share in composition.fractional_composition.items())
    return elements - (correction_per_atom(formula, oxygen) if energy_scale == "mp_uncorrected" else 0.0)


def formation_energy_per_atom(
    formula: str, energy_per_atom: float, energy_scale: EnergyScale, oxygen: OxygenSpecies = "oxide"
) -> float:
    """Formation energy against the elements, eV/atom.

    :param formula: reduced formula.
    :param energy_per_atom: the potential's energy, eV/atom.
    :param oxygen: see :func:`oxygen_species`.
    """
    return energy_per_atom - baseline_per_atom(formula, energy_scale, oxygen)


def uncorrected_formation_energy_per_atom(
    formula: str, formation_energy_per_atom: float, energy_scale: EnergyScale, oxygen: OxygenSpecies = "oxide"
) -> float:
    """A formation energy without the corrections of anions, eV/atom.

    What a potential of the scale ``mp_corrected`` has learnt together with them is subtracted just so. ``matpes`` has
    none.

    :param formation_energy_per_atom: as :func:`formation_energy_per_atom` gives it.
    """
    if energy_scale == "matpes":
        return formation_energy_per_atom
    return formation_energy_per_atom - anion_correction_per_atom(formula, oxygen)


def formation_energies(
    crystals: Sequence[Atoms], energy_per_atom: Iterable[float], energy_scale: EnergyScale
) -> Floats:
    """Formation energies of crystals, their oxygen told by their structure, (N,) eV/atom; NaN stays NaN."""
    out = np.full(len(crystals), np.nan)
    for i, (atoms, energy) in enumerate(zip(crystals, energy_per_atom, strict=True)):
        if np.isfinite(energy):
            formula = formula_of_atoms(atoms)
            out[i] = formation_energy_per_atom(formula, energy, energy_scale, oxygen_species(atoms))
    return out


class Hull:
    """The lower convex hull of formation energies of known phases.

    :param phases: reduced formula and formation energy (eV/atom) of each. Their elements are added, at zero.
    :param elements: further elements that the hull must reach.
    """

    def __init__(self, phases: Iterable[tuple[str, float]], elements: Iterable[str] = ()) -> None:
        entries = []
        for formula, energy in phases:
            composition = Composition(formula)
            entries.append(PDEntry(composition, energy * composition.num_atoms, name=composition.reduced_formula))
        symbols = {e.symbol for entry in entries for e in entry.composition.elements} | set(elements)
        entries += [PDEntry(Composition(symbol), 0.0, name=symbol) for symbol in sorted(symbols)]
        self._diagram = PhaseDiagram(entries)
        self._energies: dict[str, float] = {}
        self._shares: dict[str, dict[str, float]] = {}

    @classmethod
    def from_known_phases(cls, table: pa.Table, energies: str = "formation_energy_per_atom") -> "Hull":
        """From those rows of ``tables.KNOWN_PHASES`` that are not left out.

        :param energies: column of formation energies.
        """
        rows = zip(table["formula"].to_pylist(), table[energies].to_pylist(), table["status"].to_pylist(), strict=True)
        return cls((formula, energy) for formula, energy, status in rows if status == OK)

    @property
    def elements(self) -> list[str]:
        """Elements that the hull spans, in alphabetical order."""
        return sorted(e.symbol for e in self._diagram.elements)

    @property
    def stable_formulas(self) -> list[str]:
        """Reduced formulas of the phases on the hull, in alphabetical order."""
        return sorted({_name(entry) for entry in self._diagram.stable_entries})

    def energy_per_atom(self, formula: str) -> float:
        """Energy of the hull at a composition, eV/atom.

        :raises InputError: if the formula has an element that the hull does not span.
        """
        if formula not in self._energies:
            composition = Composition(formula)
            missing = sorted({e.symbol for e in composition.elements} - set(self.elements))
            if missing:
                raise InputError(
                    f"{formula}: the hull of the known phases has no {', '.join(missing)}; it spans "
                    f"{'-'.join(self.elements)}. Make known_phases and candidates with the same chemistry"
                )
            self._energies[formula] = float(self._diagram.get_hull_energy_per_atom(composition))
        return self._energies[formula]

    def energy_above_hull(self, formulas: Sequence[str], formation_energies: Sequence[float] | Floats) -> Floats:
        """Formation energies less the hull's at the same compositions, (N,) eV/atom.

        The crystals themselves are not part of the hull: below it, the distance is negative. NaN stays NaN.

        :param formulas: reduced formulas, (N,); each distinct one is computed once.
        """
        hull = np.array([self.energy_per_atom(f) for f in formulas], dtype=float)
        above: Floats = np.asarray(formation_energies, dtype=float) - hull
        return above

    def shares(self, formula: str) -> dict[str, float]:
        """The phases a composition falls apart into, by reduced formula, with their shares of the atoms."""
        if formula not in self._shares:
            parts = self._diagram.get_decomposition(Composition(formula))
            self._shares[formula] = dict(sorted((_name(entry), float(share)) for entry, share in parts.items()))
        return self._shares[formula]

    def decomposition(self, formula: str) -> str:
        """The same in one line: ``0.40 BaO + 0.60 RuO2``."""
        return " + ".join(f"{share:.2f} {name}" for name, share in self.shares(formula).items())


def _name(entry: Entry) -> str:
    """Formula of a phase in the hull; of an element, its symbol."""
    return cast("PDEntry", entry).name
