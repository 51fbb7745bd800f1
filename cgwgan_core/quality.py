"""How good a generator is: the figures that its draws, and those of the references beside it, are judged by.

All n draws count as they come, repeated or not, possible or not, unless a figure says otherwise; a draw that gave
no template at all is a template without sites. A prototype that the database holds a hundred times counts a
hundred times. :data:`METRICS` says what each figure is, :func:`judge` computes them, :mod:`.evaluation` has the
references.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike, NDArray

from .crystal import Templates, decorate, expand, min_distances, spacegroup_of, with_full_symmetry
from .descriptor import NEIGHBOURS, descriptors
from .distributions import DENSITY_EDGES, frechet, jensen_shannon, overlap, shares, total_variation, within
from .fingerprint import coarse_keys, fingerprints
from .spacegroups import Floats, constrain_cell, crystal_systems
from .spacegroups import operations as operations_of
from .templates import REASONS, TemplateOptions, impossible_sites

DUPLICATE = "duplicate"
"""The one reason of :data:`cgwgan_core.templates.REASONS` that is no defect of the template."""
SEARCHED = 500
"""Draws in which the space group is searched for, the first ones: it takes longer than all else."""
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
        "letters given the group, total variation", "of coarse keys within each group, averaged over the data's groups"
    ),
    "js_letters": Metric("letters given the group, Jensen-Shannon", "distance, averaged in the same way"),
    "tv_n_atoms": Metric("atoms per cell, total variation", "½ Σ |p - q|; 0 is best"),
    "js_n_atoms": Metric("atoms per cell, Jensen-Shannon", "distance; 0 is best"),
    "frechet": Metric("Fréchet distance", "d² of ln(V/n) and average minimum distances; 0 is best", 4),
    "density_overlap_held_out": Metric("number density, overlap with held-out", "as above, with the other side"),
    "frechet_held_out": Metric("Fréchet distance from held-out", "as above, from the other side of the split", 4),
    "density_overlap_distinct": Metric("number density, overlap, distinct", "the first of each fingerprint, both sets"),
    "tv_spacegroup_distinct": Metric("space groups, total variation, distinct", "the first of each fingerprint"),
    "distinct_first": Metric(f"distinct per 1,000 draws, first {FIRST:,}", "distinct fingerprints of usable draws", 0),
    "distinct": Metric("distinct per 1,000 draws, all", "distinct fingerprints of usable draws", 0),
    "novel": Metric("novel coarse keys", "share of the distinct ones of usable draws that training lacks"),
    "novel_fingerprints": Metric("novel fingerprints", "share of the distinct ones that training lacks"),
    "memorised": Metric("usable draws that training has", "by fingerprint"),
    "recall_held_out": Metric("recall of held-out coarse keys", "share of them among the usable draws"),
    "recall_fingerprints": Metric("recall of held-out fingerprints", "share of them among the usable draws"),
}
"""Every figure of :func:`judge` by its key.

