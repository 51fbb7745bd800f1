"""Templates from a trained generator."""

import torch

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.model import Request, TrainedModel
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.seeds import derive_seed

BATCH = 2048
"""Templates generated at once. Part of the result: every batch has random numbers of its own."""
CHUNK = 16 * BATCH
"""Templates to draw and check at once: the more there are of one kind, the less time each takes."""


def sample(model: TrainedModel, n: int, seed: int, request: Request | None = None) -> Templates:
    """The first ``n`` templates of the endless stream that a seed stands for.

    Whole batches are generated whatever ``n`` is, so that the ten of ``n=10`` are the first ten of ``n=1000``.
    Templates are as generated: exactly in their space group and in canonical
    order, but atoms may be too close, and one may occur twice.

    :param seed: of the shard.
    :param request: what to draw; ``None``: anything.
    :raises InputError: if the generator knows none of the space groups that are asked for, or, as with
        the encoder ``continuous``, takes no condition.
    """
    request = request or Request()
    if request.spacegroups is not None and not set(request.spacegroups) & set(model.groups.tolist()):
        asked = ", ".join(str(number) for number in request.spacegroups)
        raise InputError(f"the generator was trained on none of the space groups {asked}; choose others")
    batches = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for start in range(0, max(n, 1), BATCH):
            random = torch.Generator().manual_seed(derive_seed(seed, "sample", start))
            batches.append(model.draw(BATCH, random, request)[: n - start])
    finally:
        torch.set_num_threads(threads)
    return Templates.concat(batches)
