"""Potentials: against finite differences, on bad crystals, and refused when they are wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixSymmetry
from ase.spacegroup import crystal

from cgwgan_core import spacegroups as sg
from cgwgan_core.crystal import min_distances, to_atoms
from cgwgan_core.errors import InputError
from cgwgan_core.potentials import VARIABLE, Potential, PotentialOptions, choose, load, neighbours
from cgwgan_core.potentials.checks import KNOWN_CRYSTALS, check, load_checked, report
from cgwgan_core.potentials.m3gnet import FILES
from cgwgan_core.potentials.protocol import voigt
from scripts.verify_potential import main as verify
from tests.support.random_templates import random_template

EMT = PotentialOptions(name="ase.calculators.emt:EMT", energy_scale="mp_uncorrected")
M3GNET = "M3GNet-MP-2021.2.8-PES"


@pytest.fixture(scope="module")
def chgnet() -> Potential:
    return load(PotentialOptions(name="chgnet"))


@pytest.fixture(params=["chgnet", "m3gnet"])
def potential(request: pytest.FixtureRequest) -> Potential:
    if request.param == "chgnet":
        return request.getfixturevalue("chgnet")
    folder = request.getfixturevalue("shared_models") / M3GNET
    return load(PotentialOptions(name="m3gnet", path=str(folder)))


def rattled(seed: int) -> Atoms:
    atoms = crystal(
        ["Sr", "Ti", "O"],
        [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
        spacegroup=221,
        cellpar=[3.95, 3.95, 3.95, 90, 90, 90],
    )
    atoms.rattle(0.15, seed=seed)
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)


def test_forces_and_stress_are_derivatives_of_the_energy(potential: Potential) -> None:
    atoms = rattled(1)
    found = potential.evaluate([atoms], forces=True, stress=True)
    step, variants = 0.02, []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[2, 1] += sign * step
        strained = atoms.copy()
        strain = np.eye(3)
        strain[0, 0] += sign * step
        strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        sheared = atoms.copy()
        strain = np.eye(3)
        strain[0, 1] += sign * step / 2
        strain[1, 0] += sign * step / 2
        sheared.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        variants += [moved, strained, sheared]
    energies = potential.evaluate(variants).energies
    slopes = (energies[:3] - energies[3:]) / (2 * step)
    assert -found.forces[0][2, 1] == pytest.approx(slopes[0], rel=0.03, abs=0.02)
    assert found.stresses[0][0, 0] * atoms.get_volume() == pytest.approx(slopes[1], rel=0.03, abs=0.1)
    assert found.stresses[0][0, 1] * atoms.get_volume() == pytest.approx(slopes[2], rel=0.03, abs=0.1)


def test_a_bad_crystal_costs_itself_only(potential: Potential) -> None:
    good = [rattled(seed) for seed in range(3)]
    broken, sparse, clash = good[0].copy(), good[0].copy(), good[0].copy()
    broken.positions[0] = np.nan
    sparse.set_cell(np.eye(3) * 60, scale_atoms=True)
    clash.positions[1] = clash.positions[0] + 0.01
    flat = Atoms("BaO", positions=[[0, 0, 0], [1, 1, 0]], cell=[4, 4, 0.01], pbc=True)
    heavy = Atoms("Fm", cell=np.eye(3) * 4, pbc=True)
    molecule = Atoms("O2", positions=[[0, 0, 0], [0, 0, 1.2]], cell=np.eye(3) * 8)
    found = potential.evaluate(
        [good[0], broken, good[1], sparse, clash, flat, heavy, molecule, Atoms(), good[2]], forces=True, stress=True
    )
    assert [error is None for error in found.errors] == [True, False, True] + [False] * 6 + [True]
    assert np.isfinite(found.energies).tolist() == [error is None for error in found.errors]
    assert found.errors[1] == "a coordinate is not a finite number"
    assert "no neighbour within" in found.errors[3]
    assert "Å apart" in found.errors[4]
    assert "Fm" in found.errors[6]
    alone = potential.evaluate(good, forces=True, stress=True)
    assert found.energies[[0, 2, 9]] == pytest.approx(alone.energies, abs=5e-5)
    assert found.forces[9] == pytest.approx(alone.forces[2], abs=1e-4)
    assert found.stresses[9] == pytest.approx(alone.stresses[2], abs=1e-5)


def test_batches_do_not_change_results(potential: Potential) -> None:
    crystals = [rattled(seed).repeat((1 + seed % 3, 1, 1)) for seed in range(7)]
    together = potential.evaluate(crystals, forces=True, stress=True)
    single = potential.evaluate(crystals, forces=True, stress=True, batch_size=1)
    assert together.energy_per_atom == pytest.approx(single.energy_per_atom, abs=1e-5)
    for a, b in zip(together.forces, single.forces, strict=True):
        assert a == pytest.approx(b, abs=1e-4)
    assert together.stresses == pytest.approx(single.stresses, abs=1e-5)
    assert potential.evaluate(crystals).energies == pytest.approx(together.energies, abs=1e-4)


def test_calculator_agrees_with_evaluate(potential: Potential) -> None:
    atoms = rattled(5)
    found = potential.evaluate([atoms], forces=True, stress=True)
    atoms.calc = potential.calculator()
    assert atoms.get_potential_energy() == pytest.approx(found.energies[0], abs=5e-5)
    assert atoms.get_forces() == pytest.approx(found.forces[0], abs=1e-4)
    assert atoms.get_stress(voigt=False) == pytest.approx(found.stresses[0], abs=1e-6)


def test_m3gnet_gives_the_published_energies(shared_models: Path) -> None:
    """eV/atom, by the weights as published, before their conversion to matgl 4."""
    m3gnet = load(PotentialOptions(path=str(shared_models / M3GNET)))
    perovskite = rattled(0)
    perovskite.set_scaled_positions(np.round(perovskite.get_scaled_positions() * 2) / 2)
    perovskite.set_cell(np.eye(3) * 3.91, scale_atoms=True)
    found = m3gnet.evaluate([bulk("MgO", "rocksalt", a=4.25), perovskite])
    assert found.energy_per_atom == pytest.approx([-5.9560, -8.0239], abs=1e-4)
    assert (m3gnet.name, m3gnet.energy_scale) == (M3GNET, "mp_uncorrected")


def test_neighbours_that_are_kept_give_the_same_where_no_pair_crosses_the_cutoff(potential: Potential) -> None:
    at_rest, moved = rattled(1), rattled(1)
    pairs = neighbours(at_rest, potential.cutoff)
    moved.positions[1] += [1e-3, 0.0, -2e-3]
    moved.set_cell(moved.cell.array * 1.0001, scale_atoms=True)
    assert neighbours(moved, potential.cutoff).names() == pairs.names()  # no pair has crossed
    plain = potential.evaluate([at_rest, moved], forces=True, stress=True)
    kept = potential.evaluate([at_rest, moved], forces=True, stress=True, pairs=[pairs, pairs])
    assert kept.energies == pytest.approx(plain.energies, abs=1e-5)
    for ours, theirs in zip((*kept.forces, *kept.stresses), (*plain.forces, *plain.stresses), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_m3gnet_has_a_kink_at_its_cutoff_and_none_with_neighbours_kept(shared_models: Path) -> None:
    """Rock salt with its fifth shell of neighbours, √5 a/2, a little within and beyond 5 Å."""
    m3gnet = load(PotentialOptions(path=str(shared_models / M3GNET)))
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


@pytest.mark.parametrize("name", [M3GNET, "M3GNet-MatPES-PBE-v2025.1-PES"])
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


def test_neighbours_of_some_atoms_are_those_among_all() -> None:
    atoms = rattled(3)
    every, some = (
        {(i, j, *image, round(d, 6)) for i, j, image, d in zip(n.centre, n.neighbour, n.image, n.distance, strict=True)}
        for n in (neighbours(atoms, 5.0), neighbours(atoms, 5.0, np.array([1, 4])))
    )
    assert some == {pair for pair in every if pair[0] in (1, 4)}
    assert len(some) > 50


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_compiled_layers_give_the_plain_results(shared_models: Path) -> None:
    path = str(shared_models / M3GNET)
    plain, compiled = (load(PotentialOptions(name="m3gnet", path=path, compile=c)) for c in (False, True))
    crystals = [rattled(seed) for seed in range(6)] + [bulk("Fe"), bulk("NaCl", "rocksalt", a=5.6)]
    for size in (1, 3, 16):
        expected = plain.evaluate(crystals, batch_size=size)
        found = compiled.evaluate(crystals, batch_size=size)
        assert found.errors == expected.errors == [None] * len(crystals)
        assert found.energies == pytest.approx(expected.energies, abs=1e-4)
    forces, expected = (p.evaluate(crystals, forces=True, stress=True) for p in (compiled, plain))
    assert np.concatenate(forces.forces) == pytest.approx(np.concatenate(expected.forces), abs=1e-4)
    with pytest.raises(InputError, match="is for m3gnet, not for chgnet"):
        load(PotentialOptions(name="chgnet", compile=True))


def test_known_crystals_pass(potential: Potential) -> None:
    rows = check(potential, 0.15)
    assert [row["formula"] for row in rows if not row["passed"]] == []
    assert len(rows) == len(KNOWN_CRYSTALS)


def test_matpes_passes_on_its_own_scale_only(shared_models: Path) -> None:
    folder = str(shared_models / "M3GNet-MatPES-PBE-v2025.1-PES")
    matpes = load(PotentialOptions(path=folder))
    assert matpes.energy_scale == "matpes"
    assert all(row["passed"] for row in check(matpes, 0.15))
    mixed = load(PotentialOptions(path=folder, energy_scale="mp_corrected"))
    with pytest.raises(InputError, match=r"potential\.energy_scale"):
        report(mixed, check(mixed, 0.15), 0.15, "")


def test_wrong_weights_are_refused(shared_models: Path, tmp_path: Path) -> None:
    """Weights that load without complaint, and are wrong: here the signs of one layer."""
    folder = tmp_path / M3GNET
    shutil.copytree(shared_models / M3GNET, folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    state = torch.load(folder / "state.pt", weights_only=True)
    (name,) = (key for key in state if key.endswith("graph_layers.0.conv.node_weight_func.weight"))
    state[name] = -state[name]
    torch.save(state, folder / "state.pt")
    good, bad = (load(PotentialOptions(path=str(f))) for f in (shared_models / M3GNET, folder))
    assert good.digest != bad.digest
    with pytest.raises(InputError, match=r"(?s)wrong on .* of 13 known crystals: MgO .*before version 4"):
        report(bad, check(bad, 0.15), 0.15, "")


@pytest.mark.parametrize("missing", FILES)
def test_incomplete_folder_is_named(tmp_path: Path, missing: str) -> None:
    for name in set(FILES) - {missing}:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"lacks {missing}"):
        load(PotentialOptions(name="m3gnet", path=str(tmp_path), energy_scale="matpes"))


def test_what_is_neither_folder_nor_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such folder; set"):
        load(PotentialOptions(name="m3gnet", path=str(tmp_path / "nothing")))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="hub does not give materialyze/no-such-model"):
        load(PotentialOptions(name="m3gnet", path="no-such-model"))


def test_unknown_energy_scale_must_be_given(shared_models: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "weights"
    renamed.symlink_to(shared_models / M3GNET)
    with pytest.raises(InputError, match=r"set potential\.energy_scale"):
        load(PotentialOptions(name="m3gnet", path=str(renamed)))
    assert load(PotentialOptions(path=str(renamed), energy_scale="mp_uncorrected")).name == "weights"


def test_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert choose(PotentialOptions())[:2] == ("chgnet", None)
    assert choose(PotentialOptions(path="a"))[:2] == ("m3gnet", "a")
    monkeypatch.setenv(VARIABLE, "b")
    assert choose(PotentialOptions())[:2] == ("m3gnet", "b")
    assert choose(PotentialOptions(path="a"))[:2] == ("m3gnet", "a")
    assert choose(PotentialOptions(name="chgnet"))[:2] == ("chgnet", None)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(InputError, match="needs its weights"):
        choose(PotentialOptions(name="m3gnet"))


@pytest.mark.parametrize(
    "options",
    [
        {"name": "m3gnett"},
        {"tolerance": 0.0},
        {"energy_scale": "mp"},
        {"name": "chgnet", "path": "folder"},
    ],
)
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"potential\."):
        PotentialOptions(**options)  # type: ignore[arg-type]


def test_any_ase_calculator() -> None:
    emt = load(EMT)
    copper = bulk("Cu", a=3.6)
    found = emt.evaluate([copper, bulk("Fe", a=2.8), copper.repeat(2)], forces=True, stress=True)
    assert found.errors[1] is not None
    assert found.energies[2] == pytest.approx(8 * found.energies[0])
    assert found.forces[2].shape == (8, 3)
    assert emt.digest == load(EMT).digest
    with pytest.raises(InputError, match="energy_scale"):
        load(PotentialOptions(name="ase.calculators.emt:EMT"))
    for wrong in ("ase.calculators.emt:EMTX", "no_such_module:f", "builtins:dict"):
        with pytest.raises(InputError, match=wrong):
            load(PotentialOptions(name=wrong, energy_scale="matpes"))


def test_verified_report(tmp_path: Path) -> None:
    output = tmp_path / "potential.json"
    verify(PotentialOptions(name="chgnet"), str(output))
    first = output.read_bytes()
    verify(PotentialOptions(name="chgnet"), str(output))
    assert output.read_bytes() == first
    found = json.loads(first)
    assert found["energy_scale"] == "mp_corrected"
    assert found["largest_error"] <= 0.15
    assert load_checked(PotentialOptions(name="chgnet"), output).digest == found["digest"]
    with pytest.raises(InputError, match="rerun verify_potential"):
        load_checked(EMT, output)
    with pytest.raises(InputError, match="known crystals"):
        verify(EMT, str(tmp_path / "emt.json"))
    assert not (tmp_path / "emt.json").exists()
    (tmp_path / "empty.json").write_text("{}")
    with pytest.raises(InputError, match="not a report"):
        load_checked(EMT, tmp_path / "empty.json")
