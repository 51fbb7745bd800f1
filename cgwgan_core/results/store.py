"""The survivors in the forms people use: ASE database, CIF, phonopy, and a table of likenesses."""

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.io.cif import CifWriter

from cgwgan_core.crystallography.structures import row_to_atoms, row_to_structure
from cgwgan_core.phonons.bands import SYMPREC
from cgwgan_core.phonons.force_constants import displaced
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.files import replacing, replacing_folder, write_text
from cgwgan_core.workflow.tables import PHONONS, STABLE, read

KEYS = (
    "candidate_id", "spacegroup", "spacegroup_symbol", "energy_per_atom", "formation_energy_per_atom",
    "energy_above_hull", "energy_above_hull_uncorrected", "energy_above_joint_hull", "decomposition", "largest_shift",
    "largest_shift_phase", "second_potential", "second_energy_above_hull", "disagreement", "second_min_frequency",
    "second_verdict", "second_mechanically_stable", "agreement", "dispute", "min_frequency", "verdict", "paper_stable",
    "across_cutoff", "parent_id", "energy_gain", "vibrational_free_energy_per_atom", "heat_capacity_per_atom",
    "mechanically_stable", "elastic_min_eigenvalue", "bulk_modulus", "shear_modulus", "nearest_known",
    "nearest_known_similarity", "nearest_survivor", "nearest_survivor_similarity", "potential", "template_id", "rank",
)  # fmt: skip
"""Columns of ``tables.STABLE`` that are keys of the ASE database, under the same names."""
HULL = "hull"
"""A shorter key for energy_above_hull, to be typed in a shell."""
DISPLACEMENT = 0.01
"""Å; phonopy makes displacements to complete its object, and none of them is written."""


def write_database(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of ``tables.STABLE`` as an ASE database (SQLite), in their order.

    Equal rows give equal bytes: what ASE fills in from clock, user and chance is overwritten, the times with
    zero and the identifier with a digest of candidate_id.
    """
    with replacing(path) as temporary:
        database = ase.db.connect(temporary, type="db", append=False)
        with database:
            for row in rows:
                atoms = row_to_atoms(row)
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


def write_cifs(folder: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write each row of ``tables.STABLE`` as ``<formula>_<space group>_<candidate_id>.cif``, symmetrised."""
    with replacing_folder(folder) as temporary:
        for row in rows:
            structure = row_to_structure(row)
            name = f"{row['formula']}_{row['spacegroup']}_{row['candidate_id']}.cif"
            CifWriter(structure, symprec=SYMPREC).write_file(temporary / name)


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
                phonon = displaced(row_to_atoms(row), row["supercell"], DISPLACEMENT)
                shape = (len(phonon.primitive), len(phonon.supercell), 3, 3)
                phonon.force_constants = np.array(constants.values).reshape(shape)
                (temporary / row["candidate_id"]).mkdir()
                settings = {"force_constants": True, "force_sets": False, "displacements": False}
                phonon.save(temporary / row["candidate_id"] / "phonopy.yaml", settings=settings)


def write_similarity(path: str | Path, rows: Sequence[dict[str, Any]], each: Floats) -> None:
    """Write the similarities of all rows with each other as CSV, with their identifiers as heads.

    :param each: as :func:`cgwgan_core.results.survivors.add_nearest` returns it.
    """
    names = [row["candidate_id"] for row in rows]
    lines = [",".join(["candidate_id", *names])]
    lines += [",".join([name, *(f"{x:.4f}" for x in line)]) for name, line in zip(names, each, strict=True)]
    write_text(path, "\n".join(lines) + "\n")
