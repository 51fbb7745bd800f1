"""Elements on the sites of templates: every distinct assignment, its composition and its volume."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element

from .crystal import Templates
from .errors import InputError

VOLUMES = ("elements", "template")


@dataclass(frozen=True)
class InfillOptions:
    """How templates are filled; the keys of the config block ``infill``."""

    volume: str = "elements"
    """``elements``: scale the cell to the volume that the elements take in known compounds; ``template``: as
    generated (the paper's way)."""

    def __post_init__(self) -> None:
        if self.volume not in VOLUMES:
            raise ValueError(f"volume must be one of {', '.join(VOLUMES)}, not {self.volume!r}")


@cache
def assignments(n_sites: int, elements: tuple[str, ...]) -> list[tuple[str, ...]]:
    """All ways to put elements on sites that use every element: 6 for 3 on 3 sites, 36 for 3 on 4.

    >>> len(assignments(3, ("Ba", "Ru", "O"))), len(assignments(4, ("Ba", "Ru", "O")))
    (6, 36)
    """
    return [choice for choice in product(elements, repeat=n_sites) if set(choice) == set(elements)]


@cache
def element_volumes(oxide: bool) -> dict[str, float]:
    """Volume of each element in compounds with O or F, or in all others, Å³ per atom; see ``data/make_tables.py``."""
    column = "oxide" if oxide else "other"
    with (files("cgwgan_core.data") / "element_volumes.csv").open() as stream:
        return {row["element"]: float(row[column]) for row in csv.DictReader(stream) if row[column]}


def typical_volumes(elements: Sequence[str]) -> dict[str, float]:
    """Volume that each element takes in compounds of these elements, Å³ per atom.

    :raises InputError: if too few compounds hold an element for its volume to be known.
    """
    known = element_volumes(not {"O", "F"}.isdisjoint(elements))
    if missing := [e for e in elements if e not in known]:
        raise InputError(
            f"chemistry: no volume is known for {', '.join(missing)}; set infill.volume to template to keep the"
            " templates' own"
        )
    return {e: known[e] for e in elements}


@dataclass(frozen=True)
class Candidates:
    """Filled templates, as columns."""

    template: NDArray[np.int64]
    """Place of the template in its batch, (M,)."""
    elements: list[tuple[str, ...]]
    """Element of each site."""
    formula: list[str]
    """Reduced formula."""
    volume_scale: NDArray[np.float64]
    """Factor on the template's volume, (M,)."""


def infill(templates: Templates, elements: Sequence[str], options: InfillOptions) -> Candidates:
    """Every distinct assignment of all the elements to the sites of every template.

    A template of fewer sites than elements takes none. Assignments are in order of the elements as given.

    :param elements: chemical symbols, each once.
    :raises InputError: if an element has no known volume and ``options.volume`` is ``elements``.
    """
    elements = tuple(elements)
    volumes = typical_volumes(elements) if options.volume == "elements" else {}
    index: list[int] = []
    chosen: list[tuple[str, ...]] = []
    formulas: list[str] = []
    scales: list[float] = []
    multiplicities, cells = templates.multiplicities, templates.volume
    for i, n_sites in enumerate(templates.n_sites.tolist()):
        counts = multiplicities[i, :n_sites].tolist()
        for choice in assignments(n_sites, elements):
            index.append(i)
            chosen.append(choice)
            formulas.append(_formula(tuple(sorted(_total(choice, counts).items()))))
            typical = sum(volumes[e] * m for e, m in zip(choice, counts, strict=True)) if volumes else cells[i]
            scales.append(typical / cells[i])
    return Candidates(np.array(index, dtype=np.int64), chosen, formulas, np.array(scales, dtype=float))


def _total(choice: Sequence[str], counts: Sequence[int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for element, count in zip(choice, counts, strict=True):
        total[element] = total.get(element, 0) + count
    return total


@cache
def _formula(counts: tuple[tuple[str, int], ...]) -> str:
    return Composition(dict(counts)).reduced_formula


def check_elements(symbols: Sequence[str]) -> None:
    """
    :raises InputError: if a symbol is no element, or stands twice.
    """
    for symbol in symbols:
        if not Element.is_valid_symbol(symbol):
            raise InputError(f"chemistry: {symbol!r} is no element")
    if len(set(symbols)) != len(symbols):
        raise InputError(f"chemistry: an element stands twice in {list(symbols)}")


def candidate_columns(filled: Candidates, templates: Templates, template_ids: Sequence[str]) -> dict[str, Any]:
    """The columns of ``tables.CANDIDATES``."""
    parents = [template_ids[i] for i in filled.template.tolist()]
    return {
        "candidate_id": [f"{t}-{'-'.join(e)}" for t, e in zip(parents, filled.elements, strict=True)],
        "template_id": parents,
        "elements": [list(e) for e in filled.elements],
        "formula": filled.formula,
        "n_atoms": templates.n_atoms[filled.template].astype(np.int32),
        "volume_scale": filled.volume_scale,
    }
