"""The reaction that loses O2, by hand and against a brute search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgwgan_core.dft.oxygen import oxygen_loss
from cgwgan_core.screening.energetics import Hull


def test_peroxide_to_oxide() -> None:
    """BaO2 → BaO + 1/2 O2: twice the difference of the formation energies per formula."""
    found = oxygen_loss("BaO2", -2.1, [("BaO", -2.8)])
    assert found is not None
    assert found.energy == pytest.approx(2 * (3 * 2.1 - 2 * 2.8))
    assert found.products == {"BaO": pytest.approx(1)}


def test_measured_enthalpies() -> None:
    """2 BaO2 → 2 BaO + O2 takes 162 kJ/mol by the enthalpies of formation of NIST-JANAF, -548.1 and -629.1."""
    in_ev = 1 / 96.485
    found = oxygen_loss("BaO2", -629.1 * in_ev / 3, [("BaO", -548.1 * in_ev / 2)])
    assert found is not None
    assert found.energy == pytest.approx(162.0 * in_ev, abs=1e-6)


def test_first_step_is_the_easiest() -> None:
    """RuO4 loses O2 to RuO2, not all of it to Ru."""
    found = oxygen_loss("RuO4", -1.18, [("RuO2", -1.45)])
    assert found is not None
    assert list(found.products) == ["RuO2"]
    assert found.energy == pytest.approx(5 * 1.18 - 3 * 1.45)


def test_oxygen_may_be_lost_at_a_gain() -> None:
    found = oxygen_loss("BaO2", -1.8, [("BaO", -2.8)])
    assert found is not None
    assert found.energy == pytest.approx(2 * (3 * 1.8 - 2 * 2.8))


def test_what_falls_apart_without_losing_oxygen() -> None:
    """BaRuO3 lies above BaO and RuO2."""
    assert oxygen_loss("BaRuO3", -1.9, [("BaO", -2.8), ("RuO2", -1.4)]) is None


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.floats(-2, 0)), min_size=1, max_size=5))
def test_no_amount_of_oxygen_is_lost_at_less(phases: list[tuple[int, int, float]]) -> None:
    """Hulls at the compositions left after any loss, by pymatgen."""
    known = [(f"Ba{a}O{b}", energy) for a, b, energy in phases]
    hull = Hull(known, ["Ba", "O"])
    energy = hull.energy_per_atom("BaO3") - 0.1
    found = oxygen_loss("BaO3", energy, known)
    assert found is not None
    for lost in np.linspace(0.05, 2.95, 59).tolist():
        left = 4 - lost
        reaction = left * hull.energy_per_atom(f"BaO{3 - lost:.4f}") - 4 * energy
        assert reaction / (lost / 2) >= found.energy - 1e-6
    assert sum(found.products.values()) == pytest.approx(1, abs=1e-6)
