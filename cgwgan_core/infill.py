"""Elements on the sites of templates: every distinct assignment, its composition, its charges and its volume."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

import moyopy
import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from . import spacegroups as sg
from .crystal import Templates, expand
from .errors import InputError

VOLUMES = ("elements", "template")
CHARGES = ("tag", "require")
OXIDATION_STATES = ("common", "icsd", "smact")
EQUIVALENT, TOO_LARGE, OTHER_ELEMENT, OTHER_FORMULA, OTHER_SHARE, UNBALANCED = (
    "same crystal as another assignment",
    "atoms in the primitive cell",
    "another element is fixed on sites of that multiplicity",
    "formula not asked for",
    "share of an element out of bounds",
    "charges do not balance",
)
"""Why an assignment is no candidate, in the order of the tests."""
SYMPREC = 1e-3
"""Å; atoms closer than this are at the same place when symmetry exchanges sites. As for keys of templates."""


@dataclass(frozen=True)
class InfillOptions:
    """How templates are filled; the keys of the config block ``infill``."""

    volume: str = "elements"
    """``elements``: scale the cell to the volume that the elements take in known compounds; ``template``: as
    generated (the paper's way)."""
    formulas: Sequence[str] | None = None
    """Formulas that candidates may have, in any notation and multiple; ``None``: all."""
    max_atoms: int | None = None
    """Most atoms in a candidate's primitive cell; ``None``: no limit."""
    fixed: Mapping[str, Sequence[int]] | None = None
    """Element -> Wyckoff multiplicities whose sites all hold it, and no other element; ``None``: none is fixed."""
    shares: Mapping[str, Sequence[float]] | None = None
    """Element -> least and largest share of the atoms; ``None``: no limits."""
    charge: str = "tag"
    """``tag``: say of every candidate whether its charges balance; ``require``: keep only those that do."""
    oxidation_states: str = "common"
    """pymatgen's ``common`` states of each element, or all that occur in the ``icsd``; or the rules of ``smact``."""
    mixed_valence: bool = False
    """Whether atoms of one element may differ in their states (see :func:`charge_balanced`)."""
    peroxides: bool = False
    """Whether O may also have the states of peroxides (-1) and superoxides (-1/2). SMACT's tables have them anyway."""

    def __post_init__(self) -> None:
        for name, choices in (("volume", VOLUMES), ("charge", CHARGES), ("oxidation_states", OXIDATION_STATES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if self.max_atoms is not None and self.max_atoms < 1:
            raise ValueError(f"max_atoms must be at least 1, not {self.max_atoms}")
        if self.formulas is not None:
            object.__setattr__(self, "formulas", tuple(self.formulas))
        multiplicities = [m for several in (self.fixed or {}).values() for m in several]
        if twice := sorted({m for m in multiplicities if multiplicities.count(m) > 1}):
            raise ValueError(f"fixed names multiplicity {twice[0]} twice; a site holds one element")
        for element, (least, most) in (self.shares or {}).items():
            if not 0 <= least <= most <= 1:
                raise ValueError(f"shares of {element} must be two rising numbers from 0 to 1, not {least} and {most}")


@cache
def assignments(n_sites: int, elements: tuple[str, ...]) -> list[tuple[str, ...]]:
    """All ways to put elements on sites that use every element: 6 for 3 on 3 sites, 36 for 3 on 4.

    >>> len(assignments(3, ("Ba", "Ru", "O"))), len(assignments(4, ("Ba", "Ru", "O")))
    (6, 36)
    """
    return [choice for choice in product(elements, repeat=n_sites) if set(choice) == set(elements)]


@cache
def element_volumes(oxide: bool) -> dict[str, float]:
    """Volume of each element in compounds with O or F, or in all others, Å³ per atom; see ``data/make_tables.py``."""
    column = "oxide" if oxide else "other"
    with (files("cgwgan_core.data") / "element_volumes.csv").open() as stream:
        return {row["element"]: float(row[column]) for row in csv.DictReader(stream) if row[column]}


def typical_volumes(elements: Sequence[str]) -> dict[str, float]:
    """Volume that each element takes in compounds of these elements, Å³ per atom.

    :raises InputError: if too few compounds hold an element for its volume to be known.
    """
    known = element_volumes(not {"O", "F"}.isdisjoint(elements))
    if missing := [e for e in elements if e not in known]:
        raise InputError(
            f"chemistry: no volume is known for {', '.join(missing)}; set infill.volume to template to keep the"
            " templates' own"
        )
    return {e: known[e] for e in elements}


# ------------------------------------------------------------------------------------ equal assignments


def site_exchanges(templates: Templates) -> list[list[tuple[int, ...]]]:
    """How the symmetry of each template as a whole exchanges its sites.

    Two assignments are one crystal if, and only if, an isometry maps the one onto the other. Elements apart it maps
    the atoms of the template onto themselves: it is a symmetry of the crystal with one species on all sites, which
    moyo finds. Those of these symmetries that take whole sites to whole sites, such as the exchange of
    the two sites of CsCl, are collected here as permutations.

    :returns: for each template, permutations p other than the identity: putting ``elements[p[i]]`` on site i gives
        the same crystal as ``elements[i]``. A template whose symmetry moyo does not find has none.
    """
    out: list[list[tuple[int, ...]]] = [[] for _ in range(len(templates))]
    for group in expand(templates):
        n_sites = int(group.site[-1]) + 1
        sizes = np.bincount(group.site).tolist()
        if n_sites == len(set(sizes)):
            continue  # sites of different sizes cannot be exchanged
        for row, i in enumerate(group.index.tolist()):
            out[i] = _exchanges(group.vectors[row], np.mod(group.positions[row], 1.0), group.site)
    return out


def _exchanges(vectors: NDArray[Any], positions: NDArray[Any], site: NDArray[Any]) -> list[tuple[int, ...]]:
    try:
        cell = moyopy.Cell(vectors.tolist(), positions.tolist(), [1] * len(site))
        operations = moyopy.MoyoDataset(cell, symprec=SYMPREC).operations
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException:  # moyo's panics derive from BaseException
        return []
    rotations, shifts = np.array(operations.rotations, dtype=float), np.array(operations.translations)
    first = np.unique(site, return_index=True)[1]
    # where representatives go decides the permutation, if there is one
    images = np.einsum("gij,kj->gki", rotations, positions[first]) + shifts[:, None]
    landing = site[_nearest(images, positions, vectors)]
    found = []
    for g in np.unique(landing, axis=0, return_index=True)[1]:
        permutation = landing[g]
        if len(set(permutation.tolist())) < len(first) or (permutation == np.arange(len(first))).all():
            continue
        every = positions @ rotations[g].T + shifts[g]
        # whole sites onto whole sites
        if (site[_nearest(every[None], positions, vectors)[0]] == permutation[site]).all():
            found.append(tuple(permutation.tolist()))
    return found


def _nearest(points: NDArray[Any], positions: NDArray[Any], vectors: NDArray[Any]) -> NDArray[np.int64]:
    """Which atom lies where each point (g, k, 3) is: points of a symmetry are on an atom, whatever its image."""
    gaps = points[:, :, None] - positions
    gaps -= np.round(gaps)
    return ((gaps @ vectors) ** 2).sum(-1).argmin(-1)


def _distinct(n_sites: int, elements: tuple[str, ...], exchanges: Sequence[tuple[int, ...]]) -> list[tuple[str, ...]]:
    """Assignments, of equal ones the first."""
    every = assignments(n_sites, elements)
    if not exchanges:
        return every
    kept: list[tuple[str, ...]] = []
    seen: set[tuple[str, ...]] = set()
    for choice in every:
        if choice not in seen:
            kept.append(choice)
            # symmetries are a group, so all equal ones are one exchange away
            seen.update(tuple(choice[j] for j in p) for p in exchanges)
    return kept


# ---------------------------------------------------------------------------------------------- charges


def charge_balanced(
    formula: str, oxidation_states: str = "common", mixed_valence: bool = False, peroxides: bool = False
) -> bool:
    """Whether oxidation states of the elements add up to zero.

    Every element takes one of its states. With ``mixed_valence`` atoms of one element may have several states of
    one sign, so that their mean may be anything between: Fe3O4 balances, with Fe(II) and Fe(III). An element alone is
    balanced. An element without listed states balances nothing.

    :param formula: any formula.
    :param oxidation_states: ``common`` or ``icsd``, both of pymatgen's tables; ``smact``: what SMACT calls valid
        (Davies et al., Chem 1, 617 (2016), doi:10.1016/j.chempr.2016.09.010), which are neutral compounds whose anions
        are the more electronegative, and alloys of metals.
    :param peroxides: O may have -1 and -1/2 besides, and with mixed valence anything between them and -2.
    """
    return _charge_balanced(Composition(formula).reduced_formula, oxidation_states, mixed_valence, peroxides)


@cache
def _charge_balanced(formula: str, oxidation_states: str, mixed_valence: bool, peroxides: bool) -> bool:
    composition = Composition(formula)
    if len(composition) == 1:
        return True
    if oxidation_states == "smact":
        from smact.screening import smact_validity

        return bool(smact_validity(composition, mixed_valence=mixed_valence))
    ranges: list[list[tuple[float, float]]] = []
    for element, count in composition.items():
        found = element.common_oxidation_states if oxidation_states == "common" else element.icsd_oxidation_states
        states = [float(q) for q in found if q]
        if peroxides and element.symbol == "O":
            states += [-1.0, -0.5]
        if mixed_valence:
            signs = [[q for q in states if q < 0], [q for q in states if q > 0]]
            ranges.append([(count * min(same), count * max(same)) for same in signs if same])
        else:
            ranges.append([(count * q, count * q) for q in states])
    return any(
        sum(low for low, _ in choice) <= 1e-9 and sum(high for _, high in choice) >= -1e-9
        for choice in product(*ranges)
    )


# --------------------------------------------------------------------------------------------- candidates


@dataclass(frozen=True)
class Candidates:
    """Filled templates, as columns."""

    template: NDArray[np.int64]
    """Place of the template in its batch, (M,)."""
    elements: list[tuple[str, ...]]
    """Element of each site."""
    formula: list[str]
    """Reduced formula."""
    charge_balanced: list[bool]
    """See :func:`charge_balanced`."""
    volume_scale: NDArray[np.float64]
    """Factor on the template's volume, (M,)."""
    assigned: int
    """Assignments there were: candidates, and those refused."""
    refused: dict[str, int]
    """Reason -> number of assignments refused for it."""


def infill(templates: Templates, elements: Sequence[str], options: InfillOptions) -> Candidates:
    """Every distinct assignment of all the elements to the sites of every template, but for what options refuse.

    A template of fewer sites than elements takes none. Assignments are in order of the elements as given.

    :param elements: chemical symbols, each once.
    :raises InputError: if an element has no known volume and ``options.volume`` is ``elements``, if a formula asked
        for does not hold all the elements and no others, or if options name an element that is not among them.
    """
    elements = tuple(elements)
    volumes = typical_volumes(elements) if options.volume == "elements" else {}
    wanted = _wanted(options.formulas, elements)
    for name, limits in (("fixed", options.fixed), ("shares", options.shares)):
        if others := sorted(set(limits or {}) - set(elements)):
            raise InputError(f"infill.{name}: {others[0]} is not in chemistry, {', '.join(elements)}; remove it there")
    holder = {m: element for element, several in (options.fixed or {}).items() for m in several}
    index: list[int] = []
    chosen: list[tuple[str, ...]] = []
    formulas: list[str] = []
    balanced: list[bool] = []
    scales: list[float] = []
    assigned = 0
    refused: Counter[str] = Counter()
    multiplicities, cells, sizes = templates.multiplicities, templates.volume, primitive_atoms(templates)
    exchanges = site_exchanges(templates)
    for i, n_sites in enumerate(templates.n_sites.tolist()):
        every, distinct = assignments(n_sites, elements), _distinct(n_sites, elements, exchanges[i])
        assigned += len(every)
        refused[EQUIVALENT] += len(every) - len(distinct)
        if options.max_atoms is not None and sizes[i] > options.max_atoms:
            refused[f"more than {options.max_atoms} {TOO_LARGE}"] += len(distinct)
            continue
        counts = multiplicities[i, :n_sites].tolist()
        for choice in distinct:
            if any(holder.get(m, e) != e for e, m in zip(choice, counts, strict=True)):
                refused[OTHER_ELEMENT] += 1
                continue
            total = _total(choice, counts)
            formula = _formula(tuple(sorted(total.items())))
            if wanted is not None and formula not in wanted:
                refused[OTHER_FORMULA] += 1
                continue
            if options.shares and not _within(total, options.shares):
                refused[OTHER_SHARE] += 1
                continue
            neutral = _charge_balanced(formula, options.oxidation_states, options.mixed_valence, options.peroxides)
            if options.charge == "require" and not neutral:
                refused[UNBALANCED] += 1
                continue
            index.append(i)
            chosen.append(choice)
            formulas.append(formula)
            balanced.append(neutral)
            typical = sum(volumes[e] * m for e, m in zip(choice, counts, strict=True)) if volumes else cells[i]
            scales.append(typical / cells[i])
    return Candidates(
        template=np.array(index, dtype=np.int64),
        elements=chosen,
        formula=formulas,
        charge_balanced=balanced,
        volume_scale=np.array(scales, dtype=float),
        assigned=assigned,
        refused=dict(+refused),
    )


def primitive_atoms(templates: Templates) -> NDArray[np.int64]:
    """Atoms in the primitive cell of each template, (N,)."""
    per_cell = np.array([len(sg.centring(int(number))) for number in templates.spacegroup], dtype=np.int64)
    return templates.n_atoms // per_cell


def _wanted(formulas: Sequence[str] | None, elements: Sequence[str]) -> set[str] | None:
    """Reduced formulas that are asked for; ``None``: all."""
    if formulas is None:
        return None
    wanted = set()
    for formula in formulas:
        try:
            composition = Composition(formula)
        except ValueError:
            raise InputError(f"infill.formulas: {formula!r} is no formula; write one such as BaRuO3") from None
        if {e.symbol for e in composition.elements} != set(elements):
            raise InputError(
                f"infill.formulas: {formula} does not hold the elements of chemistry, {', '.join(elements)}, and no"
                " others; change one of the two"
            )
        wanted.add(composition.reduced_formula)
    return wanted


def _total(choice: Sequence[str], counts: Sequence[int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for element, count in zip(choice, counts, strict=True):
        total[element] = total.get(element, 0) + count
    return total


def _within(total: Mapping[str, int], shares: Mapping[str, Sequence[float]]) -> bool:
    """Whether the share of every limited element is within its limits, which belong to them."""
    n_atoms = sum(total.values())
    return all(least - 1e-9 <= total[e] / n_atoms <= most + 1e-9 for e, (least, most) in shares.items())


@cache
def _formula(counts: tuple[tuple[str, int], ...]) -> str:
    return Composition(dict(counts)).reduced_formula


def candidate_columns(filled: Candidates, templates: Templates, template_ids: Sequence[str]) -> dict[str, Any]:
    """The columns of ``tables.CANDIDATES``."""
    parents = [template_ids[i] for i in filled.template.tolist()]
    return {
        "candidate_id": [f"{t}-{'-'.join(e)}" for t, e in zip(parents, filled.elements, strict=True)],
        "template_id": parents,
        "elements": [list(e) for e in filled.elements],
        "formula": filled.formula,
        "charge_balanced": filled.charge_balanced,
        "n_atoms": templates.n_atoms[filled.template].astype(np.int32),
        "volume_scale": filled.volume_scale,
    }
