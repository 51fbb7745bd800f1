"""Checkpoints: what they hold, equal to the byte, and what is told where one is none."""

from pathlib import Path

import pytest
import torch
from torch import nn

from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.fingerprint import isopointal_types
from cgwgan_core.generator.checkpoint import RENAMED, load_generator, save
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.sampling import sample
from cgwgan_core.generator.scope import SHIPPED
from cgwgan_core.workflow import config
from cgwgan_core.workflow.errors import InputError
from tests.support.training import MADE_FROM, SMALL, fit


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
        ({"duplicate_exponent": 1.5}, "model.duplicate_exponent"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ModelOptions(**options)


def test_checkpoint_round_trip(trained: Path, tmp_path: Path) -> None:
    model = load_generator(trained / "generator.ckpt")
    assert model.steps == 12
    assert model.options.generator == (32, 32)
    save(model, tmp_path / "other_name.ckpt", MADE_FROM)
    assert (tmp_path / "other_name.ckpt").read_bytes() == (trained / "generator.ckpt").read_bytes()
    content = torch.load(trained / "generator.ckpt", weights_only=True)
    assert content["metadata"] == MADE_FROM.metadata()
    assert str(trained) not in (trained / "generator.ckpt").read_bytes().decode("latin1")


def test_an_option_may_have_its_older_name(trained: Path, tmp_path: Path) -> None:
    content = torch.load(trained / "generator.ckpt", weights_only=True)
    assert content["options"].pop("duplicate_exponent") == 1.0
    torch.save({**content, "options": {**content["options"], "repeats": 0.5}}, tmp_path / "old.ckpt")
    model = load_generator(tmp_path / "old.ckpt")
    assert model.options.duplicate_exponent == 0.5
    save(model, tmp_path / "new.ckpt", MADE_FROM)
    options = torch.load(tmp_path / "new.ckpt", weights_only=True)["options"]
    assert options["duplicate_exponent"] == 0.5
    assert "repeats" not in options


def test_the_checkpoint_of_the_package(tmp_path: Path) -> None:
    assert SHIPPED["wgan"].stat().st_size < 10_000_000
    model = fit(tmp_path, steps=0, init="pretrained", **{k: getattr(ModelOptions(), k) for k in SMALL})
    drawn = sample(model, 1000, 0)
    assert (min_distances(drawn) >= 1.0).mean() > 0.8
    assert len(set(drawn.spacegroup)) > 40
    assert set(drawn.n_sites) == {3, 4}
    # it knows what it was trained on
    known = {side: set(isopointal_types(templates)) for side, templates in model.known.items()}
    assert min(map(len, known.values())) > 100
    assert not known["train"] & known["held-out"]
    assert set(known) == {"train", "held-out"}


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


def test_renamed_options_are_the_renamed_keys_of_the_configuration() -> None:
    keys = {old: new for old, new in config.RENAMED.items() if old.startswith("model.")}
    assert {f"model.{old}": f"model.{new}" for old, new in RENAMED.items()} == keys
