"""The compiled part of :mod:`.matching`: templates of one isopointal type laid on one another, change after change.

Each trial ends at the first thing that does not fit.
"""

# ruff: noqa: C901, PLR0912 - numba compiles plain loops best

import numpy as np
from numba import njit

from cgwgan_core.crystallography.matching_arrays import Changes, Pool
from cgwgan_core.workflow.arrays import Floats, Integers


@njit(cache=True, nogil=True)
def compared(
    changes: Changes, vectors: Floats, pool: Pool, start: int, limits: Floats, learn: bool, exact: bool
) -> tuple[Floats, Integers]:  # pragma: no cover (compiled)
    """The distance of each of n templates, under all changes, to the nearest of those known so far; the first that
    fits if not exact. And the places of what is known in the end.

    :param vectors: conventional lattice vectors of the n templates, in free lengths, (n, 3, 3).
    :param pool: the ``start`` known templates, and then the n others.
    :param limits: largest relative difference of lengths, of angles (degrees), and distance of sites, (3,).
    :param learn: whether what is new is known from then on.
    """
    n, k = len(vectors), pool.coords.shape[1]
    maps, n_maps, usable, sites = changes.maps, changes.n_maps, changes.usable, pool.letters
    minima = np.empty((len(pool.cells), 3))
    for j in range(len(pool.cells)):
        minima[j] = np.sort(pool.cells[j, :3])
    # the vectors that correspond to one lattice's shortest are no shorter than the other's shortest. The angles
    # change the lengths of their sums, hence the second limit, which lets some more through
    upper = 1 + limits[0]
    lower = 1 / (upper * (1 + 2 * np.radians(limits[1])))
    known = np.empty(len(pool.coords), np.int64)
    known[:start] = np.arange(start)
    count = start
    found = np.empty(n)
    near = np.empty(len(pool.coords), np.int64)
    turned = np.empty_like(changes.vectors)
    images = np.empty((len(usable), k, maps.shape[2], 3))
    own_n_maps, own_letters = np.empty((len(usable), k), np.int64), np.empty((len(usable), k), np.int64)
    for q in range(len(usable)):
        for s in range(k):
            own_n_maps[q, s], own_letters[q, s] = n_maps[usable[q], sites[s]], changes.letters[usable[q], sites[s]]
    for i in range(n):
        own = minima[start + i]
        some = 0
        for c in range(count):
            other = minima[known[c]]
            fits = True
            for x in range(3):
                fits = fits and own[x] <= upper * other[x] and own[x] >= lower * other[x]
            if fits:
                near[some] = known[c]
                some += 1
        found[i] = np.inf
        if some:
            for t in range(len(turned)):
                turned[t] = changes.vectors[t] @ vectors[i]
            for q in range(len(usable)):
                for s in range(k):
                    for p in range(n_maps[usable[q], sites[s]]):
                        for x in range(3):
                            images[q, s, p, x] = maps[usable[q], sites[s], p, x, 3]
                            for y in range(3):
                                images[q, s, p, x] += maps[usable[q], sites[s], p, x, y] * pool.coords[start + i, s, y]
            found[i] = _nearest(turned, images, own_n_maps, own_letters, changes, pool, near[:some], limits, exact)
        if learn and found[i] > limits[2]:
            known[count] = start + i
            count += 1
    return found, known[:count]


