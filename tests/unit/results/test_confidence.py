"""How wrong a distance to the hull may be."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgwgan_core.results.agreement import NEAR_HULL
from cgwgan_core.results.confidence import (
    CLASSES,
    COVERAGE,
    FILE,
    LEVELS,
    Confidence,
    add_confidence,
    chemistry,
    confidence,
    errors,
)
from cgwgan_core.workflow.tables import STABLE

M3GNET, CHGNET, SEVENNET = "M3GNet-MP-2021.2.8-PES", "CHGNet-0.3.0", "SevenNet-l3i5"
POTENTIALS = sorted({name for name, _ in errors()})


def known(potential: str, formula: str, above: float, *second: Any) -> tuple[float, float, float]:
    """The interval and the probability of a potential that is calibrated."""
    found = confidence(potential, formula, above, *second)
    assert found.calibrated
    assert found.low is not None
    assert found.high is not None
    assert found.probability_near_hull is not None
    return found.low, found.high, found.probability_near_hull


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (["Ba", "Ru", "O"], "oxide"),
        (["Bi", "O", "Cl"], "oxide"),
        (["Cs", "Pb", "I"], "halide"),
        (["Li", "P", "S"], "chalcogenide"),
        (["Li", "P", "S", "Cl"], "halide"),
        (["Ti", "N"], "pnictide"),
        (["Si", "C"], "other"),
        (["Ni", "Ti"], "intermetallic"),
    ],
)
def test_chemistry(symbols: list[str], expected: str) -> None:
    assert chemistry(symbols) == expected


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Errors spread evenly: of the potential alone from -0.1 to 0.2 for oxides, twice that for all others."""
    path = tmp_path / "errors.csv"
    scales = {name: 0.1 if name == "oxide" else 0.2 for name in CLASSES}
    rows = [
        {"potential": "A", "second_potential": "", "lean": 0, "weight": 0, **scales, **_even(-1, 2)},
        {"potential": "A", "second_potential": "B", "lean": 0.5, "weight": 1, **scales, **_even(-1, 1)},
    ]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _even(low: float, high: float) -> dict[str, float]:
    return {f"z{level:g}": low + level * (high - low) for level in LEVELS}


def test_interval_and_probability_by_hand(table: Path) -> None:
    """z is uniform from -1 to 2: 5 % below -0.85, 95 % below 1.85."""
    found = confidence("A", "BaO", 0.02, file=table)
    assert found.low == pytest.approx(0.02 - 0.085)
    assert found.high == pytest.approx(0.02 + 0.185)
    # 0.03 eV/atom is z = 0.3
    assert found.probability_near_hull == pytest.approx((0.3 + 1) / 3)
    assert confidence("A", "NaCl", 0.02, file=table).high == pytest.approx(0.02 + 0.37)


def test_a_second_judge_draws_the_interval_to_its_side_and_widens_it(table: Path) -> None:
    found = confidence("A", "BaO", 0.0, "B", 0.24, file=table)
    scale = float(np.hypot(0.1, 0.24))
    assert scale == pytest.approx(0.26)
    assert found.low == pytest.approx(0.12 - 0.9 * 0.26)
    assert found.high == pytest.approx(0.12 + 0.9 * 0.26)
    assert found.probability_near_hull == pytest.approx((1 + (NEAR_HULL - 0.12) / 0.26) / 2)


def test_a_second_judge_that_was_not_measured_tells_nothing(table: Path) -> None:
    alone = confidence("A", "BaO", 0.0, file=table)
    assert confidence("A", "BaO", 0.0, "C", 0.9, file=table) == alone
    assert confidence("A", "BaO", 0.0, "B", None, file=table) == alone


def test_a_potential_that_was_never_measured_has_no_interval() -> None:
    assert confidence("my.module:potential", "BaO", 0.0) == Confidence(calibrated=False)
    assert confidence(M3GNET, "BaO", float("nan")) == Confidence(calibrated=False)


