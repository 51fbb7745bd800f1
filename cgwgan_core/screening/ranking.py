"""The shortlist: best candidates first, each crystal once, the known ones named.

It is drawn from shards of millions of candidates. Of all of them only energies are in memory. The rows of the best come
block by block: every shard that holds one is read, one at a time, and the rows of the block are kept.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cgwgan_core.crystallography.structures import atoms_to_structure
from cgwgan_core.screening.candidates import TemplateLookup
from cgwgan_core.screening.comparison import Library, reduced
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.refusals import OK

RANK_BY = {"energy_above_hull": "energy_above_hull", "formation_energy": "formation_energy_per_atom"}
"""Values of ``screen.rank_by`` -> the column that they rank by."""
NOT_CREDIBLE = 1.0
"""eV/atom; a candidate that the judge puts lower than the screening potential by more is a hole of the judge: close
atoms that it has not learnt to repel. It usually puts candidates higher."""
BLOCK = 1024, 32768
"""Rows of the first block, and most of one; each block is twice the one before, as each reads shards again."""


@dataclass(frozen=True)
class RankOptions:
    """How candidates are ranked; keys of the config block ``screen``."""

    rank_by: str = "energy_above_hull"
    """``energy_above_hull`` or ``formation_energy`` (the paper's)."""
    top: int = 30
    """Candidates on the shortlist."""
    per_formula: int | None = None
    """Most of them with one reduced formula; ``None``: no limit."""
    per_template: int | None = None
    """Most of them on templates of one isopointal type (a prototype without its parameters); ``None``: no limit."""

    def __post_init__(self) -> None:
        if self.rank_by not in RANK_BY:
            raise InputError(f"screen.rank_by: {self.rank_by!r} must be one of {', '.join(RANK_BY)}")
        for name in ("top", "per_formula", "per_template"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"screen.{name}: {value} must be at least 1")


def rank(
    screened: Sequence[str | Path],
    candidates: Sequence[str | Path],
    templates: pa.Table,
    known: Library,
    options: RankOptions,
    schema: pa.Schema = tables.CANDIDATES,
) -> tuple[pa.Table, list[dict[str, Any]], dict[str, Any]]:
    """Walk down the candidates by energy until ``options.top`` distinct ones that are no known phase are found.

    Structures are built and compared only for the candidates walked past, so the cost hardly depends on how many
    were screened. A candidate whose formula or template has its share already is passed over; it is still compared
    with the known phases, so that limits hide no rediscovery.

    :param screened: shards of ``tables.SCREENED``.
    :param candidates: shards of ``schema`` with the same rows.
    :param templates: a table of ``tables.TEMPLATES``.
    :param schema: ``tables.CANDIDATES``, or ``tables.PROMOTED`` where a cascade chose them.
    :returns: a table of ``tables.RANKED``, in which the best candidate of every known phase met on the way keeps
        its rank and names the phase; rows of ``tables.RANKING_REFUSED`` for those that repeat a better one; and
        the counts: screened, kept (for relaxation, not known), refused by reason.
    :raises InputError: if the shards do not hold the same candidates.
    """
    energies = energies_of(screened, RANK_BY[options.rank_by])
    shortlist = Shortlist(templates, known, options)
    walked = 0
    for row in _best_first(energies, screened, candidates, schema):
        if shortlist.full:
            break
        shortlist.offer(row)
        walked += 1
    usable = int(np.isfinite(energies).sum())
    refused = shortlist.counts + Counter({"no energy": len(energies) - usable, "below the shortlist": usable - walked})
    counts = {"screened": len(energies), "kept": shortlist.novel, "refused": dict(sorted(refused.items()))}
    return tables.to_table(shortlist.ranked, tables.RANKED), shortlist.refused, counts


class Shortlist:
    """Candidates as they are offered, best first: those that are kept, and why the others are not."""

    def __init__(self, templates: pa.Table, known: Library, options: RankOptions) -> None:
        self.ranked: list[dict[str, Any]] = []
        """Rows of ``tables.RANKED``."""
        self.refused: list[dict[str, Any]] = []
        """Rows of ``tables.RANKING_REFUSED``."""
        self.counts: Counter[str] = Counter()
        """Reason -> candidates that are not relaxed for it."""
        self.novel = 0
        """Candidates kept that are no known phase."""
        self._options = options
        self._lookup = TemplateLookup(templates)
        self._types: list[str] = templates["isopointal_type"].to_pylist()
        self._known, self._distinct = known, Library()
        self._rediscovered: set[str] = set()
        self._of_formula: Counter[str] = Counter()
        self._of_type: Counter[str] = Counter()

    @property
    def full(self) -> bool:
        """Whether as many are kept as are wanted."""
        return self.novel == self._options.top

    def offer(self, row: dict[str, Any]) -> None:
        """Keep a candidate, or count it as refused.

        :param row: columns of ``tables.CANDIDATES`` and ``tables.SCREENED``.
        """
        if (lower := _below_screening(row)) > NOT_CREDIBLE:
            self.counts["not credible"] += 1
            why = f"not credible: {lower:.3g} eV/atom lower by the judge than by the screening potential"
            self.refused.append({"candidate_id": row["candidate_id"], "reason": why})
            return
        formula = row["formula"]
        isopointal_type = self._types[self._lookup.place(row["template_id"])]
        limit = self._limit(formula, isopointal_type)
        # only the crystal tells whether it is a known phase of its formula
        if limit and formula not in self._known:
            self.counts[limit] += 1
            return
        structure = reduced(atoms_to_structure(self._lookup.atoms(row)))
        phase = self._known.find_reduced(structure)
        if phase is not None:
            self._rediscover(row, phase)
        elif limit:
            self.counts[limit] += 1
        elif (better := self._distinct.find_reduced(structure)) is not None:
            self._refuse_duplicate(row, better)
        else:
            self._rank(row, None)
            self._distinct.add(row["candidate_id"], structure)
            self._of_formula[formula] += 1
            self._of_type[isopointal_type] += 1
            self.novel += 1

    def _limit(self, formula: str, isopointal_type: str) -> str | None:
        """Which limit leaves no place for another candidate of this formula and type."""
        per_formula, per_template = self._options.per_formula, self._options.per_template
        if per_formula is not None and self._of_formula[formula] >= per_formula:
            return "formula has its share"
        if per_template is not None and self._of_type[isopointal_type] >= per_template:
            return "template has its share"
        return None

    def _rediscover(self, row: dict[str, Any], phase: str) -> None:
        if phase in self._rediscovered:
            self._refuse_duplicate(row, phase)
            return
        self._rediscovered.add(phase)
        self.counts["known phase"] += 1
        self._rank(row, phase)

    def _rank(self, row: dict[str, Any], phase: str | None) -> None:
        self.ranked.append({**row, "rank": len(self.ranked) + 1, "known_match": phase})

    def _refuse_duplicate(self, row: dict[str, Any], match: str) -> None:
        self.counts["duplicate"] += 1
        self.refused.append({"candidate_id": row["candidate_id"], "reason": "duplicate", "match": match})


def _below_screening(row: dict[str, Any]) -> float:
    """How far the judge puts a candidate below the screening potential, eV/atom; 0 where there is no cascade."""
    screening: float | None = row.get("screening_energy_above_hull")
    return 0.0 if screening is None else screening - float(row["energy_above_hull"])


def energies_of(screened: Sequence[str | Path], column: str) -> Floats:
    """A column of energies of the candidates of all shards, NaN where there is no energy, (N,)."""
    parts = [np.zeros(0)]
    for path in screened:
        table = tables.read(path, tables.SCREENED, [column, "status"])
        usable = pc.equal(table["status"], OK).to_numpy(zero_copy_only=False)
        parts.append(np.where(usable, table[column].to_numpy(), np.nan))
    return np.concatenate(parts)


def shard_sizes(screened: Sequence[str | Path], candidates: Sequence[str | Path]) -> list[int]:
    """Rows of each shard.

    :raises InputError: if the shards of candidates and those of their energies are not of the same length.
    """
    sizes = [tables.count(path) for path in screened]
    if sizes != [tables.count(path) for path in candidates]:
        folders = " and ".join(str(Path(path).parent) for path in (*screened[:1], *candidates[:1]))
        raise InputError(f"{folders}: shards of different length; delete the former and rerun")
    return sizes


def _best_first(
    energies: Floats, screened: Sequence[str | Path], candidates: Sequence[str | Path], schema: pa.Schema
) -> Iterator[dict[str, Any]]:
    """Rows of candidates with what was screened of them, lowest first; read block by block."""
    starts = np.concatenate([[0], np.cumsum(shard_sizes(screened, candidates), dtype=np.int64)])
    # equal energies in the order of the table, so that the ranking is the same everywhere; NaN is sorted last
    order = np.argsort(energies, kind="stable")[: int(np.isfinite(energies).sum())]
    size, largest = BLOCK
    bounds = [0]
    while bounds[-1] < len(order):
        bounds.append(min(bounds[-1] + size, len(order)))
        size = min(2 * size, largest)
    for first, last in pairwise(bounds):
        block = order[first:last]
        shard = np.searchsorted(starts, block, side="right") - 1
        rows: list[dict[str, Any]] = [{}] * len(block)
        for k in np.unique(shard).tolist():
            mine = np.flatnonzero(shard == k)
            index = pa.array(block[mine] - starts[k])
            filled = tables.read(candidates[k], schema).take(index).to_pylist()
            found = tables.read(screened[k], tables.SCREENED).take(index).to_pylist()
            for i, candidate, energy in zip(mine.tolist(), filled, found, strict=True):
                if candidate["candidate_id"] != energy["candidate_id"]:
                    raise InputError(
                        f"{screened[k]}: {energy['candidate_id']}: not the candidate of the same row of"
                        f" {candidates[k]}; delete the former and rerun"
                    )
                # the volume at which the energy is, not that of the infill
                rows[i] = {**candidate, **energy}
        yield from rows
