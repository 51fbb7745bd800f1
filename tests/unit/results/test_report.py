"""The report: its numbers are the tables' numbers, it needs nothing else, and equal files make equal bytes."""

import base64
import gzip
import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from cgwgan_core.dft.crystals import CrystalOptions, choose
from cgwgan_core.generator.quality import METRICS
from cgwgan_core.relaxation.known_crystals import KNOWN_CRYSTALS
from cgwgan_core.results.costs import RuleFiles
from cgwgan_core.results.funnel import RunFiles, collect
from cgwgan_core.results.packs import fine
from cgwgan_core.results.report import render
from cgwgan_core.results.report_tables import SETS
from cgwgan_core.results.selection_error import selection_error
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.config import problems
from cgwgan_core.workflow.provenance import Provenance
from scripts.report import main

ROOT = Path(__file__).parents[3]
VOID = {"meta", "br", "link", "path", "rect"}
RULES = [
    RuleFiles("screen", ["templates.parquet"], ["screened/{shard}.parquet"]),
    RuleFiles("report", ["screened/{shard}.parquet"], ["report.html"]),
]


class Page(HTMLParser):
    """Text of every table, all identifiers and references, and whether the tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.sections: dict[str, str] = {}
        self.ids: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.cards: list[str] = []
        self.packs: dict[str, str] = {}
        self._pack = ""
        self._table: list[list[str]] | None = None
        self._section = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.append(values["id"])
        for name in ("href", "xlink:href", "src", "style", "clip-path", "action"):
            self.references += [values[name]] if name in values else []
        if tag == "section":
            self._section = values["id"]
        if tag == "table":
            self._table = self.tables.setdefault(values.get("aria-label", f"table {len(self.tables)}"), [])
        if tag == "tr" and self._table is not None:
            self._table.append([])
        if tag in ("td", "th") and self._table:
            self._table[-1].append("")
        if tag == "article":
            self.cards.append("")
        if tag == "script":
            self._pack = values.get("id", "").removeprefix("pack-")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.pop() == tag
        if tag == "table":
            self._table = None

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.packs[self._pack] = self.packs.get(self._pack, "") + data
            return
        if "article" in self.open:
            self.cards[-1] += data
        self.sections[self._section] = self.sections.get(self._section, "") + data
        if self._table and {"td", "th"} & set(self.open):
            self._table[-1][-1] += data

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a table by its heads."""
        heads, *rows = self.tables[name]
        assert len(heads) == len(set(heads))
        return [dict(zip(heads, cells, strict=True)) for cells in rows]

    def unpacked(self, name: str) -> Any:
        """What a pack holds."""
        return json.loads(gzip.decompress(base64.b64decode(self.packs[name])))

    def crystals(self) -> dict[str, dict[str, Any]]:
        """The table of all crystals, by candidate_id."""
        content = self.unpacked("table")
        keys = [column["key"] for column in content["columns"]]
        rows = [dict(zip(keys, row, strict=True)) for row in content["rows"]]
        return {row["candidate_id"]: row for row in rows}


def text_of(html: str) -> str:
    """What a reader sees."""
    seen = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", "", seen)).split())


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config.yaml").read_text()) | {"chemistry": ["Ba", "Ru", "O"]}


def drawn(files: RunFiles, config: dict[str, Any]) -> str:
    return render(files, collect(files), config, Path(files.stable).parent, RULES)


@pytest.fixture(scope="module")
def rendered(write_run, config, tmp_path_factory) -> Callable[..., tuple[str, RunFiles]]:
    """Report and files of a run that no test changes; each run is made once."""

    @cache
    def make(stable: int = 2, chosen: int = 5, alone: bool = False, dft: int = 0) -> tuple[str, RunFiles]:
        files = RunFiles(**write_run(tmp_path_factory.mktemp("run"), stable, chosen, alone=alone, dft=dft))
        return drawn(files, config), files

    return make


