"""Which of the space groups that a CIF may mean is meant: all are tried, and judged by what else the file says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import spglib
from ase.data import atomic_masses, covalent_radii
from scipy.spatial import cKDTree

from cgwgan_core.database.cif_atoms import HYDROGEN, Atoms, formula_text
from cgwgan_core.database.cif_fields import RefusedError, refused
from cgwgan_core.database.record import MAX_ATOMS
from cgwgan_core.database.space_group_settings import Setting
from cgwgan_core.workflow.arrays import Floats, Integers

MAX_COMPARED = 500
"""Atoms of crystals that are compared with one another, or with their images under a group."""
REPEATED = 3
"""Atoms of a list that a symmetry not stated may connect by chance."""
MISFIT = 0.005
"""A cell has the symmetry of a group if lengths (relative) and cosines of angles do within this."""
MISFITS = "contradictory: the cell does not fit"
SAME_SITE = 0.1
"""Å. Images of an atom this close are one: its coordinates are rounded (0.333 for 1/3)."""
ROUNDED_SITE = 0.35
"""Å. The same where coordinates have few decimals, at most."""
TOO_FAR = 10.0
"""Å. Nearest neighbours are closer, else the unit is not Å."""
OVERLAP, CLASH, ISOLATED = 0.5, 0.7, 1.5
"""Distance to the nearest atom over the sum of covalent radii. Below the first there is no crystal; between the others
crystals make sense (noble gases apart)."""
HYDROGEN_SHORTER = 0.15
"""How much lower these limits are for hydrogen."""
RADII = np.where(np.arange(len(covalent_radii)) < 89, covalent_radii, np.minimum(covalent_radii, 1.6))
"""Å, Cordero et al., Dalton Trans. 2832 (2008); less for actinides, whose metals and uranyl bonds are much shorter."""
NOBLE = (2, 10, 18, 36, 54, 86)
NONMETALS = (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 32, 33, 34, 35, 52, 53, 85, *NOBLE)
STRAINED, STRAINED_METALS = 0.9, 0.8
"""The same for atoms of one element, and for metals (tungsten: 0.85): hardly any crystal has atoms with three
neighbours that close; dimers and chains have one or two."""
GAP, GAP_OF = (1.17, 1.35), (8, 9)
"""The same for O and F: too far for a bond (peroxides: 1.1), too close for neighbours of one atom (1.6)."""
FULL = 1.2
"""Spheres with covalent radii fill a smaller part of a cell (metals: 0.8 to 1)."""
SPARSE = 2000.0
"""Å³ per atom: more has no crystal (frameworks: 100), nor a layer with vacuum."""
DENSITY_WITHIN, VOLUME_WITHIN = 0.05, 0.01
"""Relative: densities and volumes given agree with the crystal's."""
DALTON_PER_CUBIC_ANGSTROM = 1.66053907
"""In g/cm³."""


PROOF = {"Z", "density", "formula of the cell"}
"""What confirms the number of atoms in the cell."""


@dataclass(frozen=True)
class Evidence:
    """What a file says of its crystal besides cell, symmetry and atoms; ``None`` where it does not."""

    formula: dict[int, float] | None = None
    """Atomic number -> count in the formula unit."""
    formula_units: float | None = None
    """Z."""
    density: float | None = None
    """g/cm³, calculated."""
    volume: float | None = None
    """Å³ of the cell."""


@dataclass(frozen=True)
class Hypothesis:
    """A setting that the file may mean, and what it takes to believe that."""

    setting: Setting
    needs: str = ""
    """Nothing: the operators say so. "room": no atoms too close. "number": the number of atoms is confirmed. "sense":
    no atoms too close, and none isolated or their number confirmed. "proof": all three; or the atoms have the symmetry
    of a group of ``full_list_of`` already. "list": only that; without such a group, any that repeats an atom."""
    remark: str | None = None
    """What the crystal is marked with if it is this one."""
    full_list_of: tuple[Setting, ...] = ()
    agreed: bool = False
    """Whether several items of the file say so, none another."""


