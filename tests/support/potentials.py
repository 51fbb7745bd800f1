"""Potentials and crystals that several tests use."""

from ase import Atoms
from ase.spacegroup import crystal

from cgwgan_core.potentials.load import PotentialOptions

EMT = PotentialOptions(name="ase.calculators.emt:EMT", energy_scale="mp_uncorrected")
M3GNET = "M3GNet-MP-2021.2.8-PES"
MATPES = "M3GNet-MatPES-PBE-v2025.1-PES"


def displaced_perovskite(seed: int) -> Atoms:
    """SrTiO3, its atoms displaced by some 0.15 Å."""
    atoms = crystal(
        ["Sr", "Ti", "O"],
        [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
        spacegroup=221,
        cellpar=[3.95, 3.95, 3.95, 90, 90, 90],
    )
    atoms.rattle(0.15, seed=seed)
    return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)


def aucu4(a: float) -> Atoms:
    """A perovskite, which is a saddle point of EMT."""
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    return Atoms("AuCuCu3", scaled_positions=places, cell=[a] * 3, pbc=True)
