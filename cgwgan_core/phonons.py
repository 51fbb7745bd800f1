"""Phonons by finite displacements: is a relaxed crystal a minimum of the potential's energy surface?

Each crystal is relaxed tightly, brought into the standard primitive cell, and displaced in a supercell
(phonopy: Togo, J. Phys. Soc. Jpn. 92, 012001 (2023), doi:10.7566/JPSJ.92.012001). The lowest frequency over
a Γ-centred mesh and over the band path (SeeK-path: Hinuma et al., Comput. Mater. Sci. 128, 140 (2017),
doi:10.1016/j.commatsci.2016.10.015) gives the verdict. Imaginary frequencies are written as negative.

The forces are a potential's, so a verdict holds for that potential and always names it. There are no Born
charges, hence no splitting of longitudinal and transverse optical modes at Γ. That correction only raises
longitudinal modes, so leaving it out hides no instability.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import seekpath
from ase import Atoms
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from .errors import InputError
from .jobs import logger, progress
from .potentials import Evaluation, Potential
from .relaxation import RelaxOptions, relax
from .resume import KeptRows

SYMPREC = 0.01
"""Å. Relaxed to a few meV/Å, atoms lie within this of their ideal positions."""
POINTS_PER_LEG = 40
"""q-points on the longest leg of the band path; the others have as many per length."""

Forces = Callable[[list[Atoms]], Sequence[np.ndarray]]
"""Forces of many structures: one (n, 3) array each, eV/Å."""


@dataclass(frozen=True)
class PhononOptions:
    """How phonons are computed and judged."""

    supercell: tuple[int, int, int] = (2, 2, 2)
    """Repeats of the standard primitive cell."""
    displacement: float = 0.01
    """Å, length of each displacement."""
    mesh: tuple[int, int, int] = (8, 8, 8)
    """q-points of the Γ-centred mesh along the reciprocal vectors."""
    fmax: float = 0.005
    """eV/Å, largest force after the relaxation that comes first."""
    max_steps: int = 500
    """Most steps of that relaxation."""
    threshold: float = -0.5
    """THz. A crystal is stable if its lowest frequency is above this."""
    max_atoms: int = 400
    """Supercells with more atoms are refused."""

    def __post_init__(self) -> None:
        for name in ("supercell", "mesh"):
            value = tuple(getattr(self, name))
            object.__setattr__(self, name, value)
            if len(value) != 3 or any(not isinstance(n, int) or n < 1 for n in value):
                raise InputError(f"phonons: {name}: {list(value)} is not three whole numbers from 1 up; mend it")
        for name in ("displacement", "fmax", "max_steps", "max_atoms"):
            if getattr(self, name) <= 0:
                raise InputError(f"phonons: {name}: {getattr(self, name)} is not above 0; mend it")


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
    min_frequency: float | None = None
    """THz, over mesh and path, without the acoustic modes at Γ."""
    min_frequency_q: list[float] | None = None
    """q-point of the lowest frequency [3], reduced coordinates."""
    verdict: str | None = None
    """stable or unstable."""
    n_displacements: int | None = None
    """Displaced supercells computed."""
    bands: dict[str, list] = field(default_factory=dict)
    """The columns band_* of ``tables.PHONONS``."""

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
            "threshold": options.threshold,
            "potential": self.potential,
            "supercell": list(options.supercell),
            "n_displacements": self.n_displacements,
            **self.bands,
            **cell,
            "spacegroup": self.spacegroup,
            "energy_per_atom": self.energy_per_atom,
            "status": self.status,
        }


# ------------------------------------------------------------------------------------------- one crystal


def phonons(atoms: Atoms, potential: Potential, options: PhononOptions) -> PhononResult:
    """Relax a crystal, compute its phonons and judge it.

    A crystal that is too large, does not converge, or fails anywhere on the way is a result whose status
    says so, not an exception.

    :param atoms: the crystal, any cell.
    :returns: the result; its verdict is ``None`` unless the status is ok.
    """
    try:
        return _phonons(atoms, potential, options)
    except MemoryError:
        raise  # the machine's fault, not the crystal's
    except Exception as error:
        return PhononResult(f"failed: {type(error).__name__}: {error}".splitlines()[0], potential.name)


def _phonons(atoms: Atoms, potential: Potential, options: PhononOptions) -> PhononResult:
    start, _, _ = standardise(atoms)
    n_atoms = len(start) * int(np.prod(options.supercell))
    if n_atoms > options.max_atoms:
        reason = f"refused: {n_atoms} atoms in the supercell, more than max_atoms ({options.max_atoms})"
        return PhononResult(reason, potential.name)
    relaxed = relax(start, potential, RelaxOptions(fmax=options.fmax, max_steps=options.max_steps))
    if not relaxed.ok:
        return PhononResult(relaxed.status, potential.name)

    # Idealised by up to SYMPREC, so the energy is the standard cell's own.
    primitive, spacegroup, path = standardise(relaxed.atoms)
    energy = _evaluate(potential, [primitive]).energy_per_atom[0]

    def forces(structures: list[Atoms]) -> list[np.ndarray]:
        return _evaluate(potential, structures, forces=True).forces

    phonon = finite_displacements(primitive, forces, options.supercell, options.displacement)
    lowest, q = lowest_mode(phonon, path, options.mesh)
    return PhononResult(
        status="ok",
        potential=potential.name,
        atoms=primitive,
        spacegroup=spacegroup,
        energy_per_atom=float(energy),
        min_frequency=lowest,
        min_frequency_q=q,
        verdict="stable" if lowest > options.threshold else "unstable",
        n_displacements=len(phonon.supercells_with_displacements),
        bands=band_columns(phonon, path),
    )


def _evaluate(potential: Potential, structures: list[Atoms], forces: bool = False) -> Evaluation:
    found = potential.evaluate(structures, forces=forces)
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

    Only displacements that symmetry does not relate are computed, in both directions where ± differ. The net
    force on each supercell (a potential's noise) is removed; the force constants are made symmetric and obey
    the acoustic sum rule.

    :param primitive: primitive cell, at rest.
    :param forces: forces of many structures at once.
    :param supercell: repeats of the cell [3].
    :param displacement: length of a displacement, Å.
    :param symprec: Å; tight, for an idealised cell.
    :returns: phonopy's object, ready for frequencies.
    """
    phonon = displaced(primitive, supercell, displacement, symprec)
    found = forces([_to_ase(cell) for cell in phonon.supercells_with_displacements])
    phonon.forces = np.array([f - f.mean(axis=0) for f in found])
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


