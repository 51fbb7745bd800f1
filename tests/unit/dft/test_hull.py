"""Hulls by one engine: against pymatgen with the Materials Project's energies, and what distances hang on."""

import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.dft.hull import counts, hulls
from cgwgan_core.screening.references import references

CELL = atoms_to_row(bulk("BaO", "rocksalt", a=5.5))
OXIDE = -0.687
"""eV per O; MP2020's correction of oxides."""
ELEMENTS = {"Ba": -2.0, "Ru": -9.0, "O": -5.0}
"""eV/atom, of an engine made up."""
NO_CRYSTAL = {"lattice": None, "numbers": None, "frac_coords": None}


def crystal(name: str, kind: str, formula: str, **columns: Any) -> dict[str, Any]:
    """A row of ``choose``; its oxygen is oxide, whatever its formula."""
    return {
        "crystal_id": name,
        "kind": kind,
        "rank": None,
        "formula": formula,
        **CELL,
        "potential": "EMT",
        "formation_energy_per_atom": None,
        "energy_above_hull": None,
        "database_formation_energy_per_atom": None,
        "status": "ok",
        **columns,
    }


def energy(name: str, formula: str, formation: float, elements: dict[str, float] | None = None) -> dict[str, Any]:
    """A static calculation of a given formation energy without corrections (eV/atom)."""
    shares = Composition(formula).fractional_composition.get_el_amt_dict()
    base = sum((elements or ELEMENTS)[symbol] * share for symbol, share in shares.items())
    return {"crystal_id": name, "status": "converged", "energy_per_atom": base + formation}


def elemental(symbols: str = "Ba O Ru") -> list[dict[str, Any]]:
    formulas = {"O": "O2"}
    return [crystal(f"element-{s}", "element", formulas.get(s, s)) for s in symbols.split()]


def element_energies() -> list[dict[str, Any]]:
    return [energy(f"element-{symbol}", symbol, 0.0) for symbol in ELEMENTS]


KNOWN = [
    crystal("bao", "known", "BaO", energy_above_hull=0.0, formation_energy_per_atom=-2.8),
    crystal("ruo2", "known", "RuO2", energy_above_hull=0.0, formation_energy_per_atom=-1.5),
]
KNOWN_ENERGIES = [energy("bao", "BaO", -2.4), energy("ruo2", "RuO2", -1.0)]
SURVIVOR = crystal("new", "candidate", "BaRuO3", energy_above_hull=-0.3)


def by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["crystal_id"]: row for row in rows}


def test_distances_by_hand() -> None:
    """BaRuO3 is 2/5 BaO and 3/5 RuO2, and has as much oxygen as they: corrections cancel."""
    statics = [*element_energies(), *KNOWN_ENERGIES, energy("new", "BaRuO3", -1.7)]
    rows = by_id(hulls([SURVIVOR, *KNOWN, *elemental()], statics))
    new = rows["new"]
    above = -1.7 - (0.4 * -2.4 + 0.6 * -1.0)
    assert new["uncorrected_formation_energy_per_atom"] == pytest.approx(-1.7)
    assert new["formation_energy_per_atom"] == pytest.approx(-1.7 + 0.6 * OXIDE)
    assert new["energy_above_hull"] == pytest.approx(above)
    assert new["energy_above_hull_uncorrected"] == pytest.approx(above)
    assert new["energy_above_joint_hull"] == 0
    assert new["hull_phases"] == ["bao", "ruo2"]
    assert new["decomposition"] == "0.40 BaO + 0.60 RuO2"
    assert (new["status"], new["hull_status"], new["hull_missing"]) == ("converged", "ok", None)
    assert rows["bao"]["energy_above_hull"] == 0
    assert rows["element-O"]["reference"] == "computed"


def test_what_the_correction_decides() -> None:
    """RuO4 and BaO2 against losing O2: the correction of two O for each."""
    rutheniate = crystal("ruo4", "candidate", "RuO4", energy_above_hull=-0.1)
    statics = [*element_energies(), *KNOWN_ENERGIES, energy("ruo4", "RuO4", -0.5)]
    row = by_id(hulls([rutheniate, *KNOWN, *elemental()], statics))["ruo4"]
    assert row["energy_above_hull_uncorrected"] == pytest.approx(-0.5 - 0.6 * -1.0)
    assert row["oxygen_loss_uncorrected"] == pytest.approx(5 * 0.5 - 3 * 1.0)
    assert row["oxygen_loss"] == pytest.approx(5 * 0.5 - 3 * 1.0 - 2 * OXIDE)
    assert row["oxygen_loss_products"] == "1.00 RuO2"
    assert row["oxygen_loss_status"] == "ok"


