"""Sites, their symmetry, and sameness against spglib, moyo and pymatgen."""

import gzip
import json
from pathlib import Path

import moyopy
import numpy as np
import pyarrow.parquet as pq
import pytest
import spglib
from ase.data import chemical_symbols
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pyxtal.symmetry import Group

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit
from cgwgan_core.crystallography.fingerprint import fingerprints, isopointal_types
from cgwgan_core.crystallography.matching import Distinct, Tolerances
from cgwgan_core.crystallography.symmetry import SymmetryError
from cgwgan_core.crystallography.templates import Templates, decorate, to_atoms
from tests.support.random_templates import random_template

SYMBOLS = ["Ba", "Ru", "O", "Ti"]


@pytest.mark.parametrize("number", range(1, 231))
def test_spglib_and_moyo_find_the_site_symmetries_of_pyxtal(number: int) -> None:
    """At every position, with general ones beside it that leave the crystal no other group than the requested."""
    rng = np.random.default_rng(number)
    positions = Group(number).Wyckoff_positions
    general = sg.letter_index(positions[0].letter)
    for position in positions:
        letter = sg.letter_index(position.letter)
        template = random_template(rng, number, [letter, general, general])
        special = int(np.flatnonzero(template.letters[0] == letter)[0])
        atoms = to_atoms(template, 0, SYMBOLS[:3], primitive=False)
        index = np.flatnonzero(atoms.numbers == atoms.numbers[_first(template, special)])
        cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
        theirs = spglib.get_symmetry_dataset(cell, symprec=1e-4)
        moyo = moyopy.MoyoDataset(moyopy.Cell(*(np.asarray(x).tolist() for x in cell)), symprec=1e-4)
        assert theirs.number == moyo.number == number
        position.get_site_symmetry()
        for found in (theirs, moyo):
            orbit = found.equivalent_atoms if found is theirs else found.orbits
            assert len(set(np.array(orbit)[index])) == 1
            symbols = {_without_orientation(found.site_symmetry_symbols[i]) for i in index}
            assert symbols == {_without_orientation(position.site_symm)}


def _first(template: Templates, site: int) -> int:
    """Number of atoms before those of a site in the conventional cell."""
    return int(template.multiplicities[0, :site].sum())


def _without_orientation(symbol: str) -> str:
    """Elements of a site symmetry without the directions, which depend on the choice of axes: ``.m.`` and ``m..``."""
    return "".join(sorted(symbol.replace(".", "").replace(" ", "")))


@pytest.fixture(scope="module")
def real(shared_data: Path) -> list[Structure]:
    entries = json.loads(gzip.decompress((shared_data / "mp_templates34_sample2000.json.gz").read_bytes()))
    return [Structure(entry["lattice"], entry["species"], entry["frac_coords"]) for entry in entries]


def test_real_crystals_return_from_their_sites(real: list[Structure]) -> None:
    matcher = StructureMatcher(scale=False)
    for structure in real[::10]:
        unit = asymmetric_unit(structure.lattice.matrix, structure.frac_coords, list(structure.atomic_numbers), 0.1)
        elements = [[chemical_symbols[z] for z in unit.numbers]]
        atoms = next(decorate(unit.template, elements, np.ones(1)))
        back = Structure(atoms.cell[:], atoms.numbers, atoms.get_scaled_positions())
        assert matcher.fit(structure, back)


def test_structures_that_moyo_loses_atoms_of_are_refused(shared_data: Path) -> None:
    """Near a smaller cell its primitive cell has fewer atoms in the volume of all."""
    names = ["mp-1176688", "mp-27466", "mp-705312"]
    found = pq.read_table(shared_data / "mp_v2023_11_1.parquet", filters=[("material_id", "in", names)]).to_pylist()
    assert len(found) == 3
    for record in found:
        lattice, frac = np.reshape(record["lattice"], (3, 3)), np.reshape(record["frac_coords"], (-1, 3))
        with pytest.raises(SymmetryError, match="no consistent cell"):
            asymmetric_unit(lattice, frac, record["numbers"], 0.1)
        unit = asymmetric_unit(lattice, frac, record["numbers"], 0.01)
        volume = abs(np.linalg.det(lattice)) / len(frac)
        assert 1 / unit.template.number_density[0] == pytest.approx(volume, rel=1e-3)


@pytest.mark.parametrize("tolerances", [Tolerances(), Tolerances(0.2, 5.0, 0.3)], ids=["ours", "its defaults"])
def test_sameness_is_that_of_structure_matcher(real: list[Structure], tolerances: Tolerances) -> None:
    """Pairs of templates of one isopointal type: verdicts agree, and those of either are confirmed by the other."""
    batch = Templates.concat(
        [asymmetric_unit(s.lattice.matrix, s.frac_coords, list(s.atomic_numbers), 0.1).template for s in real]
    )
    batch = batch[(batch.spacegroup > 1) & (batch.n_sites <= 4)]
    keys = np.array(fingerprints(batch))
    batch = batch[np.sort(np.unique(keys, return_index=True)[1])]
    types = np.array(isopointal_types(batch))
    rng = np.random.default_rng(0)
    order = rng.permutation(len(batch))
    order = order[np.argsort(types[order], kind="stable")]
    pairs = [(i, j) for step in (1, 2) for i, j in zip(order, order[step:], strict=False) if types[i] == types[j]]
    atoms = decorate(batch, [SYMBOLS[:k] for k in batch.n_sites], np.ones(len(batch)))
    structures = [Structure(a.cell[:], a.numbers, a.get_scaled_positions()) for a in atoms]
    # cells are primitive already; a second reduction at 0.25 Å would shrink one of two that are almost equal
    matcher = StructureMatcher(
        ltol=tolerances.length, angle_tol=tolerances.angle, stol=tolerances.site, primitive_cell=False
    )
    theirs = np.array([matcher.fit_anonymous(structures[i], structures[j]) for i, j in pairs])
    ours = np.array([Distinct(tolerances).add(batch[[j, i]])[1] for i, j in pairs])
    assert len(pairs) > 300
    assert np.mean(ours == theirs) > 0.99
    both = (ours & theirs).sum()
    assert both > 0.98 * theirs.sum()
    assert both > 0.98 * ours.sum()
