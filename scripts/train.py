"""Train the generator on the training table, or take a checkpoint as it is."""

import pyarrow.compute as pc

from cgwgan_core import gan, tables
from cgwgan_core.crystal import Templates
from cgwgan_core.gan import ModelOptions
from cgwgan_core.jobs import Provenance, job


def main(
    training: str,
    checkpoint: str,
    curve: str,
    scratch: str,
    logs: str,
    options: ModelOptions,
    seed: int,
    made_from: Provenance,
) -> None:
    """Read the structures to train on and train."""
    table = tables.read(training, tables.TRAINING)
    table = table.filter(pc.field("split") == "train")
    gan.train(Templates.from_table(table), options, seed, checkpoint, curve, scratch, logs, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            training=snakemake.input.training,
            checkpoint=snakemake.output.checkpoint,
            curve=snakemake.output.curve,
            scratch=snakemake.params.scratch,
            logs=snakemake.params.logs,
            options=ModelOptions(**snakemake.params.options),
            seed=snakemake.params.seed,
            made_from=made_from,
        )
