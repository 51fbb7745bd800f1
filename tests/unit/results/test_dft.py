"""What the report says of DFT: its numbers are the rows', and its words say what they come to."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgwgan_core.dft.correction import fit
from cgwgan_core.dft.crystals import CANDIDATE, CrystalOptions
from cgwgan_core.dft.formation import shares_of
from cgwgan_core.results.cells import Table
from cgwgan_core.results.dft import by_dft, error_in_words
from cgwgan_core.results.funnel import RunFiles
from cgwgan_core.results.run_figures import dft_figure
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance
from tests.support.dft_run import MOST_ATOMS, dft_run, survivor

FORMULAS = (
    "BaRuO3", "Ba2RuO4", "Ba3Ru2O7", "Ba4Ru3O10", "BaRu2O5", "Ba3RuO5", "BaRu3O7", "Ba2Ru3O8", "Ba5RuO7", "Ba4RuO6",
    "BaRu4O9",
)  # fmt: skip
ABOVE = [-0.12, -0.08, -0.04, -0.01, 0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12]
NEXT = [survivor(f"next{i}", formula, 0.2 + 0.01 * i) for i, formula in enumerate([*FORMULAS[:7], "Ba16Ru16O48"])]
STABLE = [survivor(f"t{i}", formula, above) for i, (formula, above) in enumerate(zip(FORMULAS, ABOVE, strict=True))]


def error(row: dict[str, Any]) -> float:
    """0.2 eV/atom too low for t1; else nothing for known phases, and 0.1 of the share of Ru."""
    if row["kind"] != CANDIDATE:
        return 0.0
    return 0.2 if row["crystal_id"] == "t1" else 0.1 * shares_of(row["formula"])["Ru"]


RUN = dft_run(
    [*STABLE, *NEXT],
    error,
    CrystalOptions(top=11, max_atoms=MOST_ATOMS),
    failing={"t3": "not converged"},
    relaxed={"t0": 0.003, "t2": 0.012},
    phonons={"t0": 0.4, "t2": -2.5},
    elastic={"t0": 17.3},
)


CRYSTALS, ROWS, COMING, CONTENT = RUN


@pytest.fixture
def said(tmp_path: Path) -> Any:
    """What the report says of some rows, through files."""

    def say(run: Any = RUN) -> Any:
        crystals, rows, coming, content = run
        tables.write(tmp_path / "dft_crystals.parquet", crystals, tables.DFT_CRYSTALS, Provenance())
        tables.write(tmp_path / "dft.parquet", rows, tables.DFT, Provenance())
        tables.write(tmp_path / "dft_next.parquet", coming, tables.DFT_NEXT, Provenance())
        (tmp_path / "dft.json").write_text(json.dumps(content))
        names = {"dft_counts": "dft.json"} | {name: f"{name}.parquet" for name in ("dft_crystals", "dft", "dft_next")}
        others: dict[str, Any] = {field.name: "" for field in fields(RunFiles)}
        files = RunFiles(**others | {name: [str(tmp_path / file)] for name, file in names.items()})
        return by_dft(files, [*STABLE, *NEXT])

    return say


def cells(table: Table) -> list[dict[str, str]]:
    assert len(set(table.heads)) == len(table.heads)
    return [
        {h: re.sub(r"<[^>]+>", "", str(cell.text)) for h, cell in zip(table.heads, row, strict=True)}
        for row in table.rows
    ]


def test_the_sentence_has_the_counts(said: Any) -> None:
    """Of BaRuO3's kind, all are on a hull of BaO and RuO2: by DFT each is higher by its error."""
    by_hand = {f"t{i}": above + error({"kind": CANDIDATE, "crystal_id": f"t{i}", "formula": formula})
               for i, (formula, above) in enumerate(zip(FORMULAS, ABOVE, strict=True))}  # fmt: skip
    del by_hand["t3"]
    by_hand["t0"] -= 0.003
    by_hand["t2"] -= 0.012
    below, near = (sum(h <= bound for h in by_hand.values()) for bound in (0, 0.05))
    assert 0 < below < near < 10
    assert said().sentence == (
        f"Of 10 candidates that DFT (made up 1.0) places, {below} lie on its hull of the known phases or below it, and "
        f"{near} no more than 0.05 eV/atom above; EMT is wrong by more than 0.1 eV/atom about 1."
    )
    counts = CONTENT["counts"]
    assert (counts["with_distance"], counts["on_or_below"], counts["near"], counts["wrong"]) == (10, below, near, 1)


