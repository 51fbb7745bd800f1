"""Shares of converged relaxations and where they end, in both arms: table and figure."""

from cgwgan_core.relaxation.convergence import points, summary
from cgwgan_core.results.figures import figure_convergence
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import write_text
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(relaxed: list[str], table: str, figure: str, made_from: Provenance) -> None:
    found = points([row for path in relaxed for row in tables.read(path, tables.CONVERGENCE_CRYSTALS).to_pylist()])
    tables.write(table, found, tables.CONVERGENCE, made_from)
    write_text(figure, figure_convergence(found))
    for row in found:
        what = f"{row['n_elements']} elements, {row['min_atoms']} to {row['max_atoms']} atoms, {row['arm']}"
        logger.info(f"  {what}: {row['converged']} of {row['n']} converge")
    logger.info(f"{summary(found)}; the figure is {figure}")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            relaxed=list(snakemake.input.relaxed),
            table=snakemake.output.table,
            figure=snakemake.output.figure,
            made_from=made_from,
        )
