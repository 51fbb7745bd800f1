"""Whether the phonons are right: beside plain calculations.

    python benchmarks/phonons.py /path/to/M3GNet-MP-2021.2.8-PES results/relaxed/*.parquet --crystals 10

Crystals of a run are computed once more by phonopy and matgl's own ASE calculator, one supercell at a time. The lowest
frequencies are compared, and the processor time for the forces. This is done in double precision, with displacements so
short that hardly a pair crosses the potential's cutoff; and in single precision with the displacements of this program,
as such a script is mostly run. One process of one thread does all. ``known_phonons.py`` has crystals whose stability is
known.
"""

import argparse
import logging
import time
import warnings

import numpy as np
import pyarrow as pa
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.force_constants import displaced
from cgwgan_core.phonons.phonons import PhononOptions, PhononResult, phonons
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.neighbours import neighbours
from cgwgan_core.workflow import tables

SHORT = 1e-4
"""Å; in double precision forces tell such a displacement well. Where a pair is that near to the cutoff, half as far."""


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


def plain(folder: str, shards: list[str], number: int, most_atoms: int, options: PhononOptions) -> None:
    """Compare with plain calculations for so many relaxed crystals, spread evenly by size."""
    columns = ["candidate_id", "lattice", "numbers", "frac_coords", "status"]
    rows = pa.concat_tables([tables.read(path, tables.RELAXED, columns) for path in shards]).to_pylist()
    rows = [row for row in rows if row["status"] == "ok" and len(row["numbers"]) <= most_atoms]
    rows.sort(key=lambda row: (len(row["numbers"]), row["candidate_id"]))
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, number).round().astype(int))]
    potential = load(PotentialOptions(name="m3gnet", path=folder))
    calculator = ase_calculator(folder)
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
    parser.add_argument("potential", help="the folder of an M3GNet potential")
    parser.add_argument("shards", nargs="+", help="results/relaxed/*.parquet")
    parser.add_argument("--crystals", type=int, default=10)
    parser.add_argument("--most-atoms", type=int, default=60, help="in the cell of a crystal")
    parser.add_argument("--supercell", type=int, help="so many repeats each way, instead of 10 Å")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable()
    options = PhononOptions()
    if given.supercell:
        options = PhononOptions(min_length=None, supercell=(given.supercell,) * 3)
    plain(given.potential, given.shards, given.crystals, given.most_atoms, options)


if __name__ == "__main__":
    main()
