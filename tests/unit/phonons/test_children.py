"""Unstable crystals followed to an end: a crystal that passes, or the bound that stops the line."""

import dataclasses

import numpy as np
import pytest
from ase import Atoms

from cgwgan_core.phonons.children import descendants
from cgwgan_core.phonons.phonons import PASSING, PhononOptions, PhononResult, phonons
from cgwgan_core.potentials.protocol import Potential
from tests.support.crystals import perovskite_atoms

OPTIONS = PhononOptions(min_length=None)


@pytest.fixture(scope="module")
def cubic(chgnet: Potential) -> PhononResult:
    return phonons(perovskite_atoms(4.03, ("Ba", "Ti", "O")), chgnet, OPTIONS)


def line(parent: PhononResult, potential: Potential, **bounds: float) -> list[tuple[str, PhononResult]]:
    return list(descendants("a", parent, potential, dataclasses.replace(OPTIONS, **bounds)))


def test_a_line_ends_in_a_crystal_that_passes(cubic: PhononResult, chgnet: Potential) -> None:
    found = line(cubic, chgnet)
    assert [name for name, _ in found] == [f"a-c{i + 1}" for i in range(len(found))]
    assert [born.parent_id for _, born in found] == ["a", *(name for name, _ in found[:-1])]
    assert {born.ancestor_id for _, born in found} == {"a"}
    energies = [cubic.energy_per_atom, *(born.energy_per_atom for _, born in found)]
    assert -np.diff(energies) == pytest.approx([born.energy_gain for _, born in found])
    assert (np.diff(energies) < 0).all()
    assert [born.verdict for _, born in found[:-1]] == ["unstable"] * (len(found) - 1)
    assert found[-1][1].verdict in PASSING


@pytest.mark.parametrize(
    ("bounds", "status"),
    [
        ({"max_atoms": 4}, "refused: 5 atoms in the supercell, more than max_atoms (4)"),
        ({"max_minutes": 1e-6}, "refused: takes longer than max_minutes (1e-06)"),
        ({"max_steps": 1, "fmax_accepted": 1e-9}, "refused: the child finds no minimum within max_steps (1)"),
    ],
)
def test_a_bound_ends_a_line(cubic: PhononResult, chgnet: Potential, bounds: dict[str, float], status: str) -> None:
    ((name, born),) = line(cubic, chgnet, **bounds)
    assert name == "a-c1"
    assert born.status.startswith(status)
    assert born.verdict is None
    assert born.parent_id == born.ancestor_id == "a"


def test_the_number_of_generations_ends_a_line(cubic: PhononResult, chgnet: Potential) -> None:
    lenient = dataclasses.replace(cubic, verdict="unstable")
    always = [born for _, born in line(lenient, chgnet, generations=1, stable=0.0, borderline=0.0)]
    if always[0].verdict == "unstable":
        assert always[1].status == "refused: unstable after generations (1)"
        assert (always[1].generation, always[1].parent_id) == (2, "a-c1")
    assert always[-1].verdict != "unstable"


def test_a_crystal_that_passes_has_no_children(chgnet: Potential) -> None:
    assert (
        line(
            phonons(
                Atoms("MgO", scaled_positions=[(0, 0, 0), (0.5,) * 3], cell=2.13 * (1 - np.eye(3)), pbc=True),
                chgnet,
                OPTIONS,
            ),
            chgnet,
        )
        == []
    )
