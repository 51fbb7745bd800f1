"""CIF and POSCAR text to records, in several processes where asked."""

import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from typing import Any

from pymatgen.core import Composition, Structure
from pymatgen.io.cif import CifFile, CifParser
from pymatgen.io.vasp.inputs import Poscar

from cgwgan_core.database.record import UNREADABLE, Record, atomic_number, crystal
from cgwgan_core.workflow.errors import InputError

BLOCK = 2048
"""Texts handed to the processes at a time: bounds the memory, whatever the size of the source."""


@dataclass(frozen=True)
class Text:
    """One text to parse; ``reason`` is set where there is none to parse."""

    name: str
    kind: str
    """cif or poscar."""
    content: str = ""
    formation_energy_per_atom: Any = None
    energy_above_hull: Any = None
    reason: str | None = None


def parse(item: Text) -> list[Record]:
    """The records of one text: one, or several for a CIF of several crystals."""
    if item.reason is not None:
        return [Record(item.name, reason=item.reason)]
    if item.kind == "poscar":
        return [from_poscar(item.content, item.name)]
    return from_cif(item.content, item.name, item.formation_energy_per_atom, item.energy_above_hull)


def parse_all(items: Iterable[Text], threads: int) -> Iterator[Record]:
    """Parse texts in their order.

    :param threads: processes to use.
    :raises InputError: if a process dies (out of memory).
    """
    if threads <= 1:
        for item in items:
            yield from parse(item)
        return
    items = iter(items)
    # Fork: the processes need nothing but what is already imported, and start at once.
    with ProcessPoolExecutor(threads, mp_context=get_context("fork")) as pool:
        while block := list(islice(items, BLOCK)):
            try:
                for records in pool.map(parse, block, chunksize=16):
                    yield from records
            except BrokenProcessPool:
                raise InputError(
                    f"{block[0].name} to {block[-1].name}: a process that read them died, likely out of memory; "
                    "run with fewer threads"
                ) from None


def from_cif(
    content: str, name: str, formation_energy_per_atom: Any = None, energy_above_hull: Any = None
) -> list[Record]:
    """The crystals of a CIF, in the cell the CIF gives.

    A CIF whose atoms disagree with its own formula (atoms without positions, a file cut off) is refused.
    Crystals of a CIF with several of them are called ``name#1``, ``name#2``, ...
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            blocks = [content]
            if content.count("data_") > 1:
                found = CifFile.from_str(content).data.values()
                # Publication data often stand in a block of their own, without a cell.
                blocks = [str(b) for b in found if "_cell_length_a" in b.data] or blocks
            if len(blocks) == 1:
                return [_from_block(blocks[0], name, formation_energy_per_atom, energy_above_hull)]
            return [_from_block(block, f"{name}#{i}", None, None) for i, block in enumerate(blocks, start=1)]
    except Exception as error:  # noqa: BLE001 - the parser raises nearly anything on bad text
        return [Record(name, reason=_unreadable("CIF", error))]


def _from_block(block: str, name: str, *energies: Any) -> Record:
    try:
        parser = CifParser.from_str(block)
        structure = parser.parse_structures(primitive=False, on_error="raise")[0]
        data = next(iter(parser.as_dict().values()))
    except Exception as error:  # noqa: BLE001 - the parser raises nearly anything on bad text
        return Record(name, reason=_unreadable("CIF", error))
    record = _from_structure(structure, name, *energies)
    declared = str(data.get("_chemical_formula_sum", ""))
    if record.reason is None and not _agrees(declared, structure):
        found = structure.composition.formula
        return Record(name, reason=f"incomplete: the CIF's formula is {declared}, its atoms are {found}")
    return record


def from_poscar(content: str, name: str) -> Record:
    """The crystal of a POSCAR or CONTCAR; refused where it does not name its elements."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            poscar = Poscar.from_str(content, read_velocities=False)
            # Without names pymatgen calls the elements H, He, Li, ...
            if not poscar.true_names:
                return Record(name, reason="not an element: the POSCAR names no elements")
            return _from_structure(poscar.structure, name)
    except Exception as error:  # noqa: BLE001 - the parser raises nearly anything on bad text
        return Record(name, reason=_unreadable("POSCAR", error))


def _from_structure(structure: Structure, name: str, *energies: Any) -> Record:
    species = [{str(s): amount for s, amount in site.species.items()} for site in structure]
    return crystal(name, structure.lattice.matrix, species, structure.frac_coords, *energies)


def _agrees(declared: str, structure: Structure) -> bool:
    """Whether the structure's composition is the declared formula's, within 1 % of all atoms."""
    try:
        formula = Composition(declared)
    except Exception:  # noqa: BLE001 - free text stands in this field, too
        return True
    if not formula:
        return True

    def shares(composition: Composition) -> dict[int, float]:
        out: dict[int, float] = {}
        for species, amount in composition.items():
            number = atomic_number(str(species))
            out[number] = out.get(number, 0.0) + amount / composition.num_atoms
        return out

    ours, theirs = shares(structure.composition), shares(formula)
    return all(abs(ours.get(z, 0.0) - theirs.get(z, 0.0)) < 0.01 for z in ours | theirs)


def _unreadable(kind: str, error: Exception) -> str:
    words = "it ends too early" if isinstance(error, IndexError) else " ".join(str(error).split())
    return f"{UNREADABLE}: {kind} not understood ({words[:200] or type(error).__name__})"
