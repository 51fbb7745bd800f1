"""VASP: what it would read, the README's commands run, folders prepared once more, and results read back."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import read
from phonopy import load
from pymatgen.core import SETTINGS, Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar, Potcar

from cgwgan_core.dft.folders import read_record
from cgwgan_core.dft.vasp import KEPT, prepare
from cgwgan_core.dft.vasp_presets import DftOptions
from cgwgan_core.dft.vasp_results import read_results
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.provenance import Provenance
from scripts.dft_inputs import main
from tests.support.crystals import crystal_row
from tests.support.shell import blocks, run
from tests.support.vasp import POTCARS, of_vasp, write_relaxation, write_static

# The oxygens stand apart, so an order that VASP cannot use would show.
PEROVSKITE = Atoms(
    ["O", "Fe", "O", "Sr", "O"],
    scaled_positions=[(0.5, 0.5, 0), (0.5, 0.5, 0.5), (0.5, 0, 0.5), (0, 0, 0), (0, 0.5, 0.5)],
    cell=[3.85] * 3,
    pbc=True,
)
ROWS = [
    crystal_row(PEROVSKITE, candidate_id="t1-Sr-Fe-O"),
    crystal_row(Atoms("Po", cell=[3.3] * 3, pbc=True), candidate_id="t2-Po"),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)
        folder = tmp_path_factory.mktemp("results") / "dft"
        return folder, prepare(folder, ROWS, DftOptions())


def test_rows(prepared: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, rows = prepared
    assert [(r["candidate_id"], r["task"], r["status"]) for r in rows[:2]] == [
        ("t1-Sr-Fe-O", "relax", "prepared"),
        ("t1-Sr-Fe-O", "phonon", "prepared"),
    ]
    assert {r["status"] for r in rows[2:]} == {"not prepared: the Materials Project's set has no PBE potential for Po"}
    assert [r["path"] for r in rows] == ["dft/t1-Sr-Fe-O/relax", "dft/t1-Sr-Fe-O/phonon", None, None]
    assert all((folder.parent / r["path"]).is_dir() for r in rows[:2])
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "t1-Sr-Fe-O"]


def test_relaxation(prepared: tuple[Path, list[dict[str, Any]]]) -> None:
    folder = prepared[0] / "t1-Sr-Fe-O" / "relax"
    assert sorted(p.name for p in folder.iterdir()) == ["INCAR", "POSCAR", "POTCAR.spec", "inputs.json"]
    incar = Incar.from_file(folder / "INCAR")
    wanted = {"KSPACING": 0.2, "EDIFF": 1e-7, "EDIFFG": -1e-3, "ISIF": 3, "ISPIN": 2, "LREAL": False, "ENCUT": 520}
    assert {key: incar[key] for key in wanted} == wanted
    poscar = Poscar.from_file(folder / "POSCAR")
    assert poscar.site_symbols == ["Sr", "Fe", "O"]
    assert (folder / "POTCAR.spec").read_text().split() == ["Sr_sv", "Fe_pv", "O"]
    assert incar["LDAUU"] == [0, 5.3, 0]  # the Materials Project's U of iron oxides, on the second element
    assert [float(m) for m in incar["MAGMOM"]] == [0.6, 5, 0.6, 0.6, 0.6]
    assert poscar.structure.matches(
        Structure(PEROVSKITE.cell.array, PEROVSKITE.numbers, PEROVSKITE.get_scaled_positions())
    )


def test_phonon_inputs(prepared: tuple[Path, list[dict[str, Any]]]) -> None:
    folder = prepared[0] / "t1-Sr-Fe-O" / "phonon"
    incar = Incar.from_file(folder / "INCAR")
    wanted = {"IBRION": -1, "NSW": 0, "ISMEAR": 0, "SIGMA": 0.05, "LREAL": False, "EDIFF": 1e-7}
    assert {key: incar[key] for key in wanted} == wanted
    assert "KSPACING" not in incar
    assert "EDIFFG" not in incar
    kpoints = Kpoints.from_file(folder / "KPOINTS")
    # |b| of a 7.7 Å cube is 0.816 1/Å: 4.08 intervals of 0.2
    assert (kpoints.style.name, kpoints.kpts) == ("Gamma", [(5, 5, 5)])
    rest = Poscar.from_file(folder / "SPOSCAR")
    displaced = sorted(folder.glob("POSCAR-[0-9]*"))
    assert len(displaced) == 3  # one for each orbit: Sr, Fe, O
    for path in displaced:
        poscar = Poscar.from_file(path)
        assert poscar.site_symbols == rest.site_symbols == ["Sr", "Fe", "O"]
        moved = poscar.structure.frac_coords - rest.structure.frac_coords
        lengths = np.linalg.norm((moved - np.round(moved)) @ rest.structure.lattice.matrix, axis=1)
        assert np.sort(lengths)[-2:] == pytest.approx([0, 0.01], abs=1e-9)
    moments = [float(m) for m in incar["MAGMOM"]]
    assert [moments[i] for i, site in enumerate(rest.structure) if site.specie.symbol == "Fe"] == [5] * 8
    assert set(moments) == {5, 0.6}


def _write_vasprun(folder: Path) -> None:
    """The forces of a pair potential in VASP's place."""
    atoms = read(folder / "POSCAR")
    atoms.calc = LennardJones(sigma=1.7, epsilon=0.5, rc=5.0, smooth=True)
    write_static(folder / "vasprun.xml", atoms, 0.0, atoms.get_forces())


