"""Engines by name, and what is missing for one."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk

from cgwgan_core.dft.ase_engine import AseEngine, Gpaw
from cgwgan_core.dft.engines import EngineOptions, load_engine, open_store
from cgwgan_core.dft.espresso import Espresso
from cgwgan_core.dft.vasp_engine import Vasp
from cgwgan_core.workflow.errors import InputError

EMT = "ase.calculators.emt:EMT"


def load(folder: Path, **options: Any) -> Any:
    return load_engine(EngineOptions(**options), {}, folder / "environment")


def test_each_engine_by_its_name(tmp_path: Path) -> None:
    found = {
        "vasp": load(tmp_path, engine="vasp"),
        "gpaw": load(tmp_path, engine="gpaw", command="mpirun -np 8 gpaw python"),
        "espresso": load(tmp_path, engine="espresso", pseudopotentials=str(tmp_path)),
        "ase": load(tmp_path, engine=EMT),
    }
    assert {name: type(engine) for name, engine in found.items()} == {
        "vasp": Vasp, "gpaw": Gpaw, "espresso": Espresso, "ase": AseEngine,
    }  # fmt: skip
    assert {name: engine.name for name, engine in found.items()} == {name: name for name in found}


def test_how_engines_are_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert load(tmp_path, engine="gpaw").command() == [str(python), "run.py"]
    parallel = load(tmp_path, engine="gpaw", command="mpirun -np 2 gpaw python")
    assert parallel.command() == ["mpirun", "-np", "2", "gpaw", "python", "run.py"]
    assert load(tmp_path, engine=EMT).command() == [sys.executable, "run.py"]
    assert load(tmp_path, engine=EMT, command="'my python'").command() == ["my python", "run.py"]
    assert load(tmp_path, engine="vasp").command() is None
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert load(tmp_path, engine="espresso", pseudopotentials=str(tmp_path)).command() is None


def test_the_mesh_is_as_dense_as_asked(tmp_path: Path) -> None:
    oxide = bulk("MgO", "rocksalt", a=4.2)  # its reciprocal vectors have a length of 2.59 1/Å
    for options, key in (
        ({"engine": "gpaw", "command": "python"}, "kpts"),
        ({"engine": "vasp"}, "kpoints"),
    ):
        meshes = [load(tmp_path, kspacing=k, **options).parameters(oxide)[key] for k in (None, 0.5, 0.25)]
        assert meshes[1:] == [[6, 6, 6], [11, 11, 11]]
        assert meshes[0] == ([6, 6, 6] if options["engine"] == "gpaw" else [13, 13, 13])  # 0.48 and 0.2


def test_a_dispersion_correction_needs_its_package(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    for folder in ("bin", "lib/python3.11/site-packages/dftd4"):
        (environment / folder).mkdir(parents=True)
    (environment / "bin/python").touch()
    atoms = bulk("MgO", "rocksalt", a=4.2)
    asked = load(tmp_path, engine="gpaw", dispersion="D4").parameters(atoms)
    assert asked == load(tmp_path, engine="gpaw").parameters(atoms) | {"dispersion": "D4"}
    with pytest.raises(InputError, match=r"dft\.dispersion: D3BJ needs dftd3, which .* lacks; run: make dft-env"):
        load(tmp_path, engine="gpaw", dispersion="D3BJ")
    assert load(tmp_path, engine="gpaw", dispersion="D3BJ", command="gpaw python")
    assert load(tmp_path, engine=EMT, dispersion="D3BJ").parameters(atoms)["dispersion"] == "D3BJ"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"engine": "vaps"}, "dft.engine: vaps is unknown; one of vasp, gpaw, espresso, or package.module:function"),
        ({"engine": "espresso"}, "dft.pseudopotentials: missing"),
        ({"engine": "gpaw"}, "make dft-environment"),
        ({"engine": "vasp", "dispersion": "D4"}, r"not for vasp; name it in vasp\.dispersion"),
        ({"engine": "espresso", "dispersion": "D4"}, "not for espresso; write null"),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, options: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        load(tmp_path, **options)


def test_vasp_cannot_run_without_its_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgwgan_core.dft.vasp_presets.SETTINGS", {})
    with pytest.raises(InputError, match="PMG_VASP_PSP_DIR"):
        load(tmp_path, engine="vasp", command="vasp_std")


def test_a_store_of_a_configuration(tmp_path: Path) -> None:
    engine = {"engine": EMT, "command": None, "kspacing": None, "pseudopotentials": None}
    vasp = {"preset": "mp", "dispersion": None, "kspacing": 0.2, "ediff": 1e-7, "command": None, "job": None}
    store = open_store(engine, vasp, tmp_path / "store", 3.0, ["FM"])
    assert store.engine.name == "ase"
    assert (store.root, store.max_minutes, store.orders) == (tmp_path / "store", 3.0, ("FM",))
