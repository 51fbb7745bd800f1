"""Every distinct assignment that keeps atoms apart, its formula, its volume."""

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from cgwgan_core.crystallography.structures import atoms_to_structure
from cgwgan_core.crystallography.templates import Templates, to_atoms
from cgwgan_core.screening.assignments import ANY, search, ways
from cgwgan_core.screening.charges import charge_balanced
from cgwgan_core.screening.energies import closest_pairs
from cgwgan_core.screening.infill import (
    EQUIVALENT,
    MOST_WAYS,
    OF_A_TEMPLATE,
    OTHER_ELEMENT,
    OTHER_FORMULA,
    OTHER_FRACTION,
    TOO_CLOSE,
    TOO_LARGE,
    UNBALANCED,
    InfillOptions,
    candidate_columns,
    infill,
    number_of_assignments,
    primitive_atoms,
    site_exchanges,
    typical_volumes,
)
from cgwgan_core.workflow.errors import InputError
from tests.support.crystals import perovskite_template
from tests.support.random_templates import templates as random_templates

FREE = InfillOptions(min_distance_ratio=0.0)
"""Atoms may be as close as they like."""


def every_choice(sites: int, elements: int) -> list[tuple[int, ...]]:
    """Assignments that use every element, in order."""
    return [choice for choice in product(range(elements), repeat=sites) if len(set(choice)) == elements]


@pytest.mark.parametrize(
    ("sites", "elements", "number"), [(3, 3, 6), (4, 3, 36), (4, 4, 24), (3, 2, 6), (3, 1, 1), (2, 3, 0), (8, 3, 5796)]
)
def test_numbers_of_assignments(sites: int, elements: int, number: int) -> None:
    assert number_of_assignments(sites, elements) == number == len(every_choice(sites, elements))


def test_too_many_assignments_are_refused() -> None:
    assert ways(9, 7, 7) > MOST_WAYS
    with pytest.raises(InputError, match=r"templates\.n_sites: 9 sites take 7 elements in 2,328,480 ways"):
        number_of_assignments(9, 7)


@given(
    template=random_templates(),
    seed=st.integers(0, 2**32 - 1),
    options=st.builds(
        InfillOptions,
        volume=st.sampled_from(["elements", "template"]),
        min_distance_ratio=st.sampled_from([0.0, 0.3, 0.6, 0.8, 1.0]),
        max_atoms=st.sampled_from([None, 8]),
        fixed=st.sampled_from([None, {"O": [1, 2, 4]}, {"Ba": [1], "O": [2, 3]}]),
        atomic_fractions=st.sampled_from([None, {"O": [0.3, 0.8]}]),
        charge=st.sampled_from(["tag", "require"]),
    ),
)
@settings(max_examples=60, deadline=None)
def test_the_search_finds_what_trying_all_finds(template: Templates, seed: int, options: InfillOptions) -> None:
    """The same candidates in the same order, and the same counts of what is refused."""
    symbols = np.random.default_rng(seed).permutation(["Ba", "Ru", "O"]).tolist()
    filled = infill(template, symbols, options)
    sizes = template.multiplicities[0, : template.n_sites[0]].tolist()
    typical, (exchanges,) = typical_volumes(symbols), site_exchanges(template)
    place = {m: symbols.index(element) for element, ms in (options.fixed or {}).items() for m in ms}
    refused: Counter[str] = Counter()
    kept: list[tuple[str, ...]] = []
    for choice in every_choice(len(sizes), 3):
        elements = [symbols[e] for e in choice]
        total = {e: sum(m for m, other in zip(sizes, elements, strict=True) if other == e) for e in symbols}
        volume = sum(typical[e] * n for e, n in total.items()) / template.volume[0]
        ratio = closest_pairs(
            template, np.zeros(1, int), [elements], np.array([volume if options.volume == "elements" else 1.0])
        )
        formula = Composition(total).reduced_formula
        if any(place.get(m, e) != e for m, e in zip(sizes, choice, strict=True)):
            refused[OTHER_ELEMENT] += 1
        elif options.max_atoms is not None and primitive_atoms(template)[0] > options.max_atoms:
            refused[f"more than {options.max_atoms} {TOO_LARGE}"] += 1
        elif ratio[0] < options.min_distance_ratio:
            refused[TOO_CLOSE] += 1
        elif any(tuple(choice[i] for i in exchange) < choice for exchange in exchanges):
            refused[EQUIVALENT] += 1
        elif not 0.3 - 1e-9 <= total["O"] / sum(sizes) <= 0.8 + 1e-9 and options.atomic_fractions:
            refused[OTHER_FRACTION] += 1
        elif options.charge == "require" and not charge_balanced(formula):
            refused[UNBALANCED] += 1
        else:
            kept.append(tuple(elements))
    assert filled.elements == kept
    assert filled.refused == refused
    assert filled.assigned == len(kept) + sum(refused.values())


