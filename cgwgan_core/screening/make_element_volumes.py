"""Make ``element_volumes.csv`` again: ``python -m cgwgan_core.screening.make_element_volumes structures.parquet``.

The table is a least-squares fit of cell volumes, V = Σ n_i v_i, to a structures table. The committed one is fitted to
the Materials Project's (v2023.11.1, CC-BY-4.0, doi:10.1063/1.4812323).
"""

import csv
import sys
from pathlib import Path

import numpy as np
from pymatgen.core import Element

from cgwgan_core.workflow import tables

TABLE = Path(__file__).with_name("element_volumes.csv")
LEAST = 30
"""Structures that tell the volume of an element."""


def make_element_volumes(structures: Path) -> None:
    """Volume of each element, Å³ per atom, in compounds with O or F (``oxide``) and in all others (``other``).

    One volume for both would be right for neither: magnesium takes 8 Å³ in oxides and 23 Å³ in alloys.
    Iteratively reweighted towards the least absolute relative error, so that the few layered and porous
    structures do not set the volumes of all the others. Elements in fewer than :data:`LEAST` structures of a
    class are left out.
    """
    table = tables.read(structures, tables.STRUCTURES, ["lattice", "numbers"])
    cells = np.stack(table["lattice"].to_numpy(zero_copy_only=False)).reshape(-1, 3, 3)
    volumes = np.abs(np.linalg.det(cells))
    counts = np.stack(
        [np.bincount(numbers, minlength=119) for numbers in table["numbers"].to_numpy(zero_copy_only=False)]
    ).astype(float)
    oxide = (counts[:, [8, 9]] > 0).any(1)
    fitted: list[dict[int, float]] = []
    for rows in (oxide, ~oxide):
        used = np.flatnonzero((counts[rows] > 0).sum(0) >= LEAST)
        relative = counts[rows][:, used] / volumes[rows, None]
        solution, weights = np.zeros(len(used)), np.ones(len(relative))
        for _ in range(25):
            weighted = relative * weights[:, None]
            solution = np.linalg.solve(weighted.T @ relative + 1e-9 * np.eye(len(used)), weighted.sum(0))
            weights = 1 / np.maximum(np.abs(relative @ solution - 1), 0.02)
        fitted.append({int(z): float(v) for z, v in zip(used, solution, strict=True) if v > 1})
    with TABLE.open("w", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(["element", "oxide", "other"])
        for z in sorted(fitted[0].keys() | fitted[1].keys()):
            out.writerow([Element.from_Z(z).symbol, *(f"{f[z]:.2f}" if z in f else "" for f in fitted)])


if __name__ == "__main__":
    make_element_volumes(Path(sys.argv[1]))
