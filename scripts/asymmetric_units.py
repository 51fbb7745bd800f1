"""Structures to asymmetric units in the standard setting."""

from pathlib import Path

from cgwgan_core.database.asymmetric_units import BATCH, asymmetric_units
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job, logger, progress
from cgwgan_core.workflow.provenance import Provenance


def main(structures: str, asu: str, refused: str, symprec: float, threads: int, made_from: Provenance) -> None:
    batches = asymmetric_units(Path(structures), symprec, threads)
    n_batches = -(-tables.count(structures) // BATCH)
    with (
        tables.Writer(asu, tables.ASU, made_from) as kept,
        tables.Writer(refused, tables.REFUSED, made_from) as left_out,
    ):
        for rows, bad in progress(batches, n_batches, f"batches of {BATCH} structures"):
            kept.write(rows)
            left_out.write(bad)
    logger.info(f"{kept.rows:,} asymmetric units at symprec {symprec} Å, {left_out.rows:,} structures refused")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            structures=snakemake.input.structures,
            asu=snakemake.output.asu,
            refused=snakemake.output.refused,
            symprec=snakemake.params.options["symprec"],
            threads=snakemake.threads,
            made_from=made_from,
        )
