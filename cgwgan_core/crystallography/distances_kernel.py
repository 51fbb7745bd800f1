"""The compiled part of :mod:`.distances`."""

import numpy as np
from numba import njit

from cgwgan_core.workflow.arrays import Floats, Integers


@njit(cache=True, nogil=True)
def nearest(vectors: Floats, positions: Floats, site: Integers) -> Floats:  # pragma: no cover (compiled)
    """Shortest distances between the first atom of each site and all of each, in n crystals of one kind, (n, k, k).

    :param vectors: reduced lattice vectors as rows, (n, 3, 3) Å.
    :param positions: fractional coordinates there, (n, m, 3).
    :param site: of each atom, ascending, (m,).
    """
    n, m = positions.shape[:2]
    k = site[-1] + 1
    first = np.searchsorted(site, np.arange(k))
    out = np.full((n, k, k), np.inf)
    images, middle = np.empty((27, 3)), 13
    for c in range(n):
        a = vectors[c]
        for image in range(27):
            for x in range(3):
                images[image, x] = (
                    (image // 9 - 1) * a[0, x] + (image // 3 % 3 - 1) * a[1, x] + (image % 3 - 1) * a[2, x]
                )
        for i in range(k):
            for j in range(m):
                f0 = positions[c, j, 0] - positions[c, first[i], 0]
                f1 = positions[c, j, 1] - positions[c, first[i], 1]
                f2 = positions[c, j, 2] - positions[c, first[i], 2]
                f0, f1, f2 = f0 - np.rint(f0), f1 - np.rint(f1), f2 - np.rint(f2)
                x0 = f0 * a[0, 0] + f1 * a[1, 0] + f2 * a[2, 0]
                x1 = f0 * a[0, 1] + f1 * a[1, 1] + f2 * a[2, 1]
                x2 = f0 * a[0, 2] + f1 * a[1, 2] + f2 * a[2, 2]
                least = np.inf
                for image in range(27):
                    if image == middle and j == first[i]:
                        continue
                    y0, y1, y2 = x0 + images[image, 0], x1 + images[image, 1], x2 + images[image, 2]
                    least = min(least, y0 * y0 + y1 * y1 + y2 * y2)
                out[c, i, site[j]] = min(out[c, i, site[j]], least)
    return np.sqrt(out)
