"""Which crystals DFT sees: best first, no larger than asked, each with a reason if not; and the elements."""

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.dft.crystals import CrystalOptions, choose, element_of, to_atoms
from cgwgan_core.dft.mesh import is_molecule
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError

CHEMISTRY = ["Ba", "O"]


def crystal(a: float = 5.5, repeat: int = 1) -> dict[str, Any]:
    """Rocksalt BaO of 2, 16, 54 atoms."""
    return atoms_to_row(bulk("BaO", "rocksalt", a=a).repeat(repeat))


def candidate(name: str, above: float | None, repeat: int = 1, **columns: Any) -> dict[str, Any]:
    row = dict.fromkeys(tables.STABLE.names)
    return row | {
        "candidate_id": name,
        "formula": "BaO",
        "energy_above_hull": above,
        "potential": "EMT",
        **crystal(repeat=repeat),
        **columns,
    }


def phase(name: str, formula: str, by_potential: float | None, by_database: float | None, **columns: Any) -> Any:
    row = dict.fromkeys(tables.KNOWN_PHASES.names)
    return row | {
        "material_id": name,
        "formula": formula,
        "energy_above_hull": by_potential,
        "formation_energy_per_atom": None if by_potential is None else by_potential - 2.8,
        "database_formation_energy_per_atom": by_database,
        "status": "ok",
        **crystal(),
        **columns,
    }


def element(name: str, symbol: str, energy: float | None, n: int) -> dict[str, Any]:
    atoms = Atoms([symbol] * n, positions=np.arange(3 * n).reshape(n, 3) * 2.0, cell=[20, 20, 20 * n], pbc=True)
    return {"material_id": name, "formula": symbol, **atoms_to_row(atoms), "formation_energy_per_atom": energy}


def status(rows: list[dict[str, Any]], kind: str) -> dict[str, str]:
    return {row["crystal_id"]: row["status"] for row in rows if row["kind"] == kind}


def test_candidates_best_first_and_no_larger_than_asked() -> None:
    stable = [
        candidate("d", 0.3),
        candidate("c", 0.2),
        candidate("large", 0.1, repeat=2),
        candidate("b", -0.1),
        candidate("a", -0.1),
        candidate("no distance", None),
    ]
    rows = choose(stable, [], [], CHEMISTRY, CrystalOptions(top=3, max_atoms=10))
    assert [(row["crystal_id"], row["rank"]) for row in rows if row["kind"] == "candidate"] == [
        *(("a", 1), ("b", 2), ("large", 3), ("c", 4), ("d", 5)),
        ("no distance", 6),
    ]
    assert status(rows, "candidate") == {
        **dict.fromkeys("abc", "ok"),
        "large": "16 atoms, more than 10",
        **dict.fromkeys(["d", "no distance"], "beyond the best 3"),
    }
    asked = choose(stable, [], [], CHEMISTRY, CrystalOptions(top=3, max_atoms=10, also=["d"]))
    assert status(asked, "candidate")["d"] == "ok"
    only = choose(stable, [], [], CHEMISTRY, CrystalOptions(top=0, max_atoms=10, also=["d"]))
    assert [name for name, told in status(only, "candidate").items() if told == "ok"] == ["d"]


def test_candidates_that_are_named_are_there() -> None:
    with pytest.raises(InputError, match=r"dft\.also: x is no candidate_id"):
        choose([candidate("a", 0.0)], [], [], [], CrystalOptions(also=["x"]))
    with pytest.raises(InputError, match=r"dft\.max_atoms: 0"):
        CrystalOptions(max_atoms=0)


def test_known_phases_that_compete_by_potential_or_database() -> None:
    known = [
        phase("element-Ba", "Ba", 0.0, None, lattice=None, numbers=None, frac_coords=None),
        phase("hull", "BaO", 0.0, -2.8, **crystal(5.5)),
        phase("by the potential", "BaO", 0.02, -2.6, **crystal(5.6)),
        phase("by the database", "BaO", 0.2, -2.79, **_cubic("cesiumchloride")),
        phase("neither", "BaO", 0.2, -2.6, **_cubic("zincblende")),
        phase("named", "BaO", 0.5, None, **_wurtzite()),
        phase("large", "BaO", 0.0, -2.8, **crystal(5.5, 3)),
        phase("doubted", "BaO", -0.4, None, status="doubted: no energy in the database"),
        phase("failed", "BaO", None, -2.8, status="not converged"),
    ]
    survivor = candidate("a", 0.0, hull_phases=["named"])
    rows = choose([survivor], known, [], CHEMISTRY, CrystalOptions())
    assert status(rows, "known") == {
        "hull": "ok",
        "by the potential": "the same crystal as another known phase: hull",
        "by the database": "ok",
        "neither": "0.200 eV/atom above the hulls, more than 0.03",
        "named": "ok",
        "large": "54 atoms, more than 40",
        "doubted": "doubted: no energy in the database",
        "failed": "not converged",
    }
    assert {row["potential"] for row in rows if row["kind"] == "known"} == {"EMT"}


def _cubic(structure: str) -> dict[str, Any]:
    return atoms_to_row(bulk("BaO", structure, a=4.0 if structure == "cesiumchloride" else 6.2))


def _wurtzite() -> dict[str, Any]:
    return atoms_to_row(bulk("BaO", "wurtzite", a=4.4, c=7.1))


def test_of_equal_crystals_one_with_a_database_energy_stands_for_all() -> None:
    known = [phase("a", "BaO", 0.0, None), phase("b", "BaO", 0.001, -2.8)]
    rows = choose([], known, [], CHEMISTRY, CrystalOptions())
    assert status(rows, "known") == {"a": "the same crystal as another known phase: b", "b": "ok"}


def test_elements() -> None:
    structures = [
        element("low", "Ba", 0.0, 4),
        element("as low, and smaller", "Ba", 0.0004, 2),
        element("smallest", "Ba", 0.01, 1),
        element("unknown", "Ba", None, 1),
        element("S8", "S", 0.0, 128),
        element("P21", "P", 0.0, 84),
        element("black P", "P", 0.04, 4),
        element("no energy", "Ru", None, 2),
    ]
    chemistry = ["S", "Ru", "P", "O", "Li", "Ba"]
    rows = choose([], [], structures, chemistry, CrystalOptions())
    assert [(row["crystal_id"], element_of(row), row["kind"], row["status"]) for row in rows] == [
        ("as low, and smaller", "Ba", "element", "ok"),
        ("element-Li", "Li", "element", "no crystal of Li in the database"),
        ("molecule-O2", "O", "element", "ok"),
        ("black P", "P", "element", "ok"),
        ("element-Ru", "Ru", "element", "no crystal of Ru in the database has an energy"),
        ("element-S", "S", "element", "128 atoms, more than 40"),
    ]
    assert rows[3]["database_formation_energy_per_atom"] == 0.04
    assert [row["lattice"] is not None and is_molecule(to_atoms(row)) for row in rows] == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]


def test_molecules() -> None:
    """O2 is a triplet, 1.218 Å long, at least 6 Å from its images."""
    rows = choose([], [], [], ["O", "N"], CrystalOptions())
    nitrogen, oxygen = (to_atoms(row) for row in rows)
    assert oxygen.get_distance(0, 1) == pytest.approx(1.218)
    assert oxygen.get_initial_magnetic_moments().tolist() == [1, 1]
    assert nitrogen.get_initial_magnetic_moments().tolist() == [0, 0]
    assert oxygen.cell.lengths().min() - oxygen.get_distance(0, 1) > 6
    assert not oxygen.pbc.any()
