"""Energies by DFT of one shard of the crystals."""

from cgwgan_core.dft.engines import open_store
from cgwgan_core.dft.statics import compute_statics
from cgwgan_core.dft.store import Store
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(crystals: str, store: Store, statics: str, shard: int, shards: int, made_from: Provenance) -> None:
    """Compute every ``shards``-th crystal from the ``shard``-th on."""
    rows = tables.read(crystals, tables.DFT_CRYSTALS).to_pylist()[shard::shards]
    tables.write(statics, compute_statics(rows, store), tables.DFT_STATICS, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            crystals=snakemake.input.crystals,
            store=open_store(**snakemake.params.store),
            statics=snakemake.output.statics,
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            made_from=made_from,
        )
