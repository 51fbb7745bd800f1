"""What each potential says about crystals whose stability is known, and whether the phonons are right.

    python benchmarks/phonons.py known chgnet sevennet-l3i5 /path/to/M3GNet-MP-2021.2.8-PES
    python benchmarks/phonons.py plain /path/to/M3GNet-MP-2021.2.8-PES results/relaxed/*.parquet --crystals 10

``known`` prints the first table of ``docs/benchmarks/phonons.md``, one column a potential. ``plain`` computes crystals
of a run once more by phonopy and matgl's own ASE calculator, one supercell at a time. It compares the lowest
frequencies and the processor time for the forces. It does so in double precision, with displacements so short that
hardly a pair crosses the potential's cutoff; and in single precision with the displacements of this program, as such a
script is mostly run. One process of one thread does all.
"""

import argparse
import logging
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.children import child
from cgwgan_core.phonons.force_constants import displaced
from cgwgan_core.phonons.phonons import PhononOptions, PhononResult, phonons
from cgwgan_core.potentials.load import NAMES, PotentialOptions, load
from cgwgan_core.potentials.neighbours import neighbours
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.known_crystals import KNOWN_CRYSTALS
from cgwgan_core.workflow import tables

PLACES = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]


def _perovskite(a: str, b: str, edge: float) -> Atoms:
    return Atoms([a, b, "O", "O", "O"], scaled_positions=PLACES, cell=[edge] * 3, pbc=True)


CRYSTALS = {
    "Si, diamond": (bulk("Si", "diamond", a=5.47), True),
    "MgO, rocksalt": (bulk("MgO", "rocksalt", a=4.25), True),
    "NaCl, rocksalt": (bulk("NaCl", "rocksalt", a=5.69), True),
    "BaO, rocksalt": (bulk("BaO", "rocksalt", a=5.6), True),
    "RuO2, rutile": (next(c.atoms() for c in KNOWN_CRYSTALS if c.formula == "RuO2"), True),
    "BaTiO3, cubic": (_perovskite("Ba", "Ti", 4.03), False),
    "SrTiO3, cubic": (_perovskite("Sr", "Ti", 3.94), False),
}
"""Crystals, and whether they are minima of the DFT energy (PBE; RuO2 without magnetic order)."""


SHORT = 1e-4
"""Å; in double precision forces tell such a displacement well. Where a pair is that near to the cutoff, half as far."""


def named(name: str) -> Potential:
    """A potential by its name, or M3GNet from a folder."""
    return load(PotentialOptions(name=name) if name in NAMES else PotentialOptions(name="m3gnet", path=name))


def ase_calculator(folder: str, double: bool = False) -> Calculator:
    """Matgl's ASE calculator of an M3GNet potential: what a script would use.

    :param double: in double precision, which matgl sets for a whole process: load all else before.
    """
    import matgl  # noqa: PLC0415 - after what computes in single precision
    from matgl.ext.ase import PESCalculator  # noqa: PLC0415

    potential = matgl.load_model(folder)
    if double:
        matgl.set_default_dtype("float", 64)
        potential.double()
    calculator = PESCalculator(potential, stress_unit="eV/A3")
    calculator.compute_stress = False
    return calculator


def known(potentials: list[str], options: PhononOptions) -> None:
    """Print a table of verdicts and lowest frequencies; for the unstable, the child along the imaginary mode."""
    print("| crystal | DFT | " + " | ".join(Path(name).name for name in potentials) + " |")
    print("|---|---|" + "---|" * len(potentials))
    lines = {name: f"| {name} | {'stable' if right else 'unstable'} |" for name, (_, right) in CRYSTALS.items()}
    for given in potentials:
        potential = named(given)
        for name, (atoms, right) in CRYSTALS.items():
            result = phonons(atoms, potential, options)
            if result.verdict is None:
                lines[name] += f" {result.status} |"
                continue
            wrong = "" if right == (result.verdict != "unstable") else " **wrong**"
            told = f"{result.verdict} {result.min_frequency:+.2f}{wrong}"
            if result.properties:
                bulk = result.properties["bulk_modulus"]
                told += ", elastically unstable" if bulk is None else f", B {bulk:.0f} GPa"
            if result.verdict == "unstable":
                found = child(name, result, potential, options)
                if found.energy_gain is None:
                    told += f"; child: {found.status}"
                else:
                    told += (
                        f"; child {found.spacegroup}, {1000 * found.energy_gain:.1f} meV/atom lower, {found.verdict}"
                    )
            lines[name] += f" {told} |"
    print("\n".join(lines.values()), flush=True)


