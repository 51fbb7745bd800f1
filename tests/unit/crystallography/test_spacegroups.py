"""The Wyckoff tables against moyo's operations and PyXtal's own orbits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyxtal.symmetry import Group

from cgwgan_core.crystallography import spacegroups as sg


def test_there_are_1731_positions_and_27_in_pmmm() -> None:
    assert (sg.MULTIPLICITY > 0).sum() == 1731
    assert (sg.MULTIPLICITY[47] > 0).sum() == 27
    assert [sg.letter_index(sg.letter_name(i)) for i in range(27)] == list(range(27))


def test_crystal_systems_change_at_the_numbers_of_the_international_tables() -> None:
    last = [2, 15, 74, 142, 167, 194, 230]
    names = ["triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic"]
    assert sg.crystal_systems(last).tolist() == names
    assert sg.crystal_systems([1, *(n + 1 for n in last[:-1])]).tolist() == names


@pytest.mark.parametrize("number", range(1, 231))
def test_every_orbit_is_pyxtals(number: int) -> None:
    """Tables and operations come from two sources; PyXtal's orbits must be ours, atom by atom."""
    x = np.array([0.1357, 0.2468, 0.3791])
    for position in Group(number).Wyckoff_positions:
        letter = sg.letter_index(position.letter)
        maps = sg.orbit(number, letter)
        ours = (maps[:, :, :3] @ x + maps[:, :, 3])[:, None] + sg.centring(number)
        theirs = np.array([op.operate(x) for op in position.ops])
        assert ours.shape[0] * ours.shape[1] == position.multiplicity == sg.MULTIPLICITY[number, letter]
        difference = ours.reshape(-1, 1, 3) - theirs
        assert (np.abs(difference - np.round(difference)).max(-1) < 1e-6).any(1).all()


@pytest.mark.parametrize("number", range(1, 231))
def test_representatives_are_projections_with_a_coordinate_per_parameter(number: int) -> None:
    for letter in np.flatnonzero(sg.MULTIPLICITY[number]):
        linear, shift = sg.REPRESENTATIVE[number, letter, :, :3], sg.REPRESENTATIVE[number, letter, :, 3]
        free = sg.FREE[number, letter]
        assert np.allclose(linear @ linear, linear)
        assert np.allclose(linear @ shift, 0)
        assert np.array_equal(linear[free], np.eye(3)[free])
        assert not shift[free].any()


def test_primitive_cells_hold_one_lattice_point() -> None:
    for number in range(1, 231):
        basis, shifts = sg.primitive_basis(number), sg.centring(number)
        assert np.isclose(np.linalg.det(basis) * len(shifts), 1)
        difference = basis[:, None] - shifts
        assert (np.abs(difference - np.round(difference)).max(-1) < 1e-9).any(1).all()


@given(
    number=st.integers(1, 230),
    lengths=st.tuples(*[st.floats(2, 20)] * 3),
    angles=st.tuples(*[st.floats(70, 110)] * 3),
)
def test_constrained_cells_keep_the_metric_of_every_rotation(
    number: int, lengths: tuple[float, ...], angles: tuple[float, ...]
) -> None:
    cell = sg.constrain_cell(np.array([number]), np.array([[*lengths, *angles]]))
    vectors = sg.cell_vectors(cell)[0]
    metric = vectors @ vectors.T
    for rotation in sg.operations(number)[:, :, :3]:
        assert np.allclose(rotation.T @ metric @ rotation, metric, atol=1e-9 * metric.max())
    assert np.allclose(np.linalg.norm(vectors, axis=1), cell[0, :3])


def test_affine_reads_every_form_of_a_triplet() -> None:
    assert sg.affine("-y,x-y,z+1/3").tolist() == [[0, -1, 0, 0], [1, -1, 0, 0], [0, 0, 1, 1 / 3]]


def test_groups_are_asked_for_by_number_and_by_system() -> None:
    assert sg.numbers_of(["cubic", 2, 2]) == [2, *range(195, 231)]
    assert sg.numbers_of(sg.CRYSTAL_SYSTEMS) == list(range(1, 231))


def test_an_unknown_letter_is_named() -> None:
    with pytest.raises(ValueError, match="space group 225 has no Wyckoff letter z"):
        sg.orbit(225, 25)
