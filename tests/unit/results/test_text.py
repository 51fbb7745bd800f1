"""Numbers, formulas and space groups as they are printed."""

import pytest

from cgwgan_core.results.text import fixed, formula_html, formula_text, spacegroup_html, symbol_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("BaRuO3", "BaRuO<sub>3</sub>"), ("Ba12Ru", "Ba<sub>12</sub>Ru"), ("<b>", "&lt;b&gt;")],
)
def test_formulas_have_subscripts(text, expected):
    assert formula_html(text) == expected


def test_numbers_are_printed_with_a_true_minus():
    assert fixed(-1234.567, 1) == "−1,234.6"
    assert fixed(-0.0001, 2) == "0.00"
    assert fixed(float("nan"), 2) == fixed(None, 2) == "–"


def test_formulas_and_symbols_in_plain_text():
    assert formula_text("Ba12RuO3") == "Ba₁₂RuO₃"
    assert symbol_text(194) == "P6₃/mmc"


def test_symbols_have_bars_and_screw_axes():
    assert spacegroup_html(227) == '<i>Fd</i><span class="bar">3</span><i>m</i> (227)'
    assert "<i>P</i>6<sub>3</sub>" in spacegroup_html(194)
