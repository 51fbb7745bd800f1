"""Potentials beside their own ASE calculators and torch-sim, on candidates of a run, in one process of one thread.

    python benchmarks/potentials.py results chgnet sevennet-l3i5 m3gnet=M3GNet-MP-2021.2.8-PES nequix=WEIGHTS.pt

A potential is a name of ``potential.name``, with ``=`` and ``potential.path`` where it needs one. Candidates are drawn
from all that have an energy. Columns are processor milliseconds for a crystal:

- ``ASE``: the library's own calculator, one crystal after the other, asked for energy, forces and stress, since most
  compute them all in any case;
- ``torch-sim``: the library's own model for torch-sim, in the same batches, asked for the same; empty where it offers
  none, or torch-sim is not installed;
- ``energy`` and ``forces``: :meth:`Potential.evaluate` in batches, without and with forces and stress;
- ``... by orbit``: one atom of each orbit, where the potential can.

A second table has processor seconds for the forces of a supercell of 135 atoms, one of which is displaced, as phonons
need them: by the library's own calculator, and here.

The last columns of the first are the largest differences to the calculator: energy (meV/atom) and, in batches, forces
(meV/Å). The first call of each is not counted: it compiles.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator

from cgwgan_core.potentials.engines import torch_sim_is_there
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Evaluation, Potential
from cgwgan_core.potentials.sevennet import WEIGHTS
from cgwgan_core.potentials.torch_sim_model import TorchSimModel
from cgwgan_core.screening.candidates import TemplateLookup
from cgwgan_core.workflow import tables

warnings.filterwarnings("ignore")


def own_calculator(options: PotentialOptions) -> Calculator:
    """The calculator that the potential's library offers."""
    # ruff: noqa: PLC0415 - one library of several
    if options.name == "chgnet":
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(use_device="cpu", verbose=False)
    if options.name.startswith("sevennet"):
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator(options.name.replace("sevennet", "7net"), device="cpu")
    if options.name == "nequix":
        from nequix.calculator import NequixCalculator

        return NequixCalculator(model_path=options.path, backend="torch", use_kernel=False)
    import matgl
    from matgl.ext.ase import PESCalculator

    return PESCalculator(matgl.load_model(options.path), stress_unit="eV/A3")


def own_model(options: PotentialOptions) -> Potential | None:
    """The model that the potential's library offers to torch-sim."""
    if not torch_sim_is_there():
        return None
    if options.name.startswith("sevennet"):
        import sevenn
        from sevenn.torchsim import SevenNetModel

        file = Path(sevenn.__file__).parent / "pretrained_potentials" / WEIGHTS[options.name]
        return TorchSimModel(SevenNetModel(str(file), device="cpu"), options.name, "mp_uncorrected", "", {})
    if options.name == "nequix":
        from nequix.torch_sim import NequixTorchSimModel

        cpu = torch.device("cpu")
        model = NequixTorchSimModel(options.path, use_kernel=False, device=cpu, dtype=torch.float32)
        return TorchSimModel(model, options.name, "mp_uncorrected", "", {})
    return None


def drawn(run: Path, n: int) -> list[Atoms]:
    """Candidates drawn from all that were screened and have an energy, at the volume of that energy."""
    shards = [path.name for path in sorted((run / "screened").glob("*.parquet"))]
    filled = pa.concat_tables(tables.read(run / "candidates" / name, tables.CANDIDATES) for name in shards)
    screened = pa.concat_tables(tables.read(run / "screened" / name, tables.SCREENED) for name in shards)
    filled = filled.set_column(filled.schema.get_field_index("volume_scale"), "volume_scale", screened["volume_scale"])
    good = np.flatnonzero(pc.equal(screened["status"], "ok").to_numpy(zero_copy_only=False))
    places = np.random.default_rng(0).choice(good, min(n, len(good)), replace=False)
    lookup = TemplateLookup(tables.read(run / "templates.parquet", tables.TEMPLATES))
    return [lookup.atoms(row) for row in filled.take(places).to_pylist()]


def milliseconds(compute: Callable[[], Any], n: int, repeats: int) -> tuple[float, Any]:
    """The best of some times, for a crystal, and what was computed."""
    best, found = np.inf, None
    for _ in range(repeats):
        start = time.process_time()
        found = compute()
        best = min(best, time.process_time() - start)
    return 1000 * best / n, found