def test_the_table_is_that_of_the_run(rendered):
    html, files = rendered(stable=3, chosen=5)
    rows = Page(html).crystals()
    assert set(rows) == set(pq.read_table(files.compared)["candidate_id"].to_pylist())
    stable = pq.read_table(files.stable).to_pylist()
    assert {name for name, row in rows.items() if row["fate"] == "survivor"} == {row["candidate_id"] for row in stable}
    for row in stable:
        shown = rows[row["candidate_id"]]
        for key in set(shown) & set(row):
            value = {True: "yes", False: "no"}[row[key]] if isinstance(row[key], bool) else row[key]
            assert shown[key] == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value), key
    assert all(row["reason"] for row in rows.values())


def test_every_phonon_row_is_there_with_its_reason(rendered):
    html, files = rendered(stable=1, chosen=5)
    shown = Page(html).crystals()
    for row in (r for path in files.phonons for r in pq.read_table(path).to_pylist()):
        cells = shown[row["candidate_id"]]
        assert cells["verdict"] == row["verdict"]
        if row["status"] == "ok":
            assert cells["reason"].startswith(f"{row['min_frequency']:.2f} THz at q = (0.5, 0, 0)".replace("-", "−"))
        else:
            assert (cells["fate"], cells["reason"]) == ("no verdict", row["status"])


def test_what_became_of_each_is_told(rendered):
    html, _ = rendered(stable=1, chosen=5)
    fates = [row["fate"] for row in Page(html).crystals().values()]
    assert sorted(set(fates)) == ["failed", "known", "no verdict", "not chosen", "repeat", "survivor", "unstable"]
    assert fates.index("survivor") == 0


def test_known_phases_that_were_not_met_are_told(rendered):
    text = text_of(rendered(stable=1, chosen=5)[0])
    assert re.search(
        r"Known phasesNone was found again\. Not met by any candidate: BaRuO₃ \S+ \(s\d+\); .*; and \d+ more\.", text
    )


def test_each_survivor_has_a_card_with_all_judges(rendered):
    html, files = rendered(stable=3, chosen=5)
    page, rows = Page(html), {row["candidate_id"]: row for row in pq.read_table(files.stable).to_pylist()}
    assert len(page.cards) == 3
    for words in page.cards:
        (row,) = (row for name, row in rows.items() if name in words)
        for value in (
            f"{row['energy_above_hull']:+.3f}",
            f"{row['second_energy_above_hull']:+.3f}",
            "bulk 150 GPa, shear 70 GPa",
        ):
            assert value in words
        assert words.count(row["agreement"]) == 1  # no agreed one is borderline
        assert (row["dispute"] or "") in words
        assert "phonopy.yaml" in words
        assert "→" in words
    assert ["disputed" in words for words in page.cards] == [False, False, True]


def test_cards_come_with_their_figures_and_files(rendered):
    html, files = rendered(stable=3, chosen=5)
    page, rows = Page(html), {row["candidate_id"]: row for row in pq.read_table(files.stable).to_pylist()}
    assert page.unpacked("index") == dict.fromkeys(rows, 0)
    for name, crystal in page.unpacked("crystals-0").items():
        assert {"cell", "bands", "pattern"} <= set(crystal["figures"])
        bands = fine(crystal["figures"]["bands"])["data"][0]
        assert min(y for y in bands["y"] if y is not None) == pytest.approx(rows[name]["min_frequency"], abs=0.01)
        assert crystal["cif"] == next(Path(files.cifs).glob(f"*_{name}.cif")).read_text()
        assert crystal["file"].startswith(f"{rows[name]['formula']}_{rows[name]['spacegroup']}_")


def test_all_figures_of_a_run_are_there(rendered):
    html, _ = rendered(stable=3, chosen=5)
    page = Page(html)
    wanted = set(re.findall(r'data-figure="(\w+)" role="img" aria-label="[^"]*"></div><figcaption>', html))
    assert wanted == set(page.unpacked("figures"))
    assert {
        "hull",
        "map",
        "funnel",
        "energies",
        "relaxing",
        "formation",
        "known",
        "judges",
        "cascade",
        "latent",
    } < wanted
    assert "DFT against the potential: DFT is no part of this run." in text_of(html)


