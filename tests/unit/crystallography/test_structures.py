"""A crystal is the same as a row, as atoms and as a structure."""

import numpy as np
import pytest
from ase import Atoms

from cgwgan_core.crystallography.structures import (
    atoms_to_row,
    atoms_to_structure,
    row_arrays,
    row_to_atoms,
    row_to_structure,
)
from tests.support.crystals import crystal_row, perovskite


def triclinic() -> Atoms:
    """A crystal without symmetry, one atom outside its cell."""
    cell = [[4, 0, 0], [0.5, 5, 0], [0.3, 0.7, 6]]
    return Atoms("HOC", scaled_positions=[[0, 0, 0], [0.2, 0.3, 0.4], [1.7, -0.4, 0.1]], cell=cell, pbc=True)


def test_a_row_is_its_crystal() -> None:
    structure = perovskite(4.1)
    row = crystal_row(structure)
    lattice, numbers, coords = row_arrays(row)
    assert lattice.shape == (3, 3)
    assert numbers == [56, 44, 8, 8, 8]
    assert coords.shape == (5, 3)
    assert row_to_structure(row) == structure
    atoms = row_to_atoms(row)
    assert atoms.pbc.all()
    assert atoms.get_volume() == pytest.approx(4.1**3)
    assert atoms.get_chemical_formula() == "BaO3Ru"


def test_atoms_come_back_from_their_row() -> None:
    atoms = triclinic()
    for wrap in (True, False):
        row = atoms_to_row(atoms, wrap)
        coords = np.array(row["frac_coords"])
        assert (((coords >= 0) & (coords < 1)).all()) == wrap
        back = row_to_atoms(row)
        assert np.array_equal(back.cell.array, atoms.cell.array)
        assert np.array_equal(back.numbers, atoms.numbers)
        off = back.get_scaled_positions(wrap=False) - atoms.get_scaled_positions(wrap=False)
        assert off == pytest.approx(np.round(off), abs=1e-12)
        assert np.allclose(off, 0) != wrap


def test_atoms_and_structure_have_equal_distances() -> None:
    atoms = triclinic()
    structure = atoms_to_structure(atoms)
    assert [site.specie.Z for site in structure] == atoms.numbers.tolist()
    assert structure.distance_matrix == pytest.approx(atoms.get_all_distances(mic=True))
