"""Elements on the sites of templates: every distinct assignment, its composition, its charges and its volume.

A candidate is a crystal that may be one: no two of its atoms are closer than a share of their covalent radii.
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray
from pymatgen.core import Composition

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.composition import reduced_formula
from cgwgan_core.crystallography.distances import site_distances
from cgwgan_core.crystallography.symmetry import TIGHT, SymmetryError, find_symmetry
from cgwgan_core.crystallography.templates import Templates, expand
from cgwgan_core.screening.assignments import ANY, search, ways
from cgwgan_core.screening.charges import OXIDATION_STATES, charge_balanced
from cgwgan_core.workflow.arrays import Floats, Integers
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.seeds import derive_seed

VOLUMES = ("elements", "template")
CHARGES = ("tag", "require")
OTHER_ELEMENT, TOO_LARGE, TOO_CLOSE, EQUIVALENT, OTHER_FORMULA, OTHER_FRACTION, UNBALANCED, OF_A_TEMPLATE = (
    "another element is fixed on sites of that multiplicity",
    "atoms in the primitive cell",
    "atoms too close",
    "same crystal as another assignment",
    "formula not asked for",
    "share of an element out of bounds",
    "charges do not balance",
    "candidates of one template",
)
"""Why an assignment is no candidate, in the order of the tests."""
MOST_WAYS = 2_000_000
"""To put elements on the sites of one template, so that all are used."""
REASON = "U64"
"""Type of an array of reasons."""


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
    per_template: int | None = None
    """Most candidates of one template, chosen at random among those that nothing else refuses; ``None``: all."""
    min_distance_ratio: float = 0.6
    """Shortest distance of two atoms over the sum of their covalent radii."""
    fixed: Mapping[str, Sequence[int]] | None = None
    """Element -> Wyckoff multiplicities whose sites all hold it, and no other element; ``None``: none is fixed."""
    atomic_fractions: Mapping[str, Sequence[float]] | None = None
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
                raise InputError(f"infill.{name}: {getattr(self, name)!r} must be one of {', '.join(choices)}")
        for name in ("max_atoms", "per_template"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"infill.{name}: {getattr(self, name)} must be at least 1")
        if not self.min_distance_ratio >= 0:
            raise InputError(f"infill.min_distance_ratio: {self.min_distance_ratio} must not be negative")
        if self.formulas is not None:
            object.__setattr__(self, "formulas", tuple(self.formulas))
        multiplicities = [m for several in (self.fixed or {}).values() for m in several]
        if twice := sorted({m for m in multiplicities if multiplicities.count(m) > 1}):
            raise InputError(f"infill.fixed: multiplicity {twice[0]} stands at two elements; a site holds one")
        for element, (least, most) in (self.atomic_fractions or {}).items():
            if not 0 <= least <= most <= 1:
                raise InputError(
                    f"infill.atomic_fractions.{element}: {least} and {most} must be two rising numbers from 0 to 1"
                )


def number_of_assignments(n_sites: int, n_elements: int) -> int:
    """Ways to put elements on sites that use every element: 6 for 3 on 3 sites, 5,796 on 8.

    :raises InputError: if there are more than :data:`MOST_WAYS`.
    """
    every = ways(n_sites, n_elements, n_elements)
    if every > MOST_WAYS:
        raise InputError(
            f"templates.n_sites: {n_sites} sites take {n_elements} elements in {every:,} ways, more than {MOST_WAYS:,};"
            " name smaller numbers"
        )
    return every


# ----------------------------------------------------------------------------------------------- volumes


@cache
def element_volumes(oxide: bool) -> dict[str, float]:
    """Volume of each element in compounds with O or F, or in all others, Å³ per atom.

    See :mod:`.make_element_volumes`.
    """
    column = "oxide" if oxide else "other"
    with (files("cgwgan_core.screening") / "element_volumes.csv").open() as stream:
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


# ------------------------------------------------------------------------------------- equal assignments


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


def _exchanges(vectors: Floats, positions: Floats, site: Integers) -> list[tuple[int, ...]]:
    try:
        operations = find_symmetry(vectors, positions, [1] * len(site), TIGHT).operations
    except SymmetryError:
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


def _nearest(points: Floats, positions: Floats, vectors: Floats) -> NDArray[np.int64]:
    """Which atom lies where each point (g, k, 3) is: points of a symmetry are on an atom, whatever its image."""
    gaps = points[:, :, None] - positions
    gaps -= np.round(gaps)
    nearest: NDArray[np.int64] = ((gaps @ vectors) ** 2).sum(-1).argmin(-1)
    return nearest


def _distinct(every: NDArray[np.int8], exchanges: Sequence[tuple[int, ...]]) -> NDArray[np.int8]:
    """Assignments, of equal ones the first."""
    if not exchanges:
        return every
    first = np.ones(len(every), dtype=bool)
    power = 16 ** np.arange(every.shape[1])[::-1]
    number = every @ power
    # symmetries are a group, so all equal ones are one exchange away
    for exchange in exchanges:
        first &= number <= every[:, list(exchange)] @ power
    return every[first]


# -------------------------------------------------------------------------------------------- candidates


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
    volume_scale: Floats
    """Factor on the template's volume, (M,)."""
    assigned: int
    """Assignments there were: candidates, and those refused."""
    refused: dict[str, int]
    """Reason -> number of assignments refused for it."""


