"""Best first, each crystal once, the known ones named: before relaxation and again after it.

The shortlist is drawn from shards of millions of candidates. Of all of them only energies are in memory; whole rows
are read for those that are walked past, some thousands at a time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from . import tables
from .crystal import Templates, to_atoms
from .energetics import Hull
from .errors import InputError

Floats = NDArray[np.float64]
RANK_BY = ("energy_above_hull", "formation_energy")


BLOCK = 1024, 32768
"""Rows that are read at once: for the first of the walk, and at most."""


@dataclass(frozen=True)
class RankOptions:
    """How candidates are ranked; keys of the config block ``screen``."""

    rank_by: str = "energy_above_hull"
    """``energy_above_hull`` or ``formation_energy`` (the paper's)."""
    top: int = 40
    """Candidates on the shortlist."""
    per_formula: int | None = None
    """Most of them with one reduced formula; ``None``: no limit."""
    per_template: int | None = None
    """Most of them on templates of one coarse key (a prototype without its free parameters); ``None``: no limit."""

    def __post_init__(self) -> None:
        if self.rank_by not in RANK_BY:
            raise ValueError(f"rank_by must be one of {', '.join(RANK_BY)}, not {self.rank_by!r}")
        for name in ("top", "per_formula", "per_template"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")


class Library:
    """Crystals by reduced formula, to be searched for one that is the same by ``StructureMatcher``.

    The matcher's defaults hold: sites within 0.3 of the free length per atom, cell lengths within 20 %,
    angles within 5°, after scaling to equal volume.
    """

    def __init__(self) -> None:
        self._matcher = StructureMatcher()
        self._members: dict[str, list[tuple[str, Structure]]] = defaultdict(list)

    def __contains__(self, formula: str) -> bool:
        """Whether there are crystals of this reduced formula."""
        return formula in self._members

    def add(self, name: str, structure: Structure) -> None:
        """Add a crystal under its name."""
        self._members[structure.composition.reduced_formula].append((name, reduced(structure)))

    def find(self, structure: Structure) -> str | None:
        """Name of the first crystal added that is the same, or ``None``."""
        if structure.composition.reduced_formula not in self._members:
            return None
        return self.find_reduced(reduced(structure))

    def find_reduced(self, small: Structure) -> str | None:
        """As :meth:`find`, of what :func:`reduced` gives."""
        return next((name for name, _ in self._same(small)), None)

    def nearest(self, structure: Structure) -> tuple[str, float] | None:
        """Name of the crystal added that is the same and nearest, and how near: the root mean square distance of
        corresponding atoms over the free length per atom. ``None`` if none is the same.
        """
        found = []
        small = reduced(structure)
        for name, member in self._same(small):
            if (rms := self._matcher.get_rms_dist(small, member)) is not None:
                found.append((float(rms[0]), name))
        return (min(found)[1], min(found)[0]) if found else None

    def _same(self, small: Structure) -> Iterator[tuple[str, Structure]]:
        for name, member in self._members.get(small.composition.reduced_formula, []):
            # the matcher compares primitive cells, of which equal ones hold as many atoms; all are reduced once
            if len(member) == len(small) and self._matcher.fit(small, member, skip_structure_reduction=True):
                yield name, member


def reduced(structure: Structure) -> Structure:
    """The primitive cell that ``StructureMatcher`` compares."""
    return structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()


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
    screened: Sequence[str | Path],
    candidates: Sequence[str | Path],
    templates: pa.Table,
    known: Library,
    options: RankOptions,
) -> tuple[pa.Table, list[dict[str, Any]], dict[str, Any]]:
    """Walk down the candidates by energy until ``options.top`` distinct ones that are no known phase are found.

    Structures are built and compared only for the candidates walked past, so the cost hardly depends on how many
    were screened. A candidate whose formula or template has its share already is passed over; it is still compared
    with the known phases, so that limits hide no rediscovery.

    :param screened: shards of ``tables.SCREENED``.
    :param candidates: shards of ``tables.CANDIDATES`` with the same rows.
    :param templates: a table of ``tables.TEMPLATES``.
    :returns: a table of ``tables.RANKED``, in which the best candidate of every known phase met on the way keeps
        its rank and names the phase; rows of ``tables.RANK_REFUSED`` for those that repeat a better one; and
        the counts: screened, kept (for relaxation, not known), refused by reason.
    :raises InputError: if the shards do not hold the same candidates.
    """
    column = "formation_energy_per_atom" if options.rank_by == "formation_energy" else "energy_above_hull"
    geometry = Templates.from_table(templates)
    places = {name: i for i, name in enumerate(templates["template_id"].to_pylist())}
    coarse = templates["coarse_key"]
    energies = _energies(screened, column)
    distinct = Library()
    rediscovered: set[str] = set()
    ranked: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    of_formula: Counter[str] = Counter()
    of_template: Counter[str | None] = Counter()
    walked = novel = 0
    for row in _best_first(energies, screened, candidates):
        if novel == options.top:
            break
        walked += 1
        place, formula = places[row["template_id"]], row["formula"]
        key = coarse[place].as_py()
        full = None
        if options.per_formula is not None and of_formula[formula] >= options.per_formula:
            full = "formula has its share"
        elif options.per_template is not None and of_template[key] >= options.per_template:
            full = "template has its share"
        if full and formula not in known:
            counts[full] += 1
            continue
        structure = reduced(structure_of(to_atoms(geometry, place, row["elements"], row["volume_scale"])))
        phase = known.find_reduced(structure)
        if phase is None and full:
            counts[full] += 1
            continue
        twin = distinct.find_reduced(structure) if phase is None else phase if phase in rediscovered else None
        if twin is not None:
            refused.append({"candidate_id": row["candidate_id"], "reason": "duplicate", "match": twin})
            continue
        ranked.append({**row, "rank": len(ranked) + 1, "known_match": phase})
        if phase is None:
            distinct.add(row["candidate_id"], structure)
            of_formula[formula] += 1
            of_template[key] += 1
            novel += 1
        else:
            rediscovered.add(phase)
    usable = int(np.isfinite(energies).sum())
    counts.update(r["reason"] for r in refused)
    counts["known phase"] = len(rediscovered)
    counts["no energy"] = len(energies) - usable
    counts["below the shortlist"] = usable - walked
    result = {"screened": len(energies), "kept": novel, "refused": dict(sorted((+counts).items()))}
    return tables.to_table(ranked, tables.RANKED), refused, result


def _energies(screened: Sequence[str | Path], column: str) -> Floats:
    """What the candidates of all shards are ranked by, NaN where there is no energy."""
    parts = [np.zeros(0)]
    for path in screened:
        table = tables.read(path, tables.SCREENED, [column, "status"])
        usable = pc.equal(table["status"], "ok").to_numpy(zero_copy_only=False)
        parts.append(np.where(usable, table[column].to_numpy(), np.nan))
    return np.concatenate(parts)


def _best_first(
    energies: Floats, screened: Sequence[str | Path], candidates: Sequence[str | Path]
) -> Iterator[dict[str, Any]]:
    """Rows of candidates with what was screened of them, lowest first; read block by block."""
    sizes = [tables.count(path) for path in screened]
    if sizes != [tables.count(path) for path in candidates]:
        raise InputError("screened and candidates: shards of different length; delete screened/ and rerun")
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    # equal energies in the order of the table, so that the ranking is the same everywhere; NaN is sorted last
    order = np.argsort(energies, kind="stable")[: int(np.isfinite(energies).sum())]
    size, largest = BLOCK
    bounds = [0]
    while bounds[-1] < len(order):
        bounds.append(min(bounds[-1] + size, len(order)))
        size = min(2 * size, largest)
    for first, last in pairwise(bounds):
        block = order[first:last]
        shard = np.searchsorted(starts, block, side="right") - 1
        rows: list[dict[str, Any]] = [{}] * len(block)
        for k in np.unique(shard).tolist():
            mine = np.flatnonzero(shard == k)
            index = pa.array(block[mine] - starts[k])
            filled = tables.read(candidates[k], tables.CANDIDATES).take(index).to_pylist()
            found = tables.read(screened[k], tables.SCREENED).take(index).to_pylist()
            for i, candidate, energy in zip(mine.tolist(), filled, found, strict=True):
                if candidate["candidate_id"] != energy["candidate_id"]:
                    raise InputError(
                        f"{screened[k]}: {energy['candidate_id']}: not the candidate of the same row of"
                        f" {candidates[k]}; delete the former and rerun"
                    )
                # the volume at which the energy is, not that of the infill
                rows[i] = {**candidate, **energy}
        yield from rows


KNOWN, KNOWN_TYPE, NEW_TYPE = "known", "new composition of a known structure type", "new structure type"
"""What a relaxed crystal is, compared with the database."""


def unique(
    relaxed: pa.Table,
    known: Library,
    phonons: int,
    types: Mapping[str, tuple[str, float]] | None = None,
    known_phases: pa.Table | None = None,
    opinions: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[dict[str, Any]]:
    """Relaxed crystals, lowest energy above hull first, each compared with the known and with the better ones.

    :param relaxed: a table of ``tables.RELAXED``.
    :param phonons: how many of the novel, distinct crystals get phonons.
    :param types: candidate_id -> a database structure of the same structure type and how near it is, as
        :func:`cgwgan_core.prototypes.structure_types` finds them; ``None``: novelty has no label.
    :param known_phases: a table of ``tables.KNOWN_PHASES``, to compare energies with and to fall apart into.
    :param opinions: candidate_id -> columns, as :func:`cgwgan_core.second_opinion.second_opinions` finds them.
    :yields: rows of ``tables.UNIQUE``; refused ones come last, in the order of their rank.
    """
    rows = relaxed.to_pylist()
    good = sorted((r for r in rows if r["status"] == "ok"), key=lambda r: (r["energy_above_hull"], r["rank"]))
    phases = known_phases.to_pylist() if known_phases is not None else []
    energies = {r["material_id"]: r["formation_energy_per_atom"] for r in phases if r["status"] == "ok"}
    hull = Hull.from_known_phases(known_phases) if known_phases is not None else None
    distinct = Library()
    chosen = 0
    for row in good:
        structure = row_structure(row)
        match, rms = known.nearest(structure) or (None, None)
        twin = distinct.find(structure)
        if twin is None:
            distinct.add(row["candidate_id"], structure)
        selected = match is None and twin is None and chosen < phonons
        chosen += selected
        known_energy = energies.get(match) if match else None
        prototype, prototype_rms = (types or {}).get(row["candidate_id"], (None, None))
        label = None if types is None else KNOWN_TYPE if prototype else NEW_TYPE
        yield {
            **row,
            "known_match": match,
            "known_rms": rms,
            "energy_above_known": None if known_energy is None else row["formation_energy_per_atom"] - known_energy,
            "novelty": KNOWN if match else label,
            "prototype": prototype,
            "prototype_rms": prototype_rms,
            "duplicate_of": twin,
            "decomposition": None if hull is None else hull.decomposition(row["formula"]),
            **(opinions or {}).get(row["candidate_id"], {}),
            "phonon_rank": chosen if selected else None,
        }
    for row in sorted((r for r in rows if r["status"] != "ok"), key=lambda r: r["rank"]):
        yield {**row, "known_match": None, "novelty": None, "duplicate_of": None, "phonon_rank": None}
