"""How good the run's generator is, beside its references: figures, and the critic's latent space."""

import json

import pyarrow.compute as pc

from cgwgan_core import tables
from cgwgan_core.crystal import Templates
from cgwgan_core.evaluation import evaluate, latent_map, makers
from cgwgan_core.gan import load_generator
from cgwgan_core.jobs import Provenance, job, logger, seed
from cgwgan_core.quality import Draws
from cgwgan_core.templates import TemplateOptions


def main(
    generator: str,
    training: str,
    quality: str,
    samples: int,
    seeds: int,
    temperature: float,
    options: TemplateOptions,
    run_seed: int,
    made_from: Provenance,
) -> None:
    table = tables.read(training, tables.TRAINING)
    sides = (Templates.from_table(table.filter(pc.field("split") == side)) for side in ("train", "held-out"))
    train, held_out = map(Draws, sides)
    model = load_generator(generator)
    sets = makers(model, train.templates, held_out.templates, samples, temperature)
    numbers = [seed(run_seed, "quality", i) for i in range(seeds)]
    figures = evaluate(sets, train, held_out, numbers, options)
    drawn = sets["generator"](numbers[0])
    latent = latent_map(model, train.templates, drawn, numbers[0])
    content = {"samples": samples, "seeds": seeds, "figures": figures, "latent": latent}
    with tables.replacing(quality) as temporary:
        temporary.write_text(json.dumps(content | {"made_from": made_from.metadata()}, allow_nan=False) + "\n")
    for name, row in figures.items():
        logger.info(f"{name}: valid {row['valid'][0]:.3f}, number-density overlap {row['density_overlap'][0]:.3f}")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            generator=snakemake.input.generator,
            training=snakemake.input.training,
            quality=snakemake.output.quality,
            samples=snakemake.params.samples,
            seeds=snakemake.params.seeds,
            temperature=snakemake.params.temperature,
            options=TemplateOptions(**snakemake.params.options),
            run_seed=snakemake.params.seed,
            made_from=made_from,
        )
