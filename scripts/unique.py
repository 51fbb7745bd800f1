"""Relaxed crystals compared with each other and with the database."""

import pyarrow as pa

from cgwgan_core import tables
from cgwgan_core.jobs import Provenance, job, logger
from cgwgan_core.ranking import known_library, unique


def main(
    relaxed: list[str],
    structures: str,
    known_phases: str,
    output: str,
    chemistry: list[str],
    phonons: int,
    made_from: Provenance,
) -> None:
    known = known_library(
        tables.read_batches(structures, tables.STRUCTURES), tables.read(known_phases, tables.KNOWN_PHASES), chemistry
    )
    shards = pa.concat_tables([tables.read(path, tables.RELAXED) for path in relaxed])
    rows = list(unique(shards, known, phonons))
    tables.write(output, rows, tables.UNIQUE, made_from)
    good = [row for row in rows if row["status"] == "ok"]
    known_again = sum(row["known_match"] is not None for row in good)
    twins = sum(row["duplicate_of"] is not None and row["known_match"] is None for row in good)
    logger.info(
        f"{len(rows)} crystals: {len(rows) - len(good)} did not relax, {known_again} are known phases, {twins} repeat"
        f" a better one, {len(good) - known_again - twins} are novel and distinct"
    )


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            relaxed=snakemake.input.relaxed,
            structures=snakemake.input.structures,
            known_phases=snakemake.input.known_phases,
            output=snakemake.output.unique,
            chemistry=snakemake.params.chemistry,
            phonons=snakemake.params.phonons,
            made_from=made_from,
        )
