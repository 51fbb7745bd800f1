"""Phonons by finite displacements: is a relaxed crystal a minimum of the potential's energy surface?

Each crystal is relaxed tightly, brought into the standard primitive cell, and displaced in a supercell
(phonopy: Togo, J. Phys. Soc. Jpn. 92, 012001 (2023), doi:10.7566/JPSJ.92.012001). The lowest frequency over
a Γ-centred mesh and over the band path (SeeK-path: Hinuma et al., Comput. Mater. Sci. 128, 140 (2017),
doi:10.1016/j.commatsci.2016.10.015) gives the verdict. Imaginary frequencies are written as negative.

Crystals that fail can be followed along their imaginary mode: the distorted crystal is relaxed, and judged once
more as a child of the first (:mod:`cgwgan_core.distortion`).

The forces are a potential's, so a verdict holds for that potential and always names it. There are no Born
charges, hence no splitting of longitudinal and transverse optical modes at Γ. That correction only raises
longitudinal modes, so leaving it out hides no instability.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import seekpath
from ase import Atoms
from phonopy import Phonopy
from phonopy.phonon.band_structure import BandStructure
from phonopy.structure.atoms import PhonopyAtoms

from .crystal import atoms_of
from .distortion import distorted, soft_mode
from .errors import InputError
from .finalists import elasticity, thermodynamics
from .jobs import logger, progress
from .potentials import Evaluation, Potential
from .potentials.protocol import Batch
from .relaxation import Relaxed, RelaxOptions, relax, relax_together
from .resume import KeptRows

SYMPREC = 0.01
"""Å. Relaxed to a few meV/Å, atoms lie within this of their ideal positions."""
POINTS_PER_LEG = 40
"""q-points on the longest leg of the band path; the others have as many per length."""

PAPER = -0.5
"""THz; the paper's criterion: a crystal passes if its lowest frequency is no lower."""
VERDICTS = ("stable", "borderline", "unstable")
CHILD = "-child"
"""What a child's identifier ends with, after its parent's."""
GAIN = 1e-4
"""eV/atom; a distorted crystal that does not end this much below its parent has come back to it."""

