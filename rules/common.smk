# What rules share: digests of their code, names of shards, resources, parts of config blocks.


def digest(script):
    """Digest of a script and of all package code it uses: a rule reruns when, and only when, it changes."""
    return code_digest(Path(workflow.basedir) / "scripts" / f"{script}.py")


def shards(stage):
    """Names of the shards of a stage: a fixed number, known from the configuration."""
    number = config[stage]["shards"]
    return [f"{i:0{len(str(number - 1))}d}" for i in range(number)]


def growing(amount):
    """Memory (MB) or time (minutes) of a job: this at the first attempt, and as much again at each further one.

    Memory is about twice what docs/benchmarks/runs.md has measured at the paper's scale.
    """
    return lambda wildcards, attempt: amount * attempt


def block(stage, *without):
    """A config block but for the keys that have no influence on what a rule computes."""
    return {key: value for key, value in config[stage].items() if key not in without}


# The environment may name the folder of M3GNet's weights; a change of it reruns what depends on it.
POTENTIALS = assign(config, M3GNET)


def weights_of(role):
    """State of the files with a role's weights, where these are files."""
    return stamp(POTENTIALS[role].options["path"])


def options_of(role):
    """Which potential has a role, without what merely checks it; None where the run has none."""
    assigned = POTENTIALS[role]
    return assigned and assigned.options


def report_of(role):
    """The report on a role's potential as a list, empty where the run has none."""
    return [f"results/{role}.json"] if POTENTIALS[role] else []


def second_phonons(path):
    """Files of the second judge's phonons; none where the run has one judge."""
    return expand(path, shard=shards("phonons")) if POTENTIALS["second_potential"] else []


def files_of(*names):
    """Files of the run that rules without wildcards read and make: all shards among them."""
    files = [str(file) for name in names for file in (*getattr(rules, name).input, *getattr(rules, name).output)]
    # what was put there from outside cannot be made again
    return sorted({file for file in files if file.startswith("results/") and not file.startswith("results/dft/")})


# Whether a cheap potential screens, and the judge sees the best part only.
CASCADE = POTENTIALS["screening_potential"] is not None


def promoted(path):
    """Files of the promoted candidates; none where one potential does all."""
    return expand(path, shard=shards("cascade")) if CASCADE else []


def part(stage, *keys):
    """These keys of a config block."""
    return {key: config[stage][key] for key in keys}


# Whether DFT is part of a run: an engine is named that can run here.
DFT = config["dft"]["engine"] != "vasp" or config["dft"]["command"] is not None


def by_dft(path):
    """A file of DFT's as a list, empty where DFT is no part of the run."""
    return [path] if DFT else []


# What opens the store of calculations.
STORE = {
    "engine": part("dft", "engine", "command", "kspacing", "pseudopotentials", "dispersion"),
    "vasp": part("vasp", "preset", "dispersion", "kspacing", "ediff", "command", "job"),
    "folder": config["dft"]["store"] or "results/dft_store",
    "max_minutes": config["dft"]["max_minutes"],
    "orders": config["dft"]["orders"],
}
if DFT:
    from cgwgan_core.dft.engines import open_store
    from cgwgan_core.workflow.errors import InputError

    try:
        open_store(**STORE)
    except InputError as error:
        raise WorkflowError(f"the configuration cannot run:\n  {error}") from None

# Whether the engine's energies have the Materials Project's U.
HUBBARD = config["dft"]["engine"] == "vasp" and config["vasp"]["preset"] == "mp"


def arrived():
    """Results of calculations that ran elsewhere; none where the engine runs here."""
    return [] if DFT else sorted(Path(STORE["folder"]).glob("*/attempt-*/vasprun.xml*"))


def every_rule(wildcards):
    """What the rules read and write, by name: the report draws it and sums up what it cost."""
    from cgwgan_core.workflow.reference import find_rules

    return [(rule.name, sorted(rule.inputs), list(rule.outputs)) for rule in find_rules(Path(workflow.basedir), config)]


def tell_of_stages():
    """A line for each stage instead of Snakemake's for each job, unless other lines were asked for, or none."""
    asked, dag = workflow.output_settings, workflow.dag
    shown = [handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"]
    if not shown or workflow.touch or asked.quiet or asked.verbose or asked.printshellcmds or asked.debug_dag:
        return
    # jobs of earlier runs have no number of their own
    number = {job: dag.jobid(job) if dag.needrun(job) else -i for i, job in enumerate(dag.jobs, start=1)}
    jobs = {
        n: Job(job.rule.name, "".join(job.log[:1]), list(job.output), dag.needrun(job)) for job, n in number.items()
    }
    logger.addHandler(Terminal(jobs, shown[0].stream))
    shown[0].addFilter(visible)
