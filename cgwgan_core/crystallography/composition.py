"""Reduced formulas, as pymatgen and the Materials Project write them."""

from functools import cache

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
