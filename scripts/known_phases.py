"""Relax the known phases of the chemistry with the run's potential: the hull that candidates are measured against."""

import pyarrow as pa

from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.relaxation.known_phases import KnownPhasesOptions, relax_known_phases, within
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(
    structures: str,
    checked: str,
    known_phases: str,
    chemistry: list[str],
    potential: PotentialOptions,
    options: KnownPhasesOptions,
    made_from: Provenance,
) -> None:
    """Write the table of known phases.

    :param checked: ``potential.json``.
    """
    parts, total, without = [tables.STRUCTURES.empty_table()], 0, 0
    for batch in tables.read_batches(structures, tables.STRUCTURES):
        parts.append(within(batch, chemistry))
        total, without = total + batch.num_rows, without + batch["formation_energy_per_atom"].null_count
    share = 1 - without / total if total else 0.0
    rows = relax_known_phases(pa.concat_tables(parts), chemistry, load_checked(potential, checked), options, share)
    tables.write(known_phases, rows, tables.KNOWN_PHASES, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            structures=snakemake.input.structures,
            checked=snakemake.input.potential,
            known_phases=snakemake.output.known_phases,
            chemistry=snakemake.params.chemistry,
            potential=PotentialOptions(**snakemake.params.potential),
            options=KnownPhasesOptions(**snakemake.params.options),
            made_from=made_from,
        )
