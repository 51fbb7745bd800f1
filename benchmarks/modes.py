"""Unstable crystals followed to their end, what refutes imaginary frequencies, and how near a minimum relaxation gets.

    python benchmarks/modes.py known m3gnet=FOLDER sevennet-0
    python benchmarks/modes.py follow m3gnet=FOLDER results/compared.parquet --top 60 --rows first.jsonl
    python benchmarks/modes.py follow m3gnet=FOLDER results/compared.parquet --top 60 --shuffle 1 --rows second.jsonl
    python benchmarks/modes.py same first.jsonl second.jsonl
    python benchmarks/modes.py ends results
    python benchmarks/modes.py same results second.jsonl
    python benchmarks/modes.py larger m3gnet=FOLDER first.jsonl
    python benchmarks/modes.py floor sevennet-l3i5 first.jsonl --crystals 6

FOLDER is M3GNet-MP-2021.2.8-PES. ``known`` prints the family trees of known crystals. ``follow`` judges the best
crystals of a run and follows all that are unstable: how the lines end, and how many crystals within 0.1 eV/atom of the
hull end stable. ``--shuffle`` deals the crystals out in another order, so that they share their batches with others.
``same`` compares the verdicts of two such files, ``ends`` says how the lines of one end; a run's folder ``results/``
will do for either. ``larger`` computes crystals with refuted frequencies once more in supercells of longer edges.
``floor`` relaxes crystals as far as forces go. One process of one thread does all.
The tables are in ``docs/benchmarks/modes.md``.
"""

import argparse
import json
import logging
import random
import re
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.phonons.bands import standardise
from cgwgan_core.phonons.phonons import PASSING, PhononOptions
from cgwgan_core.phonons.shards import phonon_rows
from cgwgan_core.potentials.load import PotentialOptions, load
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.descent import Relaxation
from cgwgan_core.relaxation.relax import relax
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.files import KeptRows
from cgwgan_core.workflow.refusals import category

Row = dict[str, Any]
NEAR_HULL = 0.1
"""eV/atom."""
PLACES = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]


def _perovskite(a: str, b: str, x: str, edge: float) -> Atoms:
    return Atoms([a, b, x, x, x], scaled_positions=PLACES, cell=[edge] * 3, pbc=True)


CRYSTALS = {
    "BaTiO3": _perovskite("Ba", "Ti", "O", 4.03),
    "SrTiO3": _perovskite("Sr", "Ti", "O", 3.94),
    "KNbO3": _perovskite("K", "Nb", "O", 4.06),
    "CsSnI3": _perovskite("Cs", "Sn", "I", 6.28),
    "ZrO2": bulk("ZrO2", "fluorite", a=5.12),
}
"""Cubic crystals that are no minima of the DFT energy, or only of few potentials'."""


def named(given: str) -> Potential:
    """A potential by ``name`` or ``name=path``."""
    name, _, path = given.partition("=")
    return load(PotentialOptions(name=name, path=path or None))


def followed(crystals: list[Row], potential: Potential, options: PhononOptions) -> Iterator[Row]:
    """Rows of ``tables.PHONONS`` of crystals and their descendants, without bands and force constants.

    :param crystals: rows of ``tables.COMPARED``; twelve share their batches, as in a shard.
    """
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, len(crystals), 12):
            with KeptRows(Path(folder) / f"{first}.parquet") as kept:
                for row in phonon_rows(crystals[first : first + 12], potential, options, kept):
                    yield {key: value for key, value in row.items() if key != "force_constants" and "band_" not in key}


def known(potentials: list[str], names: list[str], options: PhononOptions) -> None:
    """Print a family tree for each crystal and potential."""
    print("| potential | crystal | space group | atoms | verdict (THz) | mode followed (cells) | gain (meV/atom) |")
    print("|---|---|---|---|---|---|---|")
    for given in potentials:
        potential = named(given)
        for name in names:
            atoms = CRYSTALS[name]
            cell, positions = atoms.cell.array.ravel().tolist(), atoms.get_scaled_positions().tolist()
            crystal = {"candidate_id": name, "phonon_rank": 1, "lattice": cell, "numbers": atoms.numbers.tolist(),
                       "frac_coords": np.ravel(positions).tolist()}  # fmt: skip
            for row in followed([crystal], potential, options):
                print(f"| {potential.name} | {row['candidate_id']} | {_told(row)} |", flush=True)


