"""Prepare VASP inputs for every phonon-stable crystal."""

from pathlib import Path

from cgwgan_core.dft.vasp import prepare
from cgwgan_core.dft.vasp_presets import DftOptions
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(stable: str, options: DftOptions, folder: str, table: str, made_from: Provenance) -> None:
    """Write the folders of the survivors, and the table of what was prepared."""
    survivors = tables.read(stable, tables.STABLE, ["candidate_id", "lattice", "numbers", "frac_coords"]).to_pylist()
    rows = prepare(folder, survivors, options)
    tables.write(table, rows, tables.DFT_INPUTS, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            stable=snakemake.input.stable,
            options=DftOptions(**snakemake.params.options),
            folder=str(Path(snakemake.output.table).with_name("dft")),
            table=snakemake.output.table,
            made_from=made_from,
        )
