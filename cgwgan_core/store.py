"""The crystals that pass (stable or borderline), in the forms people use: table, ASE database, CIF, phonopy.

Energies and structures are those of the tight relaxation that precedes the phonons. What passes is compared once
more, as it is then, with the database and with what passes at lower energy: of what is stored, all is novel and
distinct.
"""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from .crystal import atoms_of
from .finalists import patterns, similarity
from .funnel import category
from .phonons import SYMPREC, VERDICTS, displaced
from .ranking import Library, row_structure
from .resume import replacing_folder
from .spacegroups import symbol
from .tables import PHONONS, STABLE, read, replacing

KEYS = (
    "candidate_id", "spacegroup", "spacegroup_symbol", "energy_per_atom", "formation_energy_per_atom",
    "energy_above_hull", "decomposition", "second_potential", "second_energy_above_hull", "disagreement",
    "min_frequency", "verdict", "paper_stable", "across_cutoff", "parent_id", "energy_gain",
    "vibrational_free_energy_per_atom", "heat_capacity_per_atom", "mechanically_stable", "elastic_min_eigenvalue",
    "bulk_modulus", "shear_modulus", "nearest_known", "nearest_known_similarity", "nearest_survivor",
    "nearest_survivor_similarity", "potential", "template_id", "rank",
)  # fmt: skip
"""Columns of ``tables.STABLE`` that are keys of the ASE database, under the same names."""
SECOND = ("second_potential", "second_energy_above_hull", "disagreement")
"""Columns of ``tables.UNIQUE`` that go on to ``tables.STABLE``."""
HULL = "hull"
"""A shorter key for energy_above_hull, to be typed in a shell."""
JUDGED = [name for name in PHONONS.names if name != "force_constants" and not name.startswith("band_")]
"""Columns of ``tables.PHONONS`` that :func:`survivors` needs."""
PASSES = ("stable", "borderline")
"""Verdicts with which a crystal passes."""


