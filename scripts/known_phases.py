"""The relaxed known phases on their hull, which candidates are measured against."""

from collections.abc import Sequence

from cgwgan_core.relaxation.known_crystals import checked_scale
from cgwgan_core.relaxation.known_phases import place_on_hull
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(relaxed: Sequence[str], checked: str, known_phases: str, chemistry: list[str], made_from: Provenance) -> None:
    """Write the table of known phases.

    :param relaxed: shards of relaxed phases, in order.
    :param checked: ``potential.json``.
    """
    shards = [tables.read(path, tables.KNOWN_PHASES).to_pylist() for path in relaxed]
    rows = place_on_hull(shards, chemistry, checked_scale(checked))
    tables.write(known_phases, rows, tables.KNOWN_PHASES, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            relaxed=list(snakemake.input.relaxed),
            checked=snakemake.input.potential,
            known_phases=snakemake.output.known_phases,
            chemistry=snakemake.params.chemistry,
            made_from=made_from,
        )
