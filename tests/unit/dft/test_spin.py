"""Starts of the spins: against crystals whose orders are known, and against matching of structures."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.spacegroup import crystal
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from cgwgan_core.dft.spin import ANTI, FERRO, MAX_SITES, MOMENTS, NONE, is_magnetic, starts


def stack(species: str, heights: list[float], a: float = 3.0, c: float = 12.0) -> Atoms:
    """Square layers on top of each other, one atom in each."""
    symbols = species.split()
    return Atoms(symbols, scaled_positions=[(0, 0, z) for z in heights], cell=[a, a, c], pbc=True)


def iron(cubic: bool = False) -> Atoms:
    """Without the moments that ASE gives it."""
    atoms = bulk("Fe", cubic=cubic)
    atoms.set_initial_magnetic_moments(None)
    return atoms


def antiperovskite() -> Atoms:
    """Mn3GaN: three manganese atoms that symmetry turns into each other."""
    places = [(0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0), (0, 0, 0), (0.5, 0.5, 0.5)]
    return Atoms("Mn3GaN", scaled_positions=places, cell=[3.9] * 3, pbc=True)


def signs(atoms: Atoms) -> list[tuple[int, ...]]:
    """Of the magnetic atoms in the antiferromagnetic starts."""
    magnetic = [symbol in MOMENTS for symbol in atoms.symbols]
    return [tuple(np.sign(m[magnetic]).astype(int)) for name, m in starts(atoms) if name.startswith(ANTI)]


@pytest.mark.parametrize(
    ("atoms", "orders"),
    [
        (bulk("NiO", "rocksalt", a=4.18, cubic=True), [(1, 1, -1, -1)]),  # planes along x, y and z are the same
        (iron(cubic=True), [(1, -1)]),
        (antiperovskite(), [(1, 1, -1)]),
        # three layers: the middle one differs from the outer two
        (stack("Mn O Mn O Mn", [0.0, 0.15, 0.3, 0.45, 0.6]), [(1, 1, -1), (1, -1, 1)]),
        # four layers with equal distances: a translation carries ++-- over into +--+
        (stack("Fe Fe Fe Fe", [0.0, 0.25, 0.5, 0.75]), [(1, 1, -1, -1), (1, -1, 1, -1)]),
        # in pairs: ++-- and +--+ are planes within a pair or between two
        (stack("Fe Fe Fe Fe", [0.0, 0.2, 0.5, 0.7]), [(1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1)]),
        (stack("V Mn Fe Co", [0.0, 0.2, 0.5, 0.7]), [(1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1)]),
        # the supercell's own symmetry counts: its cell is longer along z
        (make_supercell(iron(cubic=True), np.diag([1, 1, 2])), [(1, 1, -1, -1), (1, -1, 1, -1)]),
    ],
    ids=["NiO", "Fe2", "Mn3GaN", "trilayer", "layers", "pairs", "kinds", "supercell"],
)
def test_orders_by_hand(atoms: Atoms, orders: list[tuple[int, ...]]) -> None:
    found = starts(atoms)
    assert [name for name, _ in found] == [FERRO, *(f"{ANTI}{i + 1}" for i in range(len(orders))), NONE]
    assert sorted(signs(atoms)) == sorted(orders)
    sizes = [MOMENTS.get(symbol, 0.0) for symbol in atoms.symbols]
    assert found[0][1].tolist() == sizes
    assert all(np.abs(moments).tolist() == sizes for name, moments in found if name != NONE)
    assert not found[-1][1].any()


def test_starts_where_there_is_no_choice() -> None:
    assert [(name, moments.tolist()) for name, moments in starts(bulk("MgO", "rocksalt", a=4.2))] == [(NONE, [0, 0])]
    assert [name for name, _ in starts(iron())] == [FERRO, NONE]  # one atom
    eight = make_supercell(iron(cubic=True), np.diag([2, 2, 1]))
    assert len(eight) > MAX_SITES
    assert [name for name, _ in starts(eight)] == [FERRO, NONE]
    oxygen = Atoms("O2", positions=[(0, 0, 0), (0, 0, 1.2)], cell=[8, 8, 8], magmoms=[1, 1])
    assert [(name, moments.tolist()) for name, moments in starts(oxygen)] == [(FERRO, [1.0, 1.0])]


@pytest.mark.parametrize(
    ("orders", "names"),
    [([FERRO], [FERRO]), ([ANTI, NONE], [f"{ANTI}1", f"{ANTI}2", NONE]), ([NONE, FERRO], [FERRO, NONE])],
)
def test_the_orders_that_are_asked_for(orders: list[str], names: list[str]) -> None:
    four = make_supercell(iron(cubic=True), np.diag([1, 1, 2]))
    assert [name for name, _ in starts(four, orders)] == names
    assert [name for name, _ in starts(bulk("MgO", "rocksalt", a=4.2), orders)] == [NONE]  # has no other
    assert [name for name, _ in starts(iron(), [ANTI])] == [FERRO]  # one atom has none: its first


@pytest.mark.parametrize(
    ("symbol", "bond", "radical"),
    [("O", 1.33, True), ("O", 1.49, False), ("F", 1.93, True), ("Cl", 2.6, True), ("S", 2.0, False)],
)  # superoxide, peroxide, F2-, Cl2-, disulphide
def test_pairs_that_share_an_unpaired_electron_start_with_moments(symbol: str, bond: float, radical: bool) -> None:
    pair = Atoms(["K", symbol, symbol], [(3, 3, 3), (0, 0, 0), (0, 0, bond)], cell=[6, 6, 6], pbc=True)
    names = [name for name, _ in starts(pair)]
    assert names == ([FERRO, NONE] if radical else [NONE])
    if radical:
        assert starts(pair)[0][1].tolist() == [0, 0.5, 0.5]


CRYSTALS = [
    bulk("NiO", "rocksalt", a=4.18, cubic=True),
    antiperovskite(),
    stack("Mn O Mn O Mn", [0.0, 0.15, 0.3, 0.45, 0.6]),
    stack("Fe Fe Fe Fe", [0.0, 0.2, 0.5, 0.7]),
    stack("Fe Co Fe Co", [0.0, 0.25, 0.5, 0.75]),
    crystal("TiO", [(0, 0, 0), (0.3, 0.3, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.9, 90, 90, 90]),
    crystal("CrSb", [(0, 0, 0), (1 / 3, 2 / 3, 0.25)], spacegroup=194, cellpar=[4.1, 4.1, 5.4, 90, 90, 120]),
]
MATCHER = StructureMatcher(primitive_cell=False, scale=False, stol=0.02, ltol=0.01, angle_tol=0.5)


def magnetic(atoms: Atoms, moments: list[float]) -> Structure:
    """The crystal with another element for each element that points down."""
    symbols = [
        {"Fe": "Ru", "Co": "Rh", "Mn": "Re", "Ni": "Pd", "Ti": "Zr", "Cr": "Mo"}[symbol] if moment < 0 else symbol
        for symbol, moment in zip(atoms.symbols, moments, strict=True)
    ]
    return Structure(Lattice(atoms.cell.array), symbols, atoms.get_scaled_positions())


def same(atoms: Atoms, one: list[float], other: list[float]) -> bool:
    """Whether a motion of space carries one order over into the other, or into its reverse."""
    first = magnetic(atoms, one)
    return any(MATCHER.fit(first, magnetic(atoms, [way * m for m in other])) for way in (1, -1))


@settings(max_examples=10)
@given(
    base=st.sampled_from(CRYSTALS),
    order=st.randoms(use_true_random=False),
    stretch=st.sampled_from([(1, 1, 1), (1, 1, 1.04), (1, 1.03, 1.06)]),
)
def test_every_order_is_like_one_start_and_no_two_starts_are_alike(
    base: Atoms, order: object, stretch: tuple[float, ...]
) -> None:
    """Whatever the order of the atoms, and with less symmetry."""
    places = list(range(len(base)))
    order.shuffle(places)  # type: ignore[attr-defined]
    atoms = base[places]
    atoms.set_cell(atoms.cell.array * np.array(stretch), scale_atoms=True)
    sites = [i for i, symbol in enumerate(atoms.symbols) if symbol in MOMENTS]
    found = [moments for name, moments in starts(atoms) if name.startswith(ANTI)]
    for moments in found:
        assert abs(np.sign(moments).sum()) == len(sites) % 2
    assert not any(same(atoms, one, other) for i, one in enumerate(found) for other in found[:i])
    for rest in product((1, -1), repeat=len(sites) - 1):
        pattern = np.zeros(len(atoms))
        pattern[sites] = (1, *rest)
        if abs(pattern.sum()) == len(sites) % 2:
            assert sum(same(atoms, pattern.tolist(), moments.tolist()) for moments in found) == 1


def test_a_crystal_is_magnetic_if_moments_are_left() -> None:
    assert is_magnetic([0.5, -0.5])
    assert not is_magnetic([0.01, -0.04])
    assert not is_magnetic([])
    assert not is_magnetic(None)
