"""The Materials Project, where it is at hand."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Structure

from cgwgan_core.database.asymmetric_units import units_of
from cgwgan_core.database.read import read_database
from cgwgan_core.database.training_set import TrainingOptions, select_training
from cgwgan_core.workflow import tables
from tests.support.crystals import crystal_row


def test_every_structure_is_read_under_its_name_and_formula(shared_data: Path) -> None:
    source = shared_data / "mp_v2023_11_1.parquet"
    batches = list(read_database("parquet", source, chunk=1000, threads=1, download=Path()))
    read = pa.concat_tables([batch.structures for batch in batches])
    table = pq.read_table(source, columns=["material_id", "formula"])
    assert sum(batch.refused.num_rows for batch in batches) == 0
    assert read["material_id"].to_pylist() == table["material_id"].to_pylist()
    # Helium has no electronegativity to order it by; every other formula is written as in the database.
    pairs = zip(read["formula"].to_pylist(), table["formula"].to_pylist(), strict=True)
    assert {(ours, theirs) for ours, theirs in pairs if ours != theirs} == {("SiO2He", "HeSiO2")}


def test_a_template_is_on_one_side_whatever_else_there_is(shared_data: Path) -> None:
    """On real structures: no template on both sides, about the share asked for, and stable under subsets."""
    docs = json.loads(gzip.decompress((shared_data / "mp_templates34_sample2000.json.gz").read_bytes()))[:300]
    rows = []
    for i, doc in enumerate(docs):
        structure = Structure(doc["lattice"], doc["species"], doc["frac_coords"])
        rows.append(crystal_row(structure, material_id=doc.get("material_id", str(i)), energy_above_hull=None))
    asu = tables.to_table(units_of(pa.Table.from_pylist(rows), 0.1)[0], tables.ASU)
    training, _ = select_training(asu, TrainingOptions(held_out=0.3), 1)
    sides = {}
    for key, split in zip(training["isopointal_type"].to_pylist(), training["split"].to_pylist(), strict=True):
        assert sides.setdefault(key, split) == split
    share = list(sides.values()).count("held-out") / len(sides)
    assert 0.2 < share < 0.4
    half, _ = select_training(asu.slice(0, asu.num_rows // 2), TrainingOptions(held_out=0.3), 1)
    assert all(
        sides[key] == split
        for key, split in zip(half["isopointal_type"].to_pylist(), half["split"].to_pylist(), strict=True)
    )
