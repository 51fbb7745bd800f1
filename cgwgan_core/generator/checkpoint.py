"""The file that holds a trained model.

Nothing here trains, so what samples does not load Lightning.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.flow.model import FlowModel
from cgwgan_core.generator.model import TrainedModel
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.wgan.model import WganModel
from cgwgan_core.workflow.errors import InputError, first_line
from cgwgan_core.workflow.files import replacing
from cgwgan_core.workflow.provenance import Provenance

FORMAT = "cgwgan generator 4"
"""Marks the checkpoints of this program; the number changes with their layout."""
MODELS: dict[str, type[WganModel] | type[FlowModel]] = {"wgan": WganModel, "flow": FlowModel}
"""By ``model.kind``."""
RENAMED = {"repeats": "duplicate_exponent"}
"""Options that checkpoints of this layout, the shipped one among them, may hold under the name on the left.

Not taken from :mod:`.workflow.config`: a change there would train the generator anew."""


def save(model: TrainedModel, path: str | Path, made_from: Provenance) -> None:
    """Write a checkpoint: tensors and plain values only, equal bytes for equal content.

    All large tensors are in half precision, which is enough for weights and halves the file.
    """
    options = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(model.options).items() if k != "init"}
    content = {
        "format": FORMAT,
        "options": options,
        "data": model.data,
        "steps": model.steps,
        "known": {side: _packed(templates) for side, templates in model.known.items()},
        **{k: part if k == "encoder" else _half(part) for k, part in model.state().items()},
        "metadata": made_from.metadata(),
    }
    with replacing(path) as temporary, temporary.open("wb") as stream:
        torch.save(content, stream)  # through a stream: given a path, it would write the file's name inside


def load_generator(path: str | Path) -> TrainedModel:
    """Read a checkpoint of :func:`save`.

    :raises InputError: if the file is missing, unreadable, or not such a checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such checkpoint; set model.init to an existing one, to pretrained, or to scratch"
        ) from None
    except Exception as error:  # noqa: BLE001 - unpickling what is no checkpoint may raise anything
        raise InputError(f"{path}: not a readable checkpoint ({first_line(error)}); train it again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise InputError(f"{path}: not a checkpoint of this program (format {found!r}, not {FORMAT!r}); train one")
    try:
        stored = {RENAMED.get(name, name): value for name, value in content["options"].items()}
        options = ModelOptions(**stored, init=str(path))
        known = {side: _unpacked(packed) for side, packed in content["known"].items()}
        return MODELS[options.kind].from_state(content, options, content["data"], content["steps"], known)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, InputError) as error:
        raise InputError(
            f"{path}: a damaged checkpoint, or one of another version ({first_line(error)}); train it again"
        ) from None


def _half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {name: tensor.detach().cpu() for name, tensor in state.items()}
    return {name: (x.half() if x.numel() > 1000 else x).clone() for name, x in tensors.items()}


def _packed(templates: Templates) -> dict[str, Tensor]:
    arrays = {name: torch.from_numpy(array) for name, array in vars(templates).items()}
    return {name: array.half() if array.is_floating_point() else array for name, array in arrays.items()}


def _unpacked(packed: Mapping[str, Tensor]) -> Templates:
    arrays = {name: array.numpy() for name, array in packed.items()}
    return Templates(
        arrays["spacegroup"], arrays["cell"].astype(float), arrays["letters"], arrays["coords"].astype(float)
    ).projected()
