"""Which crystals are doubted: known defects are, sound crystals of every bonding are not."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.spacegroup import crystal

from cgwgan_core.relaxation.defects import (
    CHARGES,
    ENERGIES_DIFFER,
    FAR_APART,
    MOLECULES,
    NO_ENERGY,
    energy_doubts,
    grave,
    in_words,
    structural_doubts,
)
from cgwgan_core.relaxation.known_crystals import KNOWN_CRYSTALS, KnownCrystal


def peroxide(distance: float, cation: str = "Ba") -> Atoms:
    """The structure of BaO2 with another O-O distance."""
    c, half = 6.9, distance / 2
    sites = [(0, 0, 0), (0, 0, 0.5 - half / c), (0, 0, 0.5 + half / c)]
    body = [(x + 0.5, y + 0.5, z + 0.5) for x, y, z in sites]
    return Atoms([cation, "O", "O"] * 2, scaled_positions=sites + body, cell=[3.8, 3.8, c], pbc=True)


def packed(name: str, edge: float) -> Atoms:
    """Molecules on a simple cubic lattice."""
    atoms: Atoms = molecule(name)
    atoms.set_cell([edge] * 3)
    atoms.pbc = True
    return atoms


@pytest.mark.parametrize("known", KNOWN_CRYSTALS, ids=lambda known: known.formula)
def test_sound_crystals_are_not_doubted(known: KnownCrystal) -> None:
    assert structural_doubts(known.atoms()) == {}


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("CsCl", "cesiumchloride", a=4.12),
        bulk("NiAl", "cesiumchloride", a=2.89),
        peroxide(1.5),
        peroxide(1.34, "K"),
        crystal(
            ["Mo", "S"],
            [(1 / 3, 2 / 3, 0.25), (1 / 3, 2 / 3, 0.621)],
            spacegroup=194,
            cellpar=[3.16, 3.16, 12.3, 90, 90, 120],
        ),
    ],
    ids=["ions", "metal", "peroxide", "superoxide", "layers"],
)
def test_other_bonds_are_not_doubted(atoms: Atoms) -> None:
    assert structural_doubts(atoms) == {}


def test_oxygen_without_electrons_is_doubted() -> None:
    """Ba(OH)2 without its hydrogen; TiO2 with the same atoms in the same places needs none."""
    found = structural_doubts(peroxide(2.4))
    assert found == {CHARGES: "charges do not balance: O and F need 8 electrons, the others have 4 at most"}
    assert structural_doubts(peroxide(2.4, "Ti")) == {}


def test_vacuum_and_lonely_atoms_are_doubted() -> None:
    layer = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    layer.cell[2] *= 4
    assert set(structural_doubts(layer)) == {FAR_APART}
    salt = bulk("NaCl", "rocksalt", a=5.64).repeat(2)
    # nitrogen where ammonium was
    salt.numbers[np.flatnonzero(salt.numbers == 11)[0]] = 7
    expected = "atoms far apart: N has no neighbour within 1.6 times the covalent radii"
    assert structural_doubts(salt)[FAR_APART] == expected


def test_molecules_are_told_from_frameworks() -> None:
    found = structural_doubts(packed("CO2", 4.4))
    assert found == {MOLECULES: "isolated molecules: 3 atoms each"}
    # a molecule across the border of the cell is the same molecule
    moved = packed("CO2", 4.4)
    moved.positions += 1.7
    moved.wrap()
    assert structural_doubts(moved) == found
    # hydrogen bonds hold ice together
    assert MOLECULES not in structural_doubts(packed("H2O", 2.8))


def test_marks_do_not_depend_on_the_description() -> None:
    rng = np.random.default_rng(3)
    for atoms in (peroxide(2.4), packed("CO2", 4.4), bulk("MgO", "rocksalt", a=4.2)):
        other = atoms.repeat((2, 1, 1))[rng.permutation(2 * len(atoms))]
        assert set(structural_doubts(other)) == set(structural_doubts(atoms))


def test_no_energy_is_a_doubt_by_what_the_source_has() -> None:
    """Nearly all energies: always; most: where charges do not balance, as of O2 molecules in a salt; few: never."""
    oxide, trapped = bulk("MgO", "rocksalt", a=4.2), peroxide(1.23, "Na").repeat((2, 1, 1))
    trapped = trapped[[i for i, atom in enumerate(trapped) if atom.symbol != "Na" or i % 2]]
    assert CHARGES not in structural_doubts(trapped)
    for share, doubted in ((0.95, [True, True]), (0.65, [False, True]), (0.4, [False, False])):
        found = [energy_doubts(atoms, None, -1.0, share) for atoms in (oxide, trapped)]
        assert [NO_ENERGY in doubts for doubts in found] == doubted
    assert energy_doubts(oxide, None, -1.0, 0.95) == {NO_ENERGY: "no energy in the database"}


def test_energies_that_differ() -> None:
    oxide = bulk("MgO", "rocksalt", a=4.2)
    assert energy_doubts(oxide, -1.0, -1.3, 0.65) == {}
    assert energy_doubts(oxide, -1.0, None, 0.65) == {}
    differ = energy_doubts(oxide, -1.0, -1.5, 0.0)
    assert differ == {ENERGIES_DIFFER: "energies differ: by the potential -0.50 eV/atom"}
    assert in_words({}) is None
    words = in_words({**differ, CHARGES: "charges do not balance"})
    assert words == "charges do not balance; energies differ: by the potential -0.50 eV/atom"
    assert grave(words) == words
    assert grave("isolated molecules: 7 atoms each") is grave(None) is None
    assert grave("atoms far apart: 3.1; isolated molecules: 7 atoms each") == "atoms far apart: 3.1"


def test_hydrates_of_the_materials_project_without_their_hydrogen(shared_data: Path) -> None:
    """Of Ba-Ru-O: BaO2 that is Ba(OH)2, BaO6 and BaO10 that are hydrates; and no phase near the hull.

    Of the ternaries, without an energy, BaRuO5 alone would be doubted: its ruthenium is Ru(VIII).
    """
    entries = json.loads(gzip.decompress((shared_data / "ba_ru_o_mp_entries.json.gz").read_bytes()))
    marked, doubted = set(), set()
    for entry in entries:
        sites, lattice = entry["structure"]["sites"], entry["structure"]["lattice"]["matrix"]
        symbols = [site["species"][0]["element"] for site in sites]
        if len(set(symbols)) == 1:
            continue
        atoms = Atoms(symbols, scaled_positions=[site["abc"] for site in sites], cell=lattice, pbc=True)
        if structural_doubts(atoms):
            marked.add(entry["material_id"])
        if energy_doubts(atoms, None, None, 0.65) and len(set(symbols)) == 3:
            doubted.add(entry["material_id"])
    assert {"mp-1182141", "mp-1182259", "mp-1182169", "mp-1182404", "mp-1182511"} <= marked
    near = {e["material_id"] for e in entries if e["ehull_mp20"] is not None and e["ehull_mp20"] < 0.03}
    ternary = {entry["material_id"] for entry in entries if "Ru" in entry["formula"]}
    assert not marked & (near | ternary)
    assert doubted == {"mp-733954"}
