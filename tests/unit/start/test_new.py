"""A folder for a run: its settings, guessed sources, and what is refused."""

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from ase import Atoms
from ase.db import connect
from pymatgen.core import Lattice, Structure

from cgwgan_core.database.kinds import READS
from cgwgan_core.start.checks import told, unlike, unset
from cgwgan_core.start.command import main
from cgwgan_core.start.new import ROOT, Request, find_database, new, overlay, sources
from cgwgan_core.workflow.errors import InputError
from tests.support.training import fit

PEROVSKITE = Structure.from_spacegroup(
    "Pm-3m", Lattice.cubic(3.9), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
)


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "mp.json"
    document = {"material_id": "mp-1", "structure": PEROVSKITE.as_dict(), "formation_energy_per_atom": -3.5}
    path.write_text(json.dumps([document, {"material_id": "mp-2"}]))
    return path


@pytest.fixture(autouse=True)
def no_potential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGWGAN_POTENTIAL", raising=False)
    monkeypatch.delenv("MP_API_KEY", raising=False)


def test_a_folder_with_the_settings_that_differ(tmp_path: Path, dump: Path) -> None:
    folder = tmp_path / "runs" / "sr-ti-o"
    told = new(Request(folder, ["Sr", "Ti", "O"], str(dump)))
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    own = yaml.safe_load((folder / "config.yaml").read_text())
    assert own["chemistry"] == ["Sr", "Ti", "O"]
    assert own["data"] == {"source": "mp_dump", "path": str(dump)}
    scale = yaml.safe_load((ROOT / "configs/workstation.yaml").read_text())
    assert own == {"chemistry": own["chemistry"], "data": own["data"], **scale}
    assert "  2 records: 1 read, 1 with a formation energy; refused: 1 no structure" in told
    assert "  of Sr-Ti-O: 1 compounds, 1 with a formation energy\n" in told
    assert "chgnet screens, sevennet-l3i5 judges, chgnet judges again" in told
    assert told.endswith(f"--directory {folder}")


def test_several_campaigns_side_by_side(tmp_path: Path, dump: Path) -> None:
    for name, chemistry in (("sr-ti-o", ["Sr", "Ti", "O"]), ("mg-o", ["Mg", "O"])):
        new(Request(tmp_path / "runs" / name, chemistry, str(dump), quick=True))
        own = yaml.safe_load((tmp_path / "runs" / name / "config.yaml").read_text())
        assert own == {"chemistry": chemistry, "data": {"source": "mp_dump", "path": str(dump)}}


def test_a_database_without_the_chemistry_is_told(tmp_path: Path, dump: Path) -> None:
    told = new(Request(tmp_path / "mg-o", ["Mg", "O"], str(dump)))
    assert "of Mg-O: 0 compounds, 0 with a formation energy; the hull would be that of the elements alone" in told


def test_a_large_database_is_counted_as_far_as_patience_goes(
    tmp_path: Path, dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgwgan_core.start.new.PATIENCE", 0.0)
    monkeypatch.setattr("cgwgan_core.database.read.ROWS", 1)
    told = new(Request(tmp_path / "sr-o", ["Sr", "O"], str(dump)))
    assert "its first 1 records: 1 read" in told
    assert "the hull would be" not in told  # the rest may hold some


def test_nobelium_is_no_truth_value(tmp_path: Path) -> None:
    text = overlay(Request(tmp_path / "run", ["No", "O"], "aflow"), find_database("aflow"))
    assert yaml.safe_load(text)["chemistry"] == ["No", "O"]


def test_what_is_commented_out_are_settings_that_exist(tmp_path: Path) -> None:
    text = overlay(Request(tmp_path / "run", ["Sr", "Ti", "O"], "aflow"), find_database("aflow"))
    body = text.partition("\n\n")[2]
    whole = yaml.safe_load(re.sub(r"^# (\w+:|  )", r"\1", body, flags=re.MULTILINE))
    assert {"screening_potential", "potential", "second_potential", "dft"} <= whole.keys()
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())
    for block, keys in whole.items():
        assert block in defaults
        assert not isinstance(keys, dict) or keys.keys() <= defaults[block].keys()


