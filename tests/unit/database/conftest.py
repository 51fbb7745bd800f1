"""A small table of structures, and their asymmetric units."""

from pathlib import Path

import pyarrow as pa
import pytest
from pymatgen.core import Lattice, Structure

from cgwgan_core.database.asymmetric_units import asymmetric_units
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance
from tests.support.crystals import crystal_row, perovskite


@pytest.fixture(scope="session")
def structures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 perovskites (three sites), a rocksalt (two), a crystal in P1 and one that is broken."""
    rocksalt = Structure.from_spacegroup(225, Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5] * 3])
    odd = Structure(
        Lattice([[4, 0, 0], [0.5, 5, 0], [0.3, 0.7, 6]]), ["H", "O", "C"], [[0, 0, 0], [0.2, 0.3, 0.4], [0.7, 0.4, 0.1]]
    )
    cubic = crystal_row(perovskite(1.0, ("Ba", "Ti", "O")))
    edges = [3.8 + 0.001 * i for i in range(600)]
    rows = [
        {**cubic, "lattice": [a * x for x in cubic["lattice"]], "material_id": f"p{i}"} for i, a in enumerate(edges)
    ]
    rows += [crystal_row(rocksalt, material_id="rocksalt"), crystal_row(odd, material_id="p1")]
    rows.append({**crystal_row(odd, material_id="broken"), "frac_coords": [0.0] * 9})
    path = tmp_path_factory.mktemp("data") / "structures.parquet"
    tables.write(path, rows, tables.STRUCTURES, Provenance())
    return path


@pytest.fixture(scope="session")
def asu(structures: Path) -> pa.Table:
    """Their asymmetric units."""
    rows = [row for kept, _ in asymmetric_units(structures, 0.1, threads=1) for row in kept]
    return tables.to_table(rows, tables.ASU)
