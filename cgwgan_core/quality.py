"""How a set of templates compares with a reference set: the few numbers a generator is judged by.

For the templates of a run (:func:`compare`), every distribution is taken over *distinct* templates, on both
sides: the templates of a run are distinct by construction, whereas a database holds some templates (the
perovskites) hundreds of times over. For a generator (:func:`judge`), it is taken over all draws and all
structures.

Two of the numbers compare distributions p and q over the same classes. The *overlap*, Σ min(p, q), is 1 for
equal distributions and 0 for disjoint ones. The *total variation*, ½ Σ |p - q| = 1 - overlap, is the share of
one set that would have to change class to match the other. Both look worse for small sets (two samples of one
distribution never match exactly), so read them beside a second sample of the reference, such as held-out
data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from .crystal import Templates, expand, min_distances
from .fingerprint import coarse_keys, fingerprints
from .spacegroups import constrain_cell, crystal_system
from .spacegroups import operations as operations_of
from .templates import REASONS, TemplateOptions, impossible_sites

DENSITY_EDGES: NDArray[np.float64] = np.linspace(0.0, 0.25, 51)
"""Edges of the classes of number density: 50 of 0.005 Å⁻³ each; what lies beyond counts in the last one."""
DUPLICATE = "duplicate"
"""The one reason of :data:`cgwgan_core.templates.REASONS` that is no defect of the template."""


@dataclass(frozen=True)
class Facts:
    """What the metrics look at: one entry per template, N in all."""

    spacegroup: NDArray[np.int16]
    """International Tables numbers, (N,)."""
    n_atoms: NDArray[np.int32]
    """Atoms in the conventional cell, (N,)."""
    number_density: NDArray[np.float64]
    """Atoms per volume, (N,), 1/Å³."""
    fingerprint: NDArray[np.str_] | None = None
    """Canonical keys, (N,); ``None`` where they have not been computed."""

    def __len__(self) -> int:
        return len(self.spacegroup)

    def __getitem__(self, chosen: NDArray) -> "Facts":
        keys = None if self.fingerprint is None else self.fingerprint[chosen]
        return Facts(self.spacegroup[chosen], self.n_atoms[chosen], self.number_density[chosen], keys)

    @classmethod
    def from_table(cls, table: pa.Table) -> "Facts":
        """From any table with the columns spacegroup, n_atoms, number_density and perhaps fingerprint."""
        names = set(table.column_names)
        keys = np.asarray(table["fingerprint"].to_pylist(), dtype=str) if "fingerprint" in names else None
        return cls(
            table["spacegroup"].to_numpy(),
            table["n_atoms"].to_numpy(),
            table["number_density"].to_numpy(),
            keys,
        )

    @classmethod
    def from_templates(cls, templates: Templates, fingerprint: Sequence[str] | None = None) -> "Facts":
        """From templates in memory.

        :param fingerprint: their canonical keys, where known.
        """
        keys = None if fingerprint is None else np.asarray(fingerprint, dtype=str)
        return cls(templates.spacegroup, templates.n_atoms, templates.number_density, keys)

    def distinct(self) -> "Facts":
        """The first template of every fingerprint, in the order they stand; all where keys are unknown."""
        if self.fingerprint is None:
            return self
        return self[np.sort(np.unique(self.fingerprint, return_index=True)[1])]


def shares(values: ArrayLike, edges: ArrayLike) -> NDArray[np.float64]:
    """Share of the values in each class; all zero where there are no values.

    :param values: (N,). Values beyond the first or last edge count in the first or last class.
    :param edges: ascending, (B + 1,).
    :returns: (B,), with sum 1.
    """
    values, edges = np.asarray(values, dtype=float), np.asarray(edges, dtype=float)
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return counts / max(len(values), 1)


def overlap(p: ArrayLike, q: ArrayLike) -> float:
    """Σ min(p, q) of two distributions over the same classes: 1 equal, 0 disjoint.

    >>> overlap([0.5, 0.5, 0.0], [0.5, 0.0, 0.5])
    0.5
    """
    return float(np.minimum(p, q).sum())


def total_variation(a: ArrayLike, b: ArrayLike) -> float:
    """½ Σ |p - q| between the distributions of two sets of labels: 0 equal, 1 disjoint; NaN if one is empty.

    :param a: labels (integers or strings), (N,).
    :param b: labels of the same kind, (M,).

    >>> total_variation([225, 225, 62, 62], [225, 225, 225, 14])
    0.5
    """
    a, b = np.asarray(a), np.asarray(b)
    if not a.size or not b.size:
        return float("nan")
    p, q = _distributions(a, b)
    return float(np.abs(p - q).sum() / 2)


def crystal_systems(spacegroup: ArrayLike) -> NDArray[np.str_]:
    """Crystal system of each space group number, (N,)."""
    names = np.array(["", *(crystal_system(number) for number in range(1, 231))])
    return names[np.asarray(spacegroup, dtype=int)]


def compare(generated: Facts, reference: Facts, density_edges: NDArray[np.float64] = DENSITY_EDGES) -> dict[str, float]:
    """The distributions of two sets of templates against each other; only distinct templates count.

    :returns:
        ``n_generated``, ``n_reference``: distinct templates of either set;
        ``density_overlap``: Σ min(p, q) over classes of number density, 1 is best;
        ``tv_spacegroup``, ``tv_crystal_system``, ``tv_n_atoms``: total variation of the space groups, of the
        crystal systems and of the atoms per conventional cell, 0 is best.
        NaN where a set is empty.
    """
    generated, reference = generated.distinct(), reference.distinct()
    both = len(generated) > 0 and len(reference) > 0
    p, q = shares(generated.number_density, density_edges), shares(reference.number_density, density_edges)
    systems = crystal_systems(generated.spacegroup), crystal_systems(reference.spacegroup)
    return {
        "n_generated": len(generated),
        "n_reference": len(reference),
        "density_overlap": overlap(p, q) if both else float("nan"),
        "tv_spacegroup": total_variation(generated.spacegroup, reference.spacegroup),
        "tv_crystal_system": total_variation(*systems),
        "tv_n_atoms": total_variation(generated.n_atoms, reference.n_atoms),
    }


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


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


# ------------------------------------------------------------------- a generator's raw draws, and references
#
# The functions above judge the distinct templates a run has kept. Those below judge a generator: all n draws
# count, repeated or not, possible or not, unless the definition says otherwise.


STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's t with 1 to 9 degrees of freedom."""


