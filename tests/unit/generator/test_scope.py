"""What a checkpoint can draw is read without torch, and is what its encoder says."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.scope import SHIPPED, Scope, scope_of
from cgwgan_core.workflow.errors import InputError
from tests.support.training import fit


def test_the_shipped_generator() -> None:
    encoder = load_generator(SHIPPED["wgan"]).encoder
    assert scope_of(SHIPPED["wgan"]) == Scope((3, 4), frozenset(encoder.groups.tolist()))


def test_the_encoder_continuous_takes_no_groups(tmp_path: Path) -> None:
    fit(tmp_path, steps=1, encoder="continuous")
    assert scope_of(tmp_path / "generator.ckpt") == Scope((1, 2, 3), None)


class Harmful:
    """Makes a file when it is unpickled as usual."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_other_files_are_refused_and_never_run(tmp_path: Path) -> None:
    made = tmp_path / "made"
    contents = [b"", b"no checkpoint", pickle.dumps(Harmful(made))]
    for i, content in enumerate(contents):
        (tmp_path / f"{i}.ckpt").write_bytes(content)
        with zipfile.ZipFile(tmp_path / f"{i}.zip", "w") as archive:
            archive.writestr("archive/data.pkl", content)
        for name in (f"{i}.ckpt", f"{i}.zip", "no.ckpt"):
            with pytest.raises(InputError, match=f"{name} is no checkpoint of this program"):
                scope_of(tmp_path / name)
    assert not made.exists()


def test_why_a_file_is_no_checkpoint_is_told_in_words(tmp_path: Path) -> None:
    torch.save(OrderedDict(weight=torch.zeros(1)), tmp_path / "plain.ckpt")
    torch.save(torch.nn.Linear(1, 1).state_dict(), tmp_path / "other.ckpt")
    for name in ("plain", "other"):
        with pytest.raises(InputError, match=r"no checkpoint of this program \(it describes no generator\); write"):
            scope_of(tmp_path / f"{name}.ckpt")
    with pytest.raises(InputError, match=r"\(Is a directory\)"):
        scope_of(tmp_path)
