"""Where a file came from: digests of inputs and settings, written into every table and checkpoint.

Content alone counts, never places or times, so equal inputs and settings give equal bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cgwgan_core import __version__

PLACES = {"path", "folder", "init", "command", "pseudopotentials", "stamp"}
"""Settings that say where data and programs lie, and since when; the digests of the inputs tell what lies there."""


@dataclass(frozen=True)
class Provenance:
    """What a job made its outputs from."""

    settings: str = ""
    """SHA-256 (16 hex digits) of the settings (Snakemake ``params``) the job ran with, :data:`PLACES` apart."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Name of each input -> SHA-256 (16 hex digits) of its content."""

    def metadata(self) -> dict[str, str]:
        """The three facts as strings, keyed as they appear in file metadata."""
        return {
            "cgwgan.version": __version__,
            "cgwgan.config": self.settings,
            "cgwgan.inputs": json.dumps(self.inputs, sort_keys=True),
        }


def digest_file(path: str | Path) -> str:
    """SHA-256 (16 hex digits) of a file's content; of a folder, of its files' names and contents."""
    path = Path(path)
    if path.is_dir():
        total = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            total.update(f"{file.relative_to(path)}:{digest_file(file)}\n".encode())
        return total.hexdigest()[:16]
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def provenance_of(snakemake: Any) -> Provenance:
    """The provenance of a job's outputs.

    :param snakemake: the object that Snakemake gives to scripts; only ``params`` and ``input`` are read.
    """
    settings = json.dumps(_without_places(dict(snakemake.params.items())), sort_keys=True, default=str)
    inputs: dict[str, str] = {}
    for name, paths in snakemake.input.items():
        several = [paths] if isinstance(paths, str) else list(paths)
        digests = [digest_file(path) for path in several]
        # Many shards make one digest of digests, so that metadata stay short at any scale.
        inputs[name] = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
    return Provenance(hashlib.sha256(settings.encode()).hexdigest()[:16], inputs)


def _without_places(settings: Any) -> Any:
    if not isinstance(settings, Mapping):
        return settings
    return {name: _without_places(value) for name, value in settings.items() if name not in PLACES}
