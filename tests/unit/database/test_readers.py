"""Every source with real content, and every way in which one can be bad."""

import bz2
import csv
import gzip
import json
import logging
import lzma
import sqlite3
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import ase.db
import ase.io
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from cgwgan_core.crystallography.composition import formula_of_numbers
from cgwgan_core.database.read import SOURCES, read_database
from cgwgan_core.database.record import Record, atomic_number, check, crystal, to_columns
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.provenance import Provenance
from scripts.read_database import main

# ------------------------------------------------------------------------------------------- real crystals


def perovskite(a: float = 4.05, b_site: str = "Ru") -> Structure:
    return Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(a), ["Ba", b_site, "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )


def rutile() -> Structure:
    return Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.53, 3.12), ["Ru", "O"], [[0, 0, 0], [0.3056, 0.3056, 0]]
    )


def rocksalt() -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.54), ["Ba", "O"], [[0, 0, 0], [0.5] * 3])


def document(material_id: str, structure: Structure, formation: float | None = -1.0, hull: float | None = 0.0) -> dict:
    """As ``MPRester.materials.summary.search`` returns it, with some of its other fields."""
    return {
        "builder_meta": {"emmet_version": "0.84.2", "license": "BY-C"},
        "nsites": len(structure),
        "elements": sorted(e.symbol for e in structure.elements),
        "origins": [{"name": "structure", "task_id": material_id}],
        "material_id": material_id,
        "structure": structure.as_dict(),
        "formation_energy_per_atom": formation,
        "energy_above_hull": hull,
    }


DOCUMENTS = [
    document("mp-1017591", perovskite(), -2.13, 0.05),
    document("mp-825", rutile(), -1.46, 0.0),
    document("mp-1342", rocksalt(), -2.81, None),
]
IDS = [d["material_id"] for d in DOCUMENTS]
FORMULAS = ["BaRuO3", "RuO2", "BaO"]


def disordered() -> Structure:
    return Structure(Lattice.cubic(4.05), [{"Ba": 0.5, "Sr": 0.5}, "Ru", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])


class Result:
    def __init__(self, folder: Path) -> None:
        self.structures = tables.read(folder / "structures.parquet", tables.STRUCTURES).to_pylist()
        refused = tables.read(folder / "refused.parquet", tables.REFUSED).to_pylist()
        assert {row["stage"] for row in refused} <= {"read"}
        self.refused = [(row["record"], row["reason"]) for row in refused]
        self.ids = [row["material_id"] for row in self.structures]
        self.formulas = [row["formula"] for row in self.structures]


@pytest.fixture
def run(tmp_path):
    """Run the stage; the output folder is ``tmp_path / "data"``."""

    def run(source: str, path: Path | None = None, chunk: int = 1000, threads: int = 1) -> Result:
        out = tmp_path / "data"
        path = None if path is None else str(path)
        main(source, path, chunk, f"{out}/structures.parquet", f"{out}/refused.parquet", Provenance(), threads)
        return Result(out)

    return run


@pytest.fixture
def fails(tmp_path, run):
    """Run the stage, expect its one error, and no output (not even a temporary file)."""

    def fails(*args, match: str, **kwargs) -> str:
        with pytest.raises(InputError, match=match) as caught:
            run(*args, **kwargs)
        left = [p for p in (tmp_path / "data").rglob("*") if p.is_file() and "download" not in p.parts]
        assert left == []
        return str(caught.value)

    return fails


def same_crystal(row: dict, structure: Structure) -> bool:
    return (
        np.allclose(np.reshape(row["lattice"], (3, 3)), structure.lattice.matrix, atol=1e-6)
        and row["numbers"] == [s.specie.Z for s in structure]
        and np.allclose(np.reshape(row["frac_coords"], (-1, 3)), structure.frac_coords, atol=1e-6)
    )


def write_json(path: Path, content) -> Path:
    path.write_text(json.dumps(content))
    return path


# -------------------------------------------------------------------------------------- the check of records

SAME_PLACE = "atoms on the same place: two are closer than 0.1 Å"
NO_ELEMENT = "not an element: atomic number outside 1 to 118"


def record(lattice=None, species=("Ba", "O"), coords=((0, 0, 0), (0.5, 0.5, 0.5))) -> Record:
    return crystal("x", np.eye(3) * 4 if lattice is None else lattice, [{s: 1} for s in species], coords)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record(coords=[[0, 0, 0]]), "wrong length: 3 coordinates for 2 atoms"),
        (record(lattice=[4, 4, 4]), "wrong length: the lattice has 3 components, not 9"),
        (record(species=(), coords=[]), "empty: no atoms"),
        (record(lattice=np.diag([4, 4, np.nan])), "not finite: lattice"),
        (record(coords=[[0, 0, 0], [0.5, 0.5, np.inf]]), "not finite: coordinates"),
        (record(lattice=np.diag([4.0, 4.0, 0.0])), "no volume: the cell holds 0 Å³"),
        (record(lattice=np.eye(3) * 0.4), "no volume: the cell holds 0.064 Å³"),
        (record(coords=[[0, 0, 0], [0, 0, 0]]), SAME_PLACE),
        (record(coords=[[0.0001, 0.9999, 0], [0.9999, 0.0001, 1]]), SAME_PLACE),
        (record(species=("Ba", "X")), "not an element: species 'X' on site 2"),
        (record(lattice="nonsense"), "unreadable: lattice or coordinates are not lists of numbers"),
        (Record("x", np.eye(3).ravel() * 4, np.array([119.0]), np.zeros(3)), NO_ELEMENT),
        (Record("x", np.eye(3).ravel() * 4, np.array([np.nan]), np.zeros(3)), NO_ELEMENT),
    ],
)  # fmt: skip
def test_each_defect_has_its_reason_and_spares_its_neighbours(bad, reason):
    good = record()
    assert check(to_columns([good, bad, good, bad])) == [None, reason, None, reason]


