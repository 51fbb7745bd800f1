"""Broken bytes of every format: records and refusals, or one named error, and nothing else."""

import gzip
import json
import os
import pickle
import random
import sqlite3
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import ase.db
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from cgwgan_core.database.extxyz import from_extxyz
from cgwgan_core.database.read import read_database
from cgwgan_core.database.record import check, crystal, to_columns
from cgwgan_core.workflow.errors import InputError

MGO = Structure.from_spacegroup(225, Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5] * 3])
DOCUMENT = {
    "material_id": "mp-1",
    "nsites": 8,
    "formula_pretty": "MgO",
    "structure": MGO.as_dict(),
    "e_above_hull": 0.1,
}
CIF, POSCAR = MGO.to(fmt="cif"), MGO.to(fmt="poscar")
SECONDS = 20
"""No input of these may take longer, on a busy machine."""


def _bytes(save: Callable[[Path], object], path: Path) -> bytes:
    save(path)
    return path.read_bytes()


def _zip() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.cif", CIF)
        archive.writestr("b/POSCAR", POSCAR)
    return out.getvalue()


def _tar() -> bytes:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in (("a.cif", CIF), ("b/POSCAR", POSCAR)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, BytesIO(text.encode()))
    return out.getvalue()


def _ase(path: Path) -> bytes:
    with ase.db.connect(path) as database:
        database.write(bulk("MgO", "rocksalt", a=4.2), material_id="mp-1", ehull=0.1)
    return path.read_bytes()


def _parquet(path: Path, row: dict) -> bytes:
    pq.write_table(pa.Table.from_pylist([row]), path)
    return path.read_bytes()


def seeds(folder: Path) -> dict[str, tuple[str, bytes]]:
    """A small whole file of each format: its name, and (source, content)."""
    row = {"material_id": "mp-1", "lattice": MGO.lattice.matrix.ravel().tolist(), "numbers": list(MGO.atomic_numbers)}
    row["frac_coords"] = MGO.frac_coords.ravel().tolist()
    atoms = Atoms([s.specie.symbol for s in MGO], cell=MGO.lattice.matrix, positions=MGO.cart_coords, pbc=True)
    lines = json.dumps(DOCUMENT) + "\n"
    return {
        "list.json": ("mp_dump", json.dumps([DOCUMENT, DOCUMENT]).encode()),
        "entries.json": ("mp_dump", json.dumps({"meta": {}, "entries": [DOCUMENT]}, indent=1).encode()),
        "lines.jsonl": ("mp_dump", (lines * 2).encode()),
        "lines.jsonl.gz": ("mp_dump", gzip.compress((lines * 2).encode(), mtime=0)),
        "lines.jsonl.zst": ("mp_dump", pa.compress((lines * 2).encode(), codec="zstd", asbytes=True)),
        "in.csv": ("csv", ('material_id,e_above_hull,cif\nmp-1,0.1,"' + CIF + '"\n').encode()),
        "POSCAR": ("folder", POSCAR.encode()),
        "in.cif": ("folder", CIF.encode()),
        "in.extxyz": ("folder", _bytes(lambda p: write(p, atoms, format="extxyz"), folder / "seed.extxyz")),
        "in.zip": ("folder", _zip()),
        "in.tar": ("folder", _tar()),
        "in.parquet": ("parquet", _parquet(folder / "seed.parquet", row)),
        "in.db": ("ase", _ase(folder / "seed.db")),
        "ase.json": ("ase", _ase(folder / "seed.json")),
    }  # fmt: skip


