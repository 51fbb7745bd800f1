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
