# What rules share: digests of their code, names of shards, parts of config blocks.


def digest(script):
    """Digest of a script and of all package code it uses: a rule reruns when, and only when, it changes."""
    return code_digest(Path(workflow.basedir) / "scripts" / f"{script}.py")


def shards(stage):
    """Names of the shards of a stage: a fixed number, known from the configuration."""
    number = config[stage]["shards"]
    return [f"{i:0{len(str(number - 1))}d}" for i in range(number)]


def block(stage, *without):
    """A config block but for the keys that have no influence on what a rule computes."""
    return {key: value for key, value in config[stage].items() if key not in without}


# The environment may name the folder of M3GNet's weights; a change of it reruns what depends on it.
POTENTIALS = assign(config, os.environ.get(VARIABLE))


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
    "engine": part("dft", "engine", "command", "kspacing", "pseudopotentials"),
    "vasp": part("vasp", "preset", "dispersion", "kspacing", "ediff", "command", "job"),
    "folder": config["dft"]["store"] or "results/dft_store",
    "max_minutes": config["dft"]["max_minutes"],
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
