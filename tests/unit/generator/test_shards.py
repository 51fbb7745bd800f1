"""Shards of templates: all samples once, and each batch with random numbers of its own."""

import pytest

from cgwgan_core.crystallography.matching import Distinct
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator import shards
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.scope import SHIPPED
from cgwgan_core.generator.selection import TemplateOptions
from cgwgan_core.generator.shards import request_of
from cgwgan_core.generator.wgan.model import WganModel

WANTED = request_of(3.0, ["cubic", 62], None, TemplateOptions())


def test_formulas_of_candidates_and_ratios_are_one_request() -> None:
    def asked(formulas: list[str] | None, ratios: tuple[str, ...] | None) -> tuple[tuple[int, ...], ...]:
        return request_of(3.0, None, formulas, TemplateOptions(formulas=ratios)).formulas

    assert asked(None, None) == ()
    assert asked(["BaRuO3", "Ba2RuO4"], None) == ((1, 1, 3), (2, 1, 4))
    assert asked(None, ("A2BX4", "AB3X")) == ((1, 1, 3), (1, 2, 4))
    assert asked(["BaRuO3", "Ba2RuO4"], ("AB3X",)) == ((1, 1, 3),)


@pytest.fixture(scope="module")
def model() -> WganModel:
    return load_generator(SHIPPED["wgan"])


@pytest.mark.parametrize(("samples", "number"), [(10, 4), (3, 8), (120_000, 7)])
def test_shards_share_out_all_samples(samples: int, number: int) -> None:
    each = [shards.samples_of_shard(samples, shard, number) for shard in range(number)]
    assert sum(each) == samples
    assert max(each) - min(each) <= 1


def test_batches_and_shards_differ_and_nothing_repeats(model: WganModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "CHUNK", 60)
    options = TemplateOptions()

    def found(shard: int) -> list[Templates]:
        drawn = shards.selections(model, 100, WANTED, options, shard, run_seed=1)
        return [selection.found for selection in drawn]

    first, second = found(0)
    assert min(len(first), len(second)) > 5
    assert (first.cell[:5] != second.cell[:5]).any()
    both = Templates.concat([first, second])
    assert not Distinct(options.tolerance, 1).add(both, are_canonical=True).any()
    assert (found(1)[0].cell[:5] != first.cell[:5]).any()


def test_only_the_groups_that_are_asked_for_are_drawn(model: WganModel) -> None:
    (selection,) = shards.selections(model, 50, WANTED, TemplateOptions(), 0, run_seed=1)
    assert all(group == 62 or group >= 195 for group in selection.requested.tolist())
    assert {62} < set(selection.requested.tolist())
