"""How a set of templates compares with a reference set: the few numbers a generator is judged by.

Every distribution is taken over *distinct* templates, on both sides: the templates of a run are distinct by
construction, whereas a database holds some templates (the perovskites) hundreds of times over.

Two of the numbers compare distributions p and q over the same classes. The *overlap*, Σ min(p, q), is 1 for
equal distributions and 0 for disjoint ones. The *total variation*, ½ Σ |p - q| = 1 - overlap, is the share of
one set that would have to change class to match the other. Both look worse for small sets (two samples of one
distribution never match exactly), so read them beside a second sample of the reference, such as held-out
data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from .crystal import Templates
from .spacegroups import crystal_system
from .templates import REASONS

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
    classes, index = np.unique(np.concatenate([a, b]), return_inverse=True)
    p = np.bincount(index[: a.size], minlength=classes.size) / a.size
    q = np.bincount(index[a.size :], minlength=classes.size) / b.size
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
