"""A dump of the Materials Project with broken records among the good ones: which does the reader keep and refuse?

    python benchmarks/corrupted_dump.py mp.parquet --broken 1000 --folder dump

Writes the structures of a Parquet file (material_id, lattice, numbers, frac_coords, energies) as JSON Lines of
documents as mp-api gives them, some of them broken in twenty ways, and reads them. Prints what became of each way,
whether all others were kept with identical numbers, seconds and peak memory.
"""

import argparse
import hashlib
import json
import random
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from ase.data import chemical_symbols
from ase.geometry import cell_to_cellpar

from cgwgan_core.crystallography.composition import formula_of_numbers
from cgwgan_core.database.read import read_database

Document = dict[str, Any]
MIN_ATOMS = 2
"""Records that are broken have at least two atoms, so that one can be put onto another."""


def document(row: dict[str, Any]) -> Document:
    """A summary document of mp-api."""
    lattice, coords = np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3))
    symbols = [chemical_symbols[z] for z in row["numbers"]]
    cell = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), cell_to_cellpar(lattice).tolist(), strict=True))
    sites = [
        {"species": [{"element": s, "occu": 1}], "abc": abc, "properties": {"magmom": 0.0}, "label": s, "xyz": xyz}
        for s, abc, xyz in zip(symbols, coords.tolist(), (coords @ lattice).tolist(), strict=True)
    ]
    volume = float(abs(np.linalg.det(lattice)))
    return {
        "builder_meta": {"emmet_version": "0.72.20", "pymatgen_version": "2023.11.12", "database_version": "2023.11.1"},
        "nsites": len(sites),
        "elements": sorted(set(symbols)),
        "composition": dict(Counter(symbols)),
        "formula_pretty": formula_of_numbers(np.array(row["numbers"])),
        "volume": volume,
        "material_id": row["material_id"],
        "deprecated": False,
        "structure": {
            "@module": "pymatgen.core.structure",
            "@class": "Structure",
            "charge": 0.0,
            "lattice": {"matrix": lattice.tolist(), "pbc": [True] * 3, **cell, "volume": volume},
            "properties": {},
            "sites": sites,
        },
        "formation_energy_per_atom": row.get("formation_energy_per_atom"),
        "energy_above_hull": row.get("energy_above_hull"),
    }


def _structure(change: Callable[[Document], None]) -> Callable[[Document, random.Random], str]:
    def broken(doc: Document, _: random.Random) -> str:
        change(doc["structure"])
        return json.dumps(doc)

    return broken


def _field(**changes: Any) -> Callable[[Document, random.Random], str]:
    return lambda doc, _: json.dumps(doc | changes)


def tenfold(matrix: list[list[float]]) -> list[list[float]]:
    """A matrix whose numbers all got a digit more."""
    return [[10 * x for x in vector] for vector in matrix]


def _cut(doc: Document, rng: random.Random) -> str:
    line = json.dumps(doc)
    return line[: rng.randrange(20, len(line) - 20)]


def _noise(doc: Document, rng: random.Random) -> str:
    line = json.dumps(doc)
    return "".join(chr(rng.randrange(32, 1000)) for _ in line[:500])


def _comma(doc: Document, _: random.Random) -> str:
    doc["formation_energy_per_atom"] = str(doc["formation_energy_per_atom"] or -3.02).replace(".", ",")
    return json.dumps(doc)


WAYS: dict[str, Callable[[Document, random.Random], str]] = {
    "line cut": _cut,
    "line of noise": _noise,
    "bracket missing": lambda doc, _: json.dumps(doc).replace("]", "", 1),
    "nested 100,000 deep": lambda doc, _: json.dumps(doc)[:-1] + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "structure null": _field(structure=None),
    "structure a list": _field(structure=[1, 2, 3]),
    "lattice missing": _structure(lambda s: s.pop("lattice")),
    "lattice not a number": _structure(lambda s: s["lattice"]["matrix"][0].__setitem__(0, float("nan"))),
    "lattice of two vectors": _structure(lambda s: s["lattice"].__setitem__("matrix", s["lattice"]["matrix"][:2])),
    "lattice flat": _structure(lambda s: s["lattice"]["matrix"].__setitem__(0, s["lattice"]["matrix"][1])),
    "lattice with a digit more": _structure(lambda s: s["lattice"].update(matrix=tenfold(s["lattice"]["matrix"]))),
    "site missing": _structure(lambda s: s["sites"].pop()),
    "site twice": _structure(lambda s: s["sites"][-1].update(abc=s["sites"][0]["abc"])),
    "coordinate infinite": _structure(lambda s: s["sites"][0]["abc"].__setitem__(1, float("inf"))),
    "coordinate a word": _structure(lambda s: s["sites"][0]["abc"].__setitem__(1, "O.25")),
    "coordinate missing": _structure(lambda s: s["sites"][0]["abc"].pop()),
    "element unknown": _structure(lambda s: s["sites"][0]["species"][0].__setitem__("element", "Xx")),
    "element another": _structure(lambda s: s["sites"][0]["species"][0].__setitem__("element", "Og")),
    "site half full": _structure(lambda s: s["sites"][0]["species"][0].__setitem__("occu", 0.5)),
    "energy with a comma": _comma,
}  # fmt: skip


