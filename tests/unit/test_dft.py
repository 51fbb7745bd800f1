"""DFT inputs: what VASP would read, and the README's commands run."""

import re
import shutil
import subprocess
import sys
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
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

from cgwgan_core import dft, tables
from cgwgan_core.dft import DftOptions
from cgwgan_core.errors import InputError
from cgwgan_core.jobs import Provenance
from scripts.dft_inputs import main


def _row(name: str, atoms: Atoms) -> dict[str, Any]:
    return {
        "candidate_id": name,
        "lattice": atoms.cell.array.ravel().tolist(),
        "numbers": atoms.numbers.tolist(),
        "frac_coords": atoms.get_scaled_positions().ravel().tolist(),
    }


# The oxygens stand apart, so an order that VASP cannot use would show.
PEROVSKITE = Atoms(
    ["O", "Fe", "O", "Sr", "O"],
    scaled_positions=[(0.5, 0.5, 0), (0.5, 0.5, 0.5), (0.5, 0, 0.5), (0, 0, 0), (0, 0.5, 0.5)],
    cell=[3.85] * 3,
    pbc=True,
)
ROWS = [_row("t1-Sr-Fe-O", PEROVSKITE), _row("t2-Po", Atoms("Po", cell=[3.3] * 3, pbc=True))]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)
        folder = tmp_path_factory.mktemp("results") / "dft"
        return folder, dft.prepare(folder, ROWS, DftOptions())


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
    assert sorted(p.name for p in folder.iterdir()) == ["INCAR", "POSCAR", "POTCAR.spec"]
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


def _blocks(readme: str) -> list[str]:
    """The indented command blocks of a README."""
    return [
        re.sub("^    ", "", block, flags=re.M) for block in re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", readme, re.M)
    ]


def _write_vasprun(folder: Path) -> None:
    """The part of vasprun.xml that phonopy reads, with the forces of a pair potential in VASP's place."""
    atoms = read(folder / "POSCAR")
    atoms.calc = LennardJones(sigma=1.7, epsilon=0.5, rc=5.0, smooth=True)

    def lines(name: str, rows: np.ndarray) -> str:
        return "".join([f'<varray name="{name}">', *(f"<v>{x} {y} {z}</v>" for x, y, z in rows), "</varray>"])

    cell = f"<structure><crystal>{lines('basis', atoms.cell.array)}</crystal>"
    structure = f"{cell}{lines('positions', atoms.get_scaled_positions())}</structure>"
    symbols = "".join(f"<rc><c>{s}</c><c>1</c></rc>" for s in atoms.get_chemical_symbols())
    (folder / "vasprun.xml").write_text(
        f'<?xml version="1.0"?><modeling><generator><i name="version">6.4.2</i></generator>\n'
        f'<atominfo><array name="atoms"><set>{symbols}</set></array></atominfo>'
        f"<calculation>{structure}{lines('forces', atoms.get_forces())}"
        f'<energy><i name="e_fr_energy">0.0</i><i name="e_wo_entrp">0.0</i><i name="e_0_energy">0.0</i></energy>'
        "</calculation></modeling>"
    )


def test_readme_commands_run(prepared: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    """As far as they go without VASP: a DFT-relaxed cell a little larger comes back as displaced supercells."""
    shutil.copytree(prepared[0], tmp_path / "dft")
    folder = tmp_path / "dft" / "t1-Sr-Fe-O"
    relaxed = Poscar.from_file(folder / "relax" / "POSCAR").structure
    relaxed.scale_lattice(relaxed.volume * 1.03)
    Poscar(relaxed).write_file(folder / "relax" / "CONTCAR", significant_figures=16)
    shutil.copy(folder / "phonon" / "POTCAR.spec", folder / "phonon" / "POTCAR")
    remake, distribute, collect = _blocks((tmp_path / "dft" / "README.md").read_text())
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {"PATH": path, "MPLBACKEND": "agg"}

    def run(script: str, where: Path) -> None:
        subprocess.run(["bash", "-ec", script], cwd=where, env=environment, check=True, capture_output=True)

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
    (tmp_path / "dft" / "stale").mkdir(parents=True)
    dft.prepare(tmp_path / "dft", ROWS, DftOptions())
    first, second = (
        {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        for folder in (prepared[0], tmp_path / "dft")
    )
    assert first == second
    assert [p.name for p in tmp_path.iterdir()] == ["dft"]


def test_a_library_that_lacks_an_element_costs_that_crystal_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))
    rows = dft.prepare(tmp_path / "dft", ROWS[:1], DftOptions())
    assert {r["status"].split(":")[0] for r in rows} == {"not prepared"}
    assert "Sr_sv" in rows[0]["status"]
    assert [p.name for p in (tmp_path / "dft").iterdir()] == ["README.md"]


def test_supercell_option(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)
    dft.prepare(tmp_path / "dft", [_row("MgO", bulk("MgO", "rocksalt", a=4.21))], DftOptions(supercell=(3, 3, 2)))
    rest = Poscar.from_file(tmp_path / "dft" / "MgO" / "phonon" / "SPOSCAR")
    assert len(rest.structure) == 36
    assert "--dim 3 3 2" in (tmp_path / "dft" / "README.md").read_text()


def test_no_survivors(tmp_path: Path) -> None:
    tables.write(tmp_path / "stable.parquet", [], tables.STABLE, Provenance())
    main(
        stable=str(tmp_path / "stable.parquet"),
        options=DftOptions(),
        folder=str(tmp_path / "dft"),
        table=str(tmp_path / "dft.parquet"),
        made_from=Provenance(),
    )
    assert [p.name for p in (tmp_path / "dft").iterdir()] == ["README.md"]
    assert tables.read(tmp_path / "dft.parquet", tables.DFT).num_rows == 0


@pytest.mark.parametrize("wrong", [{"kspacing": 0.0}, {"ediff": -1.0}, {"supercell": [2, 2]}])
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        DftOptions(**wrong)
