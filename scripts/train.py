"""Train the generator on the training table, or take a checkpoint as it is."""

from pathlib import Path

import pyarrow.compute as pc

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.options import ModelOptions
from cgwgan_core.generator.steps import TrainingFiles
from cgwgan_core.generator.training import train
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.seeds import derive_seed


def main(
    training: str, generator: str, metrics: str, options: ModelOptions, run_seed: int, made_from: Provenance
) -> None:
    """Train on the structures that are not held out."""
    table = tables.read(training, tables.TRAINING)
    sides = [table.filter(pc.field("split") == side) for side in ("train", "held-out")]
    learnt, held_out = map(Templates.from_table, sides)
    energies = sides[0]["energy_above_hull"].to_numpy()
    folder = Path(generator).parent
    files = TrainingFiles(Path(generator), Path(metrics), folder / "scratch", folder / "logs")
    train(learnt, held_out, options, derive_seed(run_seed, "train"), files, made_from, energies=energies)
    if options.max_steps:
        logger.info(f"{options.max_steps:,} steps of training on {len(learnt):,} structures; their losses: {metrics}")


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
