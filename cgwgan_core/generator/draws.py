"""A set of drawn templates, and what the figures of quality look at: keys, distances, densities, symmetry."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from cgwgan_core.crystallography.descriptor import NEIGHBOURS, coordination_numbers, descriptors
from cgwgan_core.crystallography.distances import min_distances
from cgwgan_core.crystallography.fingerprint import fingerprints, isopointal_types
from cgwgan_core.crystallography.spacegroups import constrain_cell
from cgwgan_core.crystallography.spacegroups import operations as operations_of
from cgwgan_core.crystallography.symmetry import spacegroup_of
from cgwgan_core.crystallography.templates import Templates, decorate, expand
from cgwgan_core.generator.selection import TemplateOptions, impossible_sites
from cgwgan_core.workflow.arrays import Booleans, Floats

SEARCHED = 500
"""Draws in which the space group is searched for, the first ones: it takes longer than all else."""
SYMPREC = 1e-3
"""Å; tolerance of that search."""
TOLERANCE = 1e-4
"""Largest difference of a fractional coordinate, and relative one of a cell parameter, in :func:`has_symmetry`."""


@dataclass(frozen=True)
class Draws:
    """A set of templates, and what the figures look at, computed when it is first asked for."""

    templates: Templates
    """N in all. One without sites or volume, or with letters that its group lacks, is a draw that failed."""

    def __len__(self) -> int:
        return len(self.templates)

    @cached_property
    def spacegroup(self) -> NDArray[np.int16]:
        """Requested space group, 0 for failures, (N,)."""
        return self._each(lambda x: x.spacegroup, 0)

    @cached_property
    def isopointal(self) -> NDArray[np.str_]:
        """Isopointal types, empty for failures, (N,)."""
        return self._each(lambda x: np.array(isopointal_types(x)), "")

    @cached_property
    def fingerprint(self) -> NDArray[np.str_]:
        """Fingerprints, empty for failures, (N,)."""
        return self._each(lambda x: np.array(fingerprints(x)), "")

    @cached_property
    def min_distance(self) -> Floats:
        """Shortest distance between any two atoms, Å; 0 for failures, (N,)."""
        return self._each(min_distances, 0.0)

    @cached_property
    def number_density(self) -> Floats:
        """Atoms per Å³; 0 for failures, (N,)."""
        return self._each(lambda x: x.number_density, 0.0)

    @cached_property
    def symmetric(self) -> Booleans:
        """Whether a draw has at least the symmetry of its space group, (N,)."""
        return self._each(has_symmetry, False)

    @cached_property
    def found(self) -> NDArray[np.int64]:
        """Space group that moyo finds in each of the first :data:`SEARCHED` draws, 0 for none, (≤ SEARCHED,)."""
        return Draws(self.templates[:SEARCHED])._each(spacegroups_found, 0)

    @cached_property
    def descriptor(self) -> Floats:
        """Of :mod:`.descriptor`; NaN for failures, (N, D)."""
        return self._each(descriptors, np.nan, 1 + NEIGHBOURS)

    @cached_property
    def coordination(self) -> Floats:
        """Coordination numbers; NaN for failures, (N,)."""
        return self._each(coordination_numbers, np.nan)

    def valid(self, options: TemplateOptions) -> Booleans:
        """Which draws have possible sites and no atoms too close, (N,)."""
        return ~impossible_sites(self.templates) & (self.min_distance >= options.min_distance)

    def usable(self, options: TemplateOptions) -> Booleans:
        """Which draws are what is asked of a template, (N,)."""
        low, high = options.number_density
        dense = (self.number_density >= low) & (self.number_density <= high)
        return self.valid(options) & dense & (self.templates.n_atoms <= options.max_atoms)

    @cached_property
    def distinct(self) -> NDArray[np.int64]:
        """Places of the first draw of each fingerprint, failures left out, ascending."""
        keys, first = np.unique(self.fingerprint, return_index=True)
        return np.sort(first[keys != ""])

    def _each(self, compute: Callable[[Templates], NDArray[Any]], failed: Any, *width: int) -> NDArray[Any]:
        """What is computed of each template, and ``failed`` where there is none."""
        there = self.templates.offered & (self.templates.volume > 0)
        if not there.any():
            return np.full((len(self), *width), failed)
        found = compute(self.templates[there])
        out = np.full((len(self), *width), failed, dtype=found.dtype)
        out[there] = found
        return out


def spacegroups_found(templates: Templates) -> NDArray[np.int64]:
    """Space group that moyo finds in each template, each site a species of its own, 0 where it finds none, (N,)."""
    species = [chemical_symbols[1 : n + 1] for n in templates.n_sites]
    atoms = decorate(templates, species, np.ones(len(templates)))
    return np.array([spacegroup_of(crystal, SYMPREC) for crystal in atoms], dtype=np.int64)


def has_symmetry(templates: Templates) -> Booleans:
    """Whether the atoms of each template have at least the symmetry of its space group, (N,).

    Every operation of the group, as the tables of moyo list them, must send the representative of each site
    onto an atom of that site. Each site must have as many atoms as its multiplicity says, and the coordinates
    of the representative. The cell must be one of the crystal system.
    """
    out = np.zeros(len(templates), dtype=bool)
    cell = np.isclose(constrain_cell(templates.spacegroup, templates.cell), templates.cell, rtol=TOLERANCE).all(1)
    for group in expand(templates, primitive=False):
        number = int(templates.spacegroup[group.index[0]])
        first = np.unique(group.site, return_index=True)[1]
        counts = np.bincount(group.site)
        right = (counts == templates.multiplicities[group.index[0]][: len(counts)]).all()
        operations = operations_of(number)
        good = np.full(len(group.index), right)
        for site, start in enumerate(first):
            atoms = group.positions[:, group.site == site]
            moved = group.positions[:, start] - templates.coords[group.index, site]
            good &= (np.abs(moved - np.round(moved)) < TOLERANCE).all(1)
            # bound the memory of one step: templates times operations times atoms
            step = max(1, 2_000_000 // (len(operations) * atoms.shape[1]))
            for rows in (slice(i, i + step) for i in range(0, len(atoms), step)):
                images = np.einsum("oij,nj->noi", operations[:, :, :3], group.positions[rows, start])
                images += operations[:, :, 3]
                off = images[:, :, None] - atoms[rows, None]
                off = np.abs(off - np.round(off)).max(-1).min(-1)
                good[rows] &= (off < TOLERANCE).all(1)
        out[group.index] = good
    return out & cell