@njit(cache=True, nogil=True)
def _nearest(
    turned: Floats,
    images: Floats,
    n_maps: Integers,
    letters: Integers,
    changes: Changes,
    pool: Pool,
    among: Integers,
    limits: Floats,
    exact: bool,
) -> float:  # pragma: no cover (compiled)
    """The distance from a template, under all changes, to the nearest ``among`` the pool; the first that fits if not
    exact.

    :param turned: lattice vectors of the template under each change of axes, (L, 3, 3), in free lengths.
    :param images: of its sites, (Q, k, P, 3).
    :param n_maps: how many of the P are different, (Q, k); ``letters`` theirs, (Q, k).
    """
    best = np.inf
    begins = changes.begins
    coords, bases, backs, cells = pool.coords, pool.bases, pool.backs, pool.cells
    own_letters, weights, polar = pool.letters, pool.weights, pool.polar
    k = coords.shape[1]
    own = np.empty(6)
    mean = np.empty((3, 3))
    gaps = np.empty((k, k, 3))
    squares = np.empty((k, k))
    partner = np.empty(k, np.int64)
    shift = np.empty(3)
    rarest = np.argmin(weights)
    on_axis = polar.any()
    for j in among:
        back = backs[j]
        for t in range(len(turned)):
            if not _lattice_fits(bases[j], turned[t], cells[j], limits, own):
                continue
            _mean_cell(own, cells[j], pool.atoms, mean)
            for q in range(begins[t], begins[t + 1]):
                limit = min(limits[2], best)
                if not on_axis:
                    shift[:] = 0.0
                    if _gaps(
                        images[q], n_maps[q], letters[q], coords[j], own_letters, shift, back, mean, limit, gaps,
                        squares,
                    ):  # fmt: skip
                        best = min(best, largest(squares, limit, partner, exact))
                    if best <= limits[2] and not exact:
                        return best
                    continue
                # along polar axes the origin is arbitrary: one of the rarest atoms is laid on each site it may fall
                # on, and then what is left of a mean displacement is taken away
                for site in range(k):
                    if letters[q, rarest] != own_letters[site]:
                        continue
                    for p in range(n_maps[q, rarest]):
                        shift[:] = np.where(polar, coords[j, site] - images[q, rarest, p], 0.0)
                        for turn in range(3):
                            # at first every atom may be off by the anchor's displacement as well
                            reach = limit if turn == 2 else 2 * limits[2]
                            if not _gaps(
                                images[q], n_maps[q], letters[q], coords[j], own_letters, shift, back, mean, reach,
                                gaps, squares,
                            ):  # fmt: skip
                                break
                            found = largest(squares, reach, partner, exact or turn < 2)
                            if turn == 2:
                                best = min(best, found)
                                limit = min(limits[2], best)
                            elif np.isinf(found):
                                break
                            else:
                                residual = np.zeros(3)
                                for i in range(k):
                                    residual += weights[i] * gaps[i, partner[i]]
                                # Cartesian; only its part along polar axes may be taken away
                                shift -= np.where(polar, residual @ np.linalg.inv(back @ mean), 0.0)
                        if best <= limits[2] and not exact:
                            return best
    return best


@njit(cache=True, nogil=True)
def _lattice_fits(
    basis: Floats, turned: Floats, cell: Floats, limits: Floats, own: Floats
) -> bool:  # pragma: no cover (compiled)
    """Whether lengths and angles of a lattice in a basis are near those of a cell; ``own`` takes them, (6,)."""
    vectors = basis @ turned
    for i in range(3):
        own[i] = np.sqrt(vectors[i, 0] ** 2 + vectors[i, 1] ** 2 + vectors[i, 2] ** 2)
        ratio = own[i] / cell[i]
        if ratio > 1 + limits[0] or ratio * (1 + limits[0]) < 1:
            return False
    for i in range(3):
        a, b = (i + 1) % 3, (i + 2) % 3
        if a > b:
            a, b = b, a
        product = 0.0
        for x in range(3):
            product += vectors[a, x] * vectors[b, x]
        cosine = min(1.0, max(-1.0, product / (own[a] * own[b])))
        own[3 + i] = np.degrees(np.arccos(cosine))
        if abs(own[3 + i] - cell[3 + i]) > limits[1]:
            return False
    return True


@njit(cache=True, nogil=True)
def _mean_cell(first: Floats, second: Floats, atoms: float, mean: Floats) -> None:  # pragma: no cover (compiled)
    """Vectors of the mean of two cells, with the free length per atom as the unit, into ``mean``, (3, 3)."""
    cell = (first + second) / 2
    ca, cb, cg = np.cos(np.radians(cell[3])), np.cos(np.radians(cell[4])), np.cos(np.radians(cell[5]))
    sg = np.sqrt(1 - cg * cg)
    y = (ca - cb * cg) / sg
    mean[:] = 0.0
    mean[0, 0] = cell[0]
    mean[1, 0], mean[1, 1] = cell[1] * cg, cell[1] * sg
    mean[2, 0], mean[2, 1], mean[2, 2] = cell[2] * cb, cell[2] * y, cell[2] * np.sqrt(max(1 - cb * cb - y * y, 1e-12))
    mean *= (atoms / (mean[0, 0] * mean[1, 1] * mean[2, 2])) ** (1 / 3)


