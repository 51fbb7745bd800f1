"""The references of a generator: real templates drawn again, and two simple generators that it must beat."""

import numpy as np

from cgwgan_core.crystallography.spacegroups import FREE, crystal_systems
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.generator.lattice import cell_from_terms, cell_terms

NOISE = 0.02
"""Standard deviation of the noise of jittered copies: of fractional coordinates, and of the logarithms of a, b, c."""


def resampled(real: Templates, n: int, random: np.random.Generator) -> Templates:
    """Structures of the data as they are, drawn with replacement."""
    return real[random.integers(len(real), size=n)]


def independent(real: Templates, n: int, random: np.random.Generator) -> Templates:
    """Templates whose every part is drawn by itself, with the frequency it has in the data.

    The space group; the number of sites; each letter given the group alone; log volume per atom, and given the
    crystal system each shape parameter of the cell; each free coordinate. What is lost are all relations
    between the parts. A fixed position may be drawn twice: such a draw is a failure.

    :param real: the templates to take the parts from.
    """
    rows = random.integers(len(real), size=n)
    spacegroup = real.spacegroup[rows]
    n_sites = real.n_sites[random.integers(len(real), size=n)]
    letters = np.full((n, real.letters.shape[1]), -1, dtype=np.int8)
    for number in np.unique(spacegroup):
        mine = spacegroup == number
        pool = real.letters[real.spacegroup == number]
        letters[mine] = random.choice(pool[pool >= 0], size=(int(mine.sum()), letters.shape[1]))
    letters[np.arange(letters.shape[1]) >= n_sites[:, None]] = -1
    free = FREE[real.spacegroup[:, None], real.letters] & (real.letters >= 0)[..., None]
    pools = [np.append(real.coords[..., i][free[..., i]], [] if free[..., i].any() else 0.0) for i in range(3)]
    coords = np.stack([random.choice(pool, size=letters.shape) for pool in pools], axis=-1)
    terms = cell_terms(real.cell, real.n_atoms)
    systems, wanted = crystal_systems(real.spacegroup), crystal_systems(spacegroup)
    drawn = np.empty((n, terms.shape[1]))
    drawn[:, 0] = random.choice(terms[:, 0], size=n)
    for system in np.unique(wanted):
        mine = wanted == system
        for i in range(1, terms.shape[1]):
            drawn[mine, i] = random.choice(terms[systems == system, i], size=int(mine.sum()))
    filled = Templates(spacegroup, np.ones((n, 6)), letters, coords)
    cell = cell_from_terms(spacegroup, drawn, filled.n_atoms)
    return Templates(spacegroup, cell, letters, coords).projected()


def jittered(real: Templates, n: int, random: np.random.Generator) -> Templates:
    """Retrieval: structures of the data with normally distributed noise on what symmetry leaves free.

    :param real: the templates to copy.
    """
    copies = resampled(real, n, random)
    cell = copies.cell.copy()
    cell[:, :3] *= np.exp(random.normal(0, NOISE, (n, 3)))
    coords = copies.coords + random.normal(0, NOISE, copies.coords.shape)
    return Templates(copies.spacegroup, cell, copies.letters, coords).projected()