def infill(
    templates: Templates,
    elements: Sequence[str],
    options: InfillOptions,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Candidates:
    """Every distinct assignment of all the elements to the sites of every template, but for what options refuse.

    A template of fewer sites than elements takes none. Assignments are in order of the elements as given.

    :param elements: chemical symbols, each once.
    :param names: of the templates; ``None``: their places. With the seed they decide which candidates
        ``options.per_template`` keeps.
    :raises InputError: if an element has no known volume and ``options.volume`` is ``elements``, if a formula asked
        for does not hold all the elements and no others, if options name an element that is not among them, or if a
        template has too many sites.
    """
    elements = tuple(elements)
    typical = np.array([*typical_volumes(elements).values()]) if options.volume == "elements" else None
    radii = np.array([covalent_radii[atomic_numbers[element]] for element in elements])
    limits = _Limits.of(options, elements)
    found = Candidates(np.zeros(0, dtype=np.int64), [], [], [], np.zeros(0), 0, {})
    assigned = 0
    refused: Counter[str] = Counter()
    multiplicities, cells, sizes = templates.multiplicities, templates.volume, primitive_atoms(templates)
    exchanges, distances = site_exchanges(templates), site_distances(templates)
    places, scales = [found.template], [found.volume_scale]
    for i, n_sites in enumerate(templates.n_sites.tolist()):
        counts = multiplicities[i, :n_sites]
        fixed = limits.fixed_on(counts)
        every = number_of_assignments(n_sites, len(elements))
        in_place = ways(int((fixed == ANY).sum()), len(elements), len(set(range(len(elements))) - set(fixed.tolist())))
        assigned += every
        refused[OTHER_ELEMENT] += every - in_place
        if options.max_atoms is not None and sizes[i] > options.max_atoms:
            refused[f"more than {options.max_atoms} {TOO_LARGE}"] += in_place
            continue
        volumes = np.zeros(len(elements)) if typical is None else typical / cells[i]
        apart, close = search(
            distances[i, :n_sites, :n_sites], counts, radii, volumes, options.min_distance_ratio, fixed
        )
        choices = _distinct(apart, exchanges[i])
        refused[TOO_CLOSE] += close
        refused[EQUIVALENT] += len(apart) - len(choices)
        totals = np.stack([(choices == e) @ counts for e in range(len(elements))], axis=1)
        # compositions as one number each, which sorts faster than rows
        _, first, kind = np.unique(
            totals @ (counts.sum() + 1) ** np.arange(len(elements)), return_index=True, return_inverse=True
        )
        formulas, reasons = limits.of_compositions(totals[first])
        reason = reasons[kind]
        for why, n in zip(*np.unique(reason[reason != ""], return_counts=True), strict=True):
            refused[str(why)] += int(n)
        kept = np.flatnonzero(reason == "")
        if options.per_template is not None and len(kept) > options.per_template:
            refused[f"beyond {options.per_template} {OF_A_TEMPLATE}"] += len(kept) - options.per_template
            random = np.random.default_rng(derive_seed(seed, "infill", names[i] if names else str(i)))
            kept = np.sort(random.choice(kept, options.per_template, replace=False))
        found.elements.extend(tuple(elements[e] for e in choice) for choice in choices[kept].tolist())
        found.formula.extend(formulas[k] for k in kind[kept].tolist())
        places.append(np.full(len(kept), i))
        scales.append(np.ones(len(kept)) if typical is None else totals[kept] @ typical / cells[i])
    found.charge_balanced.extend(limits.balanced(formula) for formula in found.formula)
    return replace(
        found,
        template=np.concatenate(places),
        volume_scale=np.concatenate(scales),
        assigned=assigned,
        refused=dict(+refused),
    )


@dataclass(frozen=True)
class _Limits:
    """What options ask of the assignments of some elements."""

    options: InfillOptions
    elements: tuple[str, ...]
    formulas: set[str] | None
    """Reduced formulas that are asked for; ``None``: all."""
    fixed: dict[int, int]
    """Multiplicity -> place of the element that all its sites hold."""

    @classmethod
    def of(cls, options: InfillOptions, elements: tuple[str, ...]) -> "_Limits":
        """Of options, for some elements; an :class:`InputError` if they do not go together."""
        wanted = _wanted(options.formulas, elements)
        for name, limits in (("fixed", options.fixed), ("atomic_fractions", options.atomic_fractions)):
            if others := sorted(set(limits or {}) - set(elements)):
                raise InputError(
                    f"infill.{name}: {others[0]} is not in chemistry, {', '.join(elements)}; remove it there"
                )
        fixed = {m: elements.index(element) for element, ms in (options.fixed or {}).items() for m in ms}
        return cls(options, elements, wanted, fixed)

    def of_compositions(self, totals: NDArray[np.int64]) -> tuple[list[str], NDArray[np.str_]]:
        """Reduced formulas, and why each composition is no candidate's; empty if it may be one's.

        :param totals: atoms of each element, (C, elements).
        """
        rows = [dict(zip(self.elements, row, strict=True)) for row in totals.tolist()]
        formulas = [reduced_formula(tuple(sorted(total.items()))) for total in rows]
        reasons = [self._refusal(total, formula) for total, formula in zip(rows, formulas, strict=True)]
        return formulas, np.array(reasons, dtype=REASON)

    def fixed_on(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The element that each site of so many atoms must hold, or :data:`.assignments.ANY`, (K,)."""
        return np.array([self.fixed.get(m, ANY) for m in counts.tolist()], dtype=np.int64)

    def _refusal(self, total: Mapping[str, int], formula: str) -> str:
        if self.formulas is not None and formula not in self.formulas:
            return OTHER_FORMULA
        if not _within(total, self.options.atomic_fractions or {}):
            return OTHER_FRACTION
        if self.options.charge == "require" and not self.balanced(formula):
            return UNBALANCED
        return ""

    def balanced(self, formula: str) -> bool:
        """Whether charges balance by the rules of the options."""
        options = self.options
        return charge_balanced(formula, options.oxidation_states, options.mixed_valence, options.peroxides)


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


def _within(total: Mapping[str, int], fractions: Mapping[str, Sequence[float]]) -> bool:
    """Whether the atomic fraction of every limited element is within its limits, which belong to them."""
    n_atoms = sum(total.values())
    return all(least - 1e-9 <= total[e] / n_atoms <= most + 1e-9 for e, (least, most) in fractions.items())


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
