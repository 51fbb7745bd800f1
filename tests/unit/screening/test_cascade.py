"""The cascade: who goes on to the judge, and that nobody is lost on the way."""

import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgwgan_core.screening.cascade import BEST, SAMPLE, CascadeOptions, promote
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.provenance import Provenance
from scripts.promote import main

Shards = tuple[list[Path], list[Path]]
BY_HULL = "energy_above_hull"
HEIGHTS = [0.9, 0.15, 2.1, 0.4, 1.2, -0.05, 0.7, 3.0, 0.1, 1.6, 0.3, 2.5]


def write_shards(
    folder: Path, heights: Sequence[float | None], shards: int = 3, formation: Sequence[float] | None = None
) -> Shards:
    """Candidates and their energies in shards.

    :param heights: above the hull, eV/atom; ``None`` where there is no energy.
    :param formation: formation energies, eV/atom; the same without.
    """
    candidates, screened = [], []
    for i, height in enumerate(heights):
        name = {"candidate_id": f"t{i}-Ba-O", "formula": "BaO"}
        candidates.append(
            {
                **name,
                "template_id": f"t{i}",
                "elements": ["Ba", "O"],
                "charge_balanced": True,
                "n_atoms": 2,
                "volume_scale": 1.0,
            }
        )
        energies = {
            "energy_per_atom": height,
            "formation_energy_per_atom": height if formation is None else formation[i],
            "energy_above_hull": height,
        }
        status = "two atoms are 0.2 Å apart" if height is None else "ok"
        screened.append({**name, "volume_scale": 1 + i / 100, **energies, "status": status})
    paths: Shards = ([], [])
    for kind, rows, schema in ((0, screened, tables.SCREENED), (1, candidates, tables.CANDIDATES)):
        for i in range(shards):
            path = folder / ("screened", "candidates")[kind] / f"{i}.parquet"
            part = rows[len(rows) * i // shards : len(rows) * (i + 1) // shards]
            tables.write(path, part, schema, Provenance())
            paths[kind].append(path)
    return paths


def chosen(shards: Shards, options: CascadeOptions, rank_by: str = BY_HULL, seed: int = 1) -> list[tuple[int, str]]:
    """Number and reason of the promoted, in order."""
    table, _ = promote(*shards, options, rank_by, seed)
    names, reasons = table["candidate_id"].to_pylist(), table["promoted_as"].to_pylist()
    return [(int(name[1:].split("-")[0]), reason) for name, reason in zip(names, reasons, strict=True)]


def test_the_best_share_goes_on_best_first(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, HEIGHTS)
    table, counts = promote(*shards, CascadeOptions(share=0.3, margin=0.0, sample=0), BY_HULL, 1)
    # 3.6 of twelve are four
    assert table["candidate_id"].to_pylist() == ["t5-Ba-O", "t8-Ba-O", "t1-Ba-O", "t10-Ba-O"]
    assert table["screening_energy_above_hull"].to_pylist() == [-0.05, 0.1, 0.15, 0.3]
    assert table["screening_rank"].to_pylist() == [1, 2, 3, 4]
    assert set(table["promoted_as"].to_pylist()) == {BEST}
    assert counts == {"screened": 12, "kept": 4, "refused": {"no energy": 0, "behind the share": 8}}


def test_whatever_is_within_the_margin_goes_on(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, HEIGHTS)
    found = chosen(shards, CascadeOptions(share=0.01, margin=0.4, sample=0))
    assert found == [(5, BEST), (8, BEST), (1, BEST), (10, BEST), (3, BEST)]
    # by formation energy the last are the first, but the margin is one above the hull
    reverse = write_shards(tmp_path / "reverse", HEIGHTS, formation=[-height for height in HEIGHTS])
    found = chosen(reverse, CascadeOptions(share=0.1, margin=0.1, sample=0), "formation_energy")
    assert found == [(7, BEST), (11, BEST), (8, BEST), (5, BEST)]


def test_the_sample_is_drawn_from_all_others_by_the_seed(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, HEIGHTS)
    options = CascadeOptions(share=0.2, margin=0.0, sample=2)
    drawn = [chosen(shards, options, seed=seed) for seed in range(30)]
    for found in drawn:
        assert found[:3] == [(5, BEST), (8, BEST), (1, BEST)]
        assert [reason for _, reason in found[3:]] == [SAMPLE] * 2
    others = {number for found in drawn for number, _ in found[3:]}
    assert others == set(range(12)) - {5, 8, 1}
    assert chosen(shards, options, seed=7) == drawn[7]
    table, _ = promote(*shards, options, BY_HULL, 7)
    # the rank is that among all, not among the promoted
    ranks = [1 + sorted(HEIGHTS).index(height) for height in table["screening_energy_above_hull"].to_pylist()]
    assert table["screening_rank"].to_pylist() == ranks == sorted(ranks)
    everything = chosen(shards, CascadeOptions(share=0.2, margin=0.0, sample=100))
    assert [number for number, _ in everything] == sorted(range(12), key=lambda i: HEIGHTS[i])


def test_equal_energies_are_in_the_order_of_the_table_and_none_is_last(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, [None, 0.5, 0.5, None, 0.5, 0.5])
    found = chosen(shards, CascadeOptions(share=0.75, margin=0.0, sample=0))
    assert [number for number, _ in found] == [1, 2, 4]
    table, counts = promote(*shards, CascadeOptions(share=1.0), BY_HULL, 1)
    assert table["candidate_id"].to_pylist() == ["t1-Ba-O", "t2-Ba-O", "t4-Ba-O", "t5-Ba-O"]
    assert counts == {"screened": 6, "kept": 4, "refused": {"no energy": 2, "behind the share": 0}}


def test_an_energy_that_is_refused_does_not_count(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, [0.1, 0.2, 0.3], shards=1)
    rows = tables.read(shards[0][0], tables.SCREENED).to_pylist()
    rows[0]["status"] = "failed"
    tables.write(shards[0][0], rows, tables.SCREENED, Provenance())
    assert chosen(shards, CascadeOptions(share=1.0)) == [(1, BEST), (2, BEST)]


@pytest.mark.parametrize("heights", [[None, None], []])
def test_without_energies_nobody_goes_on(tmp_path: Path, heights: list[None]) -> None:
    table, counts = promote(*write_shards(tmp_path, heights), CascadeOptions(), BY_HULL, 1)
    assert (table.num_rows, table.schema.names) == (0, tables.PROMOTED.names)
    assert counts["screened"] == counts["refused"]["no energy"] == len(heights)


def test_rows_hold_the_volume_that_was_screened(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, HEIGHTS)
    table, _ = promote(*shards, CascadeOptions(share=0.5, sample=3), BY_HULL, 1)
    for row in table.to_pylist():
        number = int(row["template_id"][1:])
        assert row["volume_scale"] == 1 + number / 100
        assert row["screening_energy_above_hull"] == HEIGHTS[number]
        assert (row["elements"], row["n_atoms"]) == (["Ba", "O"], 2)


def test_shards_do_not_matter(tmp_path: Path) -> None:
    options = CascadeOptions(share=0.25, margin=0.2, sample=4)
    found = [promote(*write_shards(tmp_path / str(n), HEIGHTS, n), options, BY_HULL, 5) for n in (1, 3, 12, 15)]
    assert all(part == found[0] for part in found)


def test_shards_that_do_not_belong_together_are_told(tmp_path: Path) -> None:
    screened, candidates = write_shards(tmp_path, HEIGHTS)
    for some in (candidates[:2], [candidates[0], candidates[2], write_shards(tmp_path / "b", HEIGHTS, 4)[1][0]]):
        with pytest.raises(InputError, match="shards of different length"):
            promote(screened, some, CascadeOptions(), BY_HULL, 1)
    swapped = [candidates[1], candidates[0], candidates[2]]
    with pytest.raises(InputError, match=r"screened/0\.parquet: holds other candidates than .*1\.parquet"):
        promote(screened, swapped, CascadeOptions(), BY_HULL, 1)


@given(
    heights=st.lists(st.none() | st.sampled_from([-0.1, 0.0, 0.1, 0.2]) | st.floats(-1, 5), max_size=30),
    share=st.floats(0.01, 1),
    margin=st.floats(0, 2),
    sample=st.integers(0, 10),
    shards=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_whoever_enters_is_promoted_once_or_counted(
    heights: list[float | None], share: float, margin: float, sample: int, shards: int, seed: int
) -> None:
    options = CascadeOptions(share=share, margin=margin, sample=sample)
    with tempfile.TemporaryDirectory() as folder:
        table, counts = promote(*write_shards(Path(folder), heights, shards), options, BY_HULL, seed)
    assert counts["screened"] == len(heights) == counts["kept"] + sum(counts["refused"].values())
    assert counts["kept"] == table.num_rows == len(set(table["candidate_id"].to_pylist()))
    known = sorted(height for height in heights if height is not None)
    assert counts["refused"]["no energy"] == len(heights) - len(known)
    found = table.to_pylist()
    best = [row["screening_energy_above_hull"] for row in found if row["promoted_as"] == BEST]
    drawn = [row for row in found if row["promoted_as"] == SAMPLE]
    most = max(math.ceil(share * len(known)), sum(height <= margin for height in known))
    assert best == known[:most]
    assert len(drawn) == min(sample, len(known) - most)
    ranks = [row["screening_rank"] for row in found]
    assert ranks == sorted(set(ranks))
    assert [row["screening_energy_above_hull"] for row in found] == [known[rank - 1] for rank in ranks]


def test_the_script_deals_the_promoted_out_to_shards(tmp_path: Path) -> None:
    screened, candidates = write_shards(tmp_path, HEIGHTS)
    options = CascadeOptions(share=0.4, margin=0.0, sample=2)
    dealt = [tmp_path / "promoted" / f"{i}.parquet" for i in range(3)]
    main(
        screened=[str(path) for path in screened],
        candidates=[str(path) for path in candidates],
        promoted=[str(path) for path in dealt],
        counts=str(tmp_path / "promoted.json"),
        options=options,
        rank_by=BY_HULL,
        seed=3,
        made_from=Provenance(),
    )
    table, counts = promote(screened, candidates, options, BY_HULL, 3)
    assert json.loads((tmp_path / "promoted.json").read_text()) == counts
    parts = [tables.read(path, tables.PROMOTED) for path in dealt]
    assert [part.num_rows for part in parts] == [3, 2, 2]
    together = pa.concat_tables(parts).sort_by("screening_rank")
    assert together.to_pylist() == table.to_pylist()
    # each shard has its part of the best
    assert [part["screening_rank"][0].as_py() for part in parts] == [1, 2, 3]


@pytest.mark.parametrize(("key", "value"), [("share", 0.0), ("share", 1.1), ("margin", -0.1), ("sample", -1)])
def test_options_are_checked(key: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"cascade\.{key}: {value}"):
        CascadeOptions(**{key: value})
