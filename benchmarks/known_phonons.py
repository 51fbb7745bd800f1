"""Crystals whose dynamical stability is known, and what a potential says of them.

    python benchmarks/known_phonons.py FOLDER sevennet-l3i5 chgnet m3gnet=/path/to/M3GNet-MP-2021.2.8-PES
    python benchmarks/known_phonons.py FOLDER sevennet-l3i5 chgnet --table

The first computes, one potential after the other, small crystals first. FOLDER keeps each result as a file, so that a
run that was stopped goes on where it was; ``--table`` prints what is there and computes nothing. The table is that of
``docs/benchmarks/phonons.md``. One process of one thread does all.

Stable crystals are those found in nature at low temperature and minima by DFT. Unstable ones have imaginary phonons by
DFT without pressure and at 0 K; ``child`` names the space groups of the phases that they are known to distort into,
along any of their unstable modes.
"""

import argparse
import json
import logging
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.build import bulk

from cgwgan_core.phonons.children import descendants
from cgwgan_core.phonons.phonons import PhononOptions, PhononResult, phonons
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.known_crystals import KNOWN_CRYSTALS

UNSTABLE = "unstable"
ENDED = "refused: unstable after generations"
"""How the status of a line begins that ends with an unstable child."""
PLACES = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]


@dataclass(frozen=True)
class Crystal:
    """A crystal and what is known of its phonons."""

    name: str
    """Formula and structure."""
    atoms: Atoms
    """Primitive cell, about as PBE has it; it is relaxed first."""
    stable: bool
    """Whether DFT finds no imaginary phonon."""
    source: str
    """DOI, or else a citation, of a calculation or, of stable crystals, a measurement of the phonons."""
    child: tuple[int, ...] = ()
    """Of an unstable one: space groups (International Tables) of the phases that it is known to distort into."""


def _perovskite(a: str, b: str, x: str, edge: float) -> Atoms:
    return Atoms([a, b, x, x, x], scaled_positions=PLACES, cell=[edge] * 3, pbc=True)


def _listed(formula: str) -> Atoms:
    return next(c.atoms() for c in KNOWN_CRYSTALS if c.formula == formula)


METALS = "10.1103/RevModPhys.84.945"
"""Grimvall et al., lattice instabilities in metallic elements, Rev. Mod. Phys. 84, 945 (2012)."""
SEMICONDUCTORS = "10.1103/PhysRevB.43.7231"
"""Giannozzi et al., phonon dispersions in semiconductors, Phys. Rev. B 43, 7231 (1991)."""
HALIDES = "10.1021/acs.jpclett.7b02423"
"""Yang et al., cubic CsSnX3 and CsPbX3, J. Phys. Chem. Lett. 8, 4720 (2017)."""
PEROVSKITES = "10.1103/PhysRevB.60.836"
"""Ghosez et al., BaTiO3, PbTiO3 and PbZrO3, Phys. Rev. B 60, 836 (1999)."""
FERROELECTRIC = (99, 38, 160)
"""Polar distortions of a cubic perovskite along one, two and three axes: P4mm, Amm2, R3m."""
TILTED = (62, 127, 140, 167, 63, 71)
"""Turned octahedra: Pnma, P4/mbm, I4/mcm, R-3c, Cmcm, Immm."""