def test_atoms_on_the_same_place_agree_with_all_pairs():
    """The sorted search finds what comparing all pairs finds: skewed cells, crossings of the cell's edge."""
    rng = np.random.default_rng(5)
    records, expected = [], []
    for _ in range(400):
        lattice = Lattice(np.diag(rng.uniform(1.5, 6, 3)) + np.tril(rng.uniform(-2, 2, (3, 3)), -1))
        coords = rng.random((rng.integers(2, 12), 3))
        step = rng.normal(size=3)
        step *= rng.uniform(0.05, 0.15) / np.linalg.norm(step)
        coords[-1] = coords[0] + lattice.get_fractional_coords(step) + rng.integers(-2, 3, 3)
        distances = lattice.get_all_distances(coords, coords) + 9 * np.eye(len(coords))
        records.append(crystal("x", lattice.matrix, [{"O": 1}] * len(coords), coords))
        expected.append(distances.min() < 0.1)
    assert 100 < sum(expected) < 300
    assert [reason is not None for reason in check(to_columns(records))] == expected


def test_species_become_elements():
    assert [atomic_number(s) for s in ("O", "O2-", "Fe3+", "Fe2.67+", "D", "D+", "T", "Og")] == [
        8,
        8,
        26,
        26,
        1,
        1,
        1,
        118,
    ]
    assert [atomic_number(s) for s in ("X", "Xx", "Vac", "", "o", "Qq0+")] == [0] * 6
    # Mixed valence on one site is one element; a mixed or empty site is disorder.
    kept = crystal("x", np.eye(3) * 4, [{"Fe2+": 0.5, "Fe3+": 0.5}], [[0, 0, 0]])
    assert kept.reason is None
    assert kept.numbers.tolist() == [26]
    assert (
        crystal("x", np.eye(3) * 4, [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]]).reason
        == "disordered: site 1 holds Fe 0.5, Co 0.5"
    )
    assert crystal("x", np.eye(3) * 4, [{"Fe": 0.9}], [[0, 0, 0]]).reason == "disordered: site 1 holds Fe 0.9"


def test_formulas_are_written_as_the_materials_project_writes_them():
    for formula, numbers in {
        "Ba4Ru3O10": [56] * 4 + [44] * 3 + [8] * 10,
        "O2": [8] * 8,
        "Mg(ScSe2)2": [12, 21, 21] + [34] * 4,
    }.items():
        assert formula_of_numbers(np.array(numbers)) == formula


# --------------------------------------------------------------------------------------------------- aflow


def test_aflow_needs_nothing(run, caplog):
    caplog.set_level(logging.INFO, "cgwgan")
    result = run("aflow")
    assert len(result.ids) == len(set(result.ids)) == 288
    assert result.refused == []
    assert result.ids[0] == "AB_hP6_154_a_b-cinnabar"
    assert result.formulas[0] == "HgS"
    # this label stands four times in the library; for SnS, GeS and MnP without a mineral
    assert {"AB_oP8_62_c_c", "AB_oP8_62_c_c-2"} <= set(result.ids)
    assert {row["formation_energy_per_atom"] for row in result.structures} == {None}
    assert "288 records: 288 kept, 0 refused" in caplog.messages
    assert "  0 of 288 kept with a formation energy" in caplog.messages


# ------------------------------------------------------------------------------------------------- mp_dump


def _bare(d):
    return {k: v for k, v in d.items() if k != "material_id"}


LAYOUTS = {
    "list": lambda: json.dumps(DOCUMENTS),
    "indented list": lambda: json.dumps(DOCUMENTS, indent=1),
    "data": lambda: json.dumps({"meta": {"total_doc": 3}, "data": DOCUMENTS}),
    "id to document": lambda: json.dumps({d["material_id"]: _bare(d) for d in DOCUMENTS}),
    "lines": lambda: "\n".join(map(json.dumps, DOCUMENTS)),
    "lines, blank ones between": lambda: "\n" + "\n\n".join(map(json.dumps, DOCUMENTS)) + "\n\n",
    "indented documents in a row": lambda: "\n".join(json.dumps(d, indent=2) for d in DOCUMENTS),
}


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_dump_in_each_layout(run, tmp_path, layout, zipped):
    content = LAYOUTS[layout]().encode()
    path = tmp_path / "dump"  # known by its content, not its name
    path.write_bytes(gzip.compress(content) if zipped else content)
    result = run("mp_dump", path)
    assert result.ids == IDS
    assert result.formulas == FORMULAS
    assert same_crystal(result.structures[0], perovskite())
    assert [row["formation_energy_per_atom"] for row in result.structures] == [-2.13, -1.46, -2.81]
    assert [row["energy_above_hull"] for row in result.structures] == [0.05, 0.0, None]


