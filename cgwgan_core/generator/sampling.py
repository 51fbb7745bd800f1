"""Templates from a trained generator."""

from collections.abc import Sequence

import torch

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.checkpoint import TrainedModel
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.seeds import derive_seed

PSEUDOCOUNT = 3.0
"""Usual β of :mod:`.unseen` in sampling; generators are chosen and calibrated at it."""
BATCH = 2048
"""Templates generated at once. Part of the result: every batch has random numbers of its own."""
CHUNK = 16 * BATCH
"""Templates to draw and check at once: the more there are of one kind, the less time each takes."""


def sample(
    model: TrainedModel, n: int, seed: int, pseudocount: float, spacegroups: Sequence[int] | None = None
) -> Templates:
    """The first ``n`` templates of the endless stream that a seed stands for.

    Whole batches are generated whatever ``n`` is, so that the ten of ``n=10`` are the first ten of ``n=1000``.
    Templates are as generated: exactly in their space group and in canonical
    order, but atoms may be too close, and one may occur twice.

    :param seed: of the shard.
    :param pseudocount: β of :mod:`.unseen`: how many draws have letters that no training template has; 0 is none on
        purpose. Space groups keep their proportions.
    :param spacegroups: groups to draw from, in the proportions the training data had them; ``None`` is all.
        The group is a condition of the generator: asking for some costs nothing, no draw is thrown away.
    :raises InputError: if ``pseudocount`` is below 0; if the generator knows none of ``spacegroups``, or, as with
        the encoder ``continuous``, takes no condition.
    """
    if pseudocount < 0:
        raise InputError(f"templates.pseudocount: {pseudocount} is below 0")
    groups = None
    if spacegroups is not None:
        if not set(spacegroups) & set(model.encoder.groups.tolist()):
            asked = ", ".join(str(number) for number in spacegroups)
            raise InputError(f"the generator was trained on none of the space groups {asked}; choose others")
        groups = torch.tensor(sorted(spacegroups))
    batches = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for start in range(0, max(n, 1), BATCH):
            random = torch.Generator().manual_seed(derive_seed(seed, "sample", start))
            with torch.no_grad():
                encoded = model.generator(*model.generator.noise(BATCH, random), pseudocount, groups=groups)
            batches.append(model.encoder.decode(encoded)[: n - start].projected())
    finally:
        torch.set_num_threads(threads)
    return Templates.concat(batches)
