"""Relax one shard of the shortlist."""

from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.relaxation.shortlist import RelaxOptions, candidates_of_shard, relax_candidates
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(
    ranked: str,
    templates: str,
    known_phases: str,
    checked: str,
    relaxed: str,
    potential: PotentialOptions,
    options: RelaxOptions,
    shard: int,
    shards: int,
    made_from: Provenance,
) -> None:
    """Relax the candidates of the shard.

    :param checked: ``potential.json``.
    """
    rows = candidates_of_shard(tables.read(ranked, tables.RANKED), shard, shards)
    hull = Hull.from_known_phases(tables.read(known_phases, tables.KNOWN_PHASES))
    found = relax_candidates(
        rows, tables.read(templates, tables.TEMPLATES), load_checked(potential, checked), hull, options
    )
    tables.write(relaxed, found, tables.RELAXED, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            ranked=snakemake.input.ranked,
            templates=snakemake.input.templates,
            known_phases=snakemake.input.known_phases,
            checked=snakemake.input.potential,
            relaxed=snakemake.output.relaxed,
            potential=PotentialOptions(**snakemake.params.potential),
            options=RelaxOptions(**snakemake.params.options),
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            made_from=made_from,
        )
