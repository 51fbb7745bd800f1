"""Structures to asymmetric units in the standard setting."""

from pathlib import Path

from cgwgan_core import tables
from cgwgan_core.dataset import asymmetric_units
from cgwgan_core.jobs import Provenance, job, logger, progress


def main(structures: str, asu: str, rejected: str, symprec: float, threads: int, made_from: Provenance) -> None:
    batches = asymmetric_units(Path(structures), symprec, threads)
    n_batches = -(-tables.count(structures) // 500)
    with (
        tables.Writer(asu, tables.ASU, made_from) as kept,
        tables.Writer(rejected, tables.REJECTED, made_from) as refused,
    ):
        for rows, bad in progress(batches, n_batches, "batches of 500 structures"):
            kept.write(rows)
            refused.write(bad)
    logger.info(f"{kept.rows:,} asymmetric units at symprec {symprec} Å, {refused.rows:,} structures refused")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            structures=snakemake.input.structures,
            asu=snakemake.output.asu,
            rejected=snakemake.output.rejected,
            symprec=snakemake.params.options["symprec"],
            threads=snakemake.threads,
            made_from=made_from,
        )
