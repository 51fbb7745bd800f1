"""The phonon-stable crystals in the forms people use: a table, an ASE database, CIF files.

Energies and structures are those of the tight relaxation that precedes the phonons.
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
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from .phonons import SYMPREC
from .resume import replacing_folder
from .spacegroups import symbol
from .tables import STABLE, replacing

KEYS = (
    "candidate_id", "spacegroup", "spacegroup_symbol", "energy_per_atom", "formation_energy_per_atom",
    "energy_above_hull", "min_frequency", "verdict", "potential", "template_id", "rank",
)  # fmt: skip
"""Columns of ``tables.STABLE`` that are keys of the ASE database, under the same names."""


def survivors(unique: pa.Table, phonons: pa.Table) -> list[dict[str, Any]]:
    """Rows of ``tables.STABLE``: the crystals judged stable, by energy above hull, then by identifier.

    The tight relaxation lowers the energy by some meV/atom after the hull was drawn. Formation energy and
    energy above hull are linear in it at fixed composition, so both move by the same amount.

    :param unique: the schema ``tables.UNIQUE``.
    :param phonons: the schema ``tables.PHONONS``, all shards together.
    """
    relaxed = {row["candidate_id"]: row for row in unique.to_pylist()}
    rows = []
    for found in phonons.to_pylist():
        if found["verdict"] != "stable":
            continue
        before = relaxed[found["candidate_id"]]
        lowered = found["energy_per_atom"] - before["energy_per_atom"]
        volume = abs(np.linalg.det(np.reshape(found["lattice"], (3, 3))))
        rows.append(
            {
                **{name: before[name] for name in ("candidate_id", "formula", "template_id", "rank")},
                **{
                    name: found[name]
                    for name in (
                        "spacegroup", "lattice", "numbers", "frac_coords", "energy_per_atom",
                        "min_frequency", "verdict", "potential",
                    )
                },
                "spacegroup_symbol": symbol(found["spacegroup"]),
                "n_atoms": len(found["numbers"]),
                "volume_per_atom": float(volume) / len(found["numbers"]),
                "formation_energy_per_atom": _plus(before["formation_energy_per_atom"], lowered),
                "energy_above_hull": _plus(before["energy_above_hull"], lowered),
            }
        )  # fmt: skip
    return sorted(rows, key=_order)


def summary(phonons: pa.Table) -> str:
    """How many crystals were judged how, and what to do if none is stable, in one line."""
    rows = phonons.select(["verdict", "status"]).to_pylist()
    verdicts = Counter(row["verdict"] for row in rows)
    reasons = Counter(row["status"].split(":")[0] for row in rows if row["verdict"] is None)
    without = "".join(f", {n:,} {reason}" for reason, n in sorted(reasons.items()))
    line = f"{len(rows):,} crystals: {verdicts['stable']:,} stable, {verdicts['unstable']:,} unstable{without}"
    if verdicts["stable"] == 0:
        line += "; no crystal is phonon-stable, so the stores are empty (phonons.top computes more of them)"
    return line


def to_ase(row: dict[str, Any]) -> Atoms:
    """The structure of a row with the columns lattice, numbers and frac_coords."""
    return Atoms(
        numbers=row["numbers"],
        cell=np.reshape(row["lattice"], (3, 3)),
        scaled_positions=np.reshape(row["frac_coords"], (-1, 3)),
        pbc=True,
    )


def write_database(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of ``tables.STABLE`` as an ASE database (SQLite), in their order.

    Equal rows give equal bytes: what ASE fills in from clock, user and chance is overwritten, the times with
    zero and the identifier with a digest of candidate_id.
    """
    with replacing(path) as temporary:
        database = ase.db.connect(temporary, type="db", append=False)
        with database:
            for row in rows:
                atoms = to_ase(row)
                atoms.calc = SinglePointCalculator(atoms, energy=row["energy_per_atom"] * len(atoms))
                atoms.calc.name = row["potential"]
                database.write(atoms, {key: row[key] for key in KEYS if row[key] is not None})
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
            structure = AseAtomsAdaptor.get_structure(to_ase(row))
            name = f"{row['formula']}_{row['spacegroup']}_{row['candidate_id']}.cif"
            CifWriter(structure, symprec=SYMPREC).write_file(temporary / name)


def _plus(energy: float | None, change: float) -> float | None:
    return None if energy is None else energy + change


def _order(row: dict[str, Any]) -> tuple[float, str]:
    energy = row["energy_above_hull"]
    return (np.inf if energy is None else energy, row["candidate_id"])


def _descriptions() -> dict[str, tuple[str, str, str]]:
    """ASE's key descriptions (short, long, unit), from the schema."""
    return {
        name: (
            name.replace("_", " "),
            STABLE.field(name).metadata[b"description"].decode(),
            STABLE.field(name).metadata.get(b"unit", b"").decode(),
        )
        for name in KEYS
    }
