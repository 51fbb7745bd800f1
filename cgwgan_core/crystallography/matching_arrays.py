"""The arrays that :mod:`.matching` hands to its compiled part; apart from that, which is slow to import."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cgwgan_core.workflow.arrays import Booleans, Floats, Integers


class Changes(NamedTuple):
    """How one template of an isopointal type may be laid on another: the Q changes that keep the letters as a whole."""

    usable: Integers
    """Their places among the R changes of the group, (Q,)."""
    vectors: Floats
    """What lattice vectors are multiplied by, (L, 3, 3): changes that differ by an origin do the same to them."""
    begins: Integers
    """The first of the Q changes of each of these, and Q, (L + 1,)."""
    maps: Floats
    """From the representative of each letter to the images, (R, 27, P, 3, 4)."""
    n_maps: Integers
    """How many of the P are different, (R, 27)."""
    letters: NDArray[np.int8]
    """Of the images, (R, 27)."""


class Pool(NamedTuple):
    """m templates of one isopointal type, on which others are laid."""

    letters: Integers
    """Of the sites, (k,)."""
    weights: Floats
    """Share that each site has of the atoms, (k,)."""
    polar: Booleans
    """Axes along which the origin is arbitrary, (3,)."""
    atoms: float
    """In the primitive cell."""
    coords: Floats
    """Of the sites, (m, k, 3)."""
    bases: Floats
    """From conventional lattice vectors to the reduced ones, (m, 3, 3)."""
    backs: Floats
    """The inverses of these, (m, 3, 3)."""
    cells: Floats
    """Lengths and angles (degrees) of the reduced cells, lengths in free lengths, (m, 6)."""
