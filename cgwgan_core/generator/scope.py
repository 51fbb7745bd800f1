"""What a checkpoint can draw, read in milliseconds: its numbers of sites and its space groups, without torch."""

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgwgan_core.workflow.errors import InputError

SHIPPED = {kind: Path(__file__).parent / kind / "shipped.ckpt" for kind in ("wgan", "flow")}
"""The checkpoints that come with the package, by ``model.kind``; each has a model card in docs/."""
MOST_BYTES = 1 << 26
"""Of what describes a checkpoint; the shipped one has 31 kB."""


@dataclass(frozen=True)
class Scope:
    """What a generator can draw."""

    n_sites: tuple[int, ...]
    """Numbers of sites of the asymmetric unit, ascending."""
    groups: frozenset[int] | None
    """Space groups that may be asked for; ``None``: the encoder takes no condition."""
    kind: str = "wgan"
    """Its ``model.kind``."""
    energies: bool = False
    """Whether an energy above the hull can be asked for."""


class _Plain(pickle.Unpickler):
    """Reads lists, numbers and texts; what would be a tensor, or anything else, is ``None``: nothing is run."""

    def find_class(self, _module: str, name: str) -> Any:
        return dict if name == "OrderedDict" else lambda *_: None

    def persistent_load(self, _pid: Any) -> None:
        return None


def scope_of(path: str | Path) -> Scope:
    """What a checkpoint of :mod:`.checkpoint` can draw.

    :raises InputError: if the file is no such checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (entry,) = (entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))
            if entry.file_size > MOST_BYTES:
                raise ValueError("too long a description")
            content = _Plain(io.BytesIO(archive.read(entry))).load()
        state, kind = content["encoder"], content["options"].get("kind", "wgan")
        # the encoder `continuous` has slots for sites, any of which may be empty
        least, most = state.get("min_sites", 1), state["max_sites"] if "max_sites" in state else state["n_slots"]
        groups = frozenset(map(int, state["groups"])) if "groups" in state else None
        return Scope(tuple(range(int(least), int(most) + 1)), groups, str(kind), bool(state.get("energies")))
    except Exception as error:  # noqa: BLE001 - unpickling what is no checkpoint may raise anything
        why = error.strerror if isinstance(error, OSError) else "it describes no generator"
        raise InputError(
            f"model.init: {path} is no checkpoint of this program ({why}); write pretrained, or train one"
        ) from None
