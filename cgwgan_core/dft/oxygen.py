"""What it costs a crystal to lose O2."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from cgwgan_core.dft.formation import shares_of

LEAST = 1e-7
"""Share of the atoms below which a phase is no product but rounding."""


@dataclass(frozen=True)
class OxygenLoss:
    """The reaction in which a crystal loses O2 most easily."""

    energy: float
    """eV per O2 released; negative: at a gain. With the opposite sign it is the chemical potential of O2, against the
    molecule, below which the crystal loses O2."""
    products: dict[str, float]
    """Formula of each solid product -> its share of the products' atoms, in alphabetical order."""


def oxygen_loss(formula: str, energy: float, phases: Sequence[tuple[str, float]]) -> OxygenLoss | None:
    """The lowest reaction crystal → phases + O2, per O2.

    A linear program: how much of the crystal and of each phase, so that one O2 is released and the elements balance, at
    the least energy. There is no least if the crystal falls apart at a gain into phases that keep all of its oxygen.

    :param formula: of the crystal, which holds oxygen.
    :param energy: its formation energy, eV/atom. That of O2 is zero, as that of all other elements.
    :param phases: formula and formation energy (eV/atom) of what it may become; elements are added.
    :returns: ``None`` if there is no least.
    """
    crystal = shares_of(formula)
    elements = sorted({symbol for name, _ in phases for symbol in shares_of(name)} | set(crystal))
    names = [*(name for name, _ in phases), *(symbol for symbol in elements if symbol != "O")]
    energies = [*(value for _, value in phases), *([0.0] * (len(elements) - 1))]
    made = np.array([[shares_of(name).get(symbol, 0.0) for name in names] for symbol in elements])
    used = np.array([[crystal.get(symbol, 0.0)] for symbol in elements])
    released = np.array([2.0 if symbol == "O" else 0.0 for symbol in elements])
    found = linprog([*energies, -energy], A_eq=np.hstack([made, -used]), b_eq=-released, method="highs")
    if found.status != 0:
        return None
    amounts = dict.fromkeys(sorted(names), 0.0)
    for name, amount in zip(names, found.x[:-1].tolist(), strict=True):
        amounts[name] += amount
    total = sum(amounts.values())
    return OxygenLoss(
        float(found.fun), {name: amount / total for name, amount in amounts.items() if amount > LEAST * total}
    )
