"""Asymmetric units of a table, the training set, and the split by template."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from cgwgan_core import tables
from cgwgan_core.crystal import Templates, min_distances, to_atoms
from cgwgan_core.dataset import TrainingOptions, _asu_batch, asymmetric_units, select_training
from cgwgan_core.errors import InputError
from cgwgan_core.jobs import Provenance
from tests.support.random_templates import recelled, templates


def row(name: str, structure: Structure) -> dict[str, object]:
    return {
        "material_id": name,
        "formula": structure.composition.reduced_formula,
        "lattice": structure.lattice.matrix.ravel().tolist(),
        "numbers": list(structure.atomic_numbers),
        "frac_coords": structure.frac_coords.ravel().tolist(),
    }


@pytest.fixture(scope="module")
def structures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Perovskites (three sites), rocksalts (two), one in P1 and one that is broken."""
    rows = []
    for i in range(600):
        perovskite = Structure.from_spacegroup(
            221, Lattice.cubic(3.8 + 0.001 * i), ["Ba", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
        )
        rows.append(row(f"p{i}", perovskite))
    rows.append(
        row("rocksalt", Structure.from_spacegroup(225, Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5] * 3]))
    )
    odd = Structure(
        Lattice([[4, 0, 0], [0.5, 5, 0], [0.3, 0.7, 6]]), ["H", "O", "C"], [[0, 0, 0], [0.2, 0.3, 0.4], [0.7, 0.4, 0.1]]
    )
    rows.append(row("p1", odd))
    rows.append({**row("broken", odd), "frac_coords": [0.0] * 9})
    path = tmp_path_factory.mktemp("data") / "structures.parquet"
    tables.write(path, rows, tables.STRUCTURES, Provenance())
    return path


def collect(structures: Path, threads: int) -> tuple[list[dict], list[dict]]:
    kept, rejected = [], []
    for rows, bad in asymmetric_units(structures, 0.1, threads):
        kept += rows
        rejected += bad
    return kept, rejected


def test_every_structure_is_kept_or_refused_in_order(structures: Path) -> None:
    kept, rejected = collect(structures, 1)
    assert len(kept) + len(rejected) == tables.count(structures) == 603
    assert [r["record"] for r in rejected] == ["broken"]
    assert rejected[0]["stage"] == "asu"
    assert [r["material_id"] for r in kept][:3] == ["p0", "p1", "p2"]
    first = kept[0]
    assert (first["spacegroup"], first["letters"], first["n_atoms"]) == (221, ["a", "b", "c"], 5)
    assert sorted(first["elements"]) == ["Ba", "O", "Ti"]
    assert first["elements"][2] == "O"
    assert first["symprec"] == 0.1


def test_processes_do_not_change_the_result(structures: Path) -> None:
    one, two = (tables.to_table(collect(structures, n)[0], tables.ASU) for n in (1, 2))
    assert one.equals(two)


def test_training_takes_the_wanted_and_refuses_the_rest_with_reasons(structures: Path) -> None:
    asu = tables.to_table(collect(structures, 1)[0], tables.ASU)
    training, refused = select_training(asu, TrainingOptions(held_out=0.0), 1)
    assert training.num_rows == 600
    assert {r["record"]: r["reason"] for r in refused} == {
        "rocksalt": "not 3 or 4 sites",
        "p1": "space group below 2",
    }
    assert set(training["coarse_key"].to_pylist()) == {"221:abc"} or len(set(training["coarse_key"].to_pylist())) == 1


def test_a_template_is_on_one_side_whatever_else_there_is(shared_data: Path) -> None:
    """On real structures: no template on both sides, about the share asked for, and stable under subsets."""
    docs = json.loads(gzip.decompress((shared_data / "mp_templates34_sample2000.json.gz").read_bytes()))[:800]
    rows = []
    for i, doc in enumerate(docs):
        structure = Structure(doc["lattice"], doc["species"], doc["frac_coords"])
        rows.append(row(doc.get("material_id", str(i)), structure))
    table = pa.Table.from_pylist(rows)
    asu = tables.to_table(_asu_batch(table, 0.1)[0], tables.ASU)
    training, _ = select_training(asu, TrainingOptions(held_out=0.3), 1)
    sides = {}
    for key, split in zip(training["coarse_key"].to_pylist(), training["split"].to_pylist(), strict=True):
        assert sides.setdefault(key, split) == split
    share = list(sides.values()).count("held-out") / len(sides)
    assert 0.2 < share < 0.4
    half, _ = select_training(asu.slice(0, asu.num_rows // 2), TrainingOptions(held_out=0.3), 1)
    assert all(
        sides[key] == split
        for key, split in zip(half["coarse_key"].to_pylist(), half["split"].to_pylist(), strict=True)
    )


def test_nothing_to_learn_from_is_an_error(structures: Path) -> None:
    asu = tables.to_table(collect(structures, 1)[0], tables.ASU)
    with pytest.raises(InputError, match=r"none of the 602 structures has 7 sites"):
        select_training(asu, TrainingOptions(n_sites=(7,)), 1)
    with pytest.raises(ValueError, match="held_out"):
        TrainingOptions(held_out=1.0)


@settings(max_examples=60, deadline=None)
@given(template=templates(), seed=st.integers(0, 2**32))
def test_equal_structures_have_equal_asymmetric_units(template: Templates, seed: int) -> None:
    """Another cell, origin, orientation and order of the atoms: the same row, but for its identifier."""
    if min_distances(template)[0] < 0.7:
        return
    rng = np.random.default_rng(seed)
    atoms = to_atoms(template, 0, ["Ba", "Ru", "O", "Ti"][: int(template.n_sites[0])])
    lattice, frac, numbers = recelled(atoms, rng)
    other = Structure(lattice, numbers, frac)
    structures = [Structure(atoms.cell[:], atoms.numbers, atoms.get_scaled_positions()), other]
    batch = tables.to_table([row(str(n), s) for n, s in enumerate(structures)], tables.STRUCTURES)
    rows, refused = _asu_batch(batch, 1e-3)
    assert not refused
    exact = ("spacegroup", "letters", "multiplicities", "elements")
    assert [rows[0][name] for name in exact] == [rows[1][name] for name in exact]
    off = rows[0]["coords"] - rows[1]["coords"]
    assert np.abs(off - np.round(off)).max() < 1e-5
    for name in ("a", "b", "c", "alpha", "beta", "gamma"):
        assert rows[0][name] == pytest.approx(rows[1][name], abs=1e-4)
