"""What every potential offers: energies, forces and stresses of many crystals at once, and an ASE calculator.

A potential is a subclass of :class:`Potential` that implements :meth:`Potential.compute` for one batch of sound
crystals. Checking the crystals, forming batches and surviving single failures are done here, once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

from cgwgan_core.potentials.neighbours import Neighbours, neighbours
from cgwgan_core.potentials.orbits import Orbits
from cgwgan_core.workflow.arrays import Floats, Integers

EnergyScale = Literal["mp_uncorrected", "mp_corrected", "matpes"]
ENERGY_SCALES: tuple[str, ...] = get_args(EnergyScale)

BATCH_SIZE = 16
"""Crystals in one evaluation."""
MAX_DENSITY = 0.5
"""Atoms per Å³ beyond which nothing is evaluated: diamond has 0.18."""
MIN_DISTANCE = 0.3
"""Å; atoms closer than this are not evaluated."""


@dataclass(frozen=True)
class Batch:
    """What :meth:`Potential.compute` returns for the crystals it was given, all of them sound."""

    energies: Floats
    """(N,) eV."""
    forces: list[Floats] | None
    """N arrays (n, 3), eV/Å."""
    stresses: Floats | None
    """(N, 3, 3) eV/Å³."""


@dataclass(frozen=True)
class Evaluation:
    """What a potential says about N crystals. A crystal it cannot treat has NaN and a reason in ``errors``."""

    energies: Floats
    """Energy of each whole cell, (N,) eV."""
    n_atoms: Integers
    """Atoms in each cell, (N,)."""
    errors: list[str | None]
    """Why there is no energy, or ``None`` where there is one, (N,)."""
    forces: list[Floats] | None
    """Force on every atom of each crystal, N arrays of shape (n, 3), eV/Å; ``None`` if not asked for."""
    stresses: Floats | None
    """Stress tensors with ASE's sign (compression is negative), (N, 3, 3) eV/Å³; ``None`` if not asked for."""

    @classmethod
    def blank(cls, crystals: Sequence[Atoms], forces: bool, stress: bool) -> "Evaluation":
        """Nothing said yet: NaN, and no reason."""
        n = len(crystals)
        return cls(
            energies=np.full(n, np.nan),
            n_atoms=np.array([len(atoms) for atoms in crystals], dtype=np.int64),
            errors=[None] * n,
            forces=[np.full((len(atoms), 3), np.nan) for atoms in crystals] if forces else None,
            stresses=np.full((n, 3, 3), np.nan) if stress else None,
        )

    @property
    def energy_per_atom(self) -> Floats:
        """Energy per atom, (N,) eV/atom."""
        return self.energies / self.n_atoms

    def take(self, place: int, batch: Batch, row: int) -> None:
        """Fill in the crystal at ``place`` from a row of a batch."""
        self.energies[place] = batch.energies[row]
        if self.forces is not None and batch.forces is not None:
            self.forces[place] = batch.forces[row]
        if self.stresses is not None and batch.stresses is not None:
            self.stresses[place] = batch.stresses[row]


@dataclass(frozen=True)
class _Task:
    """One crystal of an evaluation."""

    place: int
    """Among the crystals."""
    atoms: Atoms
    orbits: Orbits | None
    """Of which one atom each is evaluated; ``None``: every atom is."""
    pairs: Neighbours | None
    """The neighbours that count; ``None``: not yet looked for, or the cutoff is unknown."""

    @property
    def n_centres(self) -> int:
        """Atoms that are evaluated."""
        return len(self.atoms) if self.orbits is None else int(self.orbits.number.max()) + 1