def test_mixed_hull_tells_how_far_engine_and_database_differ() -> None:
    """The engine has BaO 0.02 above the database's energy, and RuO2 0.05."""
    known = [
        {**KNOWN[0], "database_formation_energy_per_atom": -2.42 + 0.5 * OXIDE},
        {**KNOWN[1], "database_formation_energy_per_atom": -1.05 + 2 / 3 * OXIDE},
    ]
    statics = [*element_energies(), *KNOWN_ENERGIES, energy("new", "BaRuO3", -1.7)]
    row = by_id(hulls([SURVIVOR, *known, *elemental()], statics))["new"]
    assert row["mixed_shift"] == pytest.approx(0.4 * 0.02 + 0.6 * 0.05)
    assert row["energy_above_mixed_hull"] - row["mixed_shift"] == pytest.approx(row["energy_above_hull"])


def test_candidates_compete_on_the_joint_hull() -> None:
    other = crystal("other", "candidate", "BaRuO3", energy_above_hull=-0.2)
    statics = [*element_energies(), *KNOWN_ENERGIES, energy("new", "BaRuO3", -1.8), energy("other", "BaRuO3", -1.7)]
    rows = by_id(hulls([SURVIVOR, other, *KNOWN, *elemental()], statics))
    assert rows["other"]["energy_above_hull"] < 0
    assert rows["other"]["energy_above_joint_hull"] == pytest.approx(0.1)


def test_what_has_no_energy_has_its_reason() -> None:
    large = crystal("large", "candidate", "BaRuO3", status="45 atoms, more than 20")
    failed = crystal("failed", "candidate", "BaRuO3")
    never = crystal("never", "candidate", "BaRuO3")
    statics = [
        *(*element_energies(), *KNOWN_ENERGIES),
        {"crystal_id": "failed", "status": "no convergence in 300 steps", "energy_per_atom": None},
    ]
    rows = by_id(hulls([large, failed, never, *KNOWN, *elemental()], statics))
    for name, reason in {
        "large": "45 atoms, more than 20",
        "failed": "no convergence in 300 steps",
        "never": "not calculated",
    }.items():
        assert (rows[name]["status"], rows[name]["hull_status"]) == (reason, reason)
        assert rows[name]["formation_energy_per_atom"] is rows[name]["energy_above_hull"] is None


def test_a_phase_that_was_not_computed_is_told() -> None:
    """By the potential, BaRuO3 falls apart into BaO and RuO2; without RuO2 the engine's hull lies too high."""
    statics = [*element_energies(), KNOWN_ENERGIES[0], energy("new", "BaRuO3", -1.7)]
    large = {**KNOWN[1], "status": "60 atoms, more than 40"}
    row = by_id(hulls([SURVIVOR, KNOWN[0], large, *elemental()], statics))["new"]
    assert row["hull_missing"] == "RuO2 (ruo2): 60 atoms, more than 40"
    assert row["energy_above_hull"] is not None


def test_an_allotrope_stands_for_the_lowest() -> None:
    ruthenium = crystal("fcc", "element", "Ru", database_formation_energy_per_atom=0.1)
    statics = [*element_energies(), *KNOWN_ENERGIES, energy("fcc", "Ru", 0.1)]
    rows = by_id(hulls([*KNOWN, *elemental("Ba O"), ruthenium], statics))
    assert rows["ruo2"]["uncorrected_formation_energy_per_atom"] == pytest.approx(-1.0)
    assert rows["fcc"]["reference"] == "computed: a crystal 0.100 eV/atom above the element's lowest, taken off"


