"""Relaxation by DFT of atoms and cell: a quasi-Newton descent that starts with a potential's Hessian.

A potential's Hessian costs nothing beside one DFT calculation, and differs little from DFT's. So DFT's own gradient
tells after one calculation how far its minimum is and how much energy is to be gained, and one to three steps reach it.
Each step is a calculation of its own: a descent that is run again takes the same steps from the results that are there.

Coordinates are those displacements and strains that keep the symmetry of the crystal with its magnetic moments. The
relaxed crystal hence is the lowest in energy *of its symmetry*.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.units import GPa

from cgwgan_core.crystallography.symmetry import find_symmetry
from cgwgan_core.dft.calculation import CONVERGED, Outcome
from cgwgan_core.phonons.force_constants import evaluate_all
from cgwgan_core.potentials.protocol import Potential, voigt
from cgwgan_core.relaxation.descent import bare, collapse
from cgwgan_core.workflow.arrays import Floats, Integers
from cgwgan_core.workflow.errors import InputError, first_line

SYMPREC = 0.01
"""Å; crystals come idealised, as :func:`.bands.standardise` gives them."""
SAME_MOMENT = 0.1
"""μB; magnetic moments that differ by less are of one size."""
LEVER = 5.0
"""Å; a strain counts as a displacement of it times this length: 0.15 Å goes with a strain of 0.03."""
DIFFERENCE = 0.01
"""Å; largest displacement in the central differences of the Hessian; strains of 0.002."""
FLOOR = 1.0
"""eV/Å²; least curvature that is believed. Softer modes (1 THz of barium has 0.6) are where a potential errs most: too
soft as a rule (Deng et al., npj Comput. Mater. 11, 9 (2025), doi:10.1038/s41524-024-01500-6), of the wrong sign at
worst. Negative curvatures count by their size: so the step leads downhill. From M3GNet's minima of 14 crystals to
SevenNet-0's, 1 to 270 meV/atom lower, predicted gains were off by a factor of 1.24 (median); 1.46 with 0.5, 1.35 with
2.0."""
STIFFER = (0.01, 1e4)
"""eV/Å²; range of what is added to all curvatures to shorten a step (Levenberg's way): soft modes give way first."""
ROUNDED = 5
"""Decimals of a coordinate, Å: noise of the potential in its Hessian must not make another calculation."""
NOISE = 5e-4
"""eV/atom; an energy that rises by less does not tell a wrong step. Plane waves of another number in another cell make
energies that agree with the stress no better: BaO at 700 eV rises by 0.16 meV/atom on its way to zero stress."""
KELVIN = np.array([1, 1, 1, *3 * [np.sqrt(2)]])
"""Components of a symmetric tensor in Kelvin's notation over those in Voigt's: its norm is the tensor's."""

Evaluate = Callable[[Atoms], Outcome]
"""One calculation by DFT: energy, forces and, for a descent, stress of a crystal, or the reason why there is none."""


@dataclass(frozen=True)
class DescentOptions:
    """When a descent by DFT ends."""

    gain: float = 1e-3
    """eV/atom; converged if no more is predicted to be gained."""
    fmax: float = 0.01
    """Converged, too, if forces (eV/Å) and virial (eV/atom) are all below."""
    max_steps: int = 8
    """Most steps: calculations after the first."""
    max_step: float = 0.15
    """Å; longest displacement of an atom in a step, and :data:`LEVER` times the largest strain."""

    def __post_init__(self) -> None:
        for name in ("gain", "fmax", "max_step"):
            if not getattr(self, name) > 0:
                raise InputError(f"dft: {name}: {getattr(self, name)} is not above 0; mend it")
        if self.max_steps < 0:
            raise InputError(f"dft: max_steps: {self.max_steps} is below 0; mend it")


@dataclass(frozen=True)
class Descent:
    """Where a crystal has come to."""

    atoms: Atoms
    """The last geometry whose energy did not rise; with the moments that it came with."""
    status: str
    """:data:`.CONVERGED`, or why not."""
    steps: int = 0
    """Calculations after the first."""
    predicted_gain: float | None = None
    """eV/atom, predicted from the first calculation."""
    gain: float | None = None
    """eV/atom, obtained so far; as low as -:data:`NOISE`."""
    left: float | None = None
    """eV/atom, predicted to be left."""
    fmax: float | None = None
    """Largest force on an atom of ``atoms``, eV/Å."""
    pressure: float | None = None
    """GPa, of ``atoms``; positive if the crystal wants to expand."""


class Coordinates:
    """Displacements and strains that keep a crystal's symmetry, about the geometry it comes with.

    A vector of all is made of the displacements of n atoms (3n, Å) and a symmetric strain in Kelvin's notation (shears
    times √2) times a length (6, Å). That length, √n times that of an atom's share of the volume, makes a strain as
    stiff as a displacement: elastic constant times distance of atoms is a spring's constant. Atoms move first, then the
    strain carries them along. Rigid translations are left out.

    :param atoms: idealised crystal. Initial magnetic moments count: an operation keeps all of them, or turns all over.
    :raises SymmetryError: if no symmetry is found, not even the identity.
    """

    def __init__(self, atoms: Atoms) -> None:
        self.origin: Atoms = bare(atoms)
        n = len(atoms)
        self._length = np.sqrt(n) * (atoms.get_volume() / n) ** (1 / 3)
        operations = _operations(self.origin)
        displacements = _orthonormal(_symmetric_displacements(operations))
        strains = _orthonormal(_symmetric_strains(operations))
        self.basis = np.vstack([np.pad(displacements, ((0, 0), (0, 6))), np.pad(strains, ((0, 0), (3 * n, 0)))])
        """(d, 3n + 6), orthonormal."""

    def __len__(self) -> int:
        return len(self.basis)

    def at(self, x: Floats) -> Atoms:
        """The crystal at coordinates (d,), Å."""
        displacements, strain = self._parts(x)
        deformation = np.eye(3) + strain
        atoms: Atoms = self.origin.copy()
        atoms.set_cell(atoms.cell.array @ deformation)
        atoms.set_positions((self.origin.positions + displacements) @ deformation)
        return atoms

    def gradient(self, x: Floats, forces: Floats, stress: Floats) -> Floats:
        """Gradient of the energy at coordinates (d,), eV/Å.

        :param forces: (n, 3) eV/Å.
        :param stress: in Voigt's notation as ASE has it, (6,) eV/Å³.
        """
        deformation = np.eye(3) + self._parts(x)[1]
        volume = self.origin.get_volume() * np.linalg.det(deformation)
        virial = volume * np.linalg.solve(deformation, _tensor(stress))
        displaced = -np.asarray(forces) @ deformation
        found: Floats = self.basis @ np.concatenate([displaced.ravel(), _kelvin(virial) / self._length])
        return found

    def reach(self, x: Floats) -> float:
        """The longest displacement of an atom, or :data:`LEVER` times the largest strain if that is longer, Å."""
        displacements, strain = self._parts(x)
        strains = np.abs(np.linalg.eigvalsh(strain))
        return float(max(np.linalg.norm(displacements, axis=1).max(), LEVER * strains.max()))

    def _parts(self, x: Floats) -> tuple[Floats, Floats]:
        """Displacements (n, 3) Å and strain (3, 3)."""
        full = x @ self.basis
        return full[:-6].reshape(-1, 3), _tensor(full[-6:] / KELVIN) / self._length


def hessian(atoms: Atoms, potential: Potential) -> Floats:
    """A potential's Hessian in the :class:`Coordinates` of a crystal, by central differences of forces and stress.

    :returns: (d, d) eV/Å², symmetric.
    :raises SymmetryError: if the crystal has no symmetry, not even the identity.
    :raises RuntimeError: if the potential cannot treat the crystal.
    """
    coordinates = Coordinates(atoms)
    if not len(coordinates):
        return np.zeros((0, 0))
    steps = [DIFFERENCE / coordinates.reach(unit) * unit for unit in np.eye(len(coordinates))]
    points = [*steps, *(-step for step in steps)]
    pairs = [potential.neighbours_to_keep(coordinates.origin)] * len(points)  # as in the phonons
    crystals = [coordinates.at(x) for x in points]
    found = evaluate_all(potential, crystals, forces=True, stress=True, pairs=pairs)
    assert found.forces is not None
    assert found.stresses is not None
    gradients = np.array(
        [
            coordinates.gradient(x, forces, voigt(stress))
            for x, forces, stress in zip(points, found.forces, found.stresses, strict=True)
        ]
    )
    forward, backward = np.split(gradients, 2)
    curvature = (forward - backward) / (2 * np.linalg.norm(steps, axis=1)[:, None])
    symmetric: Floats = (curvature + curvature.T) / 2
    return symmetric


def floored(curvature: Floats) -> Floats:
    """A Hessian (d, d) whose eigenvalues are at least :data:`FLOOR`; negative ones count by their size."""
    values, vectors = np.linalg.eigh(curvature)
    found: Floats = (vectors * np.maximum(np.abs(values), FLOOR)) @ vectors.T
    return found


def predicted_gain(gradient: Floats, curvature: Floats) -> float:
    """Energy that lies between a point and the minimum, ½ gᵀH⁻¹g, eV per cell.

    :param gradient: of :meth:`Coordinates.gradient`, (d,).
    :param curvature: positive Hessian (d, d), of :func:`floored`.
    """
    return float(gradient @ np.linalg.solve(curvature, gradient) / 2)


def relax_by(evaluate: Evaluate, atoms: Atoms, curvature: Floats, options: DescentOptions | None = None) -> Descent:
    """Relax a crystal by DFT.

    :param evaluate: gives energy, forces and stress, all at the same parameters: energies of two meshes do not compare.
    :param atoms: idealised crystal with the starting moments of every calculation.
    :param curvature: as of :func:`hessian` for the same ``atoms``.
    :returns: where the crystal is when it is converged or cannot go on; whatever fails is told in its status.
    """
    try:
        return _Walk(evaluate, Coordinates(atoms), floored(curvature), options or DescentOptions()).end()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a crystal's failure is a row
        return Descent(bare(atoms), f"failed: {first_line(error)}")


@dataclass(frozen=True)
class _Point:
    """What DFT says of one geometry."""

    x: Floats
    atoms: Atoms
    energy: float
    """eV/atom."""
    gradient: Floats
    fmax: float
    """eV/Å."""
    pressure: float
    """GPa."""
    largest: float
    """Of forces (eV/Å) and virial (eV/atom)."""


class _Walk:
    """A descent, from its first calculation to its end."""

    def __init__(
        self, evaluate: Evaluate, coordinates: Coordinates, curvature: Floats, options: DescentOptions
    ) -> None:
        self._evaluate, self._coordinates, self._options = evaluate, coordinates, options
        self._curvature = curvature
        self._longest = options.max_step
        self._first: _Point | None = None
        self._best: _Point | None = None
        self._lowest = np.inf
        self._predicted: float | None = None
        self._steps = 0

    def end(self) -> Descent:
        """Go there."""
        x = np.zeros(len(self._coordinates))
        status = self._visit(x)
        while status is None:
            status = self._arrived()
            if status is None:
                self._steps += 1
                status = self._visit(self._next())
        return self._result(status)

    def _visit(self, x: Floats) -> str | None:
        """Compute a geometry and learn from it; the reason if that cannot be."""
        atoms = self._coordinates.at(x)
        if reason := collapse(atoms, self._coordinates.origin):
            return reason
        outcome = self._evaluate(atoms)
        if not outcome.converged:
            return outcome.status
        if outcome.energy is None or outcome.forces is None or outcome.stress is None:
            return "failed: the calculation gives no forces or no stress"
        self._learn(self._point(x, atoms, outcome))
        return None

    def _point(self, x: Floats, atoms: Atoms, outcome: Outcome) -> _Point:
        forces, stress = np.array(outcome.forces), np.array(outcome.stress)
        fmax = float(np.linalg.norm(forces, axis=1).max())
        virial = atoms.get_volume() / len(atoms) * np.linalg.norm(_tensor(stress), axis=1).max()
        return _Point(
            x,
            atoms,
            float(outcome.energy or 0.0) / len(atoms),
            self._coordinates.gradient(x, forces, stress),
            fmax,
            float(-stress[:3].mean() / GPa),
            max(fmax, float(virial)),
        )

    def _learn(self, point: _Point) -> None:
        if self._best is None:
            self._first = self._best = point
            self._lowest = point.energy
            self._predicted = self._left()
            return
        step = point.x - self._best.x
        self._curvature = updated(self._curvature, step, point.gradient - self._best.gradient)
        if point.energy > self._lowest + NOISE:
            self._longest = self._coordinates.reach(step) / 2
        else:
            self._longest = min(2 * self._longest, self._options.max_step)
            self._best = point
            self._lowest = min(self._lowest, point.energy)

    def _left(self) -> float:
        assert self._best is not None
        return predicted_gain(self._best.gradient, self._curvature) / len(self._best.atoms)

    def _arrived(self) -> str | None:
        assert self._best is not None
        left = self._left()
        if left < self._options.gain or self._best.largest < self._options.fmax:
            return CONVERGED
        if self._steps == self._options.max_steps:
            return f"not converged after {self._steps} steps: {1000 * left:.2g} meV/atom are left to gain"
        return None

    def _next(self) -> Floats:
        """From the best point on, as far as is allowed: the longer a way to the minimum, the more it is shortened."""
        assert self._best is not None
        values, vectors = np.linalg.eigh(self._curvature)
        along = -self._best.gradient @ vectors
        for stiffer in (0.0, *np.geomspace(*STIFFER, 200)):
            step = np.asarray(vectors @ (along / (values + stiffer)), dtype=np.float64)
            if self._coordinates.reach(step) <= self._longest:
                break
        found: Floats = np.round(self._best.x + step, ROUNDED)
        return found

    def _result(self, status: str) -> Descent:
        if self._best is None or self._first is None:
            return Descent(self._coordinates.origin, status)
        return Descent(
            atoms=self._best.atoms,
            status=status,
            steps=self._steps,
            predicted_gain=self._predicted,
            gain=self._first.energy - self._best.energy,
            left=self._left(),
            fmax=self._best.fmax,
            pressure=self._best.pressure,
        )


def updated(curvature: Floats, step: Floats, change: Floats) -> Floats:
    """A positive Hessian (d, d) after a step and the change of the gradient along it: Powell's damped BFGS update.

    It stays positive (Nocedal and Wright, Numerical Optimization, 2nd ed., procedure 18.2,
    doi:10.1007/978-0-387-40065-5).
    """
    before = curvature @ step
    along = float(step @ before)
    if along <= 0:
        return curvature  # no step
    found = float(step @ change)
    if found < 0.2 * along:
        share = 0.8 * along / (along - found)
        change = share * change + (1 - share) * before
    new: Floats = curvature - np.outer(before, before) / along + np.outer(change, change) / (step @ change)
    return new


def _symmetric_displacements(operations: list[tuple[Floats, Integers]]) -> Floats:
    """Projector of displacements on those that keep the symmetry and are no rigid translation, (3n, 3n)."""
    n = len(operations[0][1])
    total = np.zeros((n, 3, n, 3))
    for rotation, images in operations:
        total[images, :, np.arange(n), :] += rotation
    rest = np.eye(3 * n) - np.kron(np.full((n, n), 1 / n), np.eye(3))
    found: Floats = rest @ total.reshape(3 * n, 3 * n) @ rest / len(operations)
    return found


def _symmetric_strains(operations: list[tuple[Floats, Integers]]) -> Floats:
    """Projector of strains in Kelvin's notation on those that keep the symmetry, (6, 6)."""
    units = [_tensor(unit) for unit in np.diag(1 / KELVIN)]
    total = [[_kelvin(rotation @ unit @ rotation.T) for unit in units] for rotation, _ in operations]
    found: Floats = np.mean(total, axis=0)
    return found


def _operations(atoms: Atoms) -> list[tuple[Floats, Integers]]:
    """Cartesian rotation of each operation of the crystal with its moments, and the atom that each atom moves to."""
    places = atoms.get_scaled_positions()
    moments = atoms.get_initial_magnetic_moments()
    cell = atoms.cell.array.T
    found = find_symmetry(atoms.cell.array, places, atoms.numbers, SYMPREC).operations
    operations = []
    for rotation, translation in zip(found.rotations, found.translations, strict=True):
        moved = places @ np.array(rotation).T + np.array(translation)
        off = moved[:, None] - places[None]
        off = np.linalg.norm((off - np.round(off)) @ cell.T, axis=2)
        off[atoms.numbers[:, None] != atoms.numbers[None]] = np.inf
        images = off.argmin(axis=1)
        if min(np.abs(moments[images] - way * moments).max() for way in (1, -1)) < SAME_MOMENT:
            operations.append((cell @ np.array(rotation) @ np.linalg.inv(cell), images))
    return operations


def _orthonormal(projector: Floats) -> Floats:
    """An orthonormal basis of the space that a projector projects on, in rows: one basis, whatever the machine."""
    basis = np.zeros((0, len(projector)))
    for row in (projector + projector.T) / 2:
        rest = row - basis.T @ (basis @ row)
        rest -= basis.T @ (basis @ rest)
        if len(basis) < round(np.trace(projector)) and np.linalg.norm(rest) > 0.02:  # 0.002 is an inexact symmetry's
            basis = np.vstack([basis, rest / np.linalg.norm(rest)])
    return basis


def _tensor(components: Floats) -> Floats:
    """Symmetric tensor (3, 3) of components xx, yy, zz, yz, xz, xy."""
    found: Floats = np.asarray(components)[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    return found


def _kelvin(tensor: Floats) -> Floats:
    """The symmetric part of a tensor (3, 3) in Kelvin's notation, (6,)."""
    found: Floats = voigt(tensor) * KELVIN
    return found
