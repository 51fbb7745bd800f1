"""What the run found, small enough to keep: counts beside the paper's, table, CIF files, bands, report, cost."""

from cgwgan_core.jobs import job, logger
from cgwgan_core.resume import replacing_folder
from cgwgan_core.showcase import ShowcaseFiles, write


def main(files: ShowcaseFiles, folder: str, most: int) -> None:
    with replacing_folder(folder) as temporary:
        write(temporary, files, most)
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
