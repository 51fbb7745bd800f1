"""Which crystals DFT sees: the best candidates, the known phases that they compete with, the elements.

Candidates and known phases are as the potential relaxed them, elements as the database has them. The elements that are
gases of diatomic molecules are one molecule in a box.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.structures import atoms_to_row, row_to_atoms, row_to_structure
from cgwgan_core.relaxation.known_phases import DOUBTED, ELEMENT, LEFT_OUT
from cgwgan_core.screening.comparison import Library
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.refusals import OK

Row = dict[str, Any]
CANDIDATE, KNOWN_PHASE, ELEMENTAL = "candidate", "known", "element"
"""Kinds of crystals."""
REPEATS = "the same crystal as another known phase"
"""How the status begins of a known phase that stands in the table twice."""
TIE = 1e-3
"""eV/atom; elemental crystals no further apart are equally low, and the smallest is taken."""

MOLECULES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"H": (0.751, 0.0), "N": (1.103, 0.0), "O": (1.218, 1.0), "F": (1.414, 0.0), "Cl": (1.999, 0.0)}
)
"""Elements whose reference is a molecule of two atoms: bond length by PBE (Å), moment of each atom (μB; O2 is a
triplet). By the forces that GPAW has at these lengths, the minima are at most 1 meV/atom lower."""
BOX = (8.0, 8.1, 8.2)
"""Å; a molecule's box. Sides of unequal length leave the density the symmetry of the molecule alone. A box 1 Å wider
changes O2 by less than 1 meV/atom (GPAW, 500 eV, :data:`.mesh.MOLECULE`)."""
_MOLECULE = "molecule-"


@dataclass(frozen=True)
class CrystalOptions:
    """How many crystals DFT sees, and how large ones."""

    top: int = 100
    """Candidates, best first by energy above hull."""
    max_atoms: int = 20
    """Atoms in the primitive cell of a candidate."""
    competing: float = 0.03
    """eV/atom; known phases no higher above the hull, by the potential or by the database, compete."""
    max_atoms_known: int = 40
    """Atoms in the cell of a known phase or an element."""
    also: Sequence[str] = ()
    """Candidates that are seen besides the best, by candidate_id."""

    def __post_init__(self) -> None:
        for name, least in {"top": 0, "max_atoms": 1, "max_atoms_known": 1, "competing": 0}.items():
            if getattr(self, name) < least:
                raise InputError(f"dft.{name}: {getattr(self, name)} must be at least {least}")


def choose(
    stable: Sequence[Row],
    known_phases: Sequence[Row],
    structures: Sequence[Row],
    chemistry: Sequence[str],
    options: CrystalOptions,
) -> list[Row]:
    """Every candidate and every known compound with whether DFT sees it, and one row of each element.

    :param stable: rows of ``tables.STABLE``.
    :param known_phases: rows of ``tables.KNOWN_PHASES``.
    :param structures: rows of ``tables.STRUCTURES`` that have no other elements than these.
    :returns: candidates, best first; known compounds, lowest above the hull first; elements in alphabetical order. The
        ``status`` is ok, or why DFT does not see the crystal.
    :raises InputError: if ``also`` names no candidate.
    """
    named = {name for row in stable for name in row["hull_phases"] or ()}
    potential = next((row["potential"] for row in stable), None)
    return [
        *_candidates(stable, options),
        *_known(known_phases, chemistry, named, potential, options),
        *(_element(symbol, structures, options.max_atoms_known) for symbol in sorted(chemistry)),
    ]


def to_atoms(row: Mapping[str, Any]) -> Atoms:
    """The crystal of a row of :func:`choose` whose status is ok; a molecule with its moments, not periodic."""
    atoms = row_to_atoms(row)
    if str(row["crystal_id"]).startswith(_MOLECULE):
        _, moment = MOLECULES[element_of(row)]
        atoms.set_initial_magnetic_moments([moment] * len(atoms))
        atoms.pbc = False
    return atoms


def element_of(row: Mapping[str, Any]) -> str:
    """Symbol of the element of a row of kind ``element``; its formula may be ``O2``."""
    return str(row["formula"]).rstrip("0123456789")


def database_phases(known: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Formula and formation energy (eV/atom) of the compounds that the database's hull is made of.

    Those that the potential cannot treat count; those that are doubted do not.

    :param known: rows of compounds in ``tables.KNOWN_PHASES``, or of :func:`choose`.
    """
    for row in known:
        energy = row["database_formation_energy_per_atom"]
        if energy is not None and not doubted(row):
            yield row["formula"], energy


def doubted(row: Mapping[str, Any]) -> bool:
    """Whether a known phase is no part of any hull, by its status."""
    return str(row["status"]).startswith((DOUBTED, LEFT_OUT))


def _row(crystal_id: str, kind: str, formula: str, **columns: Any) -> Row:
    return {
        "crystal_id": crystal_id,
        "kind": kind,
        "rank": None,
        "formula": formula,
        "lattice": None,
        "numbers": None,
        "frac_coords": None,
        "potential": None,
        "formation_energy_per_atom": None,
        "energy_above_hull": None,
        "database_formation_energy_per_atom": None,
        **columns,
    }


_KEPT = ("lattice", "numbers", "frac_coords", "formation_energy_per_atom", "energy_above_hull")


