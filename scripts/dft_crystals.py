"""Choose what DFT sees: the best candidates, the known phases that they compete with, the elements."""

import pyarrow as pa

from cgwgan_core.dft.crystals import CrystalOptions, choose
from cgwgan_core.relaxation.known_phases import within
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.refusals import OK


def main(
    stable: str,
    known_phases: str,
    structures: str,
    crystals: str,
    chemistry: list[str],
    options: CrystalOptions,
    made_from: Provenance,
) -> None:
    """Write the table of crystals."""
    parts = [within(batch, chemistry) for batch in tables.read_batches(structures, tables.STRUCTURES)]
    rows = choose(
        tables.read(stable, tables.STABLE).to_pylist(),
        tables.read(known_phases, tables.KNOWN_PHASES).to_pylist(),
        pa.concat_tables([tables.STRUCTURES.empty_table(), *parts]).to_pylist(),
        chemistry,
        options,
    )
    tables.write(crystals, rows, tables.DFT_CRYSTALS, made_from)
    kinds = {"candidate": "candidates", "known": "known phases", "element": "elements"}
    asked = {name: [row["status"] == OK for row in rows if row["kind"] == kind] for kind, name in kinds.items()}
    told = ", ".join(f"{sum(these)} of {len(these)} {name}" for name, these in asked.items())
    logger.info(f"DFT is asked for {told}")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            stable=snakemake.input.stable,
            known_phases=snakemake.input.known_phases,
            structures=snakemake.input.structures,
            crystals=snakemake.output.crystals,
            chemistry=snakemake.params.chemistry,
            options=CrystalOptions(**snakemake.params.options),
            made_from=made_from,
        )
