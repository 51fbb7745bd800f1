"""The arrays that :mod:`.fingerprint` hands to its compiled part; apart from that, which is slow to import."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cgwgan_core.workflow.arrays import Booleans, Floats, Integers


class Descriptions(NamedTuple):
    """How templates of one kind may be described: some of the Q changes of a normaliser."""

    usable: Integers
    """Those changes."""
    sites: Integers
    """Letters of the sites, (k,)."""
    turns: Floats
    """What lattice vectors are multiplied by, (Q, 3, 3)."""
    letters: NDArray[np.int8]
    """What each letter becomes, (Q, 27)."""
    polar: Booleans
    """Axes along which the origin is arbitrary, (3,)."""
    maps: Floats
    """From the representative of each letter onto that of the letter it becomes, (Q, 27, P, 3, 4)."""
    n_maps: Integers
    """How many of the P are different, (Q, 27)."""
