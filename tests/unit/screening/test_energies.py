"""Energies of candidates: volumes that are adapted, energies that belong to them."""

import numpy as np
import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii
from ase.eos import calculate_eos
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.crystallography.templates import Templates, to_atoms
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.screening.energetics import Hull, formation_energies
from cgwgan_core.screening.energies import (
    ScreenOptions,
    adapt_volumes,
    closest_pairs,
    hull_by,
    scaled_by,
    screen,
)
from cgwgan_core.screening.infill import InfillOptions, candidate_columns, infill
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from tests.support.random_templates import templates as random_templates

PLAIN = ScreenOptions(refine_below=None)


def templates() -> Templates:
    """Cu3Au's and CuAu's."""
    return Templates(
        np.array([221, 123], np.int16),
        np.array([[4.6, 4.6, 4.6, 90, 90, 90], [2.9, 2.9, 3.7, 90, 90, 90.0]]),
        np.array([[0, 2], [0, 3]], np.int8),
        np.array([[[0, 0, 0], [0, 0.5, 0.5]], [[0, 0, 0], [0.5, 0.5, 0.5]]]),
    )


@pytest.fixture(scope="module")
def inputs() -> tuple[pa.Table, pa.Table]:
    names = ["t0", "t1"]
    filled = infill(templates(), ["Cu", "Au"], InfillOptions("template"))
    candidates = tables.to_table(candidate_columns(filled, templates(), names), tables.CANDIDATES)
    return candidates, tables.to_table({**templates().to_columns(), "template_id": names}, tables.TEMPLATES)


def rows(inputs: tuple[pa.Table, pa.Table], emt: Potential, options: ScreenOptions) -> list[dict]:
    hull = Hull([("Cu3Au", -0.03)], ["Cu", "Au"])
    parts = [tables.to_table(columns, tables.SCREENED) for columns in screen(*inputs, emt, hull, options)]
    return pa.concat_tables(parts).to_pylist()


def test_every_candidate_leaves_with_an_energy_or_a_reason(inputs: tuple[pa.Table, pa.Table], emt: Potential) -> None:
    candidates, parents = inputs
    unknown = candidates.to_pylist()
    unknown[1] |= {"elements": ["Cu", "Ba"]}
    found = rows((tables.to_table(unknown, tables.CANDIDATES), parents), emt, PLAIN)
    assert [r["candidate_id"] for r in found] == candidates["candidate_id"].to_pylist()
    for i, row in enumerate(found):
        assert ("No EMT-potential for Ba" in row["status"]) == (i == 1)
        assert (row["status"] == "ok") == np.isfinite(row["energy_per_atom"]) == (i != 1)


def test_energies_are_those_at_the_volume_in_the_row(inputs: tuple[pa.Table, pa.Table], emt: Potential) -> None:
    plain, refined = rows(inputs, emt, PLAIN), rows(inputs, emt, ScreenOptions(refine_below=100.0))
    elements = inputs[0]["elements"].to_pylist()
    for before, after, symbols in zip(plain, refined, elements, strict=True):
        if before["status"] != "ok":
            assert after == before or np.isnan(after["energy_per_atom"])
            continue
        place = int(before["candidate_id"][1])
        atoms = to_atoms(templates(), place, symbols, after["volume_scale"])
        assert after["energy_per_atom"] == pytest.approx(emt.evaluate([atoms]).energy_per_atom[0], abs=1e-9)
        (formation,) = formation_energies([atoms], [after["energy_per_atom"]], emt.energy_scale)
        assert after["formation_energy_per_atom"] == pytest.approx(formation)
        assert after["energy_per_atom"] <= before["energy_per_atom"]
        assert before["volume_scale"] == 1


def test_only_the_better_ones_are_refined(inputs: tuple[pa.Table, pa.Table], emt: Potential) -> None:
    plain = rows(inputs, emt, PLAIN)
    above = sorted(r["energy_above_hull"] for r in plain if r["status"] == "ok")
    limit = (above[0] + above[1]) / 2
    refined = rows(inputs, emt, ScreenOptions(refine_below=limit))
    changed = [b["volume_scale"] != a["volume_scale"] for a, b in zip(plain, refined, strict=True)]
    assert changed == [r["status"] == "ok" and r["energy_above_hull"] < limit for r in plain]
    assert sum(changed) == 1


def ratio(atoms: Atoms) -> np.ndarray:
    """Shortest distance in copper over the diameter of its atoms."""
    return np.array([atoms.cell.lengths()[0] / (2 * covalent_radii[29])])


@pytest.mark.parametrize("a", [3.3, 3.55, 3.61, 3.8, 4.0])
def test_volumes_are_those_of_the_equation_of_state(emt: Potential, a: float) -> None:
    atoms = bulk("Cu", a=a)
    energies = emt.evaluate([atoms]).energy_per_atom
    (factor,), (energy,) = adapt_volumes([atoms], energies, ratio(atoms), emt, PLAIN)
    reference = bulk("Cu", a=3.6)
    reference.calc = emt.calculator()
    volume, lowest, _ = calculate_eos(reference, npoints=9, eps=0.02).fit()
    assert atoms.get_volume() * factor == pytest.approx(volume, rel=0.01)
    assert energy == pytest.approx(lowest, abs=2e-3)
    assert energy == pytest.approx(emt.evaluate([scaled_by(atoms, factor)]).energy_per_atom[0], abs=1e-9)