def fingerprint(row: dict[str, Any]) -> str:
    """Equal for equal numbers."""
    parts = (row["lattice"], row["numbers"], row["frac_coords"])
    energies = [row.get(name) for name in ("formation_energy_per_atom", "energy_above_hull")]
    arrays = b"".join(np.asarray(part, dtype=float).tobytes() for part in parts)
    return hashlib.sha256(arrays + repr(energies).encode()).hexdigest()


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Structures of the Parquet file."""
    with pq.ParquetFile(path) as file:
        wanted = {"material_id", "lattice", "numbers", "frac_coords", "formation_energy_per_atom", "energy_above_hull"}
        for batch in file.iter_batches(2048, columns=[n for n in file.schema_arrow.names if n in wanted]):
            yield from batch.to_pylist()


def write(source: Path, dump: Path, n_broken: int, seed: int) -> tuple[dict[str, str], dict[int, tuple[str, str]]]:
    """Write the dump; fingerprints of the good records by name, and way and name of the broken ones by line."""
    rng = random.Random(seed)
    with pq.ParquetFile(source) as file:
        lines = set(rng.sample(range(file.metadata.num_rows), n_broken))
    good: dict[str, str] = {}
    broken: dict[int, tuple[str, str]] = {}
    owed = 0
    dump.parent.mkdir(parents=True, exist_ok=True)
    with dump.open("w", encoding="utf-8") as out:
        for number, row in enumerate(rows(source)):
            doc = document(row)
            owed += number in lines
            if owed and len(row["numbers"]) >= MIN_ATOMS:
                way = list(WAYS)[len(broken) % len(WAYS)]
                broken[number + 1] = way, row["material_id"]
                out.write(WAYS[way](doc, rng) + "\n")
                owed -= 1
            else:
                good[row["material_id"]] = fingerprint(row)
                out.write(json.dumps(doc) + "\n")
    return good, broken


def read(dump: Path) -> tuple[dict[str, str], dict[str, str], float, float]:
    """Fingerprints of what is kept, reasons of what is refused, seconds, and peak memory in GiB."""
    start = time.perf_counter()
    kept: dict[str, str] = {}
    refused: dict[str, str] = {}
    seconds = 0.0
    for batch in read_database("mp_dump", dump, chunk=1, threads=1, download=dump.parent):
        seconds += time.perf_counter() - start
        kept |= {row["material_id"]: fingerprint(row) for row in batch.structures.to_pylist()}
        refused |= {row["record"]: row["reason"] for row in batch.refused.to_pylist()}
        start = time.perf_counter()
    return kept, refused, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Print the table and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parquet", type=Path)
    parser.add_argument("--broken", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the dump is written, and removed")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    dump = given.folder / "corrupted.jsonl"
    try:
        good, broken = write(given.parquet, dump, given.broken, given.seed)
        size = dump.stat().st_size / 1e9
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # its memory is the reader's alone
            kept, refused, seconds, memory = pool.submit(read, dump).result()
    finally:
        dump.unlink(missing_ok=True)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for line, (way, name) in broken.items():
        reason = refused.get(name) or refused.get(f"record-{line}") or "KEPT"
        reasons[way][reason.split(":")[0]] += 1
    print("| broken by | reason |")
    print("|---|---|")
    for way, found in reasons.items():
        print(f"| {way} | {', '.join(f'{n} {reason}' for reason, n in found.most_common())} |")
    same = sum(kept.get(name) == digest for name, digest in good.items())
    told = f"{len(kept) - same:,} others kept, {len(refused):,} refused; {seconds:.1f} s, {memory:.2f} GiB at most"
    print(
        f"\n{len(good) + len(broken):,} records, {size:.2f} GB; {same:,} of {len(good):,} good ones kept as they are, "
        + told
    )


if __name__ == "__main__":
    main()
