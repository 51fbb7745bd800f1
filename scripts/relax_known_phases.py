"""Relax one shard of the known phases of the chemistry with the run's potential."""

from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.relaxation.known_phases import KnownPhasesOptions, read_within, relax_known_phases
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(
    structures: str,
    checked: str,
    relaxed: str,
    chemistry: list[str],
    potential: PotentialOptions,
    options: KnownPhasesOptions,
    shard: int,
    shards: int,
    made_from: Provenance,
) -> None:
    """Write the relaxed phases of the shard.

    :param checked: ``potential.json``.
    """
    phases, share = read_within(tables.read_batches(structures, tables.STRUCTURES), chemistry)
    loaded = load_checked(potential, checked)
    rows = relax_known_phases(phases, chemistry, loaded, options, share, shard, shards)
    tables.write(relaxed, rows, tables.KNOWN_PHASES, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            structures=snakemake.input.structures,
            checked=snakemake.input.potential,
            relaxed=snakemake.output.relaxed,
            chemistry=snakemake.params.chemistry,
            potential=PotentialOptions(**snakemake.params.potential),
            options=KnownPhasesOptions(**snakemake.params.options),
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            made_from=made_from,
        )
