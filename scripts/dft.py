"""What DFT says in the end of each crystal, and whom it should see next."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cgwgan_core.dft.correction import fit, rank_again
from cgwgan_core.dft.crystals import CANDIDATE
from cgwgan_core.dft.hull import told
from cgwgan_core.dft.identity import add_diffraction, identify
from cgwgan_core.dft.verdicts import final_rows
from cgwgan_core.screening.comparison import known_library
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_json
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance
from cgwgan_core.workflow.refusals import OK


def main(
    stable: str,
    crystals: str,
    statics: Sequence[str],
    relaxed: Sequence[str],
    phonons: Sequence[str],
    structures: str,
    known_phases: str,
    chemistry: Sequence[str],
    table: str,
    coming: str,
    counts: str,
    top: int,
    max_atoms: int,
    hubbard: bool,
    made_from: Provenance,
) -> None:
    """Write the final table, the candidates that are still unseen in a new order, and how many hold.

    :param coming: path of ``dft_next.parquet``.
    :param top: ``dft.top``, and how many candidates to name as the next; 0: as many as DFT was asked for.
    """

    def read(paths: Sequence[str], schema: Any) -> list[dict[str, Any]]:
        return [row for path in paths for row in tables.read(path, schema).to_pylist()]

    chosen = read([crystals], tables.DFT_CRYSTALS)
    geometries = read(relaxed, tables.DFT_RELAXED)
    energies, vibrations = read(statics, tables.DFT_STATICS), read(phonons, tables.DFT_PHONONS)
    survivors, phases = read([stable], tables.STABLE), tables.read(known_phases, tables.KNOWN_PHASES)
    rows, found = final_rows(chosen, energies, geometries, vibrations, hubbard, survivors)
    identify(rows, geometries, known_library(tables.read_batches(structures, tables.STRUCTURES), phases, chemistry))
    add_diffraction(rows, geometries, phases.to_pylist())
    correction = fit(rows)
    asked = {row["crystal_id"] for row in chosen if row["kind"] == CANDIDATE and row["status"] == OK}
    unseen = rank_again(survivors, rows, correction, asked, top or len(asked), max_atoms)
    tables.write(table, rows, tables.DFT, made_from)
    tables.write(coming, unseen, tables.DFT_NEXT, made_from)
    model = asdict(correction)
    model["penalty"] = str(model["penalty"])  # it may be infinite
    write_json(counts, {"counts": found, "correction": model})
    logger.info(f"{told(found)}\n  correction of the potential: {correction.status}, {correction.n} energies")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            stable=snakemake.input.stable,
            crystals=snakemake.input.crystals,
            statics=list(snakemake.input.statics),
            relaxed=list(snakemake.input.relaxed),
            phonons=list(snakemake.input.phonons),
            structures=snakemake.input.structures,
            known_phases=snakemake.input.known_phases,
            chemistry=snakemake.params.chemistry,
            table=snakemake.output.table,
            coming=snakemake.output.coming,
            counts=snakemake.output.counts,
            top=snakemake.params.top,
            max_atoms=snakemake.params.max_atoms,
            hubbard=snakemake.params.hubbard,
            made_from=made_from,
        )
