"""Whether the charges of a composition can balance."""

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any

from pymatgen.core import Composition, Element

OXIDATION_STATES = ("common", "icsd", "smact")
"""Where states come from; see :func:`charge_balanced`."""


@cache
def charge_balanced(
    formula: str, oxidation_states: str = "common", mixed_valence: bool = False, peroxides: bool = False
) -> bool:
    """Whether oxidation states of the elements add up to zero.

    Every element takes one of its states. With ``mixed_valence`` atoms of one element may have several states of
    one sign, so that their mean may be anything between: Fe3O4 balances, with Fe(II) and Fe(III). An element alone is
    balanced. An element without listed states balances nothing.

    :param formula: any formula. Results are kept, so that a million candidates cost a few hundred calls.
    :param oxidation_states: ``common`` or ``icsd``, both of pymatgen's tables; ``smact``: what SMACT calls valid
        (Davies et al., Chem 1, 617 (2016), doi:10.1016/j.chempr.2016.09.010), which are neutral compounds whose anions
        are the more electronegative, and alloys of metals.
    :param peroxides: O may have -1 and -1/2 besides, and with mixed valence anything between them and -2.
    """
    composition = Composition(formula).reduced_composition
    if len(composition) == 1:
        return True
    if oxidation_states == "smact":
        from smact.screening import smact_validity  # noqa: PLC0415 - takes seconds

        return bool(smact_validity(composition, mixed_valence=mixed_valence))
    ranges: list[list[tuple[float, float]]] = []
    for element, count in composition.items():
        states = _states(element, oxidation_states)
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


def can_balance(elements: Sequence[str], oxidation_states: str = "common") -> bool:
    """Whether any formula with all these elements balances: some of them give electrons, others take them.

    SMACT's rules hold alloys to be valid, so it is always true by them.
    """
    if len(elements) == 1 or oxidation_states == "smact":
        return True
    signs = [{state > 0 for state in _states(Element(symbol), oxidation_states)} for symbol in elements]
    return any(set(choice) == {True, False} for choice in product(*signs))


def _states(element: Any, oxidation_states: str) -> list[float]:
    """States of a pymatgen element but zero, by one of its tables."""
    found = element.common_oxidation_states if oxidation_states == "common" else element.icsd_oxidation_states
    return [float(q) for q in found or () if q]
