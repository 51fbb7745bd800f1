"""A small database of gold, copper and salt."""

import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.workflow import tables


@pytest.fixture
def structures() -> pa.Table:
    """A compound, an element, a salt, a compound with too many atoms, and one that is far too dense."""
    places = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    ordered = Atoms("AuCu3", scaled_positions=places, cell=[3.8, 3.8, 3.8], pbc=True)
    crystals = {
        "a": ordered,
        "b": bulk("Cu", a=3.6),
        "c": bulk("NaCl", "rocksalt", a=5.6),
        "d": ordered.repeat(3),
        "e": Atoms("AuCu", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[2, 2, 2.6], pbc=True),
    }
    rows = [
        {
            **atoms_to_row(atoms),
            "material_id": name,
            "formula": atoms.get_chemical_formula(),
            "formation_energy_per_atom": -0.05,
        }
        for name, atoms in crystals.items()
    ]
    return pa.Table.from_pylist(rows, schema=tables.STRUCTURES)
