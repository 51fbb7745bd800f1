"""Standard primitive cells and band paths."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from phonopy import Phonopy

from cgwgan_core.phonons.bands import POINTS_PER_LEG, BandPath, band_columns, standardise
from cgwgan_core.phonons.force_constants import displaced
from tests.support.crystals import perovskite_atoms

A = 4.0


def on_springs(cell: Atoms) -> Phonopy:
    """Phonopy's object of a crystal whose atoms are each on a spring of its own."""
    phonon = displaced(cell, (2, 2, 2), 0.01)
    constants = np.zeros((len(phonon.primitive), len(phonon.supercell), 3, 3))
    for i, place in enumerate(phonon.primitive.p2s_map):
        constants[i, place] = np.eye(3)
    phonon.force_constants = constants
    return phonon


@pytest.mark.parametrize("rotated", [np.eye(3), [[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 1], [1, 0, 1], [1, 1, 0]]])
def test_standard_cell_does_not_depend_on_the_given_one(rotated: np.ndarray) -> None:
    rutile = Atoms(
        "Ti2O4",
        scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)]
        + [(x, y, z) for x, y, z in [(0.305, 0.305, 0), (0.695, 0.695, 0), (0.195, 0.805, 0.5), (0.805, 0.195, 0.5)]],
        cell=[4.6, 4.6, 2.95],
        pbc=True,
    )
    cell, spacegroup, path = standardise(make_supercell(rutile, rotated))
    assert (len(cell), spacegroup) == (6, 136)
    assert np.sort(cell.cell.lengths()) == pytest.approx([2.95, 4.6, 4.6])
    assert path.ends[0] == ("GAMMA", "X")
    assert ((cell.get_scaled_positions(wrap=False) >= 0) & (cell.get_scaled_positions(wrap=False) < 1)).all()


def test_noise_below_tolerance_is_idealised() -> None:
    noisy = perovskite_atoms(3.94, ("Sr", "Ti", "O"))
    noisy.positions += np.random.default_rng(0).uniform(-0.002, 0.002, (5, 3))
    cell, spacegroup, _ = standardise(noisy)
    assert spacegroup == 221
    assert np.ptp(cell.cell.lengths()) < 1e-12


def test_band_columns_fit_together() -> None:
    cell, _, path = standardise(bulk("Cu", "fcc", a=A))
    columns = band_columns(on_springs(cell).run_band_structure(path.legs), path)
    distances, starts = columns["band_distances"], columns["band_breaks"]
    assert columns["band_labels"] == ["Γ", "X", "U|K", "Γ", "L", "W", "X"]
    assert len(columns["band_frequencies"]) == 3 * len(distances)
    assert len(starts) == len(columns["band_ticks"]) - 1 == len(path.legs)
    assert (np.diff(distances) >= 0).all()
    assert [distances[i] for i in starts] == pytest.approx(columns["band_ticks"][:-1], abs=2e-6)
    assert columns["band_ticks"][1] == pytest.approx(1 / A, abs=1e-6)  # Γ-X of fcc is 1/a
    assert max(np.diff([*starts, len(distances)])) <= POINTS_PER_LEG


@pytest.mark.parametrize(("name", "printed"), [("GAMMA", "Γ"), ("SIGMA_0", "Σ₀"), ("H_2", "H₂"), ("X", "X")])
def test_labels_as_printed(name: str, printed: str) -> None:
    phonon = on_springs(bulk("Cu", "fcc", a=A))
    path = BandPath([np.array([[0, 0, 0], [0.5, 0, 0]])] * 2, [("L", name), ("W", "L")])
    columns = band_columns(phonon.run_band_structure(path.legs), path)
    assert columns["band_labels"] == ["L", f"{printed}|W", "L"]
