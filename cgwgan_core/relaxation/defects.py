"""Why an entry of the database is doubted: what it lacks, or what its crystal cannot be.

Databases hold entries that are no phases: hydrates whose hydrogen X-rays did not show, crystals that fell apart into
clusters in vacuum, structures that were never computed. A potential may put them far too low, and one such entry on
the hull makes all candidates near it look bad. A mark is a doubt, not a verdict: molecular crystals are real phases.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from pymatgen.core import Element

from cgwgan_core.crystallography.composition import formula_of_numbers
from cgwgan_core.potentials.neighbours import Neighbours, neighbours
from cgwgan_core.screening.infill import element_volumes
from cgwgan_core.workflow.arrays import Booleans, Floats

NO_ENERGY, CHARGES, FAR_APART, MOLECULES, ENERGIES_DIFFER = (
    "no_energy", "charges", "far_apart", "molecules", "energies_differ",
)  # fmt: skip
KINDS = (NO_ENERGY, CHARGES, FAR_APART, MOLECULES, ENERGIES_DIFFER)
"""Of doubts, as the configuration names them."""
Doubts = dict[str, str]
"""Kind -> the reason in words, "what: detail", in order of :data:`KINDS`."""

NEARLY_ALL, MOST = 0.9, 0.5
"""Shares of a source's structures that have an energy. Where nearly all do, one without is doubted. Where only most do,
it is if its charges do not balance by usual oxidation states: sources that hold a part of the Materials Project's
energies lack those of many real phases, and of most that are none."""
DIFFER = 0.4
"""eV/atom between the formation energies of potential and database. Databases mix schemes of corrections: two of the
Materials Project differ by more than 0.3 for 2 % of its compounds, by more than 0.4 for 0.2 %."""
O_O_BOND = 1.9
"""Å; O and F atoms nearer than this are bonded. Bonds reach 1.55 Å (peroxides), other distances begin at 2.1 Å."""
POSITIVE_O_O = 1.25
"""Å; below it, O2 may be a positive ion, as in O2PtF6. The superoxide ion has 1.34 Å by PBE, the molecule 1.23 Å."""
BONDED = 1.5
"""Times the sum of covalent radii. No atoms further apart hold a crystal together but by van der Waals forces: layers,
chains and molecules lie 1.6 and more apart."""
BONDED_HYDROGEN = 2.5
"""Å; hydrogen bonds are shorter and do hold a crystal together."""
ALONE = 1.6
"""Times the sum of covalent radii; an atom without a neighbour within it is alone. In no other compound within 0.05
eV/atom of the Materials Project's hull is any atom, halogens and noble gases apart."""
MAY_BE_ALONE = frozenset(atomic_numbers[e] for e in ("F", "Cl", "Br", "I", "At", "He", "Ne", "Ar", "Kr", "Xe", "Rn"))
"""Halide ions between bulky cations are, and noble gases."""
VACUUM = 3.0
"""Times the volume of its elements; of 2,584 compounds of the Materials Project beyond it, 6 lie within 0.05 eV/atom
of its hull: single layers and clusters in vacuum."""


def structural_doubts(atoms: Atoms) -> Doubts:
    """What speaks against a compound's crystal: :data:`CHARGES`, :data:`FAR_APART`, :data:`MOLECULES`.

    Elements and distances alone tell.
    """
    found = {CHARGES: _charges(atoms), FAR_APART: _far_apart(atoms), MOLECULES: _molecules(atoms)}
    return {kind: reason for kind, reason in found.items() if reason}


def energy_doubts(atoms: Atoms, database: float | None, potential: float | None, share_with_energy: float) -> Doubts:
    """What speaks against an entry by its energies: :data:`NO_ENERGY` or :data:`ENERGIES_DIFFER`.

    :param atoms: the crystal as the database has it.
    :param database: formation energy by the database, eV/atom; ``None``: there is none.
    :param potential: formation energy by the potential, relaxed, eV/atom.
    :param share_with_energy: share of all structures of the source that have an energy.
    """
    if database is None:
        reason = "no energy in the database"
        if share_with_energy >= NEARLY_ALL:
            return {NO_ENERGY: reason}
        if share_with_energy >= MOST and _electrons_lacking(atoms, usual=True):
            return {NO_ENERGY: f"{reason}, and charges do not balance by usual oxidation states"}
        return {}
    if potential is None or abs(potential - database) <= DIFFER:
        return {}
    return {ENERGIES_DIFFER: f"energies differ: by the potential {potential - database:+.2f} eV/atom"}


def in_words(doubts: Mapping[str, str]) -> str | None:
    """All reasons in one line, ``None`` if there are none."""
    return "; ".join(doubts[kind] for kind in KINDS if kind in doubts) or None


def grave(defect: str | None) -> str | None:
    """What :func:`in_words` says, but that a crystal is made of molecules: alone, that is no reason to distrust it."""
    reasons = [reason for reason in (defect or "").split("; ") if not reason.startswith(_ISOLATED)]
    return "; ".join(reasons) or None


_ISOLATED = "isolated molecules"


# ---------------------------------------------------------------------------------------------- charges


def _charges(atoms: Atoms) -> str | None:
    """Whether O and F need more electrons than the other elements can give.

    Such compounds mostly lack hydrogen: Ba(OH)2 without it is a BaO2 with no bond between O atoms.
    """
    if not (lacking := _electrons_lacking(atoms)):
        return None
    needed, given = lacking
    return f"charges do not balance: O and F need {needed} electrons, the others have {given} at most"


