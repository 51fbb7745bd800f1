"""Children: what an unstable crystal becomes when it is followed along its imaginary modes, generation by generation.

The distorted crystal is relaxed, and judged once more. Is it unstable too, then its own modes are followed, until a
crystal passes or a bound ends the line.
"""

from collections.abc import Iterator
from dataclasses import replace

from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.elasticity import STABLE_ABOVE, elastic_tensor, softest_strain
from cgwgan_core.phonons.phonons import (
    NoPhononsError,
    PhononOptions,
    PhononResult,
    check_size,
    in_time,
    relax_and_judge,
)
from cgwgan_core.phonons.soft_modes import SoftMode, distorted, soft_modes, strained
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Relaxed
from cgwgan_core.relaxation.relax import relax_together
from cgwgan_core.workflow.arrays import Floats

UNSTABLE = "unstable"
SAME_ENERGY = 1e-5
"""eV/atom; a distorted crystal that does not end this much below its parent has come back to it: the noise of
energies in single precision is smaller by a power of ten."""
SAME_CRYSTAL = 1e-4
"""eV/atom; nor has one of the parent's space group and size left it that does not end this much below."""


def descendants(
    ancestor_id: str, ancestor: PhononResult, potential: Potential, options: PhononOptions
) -> Iterator[tuple[str, PhononResult]]:
    """The line of children of an unstable crystal: each is followed from the one before while that is unstable.

    A crystal that passes but gives way to a strain is followed, too. The last one passes and resists every strain, or
    its status names the bound that ends the line.

    :param ancestor: its result.
    :yields: identifier and result of each child; ``<ancestor_id>-c1`` is the first.
    """
    parent_id, parent = ancestor_id, ancestor
    for generation in range(1, options.generations + 2):
        if not _falls(parent):
            return
        if generation > options.generations:
            born = PhononResult(f"refused: unstable after generations ({options.generations})", potential.name)
        else:
            born = child(parent, potential, options)
        born = replace(born, parent_id=parent_id, ancestor_id=ancestor_id, generation=generation)
        parent_id, parent = f"{ancestor_id}-c{generation}", born
        yield parent_id, born


def _falls(result: PhononResult) -> bool:
    """Whether the energy of a crystal falls along a mode or a strain."""
    resistance = result.properties.get("elastic_min_eigenvalue", 0.0)
    return result.verdict == UNSTABLE or resistance < -STABLE_ABOVE


def child(parent: PhononResult, potential: Potential, options: PhononOptions) -> PhononResult:
    """The child of an unstable crystal; its status says why there is none."""
    return in_time(lambda limited: _child(parent, limited, options), potential, options)


def _child(parent: PhononResult, potential: Potential, options: PhononOptions) -> PhononResult:
    """Follow the modes of an unstable crystal one by one, until one leads to a crystal that can be judged.

    :raises NoPhononsError: with the reason of the first, if none does.
    """
    assert parent.atoms is not None
    assert parent.phonon is not None
    assert parent.supercell is not None
    # forces of the parent's range, whatever the shape of the child's cell
    edge = options.min_length or min(parent.atoms.cell.lengths() * parent.supercell)
    within = replace(options, min_length=float(edge))
    tensor = elastic_tensor(parent.atoms, parent.phonon, potential) if parent.tensor is None else parent.tensor
    reasons = []
    for mode in _ways(parent, tensor, options):
        try:
            relaxed = _lower(parent, mode, tensor, potential, options)
        except NoPhononsError as reason:
            reasons.append(str(reason))
            continue
        for trial in relaxed:
            try:
                born = relax_and_judge(trial.atoms, potential, within)
            except NoPhononsError as reason:
                reasons.append(_of_child(str(reason), options))
                continue
            assert born.energy_per_atom is not None
            assert parent.energy_per_atom is not None
            return replace(
                born,
                energy_gain=parent.energy_per_atom - born.energy_per_atom,
                followed_q=[0.0, 0.0, 0.0] if mode is None else list(mode.q),
                followed_frequency=None if mode is None else mode.frequency,
                followed_cells=1 if mode is None else mode.cells,
            )
    raise NoPhononsError(reasons[0])


def _ways(parent: PhononResult, tensor: Floats, options: PhononOptions) -> list[SoftMode | None]:
    """The modes to follow in turn; ``None`` is the strain that the crystal does not resist, if there is one.

    The strain comes first where the lowest mode is acoustic and interpolated, so near Γ or between points that fit, and
    where the crystal passes but for the strain.

    :raises NoPhononsError: if there is none.
    """
    assert parent.phonon is not None
    most = options.most_cells(len(parent.phonon.primitive))
    found: list[SoftMode | None] = list(soft_modes(parent.phonon, most, options.borderline))
    if softest_strain(tensor)[0] < -STABLE_ABOVE:
        long_wave = bool(parent.lowest_is_acoustic) and not parent.lowest_is_exact
        found = [None, *found] if long_wave or parent.verdict != UNSTABLE else [*found, None]
    if not found:
        bound = "cells" if most == options.max_cells else "atoms"
        raise NoPhononsError(f"refused: no imaginary mode fits max_{bound} ({getattr(options, f'max_{bound}')})")
    return found


def _lower(
    parent: PhononResult, mode: SoftMode | None, tensor: Floats, potential: Potential, options: PhononOptions
) -> list[Relaxed]:
    """The crystals of lower energy that a mode leads to, lowest first.

    :raises NoPhononsError: if it leads to none.
    """
    assert parent.atoms is not None
    if mode is None:
        trials = strained(parent.atoms, tensor)
    else:
        check_size(len(parent.atoms) * mode.cells, options)
        trials = distorted(parent.atoms, mode, potential)
    if not trials:
        raise NoPhononsError("refused: the energy rises along its imaginary mode")
    done = dict(relax_together(trials, potential, options.relaxation))
    found = [done[i] for i in range(len(trials))]
    lower = sorted((r for r in found if r.ok and not _came_back(r, parent)), key=lambda r: r.energy_per_atom)
    if lower:
        return lower
    failed = [r.status for r in found if not r.ok]
    back = f"refused: comes back to its parent ({1000 * SAME_ENERGY:g} meV/atom)"
    raise NoPhononsError(_of_child(failed[0], options) if failed else back)


def _came_back(relaxed: Relaxed, parent: PhononResult) -> bool:
    """Whether a distorted crystal has relaxed to its parent again."""
    assert parent.energy_per_atom is not None
    assert parent.atoms is not None
    gain = parent.energy_per_atom - relaxed.energy_per_atom
    if not SAME_ENERGY <= gain < SAME_CRYSTAL:
        return bool(gain < SAME_ENERGY)
    cell, spacegroup, _ = standardise(relaxed.atoms)
    return spacegroup == parent.spacegroup and len(cell) == len(parent.atoms)


def _of_child(status: str, options: PhononOptions) -> str:
    """Why a child has no phonons, with the bound that it failed."""
    if status.startswith("not converged"):
        bounds = f"max_steps ({options.max_steps}) and fmax_accepted ({options.fmax_accepted:g})"
        return f"refused: the child finds no minimum within {bounds}: {status}"
    return status
