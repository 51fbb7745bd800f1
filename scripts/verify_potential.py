"""Check a potential against known crystals; nothing is computed with one that fails."""

from cgwgan_core import __version__
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.relaxation.known_crystals import check, report
from cgwgan_core.workflow.files import write_json
from cgwgan_core.workflow.logs import job, logger


def main(options: PotentialOptions, why: str, tolerance: float, potential: str) -> None:
    """Write ``potential.json``: name, energy scale, digest of the weights, and how known crystals came out.

    :param why: this potential.
    :param tolerance: largest error in the formation energy of a known crystal, eV/atom.
    """
    loaded = load(options)
    logger.info(f"potential: {loaded.name}, energy scale {loaded.energy_scale} ({why})")
    found = report(loaded, check(loaded, tolerance), tolerance, why)
    write_json(potential, found | {"cgwgan_core": __version__})


if __name__ == "__main__":
    with job(snakemake):
        main(
            options=PotentialOptions(**snakemake.params.potential),
            why=snakemake.params.why,
            tolerance=snakemake.params.tolerance,
            potential=snakemake.output.potential,
        )
