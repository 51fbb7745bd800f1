"""VASP as an engine: inputs of a static calculation, results in the calculation's order, and the ladder of remedies."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.io import read
from pymatgen.core import SETTINGS
from pymatgen.io.vasp.inputs import Incar, Kpoints, Potcar

from cgwgan_core.dft.calculation import Calculation, Outcome
from cgwgan_core.dft.store import Store
from cgwgan_core.dft.vasp_engine import STRESS_CUTOFF, Vasp
from cgwgan_core.dft.vasp_presets import DftOptions, vasp_order
from cgwgan_core.workflow.errors import InputError
from tests.support.vasp import of_vasp, write_outcar, write_relaxation, write_static

# Equal elements stand apart, so an order that is not undone would show.
CRYSTAL = Atoms(
    ["O", "Fe", "O", "Sr", "O"],
    scaled_positions=[(0.5, 0.5, 0.01), (0.5, 0.5, 0.5), (0.5, 0, 0.5), (0, 0.02, 0), (0, 0.5, 0.5)],
    cell=[3.85] * 3,
    magmoms=[0, 3, 0, 0, -0.5],
    pbc=True,
)
ORDER = [3, 1, 0, 2, 4]  # Sr, Fe, O as they come
FORCES = np.arange(15.0).reshape(5, 3) / 100
MOMENTS = np.array([0.1, 3.2, 0.3, 0.4, -0.5])
ENERGY = -31.5


@pytest.fixture(autouse=True)
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)


def calculation(atoms: Atoms = CRYSTAL, engine: Vasp | None = None, **changes: Any) -> Calculation:
    """As a stage would ask for it, through JSON as in a store."""
    asked = Calculation(atoms, "vasp", (engine or Vasp(None)).parameters(atoms, **changes))
    return Calculation.from_json(json.loads(json.dumps(asked.to_json())))


def result(folder: Path, **options: Any) -> None:
    """The files that VASP would write in the folder of :data:`CRYSTAL`."""
    sorted_atoms = read(folder / "POSCAR")
    write_static(folder / "vasprun.xml", sorted_atoms, ENERGY, FORCES[ORDER], **{"ispin": 2, **options})
    write_outcar(folder / "OUTCAR", 3.5, MOMENTS[ORDER])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Inputs of :data:`CRYSTAL`, with stress."""
    Vasp(None).write(calculation(stress=True), tmp_path)
    return tmp_path


def test_inputs(folder: Path) -> None:
    names = ["INCAR", "KPOINTS", "POSCAR", "POTCAR.spec", "ase-sort.dat"]
    assert sorted(p.name for p in folder.iterdir()) == names
    incar = Incar.from_file(folder / "INCAR")
    wanted = {"NSW": 0, "IBRION": -1, "ISIF": 2, "ENCUT": STRESS_CUTOFF, "EDIFF": 1e-7, "ISMEAR": 0, "ISPIN": 2}
    assert {tag: incar[tag] for tag in wanted} == wanted
    assert [float(m) for m in incar["MAGMOM"]] == [0, 3, 0, 0, -0.5]
    assert incar["LDAUU"] == [0, 5.3, 0]
    assert (folder / "POTCAR.spec").read_text().split() == ["Sr_sv", "Fe_pv", "O"]
    assert Kpoints.from_file(folder / "KPOINTS").kpts == [(9, 9, 9)]  # |b| of 3.85 Å: 8.2 intervals of 0.2
    poscar = read(folder / "POSCAR")
    assert poscar.numbers.tolist() == CRYSTAL.numbers[ORDER].tolist()
    assert poscar.positions == pytest.approx(CRYSTAL.positions[ORDER], abs=1e-9)
    pairs = np.loadtxt(folder / "ase-sort.dat", dtype=int)
    assert pairs[:, 0].tolist() == ORDER == vasp_order(CRYSTAL)
    assert np.array(ORDER)[pairs[:, 1]].tolist() == [0, 1, 2, 3, 4]