def test_dump_of_structures_alone_and_of_plain_arrays(run, tmp_path):
    plain = {
        "id": "a-1",
        "lattice": np.eye(3).tolist(),
        "species": ["Po"],
        "frac_coords": [[0, 0, 0]],
        "e_above_hull": 0.3,
    }
    plain["lattice"] = [[3.35, 0, 0], [0, 3.35, 0], [0, 0, 3.35]]
    numbers = {**plain, "id": "a-2", "numbers": [84], "species": None}
    cif = {"material_id": "a-3", "cif": rutile().to(fmt="cif")}
    result = run("mp_dump", write_json(tmp_path / "dump.json", [rutile().as_dict(), plain, numbers, cif]))
    assert result.ids == ["record-1", "a-1", "a-2", "a-3"]
    assert result.formulas == ["RuO2", "Po", "Po", "RuO2"]
    assert result.structures[1]["energy_above_hull"] == 0.3


def test_dump_refuses_bad_records_and_carries_on(run, tmp_path, caplog):
    caplog.set_level(logging.INFO, "cgwgan")
    oxidised = rocksalt().add_oxidation_state_by_element({"Ba": 2, "O": -2})
    heavy_water = Structure(Lattice.cubic(6), ["D", "D", "O"], [[0.1, 0, 0], [0, 0.1, 0], [0, 0, 0]])
    nowhere = document("mp-4", rutile())
    nowhere["structure"]["sites"][2]["abc"][1] = None
    half = document("mp-5", rutile())
    del half["structure"]["lattice"]
    documents = [
        document("mp-1", disordered()),
        document("mp-2", oxidised),
        {"material_id": "mp-3", "formula_pretty": "RuO2"},
        nowhere,
        half,
        document("mp-2", rutile()),
        document("mp-6", heavy_water),
        {"formula_pretty": "RuO2"},
        17,
    ]
    result = run("mp_dump", write_json(tmp_path / "dump.json", documents))
    assert result.ids == ["mp-2", "mp-6"]
    assert result.formulas == ["BaO", "H2O"]
    assert result.refused == [
        ("mp-1", "disordered: site 1 holds Ba 0.5, Sr 0.5"),
        ("mp-3", "no structure: found only material_id, formula_pretty"),
        ("mp-4", "not finite: coordinates"),
        (
            "mp-5",
            "unreadable: structure not understood (ValueError: found only @module, @class, charge, properties, sites)",
        ),
        ("mp-2", "duplicate material_id: record 2 has it already"),
        ("record-8", "no structure: found only formula_pretty"),
        ("record-9", "unreadable: the record is a int, not a document"),
    ]
    assert "9 records: 2 kept, 7 refused" in caplog.messages
    assert "  2 no structure" in caplog.messages


def test_one_broken_line_is_one_refused_record(run, tmp_path):
    lines = [json.dumps(d) for d in DOCUMENTS]
    lines[1] = lines[1][:300]
    path = tmp_path / "dump.jsonl"
    path.write_text("\n".join(lines) + "\n")
    result = run("mp_dump", path)
    assert result.ids == [IDS[0], IDS[2]]
    [(name, reason)] = result.refused
    assert name == "record-2"
    assert reason.startswith("unreadable: line 2 is not JSON")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_truncated_dump_says_where(fails, tmp_path, layout):
    path = tmp_path / "dump.json"
    path.write_text(LAYOUTS[layout]().rstrip()[:-150])
    where = r"truncated in line \d" if "lines" in layout else r"truncated or not JSON after record 2 \(mp-825\)"
    fails("mp_dump", path, match=where)


def test_truncated_gzip_says_where(fails, tmp_path):
    path = tmp_path / "dump.json.gz"
    noise = np.random.default_rng(0).bytes(400_000).hex()  # keeps gzip from packing it all into the last bytes
    whole = gzip.compress(json.dumps([*DOCUMENTS, {"noise": noise}]).encode())
    path.write_bytes(whole[: len(whole) // 2])
    fails("mp_dump", path, match=r"dump\.json\.gz: truncated or not JSON after record 3 \(mp-1342\): .*end-of-stream")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "dump.json: empty"),
        ("  \n", "dump.json: empty"),
        ("[]", "holds no records at all"),
        ("17", "holds no documents"),
        ("material_id,cif\n", "not JSON before the first record"),
        ('{"data": []}', "holds no records at all"),
        ('[{"material_id": "mp-1"}]', r"none of 1 records is usable \(mp-1: no structure: found only material_id\)"),
    ],
)
def test_dump_without_structures(fails, tmp_path, content, match):
    path = tmp_path / "dump.json"
    path.write_text(content)
    assert str(path) in fails("mp_dump", path, match=match)


