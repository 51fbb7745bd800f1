"""Documents as databases write them: the crystal, the identifier and the energies of each layout."""

import bz2
import gzip
import json
import lzma
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.io import write
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from cgwgan_core.database import fields, layouts
from cgwgan_core.database.read import read_database
from cgwgan_core.database.record import Record
from cgwgan_core.workflow.errors import InputError

MGO = Structure.from_spacegroup(225, Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5] * 3])
DICT = MGO.as_dict()
SYMBOLS = [s.specie.symbol for s in MGO]


def read(source, path):
    """Rows kept, and reason by record."""
    batches = list(read_database(source, path, chunk=1, threads=1, download=path.parent))
    rows = [row for batch in batches for row in batch.structures.to_pylist()]
    return rows, {row["record"]: row["reason"] for batch in batches for row in batch.refused.to_pylist()}


def record(document) -> Record:
    found = layouts.from_document(document, "record-1")
    assert isinstance(found, Record)
    return found


def optimade(**changes):
    attributes = {
        "nsites": 8,
        "chemical_formula_reduced": "MgO",
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": MGO.lattice.matrix.tolist(),
        "cartesian_site_positions": MGO.cart_coords.tolist(),
        "species_at_sites": SYMBOLS,
        "species": [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in ("Mg", "O")],
        "immutable_id": "65ab",
        "_mp_formation_energy_per_atom": -3.02,
        "_mp_energy_above_hull": 0.01,
        "_mp_energy_per_atom": -5.9,
    }
    return {"type": "structures", "id": "mp-1265", "attributes": attributes | changes}


