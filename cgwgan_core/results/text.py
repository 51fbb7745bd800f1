"""How the report prints numbers, formulas and space groups."""

import math
import re

from markupsafe import Markup, escape

from cgwgan_core.crystallography.symmetry import hermann_mauguin

NONE = "–"
"""What is printed where there is no value."""
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def fixed(value: float | None, digits: int) -> str:
    """A number with so many decimals, a true minus sign and separated thousands; a dash for none.

    >>> fixed(-1234.567, 1), fixed(None, 2), fixed(-0.0001, 2)
    ('−1,234.6', '–', '0.00')
    """
    if value is None or not math.isfinite(value):
        return NONE
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def symbol_text(number: int) -> str:
    """The Hermann-Mauguin symbol in plain text, screw axes with subscripts: ``P6₃/mmc``."""
    return re.sub(r"_(\d)", lambda found: found[1].translate(_SUBSCRIPTS), hermann_mauguin(number))


def formula_text(formula: str) -> str:
    """A formula with subscripts, in plain text: ``BaRuO3`` BaRuO₃."""
    return formula.translate(_SUBSCRIPTS)


def formula_html(formula: str) -> Markup:
    """A formula with subscripts: ``BaRuO3`` BaRuO<sub>3</sub>."""
    return Markup(re.sub(r"(\d+)", r"<sub>\1</sub>", str(escape(formula))))


def spacegroup_html(number: int) -> Markup:
    """The Hermann-Mauguin symbol with its bars and screw axes, and the number.

    >>> str(spacegroup_html(227))
    '<i>Fd</i><span class="bar">3</span><i>m</i> (227)'
    """
    text = re.sub(r"([A-Za-z]+)", r"<i>\1</i>", hermann_mauguin(number))
    text = re.sub(r"-(\d)", r'<span class="bar">\1</span>', text)
    text = re.sub(r"_(\d)", r"<sub>\1</sub>", text)
    return Markup(f"{text} ({number})")
