"""Asymmetric units of a table: every structure kept or refused, in order."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure

from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.structures import atoms_to_structure
from cgwgan_core.crystallography.templates import Templates, to_atoms
from cgwgan_core.database.asymmetric_units import asymmetric_units, units_of
from cgwgan_core.workflow import tables
from tests.support.crystals import crystal_row
from tests.support.random_templates import recelled, templates


def collect(structures: Path, threads: int) -> tuple[list[dict], list[dict]]:
    kept, refused = [], []
    for rows, bad in asymmetric_units(structures, 0.1, threads):
        kept += rows
        refused += bad
    return kept, refused


def test_every_structure_is_kept_or_refused_in_order(structures: Path) -> None:
    kept, refused = collect(structures, 1)
    assert len(kept) + len(refused) == tables.count(structures) == 603
    assert [r["record"] for r in refused] == ["broken"]
    assert refused[0]["stage"] == "asu"
    assert [r["material_id"] for r in kept][:3] == ["p0", "p1", "p2"]
    first = kept[0]
    assert (first["spacegroup"], first["letters"], first["n_atoms"]) == (221, ["a", "b", "c"], 5)
    assert sorted(first["elements"]) == ["Ba", "O", "Ti"]
    assert first["elements"][2] == "O"
    assert first["symprec"] == 0.1


def test_processes_do_not_change_the_result(structures: Path) -> None:
    one, two = (tables.to_table(collect(structures, n)[0], tables.ASU) for n in (1, 2))
    assert one.equals(two)


def test_an_energy_above_the_hull_comes_along(structures: Path) -> None:
    table = tables.read(structures, tables.STRUCTURES).slice(0, 2)
    given = [0.25, None]
    place = table.column_names.index("energy_above_hull")
    rows, _ = units_of(table.set_column(place, "energy_above_hull", pa.array(given, pa.float64())), 0.1)
    assert [row["energy_above_hull"] for row in rows] == given


@settings(max_examples=60, deadline=None)
@given(template=templates(), seed=st.integers(0, 2**32))
def test_equal_structures_have_equal_asymmetric_units(template: Templates, seed: int) -> None:
    """Another cell, origin, orientation and order of the atoms: the same row, but for its identifier."""
    assume(min_distances(template)[0] >= 0.7)
    rng = np.random.default_rng(seed)
    atoms = to_atoms(template, 0, ["Ba", "Ru", "O", "Ti"][: int(template.n_sites[0])])
    lattice, frac, numbers = recelled(atoms, rng)
    other = Structure(lattice, numbers, frac)
    pair = [crystal_row(structure, material_id="x") for structure in (atoms_to_structure(atoms), other)]
    batch = tables.to_table(pair, tables.STRUCTURES)
    rows, refused = units_of(batch, 1e-3)
    assert not refused
    exact = ("spacegroup", "letters", "multiplicities", "elements")
    assert [rows[0][name] for name in exact] == [rows[1][name] for name in exact]
    off = rows[0]["coords"] - rows[1]["coords"]
    assert np.abs(off - np.round(off)).max() < 1e-5
    for name in ("a", "b", "c", "alpha", "beta", "gamma"):
        assert rows[0][name] == pytest.approx(rows[1][name], abs=1e-4)
