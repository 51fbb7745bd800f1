"""Nequix, with small networks of random weights: what it computes, and what files it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixSymmetry
from scipy.spatial.transform import Rotation

from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.nequix import Nequix
from cgwgan_core.potentials.protocol import voigt
from cgwgan_core.workflow.errors import InputError
from tests.support.potentials import displaced_perovskite
from tests.support.random_templates import random_crystals

CONFIG: dict[str, Any] = {
    "atomic_numbers": [8, 22, 38, 44, 56],
    "avg_n_neighbors": 30.0,
    "cutoff": 5.0,
    "hidden_irreps": "8x0e + 4x1o + 2x2e",
    "index_weights": False,
    "layer_norm": True,
    "lmax": 2,
    "n_layers": 2,
    "radial_basis_size": 4,
    "radial_mlp_layers": 1,
    "radial_mlp_size": 6,
    "radial_polynomial_p": 6.0,
    "scale": 0.8,
    "shift": -4.0,
}
SHAPES = {
    "atom_energies": [(5,)],
    # the first layer: 5x0e to three products with 5 channels each, then 8 + 6 scalars, 4 vectors and 2 of degree 2
    "layers.0.radial_mlp.layers.{}.weights": [(4, 6), (6, 15)],
    "layers.0.linear_1.weight": [(5, 5)],
    "layers.0.linear_2.weight": [(5, 14), (5, 4), (5, 2)],
    "layers.0.skip.weight": [(5, 14)],
    "layers.0.layer_norm.affine_weight.{}": [(14,), (4,), (2,)],
    # the last: the three products that are scalars
    "layers.1.radial_mlp.layers.{}.weights": [(4, 6), (6, 14)],
    "layers.1.linear_1.weight": [(8, 8), (4, 4), (2, 2)],
    "layers.1.linear_2.weight": [(14, 8)],
    "layers.1.skip.weight": [(8, 8)],
    "layers.1.layer_norm.affine_weight.{}": [(8,)],
    "readout.weight": [(8, 1)],
}
"""Names in the torch format -> shapes in the order of the other one."""


def random_arrays(seed: int = 0) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return {name: [rng.normal(size=shape).astype(np.float32) for shape in shapes] for name, shapes in SHAPES.items()}


def as_jax(path: Path, arrays: dict[str, list[np.ndarray]], **changes: Any) -> Path:
    with path.open("wb") as file:
        file.write(json.dumps({**CONFIG, **changes}).encode() + b"\n")
        for array in (a for several in arrays.values() for a in several):
            np.save(file, array)
    return path


def as_torch(path: Path, arrays: dict[str, list[np.ndarray]]) -> Path:
    """Blocks of one linear layer in one array; other entries, and another order, as in the package's files."""
    found = {"layers.0.tp.output_mask": torch.ones(3), "readout.bias": torch.zeros(0)}
    for name, several in reversed(arrays.items()):
        if "{}" in name:
            found |= {name.format(i): torch.tensor(array) for i, array in enumerate(several)}
        else:
            found[name] = torch.tensor(np.concatenate([array.ravel() for array in several]))
    with path.open("wb") as file:
        file.write(json.dumps(CONFIG).encode() + b"\n")
        torch.save(found, file)
    return path


@pytest.fixture(scope="module")
def nequix(tmp_path_factory: pytest.TempPathFactory) -> Nequix:
    return Nequix(as_jax(tmp_path_factory.mktemp("nequix") / "small.nqx", random_arrays()))


def test_both_formats_are_one_network(nequix: Nequix, tmp_path: Path) -> None:
    other = load(PotentialOptions(name="nequix", path=str(as_torch(tmp_path / "small.pt", random_arrays()))))
    crystals = [displaced_perovskite(seed) for seed in range(2)]
    assert other.name == nequix.name == "small"
    assert other.digest != nequix.digest
    assert (other.evaluate(crystals).energies == nequix.evaluate(crystals).energies).all()


def test_energy_alone_is_the_same(nequix: Nequix) -> None:
    crystals = random_crystals(6)
    energies = nequix.evaluate(crystals).energies
    assert np.isfinite(energies).all()
    assert energies == pytest.approx(nequix.evaluate(crystals, forces=True).energies, rel=1e-6)
    assert energies == pytest.approx(
        [nequix.evaluate([crystal]).energies[0] for crystal in crystals], rel=1e-6
    )  # whatever else is in the batch


