"""Elements on one shard of the templates."""

from cgwgan_core import tables
from cgwgan_core.crystal import Templates
from cgwgan_core.infill import InfillOptions, candidate_columns, infill
from cgwgan_core.jobs import Provenance, job, logger


def main(
    templates: str,
    candidates: str,
    elements: list[str],
    options: InfillOptions,
    shard: int,
    shards: int,
    made_from: Provenance,
) -> None:
    table = tables.shard_of(tables.read(templates, tables.TEMPLATES), shard, shards)
    batch = Templates.from_table(table)
    filled = infill(batch, elements, options)
    columns = candidate_columns(filled, batch, table["template_id"].to_pylist())
    tables.write(candidates, columns, tables.CANDIDATES, made_from)
    logger.info(f"{len(filled.elements):,} candidates of {len(batch):,} templates")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            templates=snakemake.input.templates,
            candidates=snakemake.output.candidates,
            elements=snakemake.params.chemistry,
            options=InfillOptions(**snakemake.params.options),
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            made_from=made_from,
        )