def _told(row: Row) -> str:
    if row["verdict"] is None:
        return f" | | {row['status']} | | "
    mode = gain = ""
    if row["generation"]:
        q = ", ".join(f"{x:.3g}" for x in row["followed_q"])
        frequency = "a strain" if row["followed_frequency"] is None else f"{row['followed_frequency']:.2f} at ({q})"
        mode, gain = f"{frequency} ({row['followed_cells']})", f"{1000 * row['energy_gain']:.2f}"
    refuted = "" if row["refuted_frequency"] is None else f"; {row['refuted_frequency']:.2f} refuted"
    verdict = f"{row['verdict']} {row['min_frequency']:+.2f}{refuted}"
    return f"{row['spacegroup']} | {len(row['numbers'])} | {verdict} | {mode} | {gain}"


def follow(given: str, compared: str, top: int, seed: int | None, output: str, options: PhononOptions) -> None:
    """Write the rows of the best crystals and their descendants, and print how they end."""
    crystals = [row for row in tables.read(compared, tables.COMPARED).to_pylist() if row["phonon_rank"] is not None]
    crystals = sorted(crystals, key=lambda row: row["phonon_rank"])[:top]
    above = {row["candidate_id"]: row["energy_above_hull"] for row in crystals}
    if seed is not None:
        random.Random(seed).shuffle(crystals)
    with Path(output).open("w", encoding="utf-8") as file:
        for row in followed(crystals, named(given), options):
            row["above_hull_before"] = above[row["ancestor_id"] or row["candidate_id"]]
            file.write(json.dumps(row) + "\n")
            file.flush()
    ends(read(output))


def read(given: str) -> list[Row]:
    """Rows that :func:`follow` wrote, or those of a run's folder ``results/``."""
    path = Path(given)
    if not path.is_dir():
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    compared = tables.read(path / "compared.parquet", tables.COMPARED, ["candidate_id", "energy_above_hull"])
    above = {row["candidate_id"]: row["energy_above_hull"] for row in compared.to_pylist()}
    names = [field.name for field in tables.PHONONS if "band_" not in field.name and field.name != "force_constants"]
    shards = [tables.read(shard, tables.PHONONS, names) for shard in sorted(path.glob("phonons/*.parquet"))]
    rows = [row for shard in shards for row in shard.to_pylist()]
    return [{**row, "above_hull_before": above[row["ancestor_id"] or row["candidate_id"]]} for row in rows]


def ends(rows: list[Row]) -> None:
    """Print how the lines of crystals end."""
    lines: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        lines[row["ancestor_id"] or row["candidate_id"]].append(row)
    for what, some in (
        ("all", list(lines.values())),
        (f"within {NEAR_HULL} eV/atom", [line for line in lines.values() if line[0]["above_hull_before"] <= NEAR_HULL]),
    ):
        first = Counter(line[0]["verdict"] or category(line[0]["status"]) for line in some)
        unstable = [line for line in some if line[0]["verdict"] == "unstable"]
        last = Counter(line[-1]["verdict"] or category(line[-1]["status"]) for line in unstable)
        generations = Counter(line[-1]["generation"] for line in unstable if line[-1]["verdict"] in PASSING)
        print(f"{what}: {len(some)} crystals: {dict(first)}")
        print(
            f"  {len(unstable)} unstable ones end: {dict(last)}; those that pass after generations {dict(generations)}"
        )
        strained = [line for line in some if line[0]["verdict"] in PASSING and len(line) > 1]
        last = Counter(line[-1]["verdict"] or category(line[-1]["status"]) for line in strained)
        print(f"  {len(strained)} that pass give way to a strain, and end: {dict(last)}")
    refuted = [row for row in rows if row["refuted_frequency"] is not None and row["refuted_frequency"] < -0.1]
    print(
        f"{len(refuted)} of {sum(row['verdict'] is not None for row in rows)} have a frequency below -0.1 THz refuted"
    )


def same(first: str, second: str) -> None:
    """Print whose verdicts, and whose ends, differ between two files."""
    ours, theirs = ({row["candidate_id"]: row for row in read(path)} for path in (first, second))
    generated = [name for name, row in ours.items() if not row["generation"] and name in theirs]
    differ = [name for name in generated if ours[name]["verdict"] != theirs[name]["verdict"]]
    print(f"verdicts: {len(differ)} of {len(generated)} differ")
    for name in differ:
        one, other = ours[name], theirs[name]
        print(f"  {name}: {_told(one)} / {_told(other)}")

    def last(rows: dict[str, Row], name: str) -> str:
        line = [row for row in rows.values() if name in (row["candidate_id"], row["ancestor_id"])]
        return "passes" if line[-1]["verdict"] in PASSING else "ends at a bound"

    unstable = [name for name in generated if ours[name]["verdict"] == theirs[name]["verdict"] == "unstable"]
    print(f"ends: {sum(last(ours, n) != last(theirs, n) for n in unstable)} of {len(unstable)} unstable ones differ")