def test_what_follows_the_sentence(said: Any) -> None:
    more = said().more
    rows = [row for row in ROWS if row["kind"] == CANDIDATE]
    heights = [row["energy_above_joint_hull"] for row in rows]
    joint = sum(height is not None and height < 1e-9 for height in heights)
    assert f"{joint} {'lies' if joint == 1 else 'lie'} on the joint hull" in more
    assert "DFT has relaxed 2, by up to 12.0 meV/atom." in more
    assert "Of 2 with phonons by DFT, 1 is stable." in more


def test_how_far_each_has_moved_is_told(said: Any) -> None:
    rows = [row for row in ROWS if row["kind"] == CANDIDATE and row["difference"] is not None]
    shifts = [row["difference"] for row in rows]
    assert len(shifts) == 10
    text = said().moved
    assert f"by +{np.mean(shifts):.3f} eV/atom in the mean of 10 (" in text
    assert f"to +{max(shifts):.3f})" in text
    assert "volumes by 1.0 % in the mean of 2 (1.0 to 1.0)." in text
    assert "2 of 2 have another space group then." in text
    places = {row["crystal_id"]: (row["dft_rank"], row["rank"]) for row in rows}
    differences = [np.argsort(np.argsort(column)) for column in zip(*places.values(), strict=True)]
    by_hand = 1 - 6 * ((differences[0] - differences[1]) ** 2).sum() / (10 * 99)
    assert f"Both orders of 10 have a rank correlation of {by_hand:.2f}." in text


def test_a_hull_that_lacks_phases_is_told(said: Any) -> None:
    assert "lacks" not in said().more
    found = said(dft_run(STABLE, error, CrystalOptions(), failing={"mp-RuO2": "not converged"}))
    assert "The hull lacks phases below 11 of them, which can only lie higher: " in found.more
    assert "the hull lacks RuO2 (mp-RuO2): not converged" in cells(found.candidates)[0]["remarks"]


def test_the_table_has_every_candidate_that_was_asked_for(said: Any) -> None:
    shown = cells(said().candidates)
    rows = {row["crystal_id"]: row for row in ROWS}
    assert {row["candidate"] for row in shown} == {f"t{i}" for i in range(11)}
    assert [row["rank"] for row in shown[:-1]] == [str(i) for i in range(1, 11)]
    for row in shown[:-1]:
        found = rows[row["candidate"]]
        for head, column in {
            "formation energy (eV/atom)": "formation_energy_per_atom",
            "above the hull (eV/atom)": "energy_above_hull",
            "by the potential (eV/atom)": "potential_energy_above_hull",
            "without anion corrections (eV/atom)": "energy_above_hull_uncorrected",
            "over the mixed hull (eV/atom)": "energy_above_mixed_hull",
            "over the joint hull (eV/atom)": "energy_above_joint_hull",
        }.items():
            assert float(row[head].replace("−", "-")) == pytest.approx(found[column], abs=5.1e-4)
        assert row["formula"] == found["formula"]
        assert row["space group"] == "Pnma (62)"
        assert row["spins"] == "FM, 4.0 μB"
        loss = row["losing O2 (eV/O2)"].replace("−", "-")
        if found["oxygen_loss"] is None:
            assert loss == "–"
            assert found["oxygen_loss_status"] == "falls apart without losing O2"
        else:
            assert float(loss) == pytest.approx(found["oxygen_loss"], abs=5.1e-3)
    best = shown[0]
    assert (best["candidate"], best["after DFT"], best["gained by relaxing (meV/atom)"]) == ("t0", "Imma (74)", "3.0")
    assert (best["lowest frequency (THz)"], best["phonons"]) == ("0.40", "stable")
    assert (best["lowest elastic eigenvalue (GPa)"], best["by the potential (GPa)"]) == ("17.3", "21.5")
    row = rows["t0"]
    assert best["strongest lines, 2θ of Cu Kα (hkl)"].startswith(
        f"{row['xrd_two_theta'][0]:.2f}° ({row['xrd_indices'][0]}), {row['xrd_two_theta'][1]:.2f}°"
    )
    assert {row["candidate"]: row for row in shown}["t5"]["strongest lines, 2θ of Cu Kα (hkl)"] == ""  # not relaxed
    assert shown[-1]["candidate"] == "t3"
    assert shown[-1]["remarks"] == "not converged; tried again with wider smearing"