class Potential(ABC):
    """An interatomic potential on a named energy scale."""

    name: str
    """Names the weights, not just the architecture; goes into every verdict."""
    energy_scale: EnergyScale
    """What its energies compare with: ``mp_uncorrected`` (Materials Project, raw PBE and PBE+U), ``mp_corrected``
    (Materials Project with its corrections) or ``matpes`` (MatPES PBE). Energies of two scales never mix."""
    digest: str
    """SHA-256 (16 hex digits) of the weights."""
    versions: dict[str, str]
    """Name and version of the libraries that evaluate it."""
    cutoff: float | None = None
    """Å; atoms within it are neighbours. ``None`` where it is unknown; :meth:`compute` then gets no neighbours."""
    smooth: bool = False
    """Whether the energy is smooth where a pair crosses :attr:`cutoff`. Where it is not, derivatives need neighbours
    that are kept."""
    by_orbit: bool = False
    """Whether there is :meth:`compute_by_orbit`: one atom of each orbit stands for all."""
    batch_atoms: int = 400
    """Most atoms in one evaluation (a larger crystal is evaluated alone): more is slower on a CPU, not faster."""

    @abstractmethod
    def unknown(self, symbols: set[str]) -> set[str]:
        """Those of the elements that the potential was not trained on."""

    @abstractmethod
    def compute(self, crystals: Sequence[Atoms], pairs: Sequence[Neighbours], forces: bool, stress: bool) -> Batch:
        """Evaluate one batch of sound crystals, all at once.

        :param pairs: neighbours of the atoms of each crystal: within :attr:`cutoff`, or kept from when they were.
        """

    def compute_by_orbit(
        self,
        crystals: Sequence[Atoms],
        pairs: Sequence[Neighbours],
        orbits: Sequence[Orbits],
        forces: bool,
        stress: bool,
    ) -> Batch:
        """Evaluate one batch of sound crystals from one atom of each orbit; only where :attr:`by_orbit` is true.

        :param pairs: neighbours of the first atom of each orbit of each crystal, as in :meth:`compute`.
        :param orbits: as :meth:`equivalent` finds them.
        """
        raise NotImplementedError

    def evaluate(
        self,
        crystals: Sequence[Atoms],
        forces: bool = False,
        stress: bool = False,
        batch_size: int = BATCH_SIZE,
        orbits: Sequence[Integers] | None = None,
        pairs: Sequence[Neighbours | None] | None = None,
    ) -> Evaluation:
        """Energies, and where asked for forces and stresses, of periodic crystals.

        One bad crystal costs itself only: it gets NaN and a reason.

        :param crystals: periodic crystals, of any sizes.
        :param batch_size: crystals in one evaluation.
        :param orbits: of each crystal the number of every atom's orbit, from 0 on; atoms of one orbit must be
            symmetry-equivalent. Some potentials (:attr:`by_orbit`) then evaluate one atom of each orbit. Energies
            are the same. Forces and stresses are those of one atom's energy standing for its orbit's: averaged over
            the crystal's symmetry (:class:`ase.constraints.FixSymmetry` does so) they become the crystal's.
        :param pairs: of each crystal the neighbours that count, whatever their distance by now; ``None``: those within
            :attr:`cutoff`. Only these change as atoms move, so with them kept the energy is smooth even where a pair
            crosses a cutoff at which a potential has a kink. With ``orbits``, those of the first atom of each.
        """
        found = Evaluation.blank(crystals, forces, stress)
        if not self.by_orbit:
            orbits = None
        found.errors[:] = [self._defect(atoms) for atoms in crystals]
        sound = [
            _Task(i, atoms, self.equivalent(atoms, orbits[i]) if orbits else None, pairs[i] if pairs else None)
            for i, atoms in enumerate(crystals)
            if found.errors[i] is None
        ]
        for batch in _batches(sound, batch_size, self.batch_atoms):
            ready = [self._with_neighbours(task) for task in batch]
            for task in ready:
                found.errors[task.place] = self._lonely_or_clashing(task)
            self._fill(found, [task for task in ready if found.errors[task.place] is None])
        return found

    def equivalent(self, atoms: Atoms, number: Integers) -> Orbits:  # noqa: ARG002 - for those that look at the atoms
        """The atoms of which the first stands for the others.

        :param number: the number of every symmetry-equivalent atom's orbit, (n,).
        """
        return Orbits.numbered(number)

    def neighbours_to_keep(self, atoms: Atoms) -> Neighbours | None:
        """What derivatives need for ``pairs`` of :meth:`evaluate`; ``None``: nothing, or the cutoff is unknown."""
        return None if self.smooth or not self.cutoff else neighbours(atoms, self.cutoff)

    def calculator(self) -> Calculator:
        """An ASE calculator of energy, forces and stress that goes through :meth:`evaluate`."""
        return PotentialCalculator(self)

    def _defect(self, atoms: Atoms) -> str | None:
        if not len(atoms):
            return "no atoms"
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            return "a coordinate is not a finite number"
        if not atoms.pbc.all():
            return "not periodic in all three directions"
        volume = abs(np.linalg.det(atoms.cell.array))
        if len(atoms) > MAX_DENSITY * volume:
            return f"{len(atoms)} atoms in {volume:.3g} Å³"
        if unknown := self.unknown(set(atoms.get_chemical_symbols())):
            return f"{self.name} does not know {', '.join(sorted(unknown))}"
        return None

    def _with_neighbours(self, task: _Task) -> _Task:
        if not self.cutoff:
            return replace(task, pairs=None)
        if task.pairs is not None:
            return replace(task, pairs=task.pairs.moved(task.atoms))
        first = None if task.orbits is None else task.orbits.first
        return replace(task, pairs=neighbours(task.atoms, self.cutoff, first))

    def _lonely_or_clashing(self, task: _Task) -> str | None:
        if task.pairs is None:
            return None
        if len(np.unique(task.pairs.centre)) < task.n_centres:
            return f"an atom has no neighbour within {self.cutoff:g} Å"
        if task.pairs.distance.min() < MIN_DISTANCE:
            return f"two atoms are {task.pairs.distance.min():.2f} Å apart"
        return None

    def _fill(self, found: Evaluation, tasks: list[_Task]) -> None:
        """Evaluate crystals at once or, should that fail, one by one."""
        if not tasks:
            return
        try:
            batch = self._compute(tasks, found.forces is not None, found.stresses is not None)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - libraries fail in their own ways, and each crystal only for itself
            if len(tasks) == 1:
                reason = f"{self.name} failed: {type(error).__name__}: {error}"
                found.errors[tasks[0].place] = reason.splitlines()[0]
                return
            for task in tasks:
                self._fill(found, [task])
            return
        for row, task in enumerate(tasks):
            if np.isfinite(batch.energies[row]):
                found.take(task.place, batch, row)
            else:
                found.errors[task.place] = f"{self.name} gives no finite energy"

    def _compute(self, tasks: list[_Task], forces: bool, stress: bool) -> Batch:
        crystals = [task.atoms for task in tasks]
        pairs = [task.pairs for task in tasks if task.pairs is not None]
        orbits = [task.orbits for task in tasks if task.orbits is not None]
        if orbits:
            return self.compute_by_orbit(crystals, pairs, orbits, forces, stress)
        return self.compute(crystals, pairs, forces, stress)


