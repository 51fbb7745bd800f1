"""The lattice as six numbers that separate size from shape, and back.

The same six numbers describe a lattice of any system. Unlike a, b, c they separate size from shape.
Unlike alpha, beta, gamma, any three angles alpha*, beta, gamma between 0 and 180° enclose a volume
(International Tables B, 1.1: cos alpha* = (cos beta cos gamma - cos alpha) / (sin beta sin gamma)).
"""

import numpy as np
import torch
from torch import Tensor

from cgwgan_core.crystallography.spacegroups import CELL_FREE, constrain_cell
from cgwgan_core.workflow.arrays import Floats, Integers

CELL_TERMS = ("log volume per atom", "log b/a", "log c/a", "alpha*", "beta", "gamma")


def cell_terms(cell: Floats, n_atoms: Integers | Floats) -> Floats:
    """The six numbers of :data:`CELL_TERMS`, (N, 6); volume in Å³, angles in degrees.

    :param cell: a, b, c (Å), alpha, beta, gamma (degrees) of the conventional cell, (N, 6).
    :param n_atoms: atoms in the conventional cell, (N,).
    """
    a, b, c = cell[:, :3].T
    (ca, cb, cg), (_, sb, sg) = np.cos(np.radians(cell[:, 3:])).T, np.sin(np.radians(cell[:, 3:])).T
    star = np.arccos(np.clip((cb * cg - ca) / (sb * sg), -1, 1))
    volume = a * b * c * sb * sg * np.sin(star)
    terms = [np.log(volume / n_atoms), np.log(b / a), np.log(c / a), np.degrees(star), cell[:, 4], cell[:, 5]]
    return np.stack(terms, axis=1)


def cell_from_terms(spacegroup: Integers, terms: Floats, n_atoms: Integers) -> Floats:
    """The inverse of :func:`cell_terms`; terms that the crystal system fixes are ignored.

    :param spacegroup: numbers, (N,).
    :param terms: as :func:`cell_terms` gives them, (N, 6).
    :param n_atoms: atoms in the conventional cell, (N,).
    :returns: a, b, c (Å), alpha, beta, gamma (degrees), (N, 6).
    """
    free = CELL_FREE[spacegroup]
    ratios = np.exp(np.where(free[:, 1:3], terms[:, 1:3], 0.0))
    star, beta, gamma = np.radians(np.clip(terms[:, 3:], 1, 179)).T
    alpha = np.arccos(np.cos(beta) * np.cos(gamma) - np.sin(beta) * np.sin(gamma) * np.cos(star))
    lengths = np.column_stack([np.ones(len(terms)), ratios])
    shape = constrain_cell(spacegroup, np.column_stack([lengths, np.degrees([alpha, beta, gamma]).T]))
    # the volume of the shape with a = 1 gives a
    unit = np.exp(cell_terms(shape, np.ones(len(terms)))[:, 0])
    shape[:, :3] *= np.cbrt(np.exp(terms[:, 0]) * n_atoms / unit)[:, None]
    return shape


def vectors_from_terms(terms: Tensor, free: Tensor, hexagonal: Tensor, n_atoms: Tensor) -> Tensor:
    """The vectors of the cells of :func:`cell_from_terms`, with gradients.

    :param terms: as :func:`cell_terms` gives them, (N, 6).
    :param free: 1 for terms that the crystal system leaves free, 0 for the others, (N, 6).
    :param hexagonal: whether the cell has hexagonal axes, (N,).
    :param n_atoms: atoms in the conventional cell, (N,).
    :returns: lattice vectors as rows, (N, 3, 3) Å: a along x, b in the xy plane.
    """
    right = torch.full_like(terms[:, 0], 90.0)
    fixed = torch.stack([right, right, torch.where(hexagonal, 120.0, right)], dim=1)
    angles = torch.where(free[:, 3:] > 0, terms[:, 3:].clamp(1, 179), fixed)
    (cs, cb, cg), (ss, sb, sin) = torch.deg2rad(angles).cos().T, torch.deg2rad(angles).sin().T
    ratios = (terms[:, 1:3] * free[:, 1:3]).exp().T
    zero = torch.zeros_like(cg)
    a = torch.stack([torch.ones_like(cg), zero, zero], dim=1)
    b = ratios[0][:, None] * torch.stack([cg, sin, zero], dim=1)
    c = ratios[1][:, None] * torch.stack([cb, -sb * cs, sb * ss], dim=1)
    volume = ratios[0] * sin * ratios[1] * sb * ss
    length = (terms[:, 0].exp() * n_atoms / volume) ** (1 / 3)
    vectors: Tensor = length[:, None, None] * torch.stack([a, b, c], dim=1)
    return vectors