def test_an_existing_folder_is_left_alone(tmp_path: Path, dump: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        new(Request(tmp_path, ["Sr", "Ti", "O"], str(dump)))
    assert dump.exists()


@pytest.mark.parametrize(
    ("chemistry", "database", "message"),
    [
        (["Sr", "Tj", "O"], "mp.json", "chemistry.1: 'Tj' is no element"),
        (["Sr", "Ti", "O"], "lost.json", "no such file or folder"),
        (["Sr", "Ti", "O"], "mp", r"\$MP_API_KEY, which is not set"),
        (["Po", "O"], "aflow", "was not trained on Po"),
        (["Ba", "Sr", "Ru", "Ti", "O"], "aflow", "5 elements do not fit"),
    ],
)
def test_nothing_is_left_of_what_cannot_run(
    tmp_path: Path, dump: Path, chemistry: list[str], database: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        new(Request(Path("run"), chemistry, database))
    assert not (tmp_path / "run").exists()


def test_a_missing_potential_or_generator_is_told(tmp_path: Path, dump: Path) -> None:
    lost = tmp_path / "lost"
    with pytest.raises(InputError, match=r"screening_potential.path: .*lost does not exist"):
        new(Request(tmp_path / "run", ["Sr", "Ti", "O"], str(dump), m3gnet=lost))
    with pytest.raises(InputError, match=r"model.init: .*lost does not exist"):
        new(Request(tmp_path / "run", ["Sr", "Ti", "O"], str(dump), generator=lost))


def test_the_kind_of_an_own_generator_is_written(tmp_path: Path, dump: Path) -> None:
    fit(tmp_path, steps=1, kind="flow", flow={"width": 8, "layers": 1, "steps": 1})
    own = tmp_path / "generator.ckpt"
    new(Request(tmp_path / "run", ["Sr", "Ti", "O"], str(dump), generator=own))
    written = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert written["model"] == {"kind": "flow", "init": str(own)}


def test_an_empty_folder_is_taken(tmp_path: Path, dump: Path) -> None:
    """Snakemake makes one where a name is mistyped."""
    (tmp_path / "run").mkdir()
    new(Request(tmp_path / "run", ["Sr", "Ti", "O"], str(dump)))
    assert (tmp_path / "run" / "config.yaml").exists()


def test_what_is_no_m3gnet_is_told(tmp_path: Path, dump: Path) -> None:
    (tmp_path / "a.nqx").write_text('{"atomic_numbers": [8, 22, 38]}\n')
    with pytest.raises(InputError, match=r"screening_potential.path: .*a\.nqx is no M3GNet, it lacks model\.json"):
        new(Request(tmp_path / "run", ["Sr", "Ti", "O"], str(dump), m3gnet=tmp_path / "a.nqx"))


def test_charges_that_cannot_balance_are_told_with_what_to_do_before_there_is_a_file(
    tmp_path: Path, dump: Path
) -> None:
    alloy = ["Al", "Ni", "Zr"]
    with pytest.raises(InputError, match="no oxidation states of Al, Ni, Zr balance; leave out --quick, and all"):
        new(Request(tmp_path / "run", alloy, str(dump), quick=True))
    new(Request(tmp_path / "run", alloy, str(dump)))


def test_a_database_that_its_source_does_not_read_is_told(tmp_path: Path, dump: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    connect(tmp_path / "rows.db").write(Atoms("H"))
    (tmp_path / "a.csv").write_text("id,cif\n")
    shutil.make_archive(str(tmp_path / "cifs"), "gztar", tmp_path, "a.csv")
    (tmp_path / "mp.json.gz").write_bytes(gzip.compress(dump.read_bytes()))
    read_by = {
        "a.parquet": ["parquet"], "rows.db": ["ase"], "a.csv": ["csv", "folder"], "cifs.tar.gz": ["mp_dump", "folder"],
        "mp.json": ["mp_dump", "folder", "ase"], "mp.json.gz": ["mp_dump", "folder", "ase"], ".": ["mp_dump", "folder"],
    }  # fmt: skip
    for name, able in read_by.items():
        path = str(tmp_path / name)
        silent = [source for source in READS if not unlike({"source": source, "path": path})]
        assert silent == able, name
    (line,) = unlike({"source": "mp_dump", "path": str(tmp_path / "a.parquet")})
    assert line == f"data.source: mp_dump does not read {tmp_path / 'a.parquet'}; write parquet"
    assert unlike({"source": "aflow", "path": None}) == []


def test_a_run_without_settings_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(unset([], {})).startswith(
        f"{tmp_path} has no config.yaml; correct --directory, make a folder by cgwgan new"
    )
    assert unset(["my.yaml"], {}) is None
    assert unset([], {"seed": 2}) is None
    (tmp_path / "config.yaml").symlink_to(ROOT / "config.yaml")
    assert unset([], {}) is None


def test_the_source_is_guessed(tmp_path: Path, dump: Path) -> None:
    (tmp_path / "cifs").mkdir()
    PEROVSKITE.to(str(tmp_path / "cifs" / "a.cif"))
    shutil.make_archive(str(tmp_path / "cifs"), "zip", tmp_path / "cifs")
    (tmp_path / "table.csv").write_text('id,cif\n1,"' + PEROVSKITE.to(fmt="cif").replace('"', "'") + '"\n')
    for name in ("rows.db", "rows.json"):
        connect(tmp_path / name).write(Atoms("MgO", cell=[[0, 2.1, 2.1], [2.1, 0, 2.1], [2.1, 2.1, 0]], pbc=True,
                                             scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]]))  # fmt: skip
    wanted = {
        "mp.json": "mp_dump", "cifs": "folder", "cifs.zip": "folder", "cifs/a.cif": "folder", "table.csv": "csv",
        "rows.db": "ase", "rows.json": "ase",
    }  # fmt: skip
    assert {name: find_database(str(tmp_path / name)).source for name in wanted} == wanted
    (tmp_path / "x").write_bytes(b"PAR1....")
    assert sources(tmp_path / "x") == ["parquet"]


def test_a_database_without_a_crystal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('[{"material_id": "mp-1"}]')
    with pytest.raises(InputError, match=r"bad\.json: none of .* records is usable"):
        find_database(str(path))


def test_paths_with_odd_letters_survive(tmp_path: Path, dump: Path) -> None:
    odd = tmp_path / "a: b #1 'ü'"
    odd.mkdir()
    moved = shutil.copy(dump, odd / "mp.json")
    new(Request(odd / "run", ["Sr", "Ti", "O"], str(moved)))
    assert yaml.safe_load((odd / "run/config.yaml").read_text())["data"]["path"] == str(moved)


def test_the_workflow_takes_the_settings_of_the_folder(
    tmp_path: Path, dump: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "run", "--chemistry", "Sr-Ti-O", "--database", "mp.json", "--quick"]) == 0
    shown = capsys.readouterr().out.splitlines()[-1]
    with (tmp_path / "run/config.yaml").open("a") as file:
        file.write("templates:\n  shards: 3\nrelax:\n  fmx: 0.1\n")
    arguments = shown.split()[1:]
    dry = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--dry-run"], capture_output=True, text=True, check=False
    )
    assert "relax.fmx: no such key; did you mean fmax?" in dry.stdout + dry.stderr


def test_what_is_searched_is_told_and_a_mistyped_folder_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"chemistry": ["Zr", "Si", "O"], "data": {"source": "aflow", "path": None}}
    monkeypatch.chdir(tmp_path)
    assert told(config, ["config.yaml"], tmp_path / "project") == "Zr-Si-O in aflow; settings: config.yaml"
    own = "Zr-Si-O in aflow; the project's own settings"
    assert told(config, [], tmp_path) == own
    assert told(config, [], tmp_path / "project") == f"{own}, as {tmp_path} has no config.yaml"


def test_mistakes_are_one_line_and_status_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["new", str(tmp_path / "run"), "--chemistry", "Ba,Rx,O", "--database", "aflow"])
    assert status == 1
    said = capsys.readouterr().err
    assert said == "error: the configuration cannot run:\n  chemistry.1: 'Rx' is no element; did you mean Ru?\n"