def test_both_judges_are_told(rendered):
    html, files = rendered(stable=3, chosen=5)
    rows = Page(html).crystals()
    for path in files.second_phonons:
        for again in pq.read_table(path).to_pylist():
            row = rows[again["candidate_id"]]
            assert row["second_min_frequency"] == pytest.approx(again["min_frequency"])
            assert row["second_energy_above_hull"] == pytest.approx(again["energy_above_hull"], abs=1e-6)
    assert "FoundBoth judges call 2 of the 4 crystals with phonons stable" in text_of(html)
    assert "CHGNet-test agrees on 2, disputes 1." in text_of(html)


def test_the_next_step_is_a_setting_that_sees_just_what_is_recommended(run_files, config):
    files = RunFiles(**run_files(stable=3, chosen=5))
    rows = pq.read_table(files.stable).to_pylist()
    near = [row for row in rows if row["agreement"] == "agreed stable"]
    for row in near:
        row |= {"energy_above_hull": 0.01, "second_energy_above_hull": -0.01, "energy_above_hull_uncorrected": 0.06}
    tables.write(files.stable, rows, tables.STABLE, Provenance())
    html = drawn(files, config | {"dft": config["dft"] | {"max_atoms": 1}})
    assert "2 of them lie higher than that" in html
    setting = yaml.safe_load(re.search(r"these 2: .*?<code>(.*?)</code>", html)[1])["dft"]
    assert problems(config | {"dft": config["dft"] | setting}, ROOT / "schemas/config.schema.yaml") == []
    options = CrystalOptions(**{name: value for name, value in setting.items() if name != "engine"})
    seen = [row for row in choose(rows, [], [], config["chemistry"], options) if row["kind"] == "candidate"]
    assert {row["crystal_id"] for row in seen if row["status"] == "ok"} == {row["candidate_id"] for row in near}
    near[0]["energy_above_hull"] = near[1]["second_energy_above_hull"] = 0.3
    tables.write(files.stable, rows, tables.STABLE, Provenance())
    assert "No crystal that every judge calls stable lies at most 0.05 eV/atom above" in drawn(files, config)


def test_the_potentials_are_told_by_their_roles(rendered):
    html, _ = rendered()
    section = Page(html).sections["trust"]
    for role, name in (
        ("Judge", "SevenNet-test"),
        ("Screening potential", "M3GNet-test"),
        ("Second judge", "CHGNet-test"),
    ):
        assert f"{role}: {name}" in section
        assert len(Page(html).rows(f"{role}: crystals")) == len(KNOWN_CRYSTALS)


def test_the_cascade_is_told_by_its_numbers(rendered):
    html, files = rendered()
    text = " ".join(Page(html).sections["trust"].split())
    error = selection_error(files.promoted, files.evaluated)
    low, median, high = (f"{x:.3f}" for x in error.quantiles(best=True))
    assert f"selected candidates {median} eV/atom higher in the median ({low} to {high}, tenth to" in text
    assert f"random ones {error.quantiles(best=False)[1]:.3f}" in text
    assert f"changes by {error.slope:.3f} eV/atom".replace("-", "−") in text
    highest = max(pq.read_table(files.ranked)["energy_above_hull"].to_pylist())
    missed, drawn = error.missed(highest)
    assert drawn == 19  # the last of the 20 has no energy by the judge
    assert f"Of {drawn} random candidates that the cascade would not have sent on, the judge places {missed}" in text
    assert "selected its own errors" not in text
    names = [trace["name"] for trace in Page(html).unpacked("figures")["cascade"]["data"]]
    assert names == ["selected, 48", "random, 19"]


def test_a_potential_that_selects_its_own_errors_is_told(run_files, config):
    files = RunFiles(**run_files())
    best = {
        row["candidate_id"]
        for path in files.promoted
        for row in pq.read_table(path).to_pylist()
        if row["promoted_as"] == "best"
    }
    for path in files.evaluated:
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            row["energy_above_hull"] = row["energy_above_hull"] and row["energy_above_hull"] + 0.3 * (
                row["candidate_id"] in best
            )
        tables.write(path, rows, tables.SCREENED, Provenance())
    html = drawn(files, config)
    assert "has selected its own errors in this chemistry" in Page(html).sections["trust"]