def by_ase(crystals: Sequence[Atoms], calculator: Calculator) -> list[tuple[float, np.ndarray]]:
    """Energy per atom and forces of each."""
    found = []
    for crystal in crystals:
        calculator.reset()  # or it remembers the last crystal
        atoms = crystal.copy()
        atoms.calc = calculator
        atoms.get_stress()
        found.append((atoms.get_potential_energy() / len(atoms), atoms.get_forces()))
    return found


def in_batches(
    crystals: Sequence[Atoms], batch_size: int, repeats: int, potential: Potential, orbits: Any, more: bool
) -> tuple[float, Evaluation]:
    """Milliseconds for each, and what was found; with forces and stress if ``more``."""

    def compute() -> Evaluation:
        return potential.evaluate(crystals, forces=more, stress=more, batch_size=batch_size, orbits=orbits)

    compute()
    return milliseconds(compute, len(crystals), repeats)


def supercell() -> Atoms:
    """Cubic BaRuO3, 3 x 3 x 3, one atom moved by 0.01 Å."""
    edge = 4.0
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    atoms = Atoms("BaRuO3", scaled_positions=places, cell=[edge] * 3, pbc=True).repeat(3)
    atoms.positions[0, 0] += 0.01
    return atoms


def of_supercells(names: Sequence[str], repeats: int) -> None:
    cell = supercell()
    print(f"\nforces of {len(cell)} atoms, one displaced; s")
    print("| potential | ASE | here | meV/Å |")
    print("|---|---|---|---|")
    for name in names:
        potential, calculator = load(named(name)), own_calculator(named(name))
        torch.set_num_threads(1)
        theirs, ((_, expected),) = milliseconds(partial(by_ase, [cell], calculator), 1, repeats)
        ours, found = in_batches([cell], 1, repeats, potential, None, True)
        off = float(np.abs(found.forces[0] - expected).max())
        print(
            f"| {potential.name} | {theirs / 1000:.2f} | {ours / 1000:.2f} ({theirs / ours:.1f}×) | {1000 * off:.3f} |",
            flush=True,
        )


def named(text: str) -> PotentialOptions:
    """From ``name`` or ``name=path``."""
    name, _, path = text.partition("=")
    return PotentialOptions(name=name, path=path or None)


def main(run: Path, names: Sequence[str], candidates: int, batch_size: int, repeats: int) -> None:
    crystals = drawn(run, candidates)
    sites = [atoms.arrays["site"] for atoms in crystals]
    n = len(crystals)
    atoms = np.mean([len(crystal) for crystal in crystals])
    print(f"{n} candidates of {atoms:.1f} atoms and {np.mean([s.max() + 1 for s in sites]):.1f} sites; ms for each")
    print("| potential | ASE | torch-sim | energy | forces | energy by orbit | forces by orbit | meV/atom | meV/Å |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        potential, calculator, model = load(named(name)), own_calculator(named(name)), own_model(named(name))
        torch.set_num_threads(1)
        by_ase(crystals[:1], calculator)
        spent, theirs = milliseconds(lambda c=calculator: by_ase(crystals, c), n, repeats)
        batched = partial(in_batches, crystals, batch_size, repeats)
        runs = [(potential, orbits, more) for orbits in (None, sites) for more in (False, True)]
        measured = [batched(*run) for run in (runs if potential.by_orbit else runs[:2])]
        found = [evaluation for _, evaluation in measured]
        times = [batched(model, None, True)[0] if model else None, *(time_of for time_of, _ in measured)]
        cells = [f"{spent:.1f}", *("" if t is None else f"{t:.1f} ({spent / t:.1f}×)" for t in times)]
        cells += [""] * (6 - len(cells))
        energies = np.array([energy for energy, _ in theirs])
        off = max(float(np.nanmax(np.abs(e.energy_per_atom - energies))) for e in found)
        forces = max(float(np.abs(a - b).max()) for a, (_, b) in zip(found[1].forces, theirs, strict=True))
        print(f"| {potential.name} | {' | '.join(cells)} | {1000 * off:.3f} | {1000 * forces:.2f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="results folder of a run")
    parser.add_argument("names", nargs="+", help="potentials, as name or name=path")
    parser.add_argument("--candidates", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    main(arguments.run, arguments.names, arguments.candidates, arguments.batch_size, arguments.repeats)
    of_supercells(arguments.names, arguments.repeats)
