"""What the second potential says of one shard of the judged crystals."""

from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.phonons.second import second_rows
from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import KeptRows
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(
    judged: str,
    known_phases: str,
    checked: str,
    phonons: str,
    potential: PotentialOptions,
    options: PhononOptions,
    made_from: Provenance,
) -> None:
    """Compute what is not kept from a run that was stopped.

    :param judged: the same shard of ``phonons``.
    :param checked: ``second_potential.json``.
    """
    loaded = load_checked(potential, checked)
    phases = tables.read(known_phases, tables.KNOWN_PHASES)
    with KeptRows(phonons, options, loaded.digest, made_from.settings) as kept:
        rows = list(second_rows(tables.read(judged, tables.PHONONS), phases, loaded, options, kept))
        tables.write(phonons, rows, tables.SECOND_PHONONS, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            judged=snakemake.input.phonons,
            known_phases=snakemake.input.known_phases,
            checked=snakemake.input.potential,
            phonons=snakemake.output.phonons,
            potential=PotentialOptions(**snakemake.params.potential),
            options=PhononOptions(**snakemake.params.options),
            made_from=made_from,
        )