def test_a_run_of_one_potential_says_so(rendered):
    html, _ = rendered(stable=3, chosen=5, alone=True)
    page = Page(html)
    assert "FoundSevenNet-test, the only judge, calls 2 of the 4 crystals with phonons stable" in text_of(html)
    assert not {"agreement", "second_min_frequency"} & set(next(iter(page.crystals().values())))
    assert all("one judge only" in words for words in page.cards)
    assert not {"judges", "frequencies", "cascade"} & set(page.unpacked("figures"))
    assert "Both judges' distances to the hull: no second judge was asked." in text_of(html)
    assert "screening potential" not in page.sections["trust"].lower()
    assert "Judge: SevenNet-test" in page.sections["trust"]
    assert "Second judge" not in page.sections["trust"]
    assert page.open == []


def test_dft_has_a_section_where_it_is_part_of_the_run(rendered):
    html, files = rendered(stable=4, chosen=5, dft=3)
    page = Page(html)
    shown = page.rows("Candidates by DFT")
    seen = {row["crystal_id"]: row for row in pq.read_table(files.dft[0]).to_pylist() if row["rank"] in (1, 2, 3)}
    assert {cells["candidate"] for cells in shown} == set(seen)
    groups = {row["candidate_id"]: row["spacegroup"] for row in pq.read_table(files.stable).to_pylist()}
    for cells in shown:
        assert cells["space group"].endswith(f"({groups[cells['candidate']]})")
        assert cells["above the hull (eV/atom)"] == f"{seen[cells['candidate']]['energy_above_hull']:.3f}".replace(
            "-", "−"
        )
    assert [cells["candidate"] for cells in page.rows("Whom DFT should see next")] == sorted(groups.keys() - seen)
    assert "with a distance to the hull by DFT" in page.unpacked("figures")["funnel"]["data"][0]["y"]
    assert "seen by DFT" in page.cards[-1]  # it is unstable by DFT, so it comes last
    assert len(page.unpacked("figures")["dft"]["data"]) >= 2
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert re.search(r"dft_next 0", page.sections["provenance"])
    assert "dft" not in Page(rendered(stable=3, chosen=5)[0]).sections


def test_intervals_are_held_against_dft(run_files, config):
    files = RunFiles(**run_files(stable=4, chosen=5, dft=3))
    rows = pq.read_table(files.stable).to_pylist()
    placed = {row["crystal_id"]: row["energy_above_hull"] for row in pq.read_table(files.dft[0]).to_pylist()}
    for row in rows:
        row |= {"hull_low": 1.0, "hull_high": 3.0, "probability_near_hull": 0.1}
    tables.write(files.stable, rows, tables.STABLE, Provenance())
    within = [1.0 <= placed[row["candidate_id"]] <= 3.0 for row in rows if placed[row["candidate_id"]] is not None]
    html = drawn(files, config)
    assert f"it holds {sum(within)} of the {len(within)} that DFT places" in text_of(html)
    assert "+1.000 to +3.000 eV/atom (90 %); at most 0.05 above the hull: 10 %, by" in text_of(html)


def test_refusals_are_those_of_the_funnel(rendered):
    html, files = rendered()
    shown = [
        (cells[0], cells[1], int(cells[2].replace(",", "")))
        for cells in Page(html).tables["Refusals by stage and reason"][1:]
    ]
    assert shown == [(s.key, why, n) for s in collect(files).stages for why, n in s.refused.items()]


def test_yields_are_those_of_the_counts(rendered):
    html, _ = rendered()
    text = " ".join(Page(html).sections["way"].split())
    # 60 kept of 1,204 draws, 30 repeats: 90 valid; every ninth template is in training
    assert f"{100 * 90 / 1204:.1f} % are valid" in text
    assert f"{100 * 60 / 90:.1f} % repeat no earlier one" in text
    assert f"{100 * 53 / 60:.1f} % are not in training" in text


