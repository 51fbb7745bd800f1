"""Which database structure is a crystal but for its elements."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pymatgen.core import Lattice, Structure

from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit
from cgwgan_core.relaxation.prototypes import structure_types
from cgwgan_core.workflow import tables


def cubic(group: int, a: float, species: list[str], coords: list[list[float]]) -> Structure:
    return Structure.from_spacegroup(group, Lattice.cubic(a), species, coords)


def perovskite(a: float, *species: str) -> Structure:
    return cubic(221, a, list(species), [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])


def fluorite(a: float, *species: str) -> Structure:
    return cubic(225, a, list(species), [[0, 0, 0], [0.25] * 3])


def pyrite(u: float) -> Structure:
    return cubic(205, 5.4, ["Fe", "S"], [[0, 0, 0], [u, u, u]])


def rows(structures: dict[str, Structure]) -> tuple[pa.Table, pa.Table]:
    """The database's tables of structures and of asymmetric units."""
    cells: list[dict[str, Any]] = []
    units: list[dict[str, Any]] = []
    for name, structure in structures.items():
        cells.append(
            {
                "material_id": name,
                "lattice": structure.lattice.matrix.ravel(),
                "numbers": structure.atomic_numbers,
                "frac_coords": structure.frac_coords.ravel(),
            }
        )
        unit = asymmetric_unit(structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers, 0.1)
        columns = {key: column[0] for key, column in unit.template.to_columns().items()}
        units.append({**columns, "material_id": name, "elements": [str(z) for z in unit.numbers]})
    return pa.Table.from_pylist(units, schema=tables.ASU), pa.Table.from_pylist(cells, schema=tables.STRUCTURES)


@pytest.fixture(scope="module")
def database() -> tuple[pa.Table, pa.Table]:
    return rows(
        {
            "CaTiO3": perovskite(3.9, "Ca", "Ti", "O"),
            "CaF2": fluorite(5.46, "Ca", "F"),
            "SrF2": fluorite(5.8, "Sr", "F"),
            "FeS2": pyrite(0.385),
            "CO2": pyrite(0.12),
        }
    )


def find(database: tuple[pa.Table, pa.Table], **crystals: Structure) -> dict[str, tuple[str, float]]:
    asu, structures = database
    return structure_types(crystals, [asu.slice(0, 2), asu.slice(2)], [structures], 0.1)


def test_other_elements_and_other_sizes_are_the_same_type(database: tuple[pa.Table, pa.Table]) -> None:
    found = find(
        database,
        perovskite=perovskite(4.2, "Ba", "Ru", "O"),
        antiperovskite=perovskite(4.5, "O", "Ru", "Ba"),
        antifluorite=fluorite(4.6, "O", "Li"),
    )
    assert {name: match for name, (match, _) in found.items()} == {
        "perovskite": "CaTiO3",
        "antiperovskite": "CaTiO3",
        "antifluorite": "CaF2",
    }
    assert [rms for _, rms in found.values()] == pytest.approx([0, 0, 0], abs=1e-6)


def test_origin_and_setting_do_not_matter(database: tuple[pa.Table, pa.Table]) -> None:
    moved = perovskite(4.2, "Ba", "Ru", "O")
    moved.translate_sites(list(range(5)), [0.3, 0.1, 0.7])
    moved.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    assert find(database, moved=moved)["moved"][0] == "CaTiO3"


def test_free_coordinates_tell_types_apart(database: tuple[pa.Table, pa.Table]) -> None:
    """Pyrite and carbon dioxide share space group and Wyckoff letters, and are two types."""
    found = find(database, sulphide=pyrite(0.39), ice=pyrite(0.118))
    assert found["sulphide"][0] == "FeS2"
    assert found["ice"][0] == "CO2"
    assert 0 < found["sulphide"][1] < 0.05


def test_what_has_no_like_is_missing(database: tuple[pa.Table, pa.Table]) -> None:
    rutile = Structure.from_spacegroup(136, Lattice.tetragonal(4.5, 3.1), ["Ru", "O"], [[0, 0, 0], [0.305, 0.305, 0]])
    # caesium chloride has perovskite's group, an ordered fluorite fluorite's atoms
    simple = cubic(221, 4.1, ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
    ordered = cubic(216, 5.8, ["Mg", "Ag", "As"], [[0, 0, 0], [0.25] * 3, [0.75] * 3])
    assert find(database, rutile=rutile, simple=simple, ordered=ordered) == {}
    assert find(database) == {}


def test_a_crystal_without_symmetry_costs_itself_only(database: tuple[pa.Table, pa.Table]) -> None:
    rng = np.random.default_rng(0)
    noise = Structure(Lattice.from_parameters(5, 6, 7, 81, 95, 102), ["Ba", "Ru", "O", "O"], rng.random((4, 3)))
    assert set(find(database, noise=noise, good=perovskite(4, "Ba", "Ru", "O"))) == {"good"}
