"""M3GNet: its published energies, its kink, one atom for each orbit, compiled layers, and folders that are not one."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixSymmetry

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.templates import to_atoms
from cgwgan_core.potentials.facts import M3GNET_FILES
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.neighbours import neighbours
from cgwgan_core.potentials.protocol import voigt
from cgwgan_core.workflow.errors import InputError
from tests.support.potentials import M3GNET, MATPES, displaced_perovskite
from tests.support.random_templates import random_template


def test_m3gnet_gives_the_published_energies(shared_models: Path) -> None:
    """eV/atom, by the weights as published, before their conversion to matgl 4."""
    m3gnet = load(PotentialOptions(name="m3gnet", path=str(shared_models / M3GNET)))
    ideal = displaced_perovskite(0)
    ideal.set_scaled_positions(np.round(ideal.get_scaled_positions() * 2) / 2)
    ideal.set_cell(np.eye(3) * 3.91, scale_atoms=True)
    found = m3gnet.evaluate([bulk("MgO", "rocksalt", a=4.25), ideal])
    assert found.energy_per_atom == pytest.approx([-5.9560, -8.0239], abs=1e-4)
    assert (m3gnet.name, m3gnet.energy_scale) == (M3GNET, "mp_uncorrected")


def test_m3gnet_has_a_kink_at_its_cutoff_and_none_with_neighbours_kept(shared_models: Path) -> None:
    """Rock salt with its fifth shell of neighbours, √5 a/2, a little within and beyond 5 Å."""
    m3gnet = load(PotentialOptions(name="m3gnet", path=str(shared_models / M3GNET)))
    edge, step = 2 * m3gnet.cutoff / np.sqrt(5), 2e-3
    crystals = [bulk("MgO", "rocksalt", a=edge + i * step) for i in (-1.5, -0.5, 0.5, 1.5)]
    pairs = neighbours(crystals[0], m3gnet.cutoff)
    assert [len(neighbours(atoms, m3gnet.cutoff).centre) for atoms in crystals] == [2 * n for n in (56, 56, 32, 32)]

    def pressures(**settings) -> np.ndarray:
        return m3gnet.evaluate(crystals, stress=True, **settings).stresses[:, 0, 0]

    plain, kept = np.diff(pressures()), np.diff(pressures(pairs=[pairs] * 4))
    assert plain[0] == pytest.approx(plain[2], rel=0.3)  # smooth on either side
    assert abs(plain[1] - plain[0]) > 5 * abs(plain[0] - plain[2])
    assert kept == pytest.approx(np.full(3, plain[0]), rel=0.1)


@pytest.mark.parametrize("name", [M3GNET, MATPES])
def test_one_atom_of_each_orbit_stands_for_all(shared_models: Path, name: str) -> None:
    """Random templates of all kinds of groups; the second potential's three-body terms are alive."""
    m3gnet = load(PotentialOptions(name="m3gnet", path=str(shared_models / name)))
    assert m3gnet.by_orbit
    rng = np.random.default_rng(0)
    crystals = []
    for number in rng.choice(np.arange(2, 231), 100, replace=False).tolist():
        offered = np.flatnonzero(sg.MULTIPLICITY[number])
        letters = sorted(rng.choice(offered, 3).tolist())
        template = random_template(rng, number, letters)
        if len(template) and min_distances(template)[0] > 1.2 and template.n_atoms[0] < 100:
            crystals.append(to_atoms(template, 0, ["Ba", "Ru", "O"]))
    assert len(crystals) > 20
    orbits = [atoms.arrays["site"] for atoms in crystals]
    plain, reduced = m3gnet.evaluate(crystals), m3gnet.evaluate(crystals, orbits=orbits)
    assert reduced.errors == plain.errors
    assert reduced.energy_per_atom == pytest.approx(plain.energy_per_atom, abs=2e-5, nan_ok=True)
    assert np.isfinite(plain.energies).sum() > 10
    near = [i for i, error in enumerate(plain.errors) if error is None][:10]
    some, theirs = [crystals[i] for i in near], [orbits[i] for i in near]
    plain, reduced = (m3gnet.evaluate(some, forces=True, stress=True, orbits=o) for o in (None, theirs))
    assert reduced.energy_per_atom == pytest.approx(plain.energy_per_atom, abs=2e-5)
    for i, atoms in enumerate(some):
        symmetry = FixSymmetry(atoms.copy(), symprec=1e-4)
        forces, stress = reduced.forces[i], voigt(reduced.stresses[i])
        symmetry.adjust_forces(atoms, forces)
        symmetry.adjust_stress(atoms, stress)
        size = max(1.0, np.abs(plain.forces[i]).max())  # some of these crystals are far from any that could be
        assert forces == pytest.approx(plain.forces[i], abs=1e-3 * size)
        assert stress == pytest.approx(voigt(plain.stresses[i]), abs=1e-4 * size)


@pytest.mark.parametrize("missing", M3GNET_FILES)
def test_incomplete_folder_is_named(tmp_path: Path, missing: str) -> None:
    for name in set(M3GNET_FILES) - {missing}:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"lacks {missing}"):
        load(PotentialOptions(name="m3gnet", path=str(tmp_path), energy_scale="matpes"))


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("nothing", "file"):
        with pytest.raises(InputError, match=f"{name}: no M3GNet, it lacks model.json, model.pt, state.pt; name a"):
            load(PotentialOptions(name="m3gnet", path=str(tmp_path / name)))


def test_unknown_energy_scale_must_be_given(shared_models: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "weights"
    renamed.symlink_to(shared_models / M3GNET)
    with pytest.raises(InputError, match="set energy_scale"):
        load(PotentialOptions(name="m3gnet", path=str(renamed)))
    assert load(PotentialOptions(name="m3gnet", path=str(renamed), energy_scale="mp_uncorrected")).name == "weights"
