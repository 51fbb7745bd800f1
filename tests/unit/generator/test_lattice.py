"""The six numbers of a lattice, and back."""

import numpy as np
from numpy.testing import assert_allclose

from cgwgan_core.crystallography.spacegroups import (
    cell_volume,
)
from cgwgan_core.generator.lattice import cell_from_terms, cell_terms
from tests.support.encoding import all_groups


def test_cell_terms_separate_size_from_shape() -> None:
    templates = all_groups()
    terms = cell_terms(templates.cell, templates.n_atoms)
    assert_allclose(np.exp(terms[:, 0]), cell_volume(templates.cell) / templates.n_atoms)
    assert_allclose(cell_from_terms(templates.spacegroup, terms, templates.n_atoms), templates.cell, rtol=1e-9)
    # α* of a known triclinic cell, as Int. Tables B 1.1 defines it: the angle between b* and c*
    cell = np.array([[4.0, 5.0, 6.0, 80.0, 95.0, 110.0]])
    ca, cb, cg = np.cos(np.radians(cell[0, 3:]))
    gram = np.array([[16, 20 * cg, 24 * cb], [20 * cg, 25, 30 * ca], [24 * cb, 30 * ca, 36]])
    reciprocal = np.linalg.inv(gram)
    star = np.degrees(np.arccos(reciprocal[1, 2] / np.sqrt(reciprocal[1, 1] * reciprocal[2, 2])))
    assert_allclose(cell_terms(cell, np.array([1]))[0, 3], star)


def test_any_generated_angles_enclose_a_volume() -> None:
    random = np.random.default_rng(3)
    terms = np.column_stack(
        [random.normal(3, 1, 1000), random.normal(0, 1, (1000, 2)), random.uniform(5, 175, (1000, 3))]
    )
    volume = cell_volume(cell_from_terms(np.full(1000, 2), terms, np.full(1000, 8)))
    assert_allclose(volume / 8, np.exp(terms[:, 0]), rtol=1e-6)
