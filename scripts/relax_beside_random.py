"""Relax one shard of filled templates beside random crystals, and of the known phases of their systems."""

from pymatgen.core import Composition

from cgwgan_core.potentials.load import PotentialOptions
from cgwgan_core.relaxation.convergence import ConvergenceOptions, pairs, relax_pairs, relax_references
from cgwgan_core.relaxation.known_crystals import load_checked
from cgwgan_core.relaxation.known_phases import KnownPhasesOptions, read_within
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.logs import job
from cgwgan_core.workflow.provenance import Provenance


def main(
    templates: str,
    structures: str,
    checked: str,
    relaxed: str,
    potential: PotentialOptions,
    options: ConvergenceOptions,
    hull: KnownPhasesOptions,
    shard: int,
    shards: int,
    run_seed: int,
    made_from: Provenance,
) -> None:
    """Write both arms and the known phases.

    :param checked: ``potential.json``.
    """
    loaded = load_checked(potential, checked)
    mine = tables.dealt_to(tables.read(templates, tables.TEMPLATES), shard, shards)
    rows = relax_pairs(list(pairs(mine, options, run_seed, shard, shards)), loaded, options)
    elements = sorted({element.symbol for formula in options.compositions for element in Composition(formula).elements})
    phases, share = read_within(tables.read_batches(structures, tables.STRUCTURES), elements)
    rows += relax_references(phases, loaded, options.compositions, hull, share, shard, shards)
    tables.write(relaxed, rows, tables.CONVERGENCE_CRYSTALS, made_from)


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            templates=snakemake.input.templates,
            structures=snakemake.input.structures,
            checked=snakemake.input.potential,
            relaxed=snakemake.output.relaxed,
            potential=PotentialOptions(**snakemake.params.potential),
            options=ConvergenceOptions(**snakemake.params.options),
            hull=KnownPhasesOptions(**snakemake.params.hull),
            shard=int(snakemake.wildcards.shard),
            shards=snakemake.params.shards,
            run_seed=snakemake.params.seed,
            made_from=made_from,
        )
