"""Phonons of one shard of the novel, distinct crystals."""

from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.phonons.shards import crystals_of_shard, phonon_rows
from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import KeptRows
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(
    compared: str,
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
    crystals = crystals_of_shard(tables.read(compared, tables.COMPARED), shard, shards)
    with KeptRows(phonons, options, loaded.digest, made_from.settings) as kept:
        rows = list(phonon_rows(crystals, loaded, options, kept))
        tables.write(phonons, rows, tables.PHONONS, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            compared=snakemake.input.compared,
            checked=snakemake.input.potential,
            phonons=snakemake.output.phonons,
            potential=PotentialOptions(**snakemake.params.potential),
            options=PhononOptions(**snakemake.params.options),
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            made_from=made_from,
        )
