"""Read a crystal database into one table of structures and one of refused records."""

from pathlib import Path

from cgwgan_core.database.read import read_database
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.tables import REFUSED, STRUCTURES, Writer


def main(
    source: str,
    path: str | None,
    chunk: int,
    structures: str,
    refused: str,
    made_from: Provenance,
    threads: int,
) -> None:
    """Write both tables, or neither; what a download stores stays in ``download/`` beside them."""
    download = Path(structures).parent / "download"
    with Writer(structures, STRUCTURES, made_from) as kept, Writer(refused, REFUSED, made_from) as left_out:
        for batch in read_database(source, path, chunk=chunk, threads=threads, download=download):
            kept.write(batch.structures)
            left_out.write(batch.refused)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            source=snakemake.params.options["source"],
            path=snakemake.params.options["path"],
            chunk=snakemake.params.options["chunk"],
            structures=snakemake.output.structures,
            refused=snakemake.output.refused,
            made_from=made_from,
            threads=snakemake.threads,
        )
