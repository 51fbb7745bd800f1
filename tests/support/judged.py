"""A handful of judged crystals, of which three survive."""

import numpy as np
import pyarrow as pa
from ase import Atoms
from ase.build import bulk, make_supercell

from cgwgan_core.crystallography.structures import atoms_to_row, row_to_structure
from cgwgan_core.phonons.phonons import PASSING
from cgwgan_core.screening.comparison import Library
from cgwgan_core.workflow import tables
from tests.support.crystals import crystal_row

CRYSTALS = {
    "t1-Na-Cl": (bulk("NaCl", "rocksalt", a=5.64), 225, 0.02, "stable"),
    "t2-Mg-O": (bulk("MgO", "rocksalt", a=4.21), 225, 0.2, "stable"),
    "t3-Si": (bulk("Si", "diamond", a=5.43), 227, 0.02, "borderline"),
    "t4-K-Br": (bulk("KBr", "rocksalt", a=6.6), 225, 0.0, "unstable"),
    "t5-Ba-O": (bulk("BaO", "rocksalt", a=5.5), 225, 0.0, None),
    "t6-Na-Cl": (
        make_supercell(bulk("NaCl", "rocksalt", a=5.7), [[1, 1, 0], [0, 1, 0], [0, 0, 2]]),
        225,
        0.1,
        "stable",
    ),
    "t7-Ca-O": (bulk("CaO", "rocksalt", a=4.8), 225, 0.0, "stable"),
}
TIGHTER = -0.004
"""eV/atom by which the relaxation before the phonons lowers each energy."""
HIGHER = 0.03
"""eV/atom by which the second potential puts each crystal higher."""
FREQUENCY = {"stable": 0.1, "borderline": -0.3, "unstable": -3.0, None: None}


KNOWN_PHASES = tables.to_table(
    [
        {"material_id": "element-Na", "formula": "Na", "status": "ok"},
        {"material_id": "mp-22851", "formula": "NaCl", **atoms_to_row(bulk("NaCl", "cesiumchloride", a=3.4))},
        {"material_id": "mp-22862", "formula": "NaCl", **atoms_to_row(bulk("NaCl", "rocksalt", a=5.66))},
    ],
    tables.KNOWN_PHASES,
)


def judged() -> tuple[pa.Table, pa.Table, pa.Table]:
    """Tables of relaxed crystals, of their phonons, and of what a second potential says of these.

    It puts all of them higher, and finds magnesia unstable.
    """
    compared, phonons, again = [], [], []
    for rank, (name, (atoms, group, hull, verdict)) in enumerate(CRYSTALS.items(), start=1):
        compared.append(
            {
                **crystal_row(atoms, candidate_id=name),
                "template_id": name[:2],
                "formula": atoms.get_chemical_formula("metal", empirical=True),
                "rank": rank,
                "energy_per_atom": -5.0,
                "formation_energy_per_atom": -1.0,
                "energy_above_hull": hull - TIGHTER,
                "status": "ok",
                "phonon_rank": rank,
            }
        )
        failed = verdict is None
        phonons.append(
            {
                "candidate_id": name,
                "min_frequency": FREQUENCY[verdict],
                "verdict": verdict,
                "paper_stable": None if failed else FREQUENCY[verdict] >= -0.5,
                "supercell": None if failed else [2, 2, 2],
                "force_constants": _springs(atoms) if verdict in PASSING else None,
                "potential": "M3GNet-MP-2021.2.8-PES",
                **({} if failed else {**atoms_to_row(atoms), "spacegroup": group, "energy_per_atom": -5.0 + TIGHTER}),
                "status": "not converged: 0.1 eV/Å" if failed else "ok",
            }
        )
        if not failed:
            by_second = "unstable" if name == "t2-Mg-O" else verdict
            again.append(
                {
                    "candidate_id": name,
                    "min_frequency": FREQUENCY[by_second],
                    "verdict": by_second,
                    "mechanically_stable": by_second in PASSING or None,
                    "energy_above_hull": hull + HIGHER,
                    "potential": "CHGNet-0.3.0",
                    "status": "ok",
                }
            )
    return (
        tables.to_table(compared, tables.COMPARED),
        tables.to_table(phonons, tables.PHONONS),
        tables.to_table(again, tables.SECOND_PHONONS),
    )


def _springs(atoms: Atoms) -> list[float]:
    """Force constants of atoms each on a spring of its own, in 2 x 2 x 2 cells: phonopy's order is atom by atom."""
    constants = np.zeros((len(atoms), 8 * len(atoms), 3, 3))
    for i in range(len(atoms)):
        constants[i, 8 * i] = (5.0 + i) * np.eye(3)
    return constants.ravel().tolist()


def known() -> Library:
    """The database: calcia, which is hence not new."""
    library = Library()
    library.add("mp-2605", row_to_structure(atoms_to_row(bulk("CaO", "rocksalt", a=4.84))))
    return library
