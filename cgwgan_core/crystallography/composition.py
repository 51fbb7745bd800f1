"""Reduced formulas, as pymatgen and the Materials Project write them."""

import re
from collections.abc import Sequence
from functools import cache
from math import gcd

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from pymatgen.core import Composition

from cgwgan_core.workflow.arrays import Integers


@cache
def reduced_formula(counts: tuple[tuple[str, int], ...]) -> str:
    """Reduced formula of elements and their numbers of atoms; results are kept, as few differ among millions.

    The order given is that of He, Ne and Ar in the formula, which have no electronegativity to be ordered by.

    >>> reduced_formula((("Ba", 2), ("O", 6), ("Ru", 2)))
    'BaRuO3'
    """
    return Composition(dict(counts)).reduced_formula


def formula_of_numbers(numbers: Integers) -> str:
    """Reduced formula of the atomic numbers of a crystal, (n,).

    >>> formula_of_numbers(np.array([56, 44, 8, 8, 8]))
    'BaRuO3'
    """
    elements, counts = np.unique(numbers, return_counts=True)
    counts = counts // np.gcd.reduce(counts)
    return reduced_formula(tuple((chemical_symbols[z], n) for z, n in zip(elements, counts.tolist(), strict=True)))


def formula_of_atoms(atoms: Atoms) -> str:
    """Reduced formula of a crystal, such as ``Ba(RuO2)3``."""
    return reduced_formula(tuple(atoms.symbols.formula.convert("hill").count().items()))


def reduced(amounts: Sequence[int]) -> tuple[int, ...]:
    """Numbers of atoms as the smallest whole ones of these ratios, ascending.

    >>> reduced([6, 2, 2])
    (1, 1, 3)
    """
    return tuple(sorted(n // gcd(*amounts) for n in amounts))


def ratio_of(formula: str) -> tuple[int, ...]:
    """Ratio that an anonymous formula stands for: one capital letter for each element, whole numbers.

    >>> ratio_of("ABX3"), ratio_of("A2BX4")
    ((1, 1, 3), (1, 2, 4))

    :raises ValueError: if it is none, or has a letter twice.
    """
    parts = re.findall(r"([A-Z])([1-9]\d*)?", formula)
    letters = [letter for letter, _ in parts]
    if "".join(letter + n for letter, n in parts) != formula or not parts or len(set(letters)) < len(letters):
        raise ValueError(f"{formula!r} is no anonymous formula, such as ABX3")
    return reduced([int(n or 1) for _, n in parts])


def can_hold(multiplicities: Sequence[int], amounts: Sequence[int]) -> bool:
    """Whether sites can be shared out among the elements of a formula, each site to one.

    :param multiplicities: atoms of each site.
    :param amounts: atoms of each element in the formula.

    >>> can_hold([1, 1, 3], [1, 1, 3]), can_hold([2, 4, 4], [1, 1, 3])
    (True, False)
    """
    whole = reduced(amounts)
    units, left = divmod(sum(multiplicities), sum(whole))
    if left or len(multiplicities) < len(whole):
        return False
    return _shared_out(tuple(sorted(multiplicities, reverse=True)), tuple(sorted(units * n for n in whole)))


def can_hold_one(multiplicities: Sequence[int], formulas: Sequence[tuple[int, ...]]) -> bool:
    """Whether sites can hold one of several formulas; see :func:`can_hold`.

    :param multiplicities: atoms of each site, 0 where there is none.
    """
    return _can_hold_one(tuple(sorted(m for m in multiplicities if m)), tuple(formulas))


@cache
def _can_hold_one(multiplicities: tuple[int, ...], formulas: tuple[tuple[int, ...], ...]) -> bool:
    return any(can_hold(multiplicities, amounts) for amounts in formulas)


@cache
def _shared_out(sites: tuple[int, ...], rooms: tuple[int, ...]) -> bool:
    """Whether sites, largest first, fill rooms to the last atom."""
    if not sites:
        return True
    first, rest = sites[0], sites[1:]
    return any(
        _shared_out(rest, tuple(sorted((*rooms[:i], room - first, *rooms[i + 1 :]))))
        for i, room in enumerate(rooms)
        if room >= first and room not in rooms[:i]
    )
