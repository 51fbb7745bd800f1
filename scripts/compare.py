"""Relaxed crystals compared with each other and with the database."""

import pyarrow as pa

from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.relaxation.novelty import Background, compare, relaxed_structures, summary
from cgwgan_core.relaxation.prototypes import structure_types
from cgwgan_core.relaxation.second_potential import second_opinions
from cgwgan_core.screening.comparison import known_library
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(
    relaxed: list[str],
    structures: str,
    asu: str,
    known_phases: str,
    output: str,
    chemistry: list[str],
    phonons: int,
    symprec: float,
    second: PotentialOptions | None,
    checked: str | None,
    made_from: Provenance,
) -> None:
    """Compare all shards of relaxed crystals.

    :param phonons: how many of them get phonons.
    :param symprec: tolerance of the crystals' symmetry, Å.
    :param second: another potential that is asked how far they lie above the hull; ``None``: there is none.
    :param checked: ``second_potential.json``.
    """
    crystals = pa.concat_tables([tables.read(path, tables.RELAXED) for path in relaxed])
    phases = tables.read(known_phases, tables.KNOWN_PHASES)
    database = tables.read_batches(asu, tables.ASU), tables.read_batches(structures, tables.STRUCTURES)
    background = Background(
        known=known_library(tables.read_batches(structures, tables.STRUCTURES), phases, chemistry),
        known_phases=phases,
        types=structure_types(relaxed_structures(crystals), *database, symprec),
        opinions=second_opinions(crystals.to_pylist(), phases, load_checked(second, checked))
        if second and checked
        else {},
    )
    rows = list(compare(crystals, background, phonons))
    tables.write(output, rows, tables.COMPARED, made_from)
    logger.info("\n  ".join(summary(rows)))


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            relaxed=snakemake.input.relaxed,
            structures=snakemake.input.structures,
            asu=snakemake.input.asu,
            known_phases=snakemake.input.known_phases,
            output=snakemake.output.compared,
            chemistry=snakemake.params.chemistry,
            phonons=snakemake.params.phonons,
            symprec=snakemake.params.symprec,
            second=PotentialOptions(**snakemake.params.second) if snakemake.params.second else None,
            checked=next(iter(snakemake.input.second_potential), None),
            made_from=made_from,
        )