def test_branches_that_cannot_keep_atoms_apart_are_not_visited() -> None:
    """Twelve sites of four elements, two of them 0.1 Å apart whatever they hold: 14,676,024 assignments."""
    close = np.full((12, 12), 9.0)
    close[0, 1] = close[1, 0] = 0.1
    args = (np.ones(12, int), np.ones(4), np.ones(4) / 40)
    found, refused = search(close, *args, 0.6, np.full(12, ANY))
    assert (len(found), refused) == (0, ways(12, 4, 4)) == (0, 14_676_024)
    # with all but two sites given, what is left is found
    given = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, ANY, ANY])
    assert search(close, *args, 0.0, given)[0].tolist() == [[*given[:10], *two] for two in product(range(4), repeat=2)]


def test_formulas_are_those_of_the_atoms() -> None:
    filled = infill(perovskite_template(), ["Ba", "Ru", "O"], FREE)
    assert filled.formula.count("BaRuO3") == 2
    for i, choice in enumerate(filled.elements):
        atoms = to_atoms(perovskite_template(), 0, choice, filled.volume_scale[i])
        structure = atoms_to_structure(atoms)
        assert structure.composition.reduced_formula == filled.formula[i]


def test_volumes_come_from_the_elements_or_from_the_template() -> None:
    by_elements = infill(perovskite_template(9.0), ["Ba", "Ru", "O"], FREE)
    atoms = to_atoms(perovskite_template(9.0), 0, by_elements.elements[0], by_elements.volume_scale[0])
    volumes = typical_volumes(["Ba", "Ru", "O"])
    assert atoms.get_volume() == pytest.approx(sum(volumes[s] for s in atoms.get_chemical_symbols()))
    as_generated = infill(perovskite_template(9.0), ["Ba", "Ru", "O"], replace(FREE, volume="template"))
    assert as_generated.volume_scale.tolist() == [1.0] * 6


def test_known_crystals_get_their_volume_within_a_quarter() -> None:
    """MgO, NaCl, SrTiO3 and BaRuO3 by their measured lattice constants."""
    for counts, volume in [
        ({"Mg": 1, "O": 1}, 4.21**3 / 4),
        ({"Na": 1, "Cl": 1}, 5.64**3 / 4),
        ({"Sr": 1, "Ti": 1, "O": 3}, 3.905**3),
        ({"Ba": 1, "Ru": 1, "O": 3}, 4.006**3),
    ]:
        assert sum(typical_volumes(list(counts))[e] * n for e, n in counts.items()) == pytest.approx(volume, rel=0.25)


def test_columns_name_template_and_elements() -> None:
    filled = infill(perovskite_template(), ["Ba", "Ru", "O"], FREE)
    columns = candidate_columns(filled, perovskite_template(), ["t0000007"])
    assert columns["candidate_id"][0] == "t0000007-Ba-Ru-O"
    assert columns["n_atoms"].tolist() == [5] * 6


