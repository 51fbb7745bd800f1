"""Relaxations of one set of shortlisted candidates, side by side in one run: how fast, and to the same minimum?

    python benchmarks/relaxation.py results --potential M3GNet-MP-2021.2.8-PES --candidates 40

- ``ASE``: matgl's ``PESCalculator``, ``FixSymmetry``, ``FrechetCellFilter`` and ``BFGS``, one crystal after the other;
- ``ours``: :func:`cgwgan_core.relaxation.relax.relax_together`, in their symmetry: one atom of each orbit;
- ``ours, without symmetry``: the same crystals after a rattle, beside ASE's loop on these;
- with ``--judge``, that potential in symmetry, beside its relaxations from where M3GNet and CHGNet have ended.

Times are those of the processor, in one process of one thread. Candidates are spread evenly over the shortlist.
"""

import argparse
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matgl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from ase import Atoms
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from matgl.ext.ase import PESCalculator

from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax_together
from cgwgan_core.relaxation.shortlist import RelaxOptions, rattled
from cgwgan_core.screening.candidates import TemplateLookup
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Floats, Integers

warnings.filterwarnings("ignore")
Found = tuple[float, Integers, Floats]
"""Seconds, steps of each crystal, and its energy per atom (NaN: not converged)."""


def by_ase(crystals: Sequence[Atoms], folder: str, how: Relaxation) -> Found:
    """One after the other."""
    calculator = PESCalculator(matgl.load_model(folder), stress_unit="eV/A3")
    steps, energies = np.zeros(len(crystals), int), np.full(len(crystals), np.nan)
    start = time.process_time()
    for i, atoms in enumerate(crystals):
        moving = atoms.copy()
        moving.calc = calculator
        if how.keep_symmetry:
            moving.set_constraint(FixSymmetry(moving, symprec=0.01))
        optimiser = BFGS(FrechetCellFilter(moving), logfile=None)
        if optimiser.run(fmax=how.fmax, steps=how.max_steps):
            energies[i] = moving.get_potential_energy() / len(moving)
        steps[i] = optimiser.nsteps
    return time.process_time() - start, steps, energies


def by_us(crystals: Sequence[Atoms], potential: Potential, how: Relaxation) -> Found:
    """All side by side."""
    start = time.process_time()
    found = dict(relax_together(crystals, potential, how))
    spent = time.process_time() - start
    ordered = [found[i] for i in range(len(crystals))]
    energies = [r.energy_per_atom if r.ok else np.nan for r in ordered]
    return spent, np.array([r.n_steps for r in ordered]), np.array(energies)


def shortlisted(results: Path, number: int) -> list[Atoms]:
    """Candidates spread evenly over the shortlist of a run."""
    rows = tables.read(results / "ranked.parquet", tables.RANKED)
    rows = rows.take(np.unique(np.linspace(0, rows.num_rows - 1, number).round().astype(int))).to_pylist()
    templates = tables.read(results / "templates.parquet", tables.TEMPLATES)
    names = pa.array({row["template_id"] for row in rows})
    lookup = TemplateLookup(templates.filter(pc.is_in(templates["template_id"], names)))
    return [lookup.atoms(row) for row in rows]


def line(name: str, found: Found, first: Found) -> str:
    """A row of the table."""
    seconds, steps, energies = found
    both = np.isfinite(energies) & np.isfinite(first[2])
    off = np.abs(energies - first[2])[both]
    same = f"{(off < 0.001).mean():.0%}" if found is not first else ""
    return (
        f"| {name} | {seconds:.1f} | {steps.mean():.0f} | {1e3 * seconds / steps.sum():.1f} | "
        f"{first[0] / seconds:.2f} | {np.isfinite(energies).sum()} | {same} |"
    )


def cheap_first(crystals: Sequence[Atoms], judge: Potential, cheap: Sequence[Potential], how: Relaxation) -> None:
    """Does a cheap relaxation save the judge's steps, and does the judge end in the same minima?"""
    seconds, steps, alone = by_us(crystals, judge, how)
    print(
        "\n| way | seconds of the judge | its steps each | energy over the judge's alone, 10, 50, 90, 100 %, eV/atom |"
    )
    print("|---|---|---|---|")
    print(f"| {judge.name} alone | {seconds:.1f} | {steps.mean():.0f} | |", flush=True)
    for first in cheap:
        relaxed = dict(relax_together(crystals, first, how))
        ended = [relaxed[i].atoms if relaxed[i].ok else atoms for i, atoms in enumerate(crystals)]
        seconds, steps, energies = by_us(ended, judge, how)
        higher = np.quantile((energies - alone)[np.isfinite(energies - alone)], [0.1, 0.5, 0.9, 1.0])
        told = ", ".join(f"{x:+.4f}" for x in higher)
        print(f"| after {first.name} | {seconds:.1f} | {steps.mean():.0f} | {told} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of a run, with templates and ranked")
    parser.add_argument("--potential", required=True, help="folder of an M3GNet potential")
    parser.add_argument("--candidates", type=int, default=40)
    parser.add_argument("--judge", help="name of a potential, such as sevennet-l3i5")
    given = parser.parse_args()
    torch.set_num_threads(1)
    options = RelaxOptions()
    crystals = shortlisted(given.results, given.candidates)
    potential = load(PotentialOptions(name="m3gnet", path=given.potential))
    kept = dict(relax_together(crystals, potential, options.relaxation(keep_symmetry=True)))
    shaken = [rattled(kept[i], str(i)) for i in range(len(crystals))]
    print(f"{len(crystals)} crystals, {np.mean([len(a) for a in crystals]):.1f} atoms in the mean\n")
    print("| way | seconds | steps each | ms a step | speed | converged | same energy within 1 meV/atom |")
    print("|---|---|---|---|---|---|---|")
    for start, keep, told in ((crystals, True, "in their symmetry"), (shaken, False, "without symmetry")):
        how = options.relaxation(keep_symmetry=keep)
        theirs = by_ase(start, given.potential, how)
        print(line(f"ASE loop, {told}", theirs, theirs), flush=True)
        print(line(f"ours, {told}", by_us(start, potential, how), theirs), flush=True)
    if given.judge:
        judge, chgnet = load(PotentialOptions(given.judge)), load(PotentialOptions("chgnet"))
        cheap_first(crystals, judge, [potential, chgnet], options.relaxation(keep_symmetry=True))


if __name__ == "__main__":
    main()
