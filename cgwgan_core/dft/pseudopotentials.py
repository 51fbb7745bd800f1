"""A user's folder of pseudopotentials in UPF: which file serves an element, and the cutoffs that it needs.

A library comes with a table, such as SSSP's ``SSSP_1.3.0_PBE_efficiency.json`` (DOI 10.1038/s41524-018-0127-2): file,
MD5 sum and converged cutoffs of each element. Without a table there must be one file per element, and its header must
suggest cutoffs.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cgwgan_core.workflow.errors import InputError, first_line

_HEADER = re.compile(r"<PP_HEADER(?P<attributes>[^>]*?)/?>(?P<lines>.*?)(</PP_HEADER>|<PP_MESH|\Z)", re.DOTALL)
_HEADER_BYTES = 1 << 20
"""The header comes after the generator's input, and before the tables, which are the bulk of a file."""


@dataclass(frozen=True)
class Header:
    """What a UPF file says of itself."""

    element: str
    valence: float
    """Number of valence electrons."""
    norm_conserving: bool
    ecutwfc: float | None
    """Ry, suggested; ``None`` if it suggests none."""
    ecutrho: float | None
    """Ry, likewise."""


@dataclass(frozen=True)
class Pseudopotential:
    """The file of an element, and cutoffs for it."""

    path: Path
    md5: str
    valence: float
    """Number of valence electrons."""
    ecutwfc: float | None
    """Ry, of wave functions, by the library's table or else the file's header; ``None`` if neither says."""
    dual: float
    """Cutoff of the density over that of the wave functions."""


class Pseudopotentials:
    """A folder of UPF files, with or without a table of cutoffs (JSON); each file is read once, when it is needed.

    :raises InputError: if it is no folder, has two tables, or one that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()
        if not self.folder.is_dir():
            raise InputError(f"{folder}: no folder of pseudopotentials; correct its name")
        self._table = _read_table(self.folder)
        self._known: dict[str, Pseudopotential] = {}

    def __getitem__(self, element: str) -> Pseudopotential:
        """The pseudopotential of an element.

        :raises InputError: if there is none or more than one, or if the file is not the one that the table means.
        """
        if element not in self._known:
            self._known[element] = self._from_file(element) if self._table is None else self._from_table(element)
        return self._known[element]

    def _from_table(self, element: str) -> Pseudopotential:
        assert self._table is not None
        if element not in self._table:
            raise InputError(f"{self.folder}: the table has no pseudopotential for {element}; add file and entry")
        entry = self._table[element]
        try:
            path, wanted = self.folder / entry["filename"], str(entry["md5"]).lower()
            ecutwfc, ecutrho = float(entry["cutoff_wfc"]), float(entry["cutoff_rho"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.folder}: the table's entry of {element} needs filename, md5, cutoff_wfc and cutoff_rho "
                f"({type(error).__name__}: {first_line(error)}); take SSSP's"
            ) from None
        if not path.is_file():
            raise InputError(f"{path}: missing, and the table names it for {element}; put it there")
        md5 = _md5(path)
        if md5 != wanted:
            raise InputError(f"{path}: MD5 sum {md5}, the table has {wanted} for {element}; download the library again")
        header = _matching_header(path, element)
        return Pseudopotential(path, md5, header.valence, ecutwfc, ecutrho / ecutwfc)

    def _from_file(self, element: str) -> Pseudopotential:
        paths = self._by_element.get(element, [])
        if not paths:
            raise InputError(f"{self.folder}: no UPF file for {element}; put one there")
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            raise InputError(
                f"{self.folder}: {names} are both for {element}; keep one, or add the library's table (JSON)"
            )
        header = read_header(paths[0])
        usual = 4.0 if header.norm_conserving else 8.0  # Quantum ESPRESSO's manual: 4, and 8 to 12 for the others
        suggested = header.ecutrho / header.ecutwfc if header.ecutrho and header.ecutwfc else 0.0
        return Pseudopotential(paths[0], _md5(paths[0]), header.valence, header.ecutwfc, max(4.0, suggested or usual))

    @cached_property
    def _by_element(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in sorted(self.folder.iterdir()):
            if path.suffix.lower() == ".upf" and path.is_file():
                found.setdefault(read_header(path).element, []).append(path)
        return found


def _read_table(folder: Path) -> dict[str, Any] | None:
    paths = sorted(folder.glob("*.json"))
    if not paths:
        return None
    if len(paths) > 1:
        raise InputError(f"{folder}: two tables, {paths[0].name} and {paths[1].name}; keep one")
    try:
        table = json.loads(paths[0].read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{paths[0]}: not a readable table ({first_line(error)}); download it again") from None
    if not isinstance(table, dict):
        raise InputError(f"{paths[0]}: not a table of elements; take SSSP's")
    return table


def _matching_header(path: Path, element: str) -> Header:
    header = read_header(path)
    if header.element != element:
        raise InputError(f"{path}: is for {header.element}, the table names it for {element}; correct the table")
    return header


def read_header(path: Path) -> Header:
    """The header of a UPF file, version 1 (lines) or 2 (attributes).

    :raises InputError: if there is none that can be read.
    """
    with path.open(errors="replace") as stream:
        match = _HEADER.search(stream.read(_HEADER_BYTES))
    try:
        if match is None:
            raise ValueError("no PP_HEADER")
        attributes = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', match["attributes"]))
        return _from_attributes(attributes) if attributes else _from_lines(match["lines"])
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(
            f"{path}: not a UPF file that can be read ({first_line(error)}); replace or remove it"
        ) from None


def _from_attributes(found: dict[str, str]) -> Header:
    ecutwfc = _positive(found.get("wfc_cutoff", "0"))
    return Header(
        element=found["element"].strip().capitalize(),
        valence=_fortran(found["z_valence"]),
        norm_conserving=found["pseudo_type"].strip() in ("NC", "SL"),
        ecutwfc=ecutwfc,
        # some generators write a radius under this name, and then no cutoff of wave functions
        ecutrho=_positive(found.get("rho_cutoff", "0")) if ecutwfc else None,
    )


def _from_lines(text: str) -> Header:
    """Version 1: values first, then what they are."""

    def values(what: str) -> list[str]:
        line = next((line for line in text.splitlines() if what in line), "")
        return line.split(what)[0].split()

    cutoffs = [_positive(value) for value in values("Suggested cutoff")] or [None, None]
    return Header(
        element=values("Element")[0].capitalize(),
        valence=_fortran(values("Z valence")[0]),
        norm_conserving="NC" in values("Norm"),
        ecutwfc=cutoffs[0],
        ecutrho=cutoffs[1],
    )


def _positive(text: str) -> float | None:
    value = _fortran(text)
    return value if value > 0 else None


def _fortran(text: str) -> float:
    return float(text.strip().replace("D", "E").replace("d", "e"))


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
