"""Outputs that survive a kill: rows kept as they are finished, and folders that appear whole or not at all.

Snakemake deletes a rule's declared outputs before it reruns it, so nothing could resume from them. Finished
rows are kept in an undeclared folder beside the output, one small file each, until the output is written.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class KeptRows:
    """Finished rows of one output, kept until the body of the ``with`` ends without an error.

    >>> with KeptRows("results/phonons/0.parquet", options, potential.digest) as kept:  # doctest: +SKIP
    ...     rows = [kept.get(crystal) or kept.put(crystal, compute(crystal)) for crystal in crystals]
    ...     tables.write("results/phonons/0.parquet", rows, PHONONS, made_from)

    :param output: the file that the rows will become.
    :param context: everything besides the key that a row follows from (options, digests); rows kept under
        another context are not found. Dataclasses and JSON values.
    """

    def __init__(self, output: str | Path, *context: Any) -> None:
        output = Path(output)
        self.folder = output.with_name(f".{output.name}.rows")
        self._context = _text(context)

    def __enter__(self) -> "KeptRows":
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None:
            shutil.rmtree(self.folder)

    def get(self, key: Any) -> dict[str, Any] | None:
        """The row kept under this key (JSON values), or ``None``."""
        try:
            return json.loads(self._file(key).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def put(self, key: Any, row: dict[str, Any]) -> dict[str, Any]:
        """Keep a row of JSON values; it is on disk when this returns.

        :returns: the row as :meth:`get` would return it, so that a resumed run gives the same bytes.
        """
        file = self._file(key)
        temporary = file.with_suffix(f".{os.getpid()}.part")
        text = json.dumps(row)
        temporary.write_text(text)
        temporary.replace(file)
        return json.loads(text)

    def _file(self, key: Any) -> Path:
        name = hashlib.sha256(f"{self._context}{_text(key)}".encode()).hexdigest()[:32]
        return self.folder / f"{name}.json"


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` that takes its place only when the body ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _text(value: Any) -> str:
    """Canonical JSON of plain values and dataclasses; anything else is a :class:`TypeError`."""
    return json.dumps(value, sort_keys=True, default=dataclasses.asdict)
