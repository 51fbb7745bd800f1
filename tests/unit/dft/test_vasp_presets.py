"""VASP's presets: what they ask for, in folders that pymatgen and ASE read, by displacements or DFPT; job scripts."""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from phonopy import load
from phonopy.interface.vasp import read_vasp
from pymatgen.core import SETTINGS
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar
from pymatgen.io.vasp.sets import MP24RelaxSet, MP24StaticSet, MPRelaxSet

from cgwgan_core.dft.vasp import prepare
from cgwgan_core.dft.vasp_presets import PRESETS, DftOptions
from cgwgan_core.dft.vasp_results import read_results
from cgwgan_core.workflow.errors import InputError
from tests.support.crystals import crystal_row, perovskite_atoms
from tests.support.shell import blocks, run
from tests.support.vasp import write_force_constants, write_relaxation

NIO = bulk("NiO", "rocksalt", a=4.2)
DEFAULTS = {"IBRION": -1, "NSW": 0, "ISMEAR": 0, "SIGMA": 0.05, "LREAL": False, "EDIFF": 1e-7, "NELM": 200}


@pytest.fixture(autouse=True)
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)


def written(folder: Path, options: DftOptions) -> tuple[Incar, Incar]:
    """INCAR of NiO's relaxation and of its phonons."""
    rows = prepare(folder, [crystal_row(NIO, candidate_id="NiO")], options)
    assert [row["status"] for row in rows] == ["prepared", "prepared"]
    relax, phonon = (Incar.from_file(folder / "NiO" / task / "INCAR") for task in ("relax", "phonon"))
    return relax, phonon


def differences(one: Incar, other: Incar) -> set[str]:
    """Tags in which two INCAR files differ."""
    return {tag for tag in {*one, *other} if one.get(tag) != other.get(tag)}


def test_mp_is_the_materials_projects_but_for_convergence(tmp_path: Path) -> None:
    relax, phonon = written(tmp_path, DftOptions())
    theirs = MPRelaxSet(AseAtomsAdaptor.get_structure(NIO)).incar
    tightened = {"ALGO", "EDIFF", "EDIFFG", "ISMEAR", "LREAL", "NELM", "NSW", "LCHARG", "KSPACING"}
    assert differences(relax, theirs) == tightened
    assert differences(phonon, relax) == {"IBRION", "ISIF", "NSW", "EDIFFG", "KSPACING", "MAGMOM"}
    assert relax["LDAUU"] == [6.2, 0]


@pytest.mark.parametrize("dispersion", [None, "D4"])
def test_r2scan_is_the_materials_projects_but_for_convergence(tmp_path: Path, dispersion: str | None) -> None:
    relax, phonon = written(tmp_path, DftOptions(preset="mp_r2scan", dispersion=dispersion))
    structure = AseAtomsAdaptor.get_structure(NIO)
    theirs = MP24RelaxSet(structure, dispersion=dispersion).incar
    outputs = {"LAECHG", "LCHARG", "LVTOT"}
    assert differences(relax, theirs) == {"EDIFF", "EDIFFG", "NSW", "KSPACING", *outputs}
    static = MP24StaticSet(structure, dispersion=dispersion).incar
    assert differences(phonon, static) == {"EDIFF", "IBRION", "ISIF", "ISMEAR", "KSPACING", "MAGMOM", *outputs}
    assert (relax["METAGGA"].upper(), relax["ENCUT"], "LDAU" in relax) == ("R2SCAN", 680, False)
    assert (relax.get("IVDW"), phonon.get("IVDW")) == ((13, 13) if dispersion else (None, None))
    kpoints = Kpoints.from_file(tmp_path / "NiO" / "phonon" / "KPOINTS")
    assert kpoints.kpts == [(7, 7, 7)]  # |b| is 2.591 / 2 in the doubled cell: 6.5 intervals of 0.2
    assert " ".join((tmp_path / "NiO" / "relax" / "POTCAR.spec").read_text().split()) == "Ni_pv O"


@pytest.mark.parametrize(("dispersion", "number"), [(None, 12), ("D3BJ", 12), ("D3", 11)])
def test_the_papers_settings_and_what_it_leaves_open(tmp_path: Path, dispersion: str | None, number: int) -> None:
    relax, phonon = written(tmp_path, DftOptions(preset="paper", dispersion=dispersion))
    wanted = {"KSPACING": 0.2, "EDIFF": 1e-7, "NSW": 300, "IVDW": number, "ENCUT": 520, "LDAU": False}
    assert {tag: relax[tag] for tag in wanted} == wanted
    assert {tag: phonon[tag] for tag in DEFAULTS} == DEFAULTS
    assert {"GGA", "METAGGA", "LDAUU"}.isdisjoint(relax)  # PBE is that of the potentials, which are PBE's
    readme = (tmp_path / "README.md").read_text()
    incar = (tmp_path / "NiO" / "relax" / "INCAR").read_text()
    assert PRESETS["paper"].open_points
    for point in PRESETS["paper"].open_points:
        assert f"- {point}\n" in readme
        assert f"# Left open by the source of these settings: {point}\n" in incar


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (DftOptions(), ["MPRelaxSet", "PBE(+U)", "EDIFF 1e-07", "Formation energies are given, too", '"vasp_std"']),
        (DftOptions(preset="mp_r2scan", dispersion="D4"), ["MP24RelaxSet", "r2SCAN", "D4", "no formation energies"]),
        (DftOptions(preset="paper", command="srun vasp_ncl"), ["CGWGAN", "Becke-Johnson", '["srun", "vasp_ncl"]']),
        (DftOptions(preset="paper", phonon_method="dfpt"), ["IBRION = 8", "no second derivatives of dispersion"]),
    ],
)
def test_the_readme_follows_the_options(tmp_path: Path, options: DftOptions, words: list[str]) -> None:
    prepare(tmp_path, [], options)
    text = " ".join((tmp_path / "README.md").read_text().split())
    assert [word for word in words if word not in text] == []
    assert ("Left open" in text) == (options.preset == "paper")


