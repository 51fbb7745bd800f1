"""Seeds that follow from the run's seed and the names of a step."""

import hashlib
import json


def derive_seed(run_seed: int, *names: str | int) -> int:
    """A 63-bit seed for one shard or step, derived from the run's seed and the names of the step.

    >>> derive_seed(1, "templates", 0) == derive_seed(1, "templates", 0) != derive_seed(1, "templates", 1)
    True
    """
    text = json.dumps([run_seed, *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
