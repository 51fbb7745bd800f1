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
POTENTIAL_FOLDER = os.environ.get("CGWGAN_POTENTIAL")
