"""The crystal of a POSCAR or CONTCAR, as https://www.vasp.at/wiki/POSCAR defines the format; nothing is guessed."""

import re

import numpy as np

from cgwgan_core.database.record import MAX_ATOMS, UNREADABLE, Record, atomic_number, crystal
from cgwgan_core.workflow.arrays import Floats

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eEdD][+-]?[0-9]+)?")
_SPECIES = re.compile(r"([A-Z][a-z]?)(?:[_/.].*)?")
"""An element, perhaps with its potential (Ti_pv, O.GW) and that file's hash (Ti_pv/4b8f1c)."""


def from_poscar(
    content: str, name: str, formation_energy_per_atom: float = np.nan, energy_above_hull: float = np.nan
) -> Record:
    """Read one crystal; velocities and what else follows the positions are left out.

    Refused: no names of elements, a number that is none, too few or too many positions, a name at the end of a line
    that is not its block's.
    """
    try:
        return _parse(re.split(r"\r\n|\r|\n", content), name, formation_energy_per_atom, energy_above_hull)
    except (ValueError, OverflowError) as error:
        return Record(name, reason=f"{UNREADABLE}: POSCAR not understood ({error})")


def _parse(lines: list[str], name: str, *energies: float) -> Record:
    if len(lines) < 8:
        raise ValueError("it ends too early")
    lattice = np.array([_numbers(line, 3) for line in lines[2:5]])
    scale = _scale(lines[1], lattice)
    names, counts, at = _species(lines)
    if names is not None and len(names) != len(counts):
        raise ValueError(f"{len(names)} names of elements and {len(counts)} numbers of atoms")
    n = sum(counts)
    if n > MAX_ATOMS:
        return Record(name, reason=f"too large: {n} atoms, more than {MAX_ATOMS}")
    if selective := lines[at].strip()[:1] in ("S", "s"):
        at += 1
    mode = lines[at].strip()[:1].lower() if at < len(lines) else ""
    if mode not in ("d", "f", "c", "k"):
        raise ValueError(f"expected Direct or Cartesian, found {_line(lines, at)!r}")
    sites = lines[at + 1 : at + 1 + n]
    if len(sites) < n or not all(line.strip() for line in sites):
        raise ValueError("it ends too early")
    _check_end(lines, at + 1 + n, n)
    labels = [_label(line, selective) for line in sites]
    if names is None and not all(labels):
        return Record(name, reason="not an element: the POSCAR names no elements")
    blocks = labels if names is None else _blocks(names, counts, labels)
    remark = "elements from the ends of the lines of positions" if names is None else None
    coords = np.array([_numbers(line, 3) for line in sites]).reshape(-1, 3)
    cartesian = mode in ("c", "k")
    return crystal(
        name,
        lattice * scale,
        [{symbol or "": 1} for symbol in blocks],
        coords * scale if cartesian else coords,
        *energies,
        cartesian=cartesian,
        remark=remark,
    )


def _blocks(names: list[str], counts: list[int], labels: list[str | None]) -> list[str]:
    """The element of each atom by its block, which that at the end of its line must not contradict."""
    blocks = [symbol for symbol, count in zip(names, counts, strict=True) for _ in range(count)]
    for site, (block, label) in enumerate(zip(blocks, labels, strict=True), start=1):
        if label and atomic_number(label) != atomic_number(block):
            raise ValueError(f"atom {site} is {block} by its block and {label} by its line")
    return blocks


def _scale(line: str, lattice: Floats) -> float | Floats:
    """The factor of the lattice, or one for each Cartesian component (VASP 6)."""
    words = line.split()
    leading = next((i for i, word in enumerate(words) if not _NUMBER.fullmatch(word)), len(words))
    if leading not in (1, 3):
        raise ValueError(f"expected one or three scale factors, found {line.strip()[:40]!r}")
    scales = np.array(_numbers(line, leading))
    if leading == 3:
        if (scales <= 0).any():
            raise ValueError("three scale factors must be above 0")
        return scales
    scale = float(scales[0])
    if scale == 0:
        raise ValueError("the scale factor is 0")
    if scale > 0:
        return scale
    volume = abs(float(np.linalg.det(lattice)))
    if volume == 0:
        raise ValueError("the cell vectors are not independent")
    return float((-scale / volume) ** (1 / 3))  # a negative factor is the volume


def _species(lines: list[str]) -> tuple[list[str] | None, list[int], int]:
    """Names of the blocks (``None`` in the format of VASP 4), atoms in each, and the line that follows."""
    words = lines[5].split()
    if words and re.fullmatch(r"[0-9]+", words[0]):
        return None, _counts(lines[5]), 6
    names = []
    for word in words:
        match = _SPECIES.fullmatch(word)
        if match is None or atomic_number(match.group(1)) == 0:
            raise ValueError(f"{word[:20]!r} is no element")
        names.append(match.group(1))
    return names, _counts(lines[6]), 7


def _counts(line: str) -> list[int]:
    words = line.split()
    leading = next((i for i, word in enumerate(words) if not re.fullmatch(r"[0-9]{1,9}", word)), len(words))
    if leading == 0 or (leading < len(words) and not words[leading].startswith(("!", "#"))):
        raise ValueError(f"expected numbers of atoms, found {line.strip()[:40]!r}")
    return [int(word) for word in words[:leading]]


def _label(line: str, selective: bool) -> str | None:
    """The element at the end of a line of positions, where one stands there."""
    words = line.split()[6 if selective else 3 :]
    match = _SPECIES.fullmatch(words[0]) if words else None
    return match.group(1) if match and atomic_number(match.group(1)) and words[0] not in ("F", "T") else None


def _check_end(lines: list[str], at: int, n: int) -> None:
    # What VASP writes behind the positions starts with a blank line or a word.
    words = _line(lines, at).split()
    if len(words) >= 3 and all(_NUMBER.fullmatch(word) for word in words[:3]):
        raise ValueError(f"more positions than its {n} atoms")
    if " ".join(words).lower().startswith("direct configuration"):
        raise ValueError("an XDATCAR of several configurations; give the last as a POSCAR")


def _numbers(line: str, n: int) -> list[float]:
    words = line.split()[:n]
    if len(words) < n:
        raise ValueError(f"expected {n} numbers, found {line.strip()[:40]!r}" if words else "it ends too early")
    for word in words:
        if not _NUMBER.fullmatch(word):
            remedy = "; write decimal points, and blanks between numbers" if "," in word else ""
            raise ValueError(f"{word[:20]!r} is no number{remedy}")
    return [float(word.replace("d", "e").replace("D", "e")) for word in words]


def _line(lines: list[str], at: int) -> str:
    return lines[at].strip()[:40] if at < len(lines) else "the end"
