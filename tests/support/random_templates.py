"""Random templates for property tests: any group, any letters, free parameters anywhere."""

import numpy as np
from hypothesis import strategies as st

from cgwgan_core import spacegroups as sg
from cgwgan_core.crystal import Templates


def random_template(rng: np.random.Generator, number: int, letters: list[int], density: float = 0.05) -> Templates:
    """A template of these sites with random free coordinates, and a random cell of the given density."""
    shape = [*np.exp(rng.uniform(-0.5, 0.5, 3)), *rng.uniform(75, 105, 3)]
    cell = sg.constrain_cell(np.array([number]), np.array([shape]))
    atoms = sg.MULTIPLICITY[number, letters].sum()
    cell[:, :3] *= np.cbrt(atoms / density / sg.cell_volume(cell))[:, None]
    coords = rng.random((1, len(letters), 3))
    return Templates(np.array([number], np.int16), cell, np.array([letters], np.int8), coords).projected()


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
