"""Train the generator on the training table, or take a checkpoint as it is."""

from pathlib import Path

import pyarrow.compute as pc

from cgwgan_core import gan, tables
from cgwgan_core.crystal import Templates
from cgwgan_core.gan import ModelOptions
from cgwgan_core.jobs import Provenance, job, seed


def main(
    training: str, generator: str, metrics: str, options: ModelOptions, run_seed: int, made_from: Provenance
) -> None:
    """Train on the structures that are not held out."""
    table = tables.read(training, tables.TRAINING)
    folder = Path(generator).parent
    gan.train(
        Templates.from_table(table.filter(pc.field("split") == "train")),
        options,
        seed(run_seed, "train"),
        checkpoint=generator,
        curve=metrics,
        scratch=folder / "scratch",
        logs=folder / "logs",
        made_from=made_from,
        held_out=Templates.from_table(table.filter(pc.field("split") == "held-out")),
    )


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            training=snakemake.input.training,
            generator=snakemake.output.generator,
            metrics=snakemake.output.metrics,
            options=ModelOptions(**snakemake.params.options),
            run_seed=snakemake.params.seed,
            made_from=made_from,
        )
