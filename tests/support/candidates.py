"""Crystals as candidates: ASE's atoms, and rows of tables."""

from typing import Any

from ase import Atoms

from cgwgan_core.crystallography.structures import atoms_to_row


def oxide_perovskite(a: str, b: str, edge: float) -> Atoms:
    """A cubic perovskite ABO3.

    :param edge: of the cube, Å.
    """
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms([a, b, "O", "O", "O"], scaled_positions=places, cell=[edge] * 3, pbc=True)


def candidate_row(name: str, atoms: Atoms, **columns: Any) -> dict[str, Any]:
    """A crystal as the row of a table, with further columns."""
    return {"candidate_id": name, **atoms_to_row(atoms), **columns}
