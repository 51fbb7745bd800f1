"""Random templates for property tests: any group, any letters, free parameters anywhere."""

import numpy as np
from ase import Atoms
from hypothesis import strategies as st
from numpy.typing import NDArray

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.fingerprint import cell_parameters, normaliser
from cgwgan_core.crystallography.templates import Templates, to_atoms


def random_template(rng: np.random.Generator, number: int, letters: list[int], density: float = 0.05) -> Templates:
    """A template of these sites with random free coordinates, and a random cell of the given density."""
    shape = [*np.exp(rng.uniform(-0.5, 0.5, 3)), *rng.uniform(75, 105, 3)]
    cell = sg.constrain_cell(np.array([number]), np.array([shape]))
    atoms = sg.MULTIPLICITY[number, letters].sum()
    cell[:, :3] *= np.cbrt(atoms / density / sg.cell_volume(cell))[:, None]
    coords = rng.random((1, len(letters), 3))
    return Templates(np.array([number], np.int16), cell, np.array([letters], np.int8), coords).projected()


def random_crystals(n: int) -> list[Atoms]:
    """Barium, ruthenium and oxygen on random templates of all kinds of groups, with the site of each atom."""
    rng = np.random.default_rng(0)
    crystals: list[Atoms] = []
    while len(crystals) < n:
        number = int(rng.integers(2, 231))
        letters = sorted(rng.choice(np.flatnonzero(sg.MULTIPLICITY[number]), 3).tolist())
        template = random_template(rng, number, letters)
        if len(template) and min_distances(template)[0] > 1.6 and template.n_atoms[0] < 40:
            crystals.append(to_atoms(template, 0, ["Ba", "Ru", "O"]))
    return crystals


def redescribed(
    template: Templates, rng: np.random.Generator, mirror: bool = True
) -> tuple[Templates, NDArray[np.int64]]:
    """The same template by any change of its group's normaliser, with twice the lengths, the origin anywhere along
    polar axes, and sites in another order; and which site each was, (k,).

    :param mirror: whether a chiral crystal may become its mirror image.
    """
    number, k = int(template.spacegroup[0]), int(template.n_sites[0])
    changes = normaliser(number)
    usable = np.arange(len(changes.shift))
    if not mirror and (np.linalg.det(sg.operations(number)[:, :, :3]) > 0).all():
        usable = np.flatnonzero(np.linalg.det(changes.linear) > 0)
    q = rng.choice(usable)
    moved = []
    for site in range(k):
        letter = template.letters[0, site]
        choice = changes.maps[q, letter, rng.integers(changes.n_maps[q, letter])]
        moved.append(choice[:, :3] @ template.coords[0, site] + choice[:, 3])
    coords = np.array([moved]) + np.where(changes.polar, rng.random(3), 0.0)
    cell = cell_parameters(np.linalg.inv(changes.linear[q]).T @ sg.cell_vectors(template.cell)) * [2, 2, 2, 1, 1, 1]
    letters = changes.letters[q, template.letters[:, :k]].astype(np.int8)
    other, order = Templates(template.spacegroup, cell, letters, coords).projected_with_order()
    return other, order[0]


def recelled(atoms: Atoms, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
    """The same crystal in another primitive cell, orientation and origin, with its atoms in another order: lattice
    vectors, fractional coordinates, atomic numbers."""
    step = np.eye(3)
    i, j = rng.permutation(3)[:2]
    step[i, j] = rng.integers(-1, 2)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    order = rng.permutation(len(atoms))
    frac = (atoms.get_scaled_positions() + rng.random(3)) @ np.linalg.inv(step)
    return step @ atoms.cell[:] @ rotation, frac[order], atoms.numbers[order].tolist()


@st.composite
def templates(draw: st.DrawFn, most_sites: int = 4) -> Templates:
    """One template of up to ``most_sites`` sites, none without freedom used twice."""
    number = draw(st.integers(1, 230))
    available = np.flatnonzero(sg.MULTIPLICITY[number])
    letters: list[int] = []
    for _ in range(draw(st.integers(1, most_sites))):
        usable = [int(i) for i in available if sg.N_FREE[number, i] or i not in letters]
        if usable:
            letters.append(draw(st.sampled_from(usable)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random_template(rng, number, letters)


def real_templates(n: int = 400, seed: int = 0) -> Templates:
    """Perovskites with a shaken cell, and rhombohedral ones with a free coordinate."""
    rng = np.random.default_rng(seed)
    groups = np.where(np.arange(n) % 4 == 0, 166, 221).astype(np.int16)
    cell = np.repeat(rng.uniform(3.8, 4.2, (n, 1)), 6, axis=1)
    cell[groups == 166, 2] = 17.0
    letters = np.where((groups == 166)[:, None], [0, 1, 2], [0, 1, 2]).astype(np.int8)
    coords = rng.uniform(0.2, 0.3, (n, 3, 3))
    return Templates(groups, sg.constrain_cell(groups, cell), letters, coords).projected()
