"""Charges, gaps and bands of known crystals, and what is said of those that have none."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io.cube import write_cube
from ase.units import Bohr

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.dft.ase_engine import AseEngine, Gpaw
from cgwgan_core.dft.bader import basins, electrons_of_atoms, facets, read_cube
from cgwgan_core.dft.electrons import POTENTIAL, asked_of, band_columns, charge_columns, electrons, ground_state, short
from cgwgan_core.dft.store import Store
from cgwgan_core.results.electrons import draw
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from tests.support.workflow import ROOT

GPAW = Path(os.environ.get("CGWGAN_TEST_GPAW") or ROOT / ".venv-dft/bin/python")


def magnesia() -> Atoms:
    return bulk("MgO", "rocksalt", a=4.21)


def crystal(atoms: Atoms, name: str = "mgo", status: str = "ok") -> dict[str, Any]:
    formula = atoms.get_chemical_formula("reduce")
    return {"crystal_id": name, "kind": "known", "formula": formula, "status": status, **atoms_to_row(atoms)}


def found(bands: list[Any]) -> dict[str, Any]:
    """What GPAW's program writes, with these eigenvalues (spins, points, bands) on the mesh."""
    spins = len(bands)
    states = np.ones((spins, 3)).tolist()
    n_points = len(asked_of(magnesia())["path"])
    path = np.repeat(np.array(bands)[:, :1], n_points, axis=1).tolist()
    return {
        "fermi_level": 5.0,
        "bands": path,
        "mesh_eigenvalues": bands,
        "energies": [-1.0, 0.0, 1.0],
        "dos": states,
        "projected": {"Mg": states, "O": states},
    }


def test_charges_are_nuclear_less_electrons() -> None:
    row = charge_columns(Atoms("MgOO"), [10.4, 8.7, 8.9])
    assert row["charges"] == [1.6, -0.7, -0.9]
    assert row["elements"] == ["Mg", "O"]
    assert row["element_charges"] == pytest.approx([1.6, -0.8])


def test_missing_electrons_are_refused() -> None:
    with pytest.raises(InputError, match=r"misses 0\.100 of 20 electrons"):
        charge_columns(Atoms("MgO"), [10.3, 9.6])


def test_gap_is_between_all_points_and_zero_is_the_highest_occupied_state() -> None:
    row = band_columns(magnesia(), found([[[-3.0, 2.0], [-1.0, 4.0]]]))
    assert row["gap"] == pytest.approx(3.0)
    assert row["band_energies"][:2] == pytest.approx([-2.0, 3.0])
    assert row["dos_energies"] == pytest.approx([0.0, 1.0, 2.0])


def test_metal_has_its_fermi_level_at_zero() -> None:
    row = band_columns(magnesia(), found([[[-3.0, 2.0], [-1.0, -0.5]]]))
    assert (row["gap"], row["spin_gaps"]) == (0.0, [0.0])
    assert row["band_energies"][:2] == pytest.approx([-3.0, 2.0])


def test_half_metal_has_a_gap_in_one_spin() -> None:
    row = band_columns(magnesia(), found([[[-3.0, 2.0], [-1.0, -0.5]], [[-3.0, 2.0], [-1.0, 1.5]]]))
    assert row["gap"] == 0.0
    assert row["spin_gaps"] == pytest.approx([0.0, 2.5])


def test_bands_fit_their_path() -> None:
    row = band_columns(magnesia(), found([[[-3.0, 2.0], [-1.0, 4.0]]]))
    spins, points, bands = row["band_shape"]
    assert len(row["band_energies"]) == spins * points * bands
    assert len(row["band_distances"]) == points
    assert len(row["band_ticks"]) == len(row["band_labels"])
    assert row["band_labels"][0] == "Γ"
    assert "K|U" in row["band_labels"]  # the path of a face-centred cubic lattice jumps there


def test_figure_is_the_same_every_time() -> None:
    row = {"formula": "MgO", **band_columns(magnesia(), found([[[-3.0, 2.0], [-1.0, 4.0]]]))}
    figure = draw(row)
    assert figure.startswith("<?xml")
    assert "density of states of MgO" in figure
    assert draw(row) == figure


def test_short_columns_have_no_bands() -> None:
    row = {"gap": 1.0, "charges": [1.0], "band_energies": [1.0], "dos": [1.0], "dos_projected": [1.0]}
    assert short(row) == {"gap": 1.0, "charges": [1.0]}


def test_cube_of_an_oblong_grid_keeps_its_order(tmp_path: Path) -> None:
    atoms = Atoms("MgO", cell=[[3, 0, 0], [0.5, 4, 0], [0, 0, 5]], positions=[[0, 0, 0], [1.5, 2, 2.5]], pbc=True)
    density = np.random.default_rng(0).random((4, 5, 7))
    with (tmp_path / "density.cube").open("w") as stream:
        write_cube(stream, atoms, data=density * Bohr**3)
    crystal, read = read_cube(tmp_path / "density.cube")
    np.testing.assert_allclose(crystal.cell.array, atoms.cell.array, atol=1e-5)
    np.testing.assert_allclose(crystal.positions, atoms.positions, atol=1e-5)
    np.testing.assert_allclose(read, density, rtol=1e-5)
    assert crystal.numbers.tolist() == [12, 8]


