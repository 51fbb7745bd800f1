"""Every distinct assignment, its formula, its volume."""

import numpy as np
import pytest
from pymatgen.core import Structure

from cgwgan_core.crystal import Templates, to_atoms
from cgwgan_core.errors import InputError
from cgwgan_core.infill import InfillOptions, assignments, candidate_columns, infill, typical_volumes


def perovskite(a: float = 3.9) -> Templates:
    return Templates(
        np.array([221], np.int16),
        np.array([[a, a, a, 90, 90, 90.0]]),
        np.array([[0, 1, 2]], np.int8),
        np.array([[[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]]]),
    )


@pytest.mark.parametrize(
    ("sites", "elements", "number"), [(3, 3, 6), (4, 3, 36), (4, 4, 24), (3, 2, 6), (3, 1, 1), (2, 3, 0)]
)
def test_numbers_of_assignments(sites: int, elements: int, number: int) -> None:
    symbols = ("Ba", "Ru", "O", "Ti")[:elements]
    found = assignments(sites, symbols)
    assert len(found) == len(set(found)) == number
    assert all(set(choice) == set(symbols) for choice in found)


def test_formulas_are_those_of_the_atoms() -> None:
    filled = infill(perovskite(), ["Ba", "Ru", "O"], InfillOptions())
    assert filled.formula.count("BaRuO3") == 2
    for i, choice in enumerate(filled.elements):
        atoms = to_atoms(perovskite(), 0, choice, filled.volume_scale[i])
        structure = Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.get_scaled_positions())
        assert structure.composition.reduced_formula == filled.formula[i]


def test_volumes_come_from_the_elements_or_from_the_template() -> None:
    by_elements = infill(perovskite(9.0), ["Ba", "Ru", "O"], InfillOptions("elements"))
    atoms = to_atoms(perovskite(9.0), 0, by_elements.elements[0], by_elements.volume_scale[0])
    volumes = typical_volumes(["Ba", "Ru", "O"])
    assert atoms.get_volume() == pytest.approx(sum(volumes[s] for s in atoms.get_chemical_symbols()))
    as_generated = infill(perovskite(9.0), ["Ba", "Ru", "O"], InfillOptions("template"))
    assert as_generated.volume_scale.tolist() == [1.0] * 6


def test_known_crystals_get_their_volume_within_a_quarter() -> None:
    """MgO, NaCl, SrTiO3 and BaRuO3 by their measured lattice constants."""
    for counts, volume in [
        ({"Mg": 1, "O": 1}, 4.21**3 / 4),
        ({"Na": 1, "Cl": 1}, 5.64**3 / 4),
        ({"Sr": 1, "Ti": 1, "O": 3}, 3.905**3),
        ({"Ba": 1, "Ru": 1, "O": 3}, 4.006**3),
    ]:
        assert sum(typical_volumes(list(counts))[e] * n for e, n in counts.items()) == pytest.approx(volume, rel=0.25)


def test_columns_name_template_and_elements() -> None:
    filled = infill(perovskite(), ["Ba", "Ru", "O"], InfillOptions())
    columns = candidate_columns(filled, perovskite(), ["t0000007"])
    assert columns["candidate_id"][0] == "t0000007-Ba-Ru-O"
    assert columns["n_atoms"].tolist() == [5] * 6


def test_elements_without_volume_are_named() -> None:
    with pytest.raises(InputError, match="no volume is known for He"):
        infill(perovskite(), ["He", "Ru", "O"], InfillOptions())
    with pytest.raises(ValueError, match="volume must be one of"):
        InfillOptions("atoms")