def test_quality_is_that_of_its_file(rendered):
    html, files = rendered()
    found = json.loads(Path(files.quality).read_text())["figures"]
    heads, *rows = Page(html).tables["Quality of the generator"]
    assert heads == ["figure", *SETS.values(), "meaning"]
    assert len(rows) == len(METRICS)
    for cells, (key, metric) in zip(rows, METRICS.items(), strict=True):
        assert cells[0] == metric.name
        for cell, name in zip(cells[1:-1], SETS, strict=True):
            mean, half = found[name][key]
            assert cell == f"{mean:.{metric.digits}f} ± {half:.{metric.digits}f}"

    heads, *rows = Page(html).tables["By number of sites"]
    assert heads[0] == "sites"
    assert [row[0] for row in rows] == ["3", "4"]
    mean, half = found["generator"]["valid_4"]
    assert rows[1][heads.index("valid, generated")] == f"{mean:.3f} ± {half:.3f}"


@pytest.mark.parametrize(("stable", "chosen"), [(2, 5), (0, 4), (0, 0)])
def test_the_page_stands_alone(rendered, stable, chosen):
    html, _ = rendered(stable=stable, chosen=chosen)
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for reference in page.references:
        for target in re.findall(r"url\(([^)]*)\)", reference) or ([reference] if reference.startswith("#") else []):
            assert target.removeprefix("#") in page.ids
    assert not re.search(r"<(link|img|iframe|object)\b|<script[^>]*src|<style[^>]*src", html)


def test_the_page_carries_the_bundles_of_the_packages(rendered):
    page = Page(rendered()[0])
    for name, start in (("plotly", b"plotly.js v"), ("datatables", b"ITable"), ("datatables-css", b"table.dataTable")):
        assert start in gzip.decompress(base64.b64decode(page.packs[name]))


def test_survivors_beyond_the_best_are_packed_whole(run_files, config, monkeypatch):
    monkeypatch.setattr("cgwgan_core.results.report.BEST", 2)
    files = RunFiles(**run_files(stable=4, chosen=5))
    page = Page(drawn(files, config))
    assert len(page.cards) == 2
    packs = [page.unpacked(name) for name in ("crystals-0", "crystals-1")]
    assert [list(pack) for pack in packs] == [[n for n, i in page.unpacked("index").items() if i == k] for k in (0, 1)]
    for name, crystal in packs[1].items():
        assert name in crystal["html"]
        assert crystal["html"].count("plot") == 3
        assert Page(crystal["html"]).open == []


def test_what_it_cost_is_that_of_the_benchmarks(run_files, config, tmp_path):
    files = RunFiles(**run_files())
    folder = tmp_path / "results/benchmarks/screen"
    folder.mkdir(parents=True)
    for i, seconds in enumerate((60, 120)):
        (folder / f"{i}.tsv").write_text(f"s\tmax_rss\n{seconds}\t{100 + i}\n")
    (folder.parent / "report.tsv").write_text("s\tmax_rss\n1\t1\n")  # of the page itself: known only afterwards
    page = Page(drawn(files, config))
    disk = sum(Path(path).stat().st_size for path in files.screened) / 2**20
    (row,) = page.rows("What every rule cost")
    assert list(row.values()) == ["screen", "2", "3.0", "2.0", "101", f"{disk:.1f}"]
    assert "2 jobs took 3 minutes in all, at most 101 MiB of memory" in page.sections["cost"]


def test_equal_files_make_equal_bytes_wherever_they_lie(run_files, config, tmp_path):
    files = run_files()
    moved = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "results", moved)
    old, new = str(tmp_path / "results"), str(moved)
    copied = {
        name: value.replace(old, new) if isinstance(value, str) else [path.replace(old, new) for path in value]
        for name, value in files.items()
    }
    outputs = []
    for folder, some in ((tmp_path / "results", files), (moved, copied)):
        names = [str(folder / f"report.{ending}") for ending in ("html", "json", "svg")]
        main(RunFiles(**some), config, [("report", [], [])], *names, made_from=Provenance("abc", {}))
        outputs.append([Path(name).read_bytes() for name in names])
    assert outputs[0] == outputs[1]
    assert str(tmp_path).encode() not in b"".join(outputs[0])


def test_no_survivor_is_told_plainly(rendered):
    html, _ = rendered(stable=0, chosen=4)
    text = text_of(html)
    assert "None of the 3 crystals with phonons is stable or borderline by SevenNet-test" in text
    assert "whose lowest frequency is −2.00 THz" in text
    page = Page(html)
    assert len(page.cards) == 3  # of the nearest to stability
    assert "−2.00" in page.cards[0]
    assert "phonopy.yaml" not in "".join(page.cards)


