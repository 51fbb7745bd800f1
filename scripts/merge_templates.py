"""All shards of templates as one table: distinct, numbered, marked where the generator was trained on them."""

import json
from collections import Counter
from pathlib import Path

from cgwgan_core import tables
from cgwgan_core.errors import InputError
from cgwgan_core.gan import load_generator
from cgwgan_core.jobs import Provenance, job, logger
from cgwgan_core.matching import Distinct, Tolerances
from cgwgan_core.templates import merge


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
    known = load_generator(Path(generator)).known
    sides = {split: Distinct(tolerance, threads) for split in known}
    for split, distinct in sides.items():
        distinct.add(known[split])
    merged, repeated = merge((tables.read(path, tables.TEMPLATES) for path in shards), keep, sides, tolerance, threads)
    parts = [json.loads(Path(path).read_text()) for path in shard_counts]
    refused = sum((Counter(part["refused"]) for part in parts), repeated)
    sampled = sum(part["sampled"] for part in parts)
    if not merged.num_rows:
        raise InputError(f"templates: none of {sampled:,} samples passed ({dict(refused)}); train longer or draw more")
    tables.write(templates, merged, tables.TEMPLATES, made_from)
    with tables.replacing(counts) as temporary:
        result = {"sampled": sampled, "kept": merged.num_rows, "refused": dict(sorted(refused.items()))}
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    novel = merged.num_rows - sum(merged["in_training"].to_pylist())
    logger.info(f"{merged.num_rows:,} distinct templates of {sampled:,} samples, {novel:,} of them not in training")


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
