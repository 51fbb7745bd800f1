"""From atoms to sites: the asymmetric unit of a structure, in the standard setting and its true space group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.crystallography.symmetry import TIGHT, SymmetryError, find_symmetry
from cgwgan_core.crystallography.templates import Templates, expand, wrap
from cgwgan_core.workflow.arrays import Floats


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
    found = find_symmetry(lattice, frac_coords, numbers, symprec)
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
    Monoclinic and triclinic lattices have many cells; the reduced one describes them. All other templates stay as they
    are, also where moyo finds nothing.
    """
    changed: dict[int, Templates] = {}
    for group in expand(templates):
        numbers = (group.site + 1).tolist()
        for i, vectors, positions in zip(group.index, group.vectors, group.positions, strict=True):
            wrapped = np.mod(positions, 1.0)
            try:
                found = find_symmetry(vectors, wrapped, numbers, TIGHT)
                grown = found.number != templates.spacegroup[i] or len(found.prim_std_cell.numbers) < len(numbers)
                if grown or found.number < 16:
                    changed[int(i)] = asymmetric_unit(vectors, wrapped, numbers, TIGHT).template
            except SymmetryError:
                continue
    if not changed:
        return templates
    order = np.arange(len(templates))
    order[list(changed)] = len(templates) + np.arange(len(changed))
    return Templates.concat([templates, *changed.values()])[order]


def _angles(basis: Floats) -> Floats:
    """Alpha, beta and gamma, degrees, of lattice vectors as rows, (3, 3)."""
    unit = basis / np.linalg.norm(basis, axis=1)[:, None]
    cosines = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
    angles: Floats = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return angles
