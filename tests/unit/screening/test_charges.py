"""Which compositions balance, by which oxidation states."""

import pytest

from cgwgan_core.screening.charges import can_balance, charge_balanced


@pytest.mark.parametrize(
    ("formula", "plain", "mixed", "peroxide"),
    [
        ("BaRuO3", True, True, True),
        ("Ba2RuO4", True, True, True),
        ("Ba2Ru3O7", False, True, True),
        ("BaRu2O", False, False, False),
        ("Fe3O4", False, True, True),
        ("BaO2", False, False, True),
        ("KO2", False, False, True),
        ("CuAu", False, False, False),
        ("S", True, True, True),
        ("HeO", False, False, False),
    ],
)
def test_charges(formula: str, plain: bool, mixed: bool, peroxide: bool) -> None:
    assert charge_balanced(formula) == plain
    assert charge_balanced(formula, mixed_valence=True) == mixed
    assert charge_balanced(formula, mixed_valence=True, peroxides=True) == peroxide


@pytest.mark.parametrize(
    ("elements", "rules", "expected"),
    [
        ("Ba Ru O", "common", True),
        ("Al Ni Zr", "common", False),
        ("Al Ni Zr", "smact", True),
        ("O F", "common", False),
        ("He O", "icsd", False),
        ("S", "common", True),
    ],
)
def test_whether_any_formula_of_some_elements_balances(elements: str, rules: str, expected: bool) -> None:
    assert can_balance(elements.split(), rules) == expected


def test_states_of_the_icsd_are_more() -> None:
    assert not charge_balanced("Ba3Ru2O9")
    assert charge_balanced("Ba2Ru2O7", "icsd")  # Ru(V)


def test_smact_knows_charges_and_alloys() -> None:
    assert charge_balanced("BaRuO3", "smact")
    assert charge_balanced("CuAu", "smact")
    assert not charge_balanced("BaRu2O", "smact")
    assert not charge_balanced("Fe3O4", "smact")
    assert charge_balanced("Fe3O4", "smact", mixed_valence=True)
