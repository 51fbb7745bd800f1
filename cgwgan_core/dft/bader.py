"""Bader's partition of an electron density among atoms.

By the weight method (Yu & Trinkle, J. Chem. Phys. 134, 064111 (2011), doi:10.1063/1.3553716): electrons flow uphill,
from each point of the grid to its higher neighbours, in proportion to slope and to the area that their Voronoi cells
share. What arrives at a maximum belongs to the atom next to it, and nothing is lost on the way.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.geometry import find_mic
from ase.units import Bohr
from scipy.sparse import csr_array
from scipy.sparse.linalg import spsolve_triangular
from scipy.spatial import Voronoi

from cgwgan_core.workflow.arrays import Floats


def read_cube(path: str | Path) -> tuple[Atoms, Floats]:
    """Crystal, and density (a, b, c) in 1/Å³, of a cube file in Bohr; the last index runs fastest."""
    lines = Path(path).read_text().split("\n", 6)
    n_atoms = int(lines[2].split()[0])
    voxels = np.array([line.split() for line in lines[3:6]], dtype=float)
    values = np.array(lines[6].split(), dtype=float)
    atoms = values[: 5 * n_atoms].reshape(n_atoms, 5)
    shape = voxels[:, 0].astype(int)
    crystal = Atoms(
        atoms[:, 0].astype(int), positions=atoms[:, 2:] * Bohr, cell=voxels[:, 1:] * shape[:, None] * Bohr, pbc=True
    )
    return crystal, values[5 * n_atoms :].reshape(shape) / Bohr**3


def electrons_of_atoms(atoms: Atoms, density: Floats) -> Floats:
    """Electrons of each atom, (n,); their sum is that of the density.

    :param density: (a, b, c) 1/Å³ of all electrons, on a grid through the origin.
    """
    places, electrons = basins(density, atoms.cell.array)
    apart = (places[:, None] - atoms.positions[None]).reshape(-1, 3)
    _, distances = find_mic(apart, atoms.cell, pbc=True)
    nearest = distances.reshape(len(places), len(atoms)).argmin(axis=1)
    found: Floats = np.bincount(nearest, weights=electrons, minlength=len(atoms)).astype(float)
    return found


def basins(density: Floats, cell: Floats) -> tuple[Floats, Floats]:
    r"""Maxima of a density, (m, 3) Å, and what flows to each, (m,).

    With :math:`F_{ij}` the share that goes from point i to j, what passes through the points solves
    :math:`x = \rho + F^T x`: F is triangular when the points are sorted by density.
    """
    shape, flat = density.shape, density.ravel()
    index = np.arange(flat.size).reshape(shape)
    neighbours, rises = [], []
    for shift, weight in facets(cell / np.array(shape)[:, None]):
        neighbour = np.roll(index, tuple(-shift), axis=(0, 1, 2)).ravel()
        neighbours.append(neighbour)
        rises.append(weight * np.maximum(flat[neighbour] - flat, 0.0))
    rise = np.array(rises)
    total = rise.sum(axis=0)
    order = np.argsort(-flat, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(flat.size)
    facet, point = np.nonzero(rise)
    shares = rise[facet, point] / total[point]
    lower_to_higher = (rank[np.array(neighbours)[facet, point]], rank[point])
    transposed = csr_array((shares, lower_to_higher), shape=(flat.size, flat.size))
    identity = csr_array((np.ones(flat.size), (np.arange(flat.size),) * 2), shape=transposed.shape)
    passing = spsolve_triangular(identity - transposed, flat[order], lower=False, unit_diagonal=True)
    maxima = np.flatnonzero(total == 0)
    fractional = np.stack(np.unravel_index(maxima, shape), axis=1) / np.array(shape)
    volume = abs(float(np.linalg.det(cell))) / flat.size
    return fractional @ cell, passing[rank[maxima]] * volume


def facets(voxel: Floats) -> list[tuple[npt.NDArray[np.intp], float]]:
    """Neighbours of a point of a grid, as steps along its axes, with facet area over distance (Å).

    :param voxel: vectors from point to point as rows, (3, 3) Å.

    >>> sorted(tuple(shift.tolist()) for shift, weight in facets(np.eye(3)) if round(weight, 6) == 1)
    [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    """
    steps = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    origin = len(steps) // 2
    diagram = Voronoi(steps @ voxel)
    found = []
    for pair, corners in zip(diagram.ridge_points, diagram.ridge_vertices, strict=True):
        if origin in pair:
            other = int(pair.sum()) - origin
            polygon = diagram.vertices[corners]
            area = np.linalg.norm(np.cross(polygon[1:-1] - polygon[0], polygon[2:] - polygon[0]).sum(axis=0)) / 2
            weight = float(area / np.linalg.norm(steps[other] @ voxel))
            if weight > 1e-8 * np.linalg.norm(voxel):
                found.append((steps[other], weight))
    return found