def survivors(unique: pa.Table, phonons: pa.Table, known: Library) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The crystals that pass and are novel and distinct, by energy above hull, then by identifier; and the others.

    The tight relaxation lowers the energy by some meV/atom after the hull was drawn. Formation energy and
    energy above hull are linear in it at fixed composition, so both move by the same amount; so they do from an
    unstable crystal to its child.

    :param unique: the schema ``tables.UNIQUE``.
    :param phonons: the columns :data:`JUDGED` of ``tables.PHONONS``, all shards together.
    :param known: the database's structures of this chemistry.
    :returns: rows of ``tables.STABLE``, their columns nearest_* still to be filled (:func:`add_nearest`), and rows
        of ``tables.STABLE_REFUSED``.
    """
    relaxed = {row["candidate_id"]: row for row in unique.to_pylist()}
    passing = []
    for found in phonons.to_pylist():
        if found["verdict"] not in PASSES:
            continue
        before = relaxed[found["parent_id"] or found["candidate_id"]]
        lowered = found["energy_per_atom"] - before["energy_per_atom"]
        volume = abs(np.linalg.det(np.reshape(found["lattice"], (3, 3))))
        passing.append(
            {
                **dict.fromkeys(STABLE.names),
                **{name: before[name] for name in ("formula", "template_id", "rank", "decomposition")},
                **{name: found[name] for name in JUDGED if name in STABLE.names},
                "spacegroup_symbol": symbol(found["spacegroup"]),
                "n_atoms": len(found["numbers"]),
                "volume_per_atom": float(volume) / len(found["numbers"]),
                "formation_energy_per_atom": _plus(before["formation_energy_per_atom"], lowered),
                "energy_above_hull": _plus(before["energy_above_hull"], lowered),
                # asked about the relaxed crystal, hence not about a child
                **{name: before[name] for name in SECOND if found["parent_id"] is None},
            }
        )
    kept, refused, distinct = [], [], Library()
    for row in sorted(passing, key=_order):
        structure = row_structure(row)
        if match := known.find(structure):
            refused.append({"candidate_id": row["candidate_id"], "reason": KNOWN, "match": match})
        elif match := distinct.find(structure):
            refused.append({"candidate_id": row["candidate_id"], "reason": REPEATS, "match": match})
        else:
            distinct.add(row["candidate_id"], structure)
            kept.append(row)
    return kept, refused


KNOWN, REPEATS = "known already", "repeats a better candidate"


def add_nearest(rows: Sequence[dict[str, Any]], known_phases: pa.Table) -> np.ndarray:
    """Fill the columns nearest_* : what looks most alike in powder diffraction, so that two names of one crystal show.

    :param rows: rows of ``tables.STABLE``; changed in place.
    :param known_phases: the schema ``tables.KNOWN_PHASES``; structures as the potential relaxed them.
    :returns: similarity of each row's pattern with each other's, (N, N).
    """
    own = patterns([row_structure(row) for row in rows])
    each = similarity(own, own)
    formulas = {row["formula"] for row in rows}
    phases = [row for row in known_phases.to_pylist() if row["lattice"] and row["formula"] in formulas]
    theirs = patterns([row_structure(row) for row in phases])
    for i, row in enumerate(rows):
        same = [j for j, phase in enumerate(phases) if phase["formula"] == row["formula"]]
        alike = similarity(own[i : i + 1], theirs[same])[0]
        _nearest(row, "nearest_known", alike, [phases[j]["material_id"] for j in same])
        others = [j for j in range(len(rows)) if j != i]
        _nearest(row, "nearest_survivor", each[i, others], [rows[j]["candidate_id"] for j in others])
    return each


def _nearest(row: dict[str, Any], column: str, alike: np.ndarray, names: Sequence[str]) -> None:
    if names:
        first = int(np.argmax(alike))
        row[column], row[f"{column}_similarity"] = names[first], float(alike[first])


def write_similarity(path: str | Path, rows: Sequence[dict[str, Any]], each: np.ndarray) -> None:
    """Write the similarities of all rows with each other as CSV, with their identifiers as heads.

    :param each: as :func:`add_nearest` returns it.
    """
    names = [row["candidate_id"] for row in rows]
    lines = [",".join(["candidate_id", *names])]
    lines += [",".join([name, *(f"{x:.4f}" for x in line)]) for name, line in zip(names, each, strict=True)]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def write_phonopy(folder: str | Path, rows: Sequence[dict[str, Any]], shards: Sequence[str | Path]) -> None:
    """Write ``<folder>/<candidate_id>/phonopy.yaml`` with force constants; ``phonopy-load`` reads and plots it.

    :param rows: rows of ``tables.STABLE``.
    :param shards: files of ``tables.PHONONS``.
    """
    with replacing_folder(folder) as temporary:
        names = pa.array([row["candidate_id"] for row in rows], pa.string())
        for path in shards:
            columns = ["candidate_id", "lattice", "numbers", "frac_coords", "supercell", "force_constants"]
            table = read(path, PHONONS, columns)
            table = table.filter(pc.is_in(table["candidate_id"], value_set=names))
            # not by way of lists: numbers by the hundred thousand
            for row, constants in zip(
                table.drop_columns("force_constants").to_pylist(), table["force_constants"], strict=True
            ):
                phonon = displaced(atoms_of(row), row["supercell"], DISPLACEMENT)
                shape = (len(phonon.primitive), len(phonon.supercell), 3, 3)
                phonon.force_constants = np.array(constants.values).reshape(shape)
                (temporary / row["candidate_id"]).mkdir()
                settings = {"force_constants": True, "force_sets": False, "displacements": False}
                phonon.save(temporary / row["candidate_id"] / "phonopy.yaml", settings=settings)


DISPLACEMENT = 0.01
"""Å; phonopy makes displacements to complete its object, and none of them is written."""


def summary(phonons: pa.Table, stored: int) -> str:
    """How many crystals were judged how, and what to do if none passes, in one line.

    :param stored: those that pass and are novel and distinct.
    """
    rows = phonons.select(["verdict", "status"]).to_pylist()
    verdicts = Counter(row["verdict"] for row in rows)
    reasons = Counter(category(row["status"]) for row in rows if row["verdict"] is None)
    without = "".join(f", {n:,} {reason}" for reason, n in sorted(reasons.items()))
    judged = ", ".join(f"{verdicts[name]:,} {name}" for name in VERDICTS)
    line = f"{len(rows):,} crystals: {judged}{without}; {stored:,} stored, novel and distinct"
    if not any(verdicts[name] for name in PASSES):
        line += "; no crystal is phonon-stable, so the stores are empty (phonons.top computes more of them)"
    return line


def write_database(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of ``tables.STABLE`` as an ASE database (SQLite), in their order.

    Equal rows give equal bytes: what ASE fills in from clock, user and chance is overwritten, the times with
    zero and the identifier with a digest of candidate_id.
    """
    with replacing(path) as temporary:
        database = ase.db.connect(temporary, type="db", append=False)
        with database:
            for row in rows:
                atoms = atoms_of(row)
                atoms.calc = SinglePointCalculator(atoms, energy=row["energy_per_atom"] * len(atoms))
                atoms.calc.name = row["potential"]
                keys = {key: row[key] for key in KEYS if row[key] is not None}
                if row["energy_above_hull"] is not None:
                    keys[HULL] = row["energy_above_hull"]
                database.write(atoms, keys)
        # This makes the tables, too, where there are no rows.
        database.metadata = {"title": "Phonon-stable candidates", "key_descriptions": _descriptions()}
        connection = sqlite3.connect(temporary)
        for number, row in enumerate(rows, start=1):
            identifier = hashlib.sha256(row["candidate_id"].encode()).hexdigest()[:32]
            connection.execute(
                "UPDATE systems SET unique_id=?, ctime=0, mtime=0, username=NULL WHERE id=?", (identifier, number)
            )
        connection.commit()
        connection.execute("VACUUM")
        connection.close()


def write_cifs(folder: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write each row of ``tables.STABLE`` as ``<formula>_<space group>_<candidate_id>.cif``, symmetrised."""
    with replacing_folder(folder) as temporary:
        for row in rows:
            structure = AseAtomsAdaptor.get_structure(atoms_of(row))
            name = f"{row['formula']}_{row['spacegroup']}_{row['candidate_id']}.cif"
            CifWriter(structure, symprec=SYMPREC).write_file(temporary / name)


def _plus(energy: float | None, change: float) -> float | None:
    return None if energy is None else energy + change


def _order(row: dict[str, Any]) -> tuple[float, str]:
    energy = row["energy_above_hull"]
    return (np.inf if energy is None else energy, row["candidate_id"])


def _descriptions() -> dict[str, tuple[str, str, str]]:
    """ASE's key descriptions (short, long, unit), from the schema."""
    found = {
        name: (
            name.replace("_", " "),
            STABLE.field(name).metadata[b"description"].decode(),
            STABLE.field(name).metadata.get(b"unit", b"").decode(),
        )
        for name in KEYS
    }
    return found | {HULL: found["energy_above_hull"]}