def test_the_search_stops_at_its_limit_and_at_walls(emt: Potential) -> None:
    far = bulk("Cu", a=2.6)  # the minimum is beyond the limit
    (factor,), _ = adapt_volumes(
        [far], emt.evaluate([far]).energy_per_atom, ratio(far), emt, ScreenOptions(min_distance_ratio=0.0)
    )
    assert factor == pytest.approx(np.exp(0.5))
    large = bulk("Cu", a=3.9)  # towards its minimum atoms come closer than is allowed
    limit = ScreenOptions(min_distance_ratio=float(ratio(large)[0]) - 1e-6)
    (factor,), _ = adapt_volumes([large], emt.evaluate([large]).energy_per_atom, ratio(large), emt, limit)
    assert factor >= 1
    factors, energies = adapt_volumes([], np.zeros(0), np.zeros(0), emt, PLAIN)
    assert len(factors) == len(energies) == 0


def test_sites_that_padding_stands_for_are_nowhere_near() -> None:
    """Of one site an atom and its own image count."""
    pair = Templates(
        np.array([1, 1], np.int16),
        np.array([[6.0, 6, 6, 90, 90, 90], [2.5, 6, 6, 90, 90, 90]]),
        np.array([[0, 0], [0, -1]], np.int8),
        np.array([[[0, 0, 0], [0, 0, 1.25 / 6]], [[0, 0, 0], [0, 0, 0]]]),
    )
    found = closest_pairs(pair, np.array([0, 1, 0]), [["Ba", "O"], ["Ba"], ["Ba", "O"]], np.array([1, 1, 8.0]))
    barium, oxygen = covalent_radii[[56, 8]]
    assert found == pytest.approx([1.25 / (barium + oxygen), 2.5 / (2 * barium), 2.5 / (barium + oxygen)])


@given(template=random_templates(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_closest_pairs_are_those_of_ase(template: Templates, seed: int) -> None:
    """All atoms of the candidate against each other, by ASE's neighbour list."""
    rng = np.random.default_rng(seed)
    symbols = rng.choice(["Ba", "Ru", "O"], int(template.n_sites[0])).tolist()
    scale = float(rng.uniform(0.5, 2))
    atoms = to_atoms(template, 0, symbols, scale)
    found = closest_pairs(template, np.zeros(1, dtype=int), [symbols], np.array([scale]))
    radii = covalent_radii[atoms.numbers]
    i, j, d = neighbor_list("ijd", atoms, 1.01 * float(found[0]) * 2 * float(radii.max()))
    assert found[0] == pytest.approx((d / (radii[i] + radii[j])).min(), rel=1e-9)


def test_options_are_checked() -> None:
    with pytest.raises(InputError, match="batch_size"):
        ScreenOptions(batch_size=0)
    with pytest.raises(InputError, match="min_distance_ratio"):
        ScreenOptions(min_distance_ratio=-1.0)


def test_a_potential_makes_its_own_hull_of_phases_that_another_has_relaxed(chgnet: Potential) -> None:
    on, above = bulk("NaCl", "rocksalt", a=5.66), bulk("NaCl", "cesiumchloride", a=3.45)
    known = [
        {"material_id": f"element-{e}", "formula": e, "formation_energy_per_atom": 0.0, "status": "ok"}
        for e in ("Cl", "Na")
    ]
    # the other's energies do not matter, and what is no part of its hull is none of this one
    lowest = {"formula": "NaCl", "formation_energy_per_atom": -99.0}
    known.append({"material_id": "mp-1", **lowest, "status": "ok"} | atoms_to_row(above))
    known.append({"material_id": "mp-2", **lowest, "status": "203 atoms, more than 100"} | atoms_to_row(on))
    hull = hull_by(chgnet, tables.to_table(known, tables.KNOWN_PHASES))
    energies = chgnet.evaluate([on, above]).energy_per_atom
    formation = formation_energies([on, above], energies, chgnet.energy_scale)
    assert hull.energy_per_atom("NaCl") == pytest.approx(formation[1], abs=1e-6)
    assert hull.energy_above_hull(["NaCl"], formation[:1]) == pytest.approx(energies[0] - energies[1], abs=1e-6)
    assert hull.energy_per_atom("Na") == 0


def test_a_hull_is_one_of_elements_where_a_potential_knows_no_phase(emt: Potential) -> None:
    """EMT has no magnesium."""
    known = [{"material_id": f"element-{e}", "formula": e, "status": "ok"} for e in ("Mg", "O")]
    known.append({"material_id": "mp-1", "formula": "MgO", "status": "ok"} | atoms_to_row(bulk("MgO", "rocksalt", a=4)))
    hull = hull_by(emt, tables.to_table(known, tables.KNOWN_PHASES))
    assert hull.energy_per_atom("MgO") == 0
