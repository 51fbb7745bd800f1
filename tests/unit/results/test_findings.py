"""What a run found: rows joined from its tables, a sentence that claims no more, bands of the crystals drawn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from cgwgan_core.phonons.phonons import PASSING
from cgwgan_core.results.agreement import DISPUTED, STABLE, UNSTABLE, with_second
from cgwgan_core.results.findings import Findings, findings, read_bands, recommended, sentence
from cgwgan_core.results.funnel import RunFiles

Run = Callable[..., dict[str, Any]]


def rows_of(*paths: str) -> dict[str, dict[str, Any]]:
    return {row["candidate_id"]: row for path in paths for row in pq.read_table(path).to_pylist()}


def test_judged_crystals_have_their_phonons_and_what_was_known_before(run_files: Run) -> None:
    files = RunFiles(**run_files(stable=2, chosen=5))
    found = findings(files)
    before, phonons = rows_of(files.compared), rows_of(*files.phonons)
    assert [row["phonon_rank"] for row in found.judged] == [1, 2, 3, 4, 5]
    for row in found.judged:
        name = row["candidate_id"]
        assert row["formula"] == before[name]["formula"]
        assert (row["verdict"], row["status"]) == (phonons[name]["verdict"], phonons[name]["status"])
    # the tight relaxation lowers each energy by 0.004 eV/atom; the last was not relaxed
    lower = [row["energy_above_hull"] - before[row["candidate_id"]]["energy_above_hull"] for row in found.judged]
    assert lower == pytest.approx([-0.004] * 4 + [0])
    assert found.judged[-1]["spacegroup"] == before[found.judged[-1]["candidate_id"]]["spacegroup"]
    assert (found.asked, found.stable, found.borderline, found.potential) == (5, -0.1, -0.5, "SevenNet-test")


def test_children_follow_their_parents_and_repeats_name_their_match(run_files: Run) -> None:
    files = RunFiles(**run_files(stable=2, chosen=6, repeats=1, children=True))
    found = findings(files)
    places = {row["candidate_id"]: i for i, row in enumerate(found.judged)}
    children = [row for row in found.judged if row["parent_id"]]
    assert [row["generation"] for row in children] == [1, 1, 2, 1]
    for child in children:
        assert places[child["candidate_id"]] == places[child["parent_id"]] + 1
    assert [row["repeats"] for row in found.judged if row["repeats"]] == ["known already: mp-42"]


def test_judged_crystals_have_both_verdicts(run_files: Run) -> None:
    files = RunFiles(**run_files(stable=2, chosen=5))
    second = rows_of(*files.second_phonons)
    judged = findings(files).judged
    assert [row["agreement"] for row in judged] == [STABLE, DISPUTED, UNSTABLE, UNSTABLE, None]
    for row in judged[:-1]:
        again = second[row["candidate_id"]]
        assert row["second_potential"] == again["potential"] == "CHGNet-test"
        assert (row["second_verdict"], row["second_min_frequency"]) == (again["verdict"], again["min_frequency"])
        assert row["second_energy_above_hull"] == again["energy_above_hull"]
    stable = {row["candidate_id"]: row for row in findings(files).survivors}
    shared = ("energy_above_hull", "agreement", "dispute", "disagreement", "second_min_frequency")
    for row in judged[:2]:
        assert [row[name] for name in shared] == [stable[row["candidate_id"]][name] for name in shared]
    alone = findings(RunFiles(**run_files(stable=2, chosen=5, alone=True))).judged
    assert {(row["second_verdict"], row["agreement"]) for row in alone} == {(None, None)}


def test_survivors_are_by_energy_and_know_their_template(run_files: Run) -> None:
    files = RunFiles(**run_files(stable=4, chosen=5))
    found = findings(files)
    heights = [row["energy_above_hull"] for row in found.survivors]
    assert len(heights) == 4
    assert heights == sorted(heights)
    templates = {row["template_id"]: row["in_training"] for row in pq.read_table(files.templates).to_pylist()}
    assert [row["in_training"] for row in found.survivors] == [templates[r["template_id"]] for r in found.survivors]


def crystal(
    hull: float | None, verdict: str | None, lowest: float = 0.0, second: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A judged crystal.

    :param second: what the second judge says of it.
    """
    row = {
        "formula": "BaRuO3",
        "spacegroup": 221,
        "energy_above_hull": hull,
        "verdict": verdict,
        "min_frequency": lowest,
        "mechanically_stable": True if verdict in PASSING else None,
    }
    return with_second(row, second)


def by_second(hull: float | None, verdict: str | None) -> dict[str, Any]:
    """What a second judge says."""
    return crystal(hull, verdict, -1.0 if verdict == "unstable" else 0.0) | {"potential": "M3GNet"}