def test_dfpt_asks_for_one_supercell(tmp_path: Path) -> None:
    relax, phonon = written(tmp_path, DftOptions(preset="paper", phonon_method="dfpt"))
    wanted = {**DEFAULTS, "IBRION": 8, "NSW": 1}
    assert {tag: phonon[tag] for tag in wanted} == wanted
    assert "IVDW" in relax
    assert "IVDW" not in phonon  # VASP has none of its second derivatives
    folder = tmp_path / "NiO" / "phonon"
    names = ["INCAR", "KPOINTS", "POSCAR", "POSCAR-unitcell", "POTCAR.spec", "inputs.json", "phonopy_disp.yaml"]
    assert sorted(p.name for p in folder.iterdir()) == names
    poscar = Poscar.from_file(folder / "POSCAR")
    assert (poscar.site_symbols, poscar.natoms) == (["Ni", "O"], [8, 8])


def test_dfpts_commands_run(tmp_path: Path) -> None:
    """As far as they go without VASP: force constants come back as they were put into its file."""
    written(tmp_path, DftOptions(phonon_method="dfpt"))
    crystal = tmp_path / "NiO"
    larger = Atoms(NIO, cell=NIO.cell * 1.01)
    larger.set_scaled_positions(NIO.get_scaled_positions())
    Poscar(AseAtomsAdaptor.get_structure(larger)).write_file(crystal / "relax" / "CONTCAR", significant_figures=16)
    remake, collect, _ = blocks((tmp_path / "README.md").read_text())
    run(remake, crystal)
    phonon = crystal / "phonon"
    supercell = read_vasp(phonon / "POSCAR")
    assert supercell.volume == pytest.approx(8 * larger.get_volume())
    assert list(phonon.glob("POSCAR-[0-9]*")) == []
    springs = _springs(read(phonon / "POSCAR"))
    write_force_constants(phonon / "vasprun.xml", read(phonon / "POSCAR"), springs)
    run(collect, phonon)
    made = load(phonon / "phonopy_disp.yaml", force_constants_filename=phonon / "FORCE_CONSTANTS", symmetrize_fc=False)
    at = [0] if made.force_constants.shape[0] == 2 else list(range(16))
    assert made.force_constants[at] == pytest.approx(springs[at], abs=1e-6)
    assert (phonon / "band.yaml").stat().st_size > 0


def _springs(atoms: Atoms) -> np.ndarray:
    """Force constants of springs of 5 eV/Å² along the bonds to nearest neighbours, (n, n, 3, 3)."""
    n = len(atoms)
    constants = np.zeros((n, n, 3, 3))
    vectors = atoms.get_all_distances(mic=True, vector=True)
    lengths = np.linalg.norm(vectors, axis=2)
    for i, j in np.argwhere((lengths > 0) & (lengths < 2.3)):
        along = np.outer(vectors[i, j], vectors[i, j]) / lengths[i, j] ** 2
        constants[i, j] -= 5 * along
        constants[i, i] += 5 * along
    return constants


def test_fifty_crystals_in_seconds(tmp_path: Path) -> None:
    """Both readers find the crystal that was put in, and INCAR's lists fit its elements."""
    metals = ["Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Zr", "Nb", "Ru"]
    pairs = [(a, b) for a in ("Mg", "Ca", "Sr", "Ba", "La") for b in metals]
    crystals = {f"t{i}-{a}-{b}": perovskite_atoms(3.9 + 0.01 * i, (a, b, "O")) for i, (a, b) in enumerate(pairs)}
    start = time.process_time()
    rows = prepare(tmp_path, [crystal_row(atoms, candidate_id=name) for name, atoms in crystals.items()], DftOptions())
    assert time.process_time() - start < 60
    assert {row["status"] for row in rows} == {"prepared"}
    assert len(rows) == 100
    for name, atoms in crystals.items():
        folder = tmp_path / name / "relax"
        poscar, incar = Poscar.from_file(folder / "POSCAR"), Incar.from_file(folder / "INCAR")
        assert read(folder / "POSCAR").get_volume() == pytest.approx(atoms.get_volume())
        assert sorted(read(folder / "POSCAR").numbers) == sorted(atoms.numbers)
        assert poscar.structure.matches(AseAtomsAdaptor.get_structure(atoms))
        assert len(incar["MAGMOM"]) == 5
        assert len(incar.get("LDAUU", poscar.site_symbols)) == 3
        assert [p.split("_")[0] for p in (folder / "POTCAR.spec").read_text().split()] == poscar.site_symbols
        assert len(read(tmp_path / name / "phonon" / "POSCAR-001")) == 40


