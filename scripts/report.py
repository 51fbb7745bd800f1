"""The counts of the run, their picture, and the report."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from cgwgan_core.results.costs import RuleFiles
from cgwgan_core.results.figures import figure_funnel
from cgwgan_core.results.funnel import RunFiles, collect
from cgwgan_core.results.report import render
from cgwgan_core.workflow.files import write_text
from cgwgan_core.workflow.logs import job, logger
from cgwgan_core.workflow.provenance import Provenance


def main(
    files: RunFiles,
    config: Mapping[str, Any],
    rules: Sequence[Sequence[Any]],
    report: str,
    counts: str,
    picture: str,
    made_from: Provenance,
) -> None:
    funnel = collect(files)
    funnel.write(counts, files, made_from)
    html = render(files, funnel, config, Path(report).parent, [RuleFiles(*rule) for rule in rules])
    for path, text in ((picture, figure_funnel(funnel)), (report, html)):
        write_text(path, text)
    logger.info(f"{funnel['stable'].kept:,} stable or borderline crystals; the report is {report}")


if __name__ == "__main__":
    with job(snakemake) as made_from:
        main(
            files=RunFiles(**{field.name: getattr(snakemake.input, field.name) for field in fields(RunFiles)}),
            config=snakemake.params.config,
            rules=snakemake.params.rules,
            report=snakemake.output.report,
            counts=snakemake.output.counts,
            picture=snakemake.output.picture,
            made_from=made_from,
        )
