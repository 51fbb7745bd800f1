"""A crystal database, from wherever it is, into one table.

Every record is kept (a row of ``tables.STRUCTURES``) or refused with a reason (a row of
``tables.REFUSED``). A source that cannot be read at all raises :class:`.InputError`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from cgwgan_core.database import aflow, ase_database, csv_cif, documents, folder, materials_project, parquet
from cgwgan_core.database.record import Batch, Columns, Record, check, to_batch, to_columns
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.logs import logger, progress
from cgwgan_core.workflow.refusals import tally

SOURCES = {
    "aflow": "the AFLOW prototypes inside pymatgen",
    "mp_dump": "JSON or JSON Lines of mp-api summary documents, plain or .gz",
    "parquet": "a Parquet file of arrays",
    "csv": "a CSV with a column cif, plain or .gz",
    "folder": "a folder or .zip of CIF or POSCAR files",
    "ase": "an ASE database, .db or .json",
    "mp": "download from the Materials Project",
}
"""Values of ``data.source`` -> what they read."""
ROWS = 4096


def read_database(
    source: str, path: str | Path | None, *, chunk: int, threads: int, download: str | Path
) -> Iterator[Batch]:
    """Read a database in batches, in the order of the source.

    Refused are records that are unreadable, disordered (partial or mixed occupancy), empty, not finite,
    without volume, with two atoms on one place, or whose material_id is taken by an earlier structure.
    Oxidation states are dropped and isotopes are their elements.

    :param source: one of :data:`SOURCES`.
    :param path: file or folder of the source; not for aflow and mp.
    :param chunk: mp: documents per request.
    :param threads: processes that parse CIF and POSCAR text.
    :param download: mp: folder that keeps what was downloaded.
    :raises InputError: if the source cannot be read, is empty, or holds no usable record.
    """
    batches = _batches(source, path, chunk, threads, download)
    where = "data.source" if source in ("aflow", "mp") else str(path)
    taken: dict[str, int] = {}
    reasons: Counter[str] = Counter()
    examples: list[str] = []
    done = kept = 0
    for columns in batches:
        verdicts = check(columns)
        for i, name in enumerate(columns.names):
            if verdicts[i] is None:
                if name in taken:
                    verdicts[i] = f"duplicate material_id: record {taken[name]:,} has it already"
                else:
                    taken[name] = done + i + 1
        done += len(columns)
        batch = to_batch(columns, verdicts)
        kept += batch.structures.num_rows
        reasons += tally(batch.refused["reason"].to_pylist())
        if len(examples) < 3:
            examples += [f"{row['record']}: {row['reason']}" for row in batch.refused.slice(0, 3).to_pylist()]
        yield batch
    if done == 0:
        raise InputError(f"{where}: holds no records at all; give a {source} source with structures in it")
    if kept == 0:
        raise InputError(
            f"{where}: none of {done:,} records is usable ({'; '.join(examples[:3])}); "
            f"is it really {SOURCES[source]} (data.source: {source})?"
        )
    logger.info(f"{done:,} records: {kept:,} kept, {done - kept:,} refused")
    for reason, n in reasons.most_common():
        logger.info(f"  {n:,} {reason}")


def _batches(source: str, path: str | Path | None, chunk: int, threads: int, download: str | Path) -> Iterator[Columns]:
    if source not in SOURCES:
        raise InputError(f"data.source: {source!r} is unknown; choose one of {', '.join(SOURCES)}")
    if source == "aflow":
        return _gather(aflow.read())
    if source == "mp":
        return _gather(materials_project.read(Path(download), chunk))
    if path is None:
        raise InputError(f"data.path: not set; source {source} needs the path of {SOURCES[source]}")
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; correct data.path (relative to {Path.cwd()})")
    if source == "folder":
        return _gather(folder.read(path, threads))
    if path.is_dir():
        raise InputError(f"{path}: a folder; source {source} needs the path of {SOURCES[source]}")
    if source == "parquet":
        return parquet.read(path)
    if source == "csv":
        return _gather(csv_cif.read(path, threads))
    return _gather(documents.read(path) if source == "mp_dump" else ase_database.read(path))


def _gather(records: Iterable[Record]) -> Iterator[Columns]:
    records = progress(records, None, "records")
    while block := list(islice(records, ROWS)):
        yield to_columns(block)