@njit(cache=True, nogil=True)
def _gaps(
    images: Floats,
    n_maps: Integers,
    letters: Integers,
    sites: Floats,
    own_letters: Integers,
    shift: Floats,
    back: Floats,
    mean: Floats,
    limit: float,
    gaps: Floats,
    squares: Floats,
) -> bool:  # pragma: no cover (compiled)
    """From the images of each site to each site of its letter the shortest vector, into ``gaps`` (k, k, 3), and its
    square, into ``squares`` (k, k); infinite between different letters. False, and no more of them, as soon as the
    images of a site have no site within the limit.
    """
    k = len(sites)
    for i in range(k):
        nearest = np.inf
        for j in range(k):
            squares[i, j] = np.inf
            if letters[i] != own_letters[j]:
                continue
            for p in range(n_maps[i]):
                d0 = images[i, p, 0] + shift[0] - sites[j, 0]
                d1 = images[i, p, 1] + shift[1] - sites[j, 1]
                d2 = images[i, p, 2] + shift[2] - sites[j, 2]
                f0 = d0 * back[0, 0] + d1 * back[1, 0] + d2 * back[2, 0]
                f1 = d0 * back[0, 1] + d1 * back[1, 1] + d2 * back[2, 1]
                f2 = d0 * back[0, 2] + d1 * back[1, 2] + d2 * back[2, 2]
                f0 -= np.round(f0)
                f1 -= np.round(f1)
                f2 -= np.round(f2)
                g0 = f0 * mean[0, 0] + f1 * mean[1, 0] + f2 * mean[2, 0]
                g1 = f1 * mean[1, 1] + f2 * mean[2, 1]
                g2 = f2 * mean[2, 2]
                square = g0 * g0 + g1 * g1 + g2 * g2
                if square < squares[i, j]:
                    squares[i, j] = square
                    gaps[i, j, 0], gaps[i, j, 1], gaps[i, j, 2] = g0, g1, g2
            nearest = min(nearest, squares[i, j])
        if nearest > limit * limit:
            return False
    return True


@njit(cache=True, nogil=True)
def largest(squares: Floats, limit: float, partner: Integers, exact: bool) -> float:  # pragma: no cover (compiled)
    """The smallest, over all ways to give images a site each, of the largest distance; infinite above the limit.

    :param partner: takes the site of each image, (k,).
    :param exact: otherwise any way within the limit will do.
    """
    if not _assign(squares, limit * limit, partner):
        return np.inf
    largest = _largest_of(squares, partner)
    while exact and largest > 0:
        previous = partner.copy()
        if not _assign(squares, largest * (1 - 1e-12), partner):
            partner[:] = previous
            break
        largest = _largest_of(squares, partner)
    return np.sqrt(largest)  # type: ignore[no-any-return]  # numba compiles it to a float


@njit(cache=True, nogil=True)
def _largest_of(squares: Floats, partner: Integers) -> float:  # pragma: no cover (compiled)
    largest = 0.0
    for i in range(len(partner)):
        largest = max(largest, squares[i, partner[i]])
    return largest


@njit(cache=True, nogil=True)
def _assign(squares: Floats, limit: float, partner: Integers) -> bool:  # pragma: no cover (compiled)
    """Whether every image finds a site of its own within the limit, by augmenting paths; ``partner`` takes them."""
    k = len(squares)
    for i in range(k):
        if squares[i].min() > limit:
            return False
    owner = np.full(k, -1)
    for start in range(k):
        # breadth first: from an image to its near sites, from each to the image that has it
        reached_from = np.full(k, -1)
        queue = np.empty(k + 1, np.int64)
        queue[0], head, tail, free = start, 0, 1, -1
        while head < tail and free < 0:
            image = queue[head]
            head += 1
            for site in range(k):
                if reached_from[site] >= 0 or squares[image, site] > limit:
                    continue
                reached_from[site] = image
                if owner[site] < 0:
                    free = site
                    break
                queue[tail] = owner[site]
                tail += 1
        if free < 0:
            return False
        site = free
        while True:
            image = reached_from[site]
            before = -1
            for other in range(k):
                if owner[other] == image:
                    before = other
            owner[site] = image
            if image == start:
                break
            owner[before] = -1
            site = before
    for site in range(k):
        partner[owner[site]] = site
    return True
