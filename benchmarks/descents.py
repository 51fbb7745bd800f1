"""Relaxation from one potential's Hessian, another potential in the place of DFT, beside ASE's BFGS from nothing.

    python benchmarks/descents.py m3gnet=M3GNet-MP-2021.2.8-PES sevennet-0 results/phonons/*.parquet

The crystals of the tables that have a verdict and at most 20 atoms, every second one, are relaxed by the first
potential. From there the second is descended, to 1 meV/atom predicted to be left. Prints for each crystal the
calculations, gains predicted and obtained, and the calculations that BFGS needs to an energy as low.
"""

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.dft.calculation import CONVERGED, Outcome
from cgwgan_core.dft.descent import DescentOptions, Evaluate, hessian, relax_by
from cgwgan_core.phonons.bands import standardise
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential, voigt
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax
from cgwgan_core.workflow import tables

warnings.filterwarnings("ignore")
MAX_ATOMS = 20


def named(told: str) -> Potential:
    """A potential given as name, or name=path of its weights."""
    name, _, path = told.partition("=")
    return load(PotentialOptions(name, path or None))


def by(potential: Potential, energies: list[float]) -> Evaluate:
    """A potential in the place of DFT; appends the energies that it gives, eV/atom."""

    def evaluate(atoms: Atoms) -> Outcome:
        found = potential.evaluate([atoms], forces=True, stress=True)
        if found.errors[0] is not None or found.forces is None or found.stresses is None:
            return Outcome(str(found.errors[0]))
        energies.append(float(found.energies[0]) / len(atoms))
        return Outcome(CONVERGED, float(found.energies[0]), found.forces[0].tolist(), voigt(found.stresses[0]).tolist())

    return evaluate


def by_bfgs(start: Atoms, potential: Potential) -> list[float]:
    """Energies along ASE's descent of the same crystal in its symmetry, eV/atom."""
    atoms = start.copy()
    atoms.set_constraint(FixSymmetry(atoms, symprec=0.01))
    atoms.calc = potential.calculator()
    optimiser = BFGS(FrechetCellFilter(atoms), logfile=None)  # type: ignore[arg-type] # ASE takes filters, too
    return [atoms.get_potential_energy() / len(atoms) for _ in optimiser.irun(fmax=0.002, steps=150)]


def crystals(paths: Sequence[Path]) -> list[tuple[str, Atoms]]:
    """Every second crystal that is small enough."""
    rows = [row for path in paths for row in tables.read(path, tables.PHONONS).to_pylist()]
    small = [row for row in rows if row["verdict"] and len(row["numbers"]) <= MAX_ATOMS]
    return [(row["candidate_id"], row_to_atoms(row)) for row in small[::2]]


def main() -> None:
    """Print the figures of ``docs/benchmarks/dft.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("potential", help="name, or name=path of its weights")
    parser.add_argument("engine", help="the potential in the place of DFT")
    parser.add_argument("phonons", nargs="+", type=Path)
    given = parser.parse_args()
    potential, engine = named(given.potential), named(given.engine)
    sums = {True: np.zeros(3, dtype=int), False: np.zeros(3, dtype=int)}
    print("| crystal | atoms | calculations | predicted | obtained (meV/atom) | BFGS | status |")
    print("|---|---|---|---|---|---|---|")
    for name, atoms in crystals(given.phonons):
        relaxed = relax(standardise(atoms)[0], potential, Relaxation(0.005, 300, fmax_accepted=0.02))
        if not relaxed.ok:
            print(f"| {name} | | | | | | {relaxed.status} |")
            continue
        start, *_ = standardise(relaxed.atoms)
        energies: list[float] = []
        found = relax_by(by(engine, energies), start, hessian(start, potential), DescentOptions())
        if found.gain is None or found.predicted_gain is None:
            print(f"| {name} | {len(start)} | | | | | {found.status} |")
            continue
        beside = by_bfgs(start, engine)
        steps = next((i for i, e in enumerate(beside, 1) if e <= beside[0] - found.gain + 1e-5), len(beside))
        gains = f"{1000 * found.predicted_gain:.1f} | {1000 * found.gain:.1f}"
        print(f"| {name} | {len(start)} | {len(energies)} | {gains} | {steps} | {found.status} |", flush=True)
        sums[found.status == CONVERGED] += np.array([1, len(energies), steps])
    for converged, (n, mine, theirs) in sums.items():
        print(f"{'converged' if converged else 'not converged'}: {n} crystals, {mine} calculations, BFGS {theirs}")


if __name__ == "__main__":
    main()