def test_results_of_r2scan_have_an_energy_alone(tmp_path: Path) -> None:
    row = crystal_row(bulk("MgO", "rocksalt", a=4.2), candidate_id="MgO")
    prepared = prepare(tmp_path / "dft", [row], DftOptions(preset="mp_r2scan"))
    path = tmp_path / "dft" / "MgO" / "relax" / "vasprun.xml"
    write_relaxation(path, bulk("MgO", "rocksalt", a=4.2), -15.0, metagga="R2SCAN")
    survivor = {**row, "formation_energy_per_atom": -3.0, "volume_per_atom": 9.0, "spacegroup": 225, "potential": "p"}
    (found,) = read_results([path], prepared, [survivor])
    assert found["status"] == "converged; no formation energy: R2SCAN is not PBE"
    assert (found["current"], found["energy_per_atom"]) == (True, pytest.approx(-7.5))
    assert found["formation_energy_per_atom"] is found["formation_energy_difference"] is None


# ---------------------------------------------------------------------------------------------- job scripts

SCRIPT = """#!/bin/bash
#SBATCH --job-name={name}
cd {folder}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK}
{command} > vasp.out
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.sh"
    path.write_text(SCRIPT)
    return path


def test_each_folder_gets_its_job_script(tmp_path: Path, template: Path) -> None:
    row = crystal_row(NIO, candidate_id="NiO")
    plain = prepare(tmp_path / "dft", [row], DftOptions())
    options = DftOptions(job=str(template), command="mpirun -np 4 vasp_std")
    rows = prepare(tmp_path / "dft", [row], options)
    assert [r["status"] for r in rows] == ["prepared", "prepared"]
    assert [r["inputs"] for r in rows] == [r["inputs"] for r in plain]  # a script changes no result
    assert (tmp_path / "dft" / "NiO" / "relax" / "job.sh").read_text() == SCRIPT.replace("{name}", "NiO-relax").replace(
        "{folder}", str(tmp_path / "dft" / "NiO" / "relax")
    ).replace("{command}", "mpirun -np 4 vasp_std")


def test_displaced_supercells_get_scripts_of_their_own(tmp_path: Path, template: Path) -> None:
    prepare(
        tmp_path / "dft",
        [crystal_row(NIO, candidate_id="NiO")],
        DftOptions(job=str(template), command="touch vasprun.xml #"),
    )
    phonon = tmp_path / "dft" / "NiO" / "phonon"
    shutil.copy(phonon / "POTCAR.spec", phonon / "POTCAR")
    distribute = blocks((tmp_path / "dft" / "README.md").read_text())[1]
    run(f"{distribute}\nfor job in disp-*/job.sh; do bash $job; done", phonon)
    folders = sorted(phonon.glob("disp-*"))
    assert [p.name for p in folders] == ["disp-001", "disp-002"]
    assert all((p / "vasprun.xml").exists() for p in folders)


@pytest.mark.parametrize(
    ("text", "command", "message"),
    [
        (None, "vasp_std", "vasp.job: .*missing.sh cannot be read"),
        ("cd {directory}\n", "vasp_std", r"vasp.job: .*\{directory\}, which is unknown"),
        ("{command}\n", None, "vasp.command: .*there is none"),
    ],
)
def test_templates_are_checked_before_anything_is_written(
    tmp_path: Path, text: str | None, command: str | None, message: str
) -> None:
    path = tmp_path / "missing.sh"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "dft", [crystal_row(NIO, candidate_id="NiO")], DftOptions(job=str(path), command=command))
    assert not (tmp_path / "dft").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kspacing": 0.0}, "vasp.kspacing"),
        ({"ediff": -1.0}, "vasp.ediff"),
        ({"supercell": [2, 2]}, "vasp.supercell"),
        ({"preset": "pbe"}, "vasp.preset: pbe is unknown; choose from mp, mp_r2scan, paper"),
        ({"phonon_method": "dftp"}, "vasp.phonon_method: dftp is unknown; choose from displacements, dfpt"),
        ({"dispersion": "D4"}, "vasp.dispersion: preset mp has no D4; choose from null"),
        ({"preset": "paper", "dispersion": "D2"}, "choose from null, D3BJ, D3"),
        ({"preset": "mp_r2scan", "phonon_method": "dfpt"}, "vasp.phonon_method: VASP has no DFPT of meta-GGAs"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DftOptions(**wrong)
