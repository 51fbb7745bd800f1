"""All energies by DFT to formation energies and distances to the engine's own hull."""

from collections.abc import Sequence

from cgwgan_core.dft.hull import counts, hulls, told
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(crystals: str, statics: Sequence[str], hull: str, hubbard: bool, made_from: Provenance) -> None:
    """Write the table of distances."""
    energies = [row for path in statics for row in tables.read(path, tables.DFT_STATICS).to_pylist()]
    rows = hulls(tables.read(crystals, tables.DFT_CRYSTALS).to_pylist(), energies, hubbard)
    tables.write(hull, rows, tables.DFT_HULL, made_from)
    logger.info(told(counts(rows)))


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            crystals=snakemake.input.crystals,
            statics=list(snakemake.input.statics),
            hull=snakemake.output.hull,
            hubbard=snakemake.params.hubbard,
            made_from=made_from,
        )
