"""Phonons of one shard of the novel, distinct crystals."""

from cgwgan_core import tables
from cgwgan_core.jobs import Provenance, job
from cgwgan_core.phonons import PhononOptions, crystals_of_shard, phonon_rows
from cgwgan_core.potentials import PotentialOptions
from cgwgan_core.potentials.checks import load_checked
from cgwgan_core.resume import KeptRows


def main(
    unique: str,
    checked: str,
    phonons: str,
    potential: PotentialOptions,
    options: PhononOptions,
    shard: int,
    shards: int,
    made_from: Provenance,
) -> None:
    """Compute what is not kept from a run that was stopped.

    :param checked: ``potential.json``.
    """
    loaded = load_checked(potential, checked)
    crystals = crystals_of_shard(tables.read(unique, tables.UNIQUE), shard, shards)
    with KeptRows(phonons, options, loaded.digest, made_from.settings) as kept:
        rows = list(phonon_rows(crystals, loaded, options, kept))
        tables.write(phonons, rows, tables.PHONONS, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            unique=snakemake.input.unique,
            checked=snakemake.input.potential,
            phonons=snakemake.output.phonons,
            potential=PotentialOptions(**snakemake.params.potential),
            options=PhononOptions(**snakemake.params.options),
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            made_from=made_from,
        )