def _electrons_lacking(atoms: Atoms, usual: bool = False) -> tuple[int, int] | None:
    """Electrons that O and F need, and those that the others give at most, where these are too few.

    :param usual: by usual oxidation states, and O2 is no positive ion; else by all that are known at all.
    """
    takes = np.isin(atoms.numbers, [8, 9])
    given = sum(_most_electrons(z, usual) for z in atoms.numbers[~takes].tolist())
    if 2 * (atoms.numbers == 8).sum() + (atoms.numbers == 9).sum() <= given:
        return None  # enough without any O-O bond, as nearly always
    anions = atoms[takes]
    bonds = neighbours(anions, O_O_BOND)
    needed = 0
    for members, _ in _clusters(len(anions), bonds):
        kinds = set(anions.numbers[members].tolist())
        if len(members) == 1:
            needed += 2 if kinds == {8} else 1
        elif kinds == {8}:  # superoxide and ozonide are the ions of least charge
            shortest = bonds.distance[np.isin(bonds.centre, members)].min()
            needed += 1 if usual or shortest >= POSITIVE_O_O else -1
    return (needed, given) if needed > given else None


@cache
def _most_electrons(number: int, usual: bool) -> int:
    """Highest oxidation state that pymatgen lists for an element; 8 for a noble gas.

    :param usual: of a metal, no more than one above the highest that it lists of ICSD's crystals: Fe(IV), but not
        Ru(VIII).
    """
    element = Element.from_Z(number)
    if element.is_noble_gas:
        return 8
    in_crystals = [int(q) for q in element.icsd_oxidation_states]
    highest = int(max([0, *element.oxidation_states, *element.common_oxidation_states, *in_crystals]))
    return min(highest, max(in_crystals) + 1) if usual and element.is_metal and in_crystals else highest


# ---------------------------------------------------------------------------------------------- distances


def _far_apart(atoms: Atoms) -> str | None:
    """Whether an atom is alone, or the crystal is mostly vacuum."""
    known = element_volumes(bool({8, 9} & set(atoms.numbers.tolist())))
    symbols = atoms.get_chemical_symbols()
    if set(symbols) <= set(known):
        ratio = abs(atoms.cell.volume) / sum(known[symbol] for symbol in symbols)
        if ratio > VACUUM:
            return f"atoms far apart: {ratio:.1f} times the volume of the elements"
    pairs = neighbours(atoms, 2 * ALONE * float(covalent_radii[atoms.numbers].max()))
    has_neighbour = np.isin(np.arange(len(atoms)), pairs.centre[_over_radii(atoms, pairs) < ALONE])
    lonely = [z for z in atoms.numbers[~has_neighbour].tolist() if z not in MAY_BE_ALONE]
    if not lonely:
        return None
    return f"atoms far apart: {chemical_symbols[lonely[0]]} has no neighbour within {ALONE:g} times the covalent radii"


def _molecules(atoms: Atoms) -> str | None:
    """Of which molecules a crystal consists, if they are all it consists of and all alike; unlike ones may be ions."""
    pairs = neighbours(atoms, max(BONDED_HYDROGEN, 2 * BONDED * float(covalent_radii[atoms.numbers].max())))
    near = _over_radii(atoms, pairs) < BONDED
    hydrogen = (atoms.numbers[pairs.centre] == 1) | (atoms.numbers[pairs.neighbour] == 1)
    clusters = _clusters(len(atoms), _those(pairs, near | (hydrogen & (pairs.distance < BONDED_HYDROGEN))))
    formulas = {formula_of_numbers(atoms.numbers[members]) for members, _ in clusters}
    if len(formulas) > 1 or not all(finite for _, finite in clusters):
        return None
    return f"{_ISOLATED}: {len(clusters[0][0])} atoms each"


def _over_radii(atoms: Atoms, pairs: Neighbours) -> Floats:
    """Distances over the sums of covalent radii, (E,)."""
    radii = covalent_radii[atoms.numbers]
    ratio: Floats = pairs.distance / (radii[pairs.centre] + radii[pairs.neighbour])
    return ratio


def _those(pairs: Neighbours, keep: Booleans) -> Neighbours:
    return Neighbours(pairs.centre[keep], pairs.neighbour[keep], pairs.image[keep], pairs.distance[keep])


def _clusters(n_atoms: int, bonds: Neighbours) -> list[tuple[list[int], bool]]:
    """What hangs together by bonds: atoms of each cluster, and whether it is finite.

    A cluster goes on for ever if some way along its bonds leads from an atom to the same atom of another cell.
    """
    bonded: list[list[tuple[int, tuple[int, ...]]]] = [[] for _ in range(n_atoms)]
    images = map(tuple, bonds.image.astype(int).tolist())
    for centre, neighbour, image in zip(bonds.centre.tolist(), bonds.neighbour.tolist(), images, strict=True):
        bonded[centre].append((neighbour, image))
    cell_of: dict[int, tuple[int, ...]] = {}
    clusters = []
    for start in range(n_atoms):
        if start in cell_of:
            continue
        cell_of[start] = (0, 0, 0)
        members, finite = [start], True
        for atom in members:  # which grow on the way
            for other, image in bonded[atom]:
                cell = tuple(a + b for a, b in zip(cell_of[atom], image, strict=True))
                if other not in cell_of:
                    cell_of[other] = cell
                    members.append(other)
                elif cell_of[other] != cell:
                    finite = False
        clusters.append((members, finite))
    return clusters
