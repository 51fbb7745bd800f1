"""Charges, bands and densities of states of one crystal that is asked for by name."""

from collections.abc import Sequence

from cgwgan_core.dft.electrons import electrons, short
from cgwgan_core.dft.engines import open_store
from cgwgan_core.dft.store import Store
from cgwgan_core.results.electrons import draw
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_json, write_text
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(
    crystal: str,
    crystals: str,
    relaxed: Sequence[str],
    store: Store,
    table: str,
    short_columns: str,
    figure: str,
    made_from: Provenance,
) -> None:
    """Compute what the store does not hold, and write it in three ways."""
    row = electrons(
        crystal,
        tables.read(crystals, tables.DFT_CRYSTALS).to_pylist(),
        [row for path in relaxed for row in tables.read(path, tables.DFT_RELAXED).to_pylist()],
        store,
    )
    tables.write(table, [row], tables.DFT_ELECTRONS, made_from)
    write_json(short_columns, short(row))
    write_text(figure, draw(row))
    logger.info(f"charges {dict(zip(row['elements'], row['element_charges'], strict=True))}, gap {row['gap']:.2f} eV")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            crystal=snakemake.wildcards.crystal,
            crystals=snakemake.input.crystals,
            relaxed=list(snakemake.input.relaxed),
            store=open_store(**snakemake.params.store),
            table=snakemake.output.table,
            short_columns=snakemake.output.short,
            figure=snakemake.output.figure,
            made_from=made_from,
        )
