"""Energies of one shard of candidates."""

from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.screening.energies import CHUNK, ScreenOptions, hull_by, screen
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job, progress
from cgwgan_core.workflow.provenance import Provenance


def main(
    candidates: str,
    templates: str,
    known_phases: str,
    checked: str,
    judge: bool,
    screened: str,
    potential: PotentialOptions,
    options: ScreenOptions,
    made_from: Provenance,
) -> None:
    """Evaluate every candidate.

    :param checked: ``potential.json``, or that of the screening potential.
    :param judge: whether it is the potential that has relaxed the known phases.
    """
    rows = tables.read(candidates, tables.CANDIDATES)
    phases, loaded = tables.read(known_phases, tables.KNOWN_PHASES), load_checked(potential, checked)
    hull = Hull.from_known_phases(phases) if judge else hull_by(loaded, phases)
    batches = screen(rows, tables.read(templates, tables.TEMPLATES), loaded, hull, options)
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
            judge=snakemake.params.judge,
            screened=snakemake.output.screened,
            potential=PotentialOptions(**snakemake.params.potential),
            options=ScreenOptions(**snakemake.params.options),
            made_from=made_from,
        )
