"""How good a generator is: the figures that its draws, and those of the references beside it, are judged by.

All n draws count as they come, repeated or not, possible or not, unless a figure says otherwise; a draw that gave
no template at all is a template without sites. A prototype that the database holds a hundred times counts a
hundred times. :data:`METRICS` says what each figure is, :func:`judge` computes them, :mod:`.evaluation` has the
references.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import wasserstein_distance

from cgwgan_core.crystallography.asymmetric_unit import with_full_symmetry
from cgwgan_core.crystallography.spacegroups import crystal_systems
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.distributions import (
    DENSITY_EDGES,
    frechet,
    histogram,
    jensen_shannon,
    overlap,
    total_variation,
    within,
)
from cgwgan_core.generator.draws import SEARCHED, Draws
from cgwgan_core.generator.selection import DUPLICATE, REASONS, TemplateOptions
from cgwgan_core.workflow.arrays import Booleans, Floats

FIRST = 1000
"""Draws of which the number of distinct templates is given besides that of all: it falls with their number."""


@dataclass(frozen=True)
class Metric:
    """One figure."""

    name: str
    """As tables have it."""
    meaning: str
    """Its definition."""
    digits: int = 3
    """Decimals that are printed."""


METRICS = {
    "symmetric": Metric(
        "requested group or supergroup",
        "draws whose atoms and cell the operations of the requested space group map onto themselves",
    ),
    "exact": Metric(
        "exactly the requested group",
        f"draws in which moyo (0.001 Å, each site a species of its own) finds it, of the first {SEARCHED:,}",
    ),
    "valid": Metric("valid", "draws with possible sites and no distance below min_distance (1 Å)"),
    "usable": Metric("usable", "valid draws that also keep to max_atoms and number_density"),
    "density_overlap": Metric("number density, overlap", "Σ min(p, q) over 50 classes of 0.005 Å⁻³; 1 is best"),
    "tv_spacegroup": Metric("space groups, total variation", "½ Σ |p - q|; 0 is best"),
    "js_spacegroup": Metric("space groups, Jensen-Shannon", "distance (square root, base 2); 0 is best"),
    "tv_crystal_system": Metric("crystal systems, total variation", "½ Σ |p - q|; 0 is best"),
    "js_crystal_system": Metric("crystal systems, Jensen-Shannon", "distance; 0 is best"),
    "tv_letters": Metric(
        "letters given the group, total variation",
        "of isopointal types within each group, averaged over the data's groups",
    ),
    "js_letters": Metric("letters given the group, Jensen-Shannon", "distance, averaged in the same way"),
    "tv_n_atoms": Metric("atoms per cell, total variation", "½ Σ |p - q|; 0 is best"),
    "js_n_atoms": Metric("atoms per cell, Jensen-Shannon", "distance; 0 is best"),
    "w_shortest": Metric("shortest distances, Wasserstein", "Å, between the distributions; 0 is best"),
    "w_coordination": Metric(
        "coordination numbers, Wasserstein",
        "mean number of neighbours up to 1.25 times the distance of an atom's nearest; 0 is best",
    ),
    "frechet": Metric("Fréchet distance", "d² of ln(V/n) and average minimum distances; 0 is best", 4),
    "density_overlap_held_out": Metric("number density, overlap with held-out", "as above, with the other side"),
    "frechet_held_out": Metric("Fréchet distance from held-out", "as above, from the other side of the split", 4),
    "density_overlap_distinct": Metric("number density, overlap, distinct", "the first of each fingerprint, both sets"),
    "tv_spacegroup_distinct": Metric("space groups, total variation, distinct", "the first of each fingerprint"),
    "distinct_first": Metric(f"distinct per 1,000 draws, first {FIRST:,}", "distinct fingerprints of usable draws", 0),
    "distinct": Metric("distinct per 1,000 draws, all", "distinct fingerprints of usable draws", 0),
    "novel": Metric("novel isopointal types", "share of the distinct ones of usable draws that training lacks"),
    "novel_fingerprints": Metric("novel fingerprints", "share of the distinct ones that training lacks"),
    "memorised": Metric("usable draws that training has", "by fingerprint"),
    "recall_held_out": Metric("recall of held-out isopointal types", "share of them among the usable draws"),
    "recall_fingerprints": Metric("recall of held-out fingerprints", "share of them among the usable draws"),
}
"""Every figure of :func:`judge` by its key.

