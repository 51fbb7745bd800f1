"""The templates of one shard: drawn from the generator and checked, batch by batch."""

from collections.abc import Iterator, Sequence

from pymatgen.core import Composition

from cgwgan_core.crystallography.composition import ratio_of, reduced
from cgwgan_core.crystallography.matching import Distinct
from cgwgan_core.crystallography.spacegroups import numbers_of
from cgwgan_core.generator.model import Request, TrainedModel
from cgwgan_core.generator.sampling import CHUNK, sample
from cgwgan_core.generator.selection import Selection, TemplateOptions, select
from cgwgan_core.workflow.logs import progress
from cgwgan_core.workflow.seeds import derive_seed


def samples_of_shard(samples: int, shard: int, shards: int) -> int:
    """How many of all samples one shard draws: as many as the others, or one more or less."""
    return samples * (shard + 1) // shards - samples * shard // shards


def request_of(
    pseudocount: float,
    spacegroups: Sequence[int | str] | None,
    formulas: Sequence[str] | None,
    options: TemplateOptions,
    energy_above_hull: float | None = None,
) -> Request:
    """What to ask of a generator, so that as few draws as can be are refused later.

    :param spacegroups: by number or by crystal system; ``None``: all.
    :param formulas: of the candidates, of which the sites must be able to hold one; ``None``: any. If the options have
        ratios, too, those of them that are such formulas.
    :param energy_above_hull: eV/atom, of what templates are to be like; ``None``: of all.
    """
    amounts = [tuple(round(n) for n in Composition(formula).values()) for formula in formulas or ()]
    if options.formulas is not None:
        ratios = {ratio_of(formula) for formula in options.formulas}
        amounts = [one for one in amounts if reduced(one) in ratios] if formulas else sorted(ratios)
    return Request(
        pseudocount,
        None if spacegroups is None else tuple(numbers_of(spacegroups)),
        options.n_sites and tuple(options.n_sites),
        options.max_atoms,
        tuple(amounts),
        options.number_density,
        energy_above_hull,
    )


def selections(
    model: TrainedModel,
    samples: int,
    request: Request,
    options: TemplateOptions,
    shard: int,
    run_seed: int,
) -> Iterator[Selection]:
    """Draw the templates of a shard in batches of :data:`.sampling.CHUNK`, and select those to keep of each.

    :param samples: templates to draw, see :func:`samples_of_shard`.
    :param request: which to draw.
    :yields: the selection of each batch, without what repeats earlier ones of the shard.
    :raises InputError: if the generator knows nothing of what is asked for.
    """
    sizes = [min(CHUNK, samples - start) for start in range(0, samples, CHUNK)]
    seen = Distinct(options.tolerance)
    for i, size in enumerate(progress(sizes, len(sizes), f"batches of {CHUNK:,} templates")):
        seed = derive_seed(run_seed, "templates", shard, i)
        yield select(sample(model, size, seed, request), options, seen)