Shares are of all draws; distributions are compared with training's; keys that are counted (distinct, novel, recall)
are those of the symmetry that moyo finds, see :func:`discovery`.
"""


@dataclass(frozen=True)
class Draws:
    """A set of templates, and what the figures look at, computed when it is first asked for."""

    templates: Templates
    """N in all. One without sites or volume, or with letters that its group lacks, is a draw that failed."""

    def __len__(self) -> int:
        return len(self.templates)

    @cached_property
    def spacegroup(self) -> NDArray[np.int16]:
        """Requested space group, 0 for failures, (N,)."""
        return self._each(lambda x: x.spacegroup, 0)

    @cached_property
    def coarse(self) -> NDArray[np.str_]:
        """Coarse keys, empty for failures, (N,)."""
        return self._each(lambda x: np.array(coarse_keys(x)), "")

    @cached_property
    def fingerprint(self) -> NDArray[np.str_]:
        """Fingerprints, empty for failures, (N,)."""
        return self._each(lambda x: np.array(fingerprints(x)), "")

    @cached_property
    def min_distance(self) -> Floats:
        """Shortest distance between any two atoms, Å; 0 for failures, (N,)."""
        return self._each(min_distances, 0.0)

    @cached_property
    def number_density(self) -> Floats:
        """Atoms per Å³; 0 for failures, (N,)."""
        return self._each(lambda x: x.number_density, 0.0)

    @cached_property
    def symmetric(self) -> NDArray[np.bool_]:
        """Whether a draw has at least the symmetry of its space group, (N,)."""
        return self._each(has_symmetry, False)

    @cached_property
    def found(self) -> NDArray[np.int64]:
        """Space group that moyo finds in each of the first :data:`SEARCHED` draws, 0 for none, (≤ SEARCHED,)."""
        return Draws(self.templates[:SEARCHED])._each(spacegroups_found, 0)

    @cached_property
    def descriptor(self) -> Floats:
        """Of :mod:`.descriptor`; NaN for failures, (N, D)."""
        return self._each(descriptors, np.nan, 1 + NEIGHBOURS)

    def valid(self, options: TemplateOptions) -> NDArray[np.bool_]:
        """Which draws have possible sites and no atoms too close, (N,)."""
        return ~impossible_sites(self.templates) & (self.min_distance >= options.min_distance)

    def usable(self, options: TemplateOptions) -> NDArray[np.bool_]:
        """Which draws are what is asked of a template, (N,)."""
        low, high = options.number_density
        dense = (self.number_density >= low) & (self.number_density <= high)
        return self.valid(options) & dense & (self.templates.n_atoms <= options.max_atoms)

    @cached_property
    def distinct(self) -> NDArray[np.int64]:
        """Places of the first draw of each fingerprint, failures left out, ascending."""
        keys, first = np.unique(self.fingerprint, return_index=True)
        return np.sort(first[keys != ""])

    def _each(self, compute: Callable[[Templates], NDArray], failed: Any, *width: int) -> NDArray:
        """What is computed of each template, and ``failed`` where there is none."""
        there = self.templates.offered & (self.templates.volume > 0)
        if not there.any():
            return np.full((len(self), *width), failed)
        found = compute(self.templates[there])
        out = np.full((len(self), *width), failed, dtype=found.dtype)
        out[there] = found
        return out


def judge(
    drawn: Draws,
    train: Draws,
    held_out: Draws,
    options: TemplateOptions,
    wanted: Mapping[str, set[str]] | None = None,
) -> dict[str, float]:
    """All figures of one set of draws.

    :param train: the structures learnt from, which distributions are compared with.
    :param held_out: those kept back, none of whose coarse keys occurs in ``train``; may be empty.
    :param wanted: name -> coarse keys of which the recall is asked for, too.
    :returns: ``n``, the keys of :data:`METRICS`, and ``recall_<name>`` of each in ``wanted``. NaN where a set is
        empty.
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
    letters = mine["spacegroup"], drawn.coarse, real["spacegroup"], train.coarse
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

    (coarse, coarse_at), (prints, prints_at) = firsts(found.coarse), firsts(found.fingerprint)
    new, new_print = ~np.isin(coarse, train.coarse), ~np.isin(prints, train.fingerprint)
    targets = {"held_out": np.unique(held_out.coarse), **{k: np.array(sorted(v)) for k, v in (wanted or {}).items()}}
    hits = {name: np.isin(coarse, keys) for name, keys in targets.items()}
    held_prints = np.unique(held_out.fingerprint)
    hit_print = np.isin(prints, held_prints)
    rows = []
    for n in steps:
        seen, seen_print = coarse_at < n, prints_at < n
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


def spacegroups_found(templates: Templates, symprec: float = 1e-3) -> NDArray[np.int64]:
    """Space group that moyo finds in each template, each site a species of its own, 0 where it finds none, (N,).

    :param symprec: tolerance, Å.
    """
    species = [chemical_symbols[1 : n + 1] for n in templates.n_sites]
    atoms = decorate(templates, species, np.ones(len(templates)))
    return np.array([spacegroup_of(crystal, symprec) for crystal in atoms], dtype=np.int64)


def has_symmetry(templates: Templates, tolerance: float = 1e-4) -> NDArray[np.bool_]:
    """Whether the atoms of each template have at least the symmetry of its space group, (N,).

    Every operation of the group, as the tables of moyo list them, must send the representative of each site
    onto an atom of that site, each site must have as many atoms as its multiplicity says, and its coordinates
    must be those of the representative. The cell must be one of the crystal system.

    :param tolerance: largest difference of a fractional coordinate, and relative one of a cell parameter.
    """
    out = np.zeros(len(templates), dtype=bool)
    cell = np.isclose(constrain_cell(templates.spacegroup, templates.cell), templates.cell, rtol=tolerance).all(1)
    for group in expand(templates, primitive=False):
        number = int(templates.spacegroup[group.index[0]])
        first = np.unique(group.site, return_index=True)[1]
        counts = np.bincount(group.site)
        right = (counts == templates.multiplicities[group.index[0]][: len(counts)]).all()
        operations = operations_of(number)
        good = np.full(len(group.index), right)
        for site, start in enumerate(first):
            atoms = group.positions[:, group.site == site]
            moved = group.positions[:, start] - templates.coords[group.index, site]
            good &= (np.abs(moved - np.round(moved)) < tolerance).all(1)
            # bound the memory of one step: templates times operations times atoms
            step = max(1, 2_000_000 // (len(operations) * atoms.shape[1]))
            for rows in (slice(i, i + step) for i in range(0, len(atoms), step)):
                images = np.einsum("oij,nj->noi", operations[:, :, :3], group.positions[rows, start])
                images += operations[:, :, 3]
                off = images[:, :, None] - atoms[rows, None]
                off = np.abs(off - np.round(off)).max(-1).min(-1)
                good[rows] &= (off < tolerance).all(1)
        out[group.index] = good
    return out & cell


def yields(sampled: int, refused: Mapping[str, int], in_training: ArrayLike) -> dict[str, float]:
    """What share of a generator's draws is of use, step by step; each share is of what the step before left.

    :param sampled: templates drawn in all.
    :param refused: reason -> number, with the reasons of :data:`cgwgan_core.templates.REASONS`; any other reason
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
    return overlap(shares(a, DENSITY_EDGES), shares(b, DENSITY_EDGES))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
