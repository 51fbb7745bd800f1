"""Symmetry as moyo finds it, against spglib; and that nothing else calls moyo."""

import ast
from pathlib import Path

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.symmetry import TIGHT, SymmetryError, find_symmetry, spacegroup_of
from cgwgan_core.crystallography.templates import to_atoms
from tests.support.random_templates import random_template

ROOT = Path(__file__).parents[3]
SYMBOLS = ["Ba", "Ru", "O", "Ti"]


@pytest.mark.parametrize("number", range(1, 231))
def test_spglib_and_moyo_find_the_requested_group(number: int) -> None:
    """The general position fixes the group: with it occupied at random, both find exactly the requested one."""
    rng = np.random.default_rng(number)
    general = int(np.flatnonzero(sg.MULTIPLICITY[number]).max())
    # two general sites: one alone may have more symmetry, as a lattice of points does in P1
    template = random_template(rng, number, [general, general, general])
    atoms = to_atoms(template, 0, SYMBOLS[:3], primitive=False)
    assert spacegroup_of(atoms, 1e-4) == number
    found = spglib.get_symmetry_dataset((atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers), symprec=1e-4)
    assert found.number == number


def test_symmetry_is_that_of_the_tolerance() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.positions[0, 0] += 0.02
    assert spacegroup_of(atoms, 0.1) == 225
    assert spacegroup_of(atoms, TIGHT) < 225


def test_a_cell_without_atoms_has_no_symmetry() -> None:
    """moyo panics there, with an exception that is no :class:`Exception`."""
    with pytest.raises(SymmetryError, match=r"no symmetry found at symprec 0\.1"):
        find_symmetry(np.eye(3) * 4, np.zeros((0, 3)), [], 0.1)
    assert spacegroup_of(Atoms(cell=[4, 4, 4], pbc=True), TIGHT) == 0


def test_symmetry_is_the_only_caller_of_moyo() -> None:
    callers = set()
    for path in [*(ROOT / "cgwgan_core").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if "moyopy" in (name.split(".")[0] for name in names):
                callers.add(path.relative_to(ROOT).as_posix())
    assert callers == {"cgwgan_core/crystallography/symmetry.py"}
