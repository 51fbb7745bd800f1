"""Choose the potential and check it against known crystals; nothing is computed with one that fails."""

from cgwgan_core import __version__
from cgwgan_core.potentials.load import PotentialOptions, choose, load
from cgwgan_core.relaxation.known_crystals import check, report
from cgwgan_core.workflow.files import write_json
from cgwgan_core.workflow.logs import job, logger


def main(options: PotentialOptions, potential: str) -> None:
    """Write ``potential.json``: name, energy scale, digest of the weights, and how known crystals came out."""
    _, _, why = choose(options)
    loaded = load(options)
    logger.info(f"potential: {loaded.name}, energy scale {loaded.energy_scale} ({why})")
    found = report(loaded, check(loaded, options.tolerance), options.tolerance, why)
    write_json(potential, found | {"cgwgan_core": __version__})


if __name__ == "__main__":
    with job(snakemake):
        main(options=PotentialOptions(**snakemake.params.options), potential=snakemake.output.potential)