ENTRY = ComputedStructureEntry(MGO, -48.0, data={"mat_id": "agm1", "e_form": -3.02, "e_above_hull": 0.01}).as_dict()
ENERGIES = {"formation_energy_per_atom": -3.02, "energy_above_hull": 0.01}
ARRAYS = {"lattice": MGO.lattice.matrix.tolist(), "frac_coords": MGO.frac_coords.tolist()}
LAYOUTS = {
    "Materials Project": (
        {"material_id": "x", "structure": DICT, **ENERGIES},
        "x",
    ),
    "Alexandria": (ENTRY, "agm1"),
    "entry of the Materials Project": (
        ENTRY
        | {"entry_id": "mp-1-GGA", "data": {"material_id": "mp-1"} | ENERGIES},
        "mp-1",
    ),
    "GNoME": (
        ENTRY | {"data": {"MaterialId": "a1b2", "Formation Energy Per Atom": -3.02, "e_above_hull": 0.01}},
        "a1b2",
    ),
    "nested": (
        {"data": {"task_id": "mp-7", "structure": DICT, **ENERGIES}},
        "mp-7",
    ),
    "Matbench Discovery": (
        {"material_id": "wbm-1", "initial_structure": {}, "computed_structure_entry": ENTRY | {"entry_id": "no"}},
        "wbm-1",
    ),
    "MatPES": ({"matpes_id": "matpes-1", "structure": DICT, **ENERGIES}, "matpes-1"),
    "OPTIMADE": (optimade(), "mp-1265"),
    "OPTIMADE of one structure": ({"data": optimade(), "meta": {}, "links": {}}, "mp-1265"),
    "OPTIMADE of several functionals": (
        optimade(
            _mp_formation_energy_per_atom=None,
            _mp_energy_above_hull=None,
            _mp_stability={
                "r2scan": {"formation_energy_per_atom": -3.1, "energy_above_hull": 0.0},
                "gga_gga+u": {**ENERGIES},
            },
        ),
        "mp-1265",
    ),
    "JARVIS": (
        {
            "jid": "JVASP-1",
            "atoms": {
                "lattice_mat": MGO.lattice.matrix.tolist(),
                "coords": MGO.cart_coords.tolist(),
                "elements": [s + " " for s in SYMBOLS],
                "cartesian": True,
            },
            "formation_energy_peratom": -3.02,
            "ehull": 0.01,
            "optb88vdw_total_energy": -6.0,
        },
        "JVASP-1",
    ),
    "OQMD": (
        {
            "entry_id": 12,
            "unit_cell": MGO.lattice.matrix.tolist(),
            "sites": [f"{s} @ {x} {y} {z}" for s, (x, y, z) in zip(SYMBOLS, MGO.frac_coords, strict=True)],
            "delta_e": -3.02,
            "stability": 0.01,
        },
        "12",
    ),
    "AFLOW": (
        {
            "auid": "aflow:1",
            "species": ["Mg", "O"],
            "composition": [4, 4],
            "geometry": [4.2, 4.2, 4.2, 90, 90, 90],
            "positions_fractional": MGO.frac_coords.tolist(),
            "enthalpy_formation_atom": -3.02,
            "energy_above_hull": 0.01,
            "enthalpy_atom": -6.0,
        },
        "aflow:1",
    ),
    "arrays": (
        ARRAYS | {"id": 5, "species": SYMBOLS, "formation_energy_per_atom": "-3.02", "e_above_hull": "1e-2"},
        "5",
    ),
    "arrays and cell parameters": (
        {"id": 6, "cell": [4.2, 4.2, 4.2, 90, 90, 90], "scaled_positions": ARRAYS["frac_coords"], "symbols": SYMBOLS}
        | ENERGIES,
        "6",
    ),
    "Cartesian arrays": (
        {
            "_id": {"$oid": "5f"},
            "cell": MGO.lattice.matrix.tolist(),
            "positions": MGO.cart_coords.tolist(),
            "numbers": list(MGO.atomic_numbers),
            "hform": -3.02,
            "ehull": 0.01,
        },
        "5f",
    ),
    "MSON identifiers": (
        {
            "material_id": {"@module": "emmet.core.mpid", "@class": "MPID", "string": "mp-0"},
            "structure": DICT,
            "formation_energy_per_atom": -3.02,
            "energy_above_hull": 0.01,
        },
        "mp-0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_whole(layout):
    document, name = LAYOUTS[layout]
    found = record(document)
    assert (found.name, found.reason) == (name, None)
    assert found.formation_energy_per_atom == -3.02
    assert found.energy_above_hull == 0.01
    assert np.allclose(found.lattice.reshape(3, 3), MGO.lattice.matrix)
    assert found.numbers.tolist() == list(MGO.atomic_numbers)
    assert np.allclose(found.frac_coords.reshape(-1, 3), MGO.frac_coords)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_from_each_kind_of_file(tmp_path, layout):
    document, name = LAYOUTS[layout]
    files = {
        "list.json": json.dumps([document]),
        "entries.json": json.dumps({"entries": [document]}),
        "pages.json": json.dumps({"data": [document], "meta": {"more": False}}),
        "lines.jsonl": json.dumps({"type": "info"}) + "\n" + json.dumps(document) + "\r\n",
        "one.json": json.dumps(document, indent=1),
        "under.json": json.dumps({"some key": document}),
    }
    for file, text in files.items():
        (tmp_path / file).write_text(text)
        rows, _ = read("mp_dump", tmp_path / file)
        assert [(row["material_id"], row["energy_above_hull"]) for row in rows] == [(name, 0.01)], file


PACKED = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda raw: pa.compress(raw, codec="zstd", asbytes=True),
    "gz.gz": lambda raw: gzip.compress(gzip.compress(raw)),
}


@pytest.mark.parametrize("ending", PACKED)
def test_compressed_and_cut_off(tmp_path, ending):
    noise = np.random.default_rng(0).bytes(600_000).hex()
    whole = PACKED[ending](json.dumps([ENTRY, {"noise": noise}]).encode())
    path = tmp_path / f"alexandria_000.json.{ending}"
    path.write_bytes(whole)
    rows, refused = read("mp_dump", path)
    assert [row["material_id"] for row in rows] == ["agm1"]
    assert refused == {"record-2": "no structure: found only noise"}
    path.write_bytes(whole[: len(whole) // 2])
    # bzip2 packs blocks of 900 kB: nothing of this file can be unpacked
    where = "before the first record" if ending == "bz2" else r"after record 1 \(agm1\)"
    with pytest.raises(InputError, match=f"truncated or not JSON {where}"):
        read("mp_dump", path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "dump.json"
    path.write_text(json.dumps([ENTRY | {"note": "Plücker"}], ensure_ascii=False), encoding=encoding)
    assert [row["material_id"] for row in read("mp_dump", path)[0]] == ["agm1"]


def test_numbers_as_python_and_mongodb_write_them(tmp_path):
    path = tmp_path / "dump.jsonl"
    text = json.dumps({"_id": {"$oid": "5f"}, "structure": DICT, "energy_above_hull": {"$numberDouble": "0.25"}})
    text = text.replace("4.2,", '{"$numberDouble": "4.2"},').replace('"occu": 1', '"occu": {"$numberInt": "1"}')
    path.write_text(text + "\n" + json.dumps({"id": "b", "structure": DICT, "energy_above_hull": math.nan}))
    for layout in (path.read_text(), "[" + path.read_text().replace("\n", ",") + "]"):
        path.write_text(layout)
        rows, refused = read("mp_dump", path)
        assert [(r["material_id"], r["formula"], r["energy_above_hull"]) for r in rows] == [
            ("5f", "MgO", 0.25),
            ("b", "MgO", None),
        ]
        assert refused == {}


@pytest.mark.parametrize("told", ["-3,02", "1,234", "low", True, {"value": -3.02}, [-3.02], "1_0"])
def test_an_energy_that_is_no_number_is_not_passed_over(told):
    found = record({"id": "a", "structure": DICT, "formation_energy_per_atom": told})
    assert found.name == "a"
    assert found.reason.startswith("not a number: formation_energy_per_atom is ")


@pytest.mark.parametrize("told", [None, "", "NaN", " n/a ", "-", math.nan])
def test_an_energy_that_is_missing_is_null(told):
    found = record({"id": "a", "structure": DICT, "formation_energy_per_atom": told})
    assert found.reason is None
    assert math.isnan(found.formation_energy_per_atom)


def test_total_energies_are_no_formation_energies_and_unknown_names_are_told():
    total = {"energy": -48.0, "energy_per_atom": -6.0, "final_energy": -48.0, "uncorrected_energy_per_atom": -6.0}
    found = record({"id": "a", "structure": DICT} | total)
    assert math.isnan(found.formation_energy_per_atom)
    assert found.remark is None
    found = record({"sample_id": 4, "structure": DICT, "formation_energy": -24.0, "pbe_hull_energy": 0.1})
    assert (found.name, found.remark) == (
        "record-1",
        (
            "not taken for formation_energy_per_atom: formation_energy; not taken for energy_above_hull: "
            "pbe_hull_energy; not taken for an identifier: sample_id"
        ),
    )
    # Without Alexandria's other fields e_form may be of a whole cell (matbench_perovskites).
    assert math.isnan(record({"id": "a", "structure": DICT, "e_form": -24.0}).formation_energy_per_atom)


KIND = {"concentration": [0.9, 0.1]}
TWO_D = {
    "pymatgen": {"structure": DICT | {"lattice": DICT["lattice"] | {"pbc": [True, True, False]}}},
    "OPTIMADE": optimade(dimension_types=[1, 1, 0], nperiodic_dimensions=2),
    "dimensions alone": optimade(dimension_types=None, nperiodic_dimensions=2),
    "arrays": ARRAYS | {"species": SYMBOLS, "pbc": [1, 1, 0]},
    "not at all": ARRAYS | {"species": SYMBOLS, "pbc": False},
}


@pytest.mark.parametrize("layout", TWO_D)
def test_what_does_not_repeat_in_three_directions_is_no_crystal(layout):
    assert record(TWO_D[layout]).reason == "not a crystal: not periodic in all three directions"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"structure": DICT, "nsites": 7}, "contradictory: nsites is 7, there are 8 atoms"),
        ({"structure": DICT, "formula_pretty": "MgO2"}, "contradictory: the formula is MgO2, its atoms are others"),
        ({"structure": DICT | {"lattice": DICT["lattice"] | {"volume": 7.0}}}, "contradictory: the lattice holds"),
        (optimade(structure_features=["implicit_atoms"]), "incomplete: implicit_atoms"),
        (optimade(species=[KIND | {"name": s, "chemical_symbols": [s, "vacancy"]} for s in ("Mg", "O")]),
         "disordered: site 1 holds Mg 0.9"),
        (optimade(cartesian_site_positions=None), "no structure: found only type, id, attributes"),
        (optimade(species_at_sites=["Vac"] * 8), "unreadable: structure not understood (KeyError: 'Vac')"),
        ({"structure": {"lattice": 3, "sites": []}}, "unreadable: structure not understood (TypeError"),
        ({"structure": {"0": DICT}}, "unreadable: structure not understood (ValueError: a column of a table"),
        ({"structure": 5}, "unreadable: structure not understood (TypeError"),
        (17, "unreadable: the record is a int, not a document"),
        ({}, "no structure: found only an empty document"),
    ],
)  # fmt: skip
def test_what_is_no_crystal_says_why(document, reason):
    assert record(document).reason.startswith(reason)