@dataclass(frozen=True)
class Reading:
    """The crystal in one setting, judged."""

    hypothesis: Hypothesis
    lattice: Floats
    numbers: Integers
    frac_coords: Floats
    """(n, 3), in [0, 1)."""
    first: Integers
    """Rows of the atoms listed, in the file's order; their images follow each."""
    problem: str | None = None
    """Why it is no crystal."""
    doubts: tuple[str, ...] = ()
    """What of the file disagrees."""
    confirmed: tuple[str, ...] = ()
    """What agrees: "Z", "density", "multiplicities", "formula of the cell"."""
    z_is_wrong: bool = False
    """Whether Z alone disagrees, and can be told to be wrong."""
    remarks: tuple[str, ...] = ()

    @property
    def makes_sense(self) -> bool:
        """Whether every atom has a neighbour at the distance of a bond, none closer."""
        return not self.clashes and not self.isolated

    @property
    def clashes(self) -> bool:
        """Whether two atoms are closer than a bond."""
        return bool((self._ratios < CLASH).any())

    @property
    def isolated(self) -> bool:
        """Whether an atom is bound to none, noble gases apart."""
        return bool(((self._ratios.min(axis=1) > ISOLATED) & ~np.isin(self.numbers[self.first], NOBLE)).any())

    @property
    def strained(self) -> bool:
        """Whether atoms that do not bind are as close as if they did: rare in crystals, common in wrong settings."""
        ours, theirs = self.numbers[self.first][:, None], self.numbers[self._around[1]]
        metals = ~(np.isin(ours, NONMETALS) | np.isin(theirs, NONMETALS))
        closest = np.where(metals, STRAINED_METALS, np.where(ours == theirs, STRAINED, 0.0))
        crowded = (self._ratios < closest).sum(axis=1) > 2
        between = (self._ratios > GAP[0]) & (self._ratios < GAP[1]) & (ours == theirs) & np.isin(ours, GAP_OF)
        return bool(crowded.any() or between.any())

    @cached_property
    def _around(self) -> tuple[Floats, Integers]:
        return neighbours(self.lattice, self.frac_coords, self.first, TOO_FAR, 12)

    @cached_property
    def _ratios(self) -> Floats:
        """(m, 13) Of the atoms listed."""
        return bond_ratios(self.numbers, self.first, *self._around)

    def believed(self) -> bool:
        """Whether it has what its hypothesis needs."""
        needs, proven = self.hypothesis.needs, bool(PROOF & set(self.confirmed))
        if needs == "room":
            return not self.clashes
        if needs == "number":
            return proven
        if needs == "sense":
            return not self.clashes and (proven or not self.isolated)
        if needs == "proof":
            full = any(has_symmetry(self, setting) for setting in self.hypothesis.full_list_of)
            return full or (proven and self.makes_sense)
        if needs == "list":
            return self.makes_sense and is_full_list(self, self.hypothesis.full_list_of)
        return True


def choose(tiers: Sequence[Sequence[Hypothesis]], lattice: Floats, atoms: Atoms, evidence: Evidence) -> Reading:
    """The one crystal that the file means.

    :param tiers: hypotheses, the likeliest first; those of one tier are equally likely.
    :raises RefusedError: where none agrees with the rest of the file, or several do and are different crystals.
    """
    doubtful: list[list[Reading]] = []
    problems: list[str] = []
    for tier in tiers:
        readings = [read_in(hypothesis, lattice, atoms, evidence) for hypothesis in tier]
        sound = [reading for reading in readings if not reading.problem and reading.believed()]
        good = [reading for reading in sound if not reading.doubts]
        if good:
            return _told(_one(good), readings)
        doubtful.append(sound)
        problems += _objections(readings)
    for sound in doubtful:
        backed = [reading for reading in sound if reading.confirmed or reading.z_is_wrong]
        if backed:
            return _one(backed)
    raise RefusedError(problems[0] if problems else "symmetry not understood: no setting to try")


def _objections(readings: list[Reading]) -> list[str]:
    """What speaks against readings that were not taken, the most telling first: one of two kinds of axes never fits."""
    problems = [reading.problem for reading in readings if reading.problem]
    sound = [reading for reading in readings if not reading.problem]
    doubts = [reading.doubts[0] for reading in sound if reading.doubts]
    unbelieved = [_unbelieved(reading) for reading in sound if not reading.doubts and not reading.believed()]
    misfits = [problem for problem in problems if problem.startswith(MISFITS)]
    return [*(problem for problem in problems if problem not in misfits), *doubts, *unbelieved, *misfits]


def _unbelieved(reading: Reading) -> str:
    remedy = "nothing in the file confirms it: give the operators, or formula and Z"
    name = reading.hypothesis.setting.name
    if reading.clashes:
        return f"atoms too close: some are closer than a bond in {name}, and {remedy}"
    return f"ambiguous: {reading.hypothesis.remark or name}; {remedy}"