def test_readme_commands_run(prepared: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    """As far as they go without VASP: a DFT-relaxed cell a little larger comes back as displaced supercells."""
    shutil.copytree(prepared[0], tmp_path / "dft")
    folder = tmp_path / "dft" / "t1-Sr-Fe-O"
    relaxed = Poscar.from_file(folder / "relax" / "POSCAR").structure
    relaxed.scale_lattice(relaxed.volume * 1.03)
    Poscar(relaxed).write_file(folder / "relax" / "CONTCAR", significant_figures=16)
    shutil.copy(folder / "phonon" / "POTCAR.spec", folder / "phonon" / "POTCAR")
    remake, distribute, collect, _ = blocks((tmp_path / "dft" / "README.md").read_text())
    run(f"{remake}\n{distribute}", folder)
    folders = sorted((folder / "phonon").glob("disp-*"))
    assert [f.name for f in folders] == ["disp-001", "disp-002", "disp-003"]
    for disp in folders:
        assert sorted(p.name for p in disp.iterdir()) == ["INCAR", "KPOINTS", "POSCAR", "POTCAR"]
        poscar = Poscar.from_file(disp / "POSCAR")
        assert poscar.structure.volume == pytest.approx(8 * relaxed.volume)
        assert poscar.site_symbols == ["Sr", "Fe", "O"]
        _write_vasprun(disp)
    run(collect, folder / "phonon")
    made = load(folder / "phonon" / "phonopy_disp.yaml", force_sets_filename=folder / "phonon" / "FORCE_SETS")
    assert made.unitcell.volume == pytest.approx(relaxed.volume)
    assert made.forces.shape == (3, 40, 3)
    assert (folder / "phonon" / "band.yaml").stat().st_size > 0


def test_same_bytes_and_whole_folders(prepared: tuple[Path, list[dict[str, Any]]], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)
    (tmp_path / "dft" / ".t1-Sr-Fe-O.part" / "relax").mkdir(parents=True)  # a killed job's
    prepare(tmp_path / "dft", ROWS, DftOptions())
    first, second = (
        {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        for folder in (prepared[0], tmp_path / "dft")
    )
    assert first == second
    assert [p.name for p in tmp_path.iterdir()] == ["dft"]


def test_a_library_that_lacks_an_element_costs_that_crystal_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))
    rows = prepare(tmp_path / "dft", ROWS[:1], DftOptions())
    assert {r["status"].split(":")[0] for r in rows} == {"not prepared"}
    assert "Sr_sv" in rows[0]["status"]
    assert [p.name for p in (tmp_path / "dft").iterdir()] == ["README.md"]