def gaussians(atoms: Atoms, shape: tuple[int, int, int], widths: list[float]) -> Any:
    """A density of one electron at each atom, of these widths (Å), with all near images."""
    axes = [np.arange(n) / n for n in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    density = np.zeros(shape)
    images = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for place, width in zip(atoms.get_scaled_positions(), widths, strict=True):
        for image in images:
            squares = (((points - place - image) @ atoms.cell.array) ** 2).sum(axis=-1)
            density += np.exp(-squares / (2 * width**2)) / (width * np.sqrt(2 * np.pi)) ** 3
    return density


def test_equal_atoms_get_equal_shares_in_an_oblique_cell() -> None:
    atoms = Atoms(
        "HH", cell=[[3, 0, 0], [1.1, 3.2, 0], [0.4, -0.7, 4]], scaled_positions=[[0, 0, 0], [0.5] * 3], pbc=True
    )
    found = electrons_of_atoms(atoms, gaussians(atoms, (30, 32, 40), [0.4, 0.4]))
    assert found == pytest.approx([1.0, 1.0], abs=1e-3)


def test_the_border_is_where_the_density_is_least() -> None:
    """Along a line of atoms far apart from other lines, what lies on either side of the two minima is integrated."""
    atoms = Atoms("HH", cell=[6.0, 4.0, 4.0], positions=[[0, 2, 2], [2.4, 2, 2]], pbc=True)
    density = gaussians(atoms, (120, 40, 40), [0.45, 0.7])
    along = density.sum(axis=(1, 2)) * 6.0 * 16.0 / density.size
    line = density[:, 20, 20]
    first, second = line[:48].argmin(), 48 + line[48:].argmin()
    wide = along[first:second].sum()  # planes, as far as the border is one
    found = electrons_of_atoms(atoms, density)
    assert found.sum() == pytest.approx(2.0, abs=1e-3)
    assert found[1] == pytest.approx(wide, abs=0.06)
    assert found[1] < 0.98  # it is the wider one that loses


def test_nothing_is_lost_in_noise() -> None:
    density = np.random.default_rng(1).random((6, 7, 8))
    places, electrons = basins(density, np.diag([3.0, 4.0, 5.0]))
    assert len(places) > 5
    assert electrons.sum() == pytest.approx(density.mean() * 60)


def test_flat_density_stays_where_it_is() -> None:
    _, electrons = basins(np.ones((3, 4, 5)), np.eye(3))
    assert electrons == pytest.approx(np.full(60, 1 / 60))


def test_facets_of_a_close_packed_grid_are_those_of_a_dodecahedron() -> None:
    voxel = bulk("Cu", a=np.sqrt(2)).cell.array  # neighbours at 1 Å
    found = facets(voxel)
    assert len(found) == 12
    assert sum(weight for _, weight in found) == pytest.approx(6 * abs(np.linalg.det(voxel)))  # Σ area·distance = 6 V


def test_other_engines_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", AseEngine("ase.calculators.emt:EMT", "false"))
    with pytest.raises(InputError, match=r"dft\.engine: electrons are computed by gpaw only, not by ase"):
        electrons("mgo", [crystal(magnesia())], [], store)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (crystal(magnesia(), "other"), "mgo is no crystal_id"),
        (crystal(magnesia(), status="45 atoms, more than 20"), "45 atoms, more than 20"),
        (crystal(magnesia()), "mgo: no energy: the engine failed"),
    ],
)
def test_what_has_no_density_is_told(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        electrons("mgo", [row], [], Store(tmp_path / "store", Gpaw("false")))


def test_geometry_is_that_relaxed_by_dft_where_there_is_one(tmp_path: Path) -> None:
    relaxed = {**crystal(bulk("MgO", "rocksalt", a=4.3)), "moments": [0.5, 0.0], "magnetic_order": "FM"}
    state = ground_state(crystal(magnesia()), [relaxed], Store(tmp_path, Gpaw("false")))
    assert (state.geometry, state.order) == ("relaxed by DFT", "FM")
    assert state.atoms.get_volume() == pytest.approx(4.3**3 / 4)
    assert state.atoms.get_initial_magnetic_moments().tolist() == [0.5, 0.0]


@pytest.mark.skipif(not GPAW.exists(), reason="no GPAW; run: make dft-environment, or name it in $CGWGAN_TEST_GPAW")
def test_magnesia(tmp_path: Path) -> None:
    """Charges beside the ±1.7 e of Bader's partition in the literature, the gap beside PBE's 4.7 eV at this cell."""
    store = Store(tmp_path / "store", Gpaw(str(GPAW)))
    row = electrons("mgo", [crystal(magnesia())], [], store)
    assert row["elements"] == ["Mg", "O"]
    assert 1.5 < row["charges"][0] < 1.9
    assert abs(sum(row["charges"])) < 0.02
    assert row["gap"] == pytest.approx(4.7, abs=0.2)
    assert (row["geometry"], row["magnetic_order"]) == (POTENTIAL, "NM")
    below = np.array(row["dos_energies"]) < 1.0
    assert np.array(row["dos"])[below].sum() * 0.02 == pytest.approx(6, abs=0.1)
    assert tables.to_table([row], tables.DFT_ELECTRONS).num_rows == 1
    assert electrons("mgo", [crystal(magnesia())], [], Store(tmp_path / "store", Gpaw("false"))) == row
