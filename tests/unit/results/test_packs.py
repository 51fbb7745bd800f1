"""What a page carries packed comes out as it went in, as far as it is kept."""

import base64
import gzip
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgwgan_core.crystallography.diffraction import lines
from cgwgan_core.crystallography.structures import atoms_to_structure
from cgwgan_core.results.crystal_figures import bands_figure, cell_figure, diffraction_figure
from cgwgan_core.results.crystal_table import COLUMNS, payload
from cgwgan_core.results.packs import coarse, fine, packed, packed_json
from cgwgan_core.results.report import BUNDLES, ROUGH, THIN, bundle
from tests.unit.results.test_crystal_figures import PEROVSKITE

NUMBERS = st.none() | st.floats(-1e6, 1e6)


@given(st.lists(NUMBERS, max_size=40), st.integers(2, 8))
def test_numbers_keep_their_digits(numbers, digits):
    largest = max((abs(x) for x in numbers if x is not None), default=0.0)
    found = fine(json.loads(json.dumps(coarse({"x": numbers}, digits))))["x"]
    assert [x is None for x in found] == [x is None for x in numbers]
    step = 10.0 ** (1 - digits + (math.floor(math.log10(largest)) if largest else 0))
    for old, new in zip(numbers, found, strict=True):
        assert new is None or new == pytest.approx(old, abs=max(0.51 * step, 0.51 if step >= 1 else 0))


def test_what_is_no_number_stays():
    figure = {"data": [{"name": "O", "text": ["a"] * 9, "x": [1, 2]}], "layout": {"visible": False}}
    assert coarse(figure) == figure
    assert fine(figure) == figure


def test_differences_of_smooth_lists_are_small():
    (_, first, *steps) = coarse([10 + 0.1 * i for i in range(50)])["$"]
    assert first == 1000
    assert set(steps) == {10}


def test_packs_are_the_same_twice_and_open():
    content = {"x": [1.5, float("nan")], "formula": "Ba₂RuO₄"}
    assert packed_json(content) == packed_json(content)
    text = gzip.decompress(base64.b64decode(packed_json(content))).decode()
    assert json.loads(text) == {"x": [1.5, None], "formula": "Ba₂RuO₄"}
    assert gzip.decompress(base64.b64decode(packed("a"))) == b"a"


def test_five_thousand_crystals_and_fifteen_hundred_sheets_fit_into_a_page():
    rng = np.random.default_rng(0)
    names = [column.key for column in COLUMNS if column.digits is not None]
    rows = [
        dict(zip(names, rng.normal(0, 1, len(names)).round(3).tolist(), strict=True))
        | {"candidate_id": f"t{i:07d}-Ba-Ru-O", "reason": f"{i} THz", "spacegroup": 62}
        for i in range(5000)
    ]
    table = len(packed_json(payload(rows)))
    atoms = PEROVSKITE.repeat((2, 2, 1))
    q = np.linspace(0, 8 * np.pi, 250)
    bands = rng.uniform(1, 24, 60) + 0.3 * np.cos(np.outer(q, rng.uniform(0.5, 1.5, 60)))
    row = {
        "band_distances": (q / 30).tolist(), "band_frequencies": bands.ravel().tolist(), "band_breaks": [0],
        "band_ticks": [0.0, q[-1] / 30], "band_labels": ["Γ", "X"],
    }  # fmt: skip
    pattern = diffraction_figure(lines(atoms_to_structure(atoms)), None, ("x", ""))
    drawn = {"cell": cell_figure(atoms), "bands": bands_figure(row, THIN), "pattern": pattern}
    sheet = len(packed_json([coarse(figure, ROUGH if name == "bands" else 4) for name, figure in drawn.items()]))
    bundles = sum(len(bundle(*where)) for where in BUNDLES.values())
    assert table < 2e6
    assert bundles + table + 1500 * sheet < 20e6