def test_results_come_back_in_the_order_of_the_calculation(folder: Path) -> None:
    kbar = np.array([[10, 1, 2], [1, 20, 3], [2, 3, 30.0]])
    result(folder, stress=kbar, entropy=-0.2)
    found = Vasp(None).read(folder)
    assert (found.status, found.version, found.repairable) == ("converged", "VASP 6.4.2", False)
    assert found.energy == pytest.approx(ENERGY)
    assert np.array(found.forces) == pytest.approx(FORCES)
    assert found.magnetic_moment == pytest.approx(3.5)
    assert found.magnetic_moments == pytest.approx(MOMENTS)
    by_ase = read(folder / "vasprun.xml")
    assert found.stress == pytest.approx(by_ase.get_stress())
    assert found.stress[0] == pytest.approx(-0.00624, abs=1e-5)  # 10 kbar, compressed, in eV/Å³
    assert found.energy == pytest.approx(by_ase.get_potential_energy())
    assert Outcome.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_compressed_results(folder: Path) -> None:
    result(folder)
    for name in ("vasprun.xml", "OUTCAR"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    found = Vasp(None).read(folder)
    assert (found.status, found.stress, found.magnetic_moment) == ("converged", None, 3.5)


def test_energies_of_unknown_spin_order_are_refused(folder: Path) -> None:
    result(folder)
    write_outcar(folder / "OUTCAR", 3.5, MOMENTS[:3])
    assert Vasp(None).read(folder).status == "failed: OUTCAR does not have the moments of 5 atoms"
    (folder / "OUTCAR").write_bytes(b"OUTCAR")
    assert Vasp(None).read(folder).status.startswith("failed: OUTCAR cannot be read (")
    (folder / "OUTCAR").unlink()
    found = Vasp(None).read(folder)
    assert found.status == "failed: there is no OUTCAR, which has the moments; put it beside vasprun.xml"
    assert (found.energy, found.repairable) == (None, False)


def test_a_crystal_without_moments_has_no_spin(tmp_path: Path) -> None:
    asked = calculation().with_moments(np.zeros(5))
    Vasp(None).write(asked, tmp_path)
    incar = Incar.from_file(tmp_path / "INCAR")
    assert (incar["ISPIN"], "MAGMOM" in incar) == (1, False)
    result(tmp_path, ispin=1)
    found = Vasp(None).read(tmp_path)
    assert (found.magnetic_moment, found.magnetic_moments) == (0, [0] * 5)


def test_a_molecule_keeps_its_moment_at_one_k_point(tmp_path: Path) -> None:
    oxygen = Atoms("O2", [[5, 5, 5], [5, 5, 6.21]], cell=[10, 10.5, 11], magmoms=[1, 1])
    Vasp(None).write(calculation(oxygen), tmp_path)
    incar = Incar.from_file(tmp_path / "INCAR")
    assert (incar["NUPDOWN"], incar["ISPIN"]) == (2, 2)
    assert Kpoints.from_file(tmp_path / "KPOINTS").kpts == [(2, 2, 2)]
    assert read(tmp_path / "POSCAR").cell.lengths() == pytest.approx([10, 10.5, 11])


def test_a_job_script_in_each_attempt(tmp_path: Path) -> None:
    (tmp_path / "template.sh").write_text("cd {folder} && {command} # {name}")
    options = DftOptions(job=str(tmp_path / "template.sh"), command="vasp_std")
    Store(tmp_path / "store", Vasp(None, options)).run(calculation())
    key = calculation().key
    assert (tmp_path / "store" / key / "attempt-1" / "job.sh").read_text() == f"cd . && vasp_std # vasp-{key}"


def test_without_stress_the_cutoff_is_the_presets() -> None:
    parameters = Vasp(None).parameters(CRYSTAL)
    assert (parameters["ENCUT"], parameters["ISIF"]) == (520, 0)
    r2scan = Vasp(None, DftOptions(preset="mp_r2scan", dispersion="D4", kspacing=0.4)).parameters(CRYSTAL)
    assert (r2scan["METAGGA"].upper(), r2scan["IVDW"], r2scan["kpoints"]) == ("R2SCAN", 13, [5, 5, 5])
    assert r2scan["library"] == "PBE_64"


def test_an_element_without_a_potential_is_refused(tmp_path: Path) -> None:
    polonium = Atoms("Po", cell=[3.3] * 3, pbc=True)
    with pytest.raises(InputError, match="no PBE potential for Po"):
        Vasp(None).write(calculation(polonium), tmp_path)


def test_a_command_needs_potentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="PMG_VASP_PSP_DIR"):
        Vasp("vasp_std")
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", "somewhere")
    assert Vasp("mpirun -np 4 vasp_std").command() == ["mpirun", "-np", "4", "vasp_std"]
    assert Vasp(None).command() is None


@pytest.mark.parametrize(
    ("options", "status", "repairable"),
    [
        ({"scsteps": 200}, "not converged: electrons, 200 steps", True),
        ({"potcars": {"Sr": "Sr_sv", "Fe": "Fe", "O": "O"}}, "failed: POTCAR Sr_sv, Fe, O in place of", False),
    ],
)
def test_what_is_no_energy(folder: Path, options: dict[str, Any], status: str, repairable: bool) -> None:
    result(folder, **options)
    found = Vasp(None).read(folder)
    assert found.status.startswith(status)
    assert (found.energy, found.repairable) == (None, repairable)


