"""Download from the Materials Project by its own client, in chunks that survive a stop."""

import gzip
import json
import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from requests import RequestException

from cgwgan_core.database import documents
from cgwgan_core.database.record import Record
from cgwgan_core.workflow.config import KEY
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.files import replacing
from cgwgan_core.workflow.logs import logger

FIELDS = ["material_id", "structure", "formation_energy_per_atom", "energy_above_hull"]
MAX_CHUNK = 1000
"""Documents that the server gives at most in one answer."""


def read(folder: Path, chunk: int) -> Iterator[Record]:
    """Download what is missing of the current database, then read it from the chunks.

    :param folder: where the chunks are kept; see :func:`download`.
    """
    for path in download(folder, chunk):
        yield from documents.read(path)


def download(folder: Path, chunk: int) -> list[Path]:
    """Download all current (not deprecated) summary documents of the Materials Project.

    Chunks are JSON Lines files, ``<folder>/<database version>-<chunk>/00001.jsonl.gz`` and on, in order of
    material_id. Each appears when it is whole; those that are there are not asked for again, so a
    stopped download goes on after its last whole chunk. A new database version starts anew.

    :param chunk: documents per request.
    :returns: the files, in order.
    :raises InputError: without a key, or if the server cannot be reached or refuses.
    """
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise InputError(
            f"data.source mp: the environment variable {KEY} is not set; get a key (free, after login) at "
            f"https://next-gen.materialsproject.org/api and run: export {KEY}=<your key>"
        )
    if not (key.isascii() and key.isalnum()):  # a request would quote it in its refusal
        raise InputError(f"data.source mp: {KEY} holds more than letters and digits; export it again")
    if not 1 <= chunk <= MAX_CHUNK:
        raise InputError(f"data.chunk: {chunk} documents per request; give 1 to {MAX_CHUNK}")
    from mp_api.client import MPRester  # noqa: PLC0415 - takes seconds
    from mp_api.client.core import MPRestError  # noqa: PLC0415 - takes seconds

    what = "connecting"
    try:
        with MPRester(key, use_document_model=False, mute_progress_bars=True) as client:
            version = client.db_version
            if not version:
                raise InputError(
                    "Materials Project: the server gives no database version; see https://status.materialsproject.org"
                )
            summary = client.materials.summary
            what = "counting the documents"
            total = summary.count({"deprecated": False})
            chunks = folder / f"{version.replace('/', '_')}-{chunk}"
            paths = [chunks / f"{number:05d}.jsonl.gz" for number in range(1, ceil(total / chunk) + 1)]
            missing = [(number, path) for number, path in enumerate(paths, start=1) if not path.exists()]
            logger.info(
                f"Materials Project {version}: {total:,} documents, {len(paths) - len(missing)} of {len(paths)} "
                f"chunks already in {chunks}"
            )
            for number, path in missing:
                what = f"chunk {number} of {len(paths)}"
                found = summary.search(
                    deprecated=False,
                    fields=FIELDS,
                    all_fields=False,
                    num_chunks=1,
                    chunk_size=chunk,
                    _page=number,
                    _sort_fields="material_id",  # pages must not shift between requests
                )
                expected = min(chunk, total - (number - 1) * chunk)
                if len(found) != expected:
                    raise InputError(
                        f"Materials Project: {what} holds {len(found)} documents, not {expected}; run again, the "
                        f"download goes on from there"
                    )
                _store(path, found)
                logger.info(f"{what}: {min(number * chunk, total):,} of {total:,} documents")
            return paths
    except (MPRestError, RequestException, ValueError) as error:  # ValueError: an answer that is not JSON
        # libraries and servers may quote what was sent
        words = " ".join(str(error).replace(key, f"${KEY}").split())[:300]
        raise InputError(
            f"Materials Project: {what} failed ({words}); check the network and {KEY}, then "
            "run again: the download goes on after the last whole chunk"
        ) from None


def _store(path: Path, found: list[dict[str, Any]]) -> None:
    # No time and no name in the gzip header: equal documents are equal bytes.
    with replacing(path) as temporary, temporary.open("wb") as stream, gzip.GzipFile("", "wb", 6, stream, 0) as out:
        for document in found:
            out.write(json.dumps(document, sort_keys=True, default=str).encode() + b"\n")
