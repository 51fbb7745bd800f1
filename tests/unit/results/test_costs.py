"""What a run cost, and the picture of its rules."""

from pathlib import Path

import pytest
import yaml

from cgwgan_core.results.costs import BOX, RuleFiles, benchmarks, costs, graph_of, picture
from cgwgan_core.workflow.reference import find_rules

ROOT = Path(__file__).parents[3]
RULES = [
    RuleFiles("read", [], ["data.parquet"]),
    RuleFiles("check", [], ["{role}.json"]),
    RuleFiles("draw", ["data.parquet", "judge.json"], ["drawn/{shard}.parquet", "drawn.json"]),
    RuleFiles("report", ["drawn/{shard}.parquet", "drawn.json", "data.parquet", "judge.json"], ["report.html"]),
    RuleFiles("later", ["report.html"], ["showcase"]),
]


@pytest.fixture
def results(tmp_path):
    for name, rows in {
        "read.tsv": ["30\t500"],
        "draw/0.tsv": ["60\t-"],
        "draw/1.tsv": ["120\t700"],
        "later.tsv": ["5\t5"],
        "report.tsv": ["5\t5"],
    }.items():
        path = tmp_path / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["s\tmax_rss", *rows]) + "\n")
    (tmp_path / "drawn").mkdir()
    for name, mib in {
        "data.parquet": 2,
        "drawn/0.parquet": 1,
        "drawn/1.parquet": 1,
        "drawn.json": 0,
        "judge.json": 3,
    }.items():
        (tmp_path / name).write_bytes(bytes(mib * 2**20))
    return tmp_path


def test_rules_that_ran_before_the_report_are_summed_up(results):
    read, draw = costs(RULES, results)
    assert read == {
        "rule": "read",
        "jobs": 1,
        "minutes_in_all": 0.5,
        "longest_minutes": 0.5,
        "peak_memory_mib": 500,
        "disk_mib": 2.0,
    }
    assert draw == {
        "rule": "draw",
        "jobs": 2,
        "minutes_in_all": 3.0,
        "longest_minutes": 2.0,
        "peak_memory_mib": 700,
        "disk_mib": 2.0,
    }


def test_wildcards_take_no_file_that_a_rule_names(results):
    (results / "benchmarks/check.tsv").write_text("s\tmax_rss\n6\t1\n")
    assert {row["rule"]: row["disk_mib"] for row in costs(RULES, results)}["check"] == 3.0  # judge.json, not drawn.json


def test_without_benchmarks_there_is_no_cost(tmp_path):
    assert benchmarks(tmp_path / "none") == []
    assert costs(RULES, tmp_path) == []


def test_arrows_go_from_what_writes_to_what_reads():
    edges = set(graph_of(RULES).edges)
    assert edges == {("read", "draw"), ("check", "draw"), ("draw", "report"), ("read", "report"), ("check", "report")}


def test_the_picture_puts_each_rule_below_what_it_needs(results):
    drawn = picture(RULES, costs(RULES, results))
    height = {name.split()[0]: y for name, _, y in drawn.boxes}
    assert height["read"] < height["draw"] < height["report"]
    assert "draw  3.0 min" in {name for name, _, _ in drawn.boxes}
    assert len(drawn.lines) == 2  # read to report is implied
    assert all(y1 < y2 for _, y1, _, y2 in drawn.lines)


def test_the_whole_workflow_has_a_picture_without_overlaps():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    rules = [RuleFiles(rule.name, sorted(rule.inputs), rule.outputs) for rule in find_rules(ROOT, config)]
    drawn = picture(rules, [])
    assert {"read_database", "train", "screen", "phonons", "store", "report"} <= {name for name, _, _ in drawn.boxes}
    assert "showcase" not in {name for name, _, _ in drawn.boxes}
    for i, (_, x, y) in enumerate(drawn.boxes):
        assert all(abs(x - u) >= BOX[0] or abs(y - v) >= BOX[1] for _, u, v in drawn.boxes[:i])
        assert 0 <= x <= drawn.width - BOX[0]
        assert 0 <= y <= drawn.height - BOX[1]
