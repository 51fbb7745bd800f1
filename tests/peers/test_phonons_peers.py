"""Phonons against a plain script of phonopy and ASE that shares no code with ours and uses no symmetry."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.force_constants import finite_displacements
from cgwgan_core.phonons.phonons import PhononOptions, PhononResult, phonons
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.neighbours import neighbours
from cgwgan_core.potentials.protocol import Potential
from tests.support.crystals import perovskite_atoms

MODEL = "M3GNet-MP-2021.2.8-PES"

CRYSTALS = {
    "MgO": (bulk("MgO", "rocksalt", a=4.25, cubic=True), "stable"),
    "NaCl": (bulk("NaCl", "rocksalt", a=5.69), "stable"),
    "BaTiO3": (perovskite_atoms(4.03, ("Ba", "Ti", "O")), "unstable"),
    "SrTiO3": (perovskite_atoms(3.94, ("Sr", "Ti", "O")), "unstable"),
}


@pytest.fixture(scope="module")
def m3gnet(shared_models: Path) -> Potential:
    return load(PotentialOptions(name="m3gnet", path=str(shared_models / MODEL)))


@pytest.fixture(scope="module")
def plain_calculator(shared_models: Path):
    """matgl's own calculator: its own graphs, no batches."""
    import matgl
    from matgl.ext.ase import PESCalculator

    return PESCalculator(matgl.load_model(str(shared_models / MODEL)), stress_unit="eV/A3")


@pytest.fixture
def double_precision(shared_models: Path):
    """Makes the same in double precision, which matgl sets for all that runs from then on."""
    import matgl
    from matgl.ext.ase import PESCalculator

    def make():
        potential = matgl.load_model(str(shared_models / MODEL))
        matgl.set_default_dtype("float", 64)
        return PESCalculator(potential.double(), stress_unit="eV/A3")

    yield make
    matgl.set_default_dtype("float", 32)


def _plain(atoms: Atoms, calculator, distance: float = 0.01) -> Phonopy:
    """Every atom of spglib's primitive cell displaced both ways along x, y and z; full force constants."""
    cell, positions, numbers = spglib.find_primitive(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3
    )
    phonon = Phonopy(
        PhonopyAtoms(cell=cell, scaled_positions=positions, numbers=numbers),
        supercell_matrix=np.diag([2, 2, 2]),
        primitive_matrix="P",
        is_symmetry=False,
    )
    phonon.generate_displacements(distance=distance, is_plusminus=True, is_diagonal=False)
    forces = []
    for supercell in phonon.supercells_with_displacements:
        displaced = Atoms(supercell.symbols, scaled_positions=supercell.scaled_positions, cell=supercell.cell, pbc=True)
        displaced.calc = calculator
        forces.append(displaced.get_forces())
    phonon.forces = np.array(forces)
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    return phonon


@pytest.mark.parametrize("name", CRYSTALS)
def test_plain_script_agrees(name: str, m3gnet: Potential, plain_calculator) -> None:
    atoms, verdict = CRYSTALS[name]
    ours: PhononResult = phonons(atoms, m3gnet, PhononOptions(min_length=None))
    assert ours.status == "ok"
    assert ours.verdict == verdict
    plain = _plain(ours.atoms, plain_calculator)

    # The whole spectrum at the ends of each leg of the band path, q-points carried over by Cartesian coordinates.
    _, _, path = standardise(ours.atoms)
    reciprocal = np.linalg.inv(ours.atoms.cell.array).T
    n_bands = 3 * len(ours.atoms)
    bands = np.reshape(ours.bands["band_frequencies"], (-1, n_bands))
    ends = [(start, leg[0]) for start, leg in zip(ours.bands["band_breaks"], path.legs, strict=True)]
    q = np.array([point for _, point in ends]) @ reciprocal @ plain.primitive.cell.T
    theirs = plain.run_qpoints(q).frequencies
    for (row, point), expected in zip(ends, theirs, strict=True):
        assert bands[row] == pytest.approx(expected, abs=0.02), point

    # The lowest frequency: at its q-point, and nowhere lower on a mesh without any symmetry.
    q_lowest = np.array(ours.min_frequency_q) @ reciprocal @ plain.primitive.cell.T
    assert plain.run_qpoints([q_lowest]).frequencies.min() == pytest.approx(ours.min_frequency, abs=0.02)
    mesh = plain.run_mesh([8, 8, 8], is_gamma_center=True, is_mesh_symmetry=False)
    not_gamma = np.abs(mesh.qpoints).max(axis=1) > 1e-8
    assert mesh.frequencies[not_gamma].min() > ours.min_frequency - 0.02


def test_a_crystal_at_the_cutoff_has_the_frequencies_of_short_displacements(
    m3gnet: Potential, plain_calculator, double_precision
) -> None:
    """Two atoms are 0.005 Å from being neighbours, which displacements of 0.01 Å make them."""
    sites = [(0, 0, 0.5), (0, 0, 0), (0.06652706, 0.5, 0.88436822), (0.21449381, 0, 0.29469266)]
    cell = [9.46893629, 3.24460993, 6.88248080, 90, 127.78433763, 90]
    atoms = crystal(["Ba", "Ru", "O", "O"], sites, spacegroup=12, cellpar=cell, primitive_cell=True)
    ours = phonons(atoms, m3gnet, PhononOptions(min_length=None))
    assert ours.status == "ok"
    apart = neighbours(ours.atoms, 6.0).distance - m3gnet.cutoff
    assert 1e-3 < np.abs(apart).min() < 0.01
    q = [point for point in product((0, 0.25, 0.5), repeat=3) if any(point)]
    mostly = _plain(ours.atoms, plain_calculator).run_qpoints(q).frequencies
    exact = _plain(ours.atoms, double_precision(), 1e-4)
    reciprocal = np.linalg.inv(ours.atoms.cell.array).T
    # a row holds no frequencies but the lowest and the path's
    lowest = np.array(ours.min_frequency_q) @ reciprocal @ exact.primitive.cell.T
    # interpolated, as the script's is, it is imaginary; a supercell that the q-point fits into refutes that
    assert exact.run_qpoints([lowest]).frequencies.min() == pytest.approx(ours.refuted_frequency, abs=0.02)
    assert ours.lowest_is_exact
    assert ours.min_frequency > 0.3
    assert np.abs(mostly - exact.run_qpoints(q).frequencies).max() > 0.1


@pytest.mark.parametrize(("name", "expected"), [("MgO", 0.97), ("NaCl", 0.37), ("BaTiO3", -7.8), ("SrTiO3", -1.9)])
def test_known_numbers_of_this_potential(name: str, expected: float, m3gnet: Potential) -> None:
    """Lowest frequencies on an even 10 x 10 x 10 Monkhorst-Pack mesh, which leaves Γ out, computed elsewhere."""
    ours = phonons(CRYSTALS[name][0], m3gnet, PhononOptions())
    phonon = finite_displacements(ours.atoms, lambda many: m3gnet.evaluate(many, forces=True).forces, (2, 2, 2), 0.01)
    assert phonon.run_mesh([10, 10, 10]).frequencies.min() == pytest.approx(expected, abs=0.05)
