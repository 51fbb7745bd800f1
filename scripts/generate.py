"""One shard of templates: drawn from the generator, checked, keyed."""

import json
from collections import Counter
from pathlib import Path

from cgwgan_core import tables
from cgwgan_core.gan import load_generator
from cgwgan_core.jobs import Provenance, job, logger, progress, seed
from cgwgan_core.matching import Distinct
from cgwgan_core.sampling import CHUNK, sample
from cgwgan_core.spacegroups import numbers_of
from cgwgan_core.templates import TemplateOptions, checked_columns, select


def main(
    generator: str,
    templates: str,
    counts: str,
    samples: int,
    boldness: float,
    spacegroups: list[int | str] | None,
    options: TemplateOptions,
    shard: int,
    shards: int,
    run_seed: int,
    made_from: Provenance,
) -> None:
    model = load_generator(Path(generator))
    wanted = samples * (shard + 1) // shards - samples * shard // shards
    sizes = [min(CHUNK, wanted - start) for start in range(0, wanted, CHUNK)]
    seen = Distinct(options.tolerance)
    groups = None if spacegroups is None else numbers_of(spacegroups)
    refused: Counter[str] = Counter()
    with tables.Writer(templates, tables.TEMPLATES, made_from) as out, tables.replacing(counts) as temporary:
        for i, size in enumerate(progress(sizes, len(sizes), f"batches of {CHUNK:,} templates")):
            drawn = sample(model, size, seed(run_seed, "templates", shard, i), boldness, groups)
            selection = select(drawn, options, seen)
            refused += selection.refused
            out.write(checked_columns(drawn, selection))
        result = {"sampled": wanted, "kept": out.rows, "refused": dict(refused)}
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    logger.info(f"{out.rows:,} of {wanted:,} templates kept; refused: {dict(refused)}")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            generator=snakemake.input.generator,
            templates=snakemake.output.templates,
            counts=snakemake.output.counts,
            samples=snakemake.params.samples,
            boldness=snakemake.params.boldness,
            spacegroups=snakemake.params.spacegroups,
            options=TemplateOptions(**snakemake.params.options),
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            run_seed=snakemake.params.seed,
            made_from=made_from,
        )
