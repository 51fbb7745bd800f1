"""Make the tables of this folder again: ``python -m cgwgan_core.data.make_tables [structures.parquet]``.

``wyckoff.csv`` comes from PyXtal's transcription of International Tables A (standard setting: unique axis b,
cell choice 1, hexagonal axes, origin choice 2; DOI 10.1016/j.cpc.2020.107810), a development dependency.
``element_volumes.csv`` is a least-squares fit of cell volumes, V = Σ n_i v_i, to a structures table: the
committed one to the Materials Project's (v2023.11.1, CC-BY-4.0, DOI 10.1063/1.4812323).
"""

import csv
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def make_wyckoff() -> None:
    """All 1,731 Wyckoff positions, from the site of highest symmetry (a) to the general position."""
    from pyxtal.symmetry import Group

    with (HERE / "wyckoff.csv").open("w", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(["number", "letter", "multiplicity", "site_symmetry", "representative"])
        for number in range(1, 231):
            for position in reversed(Group(number).Wyckoff_positions):
                position.get_site_symmetry()
                representative = position.ops[0].as_xyz_str().replace(" ", "")
                out.writerow(
                    [number, position.letter, position.multiplicity, position.site_symm, representative]
                )


def make_element_volumes(structures: Path, least: int = 30) -> None:
    """Volume of each element in compounds, Å³ per atom; elements in fewer than ``least`` structures are left out.

    Iteratively reweighted towards the least absolute relative error, so that the few layered and porous
    structures do not set the volumes of all the others.
    """
    from pymatgen.core import Element

    from cgwgan_core import tables

    table = tables.read(structures, tables.STRUCTURES, ["lattice", "numbers"])
    cells = np.stack(table["lattice"].to_numpy(zero_copy_only=False)).reshape(-1, 3, 3)
    volumes = np.abs(np.linalg.det(cells))
    counts = np.stack(
        [np.bincount(numbers, minlength=119) for numbers in table["numbers"].to_numpy(zero_copy_only=False)]
    )
    used = np.flatnonzero((counts > 0).sum(0) >= least)
    relative = counts[:, used] / volumes[:, None]
    weights = np.ones(len(volumes))
    for _ in range(30):
        solution = np.linalg.lstsq(relative * weights[:, None], weights, rcond=None)[0]
        weights = 1 / np.sqrt(np.maximum(np.abs(relative @ solution - 1), 0.02))
    with (HERE / "element_volumes.csv").open("w", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(["element", "volume"])
        out.writerows([Element.from_Z(z).symbol, f"{v:.2f}"] for z, v in zip(used, solution, strict=True))


if __name__ == "__main__":
    make_wyckoff()
    if len(sys.argv) > 1:
        make_element_volumes(Path(sys.argv[1]))