Shares are of all draws; distributions are compared with training's; keys that are counted (distinct, novel, recall)
are those of the symmetry that moyo finds, see :func:`discovery`.
"""


BY_SITES = {
    "share": Metric("share of draws", "with so many sites"),
    "valid": Metric("valid", "as above, of these"),
    "shortest": Metric("median shortest distance (Å)", "of these", 2),
}
"""Figures of the draws of one number of sites; in :func:`judge` the number follows after an underscore."""


def judge(
    drawn: Draws,
    train: Draws,
    held_out: Draws,
    options: TemplateOptions,
    wanted: Mapping[str, set[str]] | None = None,
) -> dict[str, float]:
    """All figures of one set of draws.

    :param train: the structures learnt from, which distributions are compared with.
    :param held_out: those kept back, none of whose isopointal types occurs in ``train``; may be empty.
    :param wanted: name -> isopointal types of which the recall is asked for, too.
    :returns: ``n``, the keys of :data:`METRICS`, ``recall_<name>`` of each in ``wanted``, and the keys of
        :data:`BY_SITES` for each number of sites of ``train``. NaN where a set is empty.
    """
    n = len(drawn)
    valid, usable = drawn.valid(options), drawn.usable(options)
    mine, real = (
        {
            "spacegroup": x.spacegroup,
            "crystal_system": crystal_systems(x.spacegroup),
            "n_atoms": x.templates.n_atoms,
        }
        for x in (drawn, train)
    )
    letters = mine["spacegroup"], drawn.isopointal, real["spacegroup"], train.isopointal
    first, last = discovery(drawn, train, held_out, options, [min(n, FIRST), n], wanted)
    return {
        "n": n,
        "symmetric": _ratio(int(drawn.symmetric.sum()), n),
        "exact": _ratio(int((drawn.found == drawn.templates.spacegroup[:SEARCHED]).sum()), min(n, SEARCHED)),
        "valid": _ratio(int(valid.sum()), n),
        "usable": _ratio(int(usable.sum()), n),
        "density_overlap": _density_overlap(drawn.number_density, train.number_density),
        **{f"tv_{name}": total_variation(mine[name], real[name]) for name in mine},
        **{f"js_{name}": jensen_shannon(mine[name], real[name]) for name in mine},
        "tv_letters": within(total_variation, *letters),
        "js_letters": within(jensen_shannon, *letters),
        "w_shortest": _wasserstein(drawn.min_distance, train.min_distance),
        "w_coordination": _wasserstein(drawn.coordination, train.coordination),
        "frechet": frechet(drawn.descriptor, train.descriptor),
        "density_overlap_held_out": _density_overlap(drawn.number_density, held_out.number_density),
        "frechet_held_out": frechet(drawn.descriptor, held_out.descriptor),
        "density_overlap_distinct": _density_overlap(
            drawn.number_density[drawn.distinct], train.number_density[train.distinct]
        ),
        "tv_spacegroup_distinct": total_variation(
            mine["spacegroup"][drawn.distinct], real["spacegroup"][train.distinct]
        ),
        "distinct_first": 1000 * _ratio(first.pop("distinct"), first["draws"]),
        "distinct": 1000 * _ratio(last.pop("distinct"), last.pop("draws")),
        **last,
        **_by_sites(drawn, valid, np.unique(train.templates.n_sites)),
    }


def discovery(
    drawn: Draws,
    train: Draws,
    held_out: Draws,
    options: TemplateOptions,
    steps: Sequence[int],
    wanted: Mapping[str, set[str]] | None = None,
) -> list[dict[str, float]]:
    """How distinct templates, novelty and recall grow with the number of draws.

    Keys are those of the symmetry that moyo finds, as in the pipeline: what was asked for in one group and has the
    symmetry of another counts as the latter. It is looked for in the first usable draw of each requested fingerprint.

    :param steps: numbers of draws to look at, ascending.
    :returns: one row for each step, with ``draws``, the number of ``distinct`` fingerprints of usable draws, and
        ``novel``, ``novel_fingerprints``, ``memorised``, ``recall_held_out``, ``recall_fingerprints`` and
        ``recall_<name>`` of ``wanted`` as :func:`judge` has them.
    """
    usable = np.flatnonzero(drawn.usable(options))
    _, first, same = np.unique(drawn.fingerprint[usable], return_index=True, return_inverse=True)
    found = Draws(_where_grown(drawn.templates[usable[first]]))
    known = np.isin(found.fingerprint, train.fingerprint)[same]

    def firsts(keys: NDArray[np.str_]) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        """The distinct keys of usable draws, and the place of the first draw of each."""
        distinct, kind = np.unique(keys, return_inverse=True)
        place = np.full(len(distinct), len(drawn))
        np.minimum.at(place, kind, usable[first])
        return distinct, place

    (types, types_at), (prints, prints_at) = firsts(found.isopointal), firsts(found.fingerprint)
    new, new_print = ~np.isin(types, train.isopointal), ~np.isin(prints, train.fingerprint)
    targets = {
        "held_out": np.unique(held_out.isopointal),
        **{k: np.array(sorted(v)) for k, v in (wanted or {}).items()},
    }
    hits = {name: np.isin(types, keys) for name, keys in targets.items()}
    held_prints = np.unique(held_out.fingerprint)
    hit_print = np.isin(prints, held_prints)
    rows = []
    for n in steps:
        seen, seen_print = types_at < n, prints_at < n
        rows.append(
            {
                "draws": n,
                "distinct": int(seen_print.sum()),
                "novel": _ratio(int((seen & new).sum()), int(seen.sum())),
                "novel_fingerprints": _ratio(int((seen_print & new_print).sum()), int(seen_print.sum())),
                "memorised": _ratio(int(known[usable < n].sum()), int((usable < n).sum())),
                **{f"recall_{k}": _ratio(int((seen & hit).sum()), len(targets[k])) for k, hit in hits.items()},
                "recall_fingerprints": _ratio(int((seen_print & hit_print).sum()), len(held_prints)),
            }
        )
    return rows


def _where_grown(templates: Templates) -> Templates:
    """Templates as moyo finds them where that is another group or a smaller cell, and as they are elsewhere.

    Monoclinic and triclinic lattices have many cells, and which one a description takes shows in its fingerprint.
    """
    found = with_full_symmetry(templates)
    grown = (found.spacegroup != templates.spacegroup) | (found.n_atoms != templates.n_atoms)
    return Templates.concat([templates, found])[np.arange(len(templates)) + np.where(grown, len(templates), 0)]


def yields(sampled: int, refused: Mapping[str, int], in_training: ArrayLike) -> dict[str, float]:
    """What share of a generator's draws is of use, step by step; each share is of what the step before left.

    :param sampled: templates drawn in all.
    :param refused: reason -> number, with the reasons of :data:`.selection.REASONS`; any other reason
        (such as more than were asked for) says nothing against a template.
    :param in_training: of each kept template, whether the training set holds it, (N,).
    :returns:
        ``share_valid``: draws with possible sites, volume, size, density and distances, over all draws;
        ``share_distinct``: valid draws that repeat no earlier one, over valid draws;
        ``share_not_in_training``: kept templates that the training set lacks, over kept templates.
        NaN where the denominator is zero.
    """
    valid = sampled - sum(refused.get(reason, 0) for reason in REASONS if reason != DUPLICATE)
    kept = np.asarray(in_training, dtype=bool)
    return {
        "share_valid": _ratio(valid, sampled),
        "share_distinct": _ratio(valid - refused.get(DUPLICATE, 0), valid),
        "share_not_in_training": _ratio(int((~kept).sum()), kept.size),
    }


def _density_overlap(a: Floats, b: Floats) -> float:
    if not len(a) or not len(b):
        return float("nan")
    return overlap(histogram(a, DENSITY_EDGES), histogram(b, DENSITY_EDGES))


def _by_sites(drawn: Draws, valid: Booleans, numbers: NDArray[np.int64]) -> dict[str, float]:
    found = {}
    for n in numbers.tolist():
        here = drawn.templates.n_sites == n
        found[f"share_{n}"] = _ratio(int(here.sum()), len(drawn))
        found[f"valid_{n}"] = _ratio(int(valid[here].sum()), int(here.sum()))
        found[f"shortest_{n}"] = float(np.median(drawn.min_distance[here])) if here.any() else float("nan")
    return found


def _wasserstein(a: Floats, b: Floats) -> float:
    """Of two sets of numbers; what is not finite is left out, as are failures."""
    a, b = (x[np.isfinite(x) & (x > 0)] for x in (a, b))
    return float(wasserstein_distance(a, b)) if len(a) and len(b) else float("nan")


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
