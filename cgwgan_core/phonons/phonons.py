"""Phonons by finite displacements: is a relaxed crystal a minimum of the potential's energy surface?

Each crystal is relaxed tightly, brought into the standard primitive cell, and displaced in a supercell
(phonopy: Togo, J. Phys. Soc. Jpn. 92, 012001 (2023), doi:10.7566/JPSJ.92.012001). The lowest frequency
that counts (:mod:`.lowest`) gives the verdict. Imaginary frequencies are written as negative.

The forces are a potential's, so a verdict holds for that potential and always names it. There are no Born
charges, hence no splitting of longitudinal and transverse optical modes at Γ. That correction only raises
longitudinal modes, so leaving it out hides no instability.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.phonons.bands import band_columns, standardise
from cgwgan_core.phonons.elasticity import elastic_tensor, elasticity
from cgwgan_core.phonons.force_constants import (
    displaced_cells,
    evaluate_all,
    finite_displacements,
    forces_by,
)
from cgwgan_core.phonons.lowest import borne_out, lowest_modes
from cgwgan_core.phonons.thermodynamics import thermodynamics
from cgwgan_core.phonons.time_limit import OutOfTime, TimeLimited
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Relaxation, Relaxed
from cgwgan_core.relaxation.relax import relax
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import InputError, first_line
from cgwgan_core.workflow.refusals import OK

VERDICTS = ("stable", "borderline", "unstable")
"""By the lowest frequency, see :class:`PhononOptions`."""
PASSING = ("stable", "borderline")
"""Verdicts with which a crystal passes."""
PAPER_THRESHOLD = -0.5
"""THz; the paper's criterion: a crystal passes if its lowest frequency is no lower."""


POSITIVE = (
    "min_length", "displacement", "fmax", "fmax_accepted", "max_steps", "max_atoms", "max_minutes", "max_cells",
    "generations",
)  # fmt: skip
"""Options that must be above 0, if given."""


