"""Training: the loss, the networks' promises, and checkpoints that are equal to the byte."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from cgwgan_core import gan
from cgwgan_core.crystal import Templates, min_distances
from cgwgan_core.encoding import Categorical, Encoded
from cgwgan_core.errors import InputError
from cgwgan_core.fingerprint import coarse_keys
from cgwgan_core.gan import LOSSES, Bundle, ModelOptions, build, gradient_penalty, load_generator, save, train
from cgwgan_core.jobs import Provenance
from cgwgan_core.networks import Attention, Critic
from cgwgan_core.sampling import sample
from cgwgan_core.spacegroups import constrain_cell

SMALL = {"latent": 16, "generator": (32, 32), "critic": (32, 16), "batch_size": 32, "n_critic": 2}
MADE_FROM = Provenance("0123456789abcdef", {"training": "fedcba9876543210"})


def templates(n: int = 200, seed: int = 0) -> Templates:
    """Four of five are rhombohedral with one free coordinate about 0.25, the rest are monoclinic."""
    random = np.random.default_rng(seed)
    groups = np.where(np.arange(n) % 5, 166, 12).astype(np.int16)
    cell = np.column_stack([random.uniform(4, 6, (n, 2)), random.uniform(6, 9, n), random.uniform(85, 100, (n, 3))])
    letters = np.where((groups == 166)[:, None], [0, 1, 2], [0, 8, 9]).astype(np.int8)
    coords = random.normal(0.25, 0.02, (n, 3, 3))
    return Templates(groups, constrain_cell(groups, cell), letters, coords).projected()


def fit(
    folder: Path, steps: int = 12, seed: int = 1, data: Templates | None = None, save_every: int = 5, **options: object
) -> Bundle:
    return train(
        templates() if data is None else data,
        ModelOptions(**{**SMALL, "init": "scratch", "max_steps": steps, **options}),
        seed,
        checkpoint=folder / "generator.ckpt",
        curve=folder / "training.csv",
        scratch=folder / "scratch",
        logs=folder / "logs",
        made_from=MADE_FROM,
        save_every=save_every,
    )


# ------------------------------------------------------------------------------------------------ networks


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


def test_attention_is_over_the_sites() -> None:
    torch.manual_seed(0)
    attention = Attention(16)
    x = torch.randn(2, 16, 4)
    other = x.clone()
    other[:, :, 3] += 1
    assert attention.weights(x).shape == (2, 4, 4)
    assert_allclose(attention.weights(x).sum(2).detach(), np.ones((2, 4)), atol=1e-6)
    assert torch.equal(attention(x), x), "gamma starts at 0"
    with torch.no_grad():
        attention.gamma.fill_(1.0)
    assert not torch.allclose(attention(x)[:, :, 0], attention(other)[:, :, 0]), "site 0 sees site 3"
    # rows of the weights are the sites that attend: the output is their weighted mean of the values
    wanted = x + torch.einsum("bij,bcj->bci", attention.weights(x), attention.value(x))
    assert torch.allclose(attention(x), wanted, atol=1e-5)


def test_critic_scores_each_template_by_itself() -> None:
    encoder = Categorical.fit(templates())
    encoded = encoder.encode(templates())
    torch.manual_seed(0)
    critic = Critic(encoder, (32, 16))
    with torch.no_grad():
        critic.attention[0].gamma.fill_(0.7)
        scores = critic(encoded)
        assert scores.shape == (200,)
        assert torch.allclose(critic(Encoded(encoded.whole[3:4], encoded.sites[3:4])), scores[3:4], atol=1e-5)
        swapped = Encoded(encoded.whole, encoded.sites.flip(1))
        assert not torch.allclose(critic(swapped), scores, atol=1e-3)


# ------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": "scratch", "max_steps": 0}, "max_steps is 0 and init is scratch"),
        ({"encoder": "nope"}, "model.encoder: no encoder 'nope'; choose one of categorical"),
        ({"ema": 1.0}, "model.ema"),
        ({"n_critic": 0}, "model.n_critic"),
        ({"generator": []}, "model.generator"),
        ({"learning_rate": 0.0}, "model.learning_rate"),
        ({"likelihood": -1.0}, "model.likelihood"),
        ({"collisions": -1.0}, "model.collisions"),
        ({"energy_score": -1.0}, "model.energy_score"),
        ({"repeats": 1.5}, "model.repeats"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ModelOptions(**options)


# ------------------------------------------------------------------------------------------------ training


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a short training."""
    folder = tmp_path_factory.mktemp("trained")
    fit(folder)
    return folder


