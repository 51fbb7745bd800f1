"""The model of the potential's error: closed form against refitting, and what it makes of errors that are known."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgwgan_core.dft import correction
from cgwgan_core.dft.correction import FEWEST, features, fit, mean_oxidation_state, rank_again
from cgwgan_core.workflow.arrays import Floats

OXIDES = [f"Ba{a}Ru{b}O{c}" for a in (1, 2, 3) for b in (1, 2) for c in (3, 4, 5, 7)]
"""24 compositions."""


def row(name: str, formula: str, by_potential: float, by_dft: float | None, kind: str = "candidate") -> dict[str, Any]:
    return {
        "crystal_id": name,
        "kind": kind,
        "formula": formula,
        "formation_energy_per_atom": by_dft,
        "potential_formation_energy_per_atom": by_potential,
        "status": "ok",
    }


def computed(error: Any) -> list[dict[str, Any]]:
    """All :data:`OXIDES`, with an error that is a function of features and number."""
    x = features(OXIDES, ("Ba", "O", "Ru"))
    return [row(f"c{i:02}", f, -2.0, -2.0 + float(error(x[i], i))) for i, f in enumerate(OXIDES)]


def test_oxidation_states() -> None:
    expected = {
        "Ba2RuO5": 6,
        "BaRuO4": 6,
        "RuO4": 8,
        "BaRuO3": 4,
        "Li3PS4": 5,
        "Fe3O4": 8 / 3,
        "Ba4Ru3O10": 4,
        "BaO": 0,
        "NiAl": 0,
        "Ba12RuO": -4,
        "O2": 0,
    }
    assert {formula: mean_oxidation_state(formula) for formula in expected} == pytest.approx(expected)


def test_an_error_linear_in_composition_is_found() -> None:
    """0.3 eV times the share of oxygen, 0.02 for each unit of ruthenium's oxidation state."""
    found = fit(computed(lambda x, i: 0.3 * x[1] + 0.02 * x[3] - 0.1))
    assert found.status == "ok"
    assert found.n == 24
    assert found.error_before is not None
    assert found.error_after is not None
    assert found.error_after < 0.01 * found.error_before
    assert found.predict(["Ba2RuO6"])[0] == pytest.approx(0.3 * 6 / 9 + 0.02 * 8 - 0.1, abs=2e-3)


def test_noise_is_not_learnt() -> None:
    """Errors that have nothing to do with composition, of mean zero: corrections stay small, or are none."""
    noise = np.random.default_rng(0).normal(0, 0.1, len(OXIDES))
    noise -= noise.mean()
    found = fit(computed(lambda x, i: noise[i]))
    assert np.abs(found.predict(OXIDES)).max() < 0.05
    assert found.error_after is not None
    assert found.error_after > 0.9 * np.abs(noise).mean()


def test_a_model_that_helps_nobody_corrects_nothing() -> None:
    found = fit(computed(lambda x, i: 0.1 * (-1) ** (i // 2) if i % 2 else 0.0))
    assert found.status.startswith("no better than none: ")
    assert found.predict(["BaRuO3"]).tolist() == [0.0]


def test_too_few_energies() -> None:
    found = fit(computed(lambda x, i: 0.1)[: FEWEST - 1])
    assert found.status == f"{FEWEST - 1} DFT energies, fewer than {FEWEST}"
    assert found.predict(["BaRuO3", "BaO"]).tolist() == [0.0, 0.0]


def test_a_constant_error() -> None:
    found = fit(computed(lambda x, i: 0.1)[:FEWEST])
    assert found.error_after == pytest.approx(0, abs=1e-9)
    assert found.predict(["Ba2RuO4"])[0] == pytest.approx(0.1)


@given(st.integers(0, 10_000), st.sampled_from(correction.PENALTIES))
def test_closed_form_is_leaving_each_out(seed: int, penalty: float) -> None:
    """With the mean and the scale of the features held: refit without each crystal in turn."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(15, 4)), rng.normal(size=15)
    x[:, 3] = 1 - x[:, :3].sum(axis=1)  # shares add up to one
    z, _, _ = correction._standard(x)
    left_out = correction._left_out(z, y, penalty)
    for i in range(15):
        keep = np.arange(15) != i
        assert left_out[i] == pytest.approx(y[i] - _ridge_by_hand(z[keep], y[keep], z[i], penalty * 15), abs=1e-6)


def _ridge_by_hand(x: Floats, y: Floats, at: Floats, penalty: float) -> float:
    """Normal equations, the constant without a penalty."""
    if np.isinf(penalty):
        return float(y.mean())
    design = np.hstack([np.ones((len(x), 1)), x])
    weights = np.diag([0.0, *([penalty] * x.shape[1])])
    found = np.linalg.solve(design.T @ design + weights, design.T @ y)
    return float(found[0] + at @ found[1:])


def test_the_next_to_be_seen() -> None:
    """The potential has O-rich crystals too low: DFT is expected to like the other one better."""
    rows = computed(lambda x, i: 0.6 * (x[1] - 0.5))
    rows += [row("bao", "BaO", -2.8, -2.8, "known"), row("ruo2", "RuO2", -1.4, None, "known")]
    rows += [{**row(f"element-{s}", s, 0.0, 0.0), "kind": "element"} for s in ("Ba", "O", "Ru")]

    def candidate(name: str, formula: str, energy: float, above: float, n: int = 5) -> dict[str, Any]:
        energies = {"formation_energy_per_atom": energy, "energy_above_hull": above}
        return {"candidate_id": name, "formula": formula, "numbers": [0] * n, **energies}

    candidates = [
        candidate("rich", "BaRuO5", -1.5, -0.10),
        candidate("poor", "Ba2RuO3", -2.297, -0.08),
        candidate("large", "Ba2RuO3", -2.307, -0.09, 45),
        candidate("c00", OXIDES[0], -2.0, -0.3),
    ]
    model = fit(rows)
    found = rank_again(candidates, rows, model, {"c00"}, 1, 20)
    assert [r["crystal_id"] for r in found] == ["large", "poor", "rich"]
    assert [r["next"] for r in found] == [False, True, False]
    assert [(r["rank_before"], r["rank"]) for r in found] == [(2, 1), (3, 2), (1, 3)]
    rich = found[-1]
    assert rich["correction"] == pytest.approx(0.6 * (5 / 7 - 0.5), abs=5e-3)
    assert rich["expected_formation_energy_per_atom"] == pytest.approx(-1.5 + rich["correction"])
    # BaO by DFT, RuO2 by the potential, corrected: BaRuO5 = BaO + RuO2 + O2
    ruo2 = -1.4 + model.predict(["RuO2"])[0]
    hull = 2 / 7 * -2.8 + 3 / 7 * ruo2
    assert rich["expected_energy_above_hull"] == pytest.approx(rich["expected_formation_energy_per_atom"] - hull)


def test_the_same_bytes_whatever_the_order() -> None:
    rows = computed(lambda x, i: 0.3 * x[1] + 0.01 * np.sin(i))
    forward, backward = fit(rows), fit(rows[::-1])
    assert forward.predict(OXIDES) == pytest.approx(backward.predict(OXIDES), abs=1e-12)
    assert fit(rows) == forward