Forces = Callable[[list[Atoms]], Sequence[np.ndarray]]
"""Forces of many structures: one (n, 3) array each, eV/Å."""


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
    fmax: float = 0.001
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
    """Minutes after which a crystal is given up; its child has as many again."""
    follow: int = 0
    """Of the first so many crystals, in the order of their phonons, the unstable ones are followed."""

    def __post_init__(self) -> None:
        for name in ("supercell", "mesh"):
            value = tuple(getattr(self, name))
            object.__setattr__(self, name, value)
            if len(value) != 3 or any(not isinstance(n, int) or n < 1 for n in value):
                raise InputError(f"phonons: {name}: {list(value)} is not three whole numbers from 1 up; mend it")
        for name in ("min_length", "displacement", "fmax", "fmax_accepted", "max_steps", "max_atoms", "max_minutes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"phonons: {name}: {value} is not above 0; mend it")
        if self.follow < 0:
            raise InputError(f"phonons: follow: {self.follow} is below 0; mend it")
        if not self.borderline <= self.stable <= 0:
            raise InputError(
                f"phonons: borderline {self.borderline} and stable {self.stable} are not in this order up to 0; mend it"
            )

    @property
    def relaxation(self) -> RelaxOptions:
        """How a crystal is relaxed before its phonons."""
        return RelaxOptions(self.fmax, self.max_steps)

    @property
    def tightly(self) -> dict[str, Any]:
        """Further arguments of that relaxation: the minimum must be that of a smooth energy."""
        return {"accepted": self.fmax_accepted, "keep_pairs": True, "max_minutes": self.max_minutes}

    def verdict(self, lowest: float) -> str:
        """One of :data:`VERDICTS`, for a lowest frequency in THz."""
        return "stable" if lowest >= self.stable else "borderline" if lowest >= self.borderline else "unstable"

    def repeats(self, primitive: Atoms) -> tuple[int, int, int]:
        """Repeats of a primitive cell in its supercell."""
        if self.min_length is None:
            return self.supercell
        # an edge that is short by rounding is long enough
        shares = self.min_length / primitive.cell.lengths() - 1e-6
        a, b, c = (1 if share <= 1 else 2 * int(np.ceil(share / 2)) for share in shares)
        return a, b, c


@dataclass(frozen=True)
class BandPath:
    """A path through the Brillouin zone: its legs between labelled points, in the basis of one primitive cell."""

    legs: list[np.ndarray]
    """q-points of each leg, both ends included: (p, 3) each, reduced coordinates."""
    ends: list[tuple[str, str]]
    """Labels of the two ends of each leg."""


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
    """International Tables number of ``atoms``, found with :data:`SYMPREC`."""
    energy_per_atom: float | None = None
    """eV/atom, of ``atoms``, by the potential, uncorrected."""
    relaxed_fmax: float | None = None
    """eV/Å, largest force on an atom after the relaxation."""
    across_cutoff: float | None = None
    """Å, how far a pair that counted, or did not, was across the potential's cutoff in the end (:func:`relax`)."""
    min_frequency: float | None = None
    """THz, over mesh and path, without the acoustic modes at Γ."""
    min_frequency_q: list[float] | None = None
    """q-point of the lowest frequency [3], reduced coordinates."""
    verdict: str | None = None
    """One of :data:`VERDICTS`."""
    supercell: tuple[int, int, int] | None = None
    """Repeats of ``atoms``."""
    n_displacements: int | None = None
    """Displaced supercells computed."""
    bands: dict[str, list] = field(default_factory=dict)
    """The columns band_* of ``tables.PHONONS``."""
    finalist: dict[str, Any] = field(default_factory=dict)
    """Of a crystal that passes: its force constants, thermodynamics and elastic constants, as columns."""
    parent_id: str | None = None
    """Of a child: the crystal whose imaginary mode led to it."""
    energy_gain: float | None = None
    """Of a child: eV/atom by which it lies below its parent."""

    def row(self, candidate_id: str, options: PhononOptions) -> dict[str, Any]:
        """A row of ``tables.PHONONS``."""
        cell: dict[str, list] = {}
        if self.atoms is not None:
            cell = {
                "lattice": self.atoms.cell.array.ravel().tolist(),
                "numbers": self.atoms.numbers.tolist(),
                "frac_coords": self.atoms.get_scaled_positions(wrap=False).ravel().tolist(),
            }
        return {
            "candidate_id": candidate_id,
            "min_frequency": self.min_frequency,
            "min_frequency_q": self.min_frequency_q,
            "verdict": self.verdict,
            "stable_from": options.stable,
            "borderline_from": options.borderline,
            "paper_stable": None if self.min_frequency is None else self.min_frequency >= PAPER,
            "parent_id": self.parent_id,
            "energy_gain": self.energy_gain,
            "potential": self.potential,
            "supercell": None if self.supercell is None else list(self.supercell),
            "n_displacements": self.n_displacements,
            **self.bands,
            **self.finalist,
            **cell,
            "spacegroup": self.spacegroup,
            "energy_per_atom": self.energy_per_atom,
            "relaxed_fmax": self.relaxed_fmax,
            "across_cutoff": self.across_cutoff,
            "status": self.status,
        }


# ------------------------------------------------------------------------------------------- one crystal


def phonons(atoms: Atoms, potential: Potential, options: PhononOptions) -> PhononResult:
    """Relax a crystal, compute its phonons and judge it.

    A crystal that is too large, does not converge, takes too long, or fails anywhere on the way is a result whose
    status says so, not an exception.

    :param atoms: the crystal, any cell.
    :returns: the result; its verdict is ``None`` unless the status is ok.
    """
    return judge(atoms, potential, options)[0]


def judge(
    atoms: Atoms, potential: Potential, options: PhononOptions, relaxed: Relaxed | None = None
) -> tuple[PhononResult, Phonopy | None]:
    """As :func:`phonons`, with the force constants that the verdict rests on, where there are such.

    :param relaxed: the crystal, if it has been relaxed already (:func:`relax_together`).
    """
    try:
        left = options.max_minutes - (relaxed.minutes if relaxed else 0.0)
        return _judge(atoms, TimeLimited(potential, left), options, relaxed)
    except MemoryError:
        raise  # the machine's fault, not the crystal's
    except OutOfTime:
        return PhononResult(f"refused: takes longer than max_minutes ({options.max_minutes:g})", potential.name), None
    except Exception as error:
        return PhononResult(f"failed: {type(error).__name__}: {error}".splitlines()[0], potential.name), None


def _judge(
    atoms: Atoms, potential: Potential, options: PhononOptions, relaxed: Relaxed | None = None
) -> tuple[PhononResult, Phonopy | None]:
    if relaxed is None:
        start, _, _ = standardise(atoms)
        if (n_atoms := _supercell_atoms(start, options)) > options.max_atoms:
            return PhononResult(_too_large(n_atoms, options), potential.name), None
        relaxed = relax(start, potential, options.relaxation, **options.tightly)
    if not relaxed.ok:
        return PhononResult(relaxed.status, potential.name), None

    # Idealised by up to SYMPREC, so the energy is the standard cell's own.
    primitive, spacegroup, path = standardise(relaxed.atoms)
    repeats = options.repeats(primitive)
    if (n_atoms := _supercell_atoms(primitive, options)) > options.max_atoms:  # shrunk since, or of a lower symmetry
        return PhononResult(_too_large(n_atoms, options), potential.name), None
    energy = _evaluate(potential, [primitive]).energy_per_atom[0]

    def forces(structures: list[Atoms]) -> list[np.ndarray]:
        # those of the first, which is at rest: what a displacement carries across the cutoff is no force constant
        pairs = [potential.neighbours(structures[0])] * len(structures)
        return _evaluate(potential, structures, forces=True, pairs=pairs).forces

    phonon = finite_displacements(primitive, forces, repeats, options.displacement)
    bands = phonon.run_band_structure(path.legs)
    lowest, q = lowest_mode(phonon, bands, options.mesh)
    result = PhononResult(
        status="ok",
        potential=potential.name,
        atoms=primitive,
        spacegroup=spacegroup,
        energy_per_atom=float(energy),
        relaxed_fmax=relaxed.fmax,
        across_cutoff=relaxed.across,
        min_frequency=lowest,
        min_frequency_q=q,
        verdict=options.verdict(lowest),
        supercell=repeats,
        n_displacements=len(phonon.supercells_with_displacements),
        bands=band_columns(bands, path),
    )
    if result.verdict != "unstable":
        result = replace(
            result,
            finalist={
                "force_constants": phonon.force_constants.ravel().tolist(),
                **thermodynamics(phonon, options.mesh),
                **elasticity(primitive, phonon, potential),
            },
        )
    return result, phonon


def _supercell_atoms(primitive: Atoms, options: PhononOptions) -> int:
    return len(primitive) * int(np.prod(options.repeats(primitive)))


def _too_large(n_atoms: int, options: PhononOptions) -> str:
    return f"refused: {n_atoms} atoms in the supercell, more than max_atoms ({options.max_atoms})"


def child(
    parent_id: str, parent: PhononResult, phonon: Phonopy, potential: Potential, options: PhononOptions
) -> PhononResult:
    """Follow the imaginary mode of an unstable crystal, relax what comes of it, and judge that.

    The crystal is moved along the mode, in the smallest supercell that it fits into, and relaxed in the symmetry that
    it then has. Of several directions (degenerate modes) the one that ends lowest in energy is taken. A child that
    is unstable too is not followed further.

    :param parent: its result, with the verdict ``unstable``.
    :param phonon: its force constants.
    :returns: the child's result; its status says why there is none.
    """
    try:
        limited = TimeLimited(potential, options.max_minutes)
        result = _child(parent, phonon, limited, options)
    except MemoryError:
        raise
    except OutOfTime:
        result = PhononResult(f"refused: takes longer than max_minutes ({options.max_minutes:g})", potential.name)
    except Exception as error:
        result = PhononResult(f"failed: {type(error).__name__}: {error}".splitlines()[0], potential.name)
    return replace(result, parent_id=parent_id)


def _child(parent: PhononResult, phonon: Phonopy, potential: "TimeLimited", options: PhononOptions) -> PhononResult:
    assert parent.atoms is not None
    assert parent.supercell is not None
    assert parent.energy_per_atom is not None
    mode = soft_mode(phonon, parent.supercell)
    if mode is None or options.verdict(mode.frequency) != "unstable":
        return PhononResult("refused: no imaginary mode fits the supercell", potential.name)
    n_atoms = len(parent.atoms) * round(float(np.linalg.det(mode.supercell)))
    if n_atoms > options.max_atoms:
        return PhononResult(_too_large(n_atoms, options), potential.name)
    found = [
        relax(atoms, potential, options.relaxation, **options.tightly)
        for atoms in distorted(parent.atoms, mode, potential)
    ]
    done = sorted((r for r in found if r.ok), key=lambda r: r.energy_per_atom)
    if not done:
        return PhononResult(found[0].status if found else "failed: no energy along the mode", potential.name)
    if parent.energy_per_atom - done[0].energy_per_atom < GAIN:
        return PhononResult("refused: comes back to its parent", potential.name)
    # forces of the parent's range, whatever the shape of the child's cell
    edge = options.min_length or min(parent.atoms.cell.lengths() * parent.supercell)
    result, _ = _judge(done[0].atoms, potential, replace(options, min_length=float(edge)))
    if result.energy_per_atom is None:
        return result
    return replace(result, energy_gain=parent.energy_per_atom - result.energy_per_atom)


class OutOfTime(BaseException):
    """A crystal takes too long. Not an :class:`Exception`: what recovers from those is to let it pass."""


class TimeLimited(Potential):
    """A potential that raises :class:`OutOfTime` once its time is over, before the next evaluation."""

    def __init__(self, potential: Potential, minutes: float) -> None:
        self._potential, self._end = potential, time.monotonic() + 60 * minutes
        self.name, self.energy_scale, self.digest = potential.name, potential.energy_scale, potential.digest
        self.versions, self.cutoff, self.batch_atoms = potential.versions, potential.cutoff, potential.batch_atoms
        self.by_orbit = potential.by_orbit

    def unknown(self, symbols: set[str]) -> set[str]:
        return self._potential.unknown(symbols)

    def compute(self, *arguments: Any) -> Batch:
        self._check()
        return self._potential.compute(*arguments)

    def compute_by_orbit(self, *arguments: Any) -> Batch:
        self._check()
        return self._potential.compute_by_orbit(*arguments)

    def _check(self) -> None:
        if time.monotonic() > self._end:
            raise OutOfTime


def _evaluate(potential: Potential, structures: list[Atoms], **settings: Any) -> Evaluation:
    found = potential.evaluate(structures, **settings)
    for error in found.errors:
        if error is not None:
            raise RuntimeError(error)
    return found


def standardise(atoms: Atoms, symprec: float = SYMPREC) -> tuple[Atoms, int, BandPath]:
    """The idealised primitive cell in SeeK-path's setting, with the band path that belongs to it.

    Labels and coordinates of a band path hold in one setting of the primitive cell only, so both are taken
    from the same source.

    :param symprec: Å, tolerance of the symmetry search.
    :returns: the cell, its space group (International Tables number), and the path.
    :raises seekpath.SymmetryDetectionError: if no symmetry is found, not even the identity.
    """
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    found = seekpath.get_path(cell, symprec=symprec)
    positions = found["primitive_positions"] % 1.0
    positions[np.abs(positions - 1.0) < 1e-9] = 0.0
    primitive = Atoms(
        numbers=found["primitive_types"],
        scaled_positions=positions,
        cell=found["primitive_lattice"],
        pbc=True,
    )
    ends = [(a, b) for a, b in found["path"]]
    points = {name: np.array(q, dtype=float) for name, q in found["point_coords"].items()}
    reciprocal = np.linalg.inv(primitive.cell.array)  # columns; without 2π, as phonopy measures distances
    lengths = [np.linalg.norm((points[b] - points[a]) @ reciprocal.T) for a, b in ends]
    counts = [max(2, round(POINTS_PER_LEG * length / max(lengths))) for length in lengths]
    legs = [np.linspace(points[a], points[b], n) for (a, b), n in zip(ends, counts, strict=True)]
    return primitive, int(found["spacegroup_number"]), BandPath(legs, ends)


def finite_displacements(
    primitive: Atoms, forces: Forces, supercell: Sequence[int], displacement: float, symprec: float = 1e-5
) -> Phonopy:
    """Harmonic force constants from the forces of displaced supercells.

    Only displacements that symmetry does not relate are computed, in both directions where ± differ. Forces at rest,
    and then the net force on each supercell (a potential's noise), are taken off; the force constants are made
    symmetric and obey the acoustic sum rule.

    :param primitive: primitive cell, at rest.
    :param forces: forces of many structures at once: the supercell at rest, then the displaced ones.
    :param supercell: repeats of the cell [3].
    :param displacement: length of a displacement, Å.
    :param symprec: Å; tight, for an idealised cell.
    :returns: phonopy's object, ready for frequencies.
    """
    phonon = displaced(primitive, supercell, displacement, symprec)
    at_rest, *found = forces([_to_ase(cell) for cell in (phonon.supercell, *phonon.supercells_with_displacements)])
    phonon.forces = np.array([f - at_rest - (f - at_rest).mean(axis=0) for f in found])
    phonon.produce_force_constants(calculate_full_force_constants=False)
    phonon.symmetrize_force_constants(level=3)
    return phonon


def displaced(
    primitive: Atoms, supercell: Sequence[int], displacement: float, symprec: float = 1e-5, **settings: Any
) -> Phonopy:
    """Phonopy's object with the displaced supercells of a primitive cell; see :func:`finite_displacements`."""
    cell = PhonopyAtoms(
        numbers=primitive.numbers,
        scaled_positions=primitive.get_scaled_positions(wrap=False),
        cell=primitive.cell.array,
    )
    phonon = Phonopy(cell, supercell_matrix=np.diag(list(supercell)), primitive_matrix="P", symprec=symprec, **settings)
    phonon.generate_displacements(distance=displacement)
    return phonon


def lowest_mode(phonon: Phonopy, bands: BandStructure, mesh: Sequence[int]) -> tuple[float, list[float]]:
    """The lowest frequency over the band path and a Γ-centred mesh, and its q-point.

    At Γ the three acoustic modes are left out: the sum rule makes them zero, and what remains of them is
    noise. Without an imaginary mode, the lowest is the acoustic branch at the q-point next to Γ: then its
    sign means something, its size does not. Among equal frequencies the first q-point of the path, then of
    the mesh, is named.

    :returns: the frequency in THz, negative for an imaginary one, and q [3] in reduced coordinates.
    """
    grid = phonon.run_mesh(mesh, is_gamma_center=True)
    q = np.concatenate([*bands.qpoints, grid.qpoints])
    frequencies = np.concatenate([*bands.frequencies, grid.frequencies])
    gamma = np.abs(q - np.round(q)).max(axis=1) < 1e-8
    lowest = frequencies.min(axis=1)
    # The three of smallest size: an optical mode that small could not be told from noise.
    optical = np.sort(np.abs(frequencies[gamma]).argsort(axis=1)[:, 3:], axis=1)
    left = np.take_along_axis(frequencies[gamma], optical, axis=1)
    lowest[gamma] = left.min(axis=1, initial=np.inf)
    first = int(np.flatnonzero(lowest <= lowest.min() + 1e-6)[0])
    return float(lowest[first]), (q[first] + 0.0).tolist()


def band_columns(bands: BandStructure, path: BandPath) -> dict[str, list]:
    """The columns band_* of ``tables.PHONONS``; frequencies rounded to 0.1 GHz, far below their error."""
    starts = np.cumsum([0, *(len(leg) for leg in path.legs)])[:-1]
    ticks: list[float] = []
    labels: list[str] = []
    for (begin, end), distances in zip(path.ends, bands.distances, strict=True):
        if not ticks:
            ticks.append(distances[0])
            labels.append(_label(begin))
        elif labels[-1] != _label(begin):
            labels[-1] += f"|{_label(begin)}"  # the path jumps
        ticks.append(distances[-1])
        labels.append(_label(end))
    return {
        "band_distances": np.concatenate(bands.distances).round(6).tolist(),
        "band_frequencies": (np.concatenate(bands.frequencies).round(4) + 0.0).ravel().tolist(),
        "band_breaks": starts.tolist(),
        "band_ticks": np.round(ticks, 6).tolist(),
        "band_labels": labels,
    }


def _label(name: str) -> str:
    """SeeK-path's name of a point as it is printed: GAMMA as Γ, SIGMA_0 as Σ₀."""
    greek = {"GAMMA": "Γ", "SIGMA": "Σ", "DELTA": "Δ", "LAMBDA": "Λ"}
    base, _, index = name.partition("_")
    return greek.get(base, base) + index.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _to_ase(cell: PhonopyAtoms) -> Atoms:
    return Atoms(numbers=cell.numbers, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)


# ----------------------------------------------------------------------------------------- many crystals


def crystals_of_shard(unique: pa.Table, shard: int, shards: int) -> list[dict[str, Any]]:
    """The crystals whose phonons one shard computes: every ``shards``-th in order of phonon_rank.

    :param unique: a table of the schema ``tables.UNIQUE``; rows without a phonon_rank are passed over.
    """
    rows = [row for row in unique.to_pylist() if row["phonon_rank"] is not None]
    return sorted(rows, key=lambda row: row["phonon_rank"])[shard::shards]


def phonon_rows(
    crystals: Sequence[dict[str, Any]], potential: Potential, options: PhononOptions, kept: KeptRows
) -> Iterator[dict[str, Any]]:
    """Rows of ``tables.PHONONS``: one for each crystal in the same order, that of its child after it.

    Every unstable crystal among the first ``options.follow`` has a row for its child, if only to say why there is
    none.

    :param crystals: rows of ``tables.UNIQUE``.
    :param kept: where finished rows are kept, and taken from after a kill.
    """

    def key_of(crystal: dict[str, Any]) -> list[Any]:
        return [crystal[name] for name in ("candidate_id", "lattice", "numbers", "frac_coords")]

    def followed(crystal: dict[str, Any], verdict: str | None) -> bool:
        return crystal["phonon_rank"] <= options.follow and verdict == "unstable"

    def missing(crystal: dict[str, Any]) -> bool:
        row, of_child = kept.get(key_of(crystal)), kept.get([*key_of(crystal), CHILD])
        return row is None or (followed(crystal, row["verdict"]) and of_child is None)

    # all of them, even after a kill: a crystal's last digits depend on those that it shares a batch with
    relaxed = relaxed_for_phonons(crystals, potential, options) if any(map(missing, crystals)) else {}
    for crystal in progress(crystals, len(crystals), "crystals"):
        key, name = key_of(crystal), crystal["candidate_id"]
        row, of_child = kept.get(key), kept.get([*key, CHILD])
        if missing(crystal):
            result, phonon = judge(atoms_of(crystal), potential, options, relaxed.get(name))
            row = kept.put(key, result.row(name, options))
            if followed(crystal, result.verdict) and phonon is not None:
                found = child(name, result, phonon, potential, options)
                of_child = kept.put([*key, CHILD], found.row(name + CHILD, options))
        for done in (row, of_child):
            if done is not None:
                logger.info(f"{done['candidate_id']}: {_told(done)}")
                yield done


def relaxed_for_phonons(
    crystals: Sequence[dict[str, Any]], potential: Potential, options: PhononOptions
) -> dict[str, Relaxed]:
    """Standard primitive cells of crystals, relaxed side by side, by candidate.

    Those that have none, or are too large for phonons, are left out: :func:`judge` says so of each.
    """
    start: dict[str, Atoms] = {}
    for crystal in crystals:
        try:
            primitive, _, _ = standardise(atoms_of(crystal))
        except Exception:
            continue
        if _supercell_atoms(primitive, options) <= options.max_atoms:
            start[crystal["candidate_id"]] = primitive
    names = list(start)
    found = relax_together(list(start.values()), potential, options.relaxation, **options.tightly)
    return {names[i]: relaxed for i, relaxed in progress(found, len(names), "crystals relaxed")}


def _told(row: dict[str, Any]) -> str:
    if row["verdict"] is None:
        return row["status"]
    q = ", ".join(f"{x:.3f}" for x in row["min_frequency_q"])
    gain = "" if row["energy_gain"] is None else f", {1000 * row['energy_gain']:.1f} meV/atom below its parent"
    return f"{row['verdict']}, lowest frequency {row['min_frequency']:.2f} THz at ({q}), {row['potential']}{gain}"
