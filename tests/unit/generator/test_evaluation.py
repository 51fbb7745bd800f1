"""A generator beside its references, with the shipped checkpoint where a generator is needed."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from cgwgan_core.generator import evaluation
from cgwgan_core.generator.baselines import resampled
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.draws import Draws
from cgwgan_core.generator.evaluation import evaluate, latent_map, makers, summary
from cgwgan_core.generator.quality import BY_SITES, METRICS
from cgwgan_core.generator.sampling import sample
from cgwgan_core.generator.scope import SHIPPED
from cgwgan_core.generator.selection import TemplateOptions
from cgwgan_core.generator.wgan.model import WganModel
from cgwgan_core.workflow import tables
from tests.support.random_templates import real_templates

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model() -> WganModel:
    return load_generator(SHIPPED["wgan"])


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generator_benchmark", ROOT / "benchmarks" / "generator.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def split() -> tuple[Draws, Draws]:
    real = real_templates()
    return Draws(real[real.spacegroup == 221]), Draws(real[real.spacegroup == 166])


def test_every_set_has_every_figure_and_as_many_draws(model):
    train, held_out = split()
    sets = makers(model, train.templates, held_out.templates, 30, 1.0)
    assert list(sets) == ["generator", "held-out", "training", "jittered", "independent"]
    found = evaluate(sets, train, held_out, [1, 2], TemplateOptions())
    for row in found.values():
        assert set(row) == {"n", *METRICS, *(f"{key}_{n}" for key in BY_SITES for n in set(train.templates.n_sites))}
        assert row["n"] == (30, 0)
    assert found["training"]["memorised"][0] == found["held-out"]["recall_held_out"][0] == 1.0
    assert found["training"]["recall_held_out"][0] == found["held-out"]["memorised"][0] == 0.0
    assert evaluate(sets, train, held_out, [1, 2], TemplateOptions()) == found


def test_without_held_out_templates_there_is_no_such_column_and_no_recall(model):
    train, held_out = split()
    sets = makers(model, train.templates, held_out.templates[:0], 10, 1.0)
    assert "held-out" not in sets
    found = evaluate({"training": sets["training"]}, train, Draws(held_out.templates[:0]), [0], TemplateOptions())
    assert found["training"]["recall_held_out"] == (None, None)
    assert found["training"]["frechet_held_out"][0] is None
    assert found["training"]["valid"] == (1.0, None)


def test_a_summary_has_means_and_intervals_and_nothing_for_what_is_undefined():
    found = summary([{"a": 0.1, "b": float("nan")}, {"a": 0.3, "b": 1.0}])
    assert found["a"] == (pytest.approx(0.2), pytest.approx(12.706 * 0.1))
    assert found["b"] == (None, None)


def test_the_critics_score_is_linear_in_its_latent_space(model):
    encoded = model.encoder.encode(sample(model, 20, 0))
    latent = model.critic.latent(encoded)
    assert latent.shape == (20, 2 * model.options.critic[-1])
    assert np.allclose(
        model.critic(encoded).detach(), (latent @ model.critic.join.weight[0] + model.critic.join.bias).detach()
    )


def test_the_latent_map_is_repeatable_and_keeps_neighbours(model, monkeypatch):
    monkeypatch.setattr(evaluation, "POINTS", 40)
    drawn = sample(model, 300, 0)
    kinds = [drawn[drawn.spacegroup == number] for number in (225, 62)]
    assert min(map(len, kinds)) >= 10
    random = np.random.default_rng(0)
    one, other = (resampled(kind, 60, random) for kind in kinds)
    found = latent_map(model, one, other, 3)
    assert found == latent_map(model, one, other, 3)
    assert [len(found[side]) for side in ("real", "generated")] == [40, 40]
    # Fm-3m on one side, Pnma on the other: the nearest other point is nearly always of the same side
    places = np.array(found["real"] + found["generated"])
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.diag(np.full(80, np.inf))
    same = (distance.argmin(1) < 40) == (np.arange(80) < 40)
    assert same.mean() > 0.9


def test_too_few_templates_make_no_map(model):
    drawn = sample(model, 5, 0)
    assert latent_map(model, drawn[:1], drawn, 0) == {"real": [], "generated": []}
    assert len(latent_map(model, drawn[:2], drawn, 0)["real"]) == 2


def test_prototypes_of_aflow_have_the_keys_of_well_known_structures(benchmark):
    found = benchmark.aflow_keys([3, 4], 2)
    assert "221:abc" in found  # perovskite, E2_1
    assert "216:abc" in found  # half-Heusler, C1_b
    assert all(int(key.split(":")[0]) >= 2 and 3 <= len(key.split(":")[1]) <= 4 for key in found)
    assert found > benchmark.aflow_keys([3], 150)


def test_crystals_of_pyxtal_have_the_symmetry_and_failures_are_kept(benchmark):
    rows = [
        {"spacegroup": 221, "letters": ["a", "b", "c"], "elements": ["Ba", "Ti", "O"], "multiplicities": [1, 1, 3]},
        # five atoms fit no sites of P4/mbm (2, 4 and 8)
        {"spacegroup": 127, "letters": ["a", "b", "c"], "elements": ["Ba", "Ti", "O"], "multiplicities": [1, 1, 3]},
    ]
    make = benchmark.pyxtal_maker(pa.Table.from_pylist(rows), 12)
    drawn = make(0)
    assert len(drawn) == 12
    there = drawn.n_sites > 0
    assert (drawn.spacegroup[there] == 221).all()
    assert (drawn.spacegroup[~there] == 127).all()
    assert Draws(drawn).symmetric.tolist() == there.tolist()
    assert 0 < there.sum() < 12


def test_the_benchmark_measures_all_its_parts(benchmark, model):
    real = real_templates(60)
    columns = real.to_columns() | {
        "elements": [["Ba", "Ti", "O"]] * 60,
        "split": np.where(real.spacegroup == 221, "train", "held-out"),
    }
    table = tables.to_table(columns, tables.TRAINING)
    found = benchmark.run(model, table, 20, 2, 1.0, 3, 1500, 4, set())
    assert list(found["figures"]) == ["generator", "held-out", "training", "jittered", "independent"]
    assert list(found["with_pyxtal"])[-1] == "pyxtal"
    assert [row["draws"][0] for row in found["growth"]["generator"]] == [1000, 1500]
    assert [row["draws"][0] for row in found["growth"]["pyxtal"]] == [4]
    assert found["wanted"]["aflow"] == (found["wanted"]["aflow_in_training"] + found["wanted"]["aflow_not_in_training"])
    text = benchmark.markdown(found["with_pyxtal"])
    assert all(metric.name in text for metric in benchmark.ROWS.values())
    assert "| 1,500 |" in benchmark.growth_markdown(found["growth"]["independent"])
