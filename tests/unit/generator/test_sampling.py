"""Sampling: a seed stands for one endless stream of templates."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from cgwgan_core.crystallography.spacegroups import constrain_cell
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.model import Request
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.sampling import BATCH, sample
from cgwgan_core.generator.wgan.encoding.categorical import Categorical
from cgwgan_core.generator.wgan.model import WganModel, build
from cgwgan_core.workflow.errors import InputError


@pytest.fixture(scope="module")
def model() -> WganModel:
    """An untrained model of three groups."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.array([2, 12, 166], dtype=np.int16), 40)
    cell = constrain_cell(groups, np.column_stack([random.uniform(3, 9, (120, 3)), random.uniform(80, 100, (120, 3))]))
    letters = np.array([[0, 2, 8], [0, 8, 9], [0, 2, 8]], dtype=np.int8)[np.searchsorted([2, 12, 166], groups)]
    encoder = Categorical.fit(Templates(groups, cell, letters, random.random((120, 3, 3))).projected())
    options = ModelOptions(latent=16, generator=(32,), critic=(16,))
    return WganModel(encoder, *build(encoder, options, seed=3), options, data="", steps=0, known={})


def assert_equal(found: Templates, wanted: Templates) -> None:
    for name in ("spacegroup", "cell", "letters", "coords"):
        assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


def test_same_seed_same_templates(model: WganModel) -> None:
    first = sample(model, 100, 5)
    assert len(first) == 100
    assert_equal(sample(model, 100, 5), first)
    assert (sample(model, 100, 6).cell != first.cell).any()


def test_fewer_are_the_first_of_more(model: WganModel) -> None:
    more = sample(model, BATCH + 10, 5)
    assert len(more) == BATCH + 10
    assert_equal(sample(model, 7, 5), more[:7])
    assert_equal(sample(model, BATCH + 3, 5), more[: BATCH + 3])
    assert (more.cell[BATCH:] != more.cell[:10]).any(), "the second batch is another one"


def test_threads_and_global_random_state_play_no_part(model: WganModel) -> None:
    first = sample(model, 50, 5)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    assert_equal(sample(model, 50, 5), first)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.set_num_threads(threads)


def test_templates_are_in_canonical_form(model: WganModel) -> None:
    found = sample(model, 500, 1)
    assert_equal(found.projected(), found)


def test_only_the_groups_asked_for(model: WganModel) -> None:
    found = sample(model, 300, 1, Request(spacegroups=(12, 166, 225)))
    assert set(found.spacegroup) == {12, 166}
    with pytest.raises(InputError, match="none of the space groups 225, 227"):
        sample(model, 5, 1, Request(spacegroups=(225, 227)))


def test_none(model: WganModel) -> None:
    assert len(sample(model, 0, 1)) == 0


def test_pseudocount_must_not_be_negative(model: WganModel) -> None:
    with pytest.raises(InputError, match="below 0"):
        sample(model, 1, 1, Request(-1.0))
    with pytest.raises(InputError, match=r"energy_above_hull: -0\.1 is below 0"):
        sample(model, 1, 1, Request(energy_above_hull=-0.1))
    with pytest.raises(InputError, match="a wgan takes no such condition"):
        sample(model, 1, 1, Request(energy_above_hull=0.0))


def test_unseen_letters_leave_space_groups_as_they_are(model: WganModel) -> None:
    """The data has one set of letters for each group; β M / (N + β M) of its draws have others."""
    few, many = (sample(model, 4000, 1, Request(pseudocount)) for pseudocount in (0.0, 40.0))
    assert_array_equal(few.spacegroup, many.spacegroup)
    kinds = {2: [0, 2, 8], 12: [0, 8, 9], 166: [0, 2, 8]}
    known = np.array([kinds[number] for number in many.spacegroup])
    other = (many.letters != known).any(1)
    learnt = (few.letters != known).any(1)
    for number in kinds:
        mine = many.spacegroup == number
        expected = 0.5 + 0.5 * learnt[mine].mean()
        assert abs(other[mine].mean() - expected) < 0.04