@dataclass(frozen=True)
class PhononOptions:
    """How phonons are computed and judged."""

    min_length: float | None = 10.0
    """Å, shortest edge of the supercell. Each edge of the standard primitive cell that is shorter is repeated to be
    as long, an even number of times: modes at the zone boundary, the commonest instabilities, then fit exactly."""
    supercell: tuple[int, int, int] = (2, 2, 2)
    """Repeats of the standard primitive cell where ``min_length`` is ``None``; the paper's."""
    displacement: float = 0.01
    """Å, length of each displacement."""
    mesh: tuple[int, int, int] = (8, 8, 8)
    """q-points of the Γ-centred mesh along the reciprocal vectors."""
    fmax: float = 1e-4
    """eV/Å, largest force after the relaxation that comes first."""
    fmax_accepted: float = 0.005
    """eV/Å, what is enough for a crystal that comes no nearer: the forces of a potential in single precision are
    noise below some meV/Å where a mode is soft."""
    max_steps: int = 500
    """Most steps of that relaxation."""
    stable: float = -0.1
    """THz. A crystal is stable if its lowest frequency is no lower."""
    borderline: float = -0.5
    """THz. It is borderline if its lowest frequency is no lower, and unstable beyond."""
    max_atoms: int = 400
    """Supercells with more atoms are refused."""
    max_minutes: float = 30.0
    """Minutes after which a crystal is given up; each of its descendants has as many again."""
    max_cells: int = 8
    """Most primitive cells in a supercell that an imaginary mode is fitted into."""
    follow_modes: int = 0
    """Of the first so many crystals, in the order of their phonons, the unstable ones are followed."""
    generations: int = 4
    """Most generations that an unstable crystal is followed for."""

    def __post_init__(self) -> None:
        for name in ("supercell", "mesh"):
            value = tuple(getattr(self, name))
            object.__setattr__(self, name, value)
            if len(value) != 3 or any(not isinstance(n, int) or n < 1 for n in value):
                raise InputError(f"phonons: {name}: {list(value)} is not three whole numbers from 1 up; mend it")
        for name in POSITIVE:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"phonons: {name}: {value} is not above 0; mend it")
        if self.follow_modes < 0:
            raise InputError(f"phonons: follow_modes: {self.follow_modes} is below 0; mend it")
        if not self.borderline <= self.stable <= 0:
            raise InputError(
                f"phonons: borderline {self.borderline} and stable {self.stable} are not in this order up to 0; mend it"
            )

    @property
    def relaxation(self) -> Relaxation:
        """How a crystal is relaxed before its phonons: the minimum must be that of a smooth energy."""
        return Relaxation(
            self.fmax,
            self.max_steps,
            fmax_accepted=self.fmax_accepted,
            keep_neighbours=True,
            max_minutes=self.max_minutes,
        )

    def verdict(self, lowest: float) -> str:
        """One of :data:`VERDICTS`, for a lowest frequency in THz."""
        return VERDICTS[self.rank(lowest)]

    def rank(self, lowest: float) -> int:
        """Place of the verdict among :data:`VERDICTS`: the worse, the higher."""
        return 0 if lowest >= self.stable else 1 if lowest >= self.borderline else 2

    def repeats(self, primitive: Atoms) -> tuple[int, int, int]:
        """Repeats of a primitive cell in its supercell; odd ones where even ones make it too large."""
        if self.min_length is None:
            return self.supercell
        # an edge that is short by rounding is long enough
        fewest = np.ceil(self.min_length / primitive.cell.lengths() - 1e-6).astype(int)
        even = np.where(fewest <= 1, 1, 2 * -(-fewest // 2))
        fits = len(primitive) * even.prod() <= self.max_atoms
        a, b, c = (int(n) for n in (even if fits else fewest))
        return a, b, c

    def most_cells(self, n_atoms: int) -> int:
        """Most primitive cells of so many atoms in a supercell that a mode is fitted into."""
        return max(1, min(self.max_cells, self.max_atoms // n_atoms))

    def supercell_atoms(self, primitive: Atoms) -> int:
        """Atoms in the supercell of a primitive cell."""
        return len(primitive) * int(np.prod(self.repeats(primitive)))


@dataclass(frozen=True)
class PhononResult:
    """What :func:`phonons` found out about one crystal."""

    status: str
    """ok, or why there are no phonons."""
    potential: str
    """Name of the potential that all else holds for."""
    atoms: Atoms | None = None
    """Relaxed standard primitive cell (n atoms)."""
    spacegroup: int | None = None
    """International Tables number of ``atoms``."""
    energy_per_atom: float | None = None
    """eV/atom, of ``atoms``, by the potential, uncorrected."""
    relaxed_fmax: float | None = None
    """eV/Å, largest force on an atom after the relaxation."""
    across_cutoff: float | None = None
    """Å, how far a pair that counted, or did not, was across the potential's cutoff in the end (:func:`relax`)."""
    phonon: Phonopy | None = None
    """The force constants that the verdict rests on."""
    tensor: Floats | None = None
    """Elastic constants (6, 6), GPa, if anything hung on them."""
    min_frequency: float | None = None
    """THz, the lowest that counts."""
    min_frequency_q: list[float] | None = None
    """q-point of the lowest frequency [3], reduced coordinates."""
    lowest_is_acoustic: bool | None = None
    """Whether that mode is on an acoustic branch."""
    lowest_is_exact: bool | None = None
    """Whether its q-point fits a supercell that was computed."""
    refuted_frequency: float | None = None
    """THz; the lowest imaginary frequency of interpolation alone, which does not count."""
    verdict: str | None = None
    """One of :data:`VERDICTS`."""
    supercell: tuple[int, int, int] | None = None
    """Repeats of ``atoms``."""
    n_displacements: int | None = None
    """Displaced supercells computed."""
    bands: dict[str, list[Any]] = field(default_factory=dict)
    """The columns band_* of ``tables.PHONONS``."""
    properties: dict[str, Any] = field(default_factory=dict)
    """Of a crystal that passes: the columns of its thermodynamics and elastic constants."""
    parent_id: str | None = None
    """Of a child: the crystal whose imaginary mode led to it."""
    ancestor_id: str | None = None
    """Of a child: the crystal that its line of parents begins with."""
    generation: int = 0
    """Of a child: how many modes led to it from its ancestor."""
    energy_gain: float | None = None
    """Of a child: eV/atom by which it lies below its parent."""
    followed_q: list[float] | None = None
    """Of a child: q-point of the parent's mode that led to it [3]."""
    followed_frequency: float | None = None
    """Of a child: THz, of that mode; ``None`` if a strain led to it."""
    followed_cells: int | None = None
    """Of a child: primitive cells of the parent in the supercell that the mode fits into."""

    @property
    def force_constants(self) -> list[float] | None:
        """Of a crystal that passes, as in ``tables.PHONONS``."""
        if self.phonon is None or self.verdict not in PASSING:
            return None
        assert self.phonon.force_constants is not None
        found: list[float] = self.phonon.force_constants.ravel().tolist()
        return found

    def row(self, candidate_id: str, options: PhononOptions) -> dict[str, Any]:
        """A row of ``tables.PHONONS``."""
        cell = {} if self.atoms is None else atoms_to_row(self.atoms, wrap=False)
        return {
            "candidate_id": candidate_id,
            "min_frequency": self.min_frequency,
            "min_frequency_q": self.min_frequency_q,
            "lowest_is_acoustic": self.lowest_is_acoustic,
            "lowest_is_exact": self.lowest_is_exact,
            "refuted_frequency": self.refuted_frequency,
            "verdict": self.verdict,
            "stable_from": options.stable,
            "borderline_from": options.borderline,
            "paper_stable": None if self.min_frequency is None else self.min_frequency >= PAPER_THRESHOLD,
            "parent_id": self.parent_id,
            "ancestor_id": self.ancestor_id,
            "generation": self.generation,
            "energy_gain": self.energy_gain,
            "followed_q": self.followed_q,
            "followed_frequency": self.followed_frequency,
            "followed_cells": self.followed_cells,
            "potential": self.potential,
            "supercell": None if self.supercell is None else list(self.supercell),
            "n_displacements": self.n_displacements,
            **self.bands,
            **cell,
            "spacegroup": self.spacegroup,
            "energy_per_atom": self.energy_per_atom,
            "relaxed_fmax": self.relaxed_fmax,
            "across_cutoff": self.across_cutoff,
            **self.properties,
            "force_constants": self.force_constants,
            "status": self.status,
        }


class NoPhononsError(Exception):
    """A crystal has no phonons; the message is its status."""


def phonons(atoms: Atoms, potential: Potential, options: PhononOptions, relaxed: Relaxed | None = None) -> PhononResult:
    """Relax a crystal, compute its phonons and judge it.

    :param atoms: the crystal, any cell.
    :param relaxed: its standard primitive cell, if that has been relaxed already.
    :returns: the result; its verdict is ``None`` unless the status is ok, see :func:`in_time`.
    """
    spent = relaxed.minutes if relaxed else 0.0
    return in_time(lambda limited: relax_and_judge(atoms, limited, options, relaxed), potential, options, spent)


def in_time(
    compute: Callable[[Potential], PhononResult], potential: Potential, options: PhononOptions, spent: float = 0.0
) -> PhononResult:
    """The result of one crystal, computed within ``options.max_minutes``.

    A crystal that is too large, does not converge, takes too long, or fails anywhere on the way is a result whose
    status says so, not an exception.

    :param spent: minutes that the crystal has had already.
    """
    try:
        return compute(TimeLimited(potential, options.max_minutes - spent))
    except MemoryError:
        raise  # the machine's fault, not the crystal's
    except NoPhononsError as reason:
        status = str(reason)
    except OutOfTime:
        status = f"refused: takes longer than max_minutes ({options.max_minutes:g})"
    except Exception as error:  # noqa: BLE001 - a crystal's failure is a row
        status = f"failed: {type(error).__name__}: {first_line(error)}"
    return PhononResult(status, potential.name)


def relax_and_judge(
    atoms: Atoms, potential: Potential, options: PhononOptions, relaxed: Relaxed | None = None
) -> PhononResult:
    """As :func:`phonons`, without a limit of time.

    :raises NoPhononsError: if the crystal is too large or does not converge; whatever else fails is raised, too.
    """
    if relaxed is None:
        start, _, _ = standardise(atoms)
        check_size(options.supercell_atoms(start), options)
        relaxed = relax(start, potential, options.relaxation)
    if not relaxed.ok:
        raise NoPhononsError(relaxed.status)

    # Idealised by up to SYMPREC, so the energy is the standard cell's own.
    primitive, spacegroup, path = standardise(relaxed.atoms)
    check_size(options.supercell_atoms(primitive), options)  # shrunk since, or of a lower symmetry
    energy = evaluate_all(potential, [primitive]).energy_per_atom[0]
    repeats = options.repeats(primitive)
    phonon = finite_displacements(primitive, forces_by(potential), repeats, options.displacement)
    bands = phonon.run_band_structure(path.legs)
    tensor = cache(lambda: elastic_tensor(primitive, phonon, potential))
    lowest, fitting = lowest_modes(phonon, bands, options.mesh, repeats, tensor, options.rank)
    if options.rank(lowest.worst) > options.rank(fitting.frequency):
        most = options.most_cells(len(primitive))
        lowest = borne_out(lowest, fitting, phonon, forces_by(potential), most, options.displacement, options.rank)
    verdict = options.verdict(lowest.frequency)
    properties: dict[str, Any] = {}
    if verdict in PASSING:
        properties = {**thermodynamics(phonon, options.mesh), **elasticity(primitive, tensor())}
    return PhononResult(
        status=OK,
        potential=potential.name,
        atoms=primitive,
        spacegroup=spacegroup,
        energy_per_atom=float(energy),
        relaxed_fmax=relaxed.fmax,
        across_cutoff=relaxed.across,
        phonon=phonon,
        tensor=tensor() if tensor.cache_info().currsize else None,
        min_frequency=lowest.frequency,
        min_frequency_q=list(lowest.q),
        lowest_is_acoustic=lowest.acoustic,
        lowest_is_exact=lowest.exact,
        refuted_frequency=lowest.refuted,
        verdict=verdict,
        supercell=repeats,
        n_displacements=len(displaced_cells(phonon)),
        bands=band_columns(bands, path),
        properties=properties,
    )


def check_size(n_atoms: int, options: PhononOptions) -> None:
    """Refuse a supercell of too many atoms.

    :raises NoPhononsError: if it has more than ``options.max_atoms``.
    """
    if n_atoms > options.max_atoms:
        raise NoPhononsError(f"refused: {n_atoms} atoms in the supercell, more than max_atoms ({options.max_atoms})")