def test_a_field_given_twice_is_ambiguous(tmp_path):
    path = tmp_path / "dump.json"
    twice = json.dumps(ENTRY).replace('"structure": ', '"structure": {}, "structure": ')
    for text in (f"{json.dumps(ENTRY)}\n{twice}\n", f"[{json.dumps(ENTRY)}, {twice}]"):
        path.write_text(text)
        rows, refused = read("mp_dump", path)
        assert len(rows) == 1
        assert refused == {"record-2": "unreadable: field 'structure' stands twice"}


@pytest.mark.parametrize(
    ("lattice", "shift", "remark"),
    [
        (
            {"matrix": np.diag([4.2] * 3).tolist(), "a": 5.2, "b": 4.2, "c": 4.2},
            0,
            "the lattice's a, b, c are not those",
        ),
        (DICT["lattice"], 0.25, "xyz of the sites disagrees with abc, which counts"),
        (DICT["lattice"], 3, None),
    ],
)
def test_what_a_structure_says_twice(lattice, shift, remark):
    sites = [site | {"abc": [x + shift for x in site["abc"]]} for site in DICT["sites"]]
    found = record({"id": "a", "structure": {"lattice": lattice, "sites": sites}})
    assert found.reason is None
    assert (found.remark or "").startswith(remark or "")
    assert (found.remark is None) == (remark is None)


