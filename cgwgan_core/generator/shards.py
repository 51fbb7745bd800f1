"""The templates of one shard: drawn from the generator and checked, batch by batch."""

from collections.abc import Iterator, Sequence

from cgwgan_core.crystallography.matching import Distinct
from cgwgan_core.crystallography.spacegroups import numbers_of
from cgwgan_core.generator.checkpoint import TrainedModel
from cgwgan_core.generator.sampling import CHUNK, sample
from cgwgan_core.generator.selection import Selection, TemplateOptions, select
from cgwgan_core.workflow.logs import progress
from cgwgan_core.workflow.seeds import derive_seed


def samples_of_shard(samples: int, shard: int, shards: int) -> int:
    """How many of all samples one shard draws: as many as the others, or one more or less."""
    return samples * (shard + 1) // shards - samples * shard // shards


def selections(
    model: TrainedModel,
    samples: int,
    pseudocount: float,
    spacegroups: Sequence[int | str] | None,
    options: TemplateOptions,
    shard: int,
    run_seed: int,
) -> Iterator[Selection]:
    """Draw the templates of a shard in batches of :data:`.sampling.CHUNK`, and select those to keep of each.

    :param samples: templates to draw, see :func:`samples_of_shard`.
    :param pseudocount: see :func:`.sampling.sample`.
    :param spacegroups: to draw from, by number or by crystal system; ``None``: all.
    :yields: the selection of each batch, without what repeats earlier ones of the shard.
    :raises InputError: if the generator knows none of ``spacegroups``.
    """
    sizes = [min(CHUNK, samples - start) for start in range(0, samples, CHUNK)]
    groups = None if spacegroups is None else numbers_of(spacegroups)
    seen = Distinct(options.tolerance)
    for i, size in enumerate(progress(sizes, len(sizes), f"batches of {CHUNK:,} templates")):
        seed = derive_seed(run_seed, "templates", shard, i)
        yield select(sample(model, size, seed, pseudocount, groups), options, seen)
