"""How good the run's generator is, beside its references: figures, the critic's latent space, what it learned from."""

import json

import numpy as np

from cgwgan_core.generator.checkpoint import load_generator
from cgwgan_core.generator.draws import Draws
from cgwgan_core.generator.evaluation import evaluate, latent_map, makers
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
    model = load_generator(generator)
    train, held_out = (Draws(model.known[side]) for side in ("train", "held-out"))
    sets = makers(model, train.templates, held_out.templates, samples, pseudocount)
    numbers = [derive_seed(run_seed, "quality", i) for i in range(seeds)]
    figures = evaluate(sets, train, held_out, numbers, options)
    drawn = sets["generator"](numbers[0])
    latent = latent_map(model, train.templates, drawn, numbers[0])
    real = train.templates[train.distinct]
    facts = {
        "spacegroup": real.spacegroup.tolist(),
        "n_atoms": real.n_atoms.tolist(),
        "number_density": np.round(real.number_density, 5).tolist(),
    }
    content = {"samples": samples, "seeds": seeds, "figures": figures, "latent": latent, "training": facts}
    write_text(quality, json.dumps(content | {"made_from": made_from.metadata()}, allow_nan=False) + "\n")
    for name, row in figures.items():
        logger.info(f"{name}: valid {row['valid'][0]:.3f}, number-density overlap {row['density_overlap'][0]:.3f}")


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
