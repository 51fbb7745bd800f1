"""Relax one shard of the best crystals by DFT."""

from cgwgan_core.dft.engines import open_store
from cgwgan_core.dft.geometries import RelaxOptions, relax_crystals
from cgwgan_core.dft.store import Store
from cgwgan_core.dft.verdicts import to_relax
from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(
    crystals: str,
    hull: str,
    potential: Potential,
    store: Store,
    relaxed: str,
    options: RelaxOptions,
    shard: int,
    shards: int,
    made_from: Provenance,
) -> None:
    """Relax every ``shards``-th of the best candidates and of the phases that they fall apart into."""
    chosen = to_relax(tables.read(hull, tables.DFT_HULL).to_pylist(), options.relax)[shard::shards]
    rows = {row["crystal_id"]: row for row in tables.read(crystals, tables.DFT_CRYSTALS).to_pylist()}
    found = relax_crystals([rows[name] for name in chosen], potential, store, options)
    tables.write(relaxed, found, tables.DFT_RELAXED, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            crystals=snakemake.input.crystals,
            hull=snakemake.input.hull,
            potential=load_checked(PotentialOptions(**snakemake.params.potential), snakemake.input.potential),
            store=open_store(**snakemake.params.store),
            relaxed=snakemake.output.relaxed,
            options=RelaxOptions(**snakemake.params.options),
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            made_from=made_from,
        )