def lowest_mode(phonon: Phonopy, path: BandPath, mesh: Sequence[int]) -> tuple[float, list[float]]:
    """The lowest frequency over the band path and a Γ-centred mesh, and its q-point.

    At Γ the three acoustic modes are left out: the sum rule makes them zero, and what remains of them is
    noise. Without an imaginary mode, the lowest is the acoustic branch at the q-point next to Γ: then its
    sign means something, its size does not. Among equal frequencies the first q-point of the path, then of
    the mesh, is named.

    :returns: the frequency in THz, negative for an imaginary one, and q [3] in reduced coordinates.
    """
    grid = phonon.run_mesh(mesh, is_gamma_center=True)
    bands = phonon.run_band_structure(path.legs)
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


def band_columns(phonon: Phonopy, path: BandPath) -> dict[str, list]:
    """The columns band_* of ``tables.PHONONS``; frequencies rounded to 0.1 GHz, far below their error."""
    bands = phonon.run_band_structure(path.legs)
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
    """Rows of ``tables.PHONONS``, one for each crystal, in the same order.

    :param crystals: rows of ``tables.UNIQUE``.
    :param kept: where finished rows are kept, and taken from after a kill.
    """
    for crystal in progress(crystals, len(crystals), "crystals"):
        key = [crystal[name] for name in ("candidate_id", "lattice", "numbers", "frac_coords")]
        row = kept.get(key)
        if row is None:
            atoms = Atoms(
                numbers=crystal["numbers"],
                cell=np.reshape(crystal["lattice"], (3, 3)),
                scaled_positions=np.reshape(crystal["frac_coords"], (-1, 3)),
                pbc=True,
            )
            result = phonons(atoms, potential, options)
            row = kept.put(key, result.row(crystal["candidate_id"], options))
        logger.info(f"{row['candidate_id']}: {_told(row)}")
        yield row


def _told(row: dict[str, Any]) -> str:
    if row["verdict"] is None:
        return row["status"]
    q = ", ".join(f"{x:.3f}" for x in row["min_frequency_q"])
    return f"{row['verdict']}, lowest frequency {row['min_frequency']:.2f} THz at ({q}), {row['potential']}"
