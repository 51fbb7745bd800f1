"""All shards of screened candidates to the shortlist."""

from cgwgan_core.screening.comparison import known_library
from cgwgan_core.screening.ranking import RankOptions, rank
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_json
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.refusals import listed


def main(
    screened: list[str],
    candidates: list[str],
    templates: str,
    structures: str,
    known_phases: str,
    ranked: str,
    refused: str,
    counts: str,
    chemistry: list[str],
    options: RankOptions,
    cascade: bool,
    made_from: Provenance,
) -> None:
    """Write the shortlist.

    :param cascade: whether the candidates are those that a screening potential promoted.
    """
    schema = tables.PROMOTED if cascade else tables.CANDIDATES
    known = known_library(
        tables.read_batches(structures, tables.STRUCTURES), tables.read(known_phases, tables.KNOWN_PHASES), chemistry
    )
    kept, walked_past, result = rank(
        screened, candidates, tables.read(templates, tables.TEMPLATES), known, options, schema
    )
    tables.write(ranked, kept, tables.RANKED, made_from)
    tables.write(refused, walked_past, tables.RANKING_REFUSED, made_from)
    write_json(counts, result)
    logger.info(
        f"{result['kept']:,} of {result['screened']:,} candidates on the shortlist; {listed(result['refused'])}"
    )


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            screened=list(snakemake.input.screened),
            candidates=list(snakemake.input.candidates),
            templates=snakemake.input.templates,
            structures=snakemake.input.structures,
            known_phases=snakemake.input.known_phases,
            ranked=snakemake.output.ranked,
            refused=snakemake.output.refused,
            counts=snakemake.output.counts,
            chemistry=snakemake.params.chemistry,
            options=RankOptions(**snakemake.params.options),
            cascade=snakemake.params.cascade,
            made_from=made_from,
        )
