"""Prepare DFT inputs for every phonon-stable crystal."""

from pathlib import Path

from cgwgan_core.dft.vasp import DftOptions, prepare
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(stable: str, options: DftOptions, table: str, made_from: Provenance) -> None:
    """Write the folders of the survivors beside the table, and the table of what was prepared."""
    survivors = tables.read(stable, tables.STABLE, ["candidate_id", "lattice", "numbers", "frac_coords"]).to_pylist()
    rows = prepare(Path(table).with_suffix(""), survivors, options)
    tables.write(table, rows, tables.DFT, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            stable=snakemake.input.stable,
            options=DftOptions(**snakemake.params.options),
            table=snakemake.output.table,
            made_from=made_from,
        )
