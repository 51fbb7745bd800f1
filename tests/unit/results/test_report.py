"""The report: its numbers are the tables' numbers, it needs nothing else, and equal files make equal bytes."""

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from cgwgan_core.generator.quality import METRICS
from cgwgan_core.relaxation.known_crystals import KNOWN_CRYSTALS
from cgwgan_core.results.funnel import RunFiles, collect
from cgwgan_core.results.report import render
from cgwgan_core.results.report_tables import SETS
from cgwgan_core.results.selection_error import selection_error
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance
from scripts.report import main

ROOT = Path(__file__).parents[3]
VOID = {"meta", "br", "link", "use", "path", "rect"}


class Page(HTMLParser):
    """Text of every table, all identifiers and references, and whether the tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.sections: dict[str, str] = {}
        self.ids: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
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
        self.sections[self._section] = self.sections.get(self._section, "") + data
        if self._table and {"td", "th"} & set(self.open):
            self._table[-1][-1] += data

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a table by its heads."""
        heads, *rows = self.tables[name]
        assert len(heads) == len(set(heads))
        return [dict(zip(heads, cells, strict=True)) for cells in rows]


SURVIVORS, VERDICTS = "Survivors", "Phonon verdicts"
ABOVE, LOWEST = "energy above hull (eV/atom)", "lowest frequency (THz)"
ABOVE_BY_SECOND, LOWEST_BY_SECOND = "above hull by the second (eV/atom)", "lowest by the second (THz)"


def text_of(html: str) -> str:
    """What a reader sees."""
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture(scope="module")
def rendered(write_run, config, tmp_path_factory) -> Callable[..., tuple[str, RunFiles]]:
    """Report and files of a run that no test changes; each run is made once."""

    @cache
    def make(stable: int = 2, chosen: int = 5, alone: bool = False, dft: int = 0) -> tuple[str, RunFiles]:
        files = RunFiles(**write_run(tmp_path_factory.mktemp("run"), stable, chosen, alone=alone, dft=dft))
        return render(files, collect(files), config), files

    return make


def test_survivors_are_those_of_the_table(rendered):
    html, files = rendered(stable=3, chosen=5)
    rows = sorted(pq.read_table(files.stable).to_pylist(), key=lambda row: row["energy_above_hull"])
    shown = Page(html).rows(SURVIVORS)
    assert len(shown) == len(rows) == 3
    for cells, row in zip(shown, rows, strict=True):
        assert cells["formula"] == row["formula"]
        assert cells["space group"].endswith(f"({row['spacegroup']})")
        assert cells[ABOVE] == f"{row['energy_above_hull']:.3f}"
        assert cells[LOWEST] == f"{row['min_frequency']:.2f}".replace("-", "−")
        assert cells["verdict"] == row["verdict"]
        names = ("elastically stable", "bulk modulus (GPa)", "shear modulus (GPa)")
        assert [cells[name] for name in names] == ["yes", "150", "70"]
        assert cells["volume (Å³/atom)"] == f"{row['volume_per_atom']:.2f}"
        assert cells["formation energy (eV/atom)"] == f"{row['formation_energy_per_atom']:.3f}".replace("-", "−")
        assert cells["nearest known phase (likeness)"] == "mp-7 (0.91)"
        assert cells["nearest survivor (likeness)"] == "–"
        assert cells["candidate"] == row["candidate_id"]
    assert {row["verdict"] for row in rows} == {"stable", "borderline"}
    assert "1 of them only borderline" in html


def test_every_phonon_row_is_shown_with_its_reason(rendered):
    html, files = rendered(stable=1, chosen=5)
    rows = {r["candidate_id"]: r for path in files.phonons for r in pq.read_table(path).to_pylist()}
    shown = Page(html).rows(VERDICTS)
    assert {cells["candidate"] for cells in shown} == set(rows)
    for cells in shown:
        row = rows[cells["candidate"]]
        assert cells["verdict"] == (row["verdict"] or "–")
        if row["status"] == "ok":
            assert cells["reason"].startswith(f"{row['min_frequency']:.2f} THz at q = (0.5, 0, 0)".replace("-", "−"))
        else:
            assert cells["reason"] == row["status"]


def test_a_crystal_has_one_energy_in_the_whole_page(rendered):
    page = Page(rendered(stable=3, chosen=5)[0])
    verdicts = {cells["candidate"]: cells[ABOVE] for cells in page.rows(VERDICTS)}
    for cells in page.rows(SURVIVORS):
        assert verdicts[cells["candidate"]] == cells[ABOVE]