def test_forces_and_stress_are_derivatives(nequix: Nequix) -> None:
    """Beside central differences over 0.02 Å or 1 %, whose error is the single precision of energies."""
    atoms = displaced_perovskite(0)
    found = nequix.evaluate([atoms], forces=True, stress=True)
    size, step = np.abs(found.forces[0]).max(), 0.01
    for atom, axis in [(0, 0), (2, 1), (4, 2)]:
        moved = [atoms.copy(), atoms.copy()]
        moved[0].positions[atom, axis] += step
        moved[1].positions[atom, axis] -= step
        plus, minus = nequix.evaluate(moved).energies
        assert -(plus - minus) / (2 * step) == pytest.approx(found.forces[0][atom, axis], abs=0.02 * size)
    for strain in (np.diag([1.0, 0, 0]), np.array([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]])):
        strained = [atoms.copy(), atoms.copy()]
        for crystal, sign in zip(strained, (1, -1), strict=True):
            crystal.set_cell(crystal.cell.array @ (np.eye(3) + sign * step / 2 * strain), scale_atoms=True)
        plus, minus = nequix.evaluate(strained).energies
        slope = (plus - minus) / step / atoms.get_volume()
        assert slope == pytest.approx((found.stresses[0] * strain).sum(), abs=0.02 * np.abs(found.stresses[0]).max())


def test_a_rotated_and_a_reflected_crystal_have_the_same_energy(nequix: Nequix) -> None:
    atoms = displaced_perovskite(1)
    turn = Rotation.random(random_state=0).as_matrix()
    others = [atoms.copy(), atoms.copy()]
    for other, operation in zip(others, (turn, -turn), strict=True):
        other.set_cell(other.cell.array @ operation.T, scale_atoms=True)
    found = nequix.evaluate([atoms, *others], forces=True)
    assert found.energies[1:] == pytest.approx(found.energies[0], rel=1e-6)
    size = np.abs(found.forces[0]).max()
    assert found.forces[2] == pytest.approx(found.forces[0] @ -turn.T, abs=1e-4 * size)


def test_one_atom_of_each_orbit_under_rotations_and_reflections_stands_for_all(nequix: Nequix) -> None:
    crystals = random_crystals(10)
    sites = [atoms.arrays["site"] for atoms in crystals]
    orbits = [nequix.equivalent(atoms, site) for atoms, site in zip(crystals, sites, strict=True)]
    assert any((np.linalg.det(found.rotations) < 0).any() for found in orbits)
    assert [len(found.first) for found in orbits] == [site.max() + 1 for site in sites]
    plain = nequix.evaluate(crystals, forces=True, stress=True)
    reduced = nequix.evaluate(crystals, forces=True, stress=True, orbits=sites)
    assert reduced.energies == pytest.approx(plain.energies, rel=1e-5)
    for i, atoms in enumerate(crystals):
        forces, stress = reduced.forces[i].copy(), voigt(reduced.stresses[i])
        symmetry = FixSymmetry(atoms.copy(), symprec=1e-4)
        symmetry.adjust_forces(atoms, forces)
        symmetry.adjust_stress(atoms, stress)
        assert forces == pytest.approx(plain.forces[i], abs=1e-3 * max(1.0, np.abs(plain.forces[i]).max()))
        assert stress == pytest.approx(voigt(plain.stresses[i]), abs=1e-3 * max(0.1, np.abs(stress).max()))


def test_crystals_that_it_cannot_treat_have_a_reason(nequix: Nequix) -> None:
    far = Atoms("O", cell=[9, 9, 9], pbc=True)
    found = nequix.evaluate([bulk("Cu", a=3.6), far, bulk("BaO", "rocksalt", a=5.6)])
    assert "does not know Cu" in found.errors[0]
    assert "no neighbour" in found.errors[1]
    assert found.errors[2] is None


def test_files_that_are_no_such_network_are_refused(tmp_path: Path) -> None:
    arrays = random_arrays()
    short = {name: several for name, several in arrays.items() if name != "readout.weight"}
    long = arrays | {"more": [np.zeros(3, np.float32)]}
    wrong = {
        "too few numbers": as_jax(tmp_path / "short.nqx", short),
        "more numbers": as_jax(tmp_path / "long.nqx", long),
        "index_weights": as_jax(tmp_path / "indexed.nqx", arrays, index_weights=True),
        "no weights of Nequix": tmp_path / "absent.nqx",
    }
    (tmp_path / "text.pt").write_text("{}\nnot a network")
    wrong["text.pt"] = tmp_path / "text.pt"
    for reason, path in wrong.items():
        with pytest.raises(InputError, match=reason):
            load(PotentialOptions(name="nequix", path=str(path)))
    good = as_jax(tmp_path / "good.nqx", arrays)
    with pytest.raises(InputError, match="nequix is mp_uncorrected"):
        load(PotentialOptions(name="nequix", path=str(good), energy_scale="matpes"))
