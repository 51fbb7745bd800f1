"""Structure types: which structure of the database is a crystal but for its elements.

A new crystal is either a new composition of a structure type that is known, such as one more perovskite, or of a type
of its own. Two crystals are of one type if pymatgen's ``StructureMatcher`` maps the one onto the other once the
elements of both are renamed (``fit_anonymous``, with its default tolerances). Only structures of one isopointal type
(space group and Wyckoff letters, up to the normaliser), with the same numbers of atoms per element, are compared: a
type with other symmetry is another type.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import reduce
from math import gcd
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from cgwgan_core.crystallography.asymmetric_unit import asymmetric_unit
from cgwgan_core.crystallography.fingerprint import fingerprints, isopointal_types
from cgwgan_core.crystallography.structures import row_to_structure
from cgwgan_core.crystallography.symmetry import SymmetryError
from cgwgan_core.crystallography.templates import Templates
from cgwgan_core.screening.comparison import reduced
from cgwgan_core.workflow.logs import progress

Kind = tuple[str, tuple[int, ...]]
"""Isopointal type, and the numbers of atoms of each element, reduced and sorted."""


def structure_types(
    crystals: Mapping[str, Structure], asu: Iterable[pa.Table], structures: Iterable[pa.Table], symprec: float
) -> dict[str, tuple[str, float]]:
    """For every crystal a database structure of the same type, where there is one.

    Of several the one with the same fingerprint is taken, else the first in the order of the database.

    :param crystals: name -> crystal.
    :param asu: batches of ``tables.ASU``, of the whole database.
    :param structures: batches of ``tables.STRUCTURES``, of the whole database.
    :param symprec: tolerance of the crystals' symmetry, Å; that of the database's.
    :returns: name -> identifier of the structure, and the root mean square distance of corresponding atoms over the
        free length per atom; crystals of no known type are missing.
    """
    kinds: dict[str, tuple[Kind, Templates]] = {}
    for name, crystal in crystals.items():
        try:
            unit = asymmetric_unit(crystal.lattice.matrix, crystal.frac_coords, crystal.atomic_numbers, symprec)
        except SymmetryError:
            continue
        counts = _counts(unit.numbers, unit.template.multiplicities[0].tolist())
        kinds[name] = (isopointal_types(unit.template)[0], counts), unit.template
    wanted = {kind for kind, _ in kinds.values()}
    members = _members(asu, wanted)
    rows = _rows(structures, {name for group in members.values() for name, _ in group})
    built: dict[str, Structure] = {}
    matcher = StructureMatcher()
    out: dict[str, tuple[str, float]] = {}
    for name, (kind, template) in progress(kinds.items(), len(kinds), "crystals compared with structure types"):
        if kind not in members:
            continue
        crystal, group = reduced(crystals[name]), members[kind]
        if len(group) > 1:
            # those with the same fingerprint first: they match, and the search ends
            (fingerprint,) = fingerprints(template)
            group = sorted(group, key=lambda member: member[1] != fingerprint)
        for other, _ in group:
            if other not in built and other in rows:
                built[other] = reduced(rows[other])
            if other not in built or len(built[other]) != len(crystal):
                continue
            if matcher.fit_anonymous(crystal, built[other], skip_structure_reduction=True):
                rms, _ = matcher.get_rms_anonymous(crystal, built[other])
                out[name] = other, float(rms)
                break
    return out


def _counts(elements: Iterable[Any], multiplicities: Iterable[int]) -> tuple[int, ...]:
    total: Counter[Any] = Counter()
    for element, n in zip(elements, multiplicities, strict=True):
        total[element] += n
    common = reduce(gcd, total.values())
    return tuple(sorted(n // common for n in total.values()))


def _members(asu: Iterable[pa.Table], wanted: set[Kind]) -> dict[Kind, list[tuple[str, str]]]:
    """Identifier and fingerprint of the database's structures of each kind that is wanted."""
    members: dict[Kind, list[tuple[str, str]]] = defaultdict(list)
    # most of a database has other groups or other numbers of sites: those need no key
    groups = {(int(key.split(":")[0]), len(key.split(":")[1])) for key, _ in wanted}
    for batch in asu:
        pairs = zip(batch["spacegroup"].to_pylist(), batch["n_sites"].to_pylist(), strict=True)
        part = batch.filter(pa.array([pair in groups for pair in pairs], pa.bool_()))
        if not part.num_rows:
            continue
        templates = Templates.from_table(part)
        counts = map(_counts, part["elements"].to_pylist(), part["multiplicities"].to_pylist())
        kinds = list(zip(isopointal_types(templates), counts, strict=True))
        chosen = [i for i, kind in enumerate(kinds) if kind in wanted]
        names = part["material_id"].take(pa.array(chosen, pa.int64())).to_pylist()
        for i, name, mark in zip(chosen, names, fingerprints(templates[np.array(chosen, dtype=int)]), strict=True):
            members[kinds[i]].append((name, mark))
    return members


def _rows(structures: Iterable[pa.Table], names: set[str]) -> dict[str, Structure]:
    out: dict[str, Structure] = {}
    listed = pa.array(sorted(names), pa.string())
    for batch in structures:
        for row in batch.filter(pc.is_in(batch["material_id"], listed)).to_pylist():
            out[row["material_id"]] = row_to_structure(row)
    return out
