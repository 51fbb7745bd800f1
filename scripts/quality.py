"""How good the run's generator is, beside its references: figures, the critic's latent space, what it learned from."""

import json

from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.evaluation import assess
from cgwgan_core.generator.selection import TemplateOptions
from cgwgan_core.workflow.files import write_text
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.seeds import derive_seed


def main(
    generator: str,
    quality: str,
    samples: int,
    seeds: int,
    pseudocount: float,
    options: TemplateOptions,
    run_seed: int,
    made_from: Provenance,
) -> None:
    """Write ``quality.json``.

    :param samples: draws of every set and seed.
    :param seeds: how many.
    """
    numbers = [derive_seed(run_seed, "quality", i) for i in range(seeds)]
    content = assess(load_generator(generator), samples, pseudocount, options, numbers)
    write_text(quality, json.dumps(content | {"made_from": made_from.metadata()}, allow_nan=False) + "\n")
    for name, row in content["figures"].items():
        told = f"{name}: valid {row['valid'][0]:.3f}, number-density overlap {row['density_overlap'][0]:.3f}"
        logger.info(told if name == "generator" else f"  {told}")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            generator=snakemake.input.generator,
            quality=snakemake.output.quality,
            samples=snakemake.params.samples,
            seeds=snakemake.params.seeds,
            pseudocount=snakemake.params.pseudocount,
            options=TemplateOptions(**snakemake.params.options),
            run_seed=snakemake.params.seed,
            made_from=made_from,
        )
