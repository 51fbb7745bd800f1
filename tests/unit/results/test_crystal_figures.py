"""The figures of one crystal show its atoms, bonds, bands and lines, and nothing else."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from plotly import graph_objects as go
from pymatgen.io.ase import AseAtomsAdaptor

from cgwgan_core.crystallography.diffraction import lines
from cgwgan_core.results.crystal_figures import bands_figure, cell_figure, diffraction_figure, drawn_atoms

RUTILE = crystal(["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.594, 4.594, 2.959, 90, 90, 90])
PEROVSKITE = Atoms(
    "SrTiO3",
    cell=[3.905] * 3,
    pbc=True,
    scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
)


@pytest.mark.parametrize(("atoms", "octahedra"), [(RUTILE, 9), (PEROVSKITE, 1)])
def test_octahedra_stand_about_titanium_alone(atoms, octahedra):
    numbers, places, bonds, polyhedra = drawn_atoms(atoms)
    assert [len(corners) for _, corners in polyhedra] == [6] * octahedra
    assert {z for z, _ in polyhedra} == {22}
    for a, b in bonds:
        assert {numbers[a], numbers[b]} == {22, 8}
        assert np.linalg.norm(places[a] - places[b]) < 2.0


def test_atoms_on_faces_are_drawn_on_all_of_them():
    numbers, places, _, _ = drawn_atoms(PEROVSKITE)
    assert (numbers == 38).sum() == 8
    assert (numbers == 8).sum() == 6
    assert len(np.unique(places.round(6), axis=0)) == len(places)


@pytest.mark.parametrize("shift", [0.0, 0.37, -1.2])
def test_the_origin_does_not_tear_bonds(shift):
    moved = RUTILE.copy()
    moved.set_scaled_positions(RUTILE.get_scaled_positions() + shift)
    _, places, bonds, _ = drawn_atoms(moved)
    assert max(np.linalg.norm(places[a] - places[b]) for a, b in bonds) < 2.0


def test_a_metal_has_neither_bonds_nor_polyhedra():
    _, _, bonds, polyhedra = drawn_atoms(bulk("Cu", cubic=True))
    assert bonds == polyhedra == []


def test_the_cell_is_a_figure_with_radii():
    figure = cell_figure(PEROVSKITE)
    atoms = {trace["name"]: trace for trace in figure["data"] if trace.get("mode") == "markers"}
    assert set(atoms) == {"Sr", "Ti", "O"}
    assert atoms["Sr"]["meta"]["radius"] > atoms["O"]["meta"]["radius"]
    assert len(go.Figure(figure).data) == len(figure["data"])


def test_bands_are_drawn_leg_by_leg_and_imaginary_ones_in_red():
    row = {
        "band_distances": [0.0, 0.1, 0.2, 0.2, 0.3],
        "band_frequencies": [0.0, 5.0, 1.0, 6.0, -1.0, 7.0, 2.0, 4.0, 3.0, 3.0],
        "band_breaks": [0, 3],
        "band_ticks": [0.0, 0.2, 0.3],
        "band_labels": ["Γ", "X|U", "K"],
    }
    figure = bands_figure(row)
    real, imaginary = figure["data"]
    assert real["x"] == [0.0, 0.1, 0.2, None, 0.0, 0.1, 0.2, None, 0.2, 0.3, None, 0.2, 0.3, None]
    assert real["y"] == [0.0, 1.0, -1.0, None, 5.0, 6.0, 7.0, None, 2.0, 3.0, None, 4.0, 3.0, None]
    assert [y for y in imaginary["y"] if y is not None] == [-1.0]
    assert figure["layout"]["xaxis"]["ticktext"] == ["Γ", "X|U", "K"]
    thinned = bands_figure(row, thin=2)["data"][0]
    assert thinned["x"][:3] == [0.0, 0.2, None]
    go.Figure(figure)


def test_patterns_stand_back_to_back():
    own, known = (lines(AseAtomsAdaptor.get_structure(atoms)) for atoms in (RUTILE, PEROVSKITE))
    strongest = own.angles[int(np.argmax(own.heights))]
    assert strongest == pytest.approx(27.4, abs=0.1)  # rutile's (110)
    up, down = diffraction_figure(own, known, ("TiO₂", "SrTiO₃"))["data"]
    assert max(y for y in up["y"] if y is not None) == 100
    assert min(y for y in down["y"] if y is not None) == -100
    assert len(diffraction_figure(own, None, ("TiO₂", ""))["data"]) == 1
