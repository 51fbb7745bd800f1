"""Formation energies against Materials Project's, and the hull against linear programming."""

import gzip
import json
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ase import Atoms
from pymatgen.core import Composition
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedEntry
from scipy.optimize import linprog

from cgwgan_core.screening.energetics import (
    Hull,
    anion_correction_per_atom,
    correction_per_atom,
    formation_energies,
    formation_energy_per_atom,
    oxygen_species,
    references,
    uncorrected_formation_energy_per_atom,
)
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError


def test_references_are_of_their_scale() -> None:
    mp, matpes = references("mp_uncorrected"), references("matpes")
    assert (mp["Ba"], mp["Ru"], mp["O"]) == pytest.approx((-1.919, -9.274, -4.948), abs=1e-3)
    assert matpes["Ba"] == pytest.approx(-3.242, abs=1e-3)
    assert references("mp_corrected") == mp
    assert len(mp) > 85
    assert list(mp) == sorted(mp)


@pytest.mark.parametrize("formula", ["BaRuO3", "Fe2O3", "BaTiS3", "SiO2", "CsPbI3", "TiN", "NiAl", "Li3PO4", "H2SO4"])
def test_corrections_without_guesses_are_those_with_them(formula: str) -> None:
    """pymatgen's own way, which guesses oxidation states of everything."""
    scheme, composition = MaterialsProject2020Compatibility(check_potcar=False), Composition(formula)
    anion = max(composition.elements, key=lambda e: e.X).symbol
    settings = scheme.u_settings.get(anion, {})
    hubbards = {e.symbol: settings[e.symbol] for e in composition if settings.get(e.symbol)}
    parameters = {"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards}
    entry = ComputedEntry(composition, 0.0, parameters=parameters, data={"oxide_type": "oxide"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sum(a.value for a in scheme.get_adjustments(entry)) / composition.num_atoms
    assert correction_per_atom(formula) == pytest.approx(expected, abs=1e-12)


def test_corrections_are_those_of_mp2020() -> None:
    """eV per atom of the element."""
    assert correction_per_atom("BaRuO3") == pytest.approx(-0.687 * 3 / 5)
    assert correction_per_atom("BaO2", "peroxide") == pytest.approx(-0.465 * 2 / 3)
    assert correction_per_atom("KO2", "superoxide") == pytest.approx(-0.161 * 2 / 3)
    assert correction_per_atom("Fe2O3") == pytest.approx((-0.687 * 3 - 2.256 * 2) / 5)
    assert correction_per_atom("NaCl") == pytest.approx(-0.614 / 2)
    assert correction_per_atom("NiAl") == 0
    assert correction_per_atom("O2") == 0


def test_corrections_of_anions_alone() -> None:
    """Iron's correction, which makes energies with U comparable, stays."""
    assert anion_correction_per_atom("Fe2O3") == pytest.approx(-0.687 * 3 / 5)
    assert anion_correction_per_atom("NiAl") == 0
    for scale in ("mp_uncorrected", "mp_corrected"):
        found = uncorrected_formation_energy_per_atom("BaO2", -2.0, scale, "peroxide")
        assert found == pytest.approx(-2.0 + 0.465 * 2 / 3)
    assert uncorrected_formation_energy_per_atom("BaO2", -2.0, "matpes") == -2.0


def test_formation_energy_scales() -> None:
    """Raw PBE energy and MP2020 formation energy of rocksalt MgO, mp-1265."""
    assert formation_energy_per_atom("MgO", -5.983875, "mp_uncorrected") == pytest.approx(-3.0534, abs=1e-3)
    corrected = formation_energy_per_atom("MgO", -5.983875 - 0.687 / 2, "mp_corrected")
    assert corrected == pytest.approx(-3.0534, abs=1e-3)
    with pytest.raises(InputError, match="no reference energy for Fm"):
        formation_energy_per_atom("FmO", -1.0, "mp_uncorrected")


def test_oxygen_species_by_structure() -> None:
    def pair(distance: float) -> Atoms:
        return Atoms("KO2", positions=[[0, 0, 0], [3, 3, 3], [3, 3, 3 + distance]], cell=[6, 6, 6], pbc=True)

    assert [oxygen_species(pair(d)) for d in (1.3, 1.5, 1.6)] == ["superoxide", "peroxide", "oxide"]
    assert oxygen_species(Atoms("NaCl", positions=[[0, 0, 0], [1, 1, 1]], cell=[4, 4, 4], pbc=True)) == "oxide"
    found = formation_energies([pair(1.5), pair(1.6), pair(1.5)], [-5.0, -5.0, np.nan], "mp_uncorrected")
    assert found[0] - found[1] == pytest.approx((0.687 - 0.465) * 2 / 3)
    assert np.isnan(found[2])


def test_formation_energies_of_materials_project(shared_data: Path) -> None:
    """From MP's raw energies to its formation energies. References differ by up to 10 meV between its versions."""
    entries = json.loads(gzip.decompress((shared_data / "ba_ru_o_mp_entries.json.gz").read_bytes()))
    errors = []
    for entry in entries:
        if entry["eform_mp20"] is None or entry["energy_per_atom_uncorrected"] is None:
            continue
        lattice = entry["structure"]["lattice"]["matrix"]
        sites = entry["structure"]["sites"]
        atoms = Atoms(
            [site["species"][0]["element"] for site in sites],
            scaled_positions=[site["abc"] for site in sites],
            cell=lattice,
            pbc=True,
        )
        if len(set(atoms.numbers)) > 1:
            (found,) = formation_energies([atoms], [entry["energy_per_atom_uncorrected"]], "mp_uncorrected")
            errors.append(abs(found - entry["eform_mp20"]))
    assert len(errors) >= 10
    assert np.mean(errors) < 0.01
    assert max(errors) < 0.02


def test_hull_is_the_lower_envelope() -> None:
    """The least energy of any mixture of phases and elements, by linear programming, at random compositions."""
    rng = np.random.default_rng(0)
    elements = ["Ba", "Ru", "O"]
    known = []
    for _ in range(25):
        counts = rng.integers(0, 4, 3)
        if (counts > 0).sum() > 1:
            formula = Composition(dict(zip(elements, counts.tolist(), strict=True))).reduced_formula
            known.append((formula, float(rng.uniform(-3, 0.5))))
    hull = Hull(known, elements)
    phases = [*known, *((element, 0.0) for element in elements)]
    shares = np.array([[Composition(f).get_atomic_fraction(e) for f, _ in phases] for e in elements])
    formulas = ["BaRuO3", "Ba2RuO4", "RuO2", "Ba7Ru5O11", "Ba", "O2", "Ba3Ru"]
    above = hull.energy_above_hull(formulas, np.zeros(len(formulas)))
    for formula, distance in zip(formulas, above, strict=True):
        target = [Composition(formula).get_atomic_fraction(e) for e in elements]
        best = linprog([energy for _, energy in phases], A_eq=shares, b_eq=target)
        assert -distance == pytest.approx(best.fun, abs=1e-7)


def test_hull_by_hand() -> None:
    hull = Hull([("BaO", -3.0), ("RuO2", -1.5), ("BaRuO3", -2.0)])
    # BaO (2 atoms) + RuO2 (3 atoms) = BaRuO3: -2.1, below the ternary
    assert hull.energy_above_hull(["BaRuO3"], [-2.0]) == pytest.approx([0.1])
    assert hull.energy_above_hull(["BaRuO3", "BaO"], [-2.3, np.nan])[0] == pytest.approx(-0.2)
    assert np.isnan(hull.energy_above_hull(["BaO"], [np.nan])[0])
    assert hull.decomposition("BaRuO3") == "0.40 BaO + 0.60 RuO2"
    assert hull.elements == ["Ba", "O", "Ru"]
    assert "BaRuO3" not in hull.stable_formulas
    with pytest.raises(InputError, match="has no Ti"):
        hull.energy_per_atom("BaTiO3")


def test_hull_from_known_phases_leaves_out_what_failed() -> None:
    rows = [
        {"formula": "Ba", "formation_energy_per_atom": 0.0, "status": "ok"},
        {"formula": "O", "formation_energy_per_atom": 0.0, "status": "ok"},
        {"formula": "BaO", "formation_energy_per_atom": -2.8, "status": "ok"},
        {"formula": "BaO2", "formation_energy_per_atom": -9.0, "status": "collapsed: volume 0.30 of that before"},
    ]
    hull = Hull.from_known_phases(pa.Table.from_pylist(rows, schema=tables.KNOWN_PHASES))
    assert hull.energy_per_atom("BaO2") == pytest.approx(-2.8 * 2 / 3)
