"""The counts of a run: every number against the files it was counted from, and every lost row found out."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cgwgan_core.results.funnel import CountError, RunFiles, Stage, collect
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.provenance import Provenance


def rewrite(path: str, change) -> None:
    """Write a table again with changed rows."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    schema = table.schema.remove_metadata()
    tables.write(path, rows, schema, Provenance())


def test_every_stage_is_counted_from_its_files(run_files):
    funnel = collect(RunFiles(**run_files(stable=2, chosen=5)))
    found = {stage.key: (stage.count_in, stage.kept, stage.refused) for stage in funnel.stages}
    assert found == {
        "read": (527, 520, {"no structure": 7}),
        "asu": (520, 500, {"no symmetry found at symprec … Å": 20}),
        "training": (500, 300, {"not 3 or 4 sites": 150, "space group below 2": 50}),
        "templates": (
            1204, 60, {"short distance": 900, "atom count": 210, "duplicate": 30, "number density": 4},
        ),
        "candidates": (250, 240, {"charges do not balance": 10}),
        "screened": (240, 239, {"two atoms are … Å apart": 1}),
        "promoted": (239, 68, {"behind the share": 171}),
        "evaluated": (68, 67, {"failed": 1}),
        "ranked": (67, 11, {"below the shortlist": 52, "duplicate": 3, "known phase": 1}),
        "relaxed": (11, 10, {"not converged after … steps": 1}),
        "novel": (10, 8, {"known already": 1, "repeats a better candidate": 1}),
        "chosen": (8, 5, {"beyond the number asked for": 3}),
        "phonons": (5, 2, {"imaginary frequencies": 2, "… atoms in the supercell, more than max_atoms": 1}),
        "stable": (2, 2, {}),
    }  # fmt: skip


def test_a_run_of_one_potential_has_no_cascade(run_files):
    stages = collect(RunFiles(**run_files(alone=True))).stages
    keys = [stage.key for stage in stages]
    assert keys[keys.index("screened") + 1] == "ranked"
    assert {"promoted", "evaluated"}.isdisjoint(keys)
    (ranked,) = (stage for stage in stages if stage.key == "ranked")
    assert (ranked.count_in, ranked.kept) == (239, 11)
    assert collect(RunFiles(**run_files()))["ranked"].count_in == 67


def test_children_and_repeats_are_counted(run_files):
    funnel = collect(RunFiles(**run_files(stable=2, chosen=6, repeats=1, children=True)))
    found = {stage.key: (stage.count_in, stage.kept, stage.refused) for stage in funnel.stages[-3:]}
    assert found == {
        "phonons": (6, 2, {"imaginary frequencies": 3, "… atoms in the supercell, more than max_atoms": 1}),
        "followed": (4, 1, {"comes back to its parent": 2, "imaginary frequencies": 1}),
        "stable": (3, 2, {"known already": 1}),
    }


def test_what_dft_sees_are_the_survivors(run_files):
    funnel = collect(RunFiles(**run_files(stable=4, chosen=5, dft=3)))
    found = {stage.key: (stage.count_in, stage.kept, stage.refused) for stage in funnel.stages[-3:]}
    assert found == {
        "dft": (4, 3, {"beyond the best 3": 1}),
        "dft_near": (3, 1, {"higher above it": 2}),
        "dft_phonons": (1, 0, {"imaginary frequencies": 1}),
    }
    assert collect(RunFiles(**run_files(stable=4, chosen=5))).stages[-1].key == "stable"


@pytest.mark.parametrize(("stable", "chosen"), [(0, 4), (0, 0), (3, 3)])
def test_runs_that_keep_nothing_or_everything_add_up(run_files, stable, chosen):
    funnel = collect(RunFiles(**run_files(stable=stable, chosen=chosen)))
    assert funnel["stable"].kept == stable
    assert funnel["phonons"].count_in == chosen