def test_a_charge_is_no_part_of_an_elements_name():
    oxidised = json.loads(json.dumps(DICT))
    for site in oxidised["sites"]:
        site["species"][0]["oxidation_state"] = 1e-6
    assert record({"structure": oxidised}).numbers.tolist() == list(MGO.atomic_numbers)


def test_tables_of_pandas(tmp_path):
    path = tmp_path / "matbench.json"
    split = {"index": ["mb-1"], "columns": ["structure", "energy_above_hull"], "data": [[DICT, 0.25]]}
    path.write_text(json.dumps(split))
    [row], _ = read("mp_dump", path)
    assert (row["material_id"], row["energy_above_hull"]) == ("mb-1", 0.25)


def test_a_csv_of_other_columns_and_separators(tmp_path):
    path = tmp_path / "in.csv"
    for separator in ";\t":
        cells = ["JVASP-1", "0.25", json.dumps(DICT).replace('"', '""')]
        path.write_text(separator.join(["jid", "ehull", "structure"]) + "\n" + separator.join(f'"{c}"' for c in cells))
        [row], _ = read("csv", path)
        assert (row["material_id"], row["energy_above_hull"], row["formula"]) == ("JVASP-1", 0.25, "MgO")


PARQUETS = {
    "LeMat": {**optimade()["attributes"], "immutable_id": "x", "species": None, "forces": [[0.0] * 3] * 8},
    "struct": {"mat_id": "x", "energy_above_hull": 0.01, "structure": {"lattice": DICT["lattice"], "sites": [
        {"species": [{"element": s, "occu": 1.0}], "abc": abc}
        for s, abc in zip(SYMBOLS, ARRAYS["frac_coords"], strict=True)
    ]}},
    "JSON": {"jid": "x", "structure": json.dumps(DICT), "ehull": Decimal("0.01")},
    "CIF": {"material_id": "x", "cif": MGO.to(fmt="cif"), "e_above_hull": 0.01},
    "arrays and pbc": ARRAYS
    | {"id": "x", "numbers": list(MGO.atomic_numbers), "pbc": [True] * 3, "e_above_hull": 0.01},
}  # fmt: skip


