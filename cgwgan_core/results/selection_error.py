"""How far the screening potential errs, by rank: what it selects, it errs on in one direction.

Of many candidates those rank first whose energy the potential puts too low. So the judge lies higher on what was
selected than on a random sample. A difference that grows towards the first ranks says that the screening potential
ranks by its errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from cgwgan_core.screening.cascade import BEST
from cgwgan_core.screening.ranking import NOT_CREDIBLE
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Floats, Integers
from cgwgan_core.workflow.refusals import OK

QUANTILES = (0.1, 0.5, 0.9)
FOOLED = 0.1
"""eV/atom; where the judge puts the selected candidates higher than the random ones by more, in the median, the
screening potential has selected its own errors."""


@dataclass(frozen=True)
class SelectionError:
    """The judge's distance to the hull less the screening potential's, by rank."""

    rank: Integers
    """By the screening potential, (N,)."""
    difference: Floats
    """(N,) eV/atom."""
    judged: Floats
    """The judge's distance to the hull, (N,) eV/atom."""
    best: np.ndarray
    """Whether the candidate was selected for its rank, and not at random, (N,)."""
    slope: float
    """Change of the difference from one rank to ten times that rank, eV/atom, by least squares."""

    def quantiles(self, best: bool) -> Floats | None:
        """:data:`QUANTILES` of the difference of the selected, or of the random candidates, (3,) eV/atom."""
        chosen = self.difference[self.best == best]
        return np.quantile(chosen, QUANTILES) if len(chosen) else None

    @property
    def fooled(self) -> bool | None:
        """Whether the screening potential has selected its own errors; ``None`` without a random sample."""
        selected, random = self.quantiles(best=True), self.quantiles(best=False)
        return None if selected is None or random is None else bool(selected[1] - random[1] > FOOLED)

    def missed(self, worst: float) -> tuple[int, int]:
        """Of the random sample, how many the judge places no higher than the shortlist's last; and its size.

        What the ranking refuses as not credible is not missed.
        """
        random = ~self.best
        found = random & (self.judged <= worst) & (self.difference >= -NOT_CREDIBLE)
        return int(found.sum()), int(random.sum())


def selection_error(promoted: Sequence[str | Path], evaluated: Sequence[str | Path]) -> SelectionError | None:
    """From the files of a run; ``None`` where nothing was promoted, or nothing evaluated.

    :param promoted: shards of ``tables.PROMOTED``.
    :param evaluated: shards of ``tables.SCREENED``, the same rows.
    """
    columns = ["screening_rank", "screening_energy_above_hull", "promoted_as"]
    both = [
        (
            tables.read(one, tables.PROMOTED, columns),
            tables.read(other, tables.SCREENED, ["energy_above_hull", "status"]),
        )
        for one, other in zip(promoted, evaluated, strict=True)
    ]
    if not both:
        return None
    first, second = (pa.concat_tables(part) for part in zip(*both, strict=True))
    above = second["energy_above_hull"].to_numpy()
    difference = above - first["screening_energy_above_hull"].to_numpy()
    good = np.isfinite(difference) & np.array([status == OK for status in second["status"].to_pylist()], dtype=bool)
    if good.sum() < 2:
        return None
    rank = first["screening_rank"].to_numpy()[good]
    slope = float(np.polynomial.polynomial.polyfit(np.log10(rank), difference[good], 1)[1])
    best = np.array([reason == BEST for reason in first["promoted_as"].to_pylist()], dtype=bool)[good]
    return SelectionError(rank, difference[good], above[good], best, slope)