def test_both_judges_are_shown_beside_each_other(rendered):
    html, files = rendered(stable=3, chosen=5)
    page = Page(html)
    rows = {row["candidate_id"]: row for row in pq.read_table(files.stable).to_pylist()}
    again = {r["candidate_id"]: r for path in files.second_phonons for r in pq.read_table(path).to_pylist()}
    shown = page.rows(SURVIVORS)
    assert sorted(cells["judges"] for cells in shown) == ["agreed stable", "agreed stable", "disputed"]
    for cells in shown:
        row = rows[cells["candidate"]]
        assert cells["judges"] == row["agreement"]
        assert cells["disputed"] == (row["dispute"] or "")
        assert ("lowest frequency" in cells["disputed"]) == (cells["judges"] == "disputed")
    for cells in shown + page.rows(VERDICTS):
        second = again.get(cells["candidate"])
        above, lowest = (second["energy_above_hull"], second["min_frequency"]) if second else (None, None)
        assert cells[ABOVE_BY_SECOND] == ("–" if above is None else f"{above:.3f}")
        assert cells[LOWEST_BY_SECOND] == ("–" if lowest is None else f"{lowest:.2f}".replace("-", "−"))
    agreements = [cells["judges"] for cells in page.rows(VERDICTS)]
    assert sorted(agreements) == ["agreed stable", "agreed stable", "agreed unstable", "disputed", "–"]
    assert "CHGNet-test agrees on 2, disputes 1." in text_of(html)
    assert "within 0.05 eV/atom of the hull by both" in text_of(html)


def test_the_potentials_are_told_by_their_roles(rendered):
    html, _ = rendered()
    section = Page(html).sections["potential"]
    for role, name in (
        ("Judge", "SevenNet-test"),
        ("Screening potential", "M3GNet-test"),
        ("Second judge", "CHGNet-test"),
    ):
        assert f"{role}: {name}" in section
        assert len(Page(html).rows(f"{role}: crystals")) == len(KNOWN_CRYSTALS)


def test_the_cascade_is_told_by_its_numbers(rendered):
    html, files = rendered()
    text = " ".join(Page(html).sections["energies"].split())
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
    assert "selected, 48" in text
    assert "random, 19" in text


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
    html = render(files, collect(files), config)
    assert "has selected its own errors in this chemistry" in Page(html).sections["energies"]


def test_a_run_of_one_potential_says_so(rendered):
    html, _ = rendered(stable=3, chosen=5, alone=True)
    page = Page(html)
    assert "by this potential alone; no second one has judged" in text_of(html)
    assert {cells["judges"] for cells in page.rows(SURVIVORS) + page.rows(VERDICTS)} == {"–"}
    assert {cells[LOWEST_BY_SECOND] for cells in page.rows(SURVIVORS)} == {"–"}
    assert "screening potential" not in page.sections["energies"].lower()
    assert "Judge: SevenNet-test" in page.sections["potential"]
    assert "Second judge" not in page.sections["potential"]
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
    assert "with a distance to the hull by DFT" in page.sections["funnel"]
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert re.search(r"dft_next 0", page.sections["provenance"])
    assert "By DFT" not in rendered(stable=3, chosen=5)[0]


def test_refusals_are_those_of_the_funnel(rendered):
    html, files = rendered()
    shown = [
        (cells[0], cells[1], int(cells[2].replace(",", "")))
        for cells in Page(html).tables["Refusals by stage and reason"][1:]
    ]
    assert shown == [(s.key, why, n) for s in collect(files).stages for why, n in s.refused.items()]


def test_yields_are_those_of_the_counts(rendered):
    html, _ = rendered()
    text = " ".join(Page(html).sections["templates"].split())
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


def test_the_latent_space_has_a_point_for_every_template(rendered):
    html, _ = rendered()
    assert "training, 40" in html
    assert "generated, 40" in html


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
    assert not re.search(r"<(link|img|iframe|object)\b|<script[^>]*src", html)


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
    for number, some in enumerate((files, copied)):
        names = [str(tmp_path / f"{number}.{ending}") for ending in ("html", "json", "svg")]
        main(RunFiles(**some), config, *names, made_from=Provenance("abc", {}))
        outputs.append([Path(name).read_bytes() for name in names])
    assert outputs[0] == outputs[1]
    assert str(tmp_path).encode() not in b"".join(outputs[0])


