"""From a crystal database to novel, dynamically stable crystals of a chosen chemistry, ready for DFT.

snakemake --cores 2                                     everything, on the embedded default
snakemake --cores 2 --configfile configs/paper.yaml     at the paper's scale
snakemake --cores 2 results/templates.parquet           one table, and what it needs
"""

import os
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version

from cgwgan_core.potentials.roles import ROLES, VARIABLE, assign
from cgwgan_core.start.checks import mistakes, told, unset
from cgwgan_core.workflow.codedigest import code_digest
from cgwgan_core.workflow.config import KEY, settled, unreadable
from cgwgan_core.workflow.files import not_writable
from cgwgan_core.workflow.stamp import stamp
from cgwgan_core.workflow.terminal import Job, Terminal, visible

min_version("9.0")


PROJECT = Path(workflow.basedir)
# the folder of a run may hold settings of its own, such as `cgwgan new` writes
OWN = [Path("config.yaml").resolve()]
if not OWN[0].exists() or OWN[0].samefile(PROJECT / "config.yaml"):
    OWN = []
OVERLAYS = [*OWN, *workflow.overwrite_configfiles]
if workflow.is_main_process:
    found = list(filter(None, map(unreadable, [PROJECT / "config.yaml", *OWN])))
    if lost := unset(OVERLAYS, workflow.config_settings.config):
        found.append(lost)
    if found:
        raise WorkflowError("the configuration cannot run:\n" + "\n".join(f"  {line}" for line in found))


configfile: PROJECT / "config.yaml"


if OWN:

    configfile: OWN[0]


SCHEMA = PROJECT / "schemas" / "config.schema.yaml"
taken = settled(config, SCHEMA)
config.clear()
config.update(taken)
# Where the environment says that the weights of an M3GNet lie.
M3GNET = os.path.expanduser(os.environ.get(VARIABLE, "")) or None
# jobs need not ask again what the elements and the generator allow
found = mistakes(config, SCHEMA, OVERLAYS, M3GNET, thorough=workflow.is_main_process)
if found:
    raise WorkflowError("the configuration cannot run:\n" + "\n".join(f"  {line}" for line in found))
if workflow.is_main_process:
    logger.info(told(config, OVERLAYS, PROJECT))


# scripts find the package beside this file, and read and write UTF-8, whatever environment they run in
os.environ |= {
    "PYTHONPATH": os.pathsep.join(filter(None, [workflow.basedir, os.getenv("PYTHONPATH")])),
    "PYTHONUTF8": "1",
}
# the key is for the download, which runs beside Snakemake: no other job or log of an environment shall have it
if workflow.remote_exec or config["data"]["source"] != "mp":
    os.environ.pop(KEY, None)


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
        # all tables, not only the last ones: what is lost is made again, though later tables are there
        files_of("asymmetric_units", "training_set", "train", "quality", "merge_templates"),
        files_of("promote") if CASCADE else [],
        files_of("known_phases", "rank", "compare", "store", "dft_inputs", "dft_results", "report"),
        files_of("dft_crystals", "dft_hull", "dft") if DFT else [],


onstart:
    if found := not_writable(Path()):
        raise WorkflowError("\n".join(found))
    tell_of_stages()


onerror:
    logger.info("What has ended is kept: the same command goes on from there.")
