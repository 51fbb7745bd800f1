"""Collect the phonon-stable crystals: table, ASE database and CIF files."""

from collections.abc import Sequence

import pyarrow as pa

from cgwgan_core import store, tables
from cgwgan_core.jobs import Provenance, job, logger


def main(unique: str, phonons: Sequence[str], table: str, database: str, cifs: str, made_from: Provenance) -> None:
    """Write the survivors of all phonon shards in three forms."""
    found = pa.concat_tables(tables.read(path, tables.PHONONS) for path in phonons)
    rows = store.survivors(tables.read(unique, tables.UNIQUE), found)
    logger.info(store.summary(found))
    tables.write(table, rows, tables.STABLE, made_from)
    store.write_database(database, rows)
    store.write_cifs(cifs, rows)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            unique=snakemake.input.unique,
            phonons=snakemake.input.phonons,
            table=snakemake.output.table,
            database=snakemake.output.database,
            cifs=snakemake.output.cifs,
            made_from=made_from,
        )
