"""Children: what an unstable crystal becomes when it is followed along its imaginary mode.

The distorted crystal is relaxed, and judged once more.
"""

from dataclasses import replace

import numpy as np

from cgwgan_core.phonons.phonons import (
    NoPhononsError,
    PhononOptions,
    PhononResult,
    check_size,
    in_time,
    relax_and_judge,
)
from cgwgan_core.phonons.soft_modes import distorted, soft_mode
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.relax import relax

MIN_GAIN = 1e-4
"""eV/atom; a distorted crystal that does not end this much below its parent has come back to it."""


def child(parent_id: str, parent: PhononResult, potential: Potential, options: PhononOptions) -> PhononResult:
    """Follow the imaginary mode of an unstable crystal, relax what comes of it, and judge that.

    The crystal is moved along the mode, in the smallest supercell that it fits into, and relaxed in the symmetry that
    it then has. Of several directions (degenerate modes) the one that ends lowest in energy is taken. A child that
    is unstable too is not followed further.

    :param parent: its result, with the verdict ``unstable``.
    :returns: the child's result; its status says why there is none.
    """
    result = in_time(lambda limited: _followed(parent, limited, options), potential, options)
    return replace(result, parent_id=parent_id)


def _followed(parent: PhononResult, potential: Potential, options: PhononOptions) -> PhononResult:
    assert parent.atoms is not None
    assert parent.phonon is not None
    assert parent.supercell is not None
    assert parent.energy_per_atom is not None
    mode = soft_mode(parent.phonon, parent.supercell)
    if mode is None or options.verdict(mode.frequency) != "unstable":
        raise NoPhononsError("refused: no imaginary mode fits the supercell")
    check_size(len(parent.atoms) * round(float(np.linalg.det(mode.supercell))), options)
    found = [relax(atoms, potential, options.relaxation) for atoms in distorted(parent.atoms, mode, potential)]
    done = sorted((r for r in found if r.ok), key=lambda r: r.energy_per_atom)
    if not done:
        raise NoPhononsError(found[0].status if found else "failed: no energy along the mode")
    if parent.energy_per_atom - done[0].energy_per_atom < MIN_GAIN:
        raise NoPhononsError("refused: comes back to its parent")
    # forces of the parent's range, whatever the shape of the child's cell
    edge = options.min_length or min(parent.atoms.cell.lengths() * parent.supercell)
    result = relax_and_judge(done[0].atoms, potential, replace(options, min_length=float(edge)))
    assert result.energy_per_atom is not None
    return replace(result, energy_gain=parent.energy_per_atom - result.energy_per_atom)
