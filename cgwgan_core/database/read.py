"""A crystal database, from wherever it is, into one table.

Every record is kept (a row of ``tables.STRUCTURES``) or refused with a reason (a row of
``tables.REFUSED``). A source that cannot be read at all raises :class:`.InputError`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from cgwgan_core.database import aflow, ase_database, csv_cif, documents, folder, materials_project, parquet
from cgwgan_core.database.kinds import is_archive
from cgwgan_core.database.record import Batch, Columns, Record, check, to_batch, to_columns
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.logs import logger, progress
from cgwgan_core.workflow.refusals import tally

OWN = ("formation_energy_per_atom", "energy_above_hull", "remark")
KNOWN = ("an identifier of their own", "a formation energy", "an energy above the hull", "a remark")
SOURCES = {
    "aflow": "the AFLOW prototypes inside pymatgen",
    "mp_dump": "JSON or JSON Lines of documents with structures, or a folder of such files",
    "parquet": "a Parquet file of arrays, OPTIMADE columns, or texts",
    "csv": "a CSV with a column cif",
    "folder": "a folder, .zip or .tar of CIF, POSCAR, extended XYZ or JSON files",
    "ase": "an ASE database, .db or .json",
    "mp": "download from the Materials Project",
}
"""Values of ``data.source`` -> what they read."""
ROWS, ATOMS = 4096, 1 << 20
"""Records, and atoms, of a block."""
UNNAMED = re.compile(r"(?:record|row)-\d+")
"""What records are called that have no identifier of their own."""


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
    known = Counter(dict.fromkeys(KNOWN, 0))
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
        known.update(_known(batch.structures))  # += would forget what none has
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
    for what, n in known.items():
        logger.info(f"  {n:,} of {kept:,} kept with {what}")
    for reason, n in reasons.most_common():
        logger.info(f"  {n:,} {reason}")


def _known(structures: pa.Table) -> Counter[str]:
    """How many structures have an identifier, energies and remarks of their own."""
    named = sum(not UNNAMED.fullmatch(name) for name in structures["material_id"].to_pylist())
    others = (structures.num_rows - structures[name].null_count for name in OWN)
    return Counter(dict(zip(KNOWN, (named, *others), strict=True)))


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
    if source == "folder" or (source == "mp_dump" and (path.is_dir() or is_archive(path))):
        return _gather(folder.read(path, threads))
    if path.is_dir():
        raise InputError(f"{path}: a folder; source {source} needs the path of {SOURCES[source]}")
    if source == "parquet":
        return parquet.read(path, threads)
    if source == "csv":
        return _gather(csv_cif.read(path, threads))
    return _gather(documents.read(path, threads) if source == "mp_dump" else ase_database.read(path))


def _gather(records: Iterable[Record]) -> Iterator[Columns]:
    """Records in blocks that fit the memory, however large each is."""
    block: list[Record] = []
    atoms = 0
    for record in progress(records, None, "records"):
        block.append(record)
        atoms += record.numbers.size
        if len(block) >= ROWS or atoms >= ATOMS:
            yield to_columns(block)
            block, atoms = [], 0
    if block:
        yield to_columns(block)
