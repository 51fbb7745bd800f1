"""CIFs written from real crystals by three writers, read back: how many are the same crystal, refused, or wrong.

    python benchmarks/cif_round_trip.py structures.parquet 5000

The table needs the columns lattice, numbers and frac_coords. Writers: pymatgen with and without symmetry, ASE, and
one that writes the asymmetric unit in a random one of the 530 settings of the crystal's group, with only the Hall
symbol, only the Hermann-Mauguin symbol, or only the operators. A crystal is the same if StructureMatcher, the
cell's volume and the space group say so.
"""

import argparse
import contextlib
import io
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
import pyarrow.parquet as pq
import spglib
from ase import Atoms
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter

from cgwgan_core.database.cif import from_cif
from cgwgan_core.database.record import check, to_columns

warnings.filterwarnings("ignore")
SYMPREC = 0.01
MATCHER = StructureMatcher(ltol=0.01, stol=0.03, angle_tol=1, scale=False)
SETTINGS: dict[int, list[int]] = {}
for hall_number in range(1, 531):
    SETTINGS.setdefault(spglib.get_spacegroup_type(hall_number).number, []).append(hall_number)


def crystals(path: Path, count: int, seed: int) -> Iterator[Structure]:
    table = pq.read_table(path, columns=["lattice", "numbers", "frac_coords"])
    rows = np.random.default_rng(seed).choice(len(table), min(count, len(table)), replace=False)
    for row in np.sort(rows):
        fields = table.slice(int(row), 1).to_pylist()[0]
        lattice, coords = (np.reshape(fields[name], (-1, 3)) for name in ("lattice", "frac_coords"))
        yield Structure(lattice, fields["numbers"], coords)


def by_pymatgen(structure: Structure, _: np.random.Generator) -> str:
    return str(CifWriter(structure))


def by_pymatgen_with_symmetry(structure: Structure, _: np.random.Generator) -> str:
    return str(CifWriter(structure, symprec=SYMPREC))


def by_ase(structure: Structure, _: np.random.Generator) -> str:
    file = io.BytesIO()
    atoms = Atoms(
        structure.atomic_numbers, cell=structure.lattice.matrix, scaled_positions=structure.frac_coords, pbc=True
    )
    ase.io.write(file, atoms, format="cif")
    return file.getvalue().decode()


def in_any_setting(structure: Structure, random: np.random.Generator) -> str:
    cell = structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers
    number = spglib.get_symmetry_dataset(cell, SYMPREC).number
    hall_number = int(random.choice(SETTINGS[number]))
    found = spglib.get_symmetry_dataset(cell, SYMPREC, hall_number=hall_number)
    return written(
        found.std_lattice,
        found.std_types,
        found.std_positions,
        hall_number,
        ("hall", "symbol", "operators")[random.integers(3)],
    )


def written(lattice: np.ndarray, types: np.ndarray, coords: np.ndarray, hall_number: int, told: str) -> str:
    """A CIF with the first atom of every orbit, and the symmetry told in one way.

    :param told: hall, symbol (with its choice of origin and axes) or operators.
    """
    kind, group = spglib.get_spacegroup_type(hall_number), spglib.get_symmetry_from_database(hall_number)
    rotations, translations = group["rotations"], group["translations"]
    left, rows = set(range(len(types))), []
    while left:
        row = min(left)
        rows.append(row)
        steps = (rotations @ coords[row] + translations)[:, None] - coords
        steps -= np.rint(steps)
        left -= set(np.flatnonzero((np.linalg.norm(steps @ lattice, axis=2) < 0.05).any(axis=0)).tolist()) | {row}
    counts = Counter(Element.from_Z(int(z)).symbol for z in types)
    cell = Lattice(lattice)
    lines = ["data_any", f"_chemical_formula_sum '{' '.join(f'{s}{n}' for s, n in counts.items())}'"]
    lines.append("_cell_formula_units_Z 1")
    lines += [f"_cell_length_{name} {value:.6f}" for name, value in zip("abc", cell.abc, strict=True)]
    names = ("alpha", "beta", "gamma")
    lines += [f"_cell_angle_{name} {value:.6f}" for name, value in zip(names, cell.angles, strict=True)]
    if told == "hall":
        lines.append(f"_space_group_name_Hall {quoted(kind.hall_symbol)}")
    elif told == "symbol":
        origin = f":{kind.choice}" if kind.choice[:1] in ("1", "2", "H", "R") else ""
        lines.append(f"_space_group_name_H-M_alt '{kind.international_full.replace('_', '')}{origin}'")
    else:
        lines += ["loop_", "_space_group_symop_operation_xyz"]
        lines += [f"'{triplet(r, t)}'" for r, t in zip(rotations, translations, strict=True)]
    lines += ["loop_", "_atom_site_label", "_atom_site_type_symbol"]
    lines += [f"_atom_site_fract_{axis}" for axis in "xyz"]
    for row in rows:
        symbol = Element.from_Z(int(types[row])).symbol
        lines.append(f"{symbol}{row} {symbol} " + " ".join(f"{value:.6f}" for value in coords[row]))
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'