def test_no_phonons_at_all_is_told_plainly(rendered):
    html, _ = rendered(stable=0, chosen=0)
    assert "No crystal of this run reached the phonon calculations" in html
    assert Page(html).cards == []
    assert "Search further" in html


def test_folders_of_the_machine_are_not_told(run_files, config):
    files = RunFiles(**run_files())
    config = {**config, "data": {**config["data"], "path": "/somewhere/of/mine/dump.parquet"}}
    html = drawn(files, config)
    assert "path: dump.parquet" in html
    assert "/somewhere" not in html


def test_what_turns_out_known_is_left_out_and_told(run_files, config):
    files = RunFiles(**run_files(stable=3, chosen=5, repeats=1))
    html = drawn(files, config)
    (refused,) = tables.read(files.stable_refused, tables.STABLE_REFUSED).to_pylist()
    page = Page(html)
    assert len(page.cards) == 2
    row = page.crystals()[refused["candidate_id"]]
    assert row["fate"] == "known"
    assert row["reason"].endswith("known already: mp-42")
    assert "By SevenNet-test, 2 are stable or borderline" in html
    assert "and 1 more repeat one of them or a known phase" in html


def test_nothing_new_among_the_stable_is_told_plainly(run_files, config):
    files = RunFiles(**run_files(stable=1, chosen=3, repeats=1))
    html = drawn(files, config)
    assert "but none is new" in html
    assert "survivor" not in {row["fate"] for row in Page(html).crystals().values()}


def test_children_are_told_with_their_parents(run_files, config):
    files = RunFiles(**run_files(stable=1, chosen=5, children=True))
    page = Page(drawn(files, config))
    shown = page.crystals()
    rows = [row for path in files.phonons for row in pq.read_table(path).to_pylist() if row["parent_id"]]
    assert len(rows) == 4
    for row in rows:
        cells = shown[row["candidate_id"]]
        assert (cells["parent_id"], cells["verdict"]) == (row["parent_id"], row["verdict"])
        if row["verdict"] is None:
            assert cells["reason"] == "refused: comes back to its parent"
        else:
            assert cells["reason"].endswith(f"; 10.0 meV/atom below {row['parent_id']}")
    (born,) = (row for row in rows if shown[row["candidate_id"]]["fate"] == "survivor")
    assert f"an imaginary mode of {born['parent_id']}, 10.0 meV/atom below it" in "".join(page.cards)


def test_text_from_files_is_escaped(run_files, config):
    files = RunFiles(**run_files(stable=0, chosen=2, alone=True))
    rows = pq.read_table(files.phonons[0]).to_pylist()
    rows[0] |= {"verdict": None, "status": "failed: <script>alert(1)</script> & more"}
    tables.write(files.phonons[0], rows, tables.PHONONS, Provenance())
    page = Page(drawn(files, config))
    assert page.open == []
    assert "failed: <script>alert(1)</script> & more" in {row["reason"] for row in page.crystals().values()}
    assert "alert(1)" not in "".join(page.sections.values())


def test_a_training_that_logged_nothing_and_an_empty_held_out_set_are_fine(run_files, config):
    files = RunFiles(**run_files())
    Path(files.training_curve).write_text("step,critic_loss,wasserstein,gradient_penalty\n")
    quality = json.loads(Path(files.quality).read_text())
    del quality["figures"]["held-out"]
    Path(files.quality).write_text(json.dumps(quality | {"latent": {"real": [], "generated": []}}))
    page = Page(drawn(files, config))
    assert "held-out" not in page.tables["Quality of the generator"][0]
    assert "The critic's latent space: this generator has no critic, or drew too little." in page.sections["trust"]


def test_provenance_names_config_versions_and_digests(rendered, config):
    html, _ = rendered()
    text = Page(html).sections["provenance"]
    assert f"Seed {config['seed']}." in text
    assert yaml.safe_load(re.search(r"<pre>(.*?)</pre>", html, re.DOTALL)[1]) == config
    assert re.search(r"phonopy\s*\d+\.\d+", text)
    assert "generator fedcba9876543210" in text
