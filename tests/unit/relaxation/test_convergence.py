"""How many relaxations converge: which crystals stand beside each other, and what is counted of them."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.convergence import (
    GENERATED,
    KNOWN,
    RANDOM,
    ConvergenceOptions,
    pairs,
    points,
    relax_pairs,
    relax_references,
    summary,
)
from cgwgan_core.relaxation.known_phases import KnownPhasesOptions
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError


@pytest.fixture(scope="module")
def templates() -> pa.Table:
    """L1_0 and L1_2 in cells of several shapes: two sites of 2 or 1 and 3 atoms, in 2 or 4 of a cell."""
    sizes = np.linspace(2.8, 4.0, 6)
    cell = np.array([[a, a, c, 90, 90, 90] for a in sizes for c in (a, 1.3 * a)])
    groups = np.tile(np.array([221, 123], np.int16), 6)
    letters = np.tile(np.array([[0, 2], [0, 3]], np.int8), (6, 1))
    coords = np.tile(np.array([[[0, 0, 0], [0, 0.5, 0.5]], [[0, 0, 0], [0.5, 0.5, 0.5]]]), (6, 1, 1))
    columns = Templates(groups, cell, letters, coords).to_columns()
    return tables.to_table({"template_id": [f"t{i}" for i in range(12)], **columns}, tables.TEMPLATES)


def test_a_random_crystal_of_the_same_atoms_stands_beside_each(templates: pa.Table) -> None:
    options = ConvergenceOptions(compositions=("CuAu", "Cu3Au", "Cu"), each=5)
    starts = list(pairs(templates, options, seed=1))
    by_arm = {arm: {s.row["crystal_id"]: s for s in starts if s.row["arm"] == arm} for arm in (GENERATED, RANDOM)}
    assert by_arm[RANDOM].keys() <= by_arm[GENERATED].keys()
    assert len(by_arm[RANDOM]) >= 4
    for name, other in by_arm[RANDOM].items():
        first = by_arm[GENERATED][name]
        assert formula_of_atoms(other.atoms) == formula_of_atoms(first.atoms)
        assert {**other.row, "arm": GENERATED} == first.row
        assert first.row["n_atoms"] % len(other.atoms) == 0  # a primitive cell of it
    # in turn, as long as both have any: no template of one element has two sites here
    formulas = [start.row["composition"] for start in by_arm[GENERATED].values()]
    assert sorted(f for f in formulas if f != "Cu") == ["Cu3Au"] * 2 + ["CuAu"] * 3


def test_shards_share_the_number_and_no_crystal(templates: pa.Table) -> None:
    options = ConvergenceOptions(compositions=("CuAu", "Cu3Au"), each=5)
    whole = [
        [
            s.row["crystal_id"]
            for s in pairs(tables.dealt_to(templates, i, 2), options, 1, i, 2)
            if s.row["arm"] == GENERATED
        ]
        for i in range(2)
    ]
    assert [len(names) for names in whole] == [3, 2]
    assert not set(whole[0]) & set(whole[1])


def test_equal_seeds_draw_equal_crystals(templates: pa.Table) -> None:
    options = ConvergenceOptions(compositions=("Cu3Au",), each=3)

    def drawn(seed: int) -> list[Any]:
        return [(s.row, s.atoms.positions.tolist()) for s in pairs(templates, options, seed)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_both_arms_relax_alike_and_every_crystal_stays(templates: pa.Table, emt: Potential) -> None:
    options = ConvergenceOptions(compositions=("CuAu", "Cu3Au"), each=4)
    starts = list(pairs(templates, options, seed=1))
    rows = relax_pairs(starts, emt, options)
    assert [(row["arm"], row["crystal_id"]) for row in rows] == [(s.row["arm"], s.row["crystal_id"]) for s in starts]
    assert any(row["status"] == "ok" and row["fmax"] < options.fmax for row in rows)
    rows = relax_pairs(starts, emt, ConvergenceOptions(max_steps=1, fmax=1e-9))
    assert {row["status"].split(" after")[0].split(":")[0] for row in rows} <= {
        "not converged",
        "fell apart",
        "collapsed",
    }


def test_the_known_phases_of_every_system_make_its_hull(structures: pa.Table, emt: Potential) -> None:
    # "z" is a phase of another system, which this run leaves out by name
    hull = KnownPhasesOptions(max_atoms=50, leave_out=["no_energy", "z"])
    rows = relax_references(structures, emt, ["Cu3Au", "Cu"], hull)
    assert [(row["composition"], row["crystal_id"]) for row in rows] == [("Cu3Au", "a")]
    crystal = {"composition": "Cu3Au", "arm": GENERATED, "n_atoms": 4, "status": "ok"}
    (point,) = points([{**rows[0], "formation_energy_per_atom": -0.2}, {**crystal, "formation_energy_per_atom": 0.1}])
    assert (point["above"], point["median_above"]) == ("hull", pytest.approx(0.3))


def row(arm: str, composition: str, n_atoms: int, energy: float | None) -> dict[str, Any]:
    status = "not converged after 9 steps: too far" if energy is None else "ok"
    keys = {"arm": arm, "composition": composition, "n_atoms": n_atoms}
    return {**keys, "formation_energy_per_atom": energy, "status": status}


def test_points_count_what_converged_and_tell_what_it_lies_above() -> None:
    rows = [
        row(GENERATED, "NiSe", 8, -0.5),
        row(GENERATED, "NiSe", 2, -0.1),
        row(GENERATED, "NiSe", 4, None),
        row(RANDOM, "NiSe", 9, -0.7),
        row(RANDOM, "P", 32, 0.2),
        row(RANDOM, "P", 33, 0.0),  # too large for any point
        row(RANDOM, "BaRuO3", 5, -2.0),
        row(KNOWN, "BaO", 2, -3.0),
    ]
    found = points(rows)
    assert [(p["n_elements"], p["arm"], p["min_atoms"], p["converged"], p["n"], p["above"]) for p in found] == [
        (1, RANDOM, 25, 1, 1, "hull"),
        (2, GENERATED, 2, 2, 3, "lowest crystal"),
        (2, RANDOM, 9, 1, 1, "lowest crystal"),
        (3, RANDOM, 2, 1, 1, "hull"),
    ]
    # from the lowest of either arm, and of the ternary from 2/5 BaO and elements
    assert [p["median_above"] for p in found] == pytest.approx([0.2, 0.4, 0.0, -2.0 + 3.0 * 2 / 5])
    assert found[1]["share_low"] == pytest.approx(0.208, abs=1e-3)  # Wilson, 2 of 3
    assert found[1]["share_high"] == pytest.approx(0.939, abs=1e-3)
    assert summary(found) == "relaxations that converge: 2 of 3 generated, 3 of 3 random"


@pytest.mark.parametrize("options", [{"each": 0}, {"fmax": 0.0}, {"max_steps": 0}, {"compositions": ("Rust",)}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        ConvergenceOptions(**options)
