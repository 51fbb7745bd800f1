"""Energies of one set of candidates by five ways, side by side in one run: how fast each is, and how equal.

    python benchmarks/screening.py results --potential M3GNet-MP-2021.2.8-PES --candidates 500

- ``ase``: matgl's ``PESCalculator``, one crystal after the other, energies alone;
- ``matgl``: matgl's own graphs and model, in batches of several sizes, crystals sorted by size;
- ``ours``: :func:`cgwgan_core.screening.energies.evaluate`, batches of 16;
- ``by site``: the same from one atom of each site, as screening does it, and ``compiled``: with ``potential.compile``.

A second table has what screening does with them: the volumes of the better ones are adapted. Times are those of the
processor, in one process of one thread, so they are per core; the best of ``--repeats``. Candidates are drawn at random
from all shards of a run, with a fixed seed.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matgl
import numpy as np
import pyarrow as pa
import torch
from ase import Atoms
from matgl.ext.ase import Atoms2Graph, PESCalculator
from torch_geometric.data import Batch

from cgwgan_core.crystallography.templates import decorate
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.screening.candidates import TemplateLookup
from cgwgan_core.screening.energetics import Hull
from cgwgan_core.screening.energies import ScreenOptions, evaluate, screen
from cgwgan_core.workflow import tables

warnings.filterwarnings("ignore")
BATCH = 16
MATGL_BATCHES = (4, 8, 16, 32)


def by_ase(crystals: Sequence[Atoms], model: torch.nn.Module) -> np.ndarray:
    """Energies per atom by matgl's calculator."""
    calculator = PESCalculator(model, stress_unit="eV/A3")
    model.calc_forces = model.calc_stresses = calculator.compute_stress = False
    energies = []
    for atoms in (crystal.copy() for crystal in crystals):
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy() / len(atoms))
    return np.array(energies)


def by_matgl(crystals: Sequence[Atoms], model: torch.nn.Module, size: int) -> np.ndarray:
    """Energies per atom by matgl's graphs, batched."""
    model.calc_forces = model.calc_stresses = False
    convert = Atoms2Graph(model.model.element_types, model.model.cutoff)
    order = np.argsort([len(atoms) for atoms in crystals], kind="stable")
    energies = np.empty(len(crystals))
    for start in range(0, len(order), size):
        index = order[start : start + size]
        graphs, lattices, states = zip(*(convert.get_graph(crystals[i]) for i in index), strict=True)
        state = torch.tensor(np.array(states), dtype=torch.float32)
        found = model(Batch.from_data_list(list(graphs)), torch.cat([x.reshape(1, 3, 3) for x in lattices]), state)[0]
        energies[index] = found.detach().numpy().ravel() / [len(crystals[i]) for i in index]
    return energies


def timed(compute: Callable[[], np.ndarray], repeats: int) -> tuple[float, np.ndarray]:
    """Seconds of the processor, the best of several times, and the result."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        result = compute()
        best = min(best, time.process_time() - start)
    return best, result


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of a run, with candidates and templates")
    parser.add_argument("--potential", required=True, help="folder of an M3GNet potential")
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    shards = sorted((arguments.results / "candidates").glob("*.parquet"))
    if not shards:
        sys.exit(f"{arguments.results}: no candidates/*.parquet there")
    table = pa.concat_tables([tables.read(path, tables.CANDIDATES) for path in shards])
    chosen = np.sort(np.random.default_rng(0).choice(table.num_rows, min(arguments.candidates, table.num_rows), False))
    table = table.take(pa.array(chosen))
    templates = tables.read(arguments.results / "templates.parquet", tables.TEMPLATES)
    lookup = TemplateLookup(templates)
    geometry = lookup.templates[lookup.places(table["template_id"].to_pylist())]
    elements, scale = table["elements"].to_pylist(), table["volume_scale"].to_numpy()
    crystals = list(decorate(geometry, elements, scale))

    model = matgl.load_model(arguments.potential)
    potential, compiled = (
        load(PotentialOptions(name="m3gnet", path=arguments.potential, compile=choice)) for choice in (False, True)
    )
    mean = np.mean([len(atoms) for atoms in crystals])
    print(f"{len(crystals)} candidates; {mean:.1f} atoms each; {potential.name}")
    ways = {
        "ase": lambda: by_ase(crystals, model),
        **{f"matgl, {size}": partial(by_matgl, crystals, model, size) for size in MATGL_BATCHES},
        "ours": lambda: evaluate(crystals, potential, BATCH)[0],
        "by site": lambda: evaluate(crystals, potential, BATCH, by_site=True)[0],
        "compiled": lambda: evaluate(crystals, compiled, BATCH, by_site=True)[0],
    }
    reference, slowest = np.zeros(0), 0.0
    print(f"{'way':10}{'ms each':>9}{'per s':>8}{'speed':>8}{'largest difference, eV/atom':>30}")
    for name, compute in ways.items():
        compute()  # the first evaluation sets things up
        seconds, energies = timed(compute, arguments.repeats)
        if name == "ase":
            reference, slowest = energies, seconds
        off = np.abs(energies - reference).max()
        each = seconds / len(crystals)
        print(f"{name:10}{1e3 * each:9.2f}{1 / each:8.0f}{slowest / seconds:8.2f}{off:30.1e}")

    hull = Hull([], sorted({e for row in table["elements"].to_pylist() for e in row}))
    if (phases := arguments.results / "known_phases.parquet").exists():
        hull = Hull.from_known_phases(tables.read(phases, tables.KNOWN_PHASES))
    print(f"\n{'screening':34}{'ms each':>9}{'energies':>10}")
    for name, options in {
        "as filled": ScreenOptions(BATCH, refine_below=None),
        "volumes adapted": ScreenOptions(BATCH),
    }.items():

        def energies(options: ScreenOptions = options) -> np.ndarray:
            batches = screen(table, templates, potential, hull, options)
            return np.concatenate([batch["energy_per_atom"] for batch in batches])

        seconds, found = timed(energies, 1)
        print(f"{name:34}{1e3 * seconds / len(crystals):9.2f}{np.isfinite(found).sum():10}")


if __name__ == "__main__":
    main()
