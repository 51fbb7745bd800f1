"""The report in a browser, opened from disk with the network off."""

import csv
from pathlib import Path

import pytest
import yaml

from cgwgan_core.results.funnel import RunFiles, collect
from cgwgan_core.results.report import render

pytest.importorskip("aiohttp", reason="the browser is steered by aiohttp")
from tests.support.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
ROOT = Path(__file__).parents[3]
CELL = "#card-1 .plot[data-figure=cell]"
LIVE = "document.querySelector({!r}).dataset.live"


@pytest.fixture(scope="module")
def page(write_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    files = RunFiles(**write_run(folder / "results", stable=4, chosen=5))
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"chemistry": ["Ba", "Ru", "O"]}
    path = folder / "report.html"
    path.write_text(render(files, collect(files), config, folder / "results"), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=[1400, 390], ids=["desktop", "phone"])
def browser(request, page, tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("browser"), width=request.param)
    try:
        found.open(page)
        yield found
    finally:
        found.close()


def test_a_cell_turns(browser):
    browser.show(CELL)
    assert browser.wait(LIVE.format(CELL)) == "3d"
    before = browser.picture(CELL)
    browser.drag(CELL, 80)
    browser.until(lambda: browser.picture(CELL) != before, "another picture after a drag")
    assert browser.complaints == []


def test_bands_and_patterns_are_drawn(browser):
    for figure in ("bands", "pattern"):
        selector = f"#card-1 .plot[data-figure={figure}]"
        browser.show(selector)
        assert browser.wait(LIVE.format(selector)) == "2d"
        assert browser.js(f"document.querySelectorAll({selector + ' .trace'!r}).length") > 0


def test_the_hull_is_drawn_and_rings_what_is_selected(browser):
    browser.show("#all")
    browser.wait("document.querySelector('#crystals').dataset.ready")
    browser.js("document.querySelector('#crystals tbody tr td:nth-child(2)').click()")
    browser.show("[data-figure=hull]")
    assert browser.wait(LIVE.format("[data-figure=hull]")) == "3d"
    ringed = "document.querySelector('[data-figure=hull]').data.filter(trace => trace.name === 'selected').length"
    assert browser.wait(ringed) == 1
    assert browser.complaints == []


def test_the_table_searches_sorts_and_downloads(browser):
    browser.show("#all")
    browser.wait("document.querySelector('#crystals').dataset.ready")
    every = browser.js("table.rows({search: 'applied'}).count()")
    browser.js("table.search('survivor').draw() && 0")
    assert browser.js("table.rows({search: 'applied'}).count()") == 4 < every
    browser.js("table.order([4, 'desc']).draw() && 0")
    heights = browser.js("table.column(4, {search: 'applied', order: 'applied'}).data().toArray()")
    assert heights == sorted(heights, reverse=True)
    browser.js("[...document.querySelectorAll('.dt-button')].find(button => button.textContent === 'CSV').click()")
    path = browser.folder / "crystals.csv"
    browser.until(lambda: path.exists() and path.stat().st_size, "the downloaded table")
    rows = list(csv.DictReader(path.open(encoding="utf-8-sig")))
    assert [float(row["energy_above_hull"]) for row in rows] == pytest.approx(heights)
    browser.js("table.search('').draw() && 0")
    assert browser.complaints == []


def test_a_formula_opens_the_sheet_of_its_crystal(browser):
    browser.show("#all")
    browser.wait("document.querySelector('#crystals').dataset.ready")
    browser.js("document.querySelector('#crystals a[data-open]').click()")
    assert browser.wait("document.querySelector('#sheet').open")
    assert browser.wait("document.querySelector('#sheet .plot[data-figure=bands]')?.dataset.live") == "2d"
    browser.js("document.querySelector('#sheet [data-close]').click()")
    assert not browser.js("document.querySelector('#sheet').open")


def test_nothing_is_wider_than_the_page(browser):
    assert browser.js("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
