"""Training: the loss, the steps, and checkpoints that are equal to the byte."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.sampling import sample
from cgwgan_core.generator.scope import SHIPPED
from cgwgan_core.generator.training import draw_weights
from cgwgan_core.generator.wgan.encoding.categorical import Categorical
from cgwgan_core.generator.wgan.encoding.protocol import Encoded
from cgwgan_core.generator.wgan.model import WganModel, build
from cgwgan_core.generator.wgan.training import WGANGP, gradient_penalty
from cgwgan_core.workflow.errors import InputError
from tests.support.training import SMALL, fit, small_templates


class Plane(nn.Module):
    """The critic w · x, whose gradient is w wherever it is taken."""

    def __init__(self, length: float) -> None:
        super().__init__()
        weights = torch.ones(3 + 2 * 4)
        self.weights = nn.Parameter(weights * length / weights.norm())

    def forward(self, encoded: Encoded) -> torch.Tensor:
        return encoded.whole @ self.weights[:3] + encoded.sites.flatten(1) @ self.weights[3:]


@pytest.mark.parametrize(("length", "penalty"), [(1.0, 0.0), (3.0, 4.0), (0.5, 0.25)])
def test_gradient_penalty_takes_one_norm_over_both_parts(length: float, penalty: float) -> None:
    torch.manual_seed(0)
    real, fake = (Encoded(torch.randn(6, 3), torch.randn(6, 2, 4)) for _ in range(2))
    critic = Plane(length)
    found = gradient_penalty(critic, real, fake, torch.rand(6))
    assert_allclose(found.item(), penalty, atol=1e-6)
    found.backward()
    # d/dw (|w| - 1)² = 2 (|w| - 1) w / |w|
    assert_allclose(critic.weights.grad.norm(), 2 * abs(length - 1), atol=1e-6)


def test_training_leaves_what_it_declares(trained: Path) -> None:
    assert {p.name for p in trained.iterdir()} == {"generator.ckpt", "training.csv", "logs"}
    header, *rows = (trained / "training.csv").read_text().splitlines()
    assert header == ",".join(("step", *WGANGP.losses))
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, 13))
    assert np.isfinite([[float(x) for x in row.split(",")] for row in rows]).all()
    assert len((trained / "logs/csv/metrics.csv").read_text().splitlines()) == 13
    assert list((trained / "logs/tensorboard").glob("events*"))


def test_same_bytes_again_whatever_the_threads(trained: Path, tmp_path: Path) -> None:
    torch.manual_seed(77)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    fit(tmp_path)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    for name in ("generator.ckpt", "training.csv"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name


def test_another_seed_is_another_model(trained: Path, tmp_path: Path) -> None:
    fit(tmp_path, seed=2)
    assert (tmp_path / "generator.ckpt").read_bytes() != (trained / "generator.ckpt").read_bytes()


def test_resume_checkpoints_of_another_run_are_not_used(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch/identity").write_text("of another run")
    (tmp_path / "scratch/epoch=000003.ckpt").write_bytes(b"not even a checkpoint")
    fit(tmp_path)
    assert "going on" not in caplog.text
    assert (tmp_path / "generator.ckpt").read_bytes() == (trained / "generator.ckpt").read_bytes()


def test_it_learns(tmp_path: Path) -> None:
    """Shares of the groups, the free coordinate and the spread of densities approach those of the data."""
    data = small_templates()

    def misfit(model: WganModel) -> np.ndarray:
        found = sample(model, 2000, 0)
        share = abs((found.spacegroup == 166).mean() - 0.8)
        right = abs((found.letters[:, :3] == [0, 1, 2]).all(1).mean() - 0.8)
        there = (found.letters == 2) & (found.spacegroup[:, None] == 166)
        z = found.coords[..., 2][there]
        found_quarters, quarters = (np.quantile(x.number_density, [0.25, 0.75]) for x in (found, data))
        return np.array([share, right, np.median(np.abs(z - 0.25)), abs(np.ptp(found_quarters) / np.ptp(quarters) - 1)])

    model = fit(tmp_path, steps=250, data=data, save_every=250, learning_rate=1e-3, ema=0.98, collisions=0.0)
    fresh = Categorical.fit(data)
    before = WganModel(fresh, *build(fresh, model.options, 0), model.options, "", 0, {})
    assert (misfit(model) < [0.1, 0.15, 0.03, 0.2]).all(), misfit(model)
    assert (misfit(before)[2:] > [0.05, 0.3]).all(), misfit(before)


def test_plain_wgan_has_no_other_terms(tmp_path: Path) -> None:
    """Without their weights the terms for letters, collisions and variety are not there, and with them they count."""
    losses = {}
    for name, weights in (("plain", {"likelihood": 0.0, "collisions": 0.0, "energy_score": 0.0}), ("ours", {})):
        model = fit(tmp_path / name, steps=8, **weights)
        header, *rows = (tmp_path / name / "training.csv").read_text().splitlines()
        table = np.array([[float(x) for x in row.split(",")] for row in rows])
        losses[name] = dict(zip(header.split(","), table.T, strict=True)), model
    plain, ours = (losses[name][0] for name in ("plain", "ours"))
    assert not plain["letters_nll"].any()
    assert not plain["collisions"].any()
    assert not plain["energy_score"].any()
    assert (ours["letters_nll"] > 0).all()
    assert (ours["collisions"] > 0).any()
    assert (ours["energy_score"] > 0).all()
    weights = (losses[name][1].generator.state_dict()["head.coords.weight"] for name in ("plain", "ours"))
    assert not torch.equal(*weights)


def test_loss_without_end_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"diverged at step \d+; lower model.learning_rate"):
        fit(tmp_path, steps=60, learning_rate=1e12)


def test_samples_come_from_the_averaged_weights(tmp_path: Path) -> None:
    slow, fast = (fit(tmp_path / str(ema), ema=ema) for ema in (0.999, 0.0))
    loaded = load_generator(tmp_path / "0.0/generator.ckpt")
    for a, b, c in zip(
        slow.generator.parameters(), fast.generator.parameters(), loaded.generator.parameters(), strict=True
    ):
        assert torch.equal(b, c)
        assert not torch.equal(a, b)


def test_checkpoint_as_it_is(trained: Path, tmp_path: Path) -> None:
    fit(tmp_path, steps=0, init=str(trained / "generator.ckpt"))
    assert (tmp_path / "generator.ckpt").read_bytes() == (trained / "generator.ckpt").read_bytes()
    assert (tmp_path / "training.csv").read_text() == ",".join(("step", *WGANGP.losses)) + "\n"


def test_training_goes_on_from_a_checkpoint(trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="cgwgan")
    more = small_templates(seed=5)
    odd = Templates(more.spacegroup, more.cell * [2, 2, 2, 1, 1, 1], more.letters, more.coords)
    model = fit(tmp_path, steps=3, data=Templates.concat([more, odd]), init=str(trained / "generator.ckpt"))
    start = load_generator(trained / "generator.ckpt")
    assert model.steps == 15
    assert model.encoder.state() == start.encoder.state()
    left_out = (~start.encoder.covers(Templates.concat([more, odd]))).sum()
    assert 200 <= left_out < 400
    assert f"{left_out} of 400 templates are left out" in caplog.text
    for name, value in start.generator.named_parameters():
        assert (model.generator.state_dict()[name] - value).abs().max() < 0.01, "near where it started"
    with pytest.raises(InputError, match="none of the training templates"):
        fit(tmp_path, data=odd[odd.spacegroup == 166], init=str(trained / "generator.ckpt"))


def test_checkpoint_of_another_shape(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.latent is 8 here and 16 there; model.critic is \[64\] here"):
        fit(tmp_path, init=str(trained / "generator.ckpt"), latent=8, critic=(64,))


def test_equal_templates_share_their_weight() -> None:
    data = small_templates(3)[[0, 1, 1, 1, 2]]
    assert draw_weights(data, 1.0).tolist() == [1.0] * 5
    assert_allclose(draw_weights(data, 0.0), [1, 1 / 3, 1 / 3, 1 / 3, 1])
    assert_allclose(draw_weights(data, 0.5)[1:4].sum(), 3**0.5)


def test_rows_are_drawn_by_weight() -> None:
    data = small_templates(200)
    encoder = Categorical.fit(data)
    options = ModelOptions(**SMALL)
    weights = np.where(data.spacegroup == 12, 0.0, 1.0)
    model = WganModel(encoder, *build(encoder, options, 0), options, "", 0, {})
    module = WGANGP(model, data, weights, data[:0], options, 1)
    drawn = [module.draw(torch.Generator().manual_seed(i), 32).whole[:, 0] for i in range(5)]
    assert not torch.cat(drawn).any(), "group 12, the first, has no weight"


def test_the_best_late_step_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="cgwgan")
    held_out = small_templates(150, seed=9)
    fast = {"n_critic": 1, "collisions": 0.0, "energy_score": 0.0}
    model = fit(tmp_path, steps=200, held_out=held_out, save_every=200, learning_rate=1e-3, **fast)
    scores = {
        int(record.message.split()[1][:-1]): float(record.message.split()[3])
        for record in caplog.records
        if "on the held-out" in record.message
    }
    assert list(scores) == [150, 200]
    assert scores[model.steps] == max(scores.values())


def test_a_checkpoint_knows_what_it_was_trained_on(tmp_path: Path) -> None:
    data, held_out = small_templates(), small_templates(20, seed=5)
    known = fit(tmp_path, steps=1, data=data, held_out=held_out).known
    for side, wanted in (("train", data), ("held-out", held_out)):
        assert known[side].letters.tolist() == wanted.letters.tolist()
        assert known[side].cell == pytest.approx(wanted.cell, rel=1e-3)
        assert known[side].coords == pytest.approx(wanted.coords, abs=1e-3)


def test_few_held_out_templates_choose_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="cgwgan")
    fast = {"n_critic": 1, "collisions": 0.0, "energy_score": 0.0}
    assert fit(tmp_path, steps=60, held_out=small_templates(50), save_every=60, **fast).steps == 60
    assert "on the held-out" not in caplog.text


def test_training_goes_on_from_the_checkpoint_of_the_package(tmp_path: Path) -> None:
    start = load_generator(SHIPPED["wgan"])
    options = {k: getattr(ModelOptions(), k) for k in ("latent", "generator", "critic")}
    model = fit(tmp_path, steps=2, data=sample(start, 200, 0), init="pretrained", **options)
    assert model.steps == start.steps + 2
    assert len(model.known["train"]) == len(start.known["train"]) + 200
    assert len(model.known["held-out"]) == len(start.known["held-out"])
    with pytest.raises(InputError, match=r"model\.latent is 16 here and 128 there"):
        fit(tmp_path, steps=2, init="pretrained")