TOKENS = [
    b"NaN", b"1e999", b"-0", b"[[[[[[", b"}", b'"', b"\\", b"null", b"\0", b"\xff\xfe", b"99999999999", b"Infinity",
    b",", b"\r", b"0 1000000", b"Xx",
    b"{}", b"1e-300", b"true", b"' ", b"loop_\n", b"data_x\n", b"\n", b"PK\x03\x04", b"9" * 5000,
]  # fmt: skip


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Some of the bytes changed, removed, repeated, or replaced by what readers stumble over."""
    raw = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 20])):
        at = rng.randrange(len(raw) + 1)
        end = min(len(raw), at + rng.choice([1, 2, 10, 100, 1000]))
        change = rng.randrange(6)
        if change == 0 and at < len(raw):
            raw[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            del raw[at:end]
        elif change == 2:
            raw[at:at] = raw[at:end]
        elif change == 3:
            raw[at:at] = rng.choice(TOKENS)
        elif change == 4:
            raw[at:end] = rng.choice(TOKENS)
        elif rng.random() < 0.2:
            del raw[at:]
    return bytes(raw)


def attempt(source: str, path: Path) -> list[dict]:
    """Read a file; rows that are kept, none where the error that is named comes."""
    start = time.process_time()
    try:
        batches = list(read_database(source, path, chunk=1, threads=1, download=path.parent))
        rows = [row for batch in batches for row in batch.structures.to_pylist()]
    except InputError:
        rows = []
    assert time.process_time() - start < SECONDS
    for row in rows:
        assert np.isfinite(row["lattice"]).all()
        assert np.isfinite(row["frac_coords"]).all()
        assert len(row["frac_coords"]) == 3 * len(row["numbers"])
    return rows


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return seeds(tmp_path_factory.mktemp("seeds"))


NAMES = [
    "list.json", "entries.json", "lines.jsonl", "lines.jsonl.gz", "lines.jsonl.zst", "in.csv", "POSCAR", "in.cif",
    "in.extxyz", "in.zip", "in.tar", "in.parquet", "in.db", "ase.json",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_bytes(small, tmp_path, name, seed):
    source, content = small[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert attempt(source, path), "the whole file is read"
    broken = mutated(content, random.Random(seed))
    path.write_bytes(broken)
    rows = attempt(source, path)
    if path.suffix in (".json", ".jsonl") and source == "mp_dump" and broken.count(b'"formula_pretty": "MgO"') == 2:
        assert {row["formula"] for row in rows} <= {"MgO"}


# ------------------------------------------------------------------------------------------- files that attack


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("source", "name"),
    [("mp_dump", "in.json"), ("parquet", "in.parquet"), ("csv", "in.csv"), ("ase", "in.db"), ("ase", "in.json"),
     ("folder", "in.pkl"), ("folder", "POSCAR")],
)  # fmt: skip
def test_a_pickle_is_never_opened(tmp_path, source, name):
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(InputError):
        list(read_database(source, tmp_path / name, chunk=1, threads=1, download=tmp_path))
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_runs_no_code(tmp_path):
    import torch

    from cgwgan_core.generator.checkpoint import load_generator

    plain, zipped = tmp_path / "plain.pt", tmp_path / "zipped.pt"
    plain.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    torch.save({"format": 1, "options": Bomb(tmp_path / "ran")}, zipped)
    for path in (plain, zipped):
        with pytest.raises(InputError, match="not a readable checkpoint"):
            load_generator(path)
    assert not (tmp_path / "ran").exists()


def refusals(source: str, path: Path) -> dict[str, str]:
    batches = read_database(source, path, chunk=1, threads=1, download=path.parent)
    return {row["record"]: row["reason"] for batch in batches for row in batch.refused.to_pylist()}


def test_an_archive_leads_nowhere(tmp_path):
    secret = tmp_path / "secret.cif"
    secret.write_text(CIF)
    inside = tmp_path / "run"
    inside.mkdir()
    with zipfile.ZipFile(inside / "in.zip", "w") as archive:
        archive.writestr("../up.cif", CIF)
        link = zipfile.ZipInfo("link.cif")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../secret.cif")
    with tarfile.open(inside / "in.tar.gz", "w:gz") as archive:
        for kind, name in (
            (tarfile.SYMTYPE, "soft.cif"),
            (tarfile.LNKTYPE, "hard.cif"),
            (tarfile.FIFOTYPE, "pipe.cif"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../secret.cif"
            archive.addfile(info)
        info = tarfile.TarInfo("../up.cif")
        info.size = len(CIF)
        archive.addfile(info, BytesIO(CIF.encode()))
    assert refusals("folder", inside / "in.zip") == {"link.cif": "passed over: a link in an archive"}
    assert refusals("folder", inside / "in.tar.gz") == {
        "soft.cif": "passed over: a link in an archive",
        "hard.cif": "passed over: a link in an archive",
        "pipe.cif": "passed over: no regular file",
    }
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in.tar.gz", "in.zip", "run", "secret.cif"]


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("cgwgan_core.database.folder.MAX_TEXT", 1 << 20)
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.cif", b"\0" * (200 << 20))
        archive.writestr("good.cif", CIF)
    tracemalloc.start()
    assert refusals("folder", tmp_path / "in.zip") == {"bomb": "too large: more than 1 MiB"}
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()


def test_a_folder_with_loops_pipes_and_broken_links(tmp_path):
    (tmp_path / "a.cif").write_text(CIF)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.cif").symlink_to(tmp_path / "nothing")
    (tmp_path / "linked.cif").symlink_to(tmp_path / "a.cif")
    os.mkfifo(tmp_path / "pipe.cif")
    (tmp_path / os.fsdecode(b"b\xff.cif")).write_text(CIF)
    assert refusals("folder", tmp_path) == {
        "gone.cif": "unreadable: a link to nothing",
        "loop": "passed over: a link to a folder",
        "pipe.cif": "passed over: no regular file",
    }


def test_an_archive_that_is_cut_off(tmp_path):
    for name, whole in (("in.tar", _tar()), ("in.tar.gz", gzip.compress(_tar())), ("in.zip", _zip())):
        (tmp_path / name).write_bytes(whole[: min(1000, len(whole) // 2)])
        with pytest.raises(InputError):
            refusals("folder", tmp_path / name)


def test_a_database_of_another_program(tmp_path):
    with sqlite3.connect(tmp_path / "in.json") as other:
        other.execute("CREATE TABLE systems (id INTEGER)")
    other.close()
    with pytest.raises(InputError, match=r"not JSON but an SQLite file; set data\.source to ase"):
        refusals("mp_dump", tmp_path / "in.json")


# ------------------------------------------------------------------------------------------- cells that attack


def one(lattice, coords=((0, 0, 0), (0.5, 0.5, 0.5))) -> str | None:
    return check(to_columns([crystal("x", lattice, [{"O": 1}] * len(coords), coords)]))[0]


def test_cells_of_all_kinds():
    cubic = np.eye(3) * 4
    turns = np.array([[1, 0, 0], [400, 1, 0], [-7000, 311, 1]])
    same = "atoms on the same place: two are closer than 0.1 Å"
    assert one(cubic @ np.diag([1, 1, -1])) is None  # left-handed
    # The same crystals in wildly skewed cells: what is sound stays so, what coincides is found.
    for coords, reason in ((((0, 0, 0), (0.5, 0.5, 0.5)), None), (((0, 0, 0), (0.99, 0.01, 0)), same)):
        assert one(cubic, coords) == reason
        assert one(turns @ cubic, np.array(coords) @ np.linalg.inv(turns)) == reason
    assert one(np.diag([0.2, 20, 20]), ((0, 0, 0), (0.5, 0.5, 0.5))) == same  # with their own images
    assert one(cubic * 1e200) == "too large: the cell holds 1.8e+308 Å³"
    assert one(cubic * 1e-200) == "no volume: the cell holds 0 Å³"
    assert one(cubic, ((0, 0, 0), (1e18, 0, 0))) == "out of range: fractional coordinates"
    assert one(np.diag([4, 4, 1e-3])).startswith("no volume")


def test_many_atoms_take_no_time():
    rng = np.random.default_rng(0)
    start = time.process_time()
    assert one(np.eye(3) * 4, np.zeros((50_000, 3))).startswith("atoms on the same place")
    grid = np.stack(np.meshgrid(*[np.arange(36) / 36] * 3), -1).reshape(-1, 3) + rng.random((36**3, 3)) / 500
    assert one(np.eye(3) * 100, grid) is None
    assert one(np.eye(3) * 400, rng.random((1_000_000, 3))) == "too large: 1000000 atoms, more than 100000"
    assert time.process_time() - start < 3 * SECONDS


def test_columns_that_are_not_there_take_no_memory() -> None:
    """ASE would make room for the columns that the comment line says."""
    comment = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:99999999999 pbc="T T T"'
    record = from_extxyz(f"1\n{comment}\nMg 0 0 0\n", "mg")
    assert record.reason == ("unreadable: extended XYZ not understood (100000000000 columns, more than 1000)")
