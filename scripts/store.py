"""Collect the crystals that pass: table, ASE database, CIF files, phonopy files, what was refused, likeness."""

from collections.abc import Sequence

import pyarrow as pa

from cgwgan_core.results import store, survivors
from cgwgan_core.results.hulls import add_hulls
from cgwgan_core.screening.comparison import known_library
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(
    compared: str,
    phonons: Sequence[str],
    second_phonons: Sequence[str],
    structures: str,
    known_phases: str,
    table: str,
    refused: str,
    database: str,
    cifs: str,
    phonopy: str,
    similarity: str,
    chemistry: list[str],
    made_from: Provenance,
) -> None:
    """Write what passes in all phonon shards and is novel and distinct in five forms, and what is not."""
    phases = tables.read(known_phases, tables.KNOWN_PHASES)
    known = known_library(tables.read_batches(structures, tables.STRUCTURES), phases, chemistry)
    found = pa.concat_tables(tables.read(path, tables.PHONONS, survivors.JUDGED) for path in phonons)
    again = [tables.read(path, tables.SECOND_PHONONS, survivors.SECOND_JUDGED) for path in second_phonons]
    second = pa.concat_tables(again or [tables.SECOND_PHONONS.empty_table().select(survivors.SECOND_JUDGED)])
    rows, left_out = survivors.survivors(tables.read(compared, tables.COMPARED), found, second, known)
    each = survivors.add_nearest(rows, phases)
    add_hulls(rows, phases)
    logger.info(survivors.summary(found, len(rows)))
    tables.write(table, rows, tables.STABLE, made_from)
    tables.write(refused, left_out, tables.STABLE_REFUSED, made_from)
    store.write_database(database, rows)
    store.write_cifs(cifs, rows)
    store.write_phonopy(phonopy, rows, phonons)
    store.write_similarity(similarity, rows, each)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            compared=snakemake.input.compared,
            phonons=snakemake.input.phonons,
            second_phonons=snakemake.input.second_phonons,
            structures=snakemake.input.structures,
            known_phases=snakemake.input.known_phases,
            table=snakemake.output.table,
            refused=snakemake.output.refused,
            database=snakemake.output.database,
            cifs=snakemake.output.cifs,
            phonopy=snakemake.output.phonopy,
            similarity=snakemake.output.similarity,
            chemistry=snakemake.params.chemistry,
            made_from=made_from,
        )
