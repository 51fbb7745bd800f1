"""Relaxed crystals are compared again: with the known ones and with each other."""

from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from cgwgan_core.relaxation.novelty import Background, compare, relaxed_structures, summary
from cgwgan_core.screening.comparison import Library
from cgwgan_core.workflow import tables
from tests.support.crystals import crystal_row, perovskite


def test_relaxed_crystals_are_compared_again() -> None:
    def relaxed(name: str, rank: int, hull: float, structure: Structure, status: str = "ok") -> dict[str, Any]:
        energies = {"energy_above_hull": hull, "formation_energy_per_atom": hull - 2.1}
        return {"candidate_id": name, "rank": rank, "status": status, **energies, **crystal_row(structure)}

    inverse = perovskite(4.3, ("Ru", "Ba", "O"))
    chain = Structure(Lattice.tetragonal(4, 7), ["Ba", "Ru", "O"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]])
    rows = [
        relaxed("known", 1, 0.0, perovskite(4.05)),
        relaxed("second", 2, 0.3, inverse),
        relaxed("first", 3, 0.1, inverse.copy()),
        relaxed("lost", 4, np.nan, chain, status="not converged"),
        relaxed("third", 5, 0.2, chain),
    ]
    table = tables.to_table(rows, tables.RELAXED)
    assert set(relaxed_structures(table)) == {"known", "second", "first", "third"}
    known = Library()
    known.add("mp-1", perovskite())
    phases = [{"material_id": "mp-1", "formula": "BaRuO3", "formation_energy_per_atom": -2.0, "status": "ok"}]
    background = Background(
        known=known,
        known_phases=tables.to_table(phases, tables.KNOWN_PHASES),
        types={"first": ("mp-7", 0.01), "known": ("mp-8", 0.0)},
        opinions={"third": {"second_potential": "other", "second_energy_above_hull": 0.0, "disagreement": -0.2}},
    )
    found = list(compare(table, background, phonons=1))
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
    assert by_name["third"]["disagreement"] == -0.2
    first, second = summary(found)
    assert first.startswith("5 crystals, 4 of them relaxed; 3 distinct: 1 known, 1 new composition of a known")
    assert second == "other puts them 0.200 eV/atom (median) higher or lower above the hull"
    assert summary(found[-1:]) == ["1 crystals, 0 of them relaxed; 0 distinct: none"]
