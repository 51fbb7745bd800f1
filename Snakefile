"""From a crystal database to novel, dynamically stable crystals of a chosen chemistry, ready for DFT.

snakemake --cores 2                                     everything, on the embedded default
snakemake --cores 2 --configfile configs/paper.yaml     at the paper's scale
snakemake --cores 2 results/templates.parquet           one table, and what it needs
"""

import os
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from cgwgan_core.potentials.roles import ROLES, VARIABLE, assign
from cgwgan_core.workflow.codedigest import code_digest
from cgwgan_core.workflow.config import problems

min_version("9.0")


configfile: Path(workflow.basedir) / "config.yaml"


if found := problems(config, Path(workflow.basedir) / "schemas" / "config.schema.yaml"):
    raise WorkflowError("the configuration cannot run:\n" + "\n".join(f"  {line}" for line in found))


# scripts find the package beside this file, whatever environment they run in
os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, [workflow.basedir, os.getenv("PYTHONPATH")]))}


wildcard_constraints:
    shard=r"\d+",
    role="|".join(ROLES),
    crystal=r"[^/]+",


localrules:
    all,


include: "rules/common.smk"
include: "rules/database.smk"
include: "rules/generator.smk"
include: "rules/screening.smk"
include: "rules/relaxation.smk"
include: "rules/phonons.smk"
include: "rules/dft.smk"
include: "rules/results.smk"


rule all:
    default_target: True
    input:
        "results/report.html",
        "results/stable.parquet",
        "results/stable.db",
        "results/dft_inputs.parquet",
        "results/dft_results.parquet",
        ["results/dft.parquet"] if DFT else [],
