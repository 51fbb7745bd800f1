"""Known crystals that a potential must get right before anything is computed with it.

Weights may load without an error and still be wrong: M3GNet weights that matgl saved before version 4 are, by 1 to 9
eV/atom on compounds, while elements look right. So every run starts with this check.

Formation energies and cells are those of the Materials Project (database v2023.11.1, CC BY 4.0; Jain et al., APL
Mater. 1, 011002 (2013)), the energies with its MP2020 corrections. A potential on a scale without these corrections is
compared with the energies without them. The crystals are relaxed with the potential first.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import EnergyScale, Potential
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax
from cgwgan_core.screening.energetics import correction_per_atom, formation_energy_per_atom
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.logs import logger
from cgwgan_core.workflow.refusals import OK

LATTICE_TOLERANCE = 0.03
"""Largest relative error of the cell's size, the cube root of its volume. (Edges alone may be further off where a
crystal is soft: MatPES-M3GNet has c of rutile TiO2 4 % too long, a 1 % too short, and is a sound potential.)"""
_RELAXATION = Relaxation(fmax=0.02, max_steps=200)


@dataclass(frozen=True)
class KnownCrystal:
    """A crystal of known formation energy and cell."""

    formula: str
    material_id: str
    """In the Materials Project."""
    spacegroup: int
    cell: tuple[float, float, float, float, float, float]
    """Conventional cell: a, b, c (Å), alpha, beta, gamma (degrees)."""
    sites: tuple[tuple[str, tuple[float, float, float]], ...]
    """Element and fractional coordinates of each site."""
    formation_energy_per_atom: float
    """eV/atom, MP2020-corrected."""

    def atoms(self) -> Atoms:
        """The primitive cell."""
        symbols, positions = zip(*self.sites, strict=True)
        atoms = crystal(symbols, positions, spacegroup=self.spacegroup, cellpar=self.cell, primitive_cell=True)
        return Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)

    def expected(self, energy_scale: str) -> float:
        """Formation energy on a scale, eV/atom."""
        if energy_scale == "matpes":
            return self.formation_energy_per_atom - correction_per_atom(self.formula)
        return self.formation_energy_per_atom


def _cubic(a: float) -> tuple[float, float, float, float, float, float]:
    return (a, a, a, 90.0, 90.0, 90.0)


def _rocksalt(cation: str, anion: str, material_id: str, a: float, energy: float) -> KnownCrystal:
    sites = ((cation, (0.0, 0.0, 0.0)), (anion, (0.5, 0.5, 0.5)))
    return KnownCrystal(cation + anion, material_id, 225, _cubic(a), sites, energy)


def _rutile(cation: str, anion: str, material_id: str, a: float, c: float, x: float, energy: float) -> KnownCrystal:
    sites = ((cation, (0.0, 0.0, 0.0)), (anion, (x, x, 0.0)))
    return KnownCrystal(f"{cation}{anion}2", material_id, 136, (a, a, c, 90.0, 90.0, 90.0), sites, energy)


def _wurtzite(cation: str, anion: str, material_id: str, a: float, c: float, u: float, energy: float) -> KnownCrystal:
    sites = ((cation, (1 / 3, 2 / 3, 0.0)), (anion, (1 / 3, 2 / 3, u)))
    return KnownCrystal(cation + anion, material_id, 186, (a, a, c, 90.0, 90.0, 120.0), sites, energy)


KNOWN_CRYSTALS: tuple[KnownCrystal, ...] = (
    _rocksalt("Mg", "O", "mp-1265", 4.194, -3.0534),
    _rocksalt("Ba", "O", "mp-1342", 5.5808, -2.8236),
    _rocksalt("Na", "Cl", "mp-22862", 5.5881, -2.1096),
    _rocksalt("K", "Cl", "mp-23193", 6.2837, -2.2582),
    _rocksalt("Ca", "S", "mp-1672", 5.7047, -2.3999),
    KnownCrystal("CaF2", "mp-2741", 225, _cubic(5.5161), (("Ca", (0, 0, 0)), ("F", (0.25, 0.25, 0.25))), -4.2243),
    KnownCrystal(
        "SrTiO3",
        "mp-5229",
        221,
        _cubic(3.9127),
        (("Sr", (0, 0, 0)), ("Ti", (0.5, 0.5, 0.5)), ("O", (0.5, 0.5, 0))),
        -3.5514,
    ),
    _rutile("Ti", "O", "mp-2657", 4.5998, 2.9592, 0.3043, -3.4644),
    _rutile("Mg", "F", "mp-1249", 4.6152, 3.0478, 0.3029, -3.8294),
    _rutile("Ru", "O", "mp-825", 4.4825, 3.1113, 0.3054, -1.4577),
    _wurtzite("Zn", "O", "mp-2133", 3.2374, 5.2221, 0.3791, -1.7909),
    _wurtzite("Al", "N", "mp-661", 3.1286, 5.0170, 0.3814, -1.5844),
    KnownCrystal("SiC", "mp-8062", 216, _cubic(4.354), (("Si", (0, 0, 0)), ("C", (0.25, 0.25, 0.25))), -0.2036),
)


def check(potential: Potential, tolerance: float) -> list[dict[str, Any]]:
    """Compare a potential with the known crystals, each relaxed by it.

    :param tolerance: largest error in a formation energy, eV/atom.
    :returns: one row per crystal; energies in eV/atom, errors with sign, rounded to 1e-3.
    """
    rows = []
    for known in KNOWN_CRYSTALS:
        start = known.atoms()
        relaxed = relax(start, potential, _RELAXATION)
        expected = known.expected(potential.energy_scale)
        found = formation_energy_per_atom(known.formula, relaxed.energy_per_atom, potential.energy_scale)
        lattice_error = float(np.cbrt(relaxed.atoms.get_volume() / start.get_volume())) - 1
        error = found - expected
        passed = relaxed.ok and abs(error) <= tolerance and abs(lattice_error) <= LATTICE_TOLERANCE
        rows.append(
            {
                "formula": known.formula,
                "material_id": known.material_id,
                "spacegroup": known.spacegroup,
                "status": relaxed.status,
                "energy_per_atom": _rounded(relaxed.energy_per_atom),
                "formation_energy_per_atom": _rounded(found),
                "expected_formation_energy_per_atom": _rounded(expected),
                "error": _rounded(error),
                "lattice_error": _rounded(lattice_error),
                "passed": passed,
            }
        )
    return rows


def report(potential: Potential, rows: list[dict[str, Any]], tolerance: float, why: str) -> dict[str, Any]:
    """What ``potential.json`` and its like hold: which potential it is, why, and how it did.

    :param rows: from :func:`check`.
    :raises InputError: if a crystal failed: which, by how much, and what may be the cause.
    """
    for row in rows:
        logger.info(
            f"  {row['formula']:8s} {row['material_id']:9s} formation energy {row['formation_energy_per_atom']}"
            f" eV/atom, expected {row['expected_formation_energy_per_atom']}, cell off by {row['lattice_error']:+.1%}"
        )
    if failed := [row for row in rows if not row["passed"]]:
        raise InputError(_complaint(potential, failed, len(rows), tolerance))
    errors = [abs(row["error"]) for row in rows]
    logger.info(
        f"{potential.name}: formation energies of {len(rows)} known crystals within {max(errors):.3f} eV/atom, allowed"
        f" are {tolerance}"
    )
    return {
        "name": potential.name,
        "energy_scale": potential.energy_scale,
        "digest": potential.digest,
        "chosen": why,
        "versions": potential.versions,
        "tolerance": tolerance,
        "lattice_tolerance": LATTICE_TOLERANCE,
        "mean_absolute_error": _rounded(float(np.mean(errors))),
        "largest_error": _rounded(max(errors)),
        "crystals": rows,
    }


def load_checked(options: PotentialOptions, path: str | Path) -> Potential:
    """Load the potential that ``potential.json`` says was checked.

    :param path: the report that ``scripts/verify_potential.py`` wrote.
    :raises InputError: if the report is unreadable, or the weights or the energy scale are not those checked.
    """
    expected, potential = _checked(path), load(options)
    for key, value in expected.items():
        if getattr(potential, key) != value:
            raise InputError(
                f"{path}: {key} of the checked potential is {value}, but {potential.name} with "
                f"{getattr(potential, key)} is loaded; rerun verify_potential with the potential you want"
            )
    return potential


def checked_scale(path: str | Path) -> EnergyScale:
    """Energy scale of the potential that ``potential.json`` says was checked.

    :raises InputError: if the report is unreadable.
    """
    scale: EnergyScale = _checked(path)["energy_scale"]
    return scale


def _checked(path: str | Path) -> dict[str, Any]:
    try:
        checked = json.loads(Path(path).read_text())
        return {key: checked[key] for key in ("digest", "name", "energy_scale")}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a report of a checked potential ({error}); rerun verify_potential") from None


def _complaint(potential: Potential, failed: list[dict[str, Any]], n: int, tolerance: float) -> str:
    def one(row: dict[str, Any]) -> str:
        if row["status"] != OK:
            return f"{row['formula']} ({row['status']})"
        return f"{row['formula']} by {row['error']:+.3f} eV/atom (cell {row['lattice_error']:+.1%})"

    return (
        f"{potential.name}: wrong on {len(failed)} of {n} known crystals: {', '.join(map(one, failed))}; allowed are "
        f"{tolerance} eV/atom and {LATTICE_TOLERANCE:.0%}. Errors of eV/atom mean unfit weights: M3GNet weights "
        "saved by matgl before version 4 load without complaint and are wrong; use weights converted for "
        f"matgl 4, or name chgnet. One error near {potential.energy_scale}'s corrections "
        "(0.3 eV/atom on oxides) means a wrong energy_scale"
    )


def _rounded(value: float) -> float | None:
    return round(value, 3) + 0.0 if np.isfinite(value) else None
