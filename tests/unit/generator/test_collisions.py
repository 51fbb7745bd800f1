"""Distances with gradients, against the exact ones."""

import numpy as np
import torch
from numpy.testing import assert_allclose

from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.spacegroups import CELL_FREE, FREE, MULTIPLICITY, cell_vectors, constrain_cell
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.wgan.collisions import Geometry, ShortestDistances
from cgwgan_core.generator.wgan.encoding.categorical import Categorical


def crowded(copies: int = 6) -> Templates:
    """Templates of every group from 2 to 230, sites at random, atoms of small volume: many collide."""
    random = np.random.default_rng(1)
    spacegroup, letters = [], []
    for number in np.repeat(np.arange(2, 231), copies):
        offered = np.flatnonzero(MULTIPLICITY[number])
        several = [i for i in offered if FREE[number, i].any()]
        chosen = [int(offered[0]), *random.choice(several, random.integers(2, 4)).tolist()]
        if chosen[0] in chosen[1:] and not FREE[number, chosen[0]].any():
            chosen = chosen[1:]
        spacegroup.append(number)
        letters.append((sorted(chosen) + [-1] * 4)[:4])
    groups = np.array(spacegroup, dtype=np.int16)
    n = len(groups)
    angles = np.column_stack([random.uniform(75, 105, n), random.uniform(80, 115, n), random.uniform(75, 105, n)])
    cell = constrain_cell(groups, np.column_stack([random.uniform(5, 9, (n, 3)), angles]))
    return Templates(groups, cell, np.array(letters, dtype=np.int8), random.random((n, 4, 3))).projected()


def geometry(templates: Templates) -> tuple[np.ndarray, Geometry]:
    groups, index = np.unique(templates.spacegroup, return_inverse=True)
    parts = index, templates.letters.astype(int), templates.coords, cell_vectors(templates.cell)
    return groups, Geometry(
        *(torch.from_numpy(x).float() if x.dtype.kind == "f" else torch.from_numpy(x) for x in parts)
    )


def test_they_are_the_exact_ones_where_atoms_collide() -> None:
    templates = crowded()
    groups, here = geometry(templates)
    found, exact = ShortestDistances(groups)(here).numpy(), min_distances(templates)
    short = exact < 1.2
    assert 0.2 < short.mean() < 0.9
    assert_allclose(found[short], exact[short], atol=5e-4)
    # never too small, and of the others only an atom's own images are missing
    assert (found > exact - 1e-3).all()


def test_gradient_is_that_of_finite_differences() -> None:
    templates = crowded(1)
    templates = templates[min_distances(templates) > 0.05][:40]
    groups, here = geometry(templates)
    distances = ShortestDistances(groups).double()
    coords = here.coords.double().requires_grad_()
    vectors = here.vectors.double().requires_grad_()
    distances(Geometry(here.group, here.letters, coords, vectors)).sum().backward()
    random = np.random.default_rng(0)
    for x in (coords, vectors):
        step = torch.from_numpy(random.normal(0, 1e-6, tuple(x.shape)))
        ends = []
        for sign in (1, -1):
            moved = [(y + sign * step if y is x else y).detach() for y in (coords, vectors)]
            ends.append(distances(Geometry(here.group, here.letters, *moved)))
        assert_allclose((ends[0] - ends[1]) / 2, (x.grad * step).sum(tuple(range(1, x.ndim))), atol=1e-9)


def test_one_atom_has_no_distance() -> None:
    one = Templates(
        np.array([221], np.int16), np.array([[4.0, 4, 4, 90, 90, 90]]), np.zeros((1, 1), np.int8), np.zeros((1, 1, 3))
    )
    groups, here = geometry(one)
    assert ShortestDistances(groups)(here).isinf().all()


def test_descent_parts_atoms() -> None:
    """The generator's outputs, moved along the gradient of the hinge, collide less."""
    templates = crowded(2)
    encoder = Categorical.fit(templates)
    head = encoder.head(32)
    distances = ShortestDistances(encoder.groups)
    torch.manual_seed(0)
    hidden, noise = torch.randn(400, 32), torch.rand(400, head.n_noise)
    adam = torch.optim.Adam(head.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        shortest = distances(encoder.geometry(head(hidden, noise, float("inf"))))
        loss = torch.relu(1 - shortest / 1.2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert CELL_FREE[encoder.groups].any()
