"""From the screening potential to the judge: which candidates the better and slower potential evaluates, too.

The best share by the screening potential go on, and all within a margin of its hull. So does a random sample of the
rest: what the judge says of it tells how much the cascade loses, and how far the screening potential errs on what it
has not chosen.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cgwgan_core.screening.ranking import RANK_BY, energies_of, shard_sizes
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.seeds import derive_seed

BEST, SAMPLE = "best", "sample"
"""Why a candidate was promoted: among the best, or in the random sample of the others."""


@dataclass(frozen=True)
class CascadeOptions:
    """Which candidates the judge evaluates; keys of the config block ``cascade``."""

    share: float = 0.1
    """Of the candidates with an energy, the best by the screening potential."""
    margin: float = 0.2
    """eV/atom above the screening potential's hull; whatever lies within goes on, too."""
    sample: int = 100
    """Others, drawn at random."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"cascade.share: {self.share} must be above 0 and at most 1")
        if self.margin < 0:
            raise InputError(f"cascade.margin: {self.margin} must not be negative")
        if self.sample < 0:
            raise InputError(f"cascade.sample: {self.sample} must not be negative")


def promote(
    screened: Sequence[str | Path],
    candidates: Sequence[str | Path],
    options: CascadeOptions,
    rank_by: str,
    seed: int,
) -> tuple[pa.Table, dict[str, Any]]:
    """The candidates that the judge evaluates, best first by the screening potential.

    :param screened: shards of ``tables.SCREENED``.
    :param candidates: shards of ``tables.CANDIDATES`` with the same rows.
    :param rank_by: a key of :data:`~cgwgan_core.screening.ranking.RANK_BY`.
    :returns: a table of ``tables.PROMOTED``, and the counts: screened, kept, refused by reason.
    :raises InputError: if the shards do not hold the same candidates.
    """
    ranked_by = energies_of(screened, RANK_BY[rank_by])
    above = energies_of(screened, "energy_above_hull")
    usable = int(np.isfinite(ranked_by).sum())
    # equal energies in the order of the table; NaN is sorted last
    order = np.argsort(ranked_by, kind="stable")[:usable]
    position = np.arange(usable)
    best = (position < np.ceil(options.share * usable)) | (above[order] <= options.margin)
    others = position[~best]
    random = np.random.default_rng(derive_seed(seed, "cascade"))
    drawn = random.choice(others, size=min(options.sample, len(others)), replace=False)
    chosen = np.sort(np.concatenate([position[best], drawn]))
    rows = order[chosen]
    found = _rows(rows, screened, candidates)
    reasons = np.where(best[chosen], BEST, SAMPLE)
    for name, column in (
        ("screening_energy_above_hull", pa.array(above[rows])),
        ("screening_rank", pa.array(chosen + 1)),
        ("promoted_as", pa.array(reasons.tolist(), pa.string())),
    ):
        found = found.append_column(name, column)
    left = {"no energy": len(ranked_by) - usable, "behind the share": usable - len(chosen)}
    counts = {"screened": len(ranked_by), "kept": len(chosen), "refused": dict(Counter(left))}
    return tables.to_table(found, tables.PROMOTED), counts


def _rows(rows: Any, screened: Sequence[str | Path], candidates: Sequence[str | Path]) -> pa.Table:
    """Rows of candidates at the volume where they were screened last, in the order asked for.

    :param rows: places in all shards together, (n,).
    """
    parts, places, start = [tables.CANDIDATES.empty_table()], [np.zeros(0, dtype=np.int64)], 0
    for one, other, size in zip(candidates, screened, shard_sizes(screened, candidates), strict=True):
        end = start + size
        mine = np.flatnonzero((rows >= start) & (rows < end))
        if len(mine):
            index = pa.array(rows[mine] - start)
            filled = tables.read(one, tables.CANDIDATES).take(index)
            energies = tables.read(other, tables.SCREENED, ["candidate_id", "volume_scale"]).take(index)
            if not pc.all(pc.equal(filled["candidate_id"], energies["candidate_id"])).as_py():
                raise InputError(f"{other}: holds other candidates than {one}; delete the former and rerun")
            at = filled.schema.get_field_index("volume_scale")
            parts.append(filled.set_column(at, "volume_scale", energies["volume_scale"]))
            places.append(mine)
        start = end
    back = np.argsort(np.concatenate(places))
    return pa.concat_tables([part.cast(parts[0].schema) for part in parts]).take(pa.array(back))
