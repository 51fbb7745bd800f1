"""Read a crystal database into one table of structures and one of refused records."""

from pathlib import Path

from cgwgan_core.jobs import Provenance, job
from cgwgan_core.sources import read_database
from cgwgan_core.tables import REJECTED, STRUCTURES, Writer


def main(
    source: str,
    path: str | None,
    chunk: int,
    structures: str,
    rejected: str,
    made_from: Provenance,
    threads: int = 1,
) -> None:
    """Write both tables, or neither; what a download stores stays in ``download/`` beside them."""
    download = Path(structures).parent / "download"
    with Writer(structures, STRUCTURES, made_from) as kept, Writer(rejected, REJECTED, made_from) as refused:
        for batch in read_database(source, path, chunk=chunk, threads=threads, download=download):
            kept.write(batch.structures)
            refused.write(batch.rejected)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            source=snakemake.params.options["source"],
            path=snakemake.params.options["path"],
            chunk=snakemake.params.options["chunk"],
            structures=snakemake.output.structures,
            rejected=snakemake.output.rejected,
            made_from=made_from,
            threads=snakemake.threads,
        )