def test_a_parquet_file_given_as_a_dump(fails, tmp_path):
    path = tmp_path / "dump.parquet"
    pq.write_table(arrays(), path)
    fails("mp_dump", path, match=r"dump\.parquet: not JSON but a Parquet file; set data\.source to parquet")
    path.write_bytes(b"\x89PNG\xc6\xfe")
    fails("mp_dump", path, match="not JSON before the first record")


def test_dump_of_real_entries(run, shared_data):
    result = run("mp_dump", shared_data / "ba_ru_o_mp_entries.json.gz")
    assert len(result.ids) == 88
    assert result.refused == []
    assert result.formulas[result.ids.index("mp-17304")] == "Ba4Ru3O10"
    result = run("mp_dump", shared_data / "mp_templates34_sample2000.json.gz")
    assert len(result.ids) == 2000
    assert result.structures[0]["formation_energy_per_atom"] == pytest.approx(-0.00837, abs=1e-5)


# ------------------------------------------------------------------------------------------------- parquet


def arrays(**changes) -> pa.Table:
    structures = [perovskite(), rutile(), rocksalt()]
    columns = {
        "material_id": IDS,
        "lattice": [s.lattice.matrix.ravel().tolist() for s in structures],
        "numbers": pa.array([list(s.atomic_numbers) for s in structures], pa.list_(pa.uint8())),
        "frac_coords": pa.array([s.frac_coords.ravel().tolist() for s in structures], pa.list_(pa.float32())),
        "formation_energy_per_atom": [-2.13, -1.46, float("nan")],
        "energy_above_hull": [0.05, None, 0.0],
        "extra": ["a", "b", "c"],
    }
    return pa.table({name: column for name, column in (columns | changes).items() if column is not None})


def test_parquet_of_arrays(run, tmp_path):
    pq.write_table(arrays(), tmp_path / "in.parquet")
    result = run("parquet", tmp_path / "in.parquet")
    assert result.ids == IDS
    assert result.formulas == FORMULAS
    assert same_crystal(result.structures[1], rutile())
    assert [row["formation_energy_per_atom"] for row in result.structures] == [-2.13, -1.46, None]
    assert [row["energy_above_hull"] for row in result.structures] == [0.05, None, 0.0]


def test_parquet_with_nested_lists_and_without_ids(run, tmp_path):
    structures = [perovskite(), rutile(), rocksalt()]
    table = arrays(
        lattice=pa.array([s.lattice.matrix.tolist() for s in structures], pa.list_(pa.list_(pa.float64(), 3), 3)),
        frac_coords=[s.frac_coords.tolist() for s in structures],
        material_id=None,
        energy_above_hull=None,
        formation_energy_per_atom=None,
    )
    pq.write_table(table, tmp_path / "in.parquet")
    result = run("parquet", tmp_path / "in.parquet")
    assert result.ids == ["record-1", "record-2", "record-3"]
    assert all(same_crystal(row, s) for row, s in zip(result.structures, structures, strict=True))


def test_own_output_is_a_source_and_gives_itself(run, tmp_path):
    pq.write_table(arrays(), tmp_path / "in.parquet")
    first = run("parquet", tmp_path / "in.parquet")
    before = (tmp_path / "data/structures.parquet").read_bytes()
    (tmp_path / "own.parquet").write_bytes(before)
    assert run("parquet", tmp_path / "own.parquet").structures == first.structures
    assert (tmp_path / "data/structures.parquet").read_bytes() == before


def test_parquet_refuses_bad_rows(run, tmp_path):
    good = arrays().to_pylist()[0]
    rows = [
        good,
        good | {"material_id": "short", "frac_coords": good["frac_coords"][:-3]},
        good | {"material_id": "flat", "lattice": [4, 0, 0, 0, 4, 0, 4, 4, 0]},
        good | {"material_id": "null", "numbers": None, "frac_coords": None},
        good | {"material_id": "nan", "frac_coords": [None, *good["frac_coords"][1:]]},
        good | {"material_id": "zero", "numbers": [0, *good["numbers"][1:]]},
        good | {"material_id": "twice", "frac_coords": good["frac_coords"][:6] + 3 * good["frac_coords"][6:9]},
        good,
        good | {"material_id": "last"},
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=arrays().schema), tmp_path / "in.parquet")
    result = run("parquet", tmp_path / "in.parquet")
    assert result.ids == [IDS[0], "last"]
    assert result.refused == [
        ("short", "wrong length: 12 coordinates for 5 atoms"),
        ("flat", "no volume: the cell holds 0 Å³"),
        ("null", "empty: no atoms"),
        ("nan", "not finite: coordinates"),
        ("zero", NO_ELEMENT),
        ("twice", SAME_PLACE),
        (IDS[0], "duplicate material_id: record 1 has it already"),
    ]


