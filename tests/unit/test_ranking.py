"""The shortlist: order, duplicates, known phases, and the same again after relaxation."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pymatgen.core import Lattice, Structure

from cgwgan_core import tables
from cgwgan_core.crystal import Templates
from cgwgan_core.infill import InfillOptions, candidate_columns, infill
from cgwgan_core.ranking import Library, ScreenOptions, known_library, rank, unique


def perovskite(a: float = 4.0, symbols: tuple[str, ...] = ("Ba", "Ru", "O")) -> Structure:
    return Structure.from_spacegroup(221, Lattice.cubic(a), symbols, [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])


def cell_row(structure: Structure) -> dict[str, Any]:
    return {
        "formula": structure.composition.reduced_formula,
        "lattice": structure.lattice.matrix.ravel().tolist(),
        "numbers": list(structure.atomic_numbers),
        "frac_coords": structure.frac_coords.ravel().tolist(),
    }


@pytest.fixture
def screened() -> tuple[pa.Table, pa.Table, pa.Table]:
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
    table = tables.to_table({**templates.to_columns(), "template_id": names}, tables.TEMPLATES)
    filled = infill(templates, ["Ba", "Ru", "O"], InfillOptions("template"))
    candidates = tables.to_table(candidate_columns(filled, templates, names), tables.CANDIDATES)
    n = candidates.num_rows
    energies = np.arange(n, dtype=float) % 6
    status = ["ok"] * (n - 1) + ["two atoms are 0.2 Å apart"]
    columns = {
        "candidate_id": candidates["candidate_id"],
        "formula": candidates["formula"],
        "energy_per_atom": energies - 7,
        "formation_energy_per_atom": -energies,
        "energy_above_hull": energies,
        "status": status,
    }
    return tables.to_table(columns, tables.SCREENED), candidates, table


def test_each_crystal_once_best_first(screened: tuple[pa.Table, ...]) -> None:
    ranked, refused, counts = rank(*screened, Library(), ScreenOptions(top=100))
    energies = ranked["energy_above_hull"].to_pylist()
    assert energies == sorted(energies)
    # the two perovskites are one crystal for each of the six assignments
    twins = [r for r in refused if r["reason"] == "duplicate"]
    assert len(twins) >= 6
    assert {r["match"] for r in twins} <= set(ranked["candidate_id"].to_pylist())
    assert counts["screened"] == 18 == counts["kept"] + sum(counts["refused"].values())
    assert counts["refused"]["no energy"] == 1


def test_known_phases_keep_their_rank_and_are_named(screened: tuple[pa.Table, ...]) -> None:
    known = Library()
    known.add("mp-1", perovskite(4.1))
    ranked, refused, counts = rank(*screened, known, ScreenOptions(top=3))
    matches = ranked["known_match"].to_pylist()
    assert matches.count("mp-1") == 1
    assert counts["kept"] == matches.count(None) == 3
    assert counts["refused"]["known phase"] == 1
    assert counts["screened"] == counts["kept"] + sum(counts["refused"].values())
    assert all(r["reason"] == "duplicate" for r in refused)


def test_formation_energy_ranks_as_the_paper_does(screened: tuple[pa.Table, ...]) -> None:
    ranked, _, _ = rank(*screened, Library(), ScreenOptions(rank_by="formation_energy", top=4))
    energies = ranked["formation_energy_per_atom"].to_pylist()
    assert energies == sorted(energies)
    with pytest.raises(ValueError, match="rank_by"):
        ScreenOptions(rank_by="energy")


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
        return {"candidate_id": name, "rank": rank, "energy_above_hull": hull, "status": status, **cell_row(structure)}

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
    found = list(unique(tables.to_table(rows, tables.RELAXED), known, phonons=1))
    assert [r["candidate_id"] for r in found] == ["known", "first", "third", "second", "lost"]
    by_name = {r["candidate_id"]: r for r in found}
    assert by_name["known"]["known_match"] == "mp-1"
    assert by_name["second"]["duplicate_of"] == "first"
    assert [r["candidate_id"] for r in found if r["phonon_rank"]] == ["first"]
    assert by_name["third"]["duplicate_of"] is None