def found(survivors: list[dict[str, Any]], judged: list[dict[str, Any]], asked: int) -> Findings:
    return Findings(survivors, judged, asked, -0.1, -0.5, "CHGNet")


def test_the_sentence_of_a_run_without_verdicts() -> None:
    assert sentence(Findings([], [], 0)).startswith("No crystal of this run reached the phonon calculations")
    failed = [crystal(0.1, None)] * 2
    assert sentence(found([], failed, 2)).startswith("The phonon calculations of all 2 crystals failed")


def test_the_sentence_of_a_run_without_survivors() -> None:
    unstable = [crystal(0.1, "unstable", -3.0), crystal(0.1, "unstable", -0.7), crystal(0.1, None)]
    text = sentence(found([], unstable, 3))
    assert "None of the 2 crystals with phonons is stable or borderline by CHGNet" in text
    assert "BaRuO₃ (Pm-3m), whose lowest frequency is −0.70 THz" in text
    known = sentence(found([], [crystal(0.1, "stable")], 1))
    assert known.startswith("1 of the 1 crystal with phonons is stable or borderline by CHGNet")
    assert "none is new" in known


def test_the_sentence_counts_survivors_repeats_and_what_is_near_the_hull() -> None:
    best, far, unknown = crystal(-0.02, "stable"), crystal(0.3, "borderline"), crystal(None, "stable")
    judged = [best, far, unknown, crystal(0.0, "stable"), crystal(0.1, "unstable", -2.0)]
    assert sentence(found([best, far, unknown], judged, 5)) == (
        "CHGNet, the only judge, calls 2 of the 5 crystals with phonons stable; 1 of these lies at most 0.05 eV/atom "
        "above the hull: BaRuO₃ (Pm-3m). By CHGNet, 3 are stable or borderline (no frequency below −0.50 THz; 1 "
        "borderline, below −0.10 THz), and 1 more repeat one of them or a known phase."
    )


def test_the_sentence_begins_with_what_both_judges_call_stable() -> None:
    soft = crystal(0.01, "stable") | {"mechanically_stable": False}  # passes, and gives way to a strain
    rows = [
        crystal(-0.2, "stable", second=by_second(-0.1, "unstable")),  # the lowest by the first, disputed
        crystal(-0.05, "stable", second=by_second(0.04, "stable")),
        crystal(0.02, "stable", second=by_second(0.01, "borderline")),
        crystal(0.2, "stable", second=by_second(0.3, "stable")),
        crystal(0.01, "stable", second=by_second(None, None)),
        with_second(soft, by_second(0.01, "unstable")),
    ]
    assert recommended(rows) == [rows[1]]
    text = sentence(found(rows, rows, 6))
    assert text.startswith(
        "Both judges call 2 of the 6 crystals with phonons stable; 1 of these lies at most 0.05 eV/atom above both "
        "hulls: BaRuO₃ (Pm-3m). By CHGNet, 6 are stable or borderline"
    )
    assert text.endswith(
        "; M3GNet agrees on 3, disputes 1, has no verdict on 1; 1 is unstable by both, as it gives way to a strain by "
        "CHGNet."
    )
    text = sentence(found(rows[:1], rows[:1], 1))
    assert text.startswith("Both judges call none of the 1 crystal with phonons stable. ")
    assert text.endswith("; M3GNet agrees on 0, disputes 1.")
    # the nearest is so by the judge that puts it higher
    text = sentence(found(rows[3:4], rows[3:4], 1))
    assert "; the nearest to both hulls, BaRuO₃ (Pm-3m), lies up to 0.300 eV/atom above. By" in text


def test_what_corrections_of_anions_hold_near_the_hull_is_counted_and_the_first_six_are_named() -> None:
    rows = [
        crystal(0.001 * i, "stable", second=by_second(0.0, "stable"))
        | {"energy_above_hull_uncorrected": 0.06 if i > 4 else None if i else 0.05}
        for i in range(8)
    ]
    text = sentence(found(rows, rows, 8))
    assert text.count("BaRuO₃ (Pm-3m)") == 6
    assert "BaRuO₃ (Pm-3m) and 2 more. Without anion corrections, 3 of them lie higher than that. By" in text


def test_bands_are_those_of_the_crystals_drawn(run_files: Run) -> None:
    files = RunFiles(**run_files(stable=2, chosen=5))
    drawn = findings(files).survivors[::-1]
    bands = read_bands(files.phonons, drawn)
    stored = rows_of(*files.phonons)
    assert len(bands) == 2
    for band, row in zip(bands, drawn, strict=True):
        assert band.frequencies.shape == (93, 3 * row["n_atoms"])
        assert np.array_equal(band.frequencies.ravel(), stored[row["candidate_id"]]["band_frequencies"])
        assert band.verdict.startswith(row["verdict"])
        assert band.stable