def test_supercell_option(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)
    prepare(
        tmp_path / "dft",
        [crystal_row(bulk("MgO", "rocksalt", a=4.21), candidate_id="MgO")],
        DftOptions(supercell=(3, 3, 2)),
    )
    rest = Poscar.from_file(tmp_path / "dft" / "MgO" / "phonon" / "SPOSCAR")
    assert len(rest.structure) == 36
    assert "--dim 3 3 2" in (tmp_path / "dft" / "README.md").read_text()


def test_no_survivors(tmp_path: Path) -> None:
    tables.write(tmp_path / "stable.parquet", [], tables.STABLE, Provenance())
    main(
        stable=str(tmp_path / "stable.parquet"),
        options=DftOptions(),
        folder=str(tmp_path / "dft"),
        table=str(tmp_path / "dft_inputs.parquet"),
        made_from=Provenance(),
    )
    assert [p.name for p in (tmp_path / "dft").iterdir()] == ["README.md"]
    assert tables.read(tmp_path / "dft_inputs.parquet", tables.DFT_INPUTS).num_rows == 0


# ------------------------------------------------------------------------------------- prepared once more

CUBE = crystal_row(bulk("MgO", "rocksalt", a=4.21), candidate_id="t1-Mg-O")
LARGER = crystal_row(bulk("MgO", "rocksalt", a=4.25), candidate_id="t1-Mg-O")  # the same name in another run


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of each file."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of inputs that nothing was done with."""
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)
    prepare(tmp_path / "dft", [CUBE], DftOptions())
    return tmp_path / "dft"


def test_other_inputs_replace_what_was_only_written(work: Path) -> None:
    rows = prepare(work, [LARGER], DftOptions())
    assert [done["status"] for done in rows] == ["prepared", "prepared"]
    assert Poscar.from_file(work / "t1-Mg-O" / "relax" / "POSCAR").structure.volume == pytest.approx(4.25**3 / 4)


def test_other_inputs_never_replace_work(work: Path) -> None:
    relax = work / "t1-Mg-O" / "relax"
    (relax / "OUTCAR").write_text("days of work")
    before = contents(relax)
    rows = prepare(work, [LARGER], DftOptions())
    assert [done["status"] for done in rows] == [KEPT, "prepared"]
    assert contents(relax) == before
    assert rows[0]["inputs"] != read_record(relax)["inputs"]
    assert [done["status"] for done in prepare(work, [CUBE], DftOptions())] == ["prepared", "prepared"]


def test_only_the_task_that_changed_is_made_anew(work: Path) -> None:
    relax = contents(work / "t1-Mg-O" / "relax")
    prepare(work, [CUBE], DftOptions(supercell=(1, 1, 2)))
    assert contents(work / "t1-Mg-O" / "relax") == relax
    assert len(Poscar.from_file(work / "t1-Mg-O" / "phonon" / "SPOSCAR").structure) == 4


def test_crystals_that_are_no_survivors_any_more(work: Path) -> None:
    """Their folders go where nobody used them; what is a user's stays, and what never was of ours."""
    prepare(work, [CUBE, crystal_row(bulk("MgO", "cesiumchloride", a=2.6), candidate_id="t2-Mg-O")], DftOptions())
    (work / "t2-Mg-O" / "relax" / "WAVECAR").write_bytes(b"\0")
    (work / "notes").mkdir()
    (work / "notes" / "ideas.txt").write_text("mine")
    kept = contents(work / "t2-Mg-O" / "relax")
    assert prepare(work, [], DftOptions()) == []
    assert sorted(p.name for p in work.iterdir()) == ["README.md", "notes", "t2-Mg-O"]
    assert contents(work / "t2-Mg-O" / "relax") == kept
    assert not (work / "t2-Mg-O" / "phonon").exists()


