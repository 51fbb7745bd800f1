"""What the run found, small enough to keep: counts beside the paper's, table, CIF files, bands, report, cost."""

from cgwgan_core.results.showcase import ShowcaseFiles, write_showcase
from cgwgan_core.workflow.files import replacing_folder
from cgwgan_core.workflow.logs import job, logger


def main(files: ShowcaseFiles, folder: str, most: int) -> None:
    with replacing_folder(folder) as temporary:
        write_showcase(temporary, files, most)
    logger.info(f"the showcase is {folder}")


if __name__ == "__main__":
    with job(snakemake):
        main(
            files=ShowcaseFiles(
                funnel=snakemake.input.counts,
                report=snakemake.input.report,
                stable=snakemake.input.stable,
                cifs=snakemake.input.cifs,
                phonons=[*snakemake.input.phonons],
                benchmarks=snakemake.params.benchmarks,
            ),
            folder=snakemake.output.folder,
            most=snakemake.params.most,
        )
