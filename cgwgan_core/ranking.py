"""Best first, each crystal once, the known ones named: before relaxation and again after it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ase import Atoms
from ase.data import atomic_numbers
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from . import tables
from .crystal import Templates, to_atoms

RANK_BY = ("energy_above_hull", "formation_energy")


@dataclass(frozen=True)
class ScreenOptions:
    """How candidates are ranked; keys of the config block ``screen``."""

    rank_by: str = "energy_above_hull"
    """``energy_above_hull`` or ``formation_energy`` (the paper's)."""
    top: int = 40
    """Candidates on the shortlist."""

    def __post_init__(self) -> None:
        if self.rank_by not in RANK_BY:
            raise ValueError(f"rank_by must be one of {', '.join(RANK_BY)}, not {self.rank_by!r}")


class Library:
    """Crystals by reduced formula, to be searched for one that is the same by ``StructureMatcher``.

    The matcher's defaults hold: sites within 0.3 of the free length per atom, cell lengths within 20 %,
    angles within 5°, after scaling to equal volume.
    """

    def __init__(self) -> None:
        self._matcher = StructureMatcher()
        self._members: dict[str, list[tuple[str, Structure]]] = defaultdict(list)

    def add(self, name: str, structure: Structure) -> None:
        """Add a crystal under its name."""
        self._members[structure.composition.reduced_formula].append((name, structure))

    def find(self, structure: Structure) -> str | None:
        """Name of the first crystal added that is the same, or ``None``."""
        for name, member in self._members[structure.composition.reduced_formula]:
            if self._matcher.fit(structure, member):
                return name
        return None


def structure_of(atoms: Atoms) -> Structure:
    """The same crystal for pymatgen."""
    return Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.get_scaled_positions())


def row_structure(row: Mapping[str, Any]) -> Structure:
    """The crystal of a row with ``lattice``, ``numbers`` and ``frac_coords``."""
    return Structure(
        np.array(row["lattice"]).reshape(3, 3), row["numbers"], np.array(row["frac_coords"]).reshape(-1, 3)
    )


def known_library(structures: Iterable[pa.Table], known_phases: pa.Table, elements: Sequence[str]) -> Library:
    """All database structures that hold exactly these elements, as they are and as the potential relaxed them.

    :param structures: batches of ``tables.STRUCTURES``.
    :param known_phases: a table of ``tables.KNOWN_PHASES``.
    """
    library = Library()
    wanted = {atomic_numbers[element] for element in elements}
    for batch in structures:
        same = [set(numbers) == wanted for numbers in batch["numbers"].to_pylist()]
        for row in batch.filter(pa.array(same, pa.bool_())).to_pylist():
            library.add(row["material_id"], row_structure(row))
    for row in known_phases.to_pylist():
        if row["lattice"] and row["numbers"]:
            library.add(row["material_id"], row_structure(row))
    return library


def rank(
    screened: pa.Table, candidates: pa.Table, templates: pa.Table, known: Library, options: ScreenOptions
) -> tuple[pa.Table, list[dict[str, Any]], dict[str, Any]]:
    """Walk down the candidates by energy until ``options.top`` distinct ones that are no known phase are found.

    Structures are built and compared only for the candidates walked past, so the cost does not depend on
    how many were screened.

    :param screened: a table of ``tables.SCREENED``.
    :param candidates: a table of ``tables.CANDIDATES`` with the same rows.
    :param templates: a table of ``tables.TEMPLATES``.
    :returns: a table of ``tables.RANKED``, in which the best candidate of every known phase met on the way keeps
        its rank and names the phase; rows of ``tables.RANK_REFUSED`` for those that repeat a better one; and
        the counts: screened, kept (for relaxation, not known), refused by reason.
    """
    column = "formation_energy_per_atom" if options.rank_by == "formation_energy" else "energy_above_hull"
    usable = np.flatnonzero(pc.equal(screened["status"], "ok").to_numpy(zero_copy_only=False))
    energies = screened[column].to_numpy()[usable]
    # equal energies in the order of the table, so that the ranking is the same everywhere
    order = usable[np.argsort(energies, kind="stable")]
    geometry = Templates.from_table(templates)
    places = {name: i for i, name in enumerate(templates["template_id"].to_pylist())}
    distinct = Library()
    rediscovered: set[str] = set()
    ranked: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    walked = novel = 0
    for place in order.tolist():
        if novel == options.top:
            break
        walked += 1
        row = {**candidates.slice(place, 1).to_pylist()[0], **screened.slice(place, 1).to_pylist()[0]}
        atoms = to_atoms(geometry, places[row["template_id"]], row["elements"], row["volume_scale"])
        structure = structure_of(atoms)
        phase = known.find(structure)
        twin = distinct.find(structure) if phase is None else phase if phase in rediscovered else None
        if twin is not None:
            refused.append({"candidate_id": row["candidate_id"], "reason": "duplicate", "match": twin})
            continue
        ranked.append({**row, "rank": len(ranked) + 1, "known_match": phase})
        if phase is None:
            distinct.add(row["candidate_id"], structure)
            novel += 1
        else:
            rediscovered.add(phase)
    counts = Counter(r["reason"] for r in refused)
    counts["known phase"] = len(rediscovered)
    counts["no energy"] = screened.num_rows - len(usable)
    counts["below the shortlist"] = len(order) - walked
    result = {"screened": screened.num_rows, "kept": novel, "refused": dict(sorted((+counts).items()))}
    return tables.to_table(ranked, tables.RANKED), refused, result


def unique(relaxed: pa.Table, known: Library, phonons: int) -> Iterator[dict[str, Any]]:
    """Relaxed crystals, lowest energy above hull first, each compared with the known and with the better ones.

    :param relaxed: a table of ``tables.RELAXED``.
    :param phonons: how many of the novel, distinct crystals get phonons.
    :yields: rows of ``tables.UNIQUE``; refused ones come last, in the order of their rank.
    """
    rows = relaxed.to_pylist()
    good = sorted((r for r in rows if r["status"] == "ok"), key=lambda r: (r["energy_above_hull"], r["rank"]))
    distinct = Library()
    chosen = 0
    for row in good:
        structure = row_structure(row)
        match, twin = known.find(structure), distinct.find(structure)
        if twin is None:
            distinct.add(row["candidate_id"], structure)
        selected = match is None and twin is None and chosen < phonons
        chosen += selected
        yield {**row, "known_match": match, "duplicate_of": twin, "phonon_rank": chosen if selected else None}
    for row in sorted((r for r in rows if r["status"] != "ok"), key=lambda r: r["rank"]):
        yield {**row, "known_match": None, "duplicate_of": None, "phonon_rank": None}
