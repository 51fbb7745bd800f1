"""How far the screening potential errs by rank, on errors that are known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cgwgan_core.results.selection_error import FOOLED, SelectionError, selection_error
from cgwgan_core.screening.cascade import BEST, SAMPLE
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance


def error_of(
    folder: Path,
    rank: Sequence[int],
    screening: Sequence[float],
    judge: Sequence[float | None],
    reason: Sequence[str],
    shards: int = 2,
) -> SelectionError | None:
    """Write promoted candidates with both distances to the hull, dealt out as the workflow does, and read them."""
    promoted, evaluated = [], []
    for i in range(shards):
        mine = range(i, len(rank), shards)
        first = {
            "candidate_id": [f"t{j}" for j in mine],
            "screening_rank": [rank[j] for j in mine],
            "screening_energy_above_hull": [screening[j] for j in mine],
            "promoted_as": [reason[j] for j in mine],
        }
        second = {
            "candidate_id": first["candidate_id"],
            "energy_above_hull": [judge[j] for j in mine],
            "status": ["two atoms are 0.3 Å apart" if judge[j] is None else "ok" for j in mine],
        }
        for kind, columns, schema, paths in (
            ("promoted", first, tables.PROMOTED, promoted),
            ("evaluated", second, tables.SCREENED, evaluated),
        ):
            filled = {name: columns.get(name, [None] * len(mine)) for name in schema.names}
            paths.append(folder / kind / f"{i}.parquet")
            tables.write(paths[-1], tables.to_table(filled, schema), schema, Provenance())
    return selection_error(promoted, evaluated)


def test_errors_that_are_known_come_out(tmp_path: Path) -> None:
    """0.3 eV/atom at the first rank, and 0.1 less at ten times each rank."""
    rank = np.concatenate([np.arange(1, 101), np.arange(150, 1000, 50)])
    screening = 0.001 * rank
    judge = screening + 0.3 - 0.1 * np.log10(rank)
    reason = [BEST] * 100 + [SAMPLE] * 17
    found = error_of(tmp_path, rank.tolist(), screening.tolist(), judge.tolist(), reason)
    assert found is not None
    assert found.slope == pytest.approx(-0.1)
    order = np.argsort(found.rank)
    assert found.rank[order].tolist() == rank.tolist()
    assert found.difference[order] == pytest.approx(judge - screening)
    assert found.judged[order] == pytest.approx(judge)
    assert found.best[order].tolist() == [r <= 100 for r in rank]
    selected, random = found.quantiles(best=True), found.quantiles(best=False)
    assert selected is not None
    assert random is not None
    assert selected == pytest.approx(np.quantile(0.3 - 0.1 * np.log10(np.arange(1, 101)), [0.1, 0.5, 0.9]))
    assert random[1] < selected[1]


@pytest.mark.parametrize(("worse", "fooled"), [(FOOLED + 0.01, True), (FOOLED - 0.01, False), (-1.0, False)])
def test_a_potential_that_selects_its_errors_is_found_out(tmp_path: Path, worse: float, fooled: bool) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.001, 40)
    screening = np.arange(40) / 100
    judge = screening + 0.2 + noise + worse * (np.arange(40) < 20)
    reason = [BEST] * 20 + [SAMPLE] * 20
    found = error_of(tmp_path, list(range(1, 41)), screening.tolist(), judge.tolist(), reason)
    assert found is not None
    assert found.fooled is fooled
    assert (found.slope < 0) == (worse > 0)


def test_what_the_cascade_misses_is_counted_in_the_sample(tmp_path: Path) -> None:
    judge = [0.0, 0.1, 0.4, 0.05, 0.3, 0.9]
    reason = [BEST] * 3 + [SAMPLE] * 3
    found = error_of(tmp_path, [1, 2, 3, 10, 20, 30], [0.0] * 6, judge, reason)
    assert found is not None
    assert found.missed(0.3) == (2, 3)
    assert found.missed(0.04) == (0, 3)


def test_a_hole_of_the_judge_is_not_missed(tmp_path: Path) -> None:
    """The ranking refuses it."""
    judge = [0.0, 0.1, -3000.0, 0.2]
    found = error_of(tmp_path, [1, 2, 30, 40], [0.0, 0.0, 8.0, 0.5], judge, [BEST, BEST, SAMPLE, SAMPLE])
    assert found is not None
    assert found.missed(0.3) == (1, 2)


def test_without_a_sample_nothing_is_said_of_it(tmp_path: Path) -> None:
    found = error_of(tmp_path, [1, 2, 3], [0.0, 0.1, 0.2], [0.5, 0.6, 0.7], [BEST] * 3)
    assert found is not None
    assert found.quantiles(best=False) is None
    assert found.fooled is None
    assert found.missed(1.0) == (0, 0)


def test_candidates_without_an_energy_do_not_count(tmp_path: Path) -> None:
    found = error_of(tmp_path, [1, 2, 3, 4], [0.0] * 4, [0.1, None, 0.1, None], [BEST, BEST, SAMPLE, SAMPLE])
    assert found is not None
    assert sorted(found.rank.tolist()) == [1, 3]
    assert found.best.sum() == 1


def test_with_nothing_to_compare_there_is_no_error(tmp_path: Path) -> None:
    assert selection_error([], []) is None
    assert error_of(tmp_path / "a", [], [], [], []) is None
    assert error_of(tmp_path / "b", [1, 2], [0.0, 0.1], [None, 0.2], [BEST] * 2) is None
