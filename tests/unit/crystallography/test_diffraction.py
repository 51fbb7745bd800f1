"""Powder diffraction patterns."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from cgwgan_core.crystallography.diffraction import lines, patterns, similarity, strongest

SALT = Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])


HALITE = {"1 1 1": 27.33, "2 0 0": 31.69, "2 2 0": 45.45, "2 2 2": 56.48, "4 2 0": 75.30}
"""2θ of rock salt's lines, PDF 5-628, by Kα1: those of the mean of both Kα lines lie up to 0.08° higher."""


def test_lines_of_rock_salt_are_those_of_the_handbook() -> None:
    everything = lines(SALT)
    found = strongest(everything)
    angles = dict(zip(found.indices, found.angles, strict=True))
    assert {index: angles[index] for index in HALITE} == pytest.approx(HALITE, abs=0.08)
    assert found.indices[:2] == ["2 0 0", "2 2 0"]
    assert found.heights == sorted(found.heights, reverse=True)
    assert found.heights[0] == 100
    assert sorted(strongest(everything, 99).angles) == everything.angles
    assert strongest(everything, 3).angles == found.angles[:3]


def test_families_of_one_angle_are_all_named() -> None:
    simple = Structure.from_spacegroup(221, Lattice.cubic(5.0), ["Ba"], [(0, 0, 0)])
    assert "3 0 0 / 2 2 1" in lines(simple).indices or "2 2 1 / 3 0 0" in lines(simple).indices


def test_patterns_know_a_crystal_by_any_cell() -> None:
    other = Structure.from_spacegroup(221, Lattice.cubic(4.12), ["Cs", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    found = patterns([SALT, SALT.get_primitive_structure(), other])
    alike = similarity(found, found)
    assert np.diag(alike) == pytest.approx(1)
    assert alike[0, 1] == pytest.approx(1, abs=1e-6)
    assert alike[0, 2] < 0.3
    assert similarity(found[:1], found).shape == (1, 3)
