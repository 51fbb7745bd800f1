"""A trained generator beside its references: the figures of all, and a picture of what the critic sees.

The references are what the figures are read against, drawn as often as the generator:

- ``held-out``: structures of the held-out side of the split, whose isopointal types training never saw;
- ``training``: structures of the training side: what distance remains between two samples of one distribution;
- ``jittered``: retrieval, training structures with noise on coordinates and lattice;
- ``independent``: every part of a template drawn by itself from the training side.

``benchmarks/generator.py`` adds PyXtal's random crystals.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.baselines import independent, jittered, resampled
from cgwgan_core.generator.distributions import interval
from cgwgan_core.generator.draws import Draws
from cgwgan_core.generator.model import Request, TrainedModel
from cgwgan_core.generator.quality import judge
from cgwgan_core.generator.sampling import sample
from cgwgan_core.generator.selection import TemplateOptions

Maker = Callable[[int], Templates]
"""Draws templates with the random numbers of a seed."""
Figures = dict[str, dict[str, tuple[float | None, float | None]]]
"""Set of draws -> figure -> mean over the seeds and half width of its 95 % interval; ``None`` where undefined."""
POINTS = 500
"""Most templates of either set in :func:`latent_map`."""
PERPLEXITY = 30.0
"""Of the t-SNE: about how many neighbours count as near."""


def assess(
    model: TrainedModel, samples: int, pseudocount: float, options: TemplateOptions, seeds: Sequence[int]
) -> dict[str, Any]:
    """What ``quality.json`` holds, but for its provenance.

    :param samples: draws of every set and seed.
    :param pseudocount: of the generator, see :func:`.sampling.sample`.
    :returns: ``samples``; ``seeds``, their number; ``figures`` as :func:`evaluate` gives them; ``latent``, see
        :func:`latent_map`, of the first seed's draws; ``training``, see :func:`facts`.
    """
    train, held_out = (Draws(model.known[side]) for side in ("train", "held-out"))
    sets = makers(model, train.templates, held_out.templates, samples, pseudocount)
    return {
        "samples": samples,
        "seeds": len(seeds),
        "figures": evaluate(sets, train, held_out, seeds, options),
        "latent": latent_map(model, train.templates, sets["generator"](seeds[0]), seeds[0]),
        "training": facts(train),
    }


def facts(train: Draws) -> dict[str, list[float]]:
    """What the report compares with the kept templates: space group, atoms and density of the distinct ones.

    :param train: the structures learnt from.
    """
    real = train.templates[train.distinct]
    return {
        "spacegroup": real.spacegroup.tolist(),
        "n_atoms": real.n_atoms.tolist(),
        "number_density": np.round(real.number_density, 5).tolist(),
    }


def makers(model: TrainedModel, train: Templates, held_out: Templates, n: int, pseudocount: float) -> dict[str, Maker]:
    """How to draw ``n`` templates of the generator and of each reference; without held-out ones where there are none.

    :param pseudocount: of the generator, see :func:`.sampling.sample`.
    """

    def reference(draw: Callable[..., Templates], real: Templates) -> Maker:
        return lambda seed: draw(real, n, np.random.default_rng(seed))

    found: dict[str, Maker] = {"generator": lambda seed: sample(model, n, seed, Request(pseudocount))}
    if len(held_out):
        found["held-out"] = reference(resampled, held_out)
    found["training"] = reference(resampled, train)
    found["jittered"] = reference(jittered, train)
    found["independent"] = reference(independent, train)
    return found


def evaluate(
    sets: Mapping[str, Maker],
    train: Draws,
    held_out: Draws,
    seeds: Sequence[int],
    options: TemplateOptions,
    wanted: Mapping[str, set[str]] | None = None,
) -> Figures:
    """Judge every set of draws at every seed.

    :param train: the structures learnt from.
    :param held_out: those kept back.
    :param wanted: see :func:`.quality.judge`, as for the figures.
    """
    with threadpool_limits(1):
        return {
            name: summary([judge(Draws(make(seed)), train, held_out, options, wanted) for seed in seeds])
            for name, make in sets.items()
        }


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, tuple[float | None, float | None]]:
    """Mean and half width of the 95 % interval of each figure, to eight decimals."""
    found = {key: interval([row[key] for row in rows]) for key in rows[0]}
    return {key: (_plain(mean), _plain(half)) for key, (mean, half) in found.items()}


def _plain(x: float) -> float | None:
    return round(x, 8) if math.isfinite(x) else None


def latent_map(model: TrainedModel, real: Templates, drawn: Templates, seed: int) -> dict[str, list[list[float]]]:
    """Real and generated templates in the critic's latent space, laid out in two dimensions by t-SNE.

    The latent vector is what the critic's score is linear in. As many of either set are taken, at random, at most
    :data:`POINTS`; neighbourhoods have a meaning in the picture, distances and axes have none (van der Maaten & Hinton,
    J. Mach. Learn. Res. 9, 2579 (2008)). One thread and a start from the principal components make it repeatable.

    :returns: ``real`` and ``generated``: [x, y] of each; empty if the generator has no critic, or covers less than
        two of a set.
    """
    sides = [x[model.covers(x)] for x in (real, drawn)]
    n = min(POINTS, *map(len, sides))
    if n < 2:
        return {"real": [], "generated": []}
    random = np.random.default_rng(seed)
    chosen = [x[np.sort(random.choice(len(x), n, replace=False))] for x in sides]
    with threadpool_limits(1):
        vectors = [v for x in chosen if (v := model.latent(x)) is not None]
        if not vectors:
            return {"real": [], "generated": []}
        latent = np.concatenate(vectors)
        tsne = TSNE(perplexity=min(PERPLEXITY, (2 * n - 1) / 3), init="pca", random_state=seed % 2**32, n_jobs=1)
        places = np.round(tsne.fit_transform(latent.astype(np.float64)).astype(float), 2).tolist()
    return {"real": places[:n], "generated": places[n:]}