@given(
    potential=st.sampled_from(POTENTIALS),
    second=st.sampled_from(["", *POTENTIALS]),
    formula=st.sampled_from(["BaRuO3", "NaCl", "LiPS", "TiN", "SiC", "NiTi"]),
    above=st.floats(-0.5, 1),
    other=st.floats(-0.5, 1),
)
def test_the_table_tells_ordered_ends_that_move_with_the_distance(
    potential: str, second: str, formula: str, above: float, other: float
) -> None:
    low, high, near = known(potential, formula, above, second or None, other)
    assert low < high
    assert 0 < near < 1
    # no more likely near the hull than an end of the interval allows
    tail = (1 - COVERAGE) / 2
    assert near <= tail + 1e-9 if low >= NEAR_HULL else near >= tail - 1e-9
    moved = known(potential, formula, above + 0.1, second or None, other + 0.1)
    assert moved[:2] == pytest.approx((low + 0.1, high + 0.1))
    assert moved[2] <= near


def test_the_table_holds_each_potential_alone_and_beside_each_other() -> None:
    assert {(name, second) for name in POTENTIALS for second in ["", *POTENTIALS] if name != second} == set(errors())
    assert {M3GNET, CHGNET, SEVENNET, "SevenNet-0"} == set(POTENTIALS)
    for known_errors in errors().values():
        assert (np.diff(known_errors.quantiles) >= 0).all()
        assert min(known_errors.scales.values()) > 0


CHECKS = Path(__file__).parents[3] / "benchmarks" / "calibration_checks.csv"


def test_sevennet_is_narrower_than_m3gnet() -> None:
    """By published errors it is twice as good."""
    m3gnet, sevennet = (known(name, "BaRuO3", 0.0) for name in (M3GNET, SEVENNET))
    assert sevennet[1] - sevennet[0] < 0.75 * (m3gnet[1] - m3gnet[0])


def test_crystals_that_m3gnet_puts_below_the_hull_and_dft_far_above_are_flagged() -> None:
    """Li-P-S by GPAW: 0.17 to 0.41 eV/atom above the hull. A second judge tells, M3GNet alone does not."""
    with CHECKS.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["formula"].startswith("Li") and row[M3GNET]]
    assert len(rows) == 3
    for row in rows:
        above = float(row[M3GNET])
        assert known(M3GNET, row["formula"], above)[2] > 0.5
        assert known(M3GNET, row["formula"], above, CHGNET, float(row[CHGNET]))[2] < 0.35
        low, high, near = known(M3GNET, row["formula"], above, SEVENNET, float(row[SEVENNET]))
        assert near < 0.1
        assert low <= float(row["dft"]) <= high


def test_columns_of_a_survivor_are_filled() -> None:
    row = dict.fromkeys(STABLE.names) | {"potential": M3GNET, "formula": "LiPS", "energy_above_hull": -0.02}
    row["decomposition"] = "0.67 Li2S + 0.33 P"
    add_confidence(row)
    assert (row["hull_low"], row["hull_high"], row["probability_near_hull"]) == known(M3GNET, "LiPS", -0.02)
    row |= {"second_potential": CHGNET, "second_energy_above_hull": 0.08}
    add_confidence(row)
    assert (row["hull_low"], row["hull_high"]) == known(M3GNET, "LiPS", -0.02, CHGNET, 0.08)[:2]


@pytest.mark.parametrize(
    "change",
    [
        {"potential": "unknown"},
        {"energy_above_hull": None},
        # a formation energy
        {"energy_above_hull": -1.0, "decomposition": "0.33 Li + 0.33 P + 0.33 S"},
    ],
)
def test_columns_stay_empty_where_nothing_is_known(change: dict[str, Any]) -> None:
    row = dict.fromkeys(STABLE.names) | {"potential": M3GNET, "formula": "LiPS", "energy_above_hull": 0.0} | change
    add_confidence(row)
    assert row["hull_low"] is row["hull_high"] is row["probability_near_hull"] is None


def test_the_file_is_small() -> None:
    assert FILE.stat().st_size < 10_000
