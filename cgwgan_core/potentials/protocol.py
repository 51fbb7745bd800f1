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
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

Floats = NDArray[np.float64]
EnergyScale = Literal["mp_uncorrected", "mp_corrected", "matpes"]
ENERGY_SCALES: tuple[str, ...] = get_args(EnergyScale)

BATCH_SIZE = 16
"""Crystals in one evaluation."""
MAX_DENSITY = 0.5
"""Atoms per Å³ beyond which nothing is evaluated: diamond has 0.18."""
MIN_DISTANCE = 0.3
"""Å; atoms closer than this are not evaluated."""


@dataclass(frozen=True)
class Evaluation:
    """What a potential says about N crystals. A crystal it cannot treat has NaN and a reason in ``errors``."""

    energies: Floats
    """Energy of each whole cell, (N,) eV."""
    n_atoms: NDArray[np.int64]
    """Atoms in each cell, (N,)."""
    errors: list[str | None]
    """Why there is no energy, or ``None`` where there is one, (N,)."""
    forces: list[Floats] | None = None
    """Force on every atom of each crystal, N arrays of shape (n, 3), eV/Å; ``None`` if not asked for."""
    stresses: Floats | None = None
    """Stress tensors with ASE's sign (compression is negative), (N, 3, 3) eV/Å³; ``None`` if not asked for."""

    @property
    def energy_per_atom(self) -> Floats:
        """Energy per atom, (N,) eV/atom."""
        return self.energies / self.n_atoms


@dataclass(frozen=True)
class Batch:
    """What :meth:`Potential.compute` returns for the crystals it was given, all of them sound."""

    energies: Floats
    """(N,) eV."""
    forces: list[Floats] | None
    """N arrays (n, 3), eV/Å."""
    stresses: Floats | None
    """(N, 3, 3) eV/Å³."""


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
    by_orbit: bool = False
    """Whether there is :meth:`compute_by_orbit`, as there can be where atoms have no other features than invariant
    ones: symmetry-equivalent atoms then have equal energies, and one of each orbit stands for all."""
    batch_atoms: int = 400
    """Most atoms in one evaluation (a larger crystal is evaluated alone): more is slower on a CPU, not faster."""

    @abstractmethod
    def unknown(self, symbols: set[str]) -> set[str]:
        """Those of the elements that the potential has no parameters for."""

    @abstractmethod
    def compute(self, crystals: Sequence[Atoms], pairs: Sequence["Neighbours"], forces: bool, stress: bool) -> Batch:
        """Evaluate one batch of sound crystals, all at once.

        :param pairs: neighbours of the atoms of each crystal: within :attr:`cutoff`, or kept from when they were.
        """

    def compute_by_orbit(
        self,
        crystals: Sequence[Atoms],
        pairs: Sequence["Neighbours"],
        orbits: Sequence[NDArray[np.int64]],
        forces: bool,
        stress: bool,
    ) -> Batch:
        """Evaluate one batch of sound crystals from one atom of each orbit; only where :attr:`by_orbit` is true.

        :param pairs: neighbours of the first atom of each orbit of each crystal, as in :meth:`compute`.
        :param orbits: as in :meth:`evaluate`.
        """
        raise NotImplementedError

    def evaluate(
        self,
        crystals: Sequence[Atoms],
        forces: bool = False,
        stress: bool = False,
        batch_size: int = BATCH_SIZE,
        orbits: Sequence[NDArray[np.int64]] | None = None,
        pairs: Sequence["Neighbours | None"] | None = None,
    ) -> Evaluation:
        """Energies, and where asked for forces and stresses, of periodic crystals.

        One bad crystal costs itself only: it gets NaN and a reason.

        :param crystals: periodic crystals, of any sizes.
        :param batch_size: crystals in one evaluation.
        :param orbits: of each crystal the number of every atom's orbit, from 0 on; atoms of one orbit must be
            symmetry-equivalent. Some potentials (:attr:`by_orbit`) then evaluate one atom of each orbit: energies
            are the same; forces and stresses are those of one atom's energy standing for its orbit's, and become
            the crystal's when averaged over its symmetry (:class:`ase.constraints.FixSymmetry` does so).
        :param pairs: of each crystal the neighbours that count, whatever their distance by now; ``None``: those within
            :attr:`cutoff`. Only these change as atoms move, so with them kept the energy is smooth even where a pair
            crosses a cutoff at which a potential has a kink. With ``orbits``, those of the first atom of each.
        """
        if not self.by_orbit:
            orbits = None
        n = len(crystals)
        energies = np.full(n, np.nan)
        all_forces = [np.full((len(atoms), 3), np.nan) for atoms in crystals] if forces else None
        stresses = np.full((n, 3, 3), np.nan) if stress else None
        errors = [self._defect(atoms) for atoms in crystals]
        sound = [i for i in range(n) if errors[i] is None]
        sizes = [len(atoms) if orbits is None else int(orbits[i].max()) + 1 for i, atoms in enumerate(crystals)]
        for index in _batches(sound, sizes, batch_size, self.batch_atoms):
            found: dict[int, Neighbours] = {}
            for i in index if self.cutoff else ():
                kept = pairs[i] if pairs is not None else None
                first = first_atoms(orbits[i]) if orbits is not None else None
                found[i] = kept.moved(crystals[i]) if kept else neighbours(crystals[i], self.cutoff, first)
                errors[i] = self._lonely_or_clashing(sizes[i], found[i])
            good = [i for i in index if errors[i] is None]
            for part, outcome in self._survive(good, crystals, found, forces, stress, orbits):
                if isinstance(outcome, str):
                    errors[part[0]] = outcome
                    continue
                for row, i in enumerate(part):
                    if not np.isfinite(outcome.energies[row]):
                        errors[i] = f"{self.name} gives no finite energy"
                        continue
                    energies[i] = outcome.energies[row]
                    if all_forces is not None and outcome.forces is not None:
                        all_forces[i] = outcome.forces[row]
                    if stresses is not None and outcome.stresses is not None:
                        stresses[i] = outcome.stresses[row]
        n_atoms = np.array([len(atoms) for atoms in crystals], dtype=np.int64)
        return Evaluation(energies, n_atoms, errors, all_forces, stresses)

    def neighbours(self, atoms: Atoms) -> "Neighbours | None":
        """What :meth:`evaluate` would take for ``pairs`` by itself; ``None`` where :attr:`cutoff` is unknown."""
        return neighbours(atoms, self.cutoff) if self.cutoff else None

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

    def _lonely_or_clashing(self, n_centres: int, pairs: "Neighbours") -> str | None:
        if len(np.unique(pairs.centre)) < n_centres:
            return f"an atom has no neighbour within {self.cutoff:g} Å"
        if pairs.distance.min() < MIN_DISTANCE:
            return f"two atoms are {pairs.distance.min():.2f} Å apart"
        return None

    def _survive(
        self,
        index: list[int],
        crystals: Sequence[Atoms],
        pairs: dict[int, "Neighbours"],
        forces: bool,
        stress: bool,
        orbits: Sequence[NDArray[np.int64]] | None,
    ) -> Iterator[tuple[list[int], Batch | str]]:
        """The batch at once or, should that fail, its crystals one by one."""
        if not index:
            return
        try:
            batch, some = [crystals[i] for i in index], [pairs[i] for i in index if i in pairs]
            if orbits is None:
                yield index, self.compute(batch, some, forces, stress)
            else:
                yield index, self.compute_by_orbit(batch, some, [orbits[i] for i in index], forces, stress)
        except MemoryError:
            raise
        except Exception as error:
            if len(index) == 1:
                yield index, f"{self.name} failed: {type(error).__name__}: {error}".splitlines()[0]
                return
            for i in index:
                yield from self._survive([i], crystals, pairs, forces, stress, orbits)


