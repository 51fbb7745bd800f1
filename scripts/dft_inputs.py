"""Prepare DFT inputs for every phonon-stable crystal."""

from cgwgan_core import dft, tables
from cgwgan_core.jobs import Provenance, job


def main(stable: str, options: dft.DftOptions, folder: str, table: str, made_from: Provenance) -> None:
    """Write one folder per survivor, and the table of what was prepared."""
    survivors = tables.read(stable, tables.STABLE).to_pylist()
    rows = dft.prepare(folder, survivors, options)
    tables.write(table, rows, tables.DFT, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            stable=snakemake.input.stable,
            options=dft.DftOptions(**snakemake.params.options),
            folder=snakemake.output.folder,
            table=snakemake.output.table,
            made_from=made_from,
        )
