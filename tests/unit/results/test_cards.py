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


@pytest.mark.parametrize(
    ("formula", "states"),
    [
        ("BaRuO3", {"Ba": 2, "Ru": 4, "O": -2}),
        ("Fe3O4", {"Fe": 8 / 3, "O": -2}),  # a metal may have several
        ("Li3PS4", {"Li": 1, "P": 5, "S": -2}),
        ("Li2PS3", {"Li": 1, "P": 4, "S": -2}),  # of ICSD's crystals
        ("Li5PS", {"Li": 1, "P": -3, "S": -2}),
        ("Zr3Si2O2", {"Zr": 4, "Si": -4, "O": -2}),
        *((formula, {}) for formula in ("Li3PS5", "LiPS5", "Li2PS5", "Li4P3S", "BaO2", "NaN3")),  # bonds of equal atoms
        ("LiPS", {}),  # P(-3) and S(+2) would balance, and S takes electrons from P
        ("Ba13RuO8", {}),
        ("Ba30Ru30O90", {}),  # one reduced unit is small enough, this is not
        ("HeO", {}),
    ],
)
def test_oxidation_states_are_those_of_chemists(formula, states):
    assert oxidation_states(formula) == pytest.approx(states)


@pytest.mark.parametrize(
    ("formula", "by_infill", "words"),
    [
        ("BaRuO3", True, "balance: Ba +2, Ru +4, O −2"),
        ("Li2PS3", False, "balance: Li +1, P +4, S −2; by the rules of infill they do not"),
        ("Li3PS5", False, "no usual charges balance"),
        ("Li3PS5", None, "no usual charges balance"),
        ("LiPS", True, "no usual charges balance; by the rules of infill they do"),
        ("Ba30Ru30O90", True, "balance"),
        ("Ba30Ru30O90", None, "not asked"),
    ],
)
def test_charges_are_told_where_they_are_usual(formula, by_infill, words):
    assert dict(card(ROW | {"formula": formula, "charge_balanced": by_infill}, KNOWN).facts)["Charges"] == words


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (0.06, "+0.060 eV/atom from the hull; no longer near it"),
        (-0.017, "−0.017 eV/atom from the hull"),
        (None, None),
    ],
)
def test_what_the_correction_of_anions_holds_near_the_hull_is_told(without, words):
    facts = dict(card(ROW | {"energy_above_hull_uncorrected": without}, KNOWN).facts)
    assert facts.get("Without anion corrections") == words


def test_odds_say_what_they_rest_on():
    ranged = {"hull_low": -0.1, "hull_high": 0.1, "probability_near_hull": 0.8}
    told = dict(card(ROW | ranged, KNOWN).facts)["DFT is expected at"]
    assert told == "−0.100 to +0.100 eV/atom (90 %); at most 0.05 above the hull: 80 %, by the errors on known oxides"
    told = dict(card(ROW | ranged | {"formula": "BaSi2", "decomposition": None}, KNOWN).facts)["DFT is expected at"]
    assert told.endswith("by the errors on known other compounds")


def test_doubted_phases_are_told_with_what_leaves_them_off():
    known = {name: phase | {"defect": None} for name, phase in KNOWN.items()}
    known["b"]["defect"] = "atoms far apart: 10 times <the> volume; isolated molecules: 4 atoms each"
    facts = dict(card(ROW | {"hull_phases": ["b", "c"]}, known, leave_out=["no_energy"]).facts)
    assert facts["Doubted of these"] == (
        "BaO<sub>2</sub> (b): atoms far apart: 10 times &lt;the&gt; volume; to leave it off: "
        "<code>hull: {leave_out: [no_energy, b]}</code>"
    )
    known["b"]["defect"] = "isolated molecules: 4 atoms each"
    assert "Doubted of these" not in dict(card(ROW | {"hull_phases": ["b", "c"]}, known).facts)


def test_chips_claim_no_more_than_the_verdicts():
    both = {"agreement": "agreed stable", "second_potential": "CHGNet", "paper_stable": True}
    for first, second, words in (
        ("stable", "stable", "agreed stable"),
        ("borderline", "borderline", "agreed borderline"),
        ("stable", "borderline", "agreed: stable or borderline"),
    ):
        badges = dict(card(ROW | both | {"verdict": first, "second_verdict": second}, KNOWN).badges)
        assert badges["agreed"] == words
        assert set(badges) == {first, "agreed", "novelty"}