def test_parquet_that_cannot_be_read(fails, tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(arrays(lattice=None), path)
    fails("parquet", path, match=r"lacks the columns lattice \(found: material_id, numbers, frac_coords,")
    pq.write_table(arrays(numbers=[["Ba"], ["Ru"], ["O"]]), path)
    fails("parquet", path, match="column numbers holds string, not numbers")
    pq.write_table(arrays(), path)
    path.write_bytes(path.read_bytes()[:-100])
    fails("parquet", path, match="not a readable Parquet file")
    pq.write_table(arrays().slice(0, 0), path)
    fails("parquet", path, match="holds no records at all")


# ----------------------------------------------------------------------------------------------------- csv


def write_csv(path: Path, rows: list[tuple[str, str]], cif: str = "cif") -> Path:
    with path.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["", "material_id", "formation_energy_per_atom", "e_above_hull", "elements", cif])
        for i, (name, text) in enumerate(rows):
            out.writerow([i, name, -1.5, "0.01" if i else "", "['Ru', 'O']", text])
    return path


@pytest.mark.parametrize("threads", [1, 2])
def test_csv_in_the_layout_of_mp20(run, tmp_path, threads):
    sound = rutile().to(fmt="cif")
    rows = [(f"mp-{i}", perovskite(3.9 + i / 1000).to(fmt="cif")) for i in range(40)]
    rows[3] = ("mp-3", disordered().to(fmt="cif"))
    rows[5] = ("mp-5", "")
    rows[7] = ("mp-7", sound[: len(sound) // 2])
    rows[9] = ("", sound)
    result = run("csv", write_csv(tmp_path / "in.csv", rows), threads=threads)
    assert result.ids == [name or "record-10" for i, (name, _) in enumerate(rows) if i not in (3, 5, 7)]
    assert same_crystal(result.structures[0], perovskite(3.9))
    assert result.structures[0]["energy_above_hull"] is None
    assert result.structures[1]["energy_above_hull"] == 0.01
    assert result.structures[1]["formation_energy_per_atom"] == -1.5
    assert [name for name, _ in result.refused] == ["mp-3", "mp-5", "mp-7"]
    assert result.refused[0][1] == "disordered: site Ba0 holds Ba 0.5, Sr 0.5"
    assert result.refused[1][1].startswith("no structure: found only")
    assert result.refused[2][1].startswith("unreadable: CIF not understood")


def test_csv_gzipped(run, tmp_path):
    plain = write_csv(tmp_path / "in.csv", [("mp-825", rutile().to(fmt="cif"))])
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()))
    assert run("csv", path).formulas == ["RuO2"]


def test_csv_that_cannot_be_read(fails, tmp_path):
    path = tmp_path / "in.csv"
    sound = rutile().to(fmt="cif")
    write_csv(path, [("mp-1", sound)], cif="crystal")
    fails("csv", path, match=r'lacks the column cif \(found: "", material_id, .*crystal\)')
    path.write_text("")
    fails("csv", path, match=r"lacks the column cif \(found: none\)")
    path.write_text("material_id,cif,CIF\nmp-1,a,b\n")
    fails("csv", path, match="column cif stands twice")
    write_csv(path, [])
    fails("csv", path, match="holds no records at all")
    write_csv(path, [("mp-1", sound), ("mp-2", sound)])
    path.write_text(path.read_text().rstrip()[:-40])
    fails("csv", path, match="truncated or not CSV after record 1")
    path.write_bytes(b"cif\n\xff\xfe\n")
    fails("csv", path, match=r"none of 1 records is usable \(record-1: unreadable: CIF")
    write_csv(path, [("mp-1", "not a CIF"), ("mp-2", "nor this")])
    fails("csv", path, match=r"none of 2 records is usable \(mp-1: unreadable: CIF not understood")


# -------------------------------------------------------------------------------------------------- folder


def fill_folder(folder: Path) -> Path:
    (folder / "b/relaxed").mkdir(parents=True)
    (folder / "__MACOSX").mkdir()
    (folder / "rutile.cif").write_text(rutile().to(fmt="cif", symprec=0.01))
    (folder / "a.vasp").write_text(rocksalt().to(fmt="poscar"))
    (folder / "a.cif").write_text(perovskite().to(fmt="cif"))
    (folder / "b/relaxed/CONTCAR").write_text(perovskite(4.0).to(fmt="poscar"))
    (folder / "b/POSCAR_old").write_text(rocksalt().to(fmt="poscar"))
    (folder / "b/notes.txt").write_text("not a structure")
    (folder / "__MACOSX/._rutile.cif").write_bytes(b"\0\0")
    return folder


FOLDER_IDS = ["a.cif", "a.vasp", "b/POSCAR_old", "b/relaxed/CONTCAR", "rutile"]
FOLDER_FORMULAS = ["BaRuO3", "BaO", "BaO", "BaRuO3", "RuO2"]


@pytest.mark.parametrize("threads", [1, 2])
def test_folder_is_read_in_the_order_of_names(run, tmp_path, threads):
    result = run("folder", fill_folder(tmp_path / "in"), threads=threads)
    assert result.ids == FOLDER_IDS
    assert result.formulas == FOLDER_FORMULAS
    assert result.refused == [
        ("__MACOSX/._rutile.cif", "passed over: hidden, or of the system"),
        ("b/notes.txt", "passed over: not CIF, POSCAR, XYZ or JSON by its name"),
    ]
    assert same_crystal(result.structures[3], perovskite(4.0))
    assert len(result.structures[4]["numbers"]) == 6  # all atoms of the cell, from the CIF's symmetry