def jensen_shannon(a: ArrayLike, b: ArrayLike) -> float:
    """Jensen-Shannon distance between the distributions of two sets of labels: 0 equal, 1 disjoint.

    The square root of the Jensen-Shannon divergence in bits (Endres & Schindelin, doi:10.1109/TIT.2003.813506);
    NaN if a set is empty.

    :param a: labels (integers or strings), (N,).
    :param b: labels of the same kind, (M,).

    >>> jensen_shannon([1, 1], [2]), jensen_shannon([1, 2], [2, 1])
    (1.0, 0.0)
    """
    a, b = np.asarray(a), np.asarray(b)
    if not a.size or not b.size:
        return float("nan")
    p, q = _distributions(a, b)
    middle = (p + q) / 2
    bits = [float((x[x > 0] * np.log2(x[x > 0] / middle[x > 0])).sum()) for x in (p, q)]
    return float(np.sqrt(max(0.0, sum(bits) / 2)))


def _distributions(a: NDArray, b: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of each class that occurs in either set of labels."""
    classes, index = np.unique(np.concatenate([a, b]), return_inverse=True)
    return tuple(np.bincount(x, minlength=classes.size) / x.size for x in (index[: a.size], index[a.size :]))


def total_variation_given(given_a: ArrayLike, labels_a: ArrayLike, given_b: ArrayLike, labels_b: ArrayLike) -> float:
    """Total variation of labels within each condition, averaged over the conditions as the second set has them.

    Σ_g q(g) ½ Σ_w |p(w|g) - q(w|g)|, where p is the first set and q the second. A condition that the first
    set lacks counts as 1. NaN if the second set is empty.

    :param given_a: condition of each member of the first set, such as its space group, (N,).
    :param labels_a: its label, such as its letters, (N,).
    :param given_b: condition of each member of the second set, (M,).
    :param labels_b: its label, (M,).

    >>> total_variation_given([1, 1], ["a", "b"], [1, 1, 2, 2], ["a", "a", "c", "c"])
    0.75
    """
    given_a, labels_a, given_b, labels_b = (np.asarray(x) for x in (given_a, labels_a, given_b, labels_b))
    conditions, counts = np.unique(given_b, return_counts=True)
    if not counts.size:
        return float("nan")
    parts = []
    for condition in conditions:
        mine = labels_a[given_a == condition]
        parts.append(total_variation(mine, labels_b[given_b == condition]) if mine.size else 1.0)
    return float(np.average(parts, weights=counts))


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


def interval(values: ArrayLike) -> tuple[float, float]:
    """Mean of a figure over independent repeats, and half the width of its 95 % interval (Student's t).

    The half width is NaN for a single value. With three repeats it is 2.48 sample standard deviations.

    >>> [round(x, 3) for x in interval([1.0, 2.0, 3.0])]
    [2.0, 2.484]
    """
    values = np.asarray(values, dtype=float)
    if values.size < 2:
        return float(values.mean()) if values.size else float("nan"), float("nan")
    critical = STUDENT[values.size - 2] if values.size - 2 < len(STUDENT) else 1.96
    return float(values.mean()), float(critical * values.std(ddof=1) / np.sqrt(values.size))


@dataclass(frozen=True)
class Draws:
    """All draws of a generator, or all structures of a reference, as the metrics of :func:`judge` need them."""

    facts: Facts
    """Of each draw, with fingerprints, (N,)."""
    coarse: NDArray[np.str_]
    """Coarse keys, (N,)."""
    min_distance: NDArray[np.float64]
    """Shortest distance between any two atoms, Å; 0 where the draw is no crystal at all, (N,)."""
    symmetric: NDArray[np.bool_]
    """Whether the draw has at least the symmetry of the space group it was asked to have, (N,)."""

    @classmethod
    def of(cls, templates: Templates) -> "Draws":
        """Examine templates: their keys, distances and symmetry. About a millisecond each.

        One that has letters that its group lacks, or no volume, is no crystal at all: no atoms, no density, no
        symmetry, and "none" for a key.
        """
        there = templates.offered & (templates.volume > 0)
        some = templates[there]
        facts = Facts(
            templates.spacegroup,
            np.where(there, templates.n_atoms, 0),
            _spread(some.number_density, there, 0.0),
            _spread(fingerprints(some), there, "none"),
        )
        distances = np.where(impossible_sites(some), 0.0, min_distances(some))
        return cls(
            facts,
            _spread(coarse_keys(some), there, "none"),
            _spread(distances, there, 0.0),
            _spread(has_symmetry(some), there, False),
        )


def _spread(values: ArrayLike, there: NDArray[np.bool_], otherwise: Any) -> NDArray:
    """An array with the values at the places that are there, and another value elsewhere."""
    values = np.asarray(values)
    out = np.full(len(there), otherwise, dtype=np.result_type(values, np.asarray(otherwise)))
    out[there] = values
    return out


def judge(drawn: Draws, reference: Draws, train: Draws, held_out: Draws, options: TemplateOptions) -> dict[str, float]:
    """All metrics of one set of draws.

    Every share is of all n draws, failures included, unless stated. The distributions too are over all draws,
    as they come, against all structures of ``reference``: a prototype that the database holds a hundred times
    counts a hundred times. *Valid* is a draw whose shortest distance is at least ``options.min_distance``.
    *Usable* is a valid one that also keeps to ``options.max_atoms`` and ``options.number_density``.

    :param reference: what the distributions are compared with: all structures, or one side of the split.
    :param train: the structures learnt from.
    :param held_out: those kept back, none of whose coarse keys occurs in ``train``.
    :returns:
        ``n``: draws;
        ``symmetric``: have the requested group or a supergroup;
        ``valid``, ``usable``: as above;
        ``density_overlap``: Σ min(p, q) of number density, classes :data:`DENSITY_EDGES`;
        ``tv_spacegroup``, ``tv_crystal_system``, ``tv_n_atoms``: total variation;
        ``js_spacegroup``: Jensen-Shannon distance;
        ``tv_letters``: :func:`total_variation_given` of the Wyckoff letters (coarse keys) given the group;
        ``density_overlap_distinct``, ``tv_spacegroup_distinct``: the same between distinct templates of the two
        sets (first draw of every fingerprint), whatever their number;
        ``distinct_1000``, ``distinct``: distinct fingerprints of usable draws per 1,000 draws, among the first
        1,000 and among all;
        ``novel``: share of the distinct coarse keys of usable draws that ``train`` lacks;
        ``novel_fingerprints``: the same of fingerprints;
        ``recall``, ``recall_fingerprints``: share of the distinct coarse keys (fingerprints) of ``held_out`` that
        occur among the usable draws, the budget being n;
        ``memorised``: share of usable draws whose fingerprint ``train`` has.
    """
    facts, other = drawn.facts, reference.facts
    density = facts.number_density
    valid = drawn.min_distance >= options.min_distance
    low, high = options.number_density
    usable = valid & (facts.n_atoms <= options.max_atoms) & (density >= low) & (density <= high)
    keys, coarse = facts.fingerprint[usable], drawn.coarse[usable]
    known, known_coarse = set(train.facts.fingerprint), set(train.coarse)
    n = len(facts)
    distinct = compare(facts, other)
    return {
        "n": n,
        "symmetric": _ratio(int(drawn.symmetric.sum()), n),
        "valid": _ratio(int(valid.sum()), n),
        "usable": _ratio(int(usable.sum()), n),
        "density_overlap": overlap(shares(density, DENSITY_EDGES), shares(other.number_density, DENSITY_EDGES)),
        "tv_spacegroup": total_variation(facts.spacegroup, other.spacegroup),
        "js_spacegroup": jensen_shannon(facts.spacegroup, other.spacegroup),
        "tv_crystal_system": total_variation(crystal_systems(facts.spacegroup), crystal_systems(other.spacegroup)),
        "tv_n_atoms": total_variation(facts.n_atoms, other.n_atoms),
        "tv_letters": total_variation_given(facts.spacegroup, drawn.coarse, other.spacegroup, reference.coarse),
        "density_overlap_distinct": distinct["density_overlap"],
        "tv_spacegroup_distinct": distinct["tv_spacegroup"],
        "distinct_1000": 1000 * _ratio(len(set(facts.fingerprint[:1000][usable[:1000]])), min(n, 1000)),
        "distinct": 1000 * _ratio(len(set(keys)), n),
        "novel": _missing(coarse, known_coarse),
        "novel_fingerprints": _missing(keys, known),
        "recall": 1 - _missing(held_out.coarse, set(coarse)),
        "recall_fingerprints": 1 - _missing(held_out.facts.fingerprint, set(keys)),
        "memorised": _ratio(sum(key in known for key in keys), keys.size),
    }


def _missing(keys: ArrayLike, known: set[str]) -> float:
    """Share of the distinct keys that a set lacks; NaN where there are none."""
    distinct = set(np.asarray(keys).tolist())
    return _ratio(len(distinct - known), len(distinct))
