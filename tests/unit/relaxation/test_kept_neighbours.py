"""A potential with a kink at its cutoff, and crystals that get past it with their neighbours kept."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_stress

from cgwgan_core.potentials.protocol import Batch, Potential
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.kept_neighbours import ACROSS, at_cutoff
from cgwgan_core.relaxation.relax import relax


class Groove(Potential):
    """Pairs repel with a constant force up to the cutoff, where it ends; the volume is held by a spring."""

    name, energy_scale, digest, versions = "groove", "matpes", "", {}
    cutoff = 3.0 * np.sqrt(2)
    push, stiffness, volume = 0.1, 40.0, 26.5  # eV/Å, eV, Å³ for each atom

    def unknown(self, symbols: set[str]) -> set[str]:
        return set()

    def compute(self, crystals, pairs, forces, stress) -> Batch:
        energies, all_forces, stresses = [], [], []
        for atoms, found in zip(crystals, pairs, strict=True):
            bonds = found.bonds(atoms)
            unit = bonds / found.distance[:, None]
            excess = atoms.get_volume() / (self.volume * len(atoms)) - 1
            energies.append(
                self.push / 2 * (self.cutoff - found.distance).sum() + len(atoms) * self.stiffness / 2 * excess**2
            )
            pulls = np.zeros((len(atoms), 3))
            np.add.at(pulls, found.centre, -self.push * unit)
            all_forces.append(pulls)
            pressure = self.stiffness * excess / self.volume
            stresses.append(-self.push / 2 * bonds.T @ unit / atoms.get_volume() + pressure * np.eye(3))
        return Batch(np.array(energies), all_forces, np.array(stresses))


def test_atoms_at_the_cutoff_are_told(emt: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = bulk("Cu", a=3.8)
    assert at_cutoff(atoms, 3.8 + 0.004)
    assert not at_cutoff(atoms, 3.8 + 0.006)
    assert not at_cutoff(atoms, 1.0)
    monkeypatch.setattr(emt, "cutoff", 3.6)
    monkeypatch.setattr("cgwgan_core.relaxation.kept_neighbours.AT_CUTOFF", 0.2)
    stuck = relax(bulk("Cu", a=3.6), emt, Relaxation(1e-9, 1))
    assert stuck.status.endswith("where the potential ends and may have a kink")


def test_a_crystal_in_the_kink_gets_to_a_minimum_with_its_neighbours_kept() -> None:
    """Simple cubic: the second neighbours push until they are no longer within the cutoff, then the spring pulls."""
    groove = Groove()
    atoms = Atoms("Cu", cell=[2.97] * 3, pbc=True)
    found = groove.evaluate([atoms], forces=True, stress=True)
    numerical = atoms.copy()
    numerical.calc = groove.calculator()
    assert found.stresses[0] == pytest.approx(calculate_numerical_stress(numerical, voigt=False), abs=1e-6)

    stuck = relax(atoms, groove, Relaxation(1e-4, 500))
    assert stuck.status.startswith("not converged after")
    assert stuck.status.endswith("where the potential ends and may have a kink")
    kept = relax(atoms, groove, Relaxation(1e-4, 500, keep_neighbours=True))
    assert (kept.status, kept.fmax < 1e-4) == ("ok", True)
    edge = kept.atoms.cell.lengths()
    assert edge == pytest.approx(np.full(3, edge[0]))
    assert kept.across == pytest.approx(abs(np.sqrt(2) * edge[0] - groove.cutoff))
    assert 0 < kept.across < ACROSS
    # a minimum of one side, with 6 or with 18 neighbours: dE/da = 0
    excess = edge[0] ** 3 / groove.volume - 1
    spring = groove.stiffness * excess * 3 * edge[0] ** 2 / groove.volume
    assert any(
        spring == pytest.approx(p, abs=1e-3) for p in (3 * groove.push, 3 * groove.push + 6 * np.sqrt(2) * groove.push)
    )


def test_neighbours_far_across_the_cutoff_are_no_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgwgan_core.relaxation.descent.ACROSS", 1e-6)
    atoms, how = Atoms("Cu", cell=[2.97] * 3, pbc=True), Relaxation(1e-4, 500, keep_neighbours=True)
    refused = relax(atoms, Groove(), how)
    assert "on the other side of the potential's cutoff" in refused.status
    near = relax(atoms, Groove(), replace(how, fmax_accepted=10.0))
    assert (near.ok, near.across) == (True, 0.0)  # as it was before its neighbours were kept


def test_kept_neighbours_change_nothing_where_a_minimum_is_reached(chgnet: Potential) -> None:
    atoms = bulk("MgO", "rocksalt", a=4.3)
    plain, kept = (relax(atoms, chgnet, Relaxation(0.01, 200, keep_neighbours=keep)) for keep in (False, True))
    assert (kept.n_steps, kept.energy_per_atom) == (plain.n_steps, plain.energy_per_atom)