CRYSTALS = (
    Crystal("Al, fcc", bulk("Al", "fcc", a=4.04), True, METALS),
    Crystal("Cu, fcc", bulk("Cu", "fcc", a=3.63), True, METALS),
    Crystal("W, bcc", bulk("W", "bcc", a=3.18), True, METALS),
    Crystal("C, diamond", bulk("C", "diamond", a=3.57), True, "10.1103/PhysRevB.48.3156"),
    Crystal("Si, diamond", bulk("Si", "diamond", a=5.47), True, SEMICONDUCTORS),
    Crystal("GaAs, zincblende", bulk("GaAs", "zincblende", a=5.75), True, SEMICONDUCTORS),
    Crystal("SiC, zincblende", bulk("SiC", "zincblende", a=4.38), True, "10.1103/PhysRevB.50.17054"),
    Crystal("ZnS, zincblende", bulk("ZnS", "zincblende", a=5.45), True, "10.1103/PhysRevB.81.075207"),
    Crystal("AlN, wurtzite", _listed("AlN"), True, "10.1103/PhysRevB.61.6720"),
    Crystal("TiN, rocksalt", bulk("TiN", "rocksalt", a=4.25), True, "10.1103/PhysRevB.17.111"),
    Crystal("MgO, rocksalt", bulk("MgO", "rocksalt", a=4.25), True, "10.1103/PhysRevB.61.8793"),
    Crystal("BaO, rocksalt", bulk("BaO", "rocksalt", a=5.6), True, "10.48550/arXiv.0906.4235"),
    Crystal("NaCl, rocksalt", bulk("NaCl", "rocksalt", a=5.69), True, "10.1103/PhysRevB.2.2098"),
    Crystal("LiF, rocksalt", bulk("LiF", "rocksalt", a=4.06), True, "10.48550/arXiv.2311.05107"),
    Crystal("CsCl", bulk("CsCl", "cesiumchloride", a=4.2), True, "10.1103/PhysRevB.6.3956"),
    Crystal("CaF2, fluorite", _listed("CaF2"), True, "10.1103/PhysRevB.68.195123"),
    Crystal("NiAl, B2", bulk("NiAl", "cesiumchloride", a=2.89), True, "Mostoller et al., Phys. Rev. B 40, 2856 (1989)"),
    Crystal("RuO2, rutile", _listed("RuO2"), True, "10.1103/PhysRevB.75.092301"),
    Crystal("Ti, bcc", bulk("Ti", "bcc", a=3.25), False, METALS, (191, 194, 63, 164)),
    Crystal("Zr, bcc", bulk("Zr", "bcc", a=3.57), False, METALS, (191, 194, 63, 164)),
    Crystal("W, fcc", bulk("W", "fcc", a=4.02), False, METALS, (229,)),
    Crystal("VN, rocksalt", bulk("VN", "rocksalt", a=4.12), False, "10.1103/PhysRevB.91.054101", (111,)),
    Crystal("NbN, rocksalt", bulk("NbN", "rocksalt", a=4.45), False, "10.48550/arXiv.2507.03417"),
    Crystal("GeTe, rocksalt", bulk("GeTe", "rocksalt", a=6.02), False, "10.48550/arXiv.1807.08012", (160,)),
    Crystal("NiTi, B2", bulk("NiTi", "cesiumchloride", a=3.01), False, "10.48550/arXiv.1002.2482", (11, 51, 63)),
    Crystal(
        "ZrO2, cubic",
        bulk("ZrO2", "fluorite", a=5.13),
        False,
        "10.1103/PhysRevLett.78.4063",
        (137,),
    ),
    Crystal("CsSnI3, cubic", _perovskite("Cs", "Sn", "I", 6.28), False, HALIDES, TILTED),
    Crystal("CsPbI3, cubic", _perovskite("Cs", "Pb", "I", 6.39), False, HALIDES, TILTED),
    Crystal("CsPbBr3, cubic", _perovskite("Cs", "Pb", "Br", 5.99), False, HALIDES, TILTED),
    Crystal("BaTiO3, cubic", _perovskite("Ba", "Ti", "O", 4.03), False, PEROVSKITES, FERROELECTRIC),
    Crystal("SrTiO3, cubic", _perovskite("Sr", "Ti", "O", 3.94), False, "10.1088/0953-8984/26/12/122203", TILTED),
    Crystal("PbTiO3, cubic", _perovskite("Pb", "Ti", "O", 3.97), False, PEROVSKITES, FERROELECTRIC),
    Crystal("KNbO3, cubic", _perovskite("K", "Nb", "O", 4.06), False, "10.1103/PhysRevLett.74.4067", FERROELECTRIC),
    Crystal(
        "NaNbO3, cubic", _perovskite("Na", "Nb", "O", 3.98), False, "10.48550/arXiv.1110.1040", FERROELECTRIC + TILTED
    ),
)


def named(given: str) -> Potential:
    """A potential by ``name`` or ``name=path``."""
    name, _, path = given.partition("=")
    return load(PotentialOptions(name=name, path=path or None))


def compute(given: str, folder: Path, options: PhononOptions, generations: int) -> None:
    """Verdict of each crystal, and of an unstable one so many generations, where the folder does not have them yet."""
    potential = None
    options = replace(options, generations=max(1, generations))
    for crystal in sorted(CRYSTALS, key=lambda crystal: options.supercell_atoms(crystal.atoms)):
        path = kept(folder, given, crystal)
        if path.exists():
            earlier = json.loads(path.read_text())
            if earlier["verdict"] != UNSTABLE or earlier["generations"] >= generations:
                continue
        potential = potential or named(given)
        start = time.process_time()
        result = phonons(crystal.atoms, potential, options)
        found = told(result) | {"generations": generations, "children": []}
        if result.verdict == UNSTABLE and generations:
            found["children"] = [told(born) for _, born in descendants("", result, potential, options)]
        found["seconds"] = round(time.process_time() - start, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1))
        part.rename(path)