def triplet(rotation: np.ndarray, translation: np.ndarray) -> str:
    parts = []
    for row, shift in zip(rotation, translation, strict=True):
        terms = "".join(f"{'+' if value > 0 else '-'}{axis}" for value, axis in zip(row, "xyz", strict=True) if value)
        twelfths = round(shift * 24)
        parts.append(terms.removeprefix("+") + (f"+{twelfths}/24" if twelfths else ""))
    return ",".join(parts)


def verdict(structure: Structure, cif: str) -> tuple[str, str]:
    """Same, refused or wrong; and why."""
    (record,) = from_cif(cif, "x")
    reason = record.reason or check(to_columns([record]))[0]
    if reason:
        return "refused", reason
    found = Structure(record.lattice.reshape(3, 3), record.numbers.astype(int), record.frac_coords.reshape(-1, 3))
    per_atom = found.volume / len(found), structure.volume / len(structure)
    if abs(per_atom[0] / per_atom[1] - 1) > 1e-3:
        return "wrong", f"volume {per_atom[0]:.3f} for {per_atom[1]:.3f} Å³ an atom"
    if not MATCHER.fit(found, structure):
        with contextlib.suppress(Exception):
            if MATCHER.fit(found, CifParser.from_str(cif).parse_structures(primitive=False)[0]):
                return "changed by the writer", "pymatgen reads the same from the file"
        return "wrong", "another structure"
    groups = [s.get_space_group_info(SYMPREC)[1] for s in (found, structure)]
    if groups[0] != groups[1] and groups[0] != structure.get_space_group_info(2 * SYMPREC)[1]:
        return "other group", f"group {groups[0]} for {groups[1]}"
    return "same", record.remark or ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("structures", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    writers = (by_pymatgen, by_pymatgen_with_symmetry, by_ase, in_any_setting)
    random = np.random.default_rng(args.seed)
    counts: dict[str, Counter[str]] = {writer.__name__: Counter() for writer in writers}
    ours = theirs = 0.0
    timed = 0
    for i, structure in enumerate(crystals(args.structures, args.count, args.seed)):
        writer = writers[i % len(writers)]
        cif = writer(structure, random)
        start = time.process_time()
        from_cif(cif, "x")
        ours += time.process_time() - start
        if timed < 300:
            start = time.process_time()
            with contextlib.suppress(Exception):  # some of them it cannot read
                CifParser.from_str(cif).parse_structures(primitive=False)
            theirs += time.process_time() - start
            timed += 1
            if timed == min(300, args.count):
                print(f"{1000 * ours / timed:.2f} ms a CIF; pymatgen {1000 * theirs / timed:.2f} ms")
        kind, detail = verdict(structure, cif)
        counts[writer.__name__][kind] += 1
        if i % 500 == 499:
            print(f"{i + 1} done", flush=True)
        if detail:
            print(f"{i} {structure.reduced_formula} {writer.__name__}: {kind}: {detail}", flush=True)
    for name, found in counts.items():
        print(f"{name}: {dict(found)}")


if __name__ == "__main__":
    main()
