"""What is asked of a generated template before it is kept, and why the others are refused."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import spacegroups as sg
from . import tables
from .crystal import Templates, min_distances, with_full_symmetry
from .fingerprint import canonical, coarse_keys, fingerprints
from .matching import Distinct, Tolerances


@dataclass(frozen=True)
class TemplateOptions:
    """What a template must fulfil; the keys of the config block ``templates``."""

    min_distance: float = 1.0
    """Shortest distance between any two atoms, Å; below it the template is refused (the paper's 1 Å)."""
    max_atoms: int = 40
    """Most atoms in the conventional cell."""
    number_density: tuple[float, float] = (0.01, 0.25)
    """Lowest and highest number of atoms per Å³."""
    n_sites: tuple[int, ...] | None = None
    """Numbers of sites to keep; ``None``: all."""
    tolerance: Tolerances = field(default_factory=Tolerances)
    """Within which two templates are the same."""

    def __post_init__(self) -> None:
        if isinstance(self.tolerance, Mapping):
            object.__setattr__(self, "tolerance", Tolerances(**self.tolerance))
        if not 0 < self.number_density[0] < self.number_density[1]:
            raise ValueError("number_density must be two rising positive numbers")


REASONS = (
    "impossible sites",
    "number of sites",
    "no volume",
    "atom count",
    "number density",
    "short distance",
    "duplicate",
)
"""Why a template is refused, in the order of the checks."""


@dataclass
class Selection:
    """Templates that passed, with the counts of those that did not."""

    kept: NDArray[np.int64]
    """Places of the kept templates in the batch, in order."""
    distances: NDArray[np.float64]
    """Shortest distance of each kept template, Å."""
    found: Templates
    """The kept templates in the groups that moyo finds in them, the requested ones or supergroups, in canonical
    description."""
    refused: Counter[str] = field(default_factory=Counter)


def impossible_sites(templates: Templates) -> NDArray[np.bool_]:
    """Whether a site is no position of its group, or one without freedom is used twice, (N,)."""
    filled = templates.letters >= 0
    fixed = (sg.N_FREE[templates.spacegroup[:, None], templates.letters] == 0) & filled
    twice = np.zeros(len(templates), dtype=bool)
    for i in range(templates.letters.shape[1]):
        for j in range(i):
            twice |= fixed[:, i] & (templates.letters[:, i] == templates.letters[:, j])
    return twice | ~templates.offered


def select(templates: Templates, options: TemplateOptions, seen: Distinct) -> Selection:
    """Check a batch, the cheap conditions first, and drop those that repeat an earlier one.

    :param seen: the templates kept so far; those kept here are added.
    """
    refused: Counter[str] = Counter()
    left = np.arange(len(templates))

    def refuse(reason: str, bad: NDArray[np.bool_]) -> None:
        nonlocal left
        refused[reason] += int(bad.sum())
        left = left[~bad]

    refuse("impossible sites", impossible_sites(templates))
    if options.n_sites is not None:
        refuse("number of sites", ~np.isin(templates[left].n_sites, options.n_sites))
    refuse("no volume", ~(templates[left].volume > 0))
    refuse("atom count", templates[left].n_atoms > options.max_atoms)
    density = templates[left].number_density
    refuse("number density", (density < options.number_density[0]) | (density > options.number_density[1]))
    distances = min_distances(templates[left])
    short = distances < options.min_distance
    distances = distances[~short]
    refuse("short distance", short)
    # what repeats an earlier one as it is needs no search for symmetry, which takes longest
    again = seen.holds(templates[left])
    refuse("duplicate", again)
    found, _ = canonical(with_full_symmetry(templates[left]))
    repeated = seen.add(found, are_canonical=True)
    distances, found = distances[~again][~repeated], found[~repeated]
    refuse("duplicate", repeated)
    return Selection(left, distances, found, +refused)


def checked_columns(templates: Templates, selection: Selection) -> dict[str, Any]:
    """The columns of ``tables.TEMPLATES`` for the kept templates, but for their id and ``in_training``."""
    return {
        **selection.found.to_columns(),
        "spacegroup_requested": templates[selection.kept].spacegroup,
        "min_distance": selection.distances,
        "coarse_key": coarse_keys(selection.found),
        "fingerprint": fingerprints(selection.found),
    }


def merge(
    shards: Iterable[pa.Table], keep: int | None, known: Mapping[str, Distinct], tolerance: Tolerances, threads: int = 1
) -> tuple[pa.Table, Counter[str]]:
    """Shards of checked templates as one table, in order, without what repeats between shards.

    :param keep: most templates to keep; ``None`` keeps all.
    :param known: the templates that the generator was trained on, ``train``, and that were kept back, ``held-out``.
    :param tolerance: within which two templates are the same.
    :param threads: that compare; the result does not depend on it.
    :returns: a table of ``tables.TEMPLATES``, and the counts of what was refused here.
    """
    seen = Distinct(tolerance, threads)
    refused: Counter[str] = Counter()
    parts = []
    holds: dict[str, list[bool]] = {"train": [], "held-out": []}
    for shard in shards:
        found = Templates.from_table(shard)
        repeated = seen.add(found, are_canonical=True)
        room = None if keep is None else max(keep - sum(part.num_rows for part in parts), 0)
        places = np.flatnonzero(~repeated)
        refused["duplicate"] += int(repeated.sum())
        refused["beyond the number to keep"] += len(places) - len(places[:room])
        places = places[:room]
        parts.append(shard.take(pa.array(places, pa.int64())))
        for side, held in holds.items():
            held += known[side].holds(found[places], are_canonical=True).tolist()
    table = pa.concat_tables(parts)
    ids = [f"t{i:07d}" for i in range(1, table.num_rows + 1)]
    columns = {
        **{name: table[name] for name in table.column_names},
        "template_id": ids,
        "in_training": holds["train"],
        "in_held_out": holds["held-out"],
    }
    table = tables.to_table(columns, tables.TEMPLATES)
    return table, +refused