def _batches(tasks: Sequence[_Task], size: int, most_atoms: int) -> Iterator[list[_Task]]:
    batch: list[_Task] = []
    total = 0
    for task in tasks:
        if batch and (len(batch) == size or total + task.n_centres > most_atoms):
            yield batch
            batch, total = [], 0
        batch.append(task)
        total += task.n_centres
    if batch:
        yield batch


class PotentialCalculator(Calculator):
    """ASE calculator of a :class:`Potential`; stress in ASE's unit and sign, as a Voigt vector."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, potential: Potential) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # ASE's
        self.potential = potential

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate ``atoms``; energy alone where nothing else is asked for.

        :raises CalculationFailed: if the potential cannot treat the crystal.
        """
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]  # ASE's
        assert self.atoms is not None
        more = bool({"forces", "stress"} & set(properties))
        found = self.potential.evaluate([self.atoms], forces=more, stress=more)
        if found.errors[0] is not None:
            raise CalculationFailed(found.errors[0])
        self.results = {"energy": float(found.energies[0]), "free_energy": float(found.energies[0])}
        if found.forces is not None and found.stresses is not None:
            self.results["forces"] = found.forces[0]
            self.results["stress"] = voigt(found.stresses[0])


def voigt(stress: Floats) -> Floats:
    """A stress tensor (3, 3) in ASE's order xx, yy, zz, yz, xz, xy, (6,)."""
    symmetric = (stress + stress.T) / 2
    return symmetric[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
