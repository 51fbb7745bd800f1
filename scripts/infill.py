"""Elements on one shard of the templates."""

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.screening.infill import InfillOptions, candidate_columns, infill
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_json
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(
    templates: str,
    candidates: str,
    counts: str,
    elements: list[str],
    options: InfillOptions,
    shard: int,
    shards: int,
    run_seed: int,
    made_from: Provenance,
) -> None:
    table = tables.shard_of(tables.read(templates, tables.TEMPLATES), shard, shards)
    batch = Templates.from_table(table)
    names = table["template_id"].to_pylist()
    filled = infill(batch, elements, options, names, run_seed)
    columns = candidate_columns(filled, batch, names)
    tables.write(candidates, columns, tables.CANDIDATES, made_from)
    result = {"assigned": filled.assigned, "kept": len(filled.elements), "refused": filled.refused}
    write_json(counts, result)
    logger.info(
        f"{len(filled.elements):,} candidates of {len(batch):,} templates, {sum(filled.charge_balanced):,} of them"
        f" with balanced charges; refused {filled.refused or 'none'}"
    )


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            templates=snakemake.input.templates,
            candidates=snakemake.output.candidates,
            counts=snakemake.output.counts,
            elements=snakemake.params.chemistry,
            options=InfillOptions(**snakemake.params.options),
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            run_seed=snakemake.params.seed,
            made_from=made_from,
        )
