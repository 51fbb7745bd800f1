"""What networks are told of groups and Wyckoff positions, and what symmetry allows, as tensors."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cgwgan_core.crystallography import spacegroups as sg
from cgwgan_core.workflow.arrays import Integers

N_TRAITS = 9
"""Length of what describes a position by itself: freedom of x, y, z; one-hot number of free coordinates; scaled
multiplicity; scaled order of the site symmetry."""


@dataclass(frozen=True)
class Positions:
    """G groups and their letters."""

    numbers: Tensor
    """Space groups, ascending, (G,)."""
    offered: Tensor
    """Letters that a group has, (G, 27)."""
    single: Tensor
    """Letters that only one site can occupy, having no free coordinate, (G, 27)."""
    multiplicity: Tensor
    """Atoms in the conventional cell, float, 0 where there is no such letter, (G, 27)."""
    traits: Tensor
    """(G, 27, N_TRAITS), 0 where there is no such letter."""
    free: Tensor
    """Freedom of x, y, z, float, (G, 27, 3)."""
    cell_free: Tensor
    """Freedom of the cell terms, float, (G, 6)."""


def positions(groups: Integers) -> Positions:
    """Of space groups, ascending."""
    multiplicity = torch.from_numpy(sg.MULTIPLICITY[groups].astype(np.float32))
    free = torch.from_numpy(sg.FREE[groups].astype(np.float32))
    offered = multiplicity > 0
    number = free.sum(-1)
    size = multiplicity.clamp(min=1).log2()
    general = size.amax(1, keepdim=True)
    traits = [free, number[..., None] == torch.arange(4), size[..., None] / 8, (general - size)[..., None] / 6]
    return Positions(
        torch.from_numpy(np.asarray(groups, dtype=np.int64)),
        offered,
        offered & (number == 0),
        multiplicity,
        torch.cat([part.float() for part in traits], dim=-1) * offered[..., None],
        free,
        torch.from_numpy(sg.CELL_FREE[groups].astype(np.float32)),
    )