def test_a_single_shard_may_be_a_plain_path(run_files):
    files = run_files()
    rows = [row for path in files["phonons"] for row in pq.read_table(path).to_pylist()]
    tables.write(files["phonons"][0], rows, tables.PHONONS, Provenance())
    whole = RunFiles(**{**files, "phonons": files["phonons"][0]})
    assert whole.phonons == (files["phonons"][0],)
    assert collect(whole)["stable"].kept == 2


@pytest.mark.parametrize(
    ("name", "change", "stage"),
    [
        ("structures", lambda rows: rows.pop(), "training|asu"),
        ("refused", lambda rows: rows.pop(), "training"),
        ("refused", lambda rows: rows[0].update(stage="elsewhere"), "refused"),
        ("templates", lambda rows: rows.pop(), "templates"),
        ("candidates", lambda rows: rows.pop(), "candidates"),
        ("screened", lambda rows: rows.append(rows[0]), "screened"),
        ("screened", lambda rows: rows[0].update(status="failed"), "promoted"),
        ("promoted", lambda rows: rows.pop(), "promoted"),
        ("evaluated", lambda rows: rows.pop(), "evaluated"),
        ("evaluated", lambda rows: rows[0].update(status="failed"), "ranked"),
        ("ranked", lambda rows: rows.pop(0), "ranked"),
        ("relaxed", lambda rows: rows.pop(), "relaxed"),
        ("compared", lambda rows: rows.pop(0), "novel"),
        ("compared", lambda rows: rows[0].update(phonon_rank=None), "phonons"),
        ("phonons", lambda rows: rows.pop(), "phonons"),
        ("phonons", lambda rows: rows[0].update(verdict="unstable"), "stable"),
        ("phonons", lambda rows: rows[-1].update(parent_id="a"), "phonons"),
        ("second_phonons", lambda rows: rows.pop(), "second_phonons"),
        ("stable", lambda rows: rows.pop(), "stable"),
        ("dft", lambda rows: rows.pop(0), "dft"),
        ("stable_refused", lambda rows: rows.append({"candidate_id": "a", "reason": "known already"}), "stable"),
    ],
)
def test_a_row_lost_or_counted_twice_is_an_error(run_files, name, change, stage):
    files = run_files(dft=2)
    path = files[name] if isinstance(files[name], str) else files[name][0]
    rewrite(path, change)
    with pytest.raises(CountError, match=rf"^({stage}): "):
        collect(RunFiles(**files))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("template_counts", "duplicate"), ("ranking_counts", "duplicate"), ("promotion_counts", "behind the share")],
)
def test_counts_that_do_not_add_up_are_an_error(run_files, name, reason):
    files = run_files()
    path = Path(files[name] if isinstance(files[name], str) else files[name][0])
    content = json.loads(path.read_text())
    content["refused"][reason] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(CountError, match="entered"):
        collect(RunFiles(**files))


def test_a_broken_file_is_named(run_files):
    files = run_files()
    Path(files["ranking_counts"]).write_text("{")
    with pytest.raises(InputError, match=r"ranking_counts\.json: not readable"):
        collect(RunFiles(**files))


def test_stage_check():
    Stage("x", "x", 3, 1, {"a": 1, "b": 1}).check()
    with pytest.raises(CountError, match="x: 3 entered; 1 kept \\+ 1 refused"):
        Stage("x", "x", 3, 1, {"a": 1}).check()


def test_json_holds_the_stages_and_is_the_same_twice(run_files, tmp_path):
    files = RunFiles(**run_files())
    funnel = collect(files)
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    for path in (first, second):
        funnel.write(path, files, Provenance("abc", {"x": "y"}))
    assert first.read_bytes() == second.read_bytes()
    content = json.loads(first.read_text())
    assert content["files"]["stable"] == "results/stable.parquet"
    assert content["files"]["candidates"] == ["results/candidates/0.parquet", "results/candidates/1.parquet"]
    assert [stage["kept"] for stage in content["stages"]] == [stage.kept for stage in funnel.stages]
    assert content["made_from"]["cgwgan.config"] == "abc"
