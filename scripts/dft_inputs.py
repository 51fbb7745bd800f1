"""Prepare DFT inputs for every phonon-stable crystal."""

from pathlib import Path

from cgwgan_core import dft, tables
from cgwgan_core.jobs import Provenance, job


def main(stable: str, options: dft.DftOptions, table: str, made_from: Provenance) -> None:
    """Write the folders of the survivors beside the table, and the table of what was prepared."""
    survivors = tables.read(stable, tables.STABLE, ["candidate_id", "lattice", "numbers", "frac_coords"]).to_pylist()
    rows = dft.prepare(Path(table).with_suffix(""), survivors, options)
    tables.write(table, rows, tables.DFT, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            stable=snakemake.input.stable,
            options=dft.DftOptions(**snakemake.params.options),
            table=snakemake.output.table,
            made_from=made_from,
        )
