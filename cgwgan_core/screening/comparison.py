"""Which crystals are the same, by pymatgen's ``StructureMatcher``."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from ase.data import atomic_numbers
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from cgwgan_core.crystallography.structures import row_to_structure


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
            library.add(row["material_id"], row_to_structure(row))
    for row in known_phases.to_pylist():
        if row["lattice"] and row["numbers"]:
            library.add(row["material_id"], row_to_structure(row))
    return library
