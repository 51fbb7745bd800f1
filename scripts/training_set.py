"""Asymmetric units to the training set, and the records that the data stages refused in one table."""

import pyarrow as pa

from cgwgan_core.database.training_set import TrainingOptions, select_training
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(
    asu: str,
    refused_before: list[str],
    training: str,
    refused: str,
    options: TrainingOptions,
    seed: int,
    made_from: Provenance,
) -> None:
    kept, left_out = select_training(tables.read(asu, tables.ASU), options, seed)
    before = [tables.read(path, tables.REFUSED) for path in refused_before]
    tables.write(training, kept, tables.TRAINING, made_from)
    everything = pa.concat_tables([*before, tables.to_table(left_out, tables.REFUSED)])
    tables.write(refused, everything, tables.REFUSED, made_from)
    split = kept["split"].to_pylist()
    logger.info(
        f"{kept.num_rows:,} structures of {len(set(kept['isopointal_type'].to_pylist())):,} templates to learn from:"
        f" {split.count('train'):,} train, {split.count('held-out'):,} held out by template"
    )


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            asu=snakemake.input.asu,
            refused_before=snakemake.input.refused,
            training=snakemake.output.training,
            refused=snakemake.output.refused,
            options=TrainingOptions(**snakemake.params.options),
            seed=snakemake.params.seed,
            made_from=made_from,
        )
