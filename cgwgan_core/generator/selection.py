"""Which generated templates are kept, and why the others are refused; shards of them as one table."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.asymmetric_unit import with_full_symmetry
from cgwgan_core.crystallography.composition import can_hold_one, ratio_of
from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.fingerprint import canonical, fingerprints, isopointal_types
from cgwgan_core.crystallography.matching import Distinct, Tolerances
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Booleans, Floats
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.logs import logger


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
    formulas: tuple[str, ...] | None = None
    """Anonymous formulas of which the sites must be able to hold one, such as ABX3; ``None``: any."""
    tolerance: Tolerances = field(default_factory=Tolerances)
    """Within which two templates are the same."""

    def __post_init__(self) -> None:
        if isinstance(self.tolerance, Mapping):
            object.__setattr__(self, "tolerance", Tolerances(**self.tolerance))
        if not 0 < self.number_density[0] < self.number_density[1]:
            raise InputError(
                f"templates.number_density: {list(self.number_density)} are not two rising positive numbers"
            )
        try:
            for formula in self.formulas or ():
                ratio_of(formula)
        except ValueError as error:
            raise InputError(f"templates.formulas: {error}") from None


DUPLICATE = "duplicate"
REASONS = (
    "impossible sites",
    "number of sites",
    "formula",
    "no volume",
    "atom count",
    "number density",
    "short distance",
    DUPLICATE,
)
"""Why a template is refused, in the order of the checks."""
BEYOND = "beyond the number to keep"
"""Why :func:`merge` leaves out a template with which there is nothing wrong."""


@dataclass(frozen=True)
class Selection:
    """Templates that passed, with the counts of those that did not."""

    kept: NDArray[np.int64]
    """Places of the kept templates in the batch, in order."""
    requested: NDArray[np.int16]
    """Space groups that they were drawn in."""
    distances: Floats
    """Shortest distance of each, Å."""
    found: Templates
    """The kept templates, each in the group that moyo finds, the requested one or a supergroup; canonical."""
    refused: Counter[str]
    """Reason -> number of templates."""

    def to_columns(self) -> dict[str, Any]:
        """The columns of ``tables.TEMPLATES``, but for those that :func:`merge` adds."""
        return {
            **self.found.to_columns(),
            "spacegroup_requested": self.requested,
            "min_distance": self.distances,
            "isopointal_type": isopointal_types(self.found),
            "fingerprint": fingerprints(self.found),
        }


def select(templates: Templates, options: TemplateOptions, seen: Distinct) -> Selection:
    """Check a batch, the cheap conditions first, and drop those that repeat an earlier one.

    :param seen: the templates kept so far; those kept here are added.
    """
    refused: Counter[str] = Counter()
    left = np.arange(len(templates))

    def refuse(reason: str, bad: Booleans) -> None:
        nonlocal left
        refused[reason] += int(bad.sum())
        left = left[~bad]

    refuse("impossible sites", impossible_sites(templates))
    if options.n_sites is not None:
        refuse("number of sites", ~np.isin(templates[left].n_sites, options.n_sites))
    if options.formulas is not None:
        ratios = tuple(ratio_of(formula) for formula in options.formulas)
        held = templates[left].multiplicities.tolist()
        refuse("formula", ~np.array([can_hold_one(row, ratios) for row in held], dtype=bool))
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
    refuse(DUPLICATE, again)
    found, _ = canonical(with_full_symmetry(templates[left]))
    repeated = seen.add(found, are_canonical=True)
    distances, found = distances[~again][~repeated], found[~repeated]
    refuse(DUPLICATE, repeated)
    return Selection(left, templates.spacegroup[left], distances, found, +refused)


def impossible_sites(templates: Templates) -> Booleans:
    """Whether a site is no position of its group, or one without freedom is used twice, (N,)."""
    filled = templates.letters >= 0
    fixed = (sg.N_FREE[templates.spacegroup[:, None], templates.letters] == 0) & filled
    twice = np.zeros(len(templates), dtype=bool)
    for i in range(templates.letters.shape[1]):
        for j in range(i):
            twice |= fixed[:, i] & (templates.letters[:, i] == templates.letters[:, j])
    return twice | ~templates.offered


def merge(
    shards: Iterable[pa.Table],
    counts: Iterable[Mapping[str, Any]],
    keep: int | None,
    known: Mapping[str, Templates],
    tolerance: Tolerances,
    threads: int,
) -> tuple[pa.Table, dict[str, Any]]:
    """Shards of checked templates as one table, in order, without what repeats between shards.

    :param counts: of each shard: how many were ``sampled``, and ``refused`` by reason.
    :param keep: most templates to keep; ``None`` keeps all.
    :param known: the templates that the generator was trained on, ``train``, and that were kept back, ``held-out``.
    :param tolerance: within which two templates are the same.
    :param threads: that compare; the result does not depend on it.
    :returns: a table of ``tables.TEMPLATES``, and the counts of all: ``sampled``, ``kept``, ``refused``.
    """
    seen, sides = Distinct(tolerance, threads), {side: Distinct(tolerance, threads) for side in known}
    for side, distinct in sides.items():
        distinct.add(known[side])
    refused: Counter[str] = Counter()
    parts: list[pa.Table] = []
    holds: dict[str, list[bool]] = {side: [] for side in sides}
    for shard in shards:
        found = Templates.from_table(shard)
        repeated = seen.add(found, are_canonical=True)
        room = None if keep is None else max(keep - sum(part.num_rows for part in parts), 0)
        places = np.flatnonzero(~repeated)
        refused[DUPLICATE] += int(repeated.sum())
        refused[BEYOND] += len(places) - len(places[:room])
        places = places[:room]
        parts.append(shard.take(pa.array(places, pa.int64())))
        for side, distinct in sides.items():
            holds[side] += distinct.holds(found[places], are_canonical=True).tolist()
    table = pa.concat_tables(parts)
    sampled = 0
    for part in counts:
        sampled += part["sampled"]
        refused.update(part["refused"])
    refused = +refused
    if not table.num_rows:
        logger.warning(f"warning: none of {sampled:,} templates passed, so there will be no candidates")
    columns = {
        **{name: table[name] for name in table.column_names},
        "template_id": [f"t{i:07d}" for i in range(1, table.num_rows + 1)],
        "in_training": holds["train"],
        "in_held_out": holds["held-out"],
    }
    result = {"sampled": sampled, "kept": table.num_rows, "refused": dict(sorted(refused.items()))}
    return tables.to_table(columns, tables.TEMPLATES), result
