"""Which crystals are the same, and which of a database are compared with."""

import pyarrow as pa

from cgwgan_core.screening.comparison import Library, known_library
from cgwgan_core.workflow import tables
from tests.support.crystals import crystal_row, perovskite


def test_known_crystals_are_those_of_the_whole_chemistry() -> None:
    rows = [
        crystal_row(perovskite(), material_id="mp-1"),
        crystal_row(perovskite(4, ("Sr", "Ru", "O")), material_id="mp-2"),
    ]
    structures = tables.to_table(pa.Table.from_pylist(rows), tables.STRUCTURES)
    none = tables.to_table([], tables.KNOWN_PHASES)
    library = known_library([structures], none, ["Ba", "Ru", "O"])
    assert library.find(perovskite(4.2)) == "mp-1"
    assert library.find(perovskite(4.2, ("Sr", "Ru", "O"))) is None
    assert library.find(perovskite(4.2, ("Ru", "Ba", "O"))) is None


def test_known_phases_count_as_the_potential_relaxed_them() -> None:
    """A phase without a cell, such as an element's reference, is none."""
    rows = [crystal_row(perovskite(), material_id="mp-1"), {"material_id": "element"}]
    library = known_library([], tables.to_table(rows, tables.KNOWN_PHASES), ["Ba", "Ru", "O"])
    assert library.find(perovskite(4.2)) == "mp-1"


def test_the_nearest_of_several_is_named() -> None:
    library = Library()
    for name, shift in (("far", 0.05), ("near", 0.01), ("other", 0.4)):
        member = perovskite(4.0)
        member.translate_sites([0], [0, 0, shift])
        library.add(name, member)
    match = library.nearest(perovskite(4.3))
    assert match is not None
    assert match[0] == "near"
    assert 0 < match[1] < 0.02
    assert library.find(perovskite(4.3)) == "far"
    assert library.nearest(perovskite(4, ("Ru", "Ba", "O"))) is None
    assert "BaRuO3" in library
    assert "BaO" not in library