@pytest.mark.parametrize("layout", PARQUETS)
def test_parquet_of_each_layout(tmp_path, layout):
    path = tmp_path / "in.parquet"
    row = {key: value for key, value in PARQUETS[layout].items() if value is not None}
    pq.write_table(pa.Table.from_pylist([row]), path)
    [found], _ = read("parquet", path)
    assert (found["material_id"], found["formula"], found["energy_above_hull"]) == ("x", "MgO", 0.01)
    assert np.allclose(np.reshape(found["frac_coords"], (-1, 3)), MGO.frac_coords)


def test_extended_xyz(tmp_path):
    path = tmp_path / "in.extxyz"
    bulk = Atoms(SYMBOLS, cell=MGO.lattice.matrix, positions=MGO.cart_coords, pbc=True)
    bulk.info = {"material_id": "agm1", "formation_energy_per_atom": -3.02, "e_above_hull": 0.01, "energy": -48.0}
    slab, whole = bulk.copy(), bulk.copy()
    slab.info, slab.pbc = {}, (True, True, False)
    whole.info = {"id": 7, "formation_energy_per_atom": -3, "e_above_hull": 0}
    write(path, [bulk, slab, whole], format="extxyz")
    path.write_text(path.read_text() + "2\nno cell\nMg 0 0 0\nO 1 1 1\n2\n")
    rows, refused = read("folder", path)
    assert [(row["material_id"], row["formation_energy_per_atom"], row["energy_above_hull"]) for row in rows] == [
        ("agm1", -3.02, 0.01),
        ("7", -3.0, 0.0),
    ]
    assert refused == {
        "in#2": "not a crystal: not periodic in all three directions",
        "in#4": "not a crystal: not periodic in all three directions",
        "in#5": "unreadable: the frame ends too early",
    }


def test_names_of_fields():
    assert fields.pick(["E_Above_Hull", "Material ID"], fields.HULL) == "E_Above_Hull"
    assert fields.identifier(12.0) == "12"
    assert fields.identifier([1]) is None


def test_a_record_too_long_or_too_deep_spares_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr("cgwgan_core.database.documents.MAX_TEXT", 3_000_000)
    monkeypatch.setattr("cgwgan_core.database.documents.CHUNK", 1000)
    one = json.dumps(ENTRY)
    deep = '{"x": ' + "[" * 200_000 + "]" * 200_000 + "}"
    long = '{"x": "' + '\\"]{' * 1_000_000 + '"}'
    path = tmp_path / "dump.json"
    for text in (f"[{deep}, {one}, {long}, {one}]", f"{deep}\n{one}\n{long}\n{one}\n"):
        path.write_text(text)
        rows, refused = read("mp_dump", path)
        assert [row["material_id"] for row in rows] == ["agm1"]
        assert list(refused) == ["record-1", "record-3", "agm1"]
        assert "nested too deep" in refused["record-1"]
        assert "longer than 2 MiB" in refused["record-3"]
