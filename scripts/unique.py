"""Relaxed crystals compared with each other and with the database."""

from collections import Counter

import numpy as np
import pyarrow as pa

from cgwgan_core import tables
from cgwgan_core.jobs import Provenance, job, logger
from cgwgan_core.potentials import PotentialOptions, load
from cgwgan_core.prototypes import structure_types
from cgwgan_core.ranking import known_library, row_structure, unique
from cgwgan_core.second_opinion import chosen, second_opinions


def main(
    relaxed: list[str],
    structures: str,
    asu: str,
    known_phases: str,
    output: str,
    chemistry: list[str],
    phonons: int,
    symprec: float,
    first: PotentialOptions,
    second: PotentialOptions | None,
    made_from: Provenance,
) -> None:
    phases = tables.read(known_phases, tables.KNOWN_PHASES)
    known = known_library(tables.read_batches(structures, tables.STRUCTURES), phases, chemistry)
    shards = pa.concat_tables([tables.read(path, tables.RELAXED) for path in relaxed])
    crystals = {row["candidate_id"]: row_structure(row) for row in shards.to_pylist() if row["status"] == "ok"}
    batches = tables.read_batches(asu, tables.ASU), tables.read_batches(structures, tables.STRUCTURES)
    types = structure_types(crystals, *batches, symprec)
    asked, opinions = chosen(first, second), {}
    if asked is not None:
        opinions = second_opinions(shards.to_pylist(), phases, load(asked))
    rows = list(unique(shards, known, phonons, types, phases, opinions))
    tables.write(output, rows, tables.UNIQUE, made_from)
    good = [row for row in rows if row["status"] == "ok"]
    labels = Counter(row["novelty"] for row in good if row["duplicate_of"] is None)
    told = ", ".join(f"{n} {label}" for label, n in sorted(labels.items()))
    logger.info(f"{len(rows)} crystals, {len(good)} of them relaxed; {labels.total()} distinct: {told or 'none'}")
    if opinions:
        off = [abs(found["disagreement"]) for found in opinions.values()]
        name = next(iter(opinions.values()))["second_potential"]
        logger.info(f"{name} puts them {np.median(off):.3f} eV/atom (median) higher or lower above the hull")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            relaxed=snakemake.input.relaxed,
            structures=snakemake.input.structures,
            asu=snakemake.input.asu,
            known_phases=snakemake.input.known_phases,
            output=snakemake.output.unique,
            chemistry=snakemake.params.chemistry,
            phonons=snakemake.params.phonons,
            symprec=snakemake.params.symprec,
            first=PotentialOptions(**snakemake.params.potential),
            second=PotentialOptions(**snakemake.params.second) if snakemake.params.second else None,
            made_from=made_from,
        )
