"""Powder diffraction patterns."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from cgwgan_core.results.diffraction import patterns, similarity


def test_patterns_know_a_crystal_by_any_cell() -> None:
    salt = Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    other = Structure.from_spacegroup(221, Lattice.cubic(4.12), ["Cs", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    found = patterns([salt, salt.get_primitive_structure(), other])
    alike = similarity(found, found)
    assert np.diag(alike) == pytest.approx(1)
    assert alike[0, 1] == pytest.approx(1, abs=1e-6)
    assert alike[0, 2] < 0.3
    assert similarity(found[:1], found).shape == (1, 3)
