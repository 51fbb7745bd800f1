"""Elements on one shard of the templates."""

import json

from cgwgan_core import tables
from cgwgan_core.crystal import Templates
from cgwgan_core.infill import InfillOptions, candidate_columns, infill
from cgwgan_core.jobs import Provenance, job, logger


def main(
    templates: str,
    candidates: str,
    counts: str,
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
    result = {"assigned": filled.assigned, "kept": len(filled.elements), "refused": filled.refused}
    with tables.replacing(counts) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
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
            made_from=made_from,
        )
