"""From atoms to sites: the asymmetric unit of a structure, in the standard setting and its true space group."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.distances import primitive_vectors, shortest_basis
from cgwgan_core.crystallography.fingerprint import turns
from cgwgan_core.crystallography.symmetry import TIGHT, Found, SymmetryError, find_symmetry
from cgwgan_core.crystallography.templates import Templates, expand, wrap
from cgwgan_core.workflow.arrays import Booleans, Floats

MARGIN = 1e-3
"""Share by which squares of lengths have to be less than others to be called the least."""


@dataclass(frozen=True)
class AsymmetricUnit:
    """One structure as its sites: a template with elements."""

    template: Templates
    """A batch of one."""
    numbers: list[int]
    """Atomic number of each site."""


def asymmetric_unit(lattice: Floats, frac_coords: Floats, numbers: Sequence[int], symprec: float) -> AsymmetricUnit:
    """Sites of a structure in the standard setting, refined: on their Wyckoff positions to the last digit.

    Of each orbit the atom is taken that lies on the Wyckoff position's first coordinate triplet and has
    the smallest free parameters.

    :param lattice: vectors as rows, (3, 3) Å.
    :param frac_coords: (n, 3).
    :param numbers: atomic numbers, (n,).
    :param symprec: tolerance, Å.
    :raises SymmetryError: if moyo finds no symmetry or loses atoms, or an orbit is not where the tables have it.
    """
    return _unit(find_symmetry(lattice, frac_coords, numbers, symprec), lattice, numbers, symprec)


def _unit(found: Found, lattice: Floats, numbers: Sequence[int], symprec: float) -> AsymmetricUnit:
    """As :func:`asymmetric_unit`, of what moyo found."""
    number = found.number
    basis = np.array(found.std_cell.basis)
    primitive = np.array(found.prim_std_cell.positions) @ np.array(found.prim_std_cell.basis) @ np.linalg.inv(basis)
    shifts = sg.centring(number)
    lengths = np.linalg.norm(basis, axis=1)
    # near a smaller cell moyo may drop atoms and keep the volume, as 0.21 does for 3 of 155,345 structures
    volumes = [np.abs(np.linalg.det(np.asarray(v, dtype=float))) for v in (lattice, found.prim_std_cell.basis)]
    atoms = len(numbers) * volumes[1] / volumes[0]
    if abs(len(primitive) - atoms) > 0.5:
        raise SymmetryError(
            f"no consistent cell at symprec {symprec} Å: moyo's primitive cell holds {len(primitive)} atoms where its"
            f" volume asks for {atoms:.1f}; use a smaller symprec"
        )

    orbits = np.array(found.orbits)
    mapping = np.array(found.mapping_std_prim)
    letters, coords, elements = [], [], []
    for first in np.unique(orbits):
        members = np.unique(mapping[orbits == first])
        letter = sg.letter_index(found.wyckoffs[first])
        images = (primitive[members][:, None] + shifts).reshape(-1, 3)
        projection = sg.REPRESENTATIVE[number, letter]
        on = images @ projection[:, :3].T + projection[:, 3]
        residual = on - images
        off = np.linalg.norm((residual - np.round(residual)) * lengths, axis=1)
        if off.min() > symprec:
            raise SymmetryError(
                f"an atom of Z = {numbers[first]} is {off.min():.3f} Å off Wyckoff position {found.wyckoffs[first]}"
                f" of space group {number}, more than symprec {symprec} Å"
            )
        candidates = wrap(np.round(on[off < off.min() + 1e-3], 8))
        letters.append(letter)
        coords.append(candidates[np.lexsort(candidates.T[::-1])[0]])
        elements.append(int(numbers[first]))

    cell = np.concatenate([lengths, _angles(basis)])
    sites = Templates(
        np.array([number], dtype=np.int16), cell[None], np.array([letters], dtype=np.int8), np.array([coords])
    )
    exact, order = sites.projected_with_order()
    return AsymmetricUnit(exact, [elements[i] for i in order[0]])


def with_full_symmetry(templates: Templates) -> Templates:
    """Every template in its true group and smallest cell, as moyo finds it at :data:`TIGHT`, a species for each site.

    Symmetry grows where coordinates or the cell happen to be special; the supergroup then describes the same sites.
    Monoclinic and triclinic lattices have many cells: one that is not reduced gives way to moyo's. All other templates
    stay as they are, also where moyo finds nothing.
    """
    from cgwgan_core.crystallography.asymmetric_unit_kernel import may_grow  # noqa: PLC0415 - numba is slow to import

    changed: dict[int, Templates] = {}
    bases, reduced = shortest_basis(primitive_vectors(templates)), _have_shortest_axes(templates)
    for group in expand(templates):
        number, numbers = int(templates.spacegroup[group.index[0]]), (group.site + 1).tolist()
        basis, operations = bases[group.index], len(sg.operations(number))
        positions = group.positions @ np.linalg.inv(basis)
        # moyo takes a hundred times as long
        doubtful = may_grow(basis @ group.vectors, positions, group.site, operations, 10 * TIGHT)
        rows = np.flatnonzero(doubtful | ~reduced[group.index])
        for i, vectors, positions in zip(group.index[rows], group.vectors[rows], group.positions[rows], strict=True):
            wrapped = np.mod(positions, 1.0)
            try:
                found = find_symmetry(vectors, wrapped, numbers, TIGHT)
                grown = found.number != number or len(found.prim_std_cell.numbers) < len(numbers)
                if grown or found.number < 16:
                    changed[int(i)] = _unit(found, vectors, numbers, TIGHT).template
            except SymmetryError:
                continue
    if not changed:
        return templates
    order = np.arange(len(templates))
    order[list(changed)] = len(templates) + np.arange(len(changed))
    return Templates.concat([templates, *changed.values()])[order]


def _have_shortest_axes(templates: Templates) -> Booleans:
    """Whether no others make the cell of a monoclinic or triclinic template as short; true for all others, (N,).

    Then :func:`.fingerprint.canonical` reaches the same cell from these axes as from moyo's.
    """
    vectors = sg.cell_vectors(templates.cell)
    squares = (vectors**2).sum(2)
    found = np.ones(len(templates), dtype=bool)
    for number in np.unique(templates.spacegroup[templates.spacegroup < 16]).tolist():
        rows = np.flatnonzero(templates.spacegroup == number)
        if number <= 2:
            # each axis, of its coset of sums of the others
            sums = np.array(list(product((-1, 0, 1), repeat=3)))
            sums = sums[np.abs(sums).sum(1) > 1]
            others = ((sums @ vectors[rows]) ** 2).sum(2)
            longest = np.where(sums != 0, squares[rows][:, None], 0.0).max(2)
            found[rows] = (others > (1 + MARGIN) * longest).all(1)
        else:
            changed = np.unique(turns(number), axis=0)
            changed = changed[np.abs(changed).sum((1, 2)) > 3]
            others = ((changed @ vectors[rows][:, None]) ** 2).sum((2, 3))
            found[rows] = (others > (1 + MARGIN) * squares[rows].sum(1)[:, None]).all(1)
    return found


def _angles(basis: Floats) -> Floats:
    """Alpha, beta and gamma, degrees, of lattice vectors as rows, (3, 3)."""
    unit = basis / np.linalg.norm(basis, axis=1)[:, None]
    cosines = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
    angles: Floats = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return angles