def test_a_fitted_element() -> None:
    """Ru fitted to RuO2; distances that end in Ru are none, those that do not are the same as with Ru computed."""
    known = [KNOWN[0], {**KNOWN[1], "database_formation_energy_per_atom": -1.1 + 2 / 3 * OXIDE}]
    missing = crystal("element-Ru", "element", "Ru", **NO_CRYSTAL, status="no crystal of Ru in the database")
    suboxide = crystal("suboxide", "candidate", "Ru2O", energy_above_hull=0.1)
    statics = [*element_energies(), *KNOWN_ENERGIES, energy("new", "BaRuO3", -1.7), energy("suboxide", "Ru2O", -0.4)]
    rows = by_id(hulls([SURVIVOR, suboxide, *known, *elemental("Ba O"), missing], statics))
    computed = by_id(hulls([SURVIVOR, suboxide, *known, *elemental()], statics))
    assert rows["ruo2"]["uncorrected_formation_energy_per_atom"] == pytest.approx(-1.1)
    assert rows["new"]["energy_above_hull"] == pytest.approx(computed["new"]["energy_above_hull"])
    assert rows["new"]["fitted"] == "Ru"
    assert rows["new"]["energy_above_mixed_hull"] is None
    assert rows["suboxide"]["energy_above_hull"] is None
    assert rows["suboxide"]["hull_status"] == "falls apart into Ru, whose energy is fitted to the database's"
    assert computed["suboxide"]["energy_above_hull"] is not None
    assert rows["suboxide"]["oxygen_loss"] is None
    assert rows["element-Ru"]["reference"] == (
        "fitted to 1 known phases, 0.000 eV/atom off: no crystal of Ru in the database"
    )


def test_a_distance_that_hangs_on_how_good_the_fit_is() -> None:
    """RuO is stable by 0.02 eV/atom against RuO2 and Ru, and unstable were Ru 0.1 eV lower."""
    known = [
        {**KNOWN[1], "database_formation_energy_per_atom": -1.0 + 2 / 3 * OXIDE},
        crystal("ruo", "known", "RuO", database_formation_energy_per_atom=-0.77 + 1 / 2 * OXIDE),
    ]
    missing = crystal("element-Ru", "element", "Ru", **NO_CRYSTAL, status="84 atoms, more than 40")
    statics = [*element_energies(), *KNOWN_ENERGIES, energy("ruo", "RuO", -0.77)]
    rows = by_id(hulls([*known, *elemental("Ba O"), missing], statics))
    assert rows["ruo"]["decomposition"] == "1.00 RuO"
    assert rows["ruo"]["energy_above_hull_uncorrected"] is None
    assert rows["ruo2"]["energy_above_hull_uncorrected"] == 0


def test_an_element_that_cannot_be_fitted() -> None:
    missing = crystal("element-Ru", "element", "Ru", **NO_CRYSTAL, status="no crystal of Ru in the database")
    statics = [*element_energies(), *KNOWN_ENERGIES, energy("new", "BaRuO3", -1.7)]
    rows = by_id(hulls([SURVIVOR, *KNOWN, *elemental("Ba O"), missing], statics))
    assert rows["new"]["energy_per_atom"] is not None
    assert rows["new"]["formation_energy_per_atom"] is None
    assert rows["new"]["hull_status"] == "no energy of Ru: no crystal of Ru in the database"
    assert rows["bao"]["energy_above_hull"] == 0


def test_energies_with_u_are_brought_to_those_without() -> None:
    """MP2020 takes 2.256 eV per Fe off those with U, in corrected and uncorrected energies alike."""
    iron = {"Fe": -8.0, "O": -5.0}
    known = crystal("fe2o3", "known", "Fe2O3")
    statics = [energy(f"element-{s}", s, 0.0, iron) for s in iron] + [energy("fe2o3", "Fe2O3", -0.5, iron)]
    rows = [by_id(hulls([known, *elemental("Fe O")], statics, hubbard=u))["fe2o3"] for u in (False, True)]
    for column in ("formation_energy_per_atom", "uncorrected_formation_energy_per_atom"):
        assert rows[1][column] - rows[0][column] == pytest.approx(-2.256 * 2 / 5)