NAMED = {
    "a.cif": "cif", "B.CIF": "cif", "c.mcif": "cif", "d.cif.txt": "cif",
    "POSCAR": "poscar", "POSCAR_x": "poscar", "contcar.relaxed": "poscar", "e.vasp": "poscar", "f.poscar": "poscar",
    "mp-2.poscar.txt": "poscar", "mp-3_POSCAR": "poscar", "g.CONTCAR": "poscar", "h-POSCAR-1": "poscar",
    "i.json": "json", "j.jsonl": "json", "k.xyz": "xyz", "l.extxyz": "xyz",
    "notes.txt": None, "myposcars.md": None, "m.zip": None, "n.tar.gz": None, ".DS_Store": None, ".a.cif": None,
}  # fmt: skip


def test_every_file_is_read_or_refused_by_name(run, tmp_path):
    """Names of all kinds, compressed or not; each crystal has another cell, so that none is mistaken."""
    folder = tmp_path / "in"
    folder.mkdir()
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    expected = {}
    for name, kind in NAMED.items():
        for ending, compress in pack.items():
            a = 4 + len(expected) / 100
            atoms = AseAtomsAdaptor.get_atoms(perovskite(a))
            xyz = StringIO()
            ase.io.write(xyz, Atoms(atoms), format="extxyz")
            content = {
                "cif": perovskite(a).to(fmt="cif"),
                "poscar": perovskite(a).to(fmt="poscar"),
                "json": json.dumps(perovskite(a).as_dict()),
                "xyz": xyz.getvalue(),
                None: "anything",
            }[kind]
            (folder / (name + ending)).write_bytes(compress(content.encode()))
            if kind:
                expected[name + ending] = a
    result = run("folder", folder)
    assert len(result.ids) + len(result.refused) == len(NAMED) * len(pack)
    assert {reason.split(":")[0] for _, reason in result.refused} == {"passed over"}
    assert sorted(round(row["lattice"][0], 4) for row in result.structures) == sorted(
        round(a, 4) for a in expected.values()
    )
    for ending in ("tar", "tar.gz", "tar.xz"):
        with tarfile.open(tmp_path / f"in.{ending}", "w:" + ending[4:]) as archive:
            archive.add(folder, arcname="")
        again = run("folder", tmp_path / f"in.{ending}")
        assert sorted(again.ids) == sorted(result.ids)
        assert sorted(again.refused) == sorted(result.refused)


