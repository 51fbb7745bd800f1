"""Which candidates the judge evaluates after the screening potential."""

from cgwgan_core.screening.cascade import CascadeOptions, promote
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_json
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.refusals import listed


def main(
    screened: list[str],
    candidates: list[str],
    promoted: list[str],
    counts: str,
    options: CascadeOptions,
    rank_by: str,
    seed: int,
    made_from: Provenance,
) -> None:
    """Deal the promoted candidates out to shards, row by row, best first."""
    table, result = promote(screened, candidates, options, rank_by, seed)
    for i, path in enumerate(promoted):
        tables.write(path, tables.dealt_to(table, i, len(promoted)), tables.PROMOTED, made_from)
    write_json(counts, result)
    logger.info(
        f"{result['kept']:,} of {result['screened']:,} candidates go on to the judge; {listed(result['refused'])}"
    )


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            screened=list(snakemake.input.screened),
            candidates=list(snakemake.input.candidates),
            promoted=list(snakemake.output.promoted),
            counts=snakemake.output.counts,
            options=CascadeOptions(**snakemake.params.options),
            rank_by=snakemake.params.rank_by,
            seed=snakemake.params.seed,
            made_from=made_from,
        )
