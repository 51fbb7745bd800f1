"""Potentials against the calculators of the packages they come from; oxygen against pymatgen."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from pymatgen.analysis.structure_analyzer import oxide_type
from pymatgen.core import Structure

from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.screening.energetics import oxygen_species
from cgwgan_core.workflow.errors import InputError
from tests.support.potentials import M3GNET, MATPES, displaced_perovskite


def real_crystals(shared_data: Path, n: int) -> list[Atoms]:
    """Of many elements and sizes, a little distorted so that no force vanishes by symmetry."""
    entries = json.loads(gzip.decompress((shared_data / "mp_templates34_sample2000.json.gz").read_bytes()))
    crystals = []
    for i, entry in enumerate(entries[:: len(entries) // n][:n]):
        atoms = Atoms(entry["species"], scaled_positions=entry["frac_coords"], cell=entry["lattice"], pbc=True)
        atoms.rattle(0.05, seed=i)
        crystals.append(atoms)
    return [atoms for atoms in crystals if len(atoms) <= 30]


def compare(potential_options: PotentialOptions, calculator: Calculator, crystals: list[Atoms]) -> None:
    potential = load(potential_options)
    found = potential.evaluate(crystals, forces=True, stress=True)
    energies = potential.evaluate(crystals).energy_per_atom
    for i, atoms in enumerate(crystals):
        assert found.errors[i] is None
        peer = atoms.copy()
        peer.calc = calculator
        assert found.energy_per_atom[i] == pytest.approx(peer.get_potential_energy() / len(atoms), abs=1e-5)
        assert energies[i] == pytest.approx(found.energy_per_atom[i], abs=1e-5)
        forces = peer.get_forces()
        assert np.abs(found.forces[i] - forces).max() < 1e-4 * max(1, np.abs(forces).max())
        stress = np.reshape(calculator.results["stress"], (3, 3))
        assert np.abs(found.stresses[i] - stress).max() < 1e-5 * max(1, np.abs(stress).max())


@pytest.mark.parametrize("name", [M3GNET, MATPES])
def test_m3gnet_as_matgl_has_it(shared_models: Path, shared_data: Path, name: str) -> None:
    import matgl
    from matgl.ext.ase import PESCalculator

    calculator = PESCalculator(matgl.load_model(str(shared_models / name)), stress_unit="eV/A3")
    compare(PotentialOptions(name="m3gnet", path=str(shared_models / name)), calculator, real_crystals(shared_data, 40))


def test_chgnet_as_chgnet_has_it(shared_data: Path) -> None:
    from chgnet.model.dynamics import CHGNetCalculator

    compare(PotentialOptions(name="chgnet"), CHGNetCalculator(use_device="cpu"), real_crystals(shared_data, 20))


def test_oxygen_as_pymatgen_tells_it(shared_data: Path) -> None:
    entries = json.loads(gzip.decompress((shared_data / "ba_ru_o_mp_entries.json.gz").read_bytes()))
    kinds = []
    for entry in entries:
        structure = Structure.from_dict(entry["structure"])
        if "O" in structure.composition and len(structure.composition) > 1:
            expected = oxide_type(structure, 1.05)
            assert oxygen_species(structure.to_ase_atoms()) == expected
            kinds.append(expected)
    assert {"oxide", "peroxide", "superoxide"} <= set(kinds)


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_compiled_layers_give_the_plain_results(shared_models: Path) -> None:
    path = str(shared_models / M3GNET)
    plain, compiled = (load(PotentialOptions(name="m3gnet", path=path, compile=c)) for c in (False, True))
    crystals = [displaced_perovskite(seed) for seed in range(6)] + [bulk("Fe"), bulk("NaCl", "rocksalt", a=5.6)]
    for size in (1, 3, 16):
        expected = plain.evaluate(crystals, batch_size=size)
        found = compiled.evaluate(crystals, batch_size=size)
        assert found.errors == expected.errors == [None] * len(crystals)
        assert found.energies == pytest.approx(expected.energies, abs=1e-4)
    forces, expected = (p.evaluate(crystals, forces=True, stress=True) for p in (compiled, plain))
    assert np.concatenate(forces.forces) == pytest.approx(np.concatenate(expected.forces), abs=1e-4)
    with pytest.raises(InputError, match="is for m3gnet, not for chgnet"):
        load(PotentialOptions(name="chgnet", compile=True))
