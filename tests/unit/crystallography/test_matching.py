"""Templates that are the same are recognised whatever their description; others are told apart."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit, with_full_symmetry
from cgwgan_core.crystallography.distances import min_distances, reduce_cells, shortest_basis
from cgwgan_core.crystallography.fingerprint import canonical, fingerprints, isopointal_types
from cgwgan_core.crystallography.matching import Bucket, Distinct, Tolerances, describe
from cgwgan_core.crystallography.matching_kernel import largest
from cgwgan_core.crystallography.templates import Templates, to_atoms
from tests.support.random_templates import random_template, recelled, redescribed, templates

SYMBOLS = ["Ba", "Ru", "O", "Ti"]
WIDE = Tolerances(0.2, 5.0, 0.3)
"""Those of StructureMatcher."""


def distance(first: Templates, second: Templates) -> float:
    """Of two templates; infinite where isopointal types or lattices differ."""
    both = describe(canonical(Templates.concat([first, second]))[0])
    if len(keys := list(both.by_key())) > 1:
        return np.inf
    one, other = both[np.array([0])], both[np.array([1])]
    bucket = Bucket(keys[0][0], WIDE)
    assert not bucket.compare(other, learn=True)[0]
    found = float(bucket.distances(one)[0])
    assert bucket.compare(one, learn=False)[0] == (found <= WIDE.site)
    return found


@settings(max_examples=200, deadline=None)
@given(template=templates(), seed=st.integers(0, 2**32))
def test_another_description_of_a_template_is_at_distance_zero(template: Templates, seed: int) -> None:
    other, _ = redescribed(template, np.random.default_rng(seed))
    assert isopointal_types(other) == isopointal_types(template)
    assert distance(other, template) == pytest.approx(0, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(template=templates(), seed=st.integers(0, 2**32))
def test_another_cell_origin_orientation_and_order_of_atoms_repeats(template: Templates, seed: int) -> None:
    assume(min_distances(template)[0] >= 0.7)
    rng = np.random.default_rng(seed)
    atoms = to_atoms(template, 0, SYMBOLS[: int(template.n_sites[0])])
    lattice, frac, numbers = recelled(atoms, rng)
    units = [
        asymmetric_unit(atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers.tolist(), 1e-3),
        asymmetric_unit(lattice, frac, numbers, 1e-3),
        # permuted elements are the same template
        asymmetric_unit(lattice, frac, [90 - z for z in numbers], 1e-3),
    ]
    assert Distinct(Tolerances()).add(Templates.concat([unit.template for unit in units])).tolist() == [
        False,
        True,
        True,
    ]


def test_neighbours_across_the_border_of_a_bin_are_the_same() -> None:
    """Two rutiles whose free coordinate and axes differ by a thousandth have different keys."""
    cells = [[4.6, 4.6, 4.6 * np.exp(-0.45 + x), 90, 90, 90] for x in (-1e-3, 1e-3)]
    pair = Templates(
        np.array([136, 136], np.int16), np.array(cells), np.array([[0, 5]] * 2, np.int8),
        np.array([[[0, 0, 0], [4.5 / 16 + x, 0, 0]] for x in (-1e-3, 1e-3)]),
    ).projected()  # fmt: skip
    assert len(set(fingerprints(pair))) == 2
    assert Distinct(Tolerances()).add(pair).tolist() == [False, True]


def test_tolerances_are_those_of_lengths_angles_and_sites() -> None:
    base = random_template(np.random.default_rng(1), 136, [0, 5])
    base = Templates(base.spacegroup, np.array([[5.0, 5, 6, 90, 90, 90]]), base.letters, base.coords)
    stretched = [
        Templates(base.spacegroup, base.cell * [1, 1, factor, 1, 1, 1], base.letters, base.coords)
        for factor in (1.25, 1.4)
    ]
    # at equal volume c and a differ by 1.25 ** (2/3) = 1.16 and 1.25
    assert np.isfinite(distance(stretched[0], base))
    assert distance(stretched[1], base) == np.inf
    free = np.cbrt(base.volume[0] / 6)
    for step in (0.02, 0.05):
        moved = Templates(
            base.spacegroup, base.cell, base.letters, base.coords + np.array([[0, 0, 0], [step, step, 0]])
        )
        assert distance(moved, base) == pytest.approx(step * 5 * np.sqrt(2) / free)
    monoclinic = random_template(np.random.default_rng(2), 10, [14, 14, 14])
    monoclinic.cell[0] = [5, 6, 7, 90, 100, 90]
    bent = Templates(monoclinic.spacegroup, np.array([[5, 6, 7, 90, 104.0, 90]]), monoclinic.letters, monoclinic.coords)
    assert np.isfinite(distance(bent, monoclinic))
    bent.cell[0, 4] = 106
    assert distance(bent, monoclinic) == np.inf


@settings(max_examples=60, deadline=None)
@given(template=templates(), seed=st.integers(0, 2**32))
def test_distance_is_symmetric_for_equal_lattices(template: Templates, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(scale=0.01, size=template.coords.shape)
    other = Templates(template.spacegroup, template.cell, template.letters, template.coords + noise).projected()
    assert distance(template, other) == pytest.approx(distance(other, template), abs=1e-9)


def test_many_sites_of_one_letter_are_assigned() -> None:
    """Seven sites of one letter have 5,040 orders, more than are tried one by one."""
    template = random_template(np.random.default_rng(3), 14, [4] * 7)
    other, _ = redescribed(template, np.random.default_rng(4))
    assert distance(other, template) == pytest.approx(0, abs=1e-6)
    assert distance(random_template(np.random.default_rng(5), 14, [4] * 7), template) > 0.05


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), k=st.integers(1, 6))
def test_partners_are_those_of_a_search_through_all_orders(seed: int, k: int) -> None:
    squares = np.random.default_rng(seed).random((k, k))
    squares[squares > 0.8] = np.inf
    limit = 0.7
    best = min(max(squares[i, p[i]] for i in range(k)) for p in permutations(range(k)))
    partner = np.zeros(k, dtype=np.int64)
    found = largest(squares, np.sqrt(limit), partner, True)
    if best > limit:
        assert found == np.inf
    else:
        assert found == pytest.approx(np.sqrt(best))
        assert sorted(partner) == list(range(k))
        assert max(squares[i, partner[i]] for i in range(k)) == pytest.approx(best)


def test_batches_and_their_size_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    sites = {136: [0, 5], 62: [0, 2, 2], 14: [0, 4, 4], 194: [2, 5]}
    batch = Templates.concat([random_template(rng, n, sites[n]) for n in (136, 62, 62, 62, 136, 14, 194) * 30])
    batch = Templates.concat([batch, redescribed(batch[np.array([8])], rng)[0]])
    together = Distinct(Tolerances())
    repeated = together.add(batch)
    assert repeated[-1]
    assert 20 < len(together) == (~repeated).sum() < len(batch)
    one_by_one = Distinct(Tolerances())
    assert [bool(one_by_one.add(batch[i : i + 1])[0]) for i in range(len(batch))] == repeated.tolist()
    assert together.holds(batch).all()
    assert not Distinct(Tolerances()).holds(batch).any()
    in_threads = Distinct(Tolerances(), threads=2)
    assert in_threads.add(batch).tolist() == repeated.tolist()
    assert in_threads.holds(batch).all()


def test_symmetry_that_has_grown_is_compared_in_its_group() -> None:
    cubic = Templates(
        np.array([221], np.int16), np.array([[3.9, 3.9, 3.9, 90, 90, 90.0]]), np.array([[0, 1, 2]], np.int8),
        np.array([[[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]]]),
    )  # fmt: skip
    lower = Templates(np.array([215], np.int16), cubic.cell, cubic.letters, cubic.coords)
    assert Distinct(Tolerances()).add(Templates.concat([lower, cubic])).tolist() == [False, False]
    assert Distinct(Tolerances()).add(with_full_symmetry(Templates.concat([lower, cubic]))).tolist() == [False, True]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_shortest_basis_is_that_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(1, 3, 3)) + 3 * np.eye(3)
    maps = shortest_basis(vectors)
    assert abs(np.linalg.det(maps[0])) == pytest.approx(1)
    reduced = reduce_cells(vectors)[0][0]
    points = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3)
    points = points[np.argsort(np.linalg.norm(points @ reduced, axis=1), kind="stable")][1:]
    minima: list[np.ndarray] = []
    for point in points:  # the successive minima, which in three dimensions are always a basis
        if np.linalg.matrix_rank(np.array([*minima, point])) > len(minima):
            minima.append(point)
    expected = np.linalg.norm(np.array(minima) @ reduced, axis=1)
    assert sorted(np.linalg.norm(maps[0] @ vectors[0], axis=1)) == pytest.approx(expected)
