"""Energies of one shard of candidates."""

from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.screening.energies import CHUNK, ScreenOptions, screen
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job, progress
from cgwgan_core.workflow.provenance import Provenance


def main(
    candidates: str,
    templates: str,
    known_phases: str,
    checked: str,
    screened: str,
    potential: PotentialOptions,
    options: ScreenOptions,
    made_from: Provenance,
) -> None:
    """Evaluate every candidate.

    :param checked: ``potential.json``.
    """
    rows = tables.read(candidates, tables.CANDIDATES)
    hull = Hull.from_known_phases(tables.read(known_phases, tables.KNOWN_PHASES))
    batches = screen(rows, tables.read(templates, tables.TEMPLATES), load_checked(potential, checked), hull, options)
    with tables.Writer(screened, tables.SCREENED, made_from) as out:
        for batch in progress(batches, -(-rows.num_rows // CHUNK), f"batches of {CHUNK} candidates"):
            out.write(batch)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            candidates=snakemake.input.candidates,
            templates=snakemake.input.templates,
            known_phases=snakemake.input.known_phases,
            checked=snakemake.input.potential,
            screened=snakemake.output.screened,
            potential=PotentialOptions(**snakemake.params.potential),
            options=ScreenOptions(**snakemake.params.options),
            made_from=made_from,
        )