def test_known_phases_stand_beside_the_database(said: Any) -> None:
    shown = {row["crystal"]: row for row in cells(said().known)}
    assert shown["mp-BaO"]["less the database's (eV/atom)"] == "0.020"
    assert shown["mp-BaO"]["above the hull (eV/atom)"] == "0.000"
    assert shown["molecule-O2"]["remarks"] == "computed"
    assert {"mp-RuO2", "mp-BaO2", "mp-Ba", "mp-Ru"} < set(shown)


def test_the_figure_has_all_that_both_place() -> None:
    rows = dft_run(STABLE, error, CrystalOptions())[1]
    names = {trace["name"] for trace in dft_figure(rows)["data"] if "name" in trace}
    assert names == {"candidates, 11", "known phases, 3"}


def test_the_error_is_that_of_the_model(said: Any) -> None:
    run = dft_run(STABLE, lambda row: 0.1 * shares_of(row["formula"])["O"] - 0.03, CrystalOptions())
    model = run[-1]["correction"]
    assert model["status"] == "ok"
    text = said(run).error
    for key in ("error_before", "error_after", "error_new_compositions"):
        assert f"{model[key]:.3f}" in text
    assert f"in the mean of {model['n']} crystals" in text


def test_an_elements_effect_is_in_place_of_the_others() -> None:
    model = {"status": "ok", "n": 20, "error_before": 0.05, "error_after": 0.02, "error_new_compositions": 0.03,
             "elements": ["Ba", "O", "Ru"], "coefficients": [0.1, -0.04, 0.02, 0.02], "constant": 0.0}  # fmt: skip
    text = error_in_words(model, [])
    assert "Ba +0.011, O −0.010, Ru −0.001 eV/atom" in text
    assert "higher by one: +0.020" in text
    # shares add up to one: what is added to all shares goes into the constant
    same = model | {"coefficients": [1.1, 0.96, 1.02, 0.02], "constant": -1.0}
    assert error_in_words(same, []) == text
    mean = model | {"coefficients": [0.0] * 4, "constant": -0.031}
    assert "It adds −0.031 eV/atom to all." in error_in_words(mean, [])


def test_few_energies_and_errors_of_no_pattern_correct_nothing() -> None:
    few = dft_run(STABLE[:3], error, CrystalOptions())[3]["correction"]
    assert error_in_words(few, []) == f"A model of the error needs more: {few['status']}."
    noise = np.random.default_rng(1).normal(0, 0.05, 200).tolist()
    rows = dft_run(STABLE, lambda row: noise.pop(), CrystalOptions())[1]
    model = fit(rows)
    assert model.status.startswith("no better than none")
    text = error_in_words(vars(model), rows)
    assert f"{model.error_before:.3f}" in text
    assert "nothing is corrected" in text


def test_next_are_the_first_five_that_are_small_enough(said: Any) -> None:
    shown = cells(said().coming)
    wanted = [row["crystal_id"] for row in sorted(COMING, key=lambda row: row["rank"]) if row["next"]][:5]
    assert [row["candidate"] for row in shown] == wanted
    assert len(wanted) == 5
    assert "next7" not in wanted


def test_without_any_distance_the_sentence_says_why(said: Any) -> None:
    names = {f"t{i}": "not converged" for i in range(11)}
    found = said(dft_run(STABLE, error, CrystalOptions(), failing=names))
    assert found.sentence == "No candidate of 11 that DFT was asked for has a distance to the hull: not converged."
    assert found.more == ""
    metals = dict.fromkeys(("mp-Ba", "mp-Ru", "mp-BaO", "mp-RuO2", "mp-BaO2"), "not converged")
    found = said(dft_run(STABLE, error, CrystalOptions(), failing=metals, relaxed={"t0": 0.003}, phonons={"t0": 0.4}))
    assert found.sentence.endswith("has a distance to the hull: no energy of Ba.")
    assert found.more == "DFT has relaxed 1, by up to 3.0 meV/atom. Of 1 with phonons by DFT, 1 is stable."
