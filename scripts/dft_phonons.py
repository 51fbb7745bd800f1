"""Phonons by DFT of one shard of the best relaxed crystals."""

from collections.abc import Sequence

from cgwgan_core.dft.engines import open_store
from cgwgan_core.dft.geometries import DISPLACEMENT, compute_phonons
from cgwgan_core.dft.hull import hulls
from cgwgan_core.dft.store import Store
from cgwgan_core.dft.verdicts import relaxed_statics, to_displace
from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(
    crystals: str,
    statics: Sequence[str],
    relaxed: Sequence[str],
    store: Store,
    phonons: str,
    options: PhononOptions,
    top: int,
    most_displacements: int,
    elastic: int,
    hubbard: bool,
    shard: int,
    shards: int,
    made_from: Provenance,
) -> None:
    """Compute every ``shards``-th of the ``top`` best candidates that are relaxed.

    :param elastic: how many of these, the best, get elastic constants.
    """
    energies = [row for path in statics for row in tables.read(path, tables.DFT_STATICS).to_pylist()]
    geometries = [row for path in relaxed for row in tables.read(path, tables.DFT_RELAXED).to_pylist()]
    rows = hulls(tables.read(crystals, tables.DFT_CRYSTALS).to_pylist(), relaxed_statics(energies, geometries), hubbard)
    chosen = to_displace(rows, geometries, top)
    strained = {row["crystal_id"] for row in chosen[:elastic]}
    table = compute_phonons(chosen[shard::shards], store, options, most_displacements, strained)
    tables.write(phonons, table, tables.DFT_PHONONS, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            crystals=snakemake.input.crystals,
            statics=list(snakemake.input.statics),
            relaxed=list(snakemake.input.relaxed),
            store=open_store(**snakemake.params.store),
            phonons=snakemake.output.phonons,
            options=PhononOptions(
                **snakemake.params.options,
                min_length=None,
                supercell=tuple(snakemake.params.supercell),
                displacement=DISPLACEMENT,
            ),
            top=snakemake.params.top,
            most_displacements=snakemake.params.most_displacements,
            elastic=snakemake.params.elastic,
            hubbard=snakemake.params.hubbard,
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            made_from=made_from,
        )
