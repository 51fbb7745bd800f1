"""The words of a crystal's card."""

import pytest
from pymatgen.core import Composition

from cgwgan_core.results.cards import card, nearest_phase, oxidation_states, reaction
from cgwgan_core.workflow import tables

ROW = dict.fromkeys(tables.STABLE.names) | {
    "candidate_id": "t1", "formula": "BaRuO4", "spacegroup": 62, "fate": "survivor", "verdict": "stable", "n_atoms": 24,
    "energy_above_hull": 0.02, "decomposition": "0.40 Ba2Ru7O18 + 0.60 BaO2", "potential": "SevenNet",
    "dft_energy_above_hull": None, "dft_known_match": None, "dft_engine": None, "dft_verdict": None,
}  # fmt: skip
KNOWN = {
    name: {"material_id": name, "formula": formula, "lattice": [1.0], "formation_energy_per_atom": energy}
    for name, formula, energy in (
        ("a", "BaO2", -1.0),
        ("b", "BaO2", -1.1),
        ("c", "Ba2Ru7O18", -1.5),
        ("d", "BaRuO4", -1.4),
    )
}


def test_a_reaction_conserves_atoms_though_shares_are_rounded():
    text = reaction(ROW | {"formula": "BaRuO3", "decomposition": "0.27 BaRuO2 + 0.33 RuO2 + 0.40 BaO2"}).striptags()
    left, right = text.split(";")[0].split(" → ")
    total = Composition()
    for part in right.split(" + "):
        *amount, formula = part.split()
        total += Composition(formula) * float(amount[0] if amount else 1)
    assert total.almost_equals(Composition(left), atol=0.01)


@pytest.mark.parametrize(
    ("above", "words"), [(0.02, "gives off 0.020 eV/atom, 11.6 kJ/mol"), (-0.02, "takes 0.020 eV/atom")]
)
def test_a_reaction_takes_or_gives_energy(above, words):
    text = reaction(ROW | {"energy_above_hull": above})
    assert words in text
    assert text.endswith("by SevenNet")


def test_without_phases_nothing_is_claimed():
    assert reaction(ROW | {"decomposition": None}) == "not known"


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"dft_known_match": "c", "nearest_known": "d"}, "c"),
        ({"nearest_known": "d"}, "d"),
        ({}, "b"),
        ({"decomposition": "1.00 Cu"}, None),
    ],
)
def test_the_nearest_phase_is_what_it_is_then_what_looks_alike_then_what_it_becomes(row, name):
    found = nearest_phase(ROW | row, KNOWN)
    assert (found and found["material_id"]) == name


def test_one_judge_is_named_as_the_only_one():
    words = card(ROW, KNOWN)
    assert ("alone", "one judge only") in words.badges
    assert [(judge.name, judge.above) for judge in words.judges] == [("SevenNet", "+0.020")]
    assert not any("below the hull" in text for _, text in words.badges)


def test_dft_is_a_judge_of_its_own():
    words = card(
        ROW | {"dft_energy_above_hull": -0.01, "dft_engine": "GPAW", "dft_min_frequency": 0.3, "dft_verdict": "stable"},
        KNOWN,
    )
    assert [(judge.name, judge.above) for judge in words.judges] == [("SevenNet", "+0.020"), ("DFT (GPAW)", "−0.010")]


def test_oxidation_states_are_those_of_chemists():
    assert oxidation_states("BaRuO3") == {"Ba": 2.0, "Ru": 4.0, "O": -2.0}
    assert oxidation_states("Ba13RuO8") == oxidation_states("Ba30Ru30O90") == {}
