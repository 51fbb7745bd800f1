"""Templates that every encoder must represent, and when two batches are the same."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from cgwgan_core.crystallography.spacegroups import (
    FREE,
    MULTIPLICITY,
    constrain_cell,
)
from cgwgan_core.crystallography.templates import Templates


def all_groups(copies: int = 2, seed: int = 0) -> Templates:
    """Templates of every group from 2 to 230: 3 or 4 ascending letters, random coordinates and cells."""
    random = np.random.default_rng(seed)
    spacegroup, letters = [], []
    for number in np.repeat(np.arange(2, 231), copies):
        offered = np.flatnonzero(MULTIPLICITY[number])
        single = [i for i in offered if not FREE[number, i].any()]
        several = [i for i in offered if FREE[number, i].any()]
        n = random.integers(3, 5)
        chosen = list(random.permutation(single)[: random.integers(0, n)])
        chosen += list(random.choice(several, n - len(chosen)))
        spacegroup.append(number)
        letters.append(sorted(chosen) + [-1] * (4 - n))
    n = len(spacegroup)
    lengths, angles = np.exp(random.uniform(1, 3, (n, 3))), random.uniform(75, 105, (n, 3))
    groups = np.array(spacegroup, dtype=np.int16)
    cell = constrain_cell(groups, np.column_stack([lengths, angles]))
    return Templates(groups, cell, np.array(letters, dtype=np.int8), random.random((n, 4, 3))).projected()


def assert_same(found: Templates, wanted: Templates, atol: float = 1e-4) -> None:
    assert_array_equal(found.spacegroup, wanted.spacegroup)
    assert_array_equal(found.letters, wanted.letters)
    assert np.abs((found.coords - wanted.coords + 0.5) % 1 - 0.5).max() < atol
    assert_allclose(found.cell, wanted.cell, atol=atol)
