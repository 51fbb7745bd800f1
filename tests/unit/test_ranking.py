"""The shortlist: order, duplicates, known phases, and the same again after relaxation."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pymatgen.core import Lattice, Structure

from cgwgan_core import tables
from cgwgan_core.crystal import Templates
from cgwgan_core.errors import InputError
from cgwgan_core.infill import InfillOptions, candidate_columns, infill
from cgwgan_core.jobs import Provenance
from cgwgan_core.ranking import Library, RankOptions, known_library, rank, unique


def perovskite(a: float = 4.0, symbols: tuple[str, ...] = ("Ba", "Ru", "O")) -> Structure:
    return Structure.from_spacegroup(221, Lattice.cubic(a), symbols, [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])


def cell_row(structure: Structure) -> dict[str, Any]:
    return {
        "formula": structure.composition.reduced_formula,
        "lattice": structure.lattice.matrix.ravel().tolist(),
        "numbers": list(structure.atomic_numbers),
        "frac_coords": structure.frac_coords.ravel().tolist(),
    }


Shards = tuple[list[Path], list[Path], pa.Table]


def in_shards(table: pa.Table, schema: pa.Schema, folder: Path, shards: int) -> list[Path]:
    paths = [folder / f"{i}.parquet" for i in range(shards)]
    for i, path in enumerate(paths):
        tables.write(path, tables.shard_of(table, i, shards), schema, Provenance())
    return paths


@pytest.fixture
def screened(tmp_path: Path) -> Shards:
    """Two perovskite templates of other volume (the same crystals twice) and a CsCl-like layered one."""
    templates = Templates(
        np.array([221, 221, 123], np.int16),
        np.array([[3.9, 3.9, 3.9, 90, 90, 90], [5.0, 5.0, 5.0, 90, 90, 90], [4, 4, 7, 90, 90, 90.0]]),
        np.array([[0, 1, 2], [0, 1, 2], [0, 2, 3]], np.int8),
        np.array(
            [
                [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]],
                [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]],
                [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]],
            ]
        ),
    )
    names = ["t1", "t2", "t3"]
    keys = ["221:abc", "221:abc", "123:acd"]
    table = tables.to_table({**templates.to_columns(), "template_id": names, "coarse_key": keys}, tables.TEMPLATES)
    filled = infill(templates, ["Ba", "Ru", "O"], InfillOptions("template"))
    candidates = tables.to_table(candidate_columns(filled, templates, names), tables.CANDIDATES)
    n = candidates.num_rows
    energies = np.arange(n, dtype=float) % 6
    status = ["ok"] * (n - 1) + ["two atoms are 0.2 Å apart"]
    columns = {
        "candidate_id": candidates["candidate_id"],
        "formula": candidates["formula"],
        "volume_scale": [1.1] * n,
        "energy_per_atom": energies - 7,
        "formation_energy_per_atom": -energies,
        "energy_above_hull": energies,
        "status": status,
    }
    found = tables.to_table(columns, tables.SCREENED)
    parts = [
        in_shards(found, tables.SCREENED, tmp_path / "screened", 4),
        in_shards(candidates, tables.CANDIDATES, tmp_path / "candidates", 4),
    ]
    return parts[0], parts[1], table


def test_each_crystal_once_best_first(screened: Shards) -> None:
    ranked, refused, counts = rank(*screened, Library(), RankOptions(top=100))
    energies = ranked["energy_above_hull"].to_pylist()
    assert energies == sorted(energies)
    # the two perovskites are one crystal for each of the six assignments
    twins = [r for r in refused if r["reason"] == "duplicate"]
    assert len(twins) >= 6
    assert {r["match"] for r in twins} <= set(ranked["candidate_id"].to_pylist())
    assert counts["screened"] == 18 == counts["kept"] + sum(counts["refused"].values())
    assert counts["refused"]["no energy"] == 1


def test_known_phases_keep_their_rank_and_are_named(screened: Shards) -> None:
    known = Library()
    known.add("mp-1", perovskite(4.1))
    ranked, refused, counts = rank(*screened, known, RankOptions(top=3))
    matches = ranked["known_match"].to_pylist()
    assert matches.count("mp-1") == 1
    assert counts["kept"] == matches.count(None) == 3
    assert counts["refused"]["known phase"] == 1
    assert counts["screened"] == counts["kept"] + sum(counts["refused"].values())
    assert all(r["reason"] == "duplicate" for r in refused)


def test_formation_energy_ranks_as_the_paper_does(screened: Shards) -> None:
    ranked, _, _ = rank(*screened, Library(), RankOptions(rank_by="formation_energy", top=4))
    energies = ranked["formation_energy_per_atom"].to_pylist()
    assert energies == sorted(energies)
    with pytest.raises(ValueError, match="rank_by"):
        RankOptions(rank_by="energy")
    with pytest.raises(ValueError, match="per_formula must be at least 1"):
        RankOptions(per_formula=0)


def test_rows_hold_the_volume_that_the_energy_is_for(screened: Shards) -> None:
    ranked, _, _ = rank(*screened, Library(), RankOptions(top=3))
    assert ranked["volume_scale"].to_pylist() == [1.1] * 3


def test_shards_and_blocks_do_not_matter(screened: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rank(*screened, Library(), RankOptions(top=5))
    one = [
        in_shards(pa.concat_tables([tables.read(p, schema) for p in paths]), schema, tmp_path / name, 1)
        for name, schema, paths in (
            ("screened-one", tables.SCREENED, screened[0]),
            ("candidates-one", tables.CANDIDATES, screened[1]),
        )
    ]
    assert rank(*one, screened[2], Library(), RankOptions(top=5)) == whole
    monkeypatch.setattr("cgwgan_core.ranking.BLOCK", (1, 3))
    assert rank(*screened, Library(), RankOptions(top=5)) == whole


def test_shards_that_do_not_belong_together_are_told(screened: Shards) -> None:
    energies, candidates, templates = screened
    with pytest.raises(InputError, match="shards of different length"):
        rank(energies, candidates[:3], templates, Library(), RankOptions())
    mixed = tables.read(candidates[1], tables.CANDIDATES)
    tables.write(candidates[1], mixed.take(list(range(mixed.num_rows))[::-1]), tables.CANDIDATES, Provenance())
    with pytest.raises(InputError, match=r"not the candidate of the same row of .*1\.parquet"):
        rank(energies, candidates, templates, Library(), RankOptions())


def test_no_formula_and_no_template_floods_the_list(screened: Shards) -> None:
    for options, key, reason in (
        (RankOptions(per_formula=1), "formula", "formula has its share"),
        (RankOptions(per_template=2), "template_id", "template has its share"),
    ):
        ranked, _, counts = rank(*screened, Library(), options)
        names = [{"t2": "t1"}.get(name, name) for name in ranked[key].to_pylist()]
        assert max(names.count(name) for name in names) == (options.per_formula or options.per_template)
        assert counts["refused"][reason] > 0
        assert counts["screened"] == 18 == counts["kept"] + sum(counts["refused"].values())
    # the best of each formula are those that are kept
    everything, _, _ = rank(*screened, Library(), RankOptions())
    best: dict[str, str] = {}
    for row in everything.to_pylist():
        best.setdefault(row["formula"], row["candidate_id"])
    ranked, _, _ = rank(*screened, Library(), RankOptions(per_formula=1))
    assert sorted(ranked["candidate_id"].to_pylist()) == sorted(best.values())


def test_limits_hide_no_known_phase(screened: Shards) -> None:
    known = Library()
    known.add("mp-1", perovskite(4.1))
    without, _, _ = rank(*screened, known, RankOptions())
    limited, _, counts = rank(*screened, known, RankOptions(per_template=1))
    assert without["known_match"].to_pylist().count("mp-1") == limited["known_match"].to_pylist().count("mp-1") == 1
    assert counts["screened"] == counts["kept"] + sum(counts["refused"].values())


def test_known_crystals_are_those_of_the_whole_chemistry() -> None:
    rows = [
        {"material_id": "mp-1", **cell_row(perovskite())},
        {"material_id": "mp-2", **cell_row(perovskite(4, ("Sr", "Ru", "O")))},
    ]
    structures = tables.to_table(pa.Table.from_pylist(rows), tables.STRUCTURES)
    none = tables.to_table([], tables.KNOWN_PHASES)
    library = known_library([structures], none, ["Ba", "Ru", "O"])
    assert library.find(perovskite(4.2)) == "mp-1"
    assert library.find(perovskite(4.2, ("Sr", "Ru", "O"))) is None
    assert library.find(perovskite(4.2, ("Ru", "Ba", "O"))) is None


def test_relaxed_crystals_are_compared_again() -> None:
    def relaxed(name: str, rank: int, hull: float, structure: Structure, status: str = "ok") -> dict[str, Any]:
        energies = {"energy_above_hull": hull, "formation_energy_per_atom": hull - 2.1}
        return {"candidate_id": name, "rank": rank, "status": status, **energies, **cell_row(structure)}

    inverse = perovskite(4.3, ("Ru", "Ba", "O"))
    chain = Structure(Lattice.tetragonal(4, 7), ["Ba", "Ru", "O"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]])
    rows = [
        relaxed("known", 1, 0.0, perovskite(4.05)),
        relaxed("second", 2, 0.3, inverse),
        relaxed("first", 3, 0.1, inverse.copy()),
        relaxed("lost", 4, np.nan, chain, status="not converged"),
        relaxed("third", 5, 0.2, chain),
    ]
    known = Library()
    known.add("mp-1", perovskite())
    phases = [{"material_id": "mp-1", "formula": "BaRuO3", "formation_energy_per_atom": -2.0, "status": "ok"}]
    found = list(
        unique(
            tables.to_table(rows, tables.RELAXED),
            known,
            phonons=1,
            types={"first": ("mp-7", 0.01), "known": ("mp-8", 0.0)},
            known_phases=tables.to_table(phases, tables.KNOWN_PHASES),
        )
    )
    assert [r["candidate_id"] for r in found] == ["known", "first", "third", "second", "lost"]
    by_name = {r["candidate_id"]: r for r in found}
    assert by_name["known"]["known_match"] == "mp-1"
    assert by_name["second"]["duplicate_of"] == "first"
    assert [r["candidate_id"] for r in found if r["phonon_rank"]] == ["first"]
    assert by_name["third"]["duplicate_of"] is None
    labels = {name: row.get("novelty") for name, row in by_name.items()}
    assert labels == {
        "known": "known",
        "first": "new composition of a known structure type",
        "second": "new structure type",
        "third": "new structure type",
        "lost": None,
    }
    assert by_name["first"]["prototype"] == "mp-7"
    # 4.05 and 4.0 Å: the same but for size, and 0.1 eV/atom below the known phase
    assert by_name["known"]["known_rms"] == pytest.approx(0, abs=1e-6)
    assert by_name["known"]["energy_above_known"] == pytest.approx(-0.1)
    assert by_name["first"]["known_rms"] is None
    assert by_name["known"]["decomposition"] == "1.00 BaRuO3"


def test_the_nearest_of_several_is_named() -> None:
    library = Library()
    for name, shift in (("far", 0.05), ("near", 0.01), ("other", 0.4)):
        member = perovskite(4.0)
        member.translate_sites([0], [0, 0, shift])
        library.add(name, member)
    match = library.nearest(perovskite(4.3))
    assert match is not None
    assert match[0] == "near"
    assert 0 < match[1] < 0.02
    assert library.find(perovskite(4.3)) == "far"
    assert library.nearest(perovskite(4, ("Ru", "Ba", "O"))) is None
    assert "BaRuO3" in library
    assert "BaO" not in library