def test_elements_without_volume_are_named() -> None:
    with pytest.raises(InputError, match="no volume is known for He"):
        infill(perovskite_template(), ["He", "Ru", "O"], InfillOptions())
    with pytest.raises(InputError, match=r"infill\.volume: .* must be one of"):
        InfillOptions("atoms")


def template(group: int, letters: list[int], coords: list[list[float]], cell: list[float]) -> Templates:
    """One template from letters (a = 0) and coordinates."""
    return Templates(
        np.array([group], np.int16), np.array([cell]), np.array([letters], np.int8), np.array([coords], float)
    )


CUBIC, LONG = [4.0, 4, 4, 90, 90, 90], [4.0, 4, 7, 90, 90, 90]
SAMPLES = {
    "caesium chloride": (template(221, [0, 1], [[0, 0, 0], [0.5] * 3], CUBIC), 2),
    "half Heusler": (template(216, [0, 1, 2], [[0, 0, 0], [0.5] * 3, [0.25] * 3], CUBIC), 3),
    "Heusler": (template(225, [0, 1, 2], [[0, 0, 0], [0.5] * 3, [0.25] * 3], CUBIC), 3),
    "perovskite": (perovskite_template(), 3),
    "layers along a polar axis": (template(99, [0, 0, 1], [[0, 0, 0], [0, 0, 0.3], [0.5, 0.5, 0.6]], LONG), 3),
    "layers evenly spaced": (
        template(99, [0, 0, 1, 1], [[0, 0, 0], [0, 0, 0.5], [0.5, 0.5, 0.1], [0.5, 0.5, 0.6]], LONG), 3
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_equal_assignments_are_those_that_structurematcher_calls_equal(name: str) -> None:
    sample, n = SAMPLES[name]
    symbols = ["Ba", "Ru", "O"][:n]
    every = [[symbols[e] for e in choice] for choice in every_choice(int(sample.n_sites[0]), n)]
    matcher = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.05)
    distinct: list[Structure] = []
    for choice in every:
        atoms = to_atoms(sample, 0, choice)
        structure = atoms_to_structure(atoms)
        if not any(matcher.fit(structure, other) for other in distinct):
            distinct.append(structure)
    filled = infill(sample, symbols, replace(FREE, volume="template"))
    assert len(filled.elements) == len(distinct)
    assert filled.assigned == len(every) == len(filled.elements) + filled.refused.get(EQUIVALENT, 0)


def test_a_template_may_be_kept_from_having_too_many() -> None:
    """The same ones whatever shares the batch, others by another seed; what is left out is counted."""
    general = template(2, [8] * 8, np.random.default_rng(0).random((8, 3)), [9, 10, 11, 80, 85, 95])
    symbols = ["Ba", "Ru", "O"]
    every = infill(general, symbols, FREE)
    assert len(every.elements) == every.assigned == 5796
    some = infill(general, symbols, replace(FREE, per_template=20, charge="require"), ["t7"], 1)
    assert len(some.elements) == 20
    assert all(some.charge_balanced)
    balanced = [choice for choice, right in zip(every.elements, every.charge_balanced, strict=True) if right]
    assert set(some.elements) < set(balanced)
    assert some.elements == sorted(some.elements, key=balanced.index)
    assert some.refused == {UNBALANCED: 5796 - len(balanced), f"beyond 20 {OF_A_TEMPLATE}": len(balanced) - 20}
    two = Templates.concat([perovskite_template(), general])
    both = infill(two, symbols, replace(FREE, per_template=20, charge="require"), ["t6", "t7"], 1)
    assert both.elements[-20:] == some.elements
    assert infill(general, symbols, replace(FREE, per_template=20), ["t7"], 2).elements != some.elements


def test_exchanges_leave_sites_whole() -> None:
    assert site_exchanges(SAMPLES["caesium chloride"][0]) == [[(1, 0)]]
    # a row of three equidistant sites along the diagonal and a gap: the middle one stays, the others change places
    assert len(site_exchanges(SAMPLES["half Heusler"][0])[0]) == 1
    assert site_exchanges(perovskite_template()) == [[]]


def test_filters_count_what_they_refuse() -> None:
    elements = ["Ba", "Ru", "O"]
    filled = infill(perovskite_template(), elements, InfillOptions(min_distance_ratio=0.0, formulas=["Ba2Ru2O6"]))
    assert filled.formula == ["BaRuO3"] * 2
    assert filled.refused == {OTHER_FORMULA: 4}
    filled = infill(perovskite_template(), elements, replace(FREE, charge="require"))
    assert set(filled.formula) == {"BaRuO3"}
    assert filled.charge_balanced == [True, True]
    assert filled.refused == {UNBALANCED: 4}
    # rocksalt-like cells hold four times their primitive one
    heusler = SAMPLES["Heusler"][0]
    assert len(infill(heusler, elements, replace(FREE, max_atoms=4)).elements) == 3
    small = infill(heusler, elements, replace(FREE, max_atoms=3))
    assert small.elements == []
    assert sum(small.refused.values()) == small.assigned == 6
    columns = candidate_columns(small, heusler, ["t1"])
    assert all(len(column) == 0 for column in columns.values())


def test_charges_are_those_of_the_rules_asked_for() -> None:
    plain, smact = (
        infill(perovskite_template(), ["Ba", "Ru", "O"], replace(FREE, oxidation_states=rules, charge="require"))
        for rules in ("common", "smact")
    )
    assert plain.formula == smact.formula == ["BaRuO3"] * 2


def test_elements_are_fixed_by_multiplicity() -> None:
    # sites a and b hold one atom each, c three
    filled = infill(perovskite_template(), ["Ba", "Ru", "O"], replace(FREE, fixed={"O": [3]}))
    assert filled.elements == [("Ba", "Ru", "O"), ("Ru", "Ba", "O")]
    assert filled.refused == {OTHER_ELEMENT: 4}
    assert infill(perovskite_template(), ["Ba", "Ru", "O"], replace(FREE, fixed={"O": [1]})).elements == []
    # a multiplicity that no site has fixes nothing
    assert len(infill(perovskite_template(), ["Ba", "Ru", "O"], replace(FREE, fixed={"O": [48]})).elements) == 6
    with pytest.raises(InputError, match=r"infill\.fixed: Ti is not in chemistry"):
        infill(perovskite_template(), ["Ba", "Ru", "O"], InfillOptions(fixed={"Ti": [1]}))
    with pytest.raises(InputError, match=r"infill\.fixed: multiplicity 1 stands at two elements"):
        InfillOptions(fixed={"Ba": [1], "O": [1, 3]})


def test_atomic_fractions_are_limited() -> None:
    filled = infill(
        perovskite_template(), ["Ba", "Ru", "O"], replace(FREE, atomic_fractions={"O": [0.6, 1], "Ba": [0, 0.2]})
    )
    assert filled.formula == ["BaRuO3"] * 2
    assert filled.refused == {OTHER_FRACTION: 4}
    with pytest.raises(InputError, match=r"infill\.atomic_fractions: Ti is not in chemistry"):
        infill(perovskite_template(), ["Ba", "Ru", "O"], InfillOptions(atomic_fractions={"Ti": [0, 1]}))
    with pytest.raises(InputError, match="rising numbers"):
        InfillOptions(atomic_fractions={"O": [0.7, 0.6]})


def test_formulas_must_be_of_the_chemistry() -> None:
    with pytest.raises(InputError, match="BaO does not hold the elements of chemistry"):
        infill(perovskite_template(), ["Ba", "Ru", "O"], InfillOptions(formulas=["BaO"]))
    with pytest.raises(InputError, match="is no formula"):
        infill(perovskite_template(), ["Ba", "Ru", "O"], InfillOptions(formulas=["ba ru"]))
    with pytest.raises(InputError, match=r"infill\.charge: .* must be one of"):
        InfillOptions(charge="always")
    with pytest.raises(InputError, match=r"infill\.max_atoms"):
        InfillOptions(max_atoms=0)
