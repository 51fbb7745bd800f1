"""The tables of the report, by themselves."""

import json
from pathlib import Path

from cgwgan_core.generator.quality import METRICS
from cgwgan_core.relaxation.known_crystals import KNOWN_CRYSTALS
from cgwgan_core.results.report_tables import potential_facts, quality_table


def test_quality_that_is_undefined_is_shown_as_a_dash():
    found = {"generator": {key: [None, None] for key in METRICS} | {"valid": [0.5, None]}}
    rows = {row[0].text: row[1].text for row in quality_table(found).rows}
    assert rows[METRICS["valid"].name] == "0.500"
    assert rows[METRICS["frechet"].name] == "–"


def test_the_potential_is_told_with_its_known_crystals(run_files):
    path = run_files()["potential"]
    content = json.loads(Path(path).read_text())
    told = potential_facts(path)
    assert told["facts"]["digest"] == content["digest"]
    assert told["facts"]["versions"] == "matgl 4.1.2"
    ((name, table),) = told["tables"]
    assert name == "crystals"
    assert [row[0].text for row in table.rows] == [known.formula for known in KNOWN_CRYSTALS]
    assert {row[-1].text for row in table.rows} == {"yes"}
