"""What distances to the hull hang on, by hand."""

from typing import Any

import pyarrow as pa
import pytest
from ase.build import bulk

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.results.hulls import KnownHull, add_hulls, in_words
from cgwgan_core.workflow import tables

CELL = atoms_to_row(bulk("NaCl", "rocksalt", a=5.6))
"""Of compounds; elements have none."""
OXIDE = -0.687


def phase(name: str, formula: str, energy: float, oxygen: float, **columns: Any) -> dict[str, Any]:
    """A row of ``tables.KNOWN_PHASES``.

    :param oxygen: share of the atoms that are oxide.
    """
    cell = {} if name.startswith("element") else CELL
    energies = {"formation_energy_per_atom": energy, "uncorrected_formation_energy_per_atom": energy - oxygen * OXIDE}
    return {"material_id": name, "formula": formula, **cell, **energies, "status": "ok", **columns}


PHASES = [
    phase("element-Ba", "Ba", 0.0, 0),
    phase("element-O", "O", 0.0, 0),
    phase("element-Ru", "Ru", 0.0, 0),
    phase("mp-1", "BaO", -2.8, 1 / 2),
    phase("mp-2", "BaO", -2.7, 1 / 2),
    phase("mp-3", "RuO2", -1.4, 2 / 3, defect="energies differ: by the potential -0.50 eV/atom"),
    phase("mp-4", "BaRuO3", -9.0, 3 / 5, status="doubted: no energy in the database"),
]
"""BaO in two forms, RuO2, and a perovskite that is left out."""


@pytest.fixture
def known() -> pa.Table:
    return tables.to_table(PHASES, tables.KNOWN_PHASES)


def survivor(name: str, formula: str, energy: float | None, oxygen: float) -> dict[str, Any]:
    row = dict.fromkeys(tables.STABLE.names)
    uncorrected = None if energy is None else energy - oxygen * OXIDE
    return row | {
        "candidate_id": name,
        "formula": formula,
        "formation_energy_per_atom": energy,
        "uncorrected_formation_energy_per_atom": uncorrected,
    }


def test_how_far_a_distance_falls_without_a_phase(known: pa.Table) -> None:
    """BaRuO3 is 2/5 BaO and 3/5 RuO2. A second BaO, 0.1 eV/atom higher, takes the first one's place; no other RuO2."""
    found = KnownHull(known).dependence("BaRuO3")
    assert found["hull_phases"] == ["mp-1", "mp-3"]
    assert found["hull_shifts"] == pytest.approx([0.4 * 0.1, 0.6 * 1.4])
    assert found["largest_shift"] == pytest.approx(0.84)
    assert found["largest_shift_phase"] == "mp-3"
    assert found["hull_defects"] == "RuO2 (mp-3): energies differ: by the potential -0.50 eV/atom"


def test_elements_are_never_left_out(known: pa.Table) -> None:
    """Ba3O is BaO and barium."""
    found = KnownHull(known).dependence("Ba3O")
    assert found["hull_phases"] == ["mp-1"]
    assert found["hull_shifts"] == pytest.approx([0.5 * 0.1])
    alone = KnownHull(known).dependence("BaRu")
    assert (alone["hull_phases"], alone["largest_shift"], alone["largest_shift_phase"]) == ([], None, None)


def test_survivors_compete_on_their_joint_hull(known: pa.Table) -> None:
    """The hull at BaRuO3 is at -1.96, at Ba2RuO4 at -2.2 eV/atom."""
    best = survivor("best", "BaRuO3", -2.06, 3 / 5)
    worse = survivor("worse", "BaRuO3", -2.0, 3 / 5)
    # 5/7 of the atoms of Ba2RuO4 are BaRuO3, the others BaO: the best one lowers the hull there, too
    other = survivor("other", "Ba2RuO4", -2.2, 4 / 7)
    rows = [best, worse, other, survivor("unknown", "BaRuO3", None, 3 / 5)]
    add_hulls(rows, known)
    joint = 5 / 7 * -2.06 + 2 / 7 * -2.8
    expected = [0.0, 0.06, -2.2 - joint]
    assert [row["energy_above_joint_hull"] for row in rows[:3]] == pytest.approx(expected, abs=1e-9)
    assert expected[2] > 0
    assert rows[3]["energy_above_joint_hull"] is rows[3]["hull_phases"] is None
    assert set(best) == set(tables.STABLE.names)
    words = in_words(rows)
    assert words.startswith(" Of the survivors, 1 lies on the joint hull with the known phases; 3 lie above doubted")
    assert "apart" not in words
    best |= {"energy_above_hull": -0.1, "decomposition": "0.40 Ba + 0.60 RuO2"}
    worse |= {"energy_above_hull": -0.1, "decomposition": "0.40 BaO + 0.60 RuO2"}
    other |= {"energy_above_hull": 0.1, "decomposition": "0.40 Ba + 0.60 RuO2"}
    assert "; 1 below the hull falls apart into an element: the database may lack compounds there." in in_words(rows)


def test_corrections_cancel_where_no_oxygen_leaves(known: pa.Table) -> None:
    """BaRuO3 keeps its oxygen as it falls apart, BaRuO4 loses one of four: each O then lacks the correction."""
    rows = [survivor("a", "BaRuO3", -2.0, 3 / 5), survivor("b", "BaRuO4", -1.7, 4 / 6)]
    add_hulls(rows, known)
    phases = KnownHull(known)
    corrected = [row["formation_energy_per_atom"] - phases.hull.energy_per_atom(row["formula"]) for row in rows]
    differences = [row["energy_above_hull_uncorrected"] - c for row, c in zip(rows, corrected, strict=True)]
    assert differences == pytest.approx([0.0, -OXIDE / 6], abs=1e-9)


def test_nothing_to_fill(known: pa.Table) -> None:
    add_hulls([], known)
    unknown = survivor("unknown", "BaRuO3", None, 3 / 5)
    add_hulls([unknown], known)
    assert unknown == survivor("unknown", "BaRuO3", None, 3 / 5)
    assert in_words([unknown]) == in_words([]) == ""
