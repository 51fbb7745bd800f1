"""All shards of templates as one table: distinct, numbered, marked where the generator was trained on them."""

import json
from pathlib import Path

from cgwgan_core.crystallography.matching import Tolerances
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.selection import merge
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_json
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(
    shards: list[str],
    shard_counts: list[str],
    generator: str,
    templates: str,
    counts: str,
    keep: int | None,
    tolerance: Tolerances,
    threads: int,
    made_from: Provenance,
) -> None:
    merged, total = merge(
        (tables.read(path, tables.TEMPLATES) for path in shards),
        (json.loads(Path(path).read_text()) for path in shard_counts),
        keep,
        load_generator(generator).known,
        tolerance,
        threads,
    )
    tables.write(templates, merged, tables.TEMPLATES, made_from)
    write_json(counts, total)
    novel = merged.num_rows - sum(merged["in_training"].to_pylist())
    logger.info(
        f"{merged.num_rows:,} distinct templates of {total['sampled']:,} samples, {novel:,} of them not in training"
    )


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            shards=snakemake.input.shards,
            shard_counts=snakemake.input.counts,
            generator=snakemake.input.generator,
            templates=snakemake.output.templates,
            counts=snakemake.output.counts,
            keep=snakemake.params.keep,
            tolerance=Tolerances(**snakemake.params.tolerance),
            threads=snakemake.threads,
            made_from=made_from,
        )