def test_counts() -> None:
    def row(above: float | None, by_potential: float | None, kind: str = "candidate") -> dict[str, Any]:
        energies = {"energy_above_hull": above, "potential_energy_above_hull": by_potential}
        energies |= {"energy_above_mixed_hull": 9.0, "hull_missing": None}
        return {"kind": kind, "energy_per_atom": None if above is None else -5.0, **energies}

    rows = [row(-0.1, -0.05), row(0.0, 0.2), row(0.04, 0.0), row(0.2, None), row(None, -0.1), row(0.0, 0.0, "known")]
    assert counts(rows) == {"with_energy": 4, "with_distance": 4, "on_or_below": 2, "near": 3, "wrong": 1}


FORMULAS = ["BaO", "BaO2", "RuO2", "RuO4", "BaRuO3", "BaRuO4", "Ba2RuO4", "Ba5(RuO5)2"]


@settings(max_examples=15)  # twice five phase diagrams each
@given(
    st.lists(st.floats(-3, 0.2), min_size=len(FORMULAS), max_size=len(FORMULAS)),
    st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3)),
)
def test_no_known_phase_is_below_the_hull_and_the_zero_of_an_element_is_free(
    formation: list[float], shift: tuple[float, float, float]
) -> None:
    crystals = [crystal(f, "known" if i % 3 else "candidate", f) for i, f in enumerate(FORMULAS)]
    moved = {symbol: ELEMENTS[symbol] + by for symbol, by in zip(ELEMENTS, shift, strict=True)}
    found = []
    for elements in (ELEMENTS, moved):
        statics = [energy(f"element-{symbol}", symbol, 0.0, elements) for symbol in elements]
        statics += [energy(f, f, e, elements) for f, e in zip(FORMULAS, formation, strict=True)]
        found.append(hulls([*crystals, *elemental()], statics))
    for row, same in zip(*found, strict=True):
        for column in ("energy_above_hull", "energy_above_hull_uncorrected", "energy_above_joint_hull"):
            if row["kind"] != "element":
                assert row[column] == pytest.approx(same[column], abs=1e-9)
                assert row[column] >= 0 or (row["kind"] == "candidate" and column != "energy_above_joint_hull")
        if row["kind"] == "known":
            assert row["energy_above_joint_hull"] >= row["energy_above_hull"] - 1e-9


def test_with_the_energies_of_the_materials_project(shared_data: Path) -> None:
    """As if its raw energies were the engine's: distances are those of pymatgen's own corrections and phase diagram."""
    entries = [
        entry
        for entry in json.loads(gzip.decompress((shared_data / "ba_ru_o_mp_entries.json.gz").read_bytes()))
        if entry["energy_per_atom_uncorrected"] is not None
    ]
    compounds = [entry for entry in entries if len(Composition(entry["formula"])) > 1]
    assert len(compounds) == 20
    elements = {symbol: references("mp_uncorrected")[symbol] for symbol in ELEMENTS}
    crystals, statics = elemental(), [energy(f"element-{symbol}", symbol, 0.0, elements) for symbol in elements]
    scheme, computed = MaterialsProject2020Compatibility(check_potcar=False), []
    for entry in compounds:
        structure = Structure.from_dict(entry["structure"])
        atoms = Atoms(
            structure.atomic_numbers, cell=structure.lattice.matrix, positions=structure.cart_coords, pbc=True
        )
        name, raw = entry["material_id"], entry["energy_per_atom_uncorrected"]
        crystals.append(crystal(name, "known", entry["formula"], **atoms_to_row(atoms)))
        statics.append({"crystal_id": name, "status": "converged", "energy_per_atom": raw})
        computed.append(ComputedStructureEntry(structure, raw * len(atoms), entry_id=name, parameters=_GGA))
    for symbol, value in elements.items():
        lattice = Structure(np.eye(3) * 3, [symbol], [[0, 0, 0]])
        computed.append(ComputedStructureEntry(lattice, value, entry_id=symbol, parameters=_GGA))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        corrected = scheme.process_entries(computed, clean=True)
    assert len(corrected) == len(computed)
    diagram = PhaseDiagram(corrected)
    rows = by_id(hulls(crystals, statics))
    heights = {entry.entry_id: diagram.get_e_above_hull(entry) for entry in corrected}
    for entry in compounds:
        assert rows[entry["material_id"]]["energy_above_hull"] == pytest.approx(heights[entry["material_id"]], abs=1e-6)


_GGA = {"run_type": "GGA", "hubbards": {}}