def _told(chosen: Reading, readings: list[Reading]) -> Reading:
    """The chosen reading, with a remark if others of its tier fit the cell: what spoke against them."""
    others = [r for r in readings if r is not chosen and not (r.problem or "").startswith(MISFITS)]
    if chosen.hypothesis.remark or not others:
        return chosen
    against = others[0].problem or (others[0].doubts[0] if others[0].doubts else "distances")
    remark = (
        f"setting: read as {chosen.hypothesis.setting.name}; against {others[0].hypothesis.setting.name}: {against}"
    )
    return replace(chosen, remarks=(remark, *chosen.remarks))


def _one(readings: list[Reading]) -> Reading:
    """The best of several; refuses where two are as good and differ."""
    if len(readings) == 1:
        return readings[0]
    most = max(len(reading.confirmed) for reading in readings)
    best = [reading for reading in readings if len(reading.confirmed) == most]
    distinct = [r for i, r in enumerate(best) if not any(same_crystal(r, other) for other in best[:i])]
    sensible = [r for r in distinct if r.makes_sense] if len(distinct) > 1 else distinct
    if len(sensible) > 1:
        sensible = [r for r in sensible if not r.strained]
    if len(sensible) != 1:
        names = ", ".join(sorted({r.hypothesis.setting.name for r in distinct}))
        raise refused(
            "ambiguous", f"the file may mean {names}, which are different crystals; say which, or list the operators"
        )
    return sensible[0]


# ------------------------------------------------------------------------------------------------ readings


def read_in(hypothesis: Hypothesis, lattice: Floats, atoms: Atoms, evidence: Evidence) -> Reading:
    """The crystal of the atoms listed in a setting, and how it agrees with the evidence."""
    setting = hypothesis.setting
    empty = np.empty(0, dtype=np.int64)

    def bad(problem: str) -> Reading:
        return Reading(hypothesis, lattice, empty, np.empty((0, 3)), empty, problem)

    if setting.misfit(lattice) > MISFIT:
        return bad(f"{MISFITS} {setting.name}; correct the cell or the symmetry")
    try:
        frac_coords, orbits, moved = expand(setting, lattice, atoms)
        first = np.concatenate([[0], np.cumsum(orbits)[:-1]])
        numbers = np.repeat(atoms.numbers, orbits)
        _check_distances(setting, lattice, atoms, frac_coords, first, numbers)
    except RefusedError as error:
        return bad(str(error))
    composition = _composition(numbers)
    if (problem := _disagreement(composition, evidence)) is not None:
        return bad(problem)
    doubts, confirmed = _weigh(setting, lattice, atoms, orbits, composition, evidence)
    off = float(moved.max())
    remarks = (
        (f"rounded: {atoms.labels[int(moved.argmax())]} is put on its site, {off:.2f} Å away",) if off > 0.05 else ()
    )
    reading = Reading(hypothesis, lattice, numbers, frac_coords, first, None, doubts, confirmed, remarks=remarks)
    return replace(reading, z_is_wrong=_is_z_wrong(reading, evidence))


def _is_z_wrong(reading: Reading, evidence: Evidence) -> bool:
    """Whether only Z disagrees with a crystal that makes sense, in a group that the file states without dissent.

    Atoms that Z has beyond ours may be those of symmetry that the file forgot: then it has to state the group twice,
    or the cell has no room for them.
    """
    hypothesis, z = reading.hypothesis, evidence.formula_units
    if not evidence.formula or z is None or len(reading.doubts) != 1 or "Z" in reading.confirmed:
        return False
    stated = hypothesis.needs in ("", "room") and hypothesis.remark is None and len(hypothesis.setting.operators) > 1
    if not stated or not reading.makes_sense or reading.strained:
        return False
    spheres = sum(count * 4 / 3 * math.pi * RADII[e] ** 3 for e, count in evidence.formula.items())
    too_few = z * sum(evidence.formula.values()) < len(reading.numbers)
    return too_few or hypothesis.agreed or z * spheres > FULL * abs(np.linalg.det(reading.lattice))


def _composition(numbers: Integers) -> dict[int, float]:
    """Atomic number -> atoms in the cell, in the file's order."""
    found, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    return {int(found[i]): float(counts[i]) for i in np.argsort(first)}


