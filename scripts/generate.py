"""One shard of templates: drawn from the generator, checked, keyed."""

from collections import Counter

from cgwgan_core.crystallography.matching import Distinct
from cgwgan_core.crystallography.spacegroups import numbers_of
from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.sampling import CHUNK, sample
from cgwgan_core.generator.selection import TemplateOptions, select
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_json
from cgwgan_core.workflow.logs import job, logger, progress
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.seeds import derive_seed


def main(
    generator: str,
    templates: str,
    counts: str,
    samples: int,
    pseudocount: float,
    spacegroups: list[int | str] | None,
    options: TemplateOptions,
    shard: int,
    shards: int,
    run_seed: int,
    made_from: Provenance,
) -> None:
    model = load_generator(generator)
    wanted = samples * (shard + 1) // shards - samples * shard // shards
    sizes = [min(CHUNK, wanted - start) for start in range(0, wanted, CHUNK)]
    seen = Distinct(options.tolerance)
    groups = None if spacegroups is None else numbers_of(spacegroups)
    refused: Counter[str] = Counter()
    with tables.Writer(templates, tables.TEMPLATES, made_from) as out:
        for i, size in enumerate(progress(sizes, len(sizes), f"batches of {CHUNK:,} templates")):
            seed = derive_seed(run_seed, "templates", shard, i)
            selection = select(sample(model, size, seed, pseudocount, groups), options, seen)
            refused += selection.refused
            out.write(selection.to_columns())
    write_json(counts, {"sampled": wanted, "kept": out.rows, "refused": dict(refused)})
    logger.info(f"{out.rows:,} of {wanted:,} templates kept; refused: {dict(refused)}")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            generator=snakemake.input.generator,
            templates=snakemake.output.templates,
            counts=snakemake.output.counts,
            samples=snakemake.params.samples,
            pseudocount=snakemake.params.pseudocount,
            spacegroups=snakemake.params.spacegroups,
            options=TemplateOptions(**snakemake.params.options),
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            run_seed=snakemake.params.seed,
            made_from=made_from,
        )