def _too_large(row: Mapping[str, Any], most: int) -> str | None:
    n = len(row["numbers"])
    return f"{n} atoms, more than {most}" if n > most else None


# ------------------------------------------------------------------------------------------- candidates


def _candidates(stable: Sequence[Row], options: CrystalOptions) -> Iterator[Row]:
    if unknown := sorted(set(options.also) - {row["candidate_id"] for row in stable}):
        raise InputError(f"dft.also: {', '.join(unknown)} is no candidate_id of stable.parquet; delete or correct it")
    seen = 0
    for rank, row in enumerate(sorted(stable, key=_best_first), start=1):
        reason = _too_large(row, options.max_atoms)
        if not reason:
            seen += 1
            if seen > options.top and row["candidate_id"] not in options.also:
                reason = f"beyond the best {options.top}"
        columns = {name: row[name] for name in (*_KEPT, "potential")}
        yield _row(row["candidate_id"], CANDIDATE, row["formula"], **columns, rank=rank, status=reason or OK)


def _best_first(row: Row) -> tuple[float, str]:
    above = row["energy_above_hull"]
    return (float("inf") if above is None else above, row["candidate_id"])


# ----------------------------------------------------------------------------------------- known phases


def _known(
    known_phases: Sequence[Row],
    chemistry: Sequence[str],
    named: set[str],
    potential: str | None,
    options: CrystalOptions,
) -> Iterator[Row]:
    compounds = [row for row in known_phases if len(set(row["numbers"] or ())) > 1]
    by_database = Hull(database_phases(compounds), chemistry)
    heights = {row["material_id"]: _height(row, by_database) for row in compounds}
    compounds.sort(key=lambda row: (heights[row["material_id"]], row["material_id"]))
    kept = Library()
    # of equal crystals one with an energy in the database stands for all
    preferred = sorted(compounds, key=lambda row: row["database_formation_energy_per_atom"] is None)
    status = {row["material_id"]: _status(row, heights[row["material_id"]], named, kept, options) for row in preferred}
    for row in compounds:
        columns = {name: row[name] for name in (*_KEPT, "database_formation_energy_per_atom")}
        name = row["material_id"]
        yield _row(name, KNOWN_PHASE, row["formula"], **columns, potential=potential, status=status[name])


def _height(row: Row, by_database: Hull) -> float:
    """eV/atom above the hull of the potential or that of the database, whichever is less."""
    heights = [float("inf")]
    if row["status"] == OK and row["energy_above_hull"] is not None:
        heights.append(row["energy_above_hull"])
    if row["database_formation_energy_per_atom"] is not None and not doubted(row):
        ground = by_database.energy_per_atom(row["formula"])
        heights.append(row["database_formation_energy_per_atom"] - ground)
    return min(heights)


def _status(row: Row, height: float, named: set[str], kept: Library, options: CrystalOptions) -> str:
    if height > options.competing and row["material_id"] not in named:
        if row["status"] != OK:
            return str(row["status"])
        return f"{height:.3f} eV/atom above the hulls, more than {options.competing}"
    if reason := _too_large(row, options.max_atoms_known):
        return reason
    if row["status"] != OK:
        return str(row["status"])
    structure = row_to_structure(row)
    if same := kept.find(structure):
        return f"{REPEATS}: {same}"
    kept.add(row["material_id"], structure)
    return OK


# --------------------------------------------------------------------------------------------- elements


def _element(symbol: str, structures: Sequence[Row], max_atoms: int) -> Row:
    """The molecule, or the lowest crystal of the database that is small enough."""
    if symbol in MOLECULES:
        atoms = _molecule(symbol)
        return _row(f"{_MOLECULE}{symbol}2", ELEMENTAL, formula_of_atoms(atoms), **atoms_to_row(atoms), status=OK)
    crystals = [row for row in structures if {chemical_symbols[z] for z in row["numbers"]} == {symbol}]
    known = [row for row in crystals if row["formation_energy_per_atom"] is not None]
    small = [row for row in known if len(row["numbers"]) <= max_atoms]
    if not small:
        reason = f"no crystal of {symbol} in the database"
        if known:
            reason = f"{min(len(row['numbers']) for row in known)} atoms, more than {max_atoms}"
        elif crystals:
            reason = f"no crystal of {symbol} in the database has an energy"
        return _row(f"{ELEMENT}{symbol}", ELEMENTAL, symbol, status=reason)
    lowest = min(row["formation_energy_per_atom"] for row in small)
    row = min(
        (row for row in small if row["formation_energy_per_atom"] <= lowest + TIE),
        key=lambda row: (len(row["numbers"]), row["formation_energy_per_atom"], row["material_id"]),
    )
    columns = {name: row[name] for name in ("lattice", "numbers", "frac_coords")}
    columns["database_formation_energy_per_atom"] = row["formation_energy_per_atom"]
    return _row(row["material_id"], ELEMENTAL, symbol, **columns, status=OK)


def _molecule(symbol: str) -> Atoms:
    length, _ = MOLECULES[symbol]
    atoms = Atoms([symbol] * 2, positions=[[0, 0, 0], [0, 0, length]], cell=BOX, pbc=True)
    atoms.center()
    return atoms