def test_no_survivor_is_told_plainly(rendered):
    html, _ = rendered(stable=0, chosen=4)
    text = text_of(html)
    assert "None of the 3 crystals whose phonons were computed is dynamically stable" in text
    assert "whose lowest frequency is −2.00 THz" in text
    assert "Survivors" not in Page(html).tables
    assert len(Page(html).tables["Phonon verdicts"]) == 5


def test_no_phonons_at_all_is_told_plainly(rendered):
    html, _ = rendered(stable=0, chosen=0)
    assert "No crystal of this run reached the phonon calculations" in html
    assert "No phonons were computed." in html
    assert "Phonon bands" not in html


def test_folders_of_the_machine_are_not_told(run_files, config):
    files = RunFiles(**run_files())
    config = {**config, "data": {**config["data"], "path": "/somewhere/of/mine/dump.parquet"}}
    html = render(files, collect(files), config)
    assert "path: dump.parquet" in html
    assert "/somewhere" not in html


def test_what_turns_out_known_is_left_out_and_told(run_files, config):
    files = RunFiles(**run_files(stable=3, chosen=5, repeats=1))
    html = render(files, collect(files), config)
    (refused,) = tables.read(files.stable_refused, tables.STABLE_REFUSED).to_pylist()
    page = Page(html)
    assert len(page.tables["Survivors"]) == 3
    verdicts = {cells["candidate"]: cells["reason"] for cells in page.rows(VERDICTS)}
    assert verdicts[refused["candidate_id"]].endswith("known already: mp-42")
    assert "2 of the 4 crystals whose phonons were computed are dynamically stable" in html
    assert "and 1 more repeat one of them or a known phase" in html


def test_nothing_new_among_the_stable_is_told_plainly(run_files, config):
    files = RunFiles(**run_files(stable=1, chosen=3, repeats=1))
    html = render(files, collect(files), config)
    assert "but none is new" in html
    assert "Survivors" not in Page(html).tables


def test_children_follow_their_parents(run_files, config):
    files = RunFiles(**run_files(stable=1, chosen=5, children=True))
    page = Page(render(files, collect(files), config))
    shown = {cells["candidate"]: cells for cells in page.rows(VERDICTS)}
    names = list(shown)
    born = [name for name in names if "-c" in name]
    ancestors = [name.rsplit("-c", 1)[0] for name in born]
    assert [name.rsplit("-", 1)[1] for name in born] == ["c1", "c1", "c2", "c1"]
    assert ancestors[1] == ancestors[2]
    for name, ancestor in zip(born, ancestors, strict=True):
        before = ancestor if name.endswith("-c1") else f"{ancestor}-c1"
        assert names[names.index(name) - 1] == before
    first = born[0]
    assert shown[first]["reason"].endswith(f"; 10.0 meV/atom below {ancestors[0]}")
    assert [shown[name]["verdict"] for name in born] == ["stable", "unstable", "–", "–"]
    assert {shown[name]["reason"] for name in born[2:]} == {"refused: comes back to its parent"}
    survivors = [cells["candidate"] for cells in page.rows(SURVIVORS)]
    assert [name for name in survivors if "-c" in name] == [first]


def test_text_from_files_is_escaped(run_files, config):
    files = RunFiles(**run_files(stable=0, chosen=2, alone=True))
    rows = pq.read_table(files.phonons[0]).to_pylist()
    rows[0] |= {"verdict": None, "status": "failed: <script>alert(1)</script> & more"}
    tables.write(files.phonons[0], rows, tables.PHONONS, Provenance())
    html = render(files, collect(files), config)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in html


def test_a_training_that_logged_nothing_and_an_empty_held_out_set_are_fine(run_files, config):
    files = RunFiles(**run_files())
    Path(files.training_curve).write_text("step,critic_loss,wasserstein,gradient_penalty\n")
    quality = json.loads(Path(files.quality).read_text())
    del quality["figures"]["held-out"]
    Path(files.quality).write_text(json.dumps(quality | {"latent": {"real": [], "generated": []}}))
    page = Page(render(files, collect(files), config))
    assert "held-out" not in page.tables["Quality of the generator"][0]
    assert "t-SNE" not in page.sections["templates"]


def test_provenance_names_config_versions_and_digests(rendered, config):
    html, _ = rendered()
    text = Page(html).sections["provenance"]
    assert f"Seed {config['seed']}." in text
    assert yaml.safe_load(re.search(r"<pre>(.*?)</pre>", html, re.DOTALL)[1]) == config
    assert re.search(r"phonopy\s*\d+\.\d+", text)
    assert "generator fedcba9876543210" in text
