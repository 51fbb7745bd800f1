"""Reasons are counted by kind, not by what one record measures."""

import pytest

from cgwgan_core.workflow.refusals import category, tally


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("no structure", "no structure"),
        ("disordered: site 1 holds Ba 0.5, Sr 0.5", "disordered"),
        ("not converged after 300 steps: gradient of atoms and cell 0.0712 eV/Å", "not converged after … steps"),
        (
            "refused: 648 atoms in the supercell, more than max_atoms (400)",
            "… atoms in the supercell, more than max_atoms",
        ),
        ("not credible: M3GNet gives a formation energy of -7.1 eV/atom", "not credible"),
        ("collapsed: two atoms are 0.40 Å apart", "collapsed"),
        ("a frequency of 1.2e+03 THz; relax more tightly", "a frequency of … THz"),
        # numbers that are no measurement are part of the kind
        ("not 3 or 4 sites", "not 3 or 4 sites"),
        ("space group below 2", "space group below 2"),
    ],
)
def test_a_category_leaves_out_what_is_particular_to_one_record(reason: str, kind: str) -> None:
    assert category(reason) == kind


def test_equal_categories_are_counted_together() -> None:
    reasons = ["collapsed: volume 0.31", "collapsed: volume 0.42", "no structure"]
    assert tally(reasons) == {"collapsed": 2, "no structure": 1}
    assert tally({"collapsed: volume 0.31": 3, "collapsed: volume 0.42": 4}) == {"collapsed": 7}
    assert tally([]) == {}
