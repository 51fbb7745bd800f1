"""From rows of candidates to their crystals."""

import pyarrow as pa
import pytest

from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.screening.candidates import TemplateLookup
from cgwgan_core.workflow import tables
from tests.support.crystals import perovskite_template


def table() -> pa.Table:
    """Two perovskites of other volume."""
    both = Templates.concat([perovskite_template(3.9), perovskite_template(5.0)])
    return tables.to_table({**both.to_columns(), "template_id": ["t7", "t3"]}, tables.TEMPLATES)


def test_templates_are_found_by_their_names() -> None:
    lookup = TemplateLookup(table())
    assert "t3" in lookup
    assert "t4" not in lookup
    assert lookup.place("t3") == 1
    assert lookup.places(["t3", "t7", "t3"]).tolist() == [1, 0, 1]
    with pytest.raises(KeyError, match="t4"):
        lookup.place("t4")


def test_a_candidate_is_its_template_with_elements_and_volume() -> None:
    atoms = TemplateLookup(table()).atoms({"template_id": "t3", "elements": ["Ba", "Ru", "O"], "volume_scale": 0.5})
    assert atoms.get_chemical_formula() == "BaO3Ru"
    assert atoms.get_volume() == pytest.approx(0.5 * 5**3)
