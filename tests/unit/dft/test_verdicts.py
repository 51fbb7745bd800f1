"""Who is relaxed, who gets phonons, and the last table: from energies made up to be followed by hand."""

from typing import Any

import pytest
from ase.build import bulk

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.dft.hull import hulls
from cgwgan_core.dft.verdicts import best, final_rows, height, relaxed_statics, to_relax
from cgwgan_core.workflow import tables

CELL = atoms_to_row(bulk("NiAl", "cesiumchloride", a=2.9))
NONE = {"energy_above_hull": None, "energy_above_mixed_hull": None, "hull_missing": None}


def crystal(name: str, kind: str, formula: str, rank: int | None = None, **columns: Any) -> dict[str, Any]:
    return {
        "crystal_id": name,
        "kind": kind,
        "rank": rank,
        "formula": formula,
        **CELL,
        "potential": "EMT",
        "formation_energy_per_atom": None,
        "energy_above_hull": None,
        "database_formation_energy_per_atom": None,
        "status": "ok",
        **columns,
    }


def energy(name: str, value: float | None, status: str = "converged") -> dict[str, Any]:
    return {
        "crystal_id": name,
        "status": status,
        "energy_per_atom": value,
        "magnetic_order": "FM",
        "magnetic_moment": 1.0,
        "starts": ["FM", "NM"],
        "start_energies": [value, None],
        "engine": "made up",
        "remedies": ["weaker mixing"],
    }


# Al and Ni have -4 and -6 eV/atom; the known AlNi lies 0.5 below them, at -5.5
CRYSTALS = [
    crystal("low", "candidate", "AlNi", 1, energy_above_hull=0.02, formation_energy_per_atom=-0.40),
    crystal("high", "candidate", "AlNi", 2, energy_above_hull=0.03),
    crystal("unconverged", "candidate", "AlNi", 3),
    crystal("rich", "candidate", "AlNi3", 4),
    crystal("large", "candidate", "AlNi", 5, status="45 atoms, more than 20"),
    crystal("known", "known", "AlNi"),
    crystal("far", "known", "Al3Ni"),
    crystal("Al", "element", "Al"),
    crystal("Ni", "element", "Ni"),
]
STATICS = [
    energy("low", -5.52),
    energy("high", -5.40),
    energy("unconverged", None, "not converged"),
    energy("rich", -5.70),
    energy("known", -5.50),
    energy("far", -4.40),
    energy("Al", -4.0),
    energy("Ni", -6.0),
]
# the known one gains 30 meV/atom, the high candidate 140; the low one has risen within the noise
RELAXED: list[dict[str, Any]] = [
    {"crystal_id": "low", "status": "converged", "energy_per_atom": -5.5199, "steps": 1, "gain": -0.0001},
    {"crystal_id": "high", "status": "converged", "energy_per_atom": -5.54, "steps": 3, "gain": 0.14},
    {
        "crystal_id": "known",
        "status": "8 steps, not converged",
        "energy_per_atom": -5.53,
        "steps": 8,
        "gain": 0.03,
    },
    {"crystal_id": "rich", "status": "collapsed", "energy_per_atom": None, "steps": None, "gain": None},
]
PHONONS = [
    {"crystal_id": "high", "status": "converged", "verdict": "stable", "min_frequency": 0.7}
    | {"elasticity": "converged", "elastic_eigenvalues": [21.0, 40.0, 40.0, 80.0, 80.0, 300.0]}
]
STABLE = [{"candidate_id": "low", "spacegroup": 221, "elastic_min_eigenvalue": 33.0}]


def test_the_best_are_those_lowest_above_the_hull() -> None:
    rows = hulls(CRYSTALS, STATICS)
    heights = [height(row) for row in rows]
    assert heights[:2] + heights[3:4] == pytest.approx([-0.02, 0.10, 0.05])
    assert (heights[2], heights[4]) == (None, None)
    assert best(rows, 10) == ["low", "rich", "high"]
    assert best(rows, 1) == ["low"]
    assert best(rows, 0) == []


