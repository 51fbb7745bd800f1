"""Templates to atoms and to tables, against pymatgen and moyo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.asymmetric_unit import with_full_symmetry
from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.symmetry import TIGHT, spacegroup_of
from cgwgan_core.crystallography.templates import Templates, expand, to_atoms
from cgwgan_core.workflow import tables
from tests.support.crystals import perovskite_template
from tests.support.random_templates import random_template, templates

SYMBOLS = ["Ba", "Ru", "O", "Ti"]


def test_perovskite_has_five_atoms() -> None:
    atoms = to_atoms(perovskite_template(), 0, ["Ba", "Ti", "O"])
    assert atoms.get_chemical_formula() == "BaO3Ti"
    assert perovskite_template().number_density == pytest.approx(5 / 3.9**3)
    assert spacegroup_of(atoms, TIGHT) == 221


def test_volume_scale_scales_the_volume() -> None:
    plain, scaled = (to_atoms(perovskite_template(), 0, ["Ba", "Ti", "O"], s) for s in (1.0, 1.3))
    assert scaled.get_volume() == pytest.approx(1.3 * plain.get_volume())


@settings(max_examples=150, deadline=None)
@given(template=templates())
def test_expanded_templates_have_their_space_group_or_a_supergroup(template: Templates) -> None:
    found = int(with_full_symmetry(template).spacegroup[0])
    number = int(template.spacegroup[0])
    assert len(sg.operations(found)) * len(sg.centring(found)) >= len(sg.operations(number))
    for primitive in (True, False):
        atoms = to_atoms(template, 0, SYMBOLS[: int(template.n_sites[0])], primitive=primitive)
        share = len(sg.centring(number)) if primitive else 1
        assert len(atoms) * share == template.n_atoms[0]
        assert len(atoms) / atoms.get_volume() == pytest.approx(template.number_density[0])


def test_expansion_of_a_batch_is_that_of_each() -> None:
    rng = np.random.default_rng(0)
    batch = [random_template(rng, n, [0, int(np.flatnonzero(sg.MULTIPLICITY[n]).max())]) for n in (225, 14, 225, 166)]
    together = min_distances(Templates.concat(batch))
    assert together == pytest.approx([min_distances(t)[0] for t in batch])
    assert sorted(i for group in expand(Templates.concat(batch)) for i in group.index) == [0, 1, 2, 3]


@settings(max_examples=50, deadline=None)
@given(batch=st.lists(templates(), min_size=1, max_size=5))
def test_tables_keep_templates(batch: list[Templates]) -> None:
    before = Templates.concat(batch)
    after = Templates.from_table(tables.to_table(before.to_columns(), tables.TEMPLATES))
    assert np.array_equal(before.spacegroup, after.spacegroup)
    assert np.array_equal(before.letters, after.letters)
    assert np.array_equal(before.coords, after.coords)
    assert np.array_equal(before.cell, after.cell)


def test_letters_that_a_group_lacks_have_no_atoms() -> None:
    """Pm-3m has no letter z; such a template is left out of an expansion."""
    good = perovskite_template()
    bad = Templates(good.spacegroup, good.cell, np.array([[0, 1, 25]], np.int8), good.coords)
    both = Templates.concat([bad, good])
    assert both.offered.tolist() == [False, True]
    assert [group.index.tolist() for group in expand(both)] == [[1]]