def kept(folder: Path, given: str, crystal: Crystal) -> Path:
    """The file of one result."""
    return folder / Path(given).name / f"{crystal.name.replace(', ', '-')}.json"


def told(result: PhononResult) -> dict[str, Any]:
    """What the table needs of a result."""
    return {
        "status": result.status,
        "verdict": result.verdict,
        "min_frequency": result.min_frequency,
        "q": result.min_frequency_q,
        "spacegroup": result.spacegroup,
        "energy_gain": result.energy_gain,
        "bulk_modulus": result.properties.get("bulk_modulus"),
        "elastic": bool(result.properties),
        "edge": None if result.atoms is None else float(result.atoms.get_volume() ** (1 / 3)),
    }


def known(crystal: Crystal) -> str:
    """The verdict of DFT in the table, with its source."""
    verdict = "stable" if crystal.stable else "unstable"
    linked = crystal.source.startswith("10.")
    return f"[{verdict}](https://doi.org/{crystal.source})" if linked else f"{verdict}: {crystal.source}"


def cell(crystal: Crystal, found: dict[str, Any]) -> str:
    """A verdict in the table."""
    if found["verdict"] is None:
        return str(found["status"])
    wrong = "" if right(crystal, found) else " **wrong**"
    text = f"{found['verdict']} {found['min_frequency']:+.2f}{wrong}"
    if found["elastic"]:
        text += ", elastically unstable" if found["bulk_modulus"] is None else f", {found['bulk_modulus']:.0f} GPa"
    return text.replace("-", "−")


def line_of_children(crystal: Crystal, found: dict[str, Any]) -> str:
    """What an unstable crystal becomes, generation by generation; known phases in bold."""
    told = []
    for born in found["children"]:
        if born["energy_gain"] is not None:
            group = f"**{born['spacegroup']}**" if born["spacegroup"] in crystal.child else str(born["spacegroup"])
            told.append(f"{group}, {1000 * born['energy_gain']:.1f} lower, {born['verdict']}")
        elif not born["status"].startswith(ENDED):
            told.append(born["status"])
    return "; ".join(told)


def right(crystal: Crystal, found: dict[str, Any]) -> bool:
    """Whether the verdict is DFT's; borderline passes, as in a run."""
    return found["verdict"] is not None and crystal.stable == (found["verdict"] != UNSTABLE)


def table(potentials: list[str], folder: Path) -> None:
    """Print verdicts, how many of them are right, and children, of what is there."""
    names = [Path(given).name for given in potentials]
    results = {
        (name, crystal.name): json.loads(path.read_text())
        for name in names
        for crystal in CRYSTALS
        if (path := kept(folder, name, crystal)).exists()
    }
    print(f"| crystal | DFT | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    for crystal in CRYSTALS:
        entries = [results.get((name, crystal.name)) for name in names]
        cells = [cell(crystal, found) if found else "" for found in entries]
        print(f"| {crystal.name} | {known(crystal)} | {' | '.join(cells)} |")
    print(f"\n| | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for text, stable in (("stable ones right", True), ("unstable ones right", False)):
        judged = [
            [right(c, results[n, c.name]) for c in CRYSTALS if c.stable == stable and (n, c.name) in results]
            for n in names
        ]
        print(f"| {text} | {' | '.join(f'{sum(each)} of {len(each)}' for each in judged)} |")
    minutes = [sum(found["seconds"] for (other, _), found in results.items() if other == name) / 60 for name in names]
    print(f"| minutes of one core | {' | '.join(f'{m:.0f}' for m in minutes)} |")
    followed = [name for name in names if any(found["children"] for (n, _), found in results.items() if n == name)]
    print(f"\n| crystal | known phases | {' | '.join(followed)} |\n|---|---|{'---|' * len(followed)}")
    for crystal in (crystal for crystal in CRYSTALS if not crystal.stable):
        lines = [results.get((name, crystal.name)) for name in followed]
        cells = [line_of_children(crystal, found) if found else "" for found in lines]
        print(f"| {crystal.name} | {', '.join(map(str, crystal.child))} | {' | '.join(cells)} |")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where results are kept")
    parser.add_argument("potentials", nargs="+", help="name or name=path, as in the config block potential")
    parser.add_argument("--generations", type=int, default=0, help="children to follow of an unstable crystal")
    parser.add_argument("--table", action="store_true", help="print the table of what the folder has")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable()
    if not given.table:
        for name in given.potentials:
            compute(name, given.folder, PhononOptions(), given.generations)
    table(given.potentials, given.folder)


if __name__ == "__main__":
    main()