def test_results_of_another_crystal_are_refused(folder: Path) -> None:
    atoms = read(folder / "POSCAR")
    larger = Atoms(atoms, cell=atoms.cell * 1.02)
    moved = atoms.copy()
    moved.positions[1] += 0.1
    for other, status in ((larger, "its crystal is not"), (moved, "its atoms are not"), (atoms[::-1], "its crystal")):
        write_static(folder / "vasprun.xml", other, ENERGY, FORCES)
        assert Vasp(None).read(folder).status.startswith(f"failed: {status}")
    write_relaxation(folder / "vasprun.xml", atoms, ENERGY)
    assert Vasp(None).read(folder).status == "failed: 3 ionic steps in place of one"


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("vasprun.xml", b"", "unfinished"),
        ("vasprun.xml", b"<?xml version='1.0'?><modeling>", "unfinished"),
        ("vasprun.xml", b"Segmentation fault", "failed: ValueError: it is not XML"),
        ("vasprun.xml.gz", b"<?xml", "failed: BadGzipFile"),
        ("stdout", b" WARNING\n BRMIX: very serious problems\n the old and the new", "failed: BRMIX"),
    ],
)
def test_folders_that_hold_no_result(folder: Path, name: str, content: bytes, status: str) -> None:
    (folder / name).write_bytes(content)
    found = Vasp(None).read(folder)
    assert found.status.startswith(status)
    assert found.repairable == (name == "stdout")


SOLVER = """
import sys
from pathlib import Path
from ase.calculators.lj import LennardJones
from ase.io import read
from pymatgen.io.vasp.inputs import Incar
sys.path.insert(0, {root!r})
from tests.support.vasp import write_outcar, write_static
atoms = read("POSCAR")
atoms.calc = LennardJones(sigma=1.7, epsilon=0.5, rc=5.0, smooth=True)
steps = 9 if "AMIX" in Incar.from_file("INCAR") else 200
write_static(Path("vasprun.xml"), atoms, atoms.get_potential_energy(), atoms.get_forces(), scsteps=steps, ispin=2)
write_outcar(Path("OUTCAR"), 5.0, range(5))
"""


def test_a_store_climbs_the_ladder_and_reads_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair potential in VASP's place, that converges with weaker mixing alone."""
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", "somewhere")
    monkeypatch.setattr(Potcar, "set_symbols", lambda *_: None)
    (tmp_path / "solver.py").write_text(SOLVER.format(root=str(Path(__file__).parents[3])))
    engine = Vasp(f"{sys.executable} {tmp_path / 'solver.py'}")
    found = Store(tmp_path / "store", engine).run(calculation(engine=engine))
    assert found.status == "converged"
    assert found.remedies == tuple(remedy.name for remedy in Vasp.remedies[:2])
    atoms = CRYSTAL.copy()
    atoms.calc = LennardJones(sigma=1.7, epsilon=0.5, rc=5.0, smooth=True)
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert np.array(found.forces) == pytest.approx(atoms.get_forces(), abs=1e-6)
    assert [found.magnetic_moments[i] for i in ORDER] == [0, 1, 2, 3, 4]


def test_a_run_from_elsewhere_is_picked_up(tmp_path: Path) -> None:
    store = Store(tmp_path, Vasp(None))
    assert store.run(calculation()).status.startswith("waiting: inputs in")
    assert store.run(calculation()).status.startswith("waiting: inputs in")
    result(tmp_path / calculation().key / "attempt-1")
    found = store.run(calculation())
    assert (found.status, found.energy) == ("converged", pytest.approx(ENERGY))


# --------------------------------------------------------------------------------- files that VASP wrote


def test_an_outcar_of_vasp_without_moments_of_atoms(folder: Path) -> None:
    result(folder)
    (folder / "OUTCAR").write_bytes(of_vasp("OUTCAR_example_1").read_bytes())  # made without LORBIT
    assert Vasp(None).read(folder).status == "failed: OUTCAR does not have the moments of 5 atoms"


@pytest.mark.parametrize(
    ("name", "symbols", "potentials", "version"),
    [
        ("vasprun_pstress.xml", "C2", ["C"], "VASP 6.3.0"),
        ("vasprun_dfpt.xml", "NaCl", ["Na", "Cl"], "VASP 6.3.2"),
    ],
)
def test_files_of_vasp(tmp_path: Path, name: str, symbols: str, potentials: list[str], version: str) -> None:
    by_ase = read(of_vasp(name))
    atoms = Atoms(by_ase.symbols, scaled_positions=by_ase.get_scaled_positions(), cell=by_ase.cell, pbc=True)
    engine = Vasp(None)
    engine.write(calculation(atoms, potentials=potentials), tmp_path)
    (tmp_path / "vasprun.xml").write_bytes(of_vasp(name).read_bytes())
    found = engine.read(tmp_path)
    assert (found.status, found.version) == ("converged", version)
    assert str(by_ase.symbols) == symbols
    assert found.stress == pytest.approx(by_ase.get_stress())
    assert np.array(found.forces) == pytest.approx(by_ase.get_forces())
    assert found.magnetic_moment == 0
    if name == "vasprun_dfpt.xml":  # the other ran under pressure, and its energies hold the work done against it
        assert found.energy == pytest.approx(by_ase.get_potential_energy())