def test_without_a_hull_the_potentials_order_holds() -> None:
    """As where the database has no crystal of an element."""
    statics = [row for row in STATICS if row["crystal_id"] != "Ni"]
    crystals = [row | {"status": "no crystal of Ni"} if row["crystal_id"] == "Ni" else row for row in CRYSTALS]
    rows = hulls(crystals, statics)
    assert {height(row) for row in rows} == {None}
    assert best(rows, 2) == ["low", "high"]
    assert best(rows[::-1], 9) == ["low", "high", "rich"]
    assert to_relax(rows, 2) == ["low", "high"]
    last, counts = final_rows(crystals, statics, RELAXED, PHONONS)
    assert {row["dft_rank"] for row in last} == {None}
    assert [row["crystal_id"] for row in last[:5]] == ["low", "high", "unconverged", "rich", "large"]
    assert (counts["with_energy"], counts["with_distance"]) == (3, 0)
    assert {row["crystal_id"]: row["verdict"] for row in last}["high"] == "stable"


def test_a_distance_to_the_mixed_hull_does_where_there_is_no_other() -> None:
    assert height({**NONE, "energy_above_mixed_hull": 0.3}) == 0.3
    assert height({**NONE, "energy_above_hull": 0.2, "energy_above_mixed_hull": 0.3}) == 0.2
    assert height({**NONE, "energy_above_hull": 0.0, "energy_above_mixed_hull": 0.3}) == 0.0
    assert height(NONE) is None


@pytest.mark.parametrize(("mixed", "counts"), [(0.3, 0.3), (0.1, 0.2), (None, 0.2)])
def test_where_the_hull_lacks_phases_the_larger_distance_counts(mixed: float | None, counts: float) -> None:
    lacking = {"energy_above_hull": 0.2, "energy_above_mixed_hull": mixed, "hull_missing": "AlNi3 (mp-1): 40 atoms"}
    assert height(lacking) == counts


def test_the_phases_that_the_best_fall_apart_into_are_relaxed_too() -> None:
    rows = hulls(CRYSTALS, STATICS)
    assert to_relax(rows, 1) == ["low", "known"]
    assert to_relax(rows, 3) == ["low", "rich", "high", "known"]  # no element, and nothing off the hull
    assert to_relax(rows, 0) == []


def test_relaxation_counts_where_it_gains() -> None:
    found = {row["crystal_id"]: row for row in relaxed_statics(STATICS, RELAXED)}
    energies = {name: row["energy_per_atom"] for name, row in found.items()}
    assert (energies["low"], energies["high"], energies["known"], energies["rich"]) == (-5.52, -5.54, -5.53, -5.70)
    assert found["unconverged"]["status"] == "not converged"
    assert relaxed_statics(STATICS, []) == STATICS


def test_the_last_table_by_hand() -> None:
    rows, counts = final_rows(CRYSTALS, STATICS, RELAXED, PHONONS, judged=STABLE)
    assert [row["crystal_id"] for row in rows] == [
        "high", "low", "rich", "unconverged", "large", "known", "far", "Al", "Ni",
    ]  # fmt: skip
    found = {row["crystal_id"]: row for row in rows}
    high, low = found["high"], found["low"]
    # both sides are relaxed: -5.54 over -5.53, where it was -5.40 over -5.50
    assert high["energy_above_hull"] == pytest.approx(-0.01)
    assert high["static_energy_above_hull"] == pytest.approx(0.10)
    assert (high["dft_rank"], high["verdict"], high["min_frequency"], high["phonons"]) == (
        1,
        "stable",
        0.7,
        "converged",
    )
    assert (high["steps"], high["gain"], high["relaxation"]) == (3, 0.14, "converged")
    assert (low["energy_above_hull"], low["static_energy_above_hull"]) == pytest.approx((0.01, -0.02))
    assert low["difference"] == pytest.approx(-0.52 + 0.40)
    assert high["difference"] is None
    assert (high["elasticity"], high["elastic_eigenvalues"][0]) == ("converged", 21.0)
    assert (low["elasticity"], low["elastic_eigenvalues"]) == (None, None)
    assert (low["potential_spacegroup"], low["potential_elastic_min_eigenvalue"]) == (221, 33.0)
    assert high["potential_spacegroup"] is None
    assert found["rich"]["relaxation"] == "collapsed"
    assert found["rich"]["energy_above_hull"] == pytest.approx(-5.70 + 0.5 * 5.53 + 0.5 * 6.0)
    assert found["unconverged"]["status"] == "not converged"
    assert found["unconverged"]["dft_rank"] is None
    assert found["large"]["status"] == "45 atoms, more than 20"
    assert found["large"]["remedies"] == []
    assert found["known"]["relaxation"] == "8 steps, not converged"
    assert (counts["with_energy"], counts["on_or_below"], counts["static_on_or_below"]) == (3, 1, 1)
    assert tables.to_table(rows, tables.DFT).num_rows == len(CRYSTALS)
