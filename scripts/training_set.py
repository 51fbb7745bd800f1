"""Asymmetric units to the training set, and the records that the data stages refused in one table."""

import pyarrow as pa

from cgwgan_core import tables
from cgwgan_core.dataset import TrainingOptions, select_training
from cgwgan_core.jobs import Provenance, job, logger


def main(
    asu: str,
    refused_before: list[str],
    training: str,
    rejected: str,
    options: TrainingOptions,
    seed: int,
    made_from: Provenance,
) -> None:
    kept, refused = select_training(tables.read(asu, tables.ASU), options, seed)
    before = [tables.read(path, tables.REJECTED) for path in refused_before]
    tables.write(training, kept, tables.TRAINING, made_from)
    everything = pa.concat_tables([*before, tables.to_table(refused, tables.REJECTED)])
    tables.write(rejected, everything, tables.REJECTED, made_from)
    split = kept["split"].to_pylist()
    logger.info(
        f"{kept.num_rows:,} structures of {len(set(kept['coarse_key'].to_pylist())):,} templates to learn from:"
        f" {split.count('train'):,} train, {split.count('held-out'):,} held out by template"
    )


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            asu=snakemake.input.asu,
            refused_before=snakemake.input.rejected,
            training=snakemake.output.training,
            rejected=snakemake.output.rejected,
            options=TrainingOptions(**snakemake.params.options),
            seed=snakemake.params.seed,
            made_from=made_from,
        )