def _disagreement(ours: dict[int, float], evidence: Evidence) -> str | None:
    """Why the cell's atoms are not those of the formula in any number of units."""
    theirs = evidence.formula
    if theirs is None:
        return None
    units = sum(ours.values()) / sum(theirs.values())
    # Formulas with decimals are rounded.
    whole = all(count % 1 == 0 for count in theirs.values())
    within = 1e-6 if whole else min(0.45, 0.05 + 0.03 * units)
    if all(abs(ours.get(z, 0.0) - theirs.get(z, 0.0) * units) < within for z in ours | theirs):
        return None
    return f"incomplete: the CIF's formula is {formula_text(theirs)}, its atoms are {formula_text(ours)}"


def _weigh(
    setting: Setting,
    lattice: Floats,
    atoms: Atoms,
    orbits: Integers,
    composition: dict[int, float],
    evidence: Evidence,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What of the file speaks against the crystal, as reasons, and what for it."""
    volume = float(abs(np.linalg.det(lattice)))
    verdicts = {
        **_count(sum(composition.values()), evidence),
        **_density(composition, volume, evidence),
        **_multiplicities(len(setting.operators), atoms, orbits),
    }
    # Some give the primitive cell's.
    n_points = int((setting.rotations == np.eye(3)).all(axis=(1, 2)).sum())
    if evidence.volume and min(abs(evidence.volume * n / volume - 1) for n in (1, n_points)) > VOLUME_WITHIN:
        verdicts["volume"] = f"_cell_volume is {evidence.volume:g}, the cell's {volume:.4g} Å³; correct either"
    doubts = [f"contradictory: {doubt.format(setting=setting.name)}" for doubt in verdicts.values() if doubt]
    return tuple(doubts), tuple(kind for kind, doubt in verdicts.items() if not doubt)


def _count(n_atoms: float, evidence: Evidence) -> dict[str, str]:
    """What the formula says of the number of atoms: what it is compared by, and the doubt ("" if it agrees)."""
    if not evidence.formula:
        return {}
    size = sum(evidence.formula.values())
    units, z = n_atoms / size, evidence.formula_units
    whole = abs(units - 1) * size < 0.5
    holds = f"in {{setting}} the cell holds {units:g} of {formula_text(evidence.formula)}"
    if z is not None:
        # Some programs (pymatgen) give the formula of the whole cell, and Z beside it.
        of_cell = whole and all(count % z == 0 for count in evidence.formula.values())
        agrees = of_cell or abs(units - z) * size < 0.5
        return {"Z": "" if agrees else f"Z is {z:g}, but {holds}; correct the symmetry or _cell_formula_units_Z"}
    if whole and math.gcd(*(round(count) for count in evidence.formula.values())) > 1:
        return {"formula of the cell": ""}
    if abs(units - round(units)) * size > 0.5:
        return {"formula": f"{holds}, no whole number; correct the symmetry or _chemical_formula_sum"}
    return {}


def _density(composition: dict[int, float], volume: float, evidence: Evidence) -> dict[str, str]:
    if evidence.density is None:
        return {}
    mass = sum(atomic_masses[z] * count for z, count in composition.items())
    ours = mass / volume * DALTON_PER_CUBIC_ANGSTROM
    ratio = evidence.density / ours
    if min(abs(ratio - 1), abs(ratio / 1000 - 1)) < DENSITY_WITHIN:  # some write kg/m³
        return {"density": ""}
    remedy = "correct the cell, the symmetry or _exptl_crystal_density_diffrn"
    return {"density": f"the density is {evidence.density:g}, but in {{setting}} {ours:.3g} g/cm³; {remedy}"}


def _multiplicities(order: int, atoms: Atoms, orbits: Integers) -> dict[str, str]:
    given = [
        (label, m, int(o))
        for label, m, o in zip(atoms.labels, atoms.multiplicities, orbits, strict=True)
        if m is not None
    ]
    # All 1: what programs write that do not know. Order of the site: what old SHELX wrote.
    if all(m == 1 for _, m, _ in given) or all(m * o == order for _, m, o in given):
        return {}
    for label, m, o in given:
        if m != o:
            says = f"the file says {m} atoms {label}, but in {{setting}} the cell holds {o}"
            return {"multiplicities": f"{says}; correct the symmetry or the multiplicities"}
    return {"multiplicities": ""}


def expand(setting: Setting, lattice: Floats, atoms: Atoms) -> tuple[Floats, Integers, Floats]:
    """All atoms of the cell: coordinates (n, 3) in [0, 1), and for each site its number of atoms and how far it moved.

    A site whose images come closer than rounding explains lies on the symmetry element between them, and is put there.

    :raises RefusedError: where images are closer than atoms can be, or too many.
    """
    order = len(setting.operators)
    n_sites = len(atoms.numbers)
    if n_sites * order > 20 * MAX_ATOMS:
        raise refused("too large", f"{n_sites} sites and {order} operators; a crystal has at most {MAX_ATOMS} atoms")
    rotations, translations = setting.rotations.astype(float), setting.translations
    images = np.einsum("gij,sj->sgi", rotations, atoms.frac_coords) + translations
    if order == 1:
        return _wrapped(images[:, 0]), np.ones(n_sites, dtype=np.int64), np.zeros(n_sites)
    steps = images - atoms.frac_coords[:, None]
    steps -= np.rint(steps)
    distances = np.linalg.norm(steps @ lattice, axis=2)
    longest = float(np.linalg.norm(lattice, axis=1).max())
    blurred = np.clip(2 * longest * 10.0 ** -atoms.decimals.astype(float), SAME_SITE, ROUNDED_SITE)
    near = distances < blurred[:, None]
    special = np.flatnonzero(near.sum(axis=1) > 1)
    groups: list[Floats] = list(_wrapped(images))
    moved = np.zeros(n_sites)
    for site in special:
        groups[site], moved[site] = _special(
            atoms.labels[site], rotations, translations, lattice, atoms.frac_coords[site], near[site], steps[site]
        )
    orbits = np.array([len(group) for group in groups], dtype=np.int64)
    if orbits.sum() > MAX_ATOMS:
        raise refused("too large", f"{orbits.sum()} atoms in the cell; a crystal has at most {MAX_ATOMS}")
    return np.concatenate(groups), orbits, moved


def _special(
    label: str, rotations: Floats, translations: Floats, lattice: Floats, place: Floats, near: Floats, steps: Floats
) -> tuple[Floats, float]:
    """Images (m, 3) of a site on the symmetry elements around it, and how far it was from them in Å."""
    shift = steps[near].mean(axis=0)
    centre = place + shift
    images = rotations @ centre + translations
    offsets = images - centre
    offsets -= np.rint(offsets)
    fixed = np.linalg.norm(offsets @ lattice, axis=1) < 1e-3
    n_images, rest = divmod(len(rotations), int(fixed.sum()))
    if (fixed != near).any() or rest:
        raise refused(
            "atoms too close",
            f"images of {label} are closer than {SAME_SITE} Å and no symmetry element holds them; "
            "correct the coordinates or the symmetry",
        )
    images = _wrapped(images)
    _, first = np.unique(np.rint(images * 1e5) % 1e5, axis=0, return_index=True)
    if len(first) != n_images:  # two roundings of one place: compare all
        gaps = images[:, None] - images
        gaps -= np.rint(gaps)
        same = np.linalg.norm(gaps @ lattice, axis=2) < 1e-2
        first = np.unique(same.argmax(axis=1))
    return images[np.sort(first)], float(np.linalg.norm(shift @ lattice))


def _wrapped(coords: Floats) -> Floats:
    coords = coords - np.floor(coords)
    coords[coords > 1 - 1e-12] = 0.0
    return coords


# ----------------------------------------------------------------------------------------------- distances


def _check_distances(
    setting: Setting, lattice: Floats, atoms: Atoms, coords: Floats, first: Integers, numbers: Integers
) -> None:
    """Refuse where atoms coincide or nearly do, or none has a neighbour."""
    distances, partners = neighbours(lattice, coords, first, 4.0, 1)
    ratios = bond_ratios(numbers, first, distances, partners)
    one, place = (int(i) for i in np.unravel_index(ratios.argmin(), ratios.shape))
    if np.isinf(ratios).all() and np.isinf(neighbours(lattice, coords, first, TOO_FAR, 1)[0]).all():
        raise refused("no crystal", f"no two atoms are closer than {TOO_FAR:g} Å; is the cell in Å?")
    if (room := abs(np.linalg.det(lattice)) / len(coords)) > SPARSE:
        raise refused("no crystal", f"{room:.0f} Å³ per atom; is it a molecule in a box, or the cell not in Å?")
    if ratios[one, place] >= OVERLAP:
        return
    distance = float(distances[one, place])
    other = int(np.searchsorted(first, partners[one, place], side="right")) - 1
    names = f"{atoms.labels[one]} and {atoms.labels[other]}"
    if distance >= SAME_SITE:
        raise refused(
            "atoms too close",
            f"{names} are {distance:.2g} Å apart in {setting.name}; is the cell in Å, and the symmetry right?",
        )
    if atoms.numbers[one] == atoms.numbers[other]:
        raise refused("atoms listed twice", f"{names} are one site of {setting.name}; list each once, or no symmetry")
    raise refused("atoms on the same place", f"{names} in {setting.name}; list one, or occupancies")


def bond_ratios(numbers: Integers, rows: Integers, distances: Floats, partners: Integers) -> Floats:
    """Distances of atoms (m,) to neighbours (m, k) over the sums of covalent radii, a little more with hydrogen."""
    ours, theirs = numbers[rows][:, None], numbers[partners]
    ratios = distances / (RADII[ours] + RADII[theirs])
    hydrogen = (ours == HYDROGEN) | (theirs == HYDROGEN)
    return np.asarray(ratios + np.where(hydrogen, HYDROGEN_SHORTER, 0.0))


def neighbours(lattice: Floats, coords: Floats, rows: Integers, cutoff: float, count: int) -> tuple[Floats, Integers]:
    """Distances (Å) of atoms (m,) to the nearest others, images included, and their rows: (m, count + 1) each.

    Infinite beyond the cutoff, and where an atom would be its own neighbour.

    :raises RefusedError: for cells so flat that the cutoff spans too many of them.
    """
    margins = cutoff * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    reach = np.ceil(margins).astype(int)
    if np.prod(2.0 * reach + 1) * len(coords) > 3e6:
        raise refused("cell", "it is too flat or too small for its atoms; give the reduced cell")
    shifts = np.array(list(product(*(range(-r, r + 1) for r in reach))), dtype=float)
    spots = (coords + shifts[:, None]).reshape(-1, 3)
    inside = np.flatnonzero(((spots >= -margins) & (spots <= 1 + margins)).all(axis=1))
    tree = cKDTree(spots[inside] @ lattice)
    found, places = tree.query(coords[rows] @ lattice, k=count + 1, distance_upper_bound=cutoff)
    atoms = np.append(inside, 0)[places]  # rows of spots
    itself = len(shifts) // 2 * len(coords) + rows
    return np.where(atoms == itself[:, None], np.inf, found), atoms % len(coords)


def has_symmetry(reading: Reading, setting: Setting) -> bool:
    """Whether the crystal goes into itself under all operators of a group."""
    if setting.misfit(reading.lattice) > MISFIT or len(reading.numbers) > MAX_COMPARED:
        return False
    coords, numbers = reading.frac_coords, reading.numbers
    for rotation, translation in zip(setting.rotations, setting.translations, strict=True):
        steps = (coords @ rotation.T + translation)[:, None] - coords
        steps -= np.rint(steps)
        hit = (np.linalg.norm(steps @ reading.lattice, axis=2) < SAME_SITE) & (numbers[:, None] == numbers)
        if not hit.any(axis=1).all():
            return False
    return True


def is_full_list(reading: Reading, groups: Sequence[Setting]) -> bool:
    """Whether a list of atoms is no asymmetric unit: as it stands, it has the symmetry of one of the groups.

    Without groups: whether symmetry repeats one of its atoms at least three times. (Two atoms of one element have an
    inversion between them in any list, three may lie in a row.)
    """
    if len(reading.numbers) > MAX_COMPARED:
        return False
    cell = reading.lattice.tolist(), reading.frac_coords.tolist(), reading.numbers.tolist()
    found = spglib.get_symmetry_dataset(cell, SAME_SITE / 2)
    if found is None:
        return False
    if groups:
        return any(has_symmetry(reading, group) for group in groups) or found.number in {g.number for g in groups}
    return int(np.bincount(found.equivalent_atoms).max()) > REPEATED


def same_crystal(one: Reading, other: Reading) -> bool:
    """Whether two readings in one cell are one crystal, up to its place and orientation."""
    if max(len(one.numbers), len(other.numbers)) > MAX_COMPARED or _composition(one.numbers) != _composition(
        other.numbers
    ):
        return False
    from pymatgen.analysis.structure_matcher import StructureMatcher  # noqa: PLC0415 - slow to import, rarely needed
    from pymatgen.core import Structure  # noqa: PLC0415

    matcher = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=0.5, primitive_cell=False, scale=False)
    first, second = (Structure(r.lattice, r.numbers.tolist(), r.frac_coords) for r in (one, other))
    return bool(matcher.fit(first, second))