def test_training_leaves_what_it_declares(trained: Path) -> None:
    assert {p.name for p in trained.iterdir()} == {"generator.ckpt", "training.csv", "logs"}
    header, *rows = (trained / "training.csv").read_text().splitlines()
    assert header == ",".join(("step", *LOSSES))
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


@pytest.mark.slow
def test_killed_training_goes_on_to_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    """The job is killed (-9) after its second resume checkpoint, of twelve; then it runs again."""
    steps = 60
    code = f"""
import importlib.util, logging, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("here", {__file__!r})
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
here.fit(Path(sys.argv[1]), steps={steps})
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = tmp_path / "scratch"
    deadline = time.monotonic() + 120
    while not list(kept.glob("epoch=00000[2-9]*.ckpt")) and time.monotonic() < deadline and job.poll() is None:
        time.sleep(0.02)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert list(kept.glob("*.ckpt"))
    assert not (tmp_path / "generator.ckpt").exists()
    again = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    assert again.returncode == 0, again.stderr
    assert "going on from" in again.stdout
    (tmp_path / "whole").mkdir()
    fit(tmp_path / "whole", steps=steps)
    for name in ("generator.ckpt", "training.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not kept.exists()


def test_resume_checkpoints_of_another_run_are_not_used(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch/identity").write_text("of another run")
    (tmp_path / "scratch/epoch=000003.ckpt").write_bytes(b"not even a checkpoint")
    fit(tmp_path)
    assert "going on" not in caplog.text
    assert (tmp_path / "generator.ckpt").read_bytes() == (trained / "generator.ckpt").read_bytes()


@pytest.mark.slow
def test_it_learns(tmp_path: Path) -> None:
    """Shares of the groups, the free coordinate and the spread of densities approach those of the data."""
    data = templates()

    def misfit(bundle: Bundle) -> np.ndarray:
        found = sample(bundle, 2000, seed=0)
        share = abs((found.spacegroup == 166).mean() - 0.8)
        right = abs((found.letters[:, :3] == [0, 1, 2]).all(1).mean() - 0.8)
        there = (found.letters == 2) & (found.spacegroup[:, None] == 166)
        z = found.coords[..., 2][there]
        found_quarters, quarters = (np.quantile(x.number_density, [0.25, 0.75]) for x in (found, data))
        return np.array([share, right, np.median(np.abs(z - 0.25)), abs(np.ptp(found_quarters) / np.ptp(quarters) - 1)])

    bundle = fit(tmp_path, steps=300, data=data, save_every=300, learning_rate=1e-3, n_critic=3, ema=0.98)
    fresh = Categorical.fit(data)
    before = Bundle(fresh, *build(fresh, bundle.options, 0), bundle.options, "", 0, {})
    assert (misfit(bundle) < [0.1, 0.15, 0.03, 0.2]).all(), misfit(bundle)
    assert (misfit(before)[2:] > [0.05, 0.3]).all(), misfit(before)


def test_plain_wgan_has_no_other_terms(tmp_path: Path) -> None:
    """Without their weights the terms for letters, collisions and variety are not there, and with them they count."""
    losses = {}
    for name, weights in (("plain", {"likelihood": 0.0, "collisions": 0.0, "energy_score": 0.0}), ("ours", {})):
        bundle = fit(tmp_path / name, steps=8, **weights)
        header, *rows = (tmp_path / name / "training.csv").read_text().splitlines()
        table = np.array([[float(x) for x in row.split(",")] for row in rows])
        losses[name] = dict(zip(header.split(","), table.T, strict=True)), bundle
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


# --------------------------------------------------------------------------------------------- checkpoints


def test_checkpoint_round_trip(trained: Path, tmp_path: Path) -> None:
    bundle = load_generator(trained / "generator.ckpt")
    assert bundle.steps == 12
    assert bundle.options.generator == (32, 32)
    save(bundle, tmp_path / "other_name.ckpt", MADE_FROM)
    assert (tmp_path / "other_name.ckpt").read_bytes() == (trained / "generator.ckpt").read_bytes()
    content = torch.load(trained / "generator.ckpt", weights_only=True)
    assert content["metadata"] == MADE_FROM.metadata()
    assert str(trained) not in (trained / "generator.ckpt").read_bytes().decode("latin1")


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
    assert (tmp_path / "training.csv").read_text() == ",".join(("step", *LOSSES)) + "\n"


def test_training_goes_on_from_a_checkpoint(trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="cgwgan")
    more = templates(seed=5)
    odd = Templates(more.spacegroup, more.cell * [2, 2, 2, 1, 1, 1], more.letters, more.coords)
    bundle = fit(tmp_path, steps=3, data=Templates.concat([more, odd]), init=str(trained / "generator.ckpt"))
    start = load_generator(trained / "generator.ckpt")
    assert bundle.steps == 15
    assert bundle.encoder.state() == start.encoder.state()
    left_out = (~start.encoder.covers(Templates.concat([more, odd]))).sum()
    assert 200 <= left_out < 400
    assert f"{left_out} of 400 templates are left out" in caplog.text
    for name, value in start.generator.named_parameters():
        assert (bundle.generator.state_dict()[name] - value).abs().max() < 0.01, "near where it started"
    with pytest.raises(InputError, match="none of the training templates"):
        fit(tmp_path, data=odd[odd.spacegroup == 166], init=str(trained / "generator.ckpt"))


def test_checkpoint_of_another_shape(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.latent is 8 here and 16 there; model.critic is \[64\] here"):
        fit(tmp_path, init=str(trained / "generator.ckpt"), latent=8, critic=(64,))


def test_equal_templates_share_their_weight() -> None:
    data = templates(3)[[0, 1, 1, 1, 2]]
    assert gan._weights_of(data, 1.0).tolist() == [1.0] * 5
    assert_allclose(gan._weights_of(data, 0.0), [1, 1 / 3, 1 / 3, 1 / 3, 1])
    assert_allclose(gan._weights_of(data, 0.5)[1:4].sum(), 3**0.5)


def test_rows_are_drawn_by_weight() -> None:
    data = templates(200)
    encoder = Categorical.fit(data)
    options = ModelOptions(**SMALL)
    weights = np.where(data.spacegroup == 12, 0.0, 1.0)
    module = gan.WGANGP(*build(encoder, options, 0), encoder.encode(data), options, 1, weights)
    drawn = [module.draw(torch.Generator().manual_seed(i)).whole[:, 0] for i in range(5)]
    assert not torch.cat(drawn).any(), "group 12, the first, has no weight"


@pytest.mark.slow
def test_the_best_late_step_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="cgwgan")
    options = {**SMALL, "init": "scratch", "max_steps": 200, "learning_rate": 1e-3}
    paths = {"curve": tmp_path / "c.csv", "scratch": tmp_path / "s", "logs": tmp_path / "l", "made_from": MADE_FROM}
    held_out = templates(150, seed=9)
    bundle = train(templates(), ModelOptions(**options), 1, checkpoint=tmp_path / "g.ckpt", held_out=held_out, **paths)
    scores = {
        int(record.message.split()[1][:-1]): float(record.message.split()[3])
        for record in caplog.records
        if "on the held-out" in record.message
    }
    assert list(scores) == [150, 200]
    assert scores[bundle.steps] == max(scores.values())


def test_a_checkpoint_knows_what_it_was_trained_on(tmp_path: Path) -> None:
    data, held_out = templates(), templates(20, seed=5)
    paths = {"curve": tmp_path / "c.csv", "scratch": tmp_path / "s", "logs": tmp_path / "l", "made_from": MADE_FROM}
    options = ModelOptions(**{**SMALL, "init": "scratch", "max_steps": 1})
    known = train(data, options, 1, checkpoint=tmp_path / "g.ckpt", held_out=held_out, **paths).known
    for side, wanted in (("train", data), ("held-out", held_out)):
        assert known[side].letters.tolist() == wanted.letters.tolist()
        assert known[side].cell == pytest.approx(wanted.cell, rel=1e-3)
        assert known[side].coords == pytest.approx(wanted.coords, abs=1e-3)


def test_few_held_out_templates_choose_nothing(tmp_path: Path) -> None:
    paths = {"curve": tmp_path / "c.csv", "scratch": tmp_path / "s", "logs": tmp_path / "l", "made_from": MADE_FROM}
    options = ModelOptions(**{**SMALL, "init": "scratch", "max_steps": 60})
    bundle = train(templates(), options, 1, checkpoint=tmp_path / "g.ckpt", held_out=templates(50), **paths)
    assert bundle.steps == 60


def test_the_checkpoint_of_the_package(tmp_path: Path) -> None:
    assert gan.SHIPPED.stat().st_size < 10_000_000
    bundle = fit(tmp_path, steps=0, init="pretrained", **{k: getattr(ModelOptions(), k) for k in SMALL})
    drawn = sample(bundle, 1000, seed=0)
    assert (min_distances(drawn) >= 1.0).mean() > 0.8
    assert len(set(drawn.spacegroup)) > 40
    assert set(drawn.n_sites) == {3, 4}
    # it knows what it was trained on
    known = {side: set(coarse_keys(templates)) for side, templates in bundle.known.items()}
    assert min(map(len, known.values())) > 100
    assert not known["train"] & known["held-out"]
    assert set(known) == {"train", "held-out"}


def test_training_goes_on_from_the_checkpoint_of_the_package(tmp_path: Path) -> None:
    start = load_generator(gan.SHIPPED)
    options = {k: getattr(ModelOptions(), k) for k in ("latent", "generator", "critic")}
    bundle = fit(tmp_path, steps=2, data=sample(start, 200, seed=0), init="pretrained", **options)
    assert bundle.steps == start.steps + 2
    assert len(bundle.known["train"]) == len(start.known["train"]) + 200
    assert len(bundle.known["held-out"]) == len(start.known["held-out"])
    with pytest.raises(InputError, match=r"model\.latent is 16 here and 128 there"):
        fit(tmp_path, steps=2, init="pretrained")


@pytest.mark.parametrize("steps", [0, 5])
def test_no_checkpoint(tmp_path: Path, steps: int) -> None:
    with pytest.raises(InputError, match=r"nothing\.ckpt: no such checkpoint; set model.init"):
        fit(tmp_path, steps=steps, init=str(tmp_path / "nothing.ckpt"))


def test_unreadable_and_foreign_checkpoints(trained: Path, tmp_path: Path) -> None:
    whole = (trained / "generator.ckpt").read_bytes()
    content = torch.load(trained / "generator.ckpt", weights_only=True)
    cases = {
        "text": b"this is no checkpoint",
        "empty": b"",
        "cut": whole[: len(whole) // 2],
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f"{name}: not a readable checkpoint"):
            load_generator(tmp_path / name)
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_generator(tmp_path)
    others = {
        "foreign": ({"state_dict": {}}, "not a checkpoint of this program"),
        "tensor": (torch.zeros(3), "not a checkpoint of this program"),
        "object": (nn.Linear(2, 2), "not a readable checkpoint"),
        "lacking": ({k: v for k, v in content.items() if k != "critic"}, "damaged checkpoint"),
        "unknown": ({**content, "options": {**content["options"], "new": 1}}, "damaged checkpoint"),
        "misshapen": ({**content, "options": {**content["options"], "latent": 3}}, "damaged checkpoint"),
    }
    for name, (data, message) in others.items():
        torch.save(data, tmp_path / name)
        with pytest.raises(InputError, match=f"{name}: .*{message}") as caught:
            load_generator(tmp_path / name)
        assert "\n" not in str(caught.value), "one line"


def test_format_is_marked() -> None:
    assert gan.FORMAT == "cgwgan generator 4", "raise the number whenever the layout changes"
