"""What two judges agree on, and what they dispute."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgwgan_core.phonons.phonons import PASSING, VERDICTS
from cgwgan_core.results.agreement import DISPUTED, NEAR_HULL, SECOND, STABLE, UNSTABLE, near_hull, with_second

LOWEST = {"stable": 0.02, "borderline": -0.3, "unstable": -2.5, None: None}


def said(verdict: str | None, resists: bool | None = True, above: float | None = 0.01) -> dict[str, Any]:
    """What a judge says; elastic constants are there only where phonons pass."""
    return {
        "potential": "CHGNet-0.3.0",
        "verdict": verdict,
        "min_frequency": LOWEST[verdict],
        "mechanically_stable": resists if verdict in PASSING else None,
        "energy_above_hull": above,
    }


def judged(first: dict[str, Any], second: dict[str, Any] | None) -> tuple[str | None, str | None]:
    found = with_second(first, second)
    return found["agreement"], found["dispute"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (said("stable"), said("stable"), (STABLE, None)),
        (said("borderline"), said("stable"), (STABLE, None)),
        (said("unstable"), said("unstable"), (UNSTABLE, None)),
        # one gives way to a phonon, the other to a strain
        (said("unstable"), said("stable", resists=False), (UNSTABLE, None)),
        (said("stable"), said("unstable"), (DISPUTED, "lowest frequency 0.02 and -2.50 THz")),
        (said("unstable"), said("borderline"), (DISPUTED, "lowest frequency -2.50 and -0.30 THz")),
        (said("stable"), said("stable", resists=False), (DISPUTED, "elastically stable and unstable")),
        (said("stable", resists=False), said("stable"), (DISPUTED, "elastically unstable and stable")),
        (said("stable", above=0.01), said("stable", above=0.3), (DISPUTED, "+0.010 and +0.300 eV/atom from the hull")),
        (said("stable", above=0.2), said("stable", above=-0.1), (DISPUTED, "+0.200 and -0.100 eV/atom from the hull")),
        # far above by both, and near by one with a difference within the usual error
        (said("stable", above=0.2), said("stable", above=0.5), (STABLE, None)),
        (said("stable", above=0.04), said("stable", above=0.07), (STABLE, None)),
        # no hull by one of them
        (said("stable"), said("stable", above=None), (STABLE, None)),
        # nothing to compare
        (said("stable"), said(None), (None, None)),
        (said(None), said("stable"), (None, None)),
        (said("stable"), None, (None, None)),
    ],
)
def test_agreement(
    first: dict[str, Any], second: dict[str, Any] | None, expected: tuple[str | None, str | None]
) -> None:
    assert judged(first, second) == expected


def test_all_that_is_disputed_is_told() -> None:
    agreement, told = judged(said("stable", above=0.0), said("unstable", above=0.2))
    assert agreement == DISPUTED
    assert told == "lowest frequency 0.02 and -2.50 THz; +0.000 and +0.200 eV/atom from the hull"


def test_the_second_ones_values_stand_beside_the_first_ones() -> None:
    first, second = said("stable", above=0.01), said("borderline", above=0.03)
    found = with_second(first, second)
    assert {name: found[name] for name in first} == first
    assert {name: found[f"second_{name}"] for name in SECOND} == {name: second[name] for name in SECOND}
    assert found["second_potential"] == "CHGNet-0.3.0"
    assert found["disagreement"] == pytest.approx(0.02)
    alone = with_second(first, None)
    assert set(alone) == set(found)
    assert all(alone[name] is None for name in alone if name not in first)


def test_a_crystal_is_near_the_hull_if_no_judge_says_otherwise() -> None:
    near, far = NEAR_HULL, NEAR_HULL + 0.001
    for first, second, expected in (
        (near, near, True),
        (near, far, False),
        (far, near, False),
        (-1.0, None, True),
        (None, near, True),
        (None, None, False),
    ):
        row = {"energy_above_hull": first, "second_energy_above_hull": second}
        assert near_hull(row) is expected
    assert near_hull({"energy_above_hull": 0.2, "second_energy_above_hull": None}, limit=0.2)


sayings = st.builds(said, st.sampled_from([*VERDICTS, None]), st.booleans(), st.none() | st.floats(-0.5, 0.5))


@given(sayings, sayings)
def test_it_does_not_matter_who_is_asked_first(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = judged(first, second), judged(second, first)
    assert one[0] == other[0]
    assert (one[1] is None) == (other[1] is None) == (one[0] != DISPUTED)
    if one[0] == STABLE:
        assert all(row["verdict"] in PASSING and row["mechanically_stable"] for row in (first, second))
    if one[0] is None:
        assert None in (first["verdict"], second["verdict"])


@given(sayings)
def test_nobody_disputes_himself(row: dict[str, Any]) -> None:
    agreement, told = judged(row, row)
    assert agreement != DISPUTED
    assert told is None
