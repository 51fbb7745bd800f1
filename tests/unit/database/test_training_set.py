"""The training set, and the split by template."""

import pyarrow as pa
import pytest

from cgwgan_core.database.training_set import TrainingOptions, select_training
from cgwgan_core.workflow.errors import InputError


def test_training_takes_the_wanted_and_refuses_the_rest_with_reasons(asu: pa.Table) -> None:
    training, refused = select_training(asu, TrainingOptions(held_out=0.0), 1)
    assert training.num_rows == 600
    assert {r["record"]: r["reason"] for r in refused} == {
        "rocksalt": "not 3 or 4 sites",
        "p1": "space group below 2",
    }
    assert len(set(training["isopointal_type"].to_pylist())) == 1


def test_there_may_be_nothing_to_learn_from(asu: pa.Table) -> None:
    training, refused = select_training(asu, TrainingOptions(n_sites=(7,)), 1)
    assert training.num_rows == 0
    assert len(refused) == asu.num_rows
    with pytest.raises(InputError, match=r"training\.held_out: 1"):
        TrainingOptions(held_out=1.0)
