"""The counts of the run, their picture, and the report."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from cgwgan_core.results.figures import figure_funnel
from cgwgan_core.results.funnel import RunFiles, collect
from cgwgan_core.results.report import render
from cgwgan_core.workflow.files import write_text
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(
    files: RunFiles, config: Mapping[str, Any], report: str, counts: str, picture: str, made_from: Provenance
) -> None:
    funnel = collect(files)
    funnel.write(counts, made_from)
    for path, text in ((picture, figure_funnel(funnel, standalone=True)), (report, render(files, funnel, config))):
        write_text(path, text)
    logger.info(f"{funnel['stable'].kept:,} dynamically stable crystals; the report is {report}")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            files=RunFiles(**{field.name: getattr(snakemake.input, field.name) for field in fields(RunFiles)}),
            config=snakemake.params.config,
            report=snakemake.output.report,
            counts=snakemake.output.counts,
            picture=snakemake.output.picture,
            made_from=made_from,
        )