class PotentialCalculator(Calculator):
    """ASE calculator of a :class:`Potential`; stress in ASE's unit and sign, as a Voigt vector."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, potential: Potential) -> None:
        super().__init__()
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
        super().calculate(atoms, properties, system_changes)
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


@dataclass(frozen=True)
class Neighbours:
    """Directed pairs of atoms within a cutoff, periodic images included, in order of ``centre``."""

    centre: NDArray[np.int64]
    """(E,)"""
    neighbour: NDArray[np.int64]
    """(E,)"""
    image: Floats
    """Lattice translation of the neighbour in whole cells, (E, 3)."""
    distance: Floats
    """(E,) Å"""

    def bonds(self, atoms: Atoms) -> Floats:
        """Vectors from each centre to its neighbour, (E, 3) Å."""
        return atoms.positions[self.neighbour] - atoms.positions[self.centre] + self.image @ atoms.cell.array

    def moved(self, atoms: Atoms) -> "Neighbours":
        """The same pairs with the distances that they have in a crystal whose atoms or cell have moved."""
        return replace(self, distance=np.linalg.norm(self.bonds(atoms), axis=1))

    def each(self) -> list[tuple[int, ...]]:
        """Centre, neighbour and image of each pair."""
        return list(map(tuple, np.column_stack([self.centre, self.neighbour, self.image]).astype(int).tolist()))

    def names(self) -> frozenset[tuple[int, ...]]:
        """Which pairs these are, wherever their atoms are."""
        return frozenset(self.each())


def first_atoms(orbit: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first atom of each orbit, in the order of the orbits' numbers; see :meth:`Potential.evaluate`."""
    return np.unique(orbit, return_index=True)[1]


def neighbours(atoms: Atoms, cutoff: float, centres: NDArray[np.int64] | None = None) -> Neighbours:
    """All pairs of a periodic crystal within ``cutoff`` Å, the atom itself left out.

    :param centres: atoms whose neighbours are looked for, ascending; ``None``: all.
    """
    positions = np.ascontiguousarray(atoms.positions, dtype=float)
    found = find_points_in_spheres(
        positions,
        positions if centres is None else positions[centres],
        r=float(cutoff),
        pbc=np.ones(3, dtype=np.int64),
        lattice=np.ascontiguousarray(atoms.cell.array, dtype=float),
        tol=1e-8,
    )
    centre = found[0] if centres is None else centres[found[0]]
    keep = (centre != found[1]) | (found[3] > 1e-8)
    return Neighbours(centre[keep], *(column[keep] for column in found[1:]))


def _batches(index: Sequence[int], sizes: Sequence[int], size: int, most_atoms: int) -> Iterator[list[int]]:
    batch: list[int] = []
    atoms = 0
    for i in index:
        if batch and (len(batch) == size or atoms + sizes[i] > most_atoms):
            yield batch
            batch, atoms = [], 0
        batch.append(i)
        atoms += sizes[i]
    if batch:
        yield batch