def plain(folder: str, shards: list[str], number: int, most_atoms: int, options: PhononOptions) -> None:
    """Compare with plain calculations for so many relaxed crystals, spread evenly by size."""
    columns = ["candidate_id", "lattice", "numbers", "frac_coords", "status"]
    rows = pa.concat_tables([tables.read(path, tables.RELAXED, columns) for path in shards]).to_pylist()
    rows = [row for row in rows if row["status"] == "ok" and len(row["numbers"]) <= most_atoms]
    rows.sort(key=lambda row: (len(row["numbers"]), row["candidate_id"]))
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, number).round().astype(int))]
    potential, calculator = named(folder), ase_calculator(folder)
    torch.set_num_threads(1)
    found = []
    for row in rows:
        result = phonons(row_to_atoms(row), potential, options)
        if result.verdict is None:
            print(f"{row['candidate_id']}: {result.status}")
            continue
        assert result.atoms is not None
        assert result.supercell is not None
        # the same displacements once more, for the time
        cells = displaced(result.atoms, result.supercell, options.displacement).supercells_with_displacements
        cells = [_to_ase(cell) for cell in cells]
        start = time.process_time()
        potential.evaluate(cells, forces=True)
        ours = time.process_time() - start
        as_mostly, loop = plain_lowest(result, calculator, options.displacement, options)
        found.append((row["candidate_id"], result, as_mostly, ours, loop))
    calculator = ase_calculator(folder, double=True)
    print(
        "| crystal | atoms | supercell | pair nearest to the cutoff (Å) | ours (THz) | plain, double precision, ",
        end="",
    )
    print(f"{SHORT:g} Å | plain, {options.displacement:g} Å | forces, ours (s) | ASE loop (s) |")
    print("|---|---|---|---|---|---|---|---|---|")
    limits, margins = [], []
    for name, result, as_mostly, ours, loop in found:
        distances = neighbours(result.atoms, potential.cutoff + 1).distance
        nearest = np.abs(distances - potential.cutoff).min()
        limit, _ = plain_lowest(result, calculator, min(SHORT, nearest / 2), options)
        limits.append(limit)
        margins.append(nearest)
        print(
            f"| {name} | {len(result.atoms)} | {'x'.join(map(str, result.supercell))} | "
            f"{nearest:.4f} | {result.min_frequency:+.3f} | {limit:+.3f} | "
            f"{as_mostly:+.3f} | {ours:.2f} | {loop:.2f} |",
            flush=True,
        )
    ours, as_mostly = (np.array([f[i] for f in found]) for i in (3, 2))
    lowest, loops = np.array([f[1].min_frequency for f in found]), np.array([f[4] for f in found])
    # a displacement that no pair crosses the cutoff by: ours, or else a short one
    smooth = np.where(np.array(margins) > options.displacement, as_mostly, limits)
    for what, other in (
        (f"{options.displacement:g} Å, or {SHORT:g} Å where a pair would cross the cutoff", smooth),
        (f"{SHORT:g} Å in double precision", limits),
        (f"{options.displacement:g} Å", as_mostly),
    ):
        off = np.abs(lowest - other)
        print(
            f"\nplain, {what}: within 0.02 THz {(off <= 0.02).sum()} of {len(off)}; largest {off.max():.4f}, "
            f"median {np.median(off):.4f} THz"
        )
    print(f"\nForces of the displaced supercells {ours.sum():.1f} s, by an ASE loop {loops.sum():.1f} s")


def plain_lowest(
    result: PhononResult, calculator: Calculator, displacement: float, options: PhononOptions
) -> tuple[float, float]:
    """The lowest frequency of a relaxed crystal by phonopy's own settings, forces one by one.

    :returns: THz, and processor seconds for the forces.
    """
    primitive = result.atoms
    phonon = Phonopy(
        PhonopyAtoms(
            symbols=primitive.symbols, cell=primitive.cell[:], scaled_positions=primitive.get_scaled_positions()
        ),
        supercell_matrix=np.diag(result.supercell),
        primitive_matrix="P",
    )
    phonon.generate_displacements(distance=displacement)
    forces, start = [], time.process_time()
    for cell in [phonon.supercell, *phonon.supercells_with_displacements]:
        atoms = _to_ase(cell)
        atoms.calc = calculator
        forces.append(atoms.get_forces())
    spent = time.process_time() - start
    phonon.forces = np.array(forces[1:]) - forces[0]
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    _, _, path = standardise(primitive)
    mesh = phonon.run_mesh(options.mesh, is_gamma_center=True, is_mesh_symmetry=False)
    bands = phonon.run_band_structure(path.legs)
    lowest = np.inf
    for q, frequencies in zip(
        np.concatenate([mesh.qpoints, *bands.qpoints]),
        np.concatenate([mesh.frequencies, *bands.frequencies]),
        strict=True,
    ):
        some = frequencies
        if np.allclose(q, np.round(q), atol=1e-8):
            some = frequencies[np.argsort(abs(frequencies))[3:]]
        lowest = min(lowest, *some)
    return float(lowest), spent


def _to_ase(cell: PhonopyAtoms) -> Atoms:
    return Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    first = parts.add_parser("known", help="verdicts on known crystals")
    first.add_argument("potentials", nargs="+", help="names of potential.name, or folders of M3GNet potentials")
    second = parts.add_parser("plain", help="against phonopy and matgl's ASE calculator")
    second.add_argument("potential", help="the folder of an M3GNet potential")
    second.add_argument("shards", nargs="+", help="results/relaxed/*.parquet")
    second.add_argument("--crystals", type=int, default=10)
    second.add_argument("--most-atoms", type=int, default=60, help="in the cell of a crystal")
    for part in (first, second):
        part.add_argument("--supercell", type=int, help="so many repeats each way, instead of 10 Å")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable()
    options = PhononOptions()
    if given.supercell:
        options = PhononOptions(min_length=None, supercell=(given.supercell,) * 3)
    if given.part == "known":
        known(given.potentials, options)
    else:
        plain(given.potential, given.shards, given.crystals, given.most_atoms, options)


if __name__ == "__main__":
    main()
