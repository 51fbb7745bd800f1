"""The training set, and the split by template."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pymatgen.core import Structure

from cgwgan_core.database.asymmetric_units import units_of
from cgwgan_core.database.training_set import TrainingOptions, select_training
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from tests.support.crystals import structure_row


def test_training_takes_the_wanted_and_refuses_the_rest_with_reasons(asu: pa.Table) -> None:
    training, refused = select_training(asu, TrainingOptions(held_out=0.0), 1)
    assert training.num_rows == 600
    assert {r["record"]: r["reason"] for r in refused} == {
        "rocksalt": "not 3 or 4 sites",
        "p1": "space group below 2",
    }
    assert len(set(training["isopointal_type"].to_pylist())) == 1


def test_a_template_is_on_one_side_whatever_else_there_is(shared_data: Path) -> None:
    """On real structures: no template on both sides, about the share asked for, and stable under subsets."""
    docs = json.loads(gzip.decompress((shared_data / "mp_templates34_sample2000.json.gz").read_bytes()))[:800]
    rows = []
    for i, doc in enumerate(docs):
        structure = Structure(doc["lattice"], doc["species"], doc["frac_coords"])
        rows.append(structure_row(structure, material_id=doc.get("material_id", str(i))))
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


def test_nothing_to_learn_from_is_an_error(asu: pa.Table) -> None:
    with pytest.raises(InputError, match=r"none of the 602 structures has 7 sites"):
        select_training(asu, TrainingOptions(n_sites=(7,)), 1)
    with pytest.raises(ValueError, match="held_out"):
        TrainingOptions(held_out=1.0)
