"""The shortlist: order, duplicates, known phases, limits."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.screening.cascade import BEST, SAMPLE, CascadeOptions, promote
from cgwgan_core.screening.comparison import Library
from cgwgan_core.screening.infill import InfillOptions, candidate_columns, infill
from cgwgan_core.screening.ranking import RankOptions, rank
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.provenance import Provenance
from tests.support.crystals import perovskite

Shards = tuple[list[Path], list[Path], pa.Table]


def in_shards(table: pa.Table, schema: pa.Schema, folder: Path, shards: int) -> list[Path]:
    paths = [folder / f"{i}.parquet" for i in range(shards)]
    for i, path in enumerate(paths):
        tables.write(path, tables.shard_of(table, i, shards), schema, Provenance())
    return paths


@pytest.fixture
def screened(tmp_path: Path) -> Shards:
    """Two perovskite templates of other volume (the same crystals twice) and a CsCl-like layered one."""
    templates = Templates(
        np.array([221, 221, 123], np.int16),
        np.array([[3.9, 3.9, 3.9, 90, 90, 90], [5.0, 5.0, 5.0, 90, 90, 90], [4, 4, 7, 90, 90, 90.0]]),
        np.array([[0, 1, 2], [0, 1, 2], [0, 2, 3]], np.int8),
        np.array(
            [
                [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]],
                [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]],
                [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]],
            ]
        ),
    )
    names = ["t1", "t2", "t3"]
    keys = ["221:abc", "221:abc", "123:acd"]
    table = tables.to_table({**templates.to_columns(), "template_id": names, "isopointal_type": keys}, tables.TEMPLATES)
    filled = infill(templates, ["Ba", "Ru", "O"], InfillOptions("template", min_distance_ratio=0.0))
    candidates = tables.to_table(candidate_columns(filled, templates, names), tables.CANDIDATES)
    n = candidates.num_rows
    energies = np.arange(n, dtype=float) % 6
    status = ["ok"] * (n - 1) + ["failed: no energy"]
    columns = {
        "candidate_id": candidates["candidate_id"],
        "formula": candidates["formula"],
        "volume_scale": [1.1] * n,
        "energy_per_atom": energies - 7,
        "formation_energy_per_atom": -energies,
        "energy_above_hull": energies,
        "status": status,
    }
    found = tables.to_table(columns, tables.SCREENED)
    parts = [
        in_shards(found, tables.SCREENED, tmp_path / "screened", 4),
        in_shards(candidates, tables.CANDIDATES, tmp_path / "candidates", 4),
    ]
    return parts[0], parts[1], table


def test_each_crystal_once_best_first(screened: Shards) -> None:
    ranked, refused, counts = rank(*screened, Library(), RankOptions(top=100))
    energies = ranked["energy_above_hull"].to_pylist()
    assert energies == sorted(energies)
    # the two perovskites are one crystal for each of the six assignments
    twins = [r for r in refused if r["reason"] == "duplicate"]
    assert len(twins) >= 6
    assert {r["match"] for r in twins} <= set(ranked["candidate_id"].to_pylist())
    assert counts["screened"] == 18 == counts["kept"] + sum(counts["refused"].values())
    assert counts["refused"]["no energy"] == 1


def test_known_phases_keep_their_rank_and_are_named(screened: Shards) -> None:
    known = Library()
    known.add("mp-1", perovskite(4.1))
    ranked, refused, counts = rank(*screened, known, RankOptions(top=3))
    matches = ranked["known_match"].to_pylist()
    assert matches.count("mp-1") == 1
    assert counts["kept"] == matches.count(None) == 3
    assert counts["refused"]["known phase"] == 1
    assert counts["screened"] == counts["kept"] + sum(counts["refused"].values())
    assert all(r["reason"] == "duplicate" for r in refused)


def test_formation_energy_ranks_as_the_paper_does(screened: Shards) -> None:
    ranked, _, _ = rank(*screened, Library(), RankOptions(rank_by="formation_energy", top=4))
    energies = ranked["formation_energy_per_atom"].to_pylist()
    assert energies == sorted(energies)
    with pytest.raises(InputError, match=r"screen\.rank_by"):
        RankOptions(rank_by="energy")
    with pytest.raises(InputError, match=r"screen\.per_formula: 0 must be at least 1"):
        RankOptions(per_formula=0)


def test_rows_hold_the_volume_that_the_energy_is_for(screened: Shards) -> None:
    ranked, _, _ = rank(*screened, Library(), RankOptions(top=3))
    assert ranked["volume_scale"].to_pylist() == [1.1] * 3


def test_shards_and_blocks_do_not_matter(screened: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rank(*screened, Library(), RankOptions(top=5))
    one = [
        in_shards(pa.concat_tables([tables.read(p, schema) for p in paths]), schema, tmp_path / name, 1)
        for name, schema, paths in (
            ("screened-one", tables.SCREENED, screened[0]),
            ("candidates-one", tables.CANDIDATES, screened[1]),
        )
    ]
    assert rank(*one, screened[2], Library(), RankOptions(top=5)) == whole
    monkeypatch.setattr("cgwgan_core.screening.ranking.BLOCK", (1, 3))
    assert rank(*screened, Library(), RankOptions(top=5)) == whole


def test_shards_that_do_not_belong_together_are_told(screened: Shards) -> None:
    energies, candidates, templates = screened
    with pytest.raises(InputError, match="shards of different length"):
        rank(energies, candidates[:3], templates, Library(), RankOptions())
    mixed = tables.read(candidates[1], tables.CANDIDATES)
    tables.write(candidates[1], mixed.take(list(range(mixed.num_rows))[::-1]), tables.CANDIDATES, Provenance())
    with pytest.raises(InputError, match=r"not the candidate of the same row of .*1\.parquet"):
        rank(energies, candidates, templates, Library(), RankOptions())


def test_no_formula_and_no_template_floods_the_list(screened: Shards) -> None:
    for options, key, reason in (
        (RankOptions(per_formula=1), "formula", "formula has its share"),
        (RankOptions(per_template=2), "template_id", "template has its share"),
    ):
        ranked, _, counts = rank(*screened, Library(), options)
        names = [{"t2": "t1"}.get(name, name) for name in ranked[key].to_pylist()]
        assert max(names.count(name) for name in names) == (options.per_formula or options.per_template)
        assert counts["refused"][reason] > 0
        assert counts["screened"] == 18 == counts["kept"] + sum(counts["refused"].values())
    # the best of each formula are those that are kept
    everything, _, _ = rank(*screened, Library(), RankOptions())
    best: dict[str, str] = {}
    for row in everything.to_pylist():
        best.setdefault(row["formula"], row["candidate_id"])
    ranked, _, _ = rank(*screened, Library(), RankOptions(per_formula=1))
    assert sorted(ranked["candidate_id"].to_pylist()) == sorted(best.values())


def test_limits_hide_no_known_phase(screened: Shards) -> None:
    known = Library()
    known.add("mp-1", perovskite(4.1))
    without, _, _ = rank(*screened, known, RankOptions())
    limited, _, counts = rank(*screened, known, RankOptions(per_template=1))
    assert without["known_match"].to_pylist().count("mp-1") == limited["known_match"].to_pylist().count("mp-1") == 1
    assert counts["screened"] == counts["kept"] + sum(counts["refused"].values())


def test_what_a_cascade_promoted_keeps_its_rank_and_reason(screened: Shards, tmp_path: Path) -> None:
    """The judge turns the order of the screening potential round."""
    energies, candidates, templates = screened
    promoted, counts = promote(energies, candidates, CascadeOptions(share=0.5, margin=0.0), "energy_above_hull", 1)
    assert set(promoted["promoted_as"].to_pylist()) == {BEST, SAMPLE}
    before = {row["candidate_id"]: row for row in promoted.to_pylist()}
    n = promoted.num_rows
    columns = {
        **{name: promoted[name] for name in ("candidate_id", "formula")},
        "volume_scale": [1.2] * n,
        **{name: np.arange(n, 0, -1.0) for name in tables.SCREENED.names if name.startswith(("energy", "formation"))},
        "status": ["ok"] * n,
    }
    evaluated = tables.to_table(columns, tables.SCREENED)
    parts = [
        in_shards(evaluated, tables.SCREENED, tmp_path / "evaluated", 3),
        in_shards(promoted, tables.PROMOTED, tmp_path / "promoted", 3),
    ]
    ranked, _, result = rank(*parts, templates, Library(), RankOptions(top=100), tables.PROMOTED)
    assert result["screened"] == n == counts["kept"]
    rows = ranked.to_pylist()
    screening = [row["screening_rank"] for row in rows]
    assert screening == sorted(screening, reverse=True)
    for row in rows:
        for name in ("screening_rank", "screening_energy_above_hull", "promoted_as"):
            assert row[name] == before[row["candidate_id"]][name]
        assert row["volume_scale"] == 1.2
    # without a cascade there is nothing to say
    alone, _, _ = rank(*screened, Library(), RankOptions(top=3))
    assert alone["screening_rank"].null_count == alone["promoted_as"].null_count == 3
