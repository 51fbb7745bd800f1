"""One shard of templates: drawn from the generator, checked, keyed."""

from collections import Counter

from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.model import Request
from cgwgan_core.generator.selection import TemplateOptions
from cgwgan_core.generator.shards import request_of, samples_of_shard, selections
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_json
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(
    generator: str,
    templates: str,
    counts: str,
    samples: int,
    request: Request,
    options: TemplateOptions,
    shard: int,
    shards: int,
    run_seed: int,
    made_from: Provenance,
) -> None:
    """Write the templates of the shard, and how many were sampled, kept and refused.

    :param samples: of all shards.
    """
    model = load_generator(generator)
    wanted = samples_of_shard(samples, shard, shards)
    refused: Counter[str] = Counter()
    with tables.Writer(templates, tables.TEMPLATES, made_from) as out:
        for selection in selections(model, wanted, request, options, shard, run_seed):
            refused += selection.refused
            out.write(selection.to_columns())
    write_json(counts, {"sampled": wanted, "kept": out.rows, "refused": dict(refused)})
    logger.info(f"{out.rows:,} of {wanted:,} templates kept; refused: {dict(refused)}")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        options = TemplateOptions(**snakemake.params.options)
        main(
            generator=snakemake.input.generator,
            templates=snakemake.output.templates,
            counts=snakemake.output.counts,
            samples=snakemake.params.samples,
            request=request_of(
                snakemake.params.pseudocount,
                snakemake.params.spacegroups,
                snakemake.params.formulas,
                options,
                snakemake.params.energy_above_hull,
            ),
            options=options,
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            run_seed=snakemake.params.seed,
            made_from=made_from,
        )