def test_potcars_are_added_where_nothing_was_run(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is found later changes files, not the calculation."""

    def inputs() -> str:
        return read_record(work / "t1-Mg-O" / "relax")["inputs"]

    before = inputs()
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", "anywhere")
    monkeypatch.setattr(Potcar, "set_symbols", lambda *_: None)
    prepare(work, [CUBE], DftOptions())
    assert (work / "t1-Mg-O" / "relax" / "POTCAR").exists()
    assert not (work / "t1-Mg-O" / "relax" / "POTCAR.spec").exists()
    assert inputs() == before


# ------------------------------------------------------------------------------------------- reading back

MGO = bulk("MgO", "rocksalt", a=4.25)
ENERGY = 2 * -5.983  # eV, raw PBE of a formula unit in the Materials Project (mp-1265)
SURVIVOR = {
    **CUBE,
    "formation_energy_per_atom": -3.0,
    "volume_per_atom": 4.21**3 / 8,
    "spacegroup": 225,
    "potential": "some",
}


def read_back(work: Path, *names: str, survivor: dict[str, Any] = CUBE) -> dict[str, Any]:
    """The one row of the relaxation, as a table would hold it."""
    prepared = prepare(work, [survivor], DftOptions())
    files = [work / "t1-Mg-O" / "relax" / name for name in names or ["vasprun.xml"]]
    rows = read_results(files, prepared, [{**SURVIVOR, **survivor}])
    (found,) = tables.to_table(rows, tables.DFT_RESULTS).to_pylist()
    return found


def test_a_converged_relaxation(work: Path) -> None:
    write_relaxation(work / "t1-Mg-O" / "relax" / "vasprun.xml", MGO, ENERGY)
    found = read_back(work)
    assert (found["status"], found["current"], found["run_type"], found["n_steps"]) == ("converged", True, "PBE", 3)
    assert found["energy_per_atom"] == pytest.approx(-5.983)
    assert found["formation_energy_per_atom"] == pytest.approx(-3.053, abs=0.002)  # the Materials Project's
    assert found["volume_per_atom"] == pytest.approx(4.25**3 / 8)
    assert (found["formula"], found["spacegroup"], found["potential_spacegroup"]) == ("MgO", 225, 225)
    assert found["formation_energy_difference"] == pytest.approx(found["formation_energy_per_atom"] + 3.0)
    assert found["volume_ratio"] == pytest.approx((4.25 / 4.21) ** 3)
    assert found["path"] == "dft/t1-Mg-O/relax"


def test_compressed_files_are_read_and_the_other_wins(work: Path) -> None:
    relax = work / "t1-Mg-O" / "relax"
    write_relaxation(relax / "vasprun.xml", MGO, ENERGY)
    (relax / "vasprun.xml.gz").write_bytes(gzip.compress((relax / "vasprun.xml").read_bytes()))
    assert read_back(work, "vasprun.xml.gz")["energy_per_atom"] == pytest.approx(-5.983)
    write_relaxation(relax / "vasprun.xml", MGO, 2 * ENERGY)
    for names in (["vasprun.xml", "vasprun.xml.gz"], ["vasprun.xml.gz", "vasprun.xml"]):
        assert read_back(work, *names)["energy_per_atom"] == pytest.approx(2 * -5.983)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.99])
def test_a_file_that_ends_early(work: Path, share: float) -> None:
    path = work / "t1-Mg-O" / "relax" / "vasprun.xml"
    write_relaxation(path, MGO, ENERGY)
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])
    found = read_back(work)
    assert found["status"] == "running, or stopped before its end"
    assert found["energy_per_atom"] is found["formation_energy_difference"] is found["volume_ratio"] is None
    assert found["potential_formation_energy_per_atom"] == -3.0


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"scsteps": 200}, "not converged: electrons of the last step"),
        ({"steps": 200}, "not converged: after 200 steps"),
        ({"forces": 0.02}, "not converged: after 3 steps"),  # stopped in order, by STOPCAR
        ({"steps": 0}, "failed: IndexError: list index out of range"),
    ],
)
def test_what_did_not_converge(work: Path, options: dict[str, Any], status: str) -> None:
    write_relaxation(work / "t1-Mg-O" / "relax" / "vasprun.xml", MGO, ENERGY, **options)
    found = read_back(work)
    assert found["status"] == status
    assert found["energy_per_atom"] is None


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("vasprun.xml", b"Segmentation fault\n", "failed: ValueError: it is not XML"),
        ("vasprun.xml.gz", b"<?xml", "failed: BadGzipFile"),
        ("vasprun.xml.gz", gzip.compress(b"<modeling>" * 999, mtime=0)[:-9], "failed: EOFError"),
        ("vasprun.xml", b"<modeling><calculation></modeling>\n", "failed: XMLSyntaxError"),
    ],
)
def test_what_is_no_result_is_a_row(work: Path, name: str, content: bytes, status: str) -> None:
    (work / "t1-Mg-O" / "relax" / name).write_bytes(content)
    found = read_back(work, name)
    assert found["status"].startswith(status)
    assert str(work) not in found["status"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"gga": "PS"}, "PBEsol is not PBE"),
        ({"metagga": "R2SCAN"}, "R2SCAN is not PBE"),
        ({"ivdw": 12}, "PBE+vdW-DFT-D3-BJ is not PBE"),
        ({"potcars": {**POTCARS, "Mg": "Mg"}}, "POTCAR Mg in place of Mg_pv"),
        ({"u": {"Mg": 2.0}}, "U of 2 eV in place of 0 on Mg"),
    ],
)
def test_other_settings_give_no_formation_energy(work: Path, options: dict[str, Any], why: str) -> None:
    write_relaxation(work / "t1-Mg-O" / "relax" / "vasprun.xml", MGO, ENERGY, **options)
    found = read_back(work)
    assert found["status"] == f"converged; no formation energy: {why}"
    assert found["formation_energy_per_atom"] is found["formation_energy_difference"] is None
    assert found["energy_per_atom"] == pytest.approx(-5.983)
    assert found["volume_ratio"] == pytest.approx((4.25 / 4.21) ** 3)


def test_oxides_of_iron_have_a_u(work: Path) -> None:
    """Of Fe2O3 the Materials Project corrects Fe by -2.256 and O by -0.687 eV; without U, nothing compares."""
    iron = PEROVSKITE[PEROVSKITE.numbers != 38]
    path = work / "t1-Mg-O" / "relax" / "vasprun.xml"
    write_relaxation(path, iron, -28.0)
    assert read_back(work)["status"] == "converged; no formation energy: U of 0 eV in place of 5.3 on Fe"
    write_relaxation(path, iron, -28.0, u={"Fe": 5.3})
    found = read_back(work)
    assert (found["status"], found["run_type"]) == ("converged", "PBE+U")
    iron_and_oxygen = -8.4692 + 3 * -4.9480  # eV, the Materials Project's elements
    assert found["formation_energy_per_atom"] == pytest.approx(
        (-28 - 2.256 - 3 * 0.687 - iron_and_oxygen) / 4, abs=0.01
    )


def test_results_of_other_inputs_stand_alone(work: Path) -> None:
    write_relaxation(work / "t1-Mg-O" / "relax" / "vasprun.xml", MGO, ENERGY)
    found = read_back(work, survivor=LARGER)
    assert (found["status"], found["current"]) == ("converged", False)
    assert found["formation_energy_per_atom"] == pytest.approx(-3.053, abs=0.002)
    assert found["potential"] is found["potential_volume_per_atom"] is found["formation_energy_difference"] is None


def test_a_file_of_vasp(work: Path) -> None:
    """Rock salt with VASP 6.3.2; PBE, but without the semicore states that the Materials Project has of sodium."""
    shutil.copy(of_vasp("vasprun_dfpt.xml"), work / "t1-Mg-O" / "relax" / "vasprun.xml")
    found = read_back(work)
    assert found["status"] == "converged; no formation energy: POTCAR Na in place of Na_pv"
    assert (found["formula"], found["spacegroup"], found["run_type"]) == ("NaCl", 225, "PBE")
    assert found["energy_per_atom"] == pytest.approx(-6.74587304 / 2)


def test_no_results() -> None:
    assert read_results([], [], []) == []