def larger(given: str, path: str, options: PhononOptions) -> None:
    """Print what a larger supercell says of crystals that pass only because a frequency is refuted."""
    potential = named(given)
    longer = replace(options, min_length=15.0, max_atoms=650, max_cells=1, follow_modes=0)
    print("| crystal | atoms | supercell | lowest (THz) | refuted | larger supercell | lowest there | refuted there |")
    print("|---|---|---|---|---|---|---|---|")
    for row in read(path):
        refuted = row["refuted_frequency"]
        if row["verdict"] not in PASSING or refuted is None or refuted >= options.borderline:
            continue
        atoms = row_to_atoms(row)
        if longer.supercell_atoms(atoms) > longer.max_atoms:
            continue
        (found,) = followed([{**row, "phonon_rank": 1}], potential, longer)
        told = [" x ".join(map(str, row["supercell"])), f"{row['min_frequency']:+.2f}", f"{refuted:.2f}"]
        if found["verdict"] is None:
            told += ["", found["status"], ""]
        else:
            there = found["refuted_frequency"]
            told += [" x ".join(map(str, found["supercell"])), f"{found['min_frequency']:+.2f}"]
            told += ["" if there is None else f"{there:.2f}"]
        print(f"| {row['candidate_id']} | {len(atoms)} | {' | '.join(told)} |", flush=True)


def floor(given: str, path: str, number: int) -> None:
    """Print how small a gradient the relaxation of crystals reaches."""
    potential = named(given)
    rows = [row for row in read(path) if not row["generation"] and row["verdict"] is not None][:number]
    print("| crystal | space group | atoms | steps to 1e-3 eV/Å | to 1e-4 | least gradient, atoms and cell (eV/Å) |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        atoms, _, _ = standardise(row_to_atoms(row))
        told = [row["candidate_id"], row["spacegroup"], len(atoms)]
        for fmax in (1e-3, 1e-4, 1e-9):
            found = relax(atoms, potential, Relaxation(fmax, 500, keep_neighbours=True))
            atoms = found.atoms
            gradient = re.search(r"gradient of atoms and cell ([\d.e+-]+)", found.status)
            told.append(gradient[1] if gradient and fmax < 1e-4 else found.n_steps if found.ok else found.status)
        print(f"| {' | '.join(map(str, told))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("known", help="family trees of known crystals")
    part.add_argument("potentials", nargs="+", help="name, or m3gnet=FOLDER")
    part.add_argument("--crystals", nargs="+", default=list(CRYSTALS), choices=CRYSTALS)
    part = parts.add_parser("follow", help="the best crystals of a run, all followed")
    part.add_argument("potential")
    part.add_argument("compared", help="results/compared.parquet")
    part.add_argument("--top", type=int, default=60)
    part.add_argument("--shuffle", type=int, help="seed of another order")
    part.add_argument("--rows", required=True, help="file to write")
    part = parts.add_parser("ends", help="how the lines of a run's crystals end")
    part.add_argument("rows", help="results/, or a file of follow")
    part = parts.add_parser("same", help="compare two of them")
    part.add_argument("first")
    part.add_argument("second")
    part = parts.add_parser("larger", help="refuted frequencies in larger supercells")
    part.add_argument("potential")
    part.add_argument("rows")
    part = parts.add_parser("floor", help="how near a minimum relaxation gets")
    part.add_argument("potential")
    part.add_argument("rows")
    part.add_argument("--crystals", type=int, default=6)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable()
    torch.set_num_threads(1)
    options = PhononOptions(follow_modes=10**6)
    if given.part == "known":
        known(given.potentials, given.crystals, options)
    elif given.part == "follow":
        follow(given.potential, given.compared, given.top, given.shuffle, given.rows, options)
    elif given.part == "ends":
        ends(read(given.rows))
    elif given.part == "same":
        same(given.first, given.second)
    elif given.part == "larger":
        larger(given.potential, given.rows, options)
    else:
        floor(given.potential, given.rows, given.crystals)


if __name__ == "__main__":
    main()