def test_a_folder_of_dumps_is_a_dump(run, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, doc in enumerate(DOCUMENTS):
        (folder / f"alexandria_{number:03d}.json.bz2").write_bytes(
            bz2.compress(json.dumps({"entries": [doc]}).encode())
        )
    (folder / "more.json").write_text(json.dumps([_bare(DOCUMENTS[0]), _bare(DOCUMENTS[1])]))
    (folder / "README.md").write_text("three parts")
    result = run("mp_dump", folder)
    assert result.ids == [*IDS, "more#1", "more#2"]
    assert result.refused == [("README.md", "passed over: not CIF, POSCAR, XYZ or JSON by its name")]


def test_zip_gives_what_its_folder_gives(run, tmp_path):
    folder = fill_folder(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in sorted(folder.rglob("*"), reverse=True):
            archive.write(path, path.relative_to(folder))
    result = run("folder", tmp_path / "in.zip")
    assert result.ids == FOLDER_IDS
    assert result.structures == run("folder", folder).structures


def test_folder_refuses_bad_files_and_carries_on(run, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    cif, poscar = rutile().to(fmt="cif"), rutile().to(fmt="poscar")
    atoms_cut = cif[: cif.rindex("\n", 0, -2) + 1]  # one whole line of the list of atoms is gone
    (folder / "0-good.cif").write_text(cif)
    (folder / "1-cut.cif").write_text(atoms_cut)
    (folder / "2-header.cif").write_text(cif[: cif.index("loop_")])
    (folder / "3-empty.cif").write_text("")
    (folder / "4-latin.cif").write_bytes(b"# J. Pl\xfccker\n" + cif.encode())
    (folder / "5-noise.cif").write_bytes(np.random.default_rng(1).bytes(500))
    (folder / "POSCAR-cut").write_text("\n".join(poscar.splitlines()[:-1]))
    (folder / "POSCAR-vasp4").write_text(
        "\n".join(x for i, x in enumerate(poscar.replace(" Ru", "").replace(" O", "").splitlines()) if i != 5)
    )
    (folder / "disordered.cif").write_text(disordered().to(fmt="cif"))
    (folder / "two.cif").write_text("data_global\n_journal_year 2024\n" + cif + perovskite().to(fmt="cif"))
    result = run("folder", folder)
    assert result.ids == ["0-good", "4-latin", "two#1", "two#2"]
    assert result.formulas == ["RuO2", "RuO2", "RuO2", "BaRuO3"]
    reasons = dict(result.refused)
    assert reasons["1-cut"] == "incomplete: the CIF's formula is Ru2 O4, its atoms are Ru2 O3"
    assert reasons["2-header"].startswith("unreadable: CIF not understood")
    assert reasons["3-empty"] == "empty: 3-empty.cif has no content"
    assert reasons["5-noise"].startswith("unreadable: CIF not understood")
    assert reasons["POSCAR-cut"] == "unreadable: POSCAR not understood (it ends too early)"
    assert reasons["POSCAR-vasp4"] == "not an element: the POSCAR names no elements"
    assert reasons["disordered"] == "disordered: site Ba0 holds Ba 0.5, Sr 0.5"
    assert len(reasons) == 7


def test_folder_that_cannot_be_read(fails, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    fails("folder", folder, match=r"no CIF, POSCAR, XYZ or JSON files \(found: nothing\)")
    (folder / "a.txt").write_text("x")
    fails("folder", folder, match=r"no CIF, POSCAR, XYZ or JSON files \(found: 1 with \.txt\)")
    fails("folder", folder / "a.txt", match=r"neither a folder nor a whole archive")
    cif = rutile().to(fmt="cif")
    (folder / "a.cif").write_text(cif[: len(cif) // 2])
    fails("folder", folder, match=r"none of 2 records is usable \(a: unreadable: CIF .*; a.txt: passed over: ")
    fails("folder", folder / "a.cif", match=r"none of 1 records is usable \(a: unreadable: CIF")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.cif", cif)
    (tmp_path / "in.zip").write_bytes((tmp_path / "in.zip").read_bytes()[:-30])
    fails("folder", tmp_path / "in.zip", match=r"neither a folder nor a whole archive")


# ----------------------------------------------------------------------------------------------------- ase


@pytest.mark.parametrize("ending", ["db", "json"])
def test_ase_database(run, tmp_path, ending):
    path = tmp_path / f"in.{ending}"
    with ase.db.connect(path) as database:
        database.write(bulk("MgO", "rocksalt", a=4.25), material_id="mp-1265", formation_energy_per_atom=-3.0)
        database.write(bulk("NaCl", "rocksalt", a=5.6), e_above_hull=0.1)
        database.write(molecule("H2O"))
        database.write(Atoms("O", pbc=True))
        database.write(Atoms("O", cell=[[4, 0, 0], [8, 0, 0], [0, 0, 4]], pbc=True))
        database.write(bulk("Si"), material_id="mp-1265")
    before = path.read_bytes()
    result = run("ase", path)
    assert result.ids == ["mp-1265", "row-2"]
    assert result.formulas == ["MgO", "NaCl"]
    assert result.structures[0]["formation_energy_per_atom"] == -3.0
    assert result.structures[1]["energy_above_hull"] == 0.1
    assert np.allclose(np.mod(result.structures[0]["frac_coords"], 1), [0, 0, 0, 0.5, 0.5, 0.5])
    assert result.refused == [
        ("row-3", "not a crystal: not periodic in all three directions"),
        ("row-4", "no volume: the cell vectors are not independent"),
        ("row-5", "no volume: the cell vectors are not independent"),
        ("mp-1265", "duplicate material_id: record 1 has it already"),
    ]
    assert path.read_bytes() == before


def test_ase_database_that_cannot_be_read(fails, tmp_path):
    path = tmp_path / "in.db"
    path.write_text("this is no SQLite file, it is much too much like text")
    fails("ase", path, match="not a readable ASE database after row 0")
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE crystals (id INTEGER)")
    other.close()
    before = path.read_bytes()
    fails("ase", path, match="an SQLite file without ASE's table")
    assert path.read_bytes() == before
    fails("ase", write_json(tmp_path / "in.json", {"ids": [1]}), match="not a readable ASE database")
    (tmp_path / "cut.json").write_text('{"1": {"cell"')
    fails("ase", tmp_path / "cut.json", match="not a readable ASE database")
    (tmp_path / "in.traj").write_text("x")
    fails("ase", tmp_path / "in.traj", match=r"must end in \.db or \.json")
    ase.db.connect(tmp_path / "none.db").count()  # creates the tables
    fails("ase", tmp_path / "none.db", match="holds no records at all")


# ------------------------------------------------------------------------------------------------------ mp


class MaterialsProject(ThreadingHTTPServer):
    """The part of the Materials Project's interface that a download uses, over ``DOCUMENTS``-like data."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.documents = [document(f"mp-{i}", perovskite(4 + i / 100), -i / 10) for i in range(1, 8)]
        self.asked: list[dict[str, str]] = []
        self.keys: set[str] = set()
        self.break_at: int | None = None
        self.status = 500


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        if url.path == "/heartbeat":
            return self.answer({"db_version": "2025.09.25", "version": "0.87.3", "access_controlled_batch_ids": []})
        assert url.path == "/materials/summary/"
        self.server.keys.add(self.headers["x-api-key"])
        if "_page" not in query:
            return self.answer({"data": self.server.documents[:1], "meta": {"total_doc": len(self.server.documents)}})
        self.server.asked.append(query)
        page, size = int(query["_page"]), int(query["_per_page"])
        if page == self.server.break_at:
            return self.answer({"detail": "no more today"}, self.server.status)
        fields = query["_fields"].split(",")
        found = sorted(self.server.documents, key=lambda d: d[query["_sort_fields"]])[(page - 1) * size : page * size]
        answer = [{k: d[k] for k in fields} for d in found]
        return self.answer({"data": answer, "meta": {"total_doc": len(self.server.documents)}})

    def answer(self, content: dict, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    """A local server that the real client talks to."""
    from mp_api.client.core.settings import MAPI_CLIENT_SETTINGS

    with MaterialsProject() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setattr(MAPI_CLIENT_SETTINGS, "ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("MP_API_KEY", "k" * 32)
        yield server
        server.shutdown()
        thread.join()


def test_download(run, server, tmp_path):
    result = run("mp", chunk=3)
    assert result.ids == [f"mp-{i}" for i in range(1, 8)]
    assert result.structures[1]["formation_energy_per_atom"] == -0.2
    assert same_crystal(result.structures[6], perovskite(4.07))
    assert server.keys == {"k" * 32}
    assert [query["_page"] for query in server.asked] == ["1", "2", "3"]
    assert {
        k: v for k, v in server.asked[0].items() if k in ("_per_page", "_fields", "_sort_fields", "deprecated")
    } == {
        "_per_page": "3",
        "_fields": "material_id,structure,formation_energy_per_atom,energy_above_hull",
        "_sort_fields": "material_id",
        "deprecated": "False",
    }
    chunks = sorted((tmp_path / "data/download/2025.09.25-3").iterdir())
    assert [path.name for path in chunks] == ["00001.jsonl.gz", "00002.jsonl.gz", "00003.jsonl.gz"]
    assert len(gzip.decompress(chunks[2].read_bytes()).splitlines()) == 1


def test_download_goes_on_where_it_stopped(run, fails, server, tmp_path):
    server.break_at = 3
    fails("mp", chunk=3, match=r"chunk 3 of 3 failed .*no more today.*goes on after the last whole chunk")
    folder = tmp_path / "data/download/2025.09.25-3"
    assert len(list(folder.iterdir())) == 2
    (folder / ".00003.jsonl.gz.4711.part").write_bytes(b"\x1f\x8b half a chunk")  # as kill -9 leaves it
    server.break_at, server.asked = None, []
    assert run("mp", chunk=3).ids == [f"mp-{i}" for i in range(1, 8)]
    assert [query["_page"] for query in server.asked] == ["3"]
    assert sorted(path.name for path in folder.iterdir()) == [f"0000{i}.jsonl.gz" for i in (1, 2, 3)]
    server.asked = []
    run("mp", chunk=3)
    assert server.asked == []


def test_download_without_a_key(fails, monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    fails("mp", match="MP_API_KEY is not set; get a key .* https://next-gen.materialsproject.org/api")


def test_download_refused_or_unreachable(fails, server, monkeypatch):
    server.break_at, server.status = 1, 403
    fails("mp", match="chunk 1 of 1 failed .*403")
    fails("mp", chunk=5000, match="data.chunk: 5000 documents per request; give 1 to 1000")
    monkeypatch.setenv("MP_API_KEY", "short")
    fails("mp", match="valid API key")
    monkeypatch.setenv("MP_API_KEY", "a line's\nend in it")  # which a request would quote
    fails("mp", match="MP_API_KEY holds more than letters and digits")


# ------------------------------------------------------------------------------------------ any source


@pytest.mark.parametrize("source", sorted(SOURCES.keys() - {"aflow", "mp"}))
def test_a_source_without_its_file(fails, tmp_path, source):
    fails(source, match=f"data.path: not set; source {source} needs the path of")
    fails(source, tmp_path / "absent", match="absent: no such file or folder; correct data.path")
    if source not in ("folder", "mp_dump"):
        (tmp_path / "somewhere").mkdir()
        fails(source, tmp_path / "somewhere", match=f"somewhere: a folder; source {source} needs")


def test_unknown_source(fails):
    fails("icsd", match="data.source: 'icsd' is unknown; choose one of aflow, mp_dump")


def test_batches_follow_one_another(tmp_path):
    """More records than one batch holds: ids stay unique across batches, numbering goes on."""
    plain = {"lattice": (np.eye(3) * 3.35).tolist(), "species": ["Po"], "frac_coords": [[0, 0, 0]]}
    lines = [json.dumps(plain)] * 5000 + [json.dumps(plain | {"id": "record-7"})]
    (tmp_path / "dump.jsonl").write_text("\n".join(lines))
    batches = list(read_database("mp_dump", tmp_path / "dump.jsonl", chunk=1000, threads=1, download=tmp_path))
    assert len(batches) == 2
    assert batches[1].structures["material_id"].to_pylist()[-1] == "record-5000"
    assert batches[1].refused.to_pylist() == [
        {"record": "record-7", "stage": "read", "reason": "duplicate material_id: record 7 has it already"}
    ]
