"""Choose the potential and check it against known crystals; nothing is computed with one that fails."""

import json

from cgwgan_core import __version__
from cgwgan_core.jobs import job, logger
from cgwgan_core.potentials import PotentialOptions, checks, choose, load
from cgwgan_core.tables import replacing


def main(options: PotentialOptions, potential: str) -> None:
    """Write ``potential.json``: name, energy scale, digest of the weights, and how known crystals came out."""
    _, _, why = choose(options)
    loaded = load(options)
    logger.info(f"potential: {loaded.name}, energy scale {loaded.energy_scale} ({why})")
    found = checks.report(loaded, checks.check(loaded, options.tolerance), options.tolerance, why)
    with replacing(potential) as temporary:
        temporary.write_text(json.dumps(found | {"cgwgan_core": __version__}, indent=2) + "\n")


if __name__ == "__main__":
    with job(snakemake):
        main(options=PotentialOptions(**snakemake.params.options), potential=snakemake.output.potential)
