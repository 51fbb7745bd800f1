"""Read back what DFT made of the survivors."""

from collections.abc import Sequence

from cgwgan_core.dft.vasp_results import read_results
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance

COLUMNS = ["candidate_id", "formation_energy_per_atom", "volume_per_atom", "spacegroup", "potential"]


def main(vaspruns: Sequence[str], prepared: str, stable: str, output: str, made_from: Provenance) -> None:
    """Read the relaxations that are there, converged or not, beside the potential's values."""
    inputs = tables.read(prepared, tables.DFT_INPUTS).to_pylist()
    survivors = tables.read(stable, tables.STABLE, COLUMNS).to_pylist()
    tables.write(output, read_results(vaspruns, inputs, survivors), tables.DFT_RESULTS, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            vaspruns=[*snakemake.input.vaspruns, *snakemake.input.zipped],
            prepared=snakemake.input.prepared,
            stable=snakemake.input.stable,
            output=snakemake.output[0],
            made_from=made_from,
        )
