"""Survivors: what passes, is new and distinct; its energies, and what it looks like."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cgwgan_core.phonons.phonons import PASSING
from cgwgan_core.results.agreement import DISPUTED, STABLE
from cgwgan_core.results.survivors import add_nearest, summary, survivors
from cgwgan_core.workflow import tables
from tests.support.judged import HIGHER, KNOWN_PHASES, TIGHTER, judged, known


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """The survivors, by energy above the hull: NaCl, Si, MgO."""
    found, _ = survivors(*judged(), known())
    add_nearest(found, KNOWN_PHASES)
    return found


def test_survivors(rows: list[dict[str, Any]]) -> None:
    assert [row["candidate_id"] for row in rows] == ["t1-Na-Cl", "t3-Si", "t2-Mg-O"]
    first = rows[0]
    assert first["energy_above_hull"] == pytest.approx(0.02)
    assert first["formation_energy_per_atom"] == pytest.approx(-1.0 + TIGHTER)
    assert first["energy_per_atom"] == -5.0 + TIGHTER
    assert (first["spacegroup_symbol"], first["n_atoms"]) == ("Fm-3m", 2)
    assert first["volume_per_atom"] == pytest.approx(5.64**3 / 8)
    assert set(first) == set(tables.STABLE.names)
    assert [row["verdict"] for row in rows] == ["stable", "borderline", "stable"]


def test_what_is_known_or_repeats_is_refused_with_its_match() -> None:
    kept, refused = survivors(*judged(), known())
    assert refused == [
        {"candidate_id": "t7-Ca-O", "reason": "known already", "match": "mp-2605"},
        {"candidate_id": "t6-Na-Cl", "reason": "repeats a better candidate", "match": "t1-Na-Cl"},
    ]
    assert len(kept) + len(refused) == sum(v in PASSING for v in judged()[1]["verdict"].to_pylist())


def test_a_descendant_has_its_energy_from_its_ancestor() -> None:
    compared, phonons, second = judged()
    rows = phonons.to_pylist()
    ancestor = next(row for row in rows if row["candidate_id"] == "t4-K-Br")
    for generation, verdict in ((1, "unstable"), (2, "stable")):
        rows.append(
            {
                **ancestor,
                "candidate_id": f"t4-K-Br-c{generation}",
                "energy_per_atom": ancestor["energy_per_atom"] - 0.01 * generation,
                "energy_gain": 0.01,
                "verdict": verdict,
                "parent_id": "t4-K-Br" if generation == 1 else "t4-K-Br-c1",
                "ancestor_id": "t4-K-Br",
                "generation": generation,
            }
        )
    kept, _ = survivors(compared, tables.to_table(rows, tables.PHONONS), second, known())
    assert kept[0]["candidate_id"] == "t4-K-Br-c2"
    assert kept[0]["energy_above_hull"] == pytest.approx(-0.02)
    assert (kept[0]["template_id"], kept[0]["parent_id"]) == ("t4", "t4-K-Br-c1")
    # the second judge has not seen it
    assert (kept[0]["second_verdict"], kept[0]["agreement"]) == (None, None)


def test_the_second_judge_stands_beside_the_first(rows: list[dict[str, Any]]) -> None:
    salt, silicon, magnesia = rows
    for row in rows:
        assert row["second_potential"] == "CHGNet-0.3.0"
        assert row["disagreement"] == pytest.approx(HIGHER)
        assert row["second_energy_above_hull"] == pytest.approx(row["energy_above_hull"] + HIGHER)
    assert (salt["agreement"], silicon["agreement"], magnesia["agreement"]) == (STABLE, STABLE, DISPUTED)
    assert (silicon["second_verdict"], magnesia["second_verdict"]) == ("borderline", "unstable")
    assert magnesia["dispute"] == "lowest frequency 0.10 and -3.00 THz"


def test_without_a_second_judge_nothing_is_agreed() -> None:
    compared, phonons, second = judged()
    kept, _ = survivors(compared, phonons, second.slice(0, 0), known())
    assert [row["candidate_id"] for row in kept] == ["t1-Na-Cl", "t3-Si", "t2-Mg-O"]
    for row in kept:
        assert {row[name] for name in row if name.startswith("second_")} == {None}
        assert (row["agreement"], row["dispute"], row["disagreement"]) == (None, None, None)


def test_nearest_in_diffraction(rows: list[dict[str, Any]]) -> None:
    salt, silicon, magnesia = rows
    assert salt["nearest_known"] == "mp-22862"
    assert salt["nearest_known_similarity"] > 0.8
    assert silicon["nearest_known"] is None
    assert salt["nearest_survivor"] in ("t2-Mg-O", "t3-Si")
    assert magnesia["nearest_survivor_similarity"] < 0.8
    each = add_nearest(rows, KNOWN_PHASES)
    assert each.diagonal() == pytest.approx(1)
    assert salt["nearest_survivor_similarity"] == max(each[0, 1:])


def test_no_survivors() -> None:
    compared, phonons, second = judged()
    unstable = phonons.filter(pc.equal(phonons["verdict"], "unstable"))
    rows, refused = survivors(compared, unstable, second, known())
    assert rows == refused == []
    assert add_nearest(rows, KNOWN_PHASES).shape == (0, 0)
    assert "no crystal is phonon-stable" in summary(unstable, 0)
    assert "no crystal is phonon-stable" not in summary(phonons, 3)


def test_summary_counts_every_crystal() -> None:
    line = summary(judged()[1], 3)
    assert line == "7 crystals: 4 stable, 1 borderline, 1 unstable, 1 not converged; 3 stored, novel and distinct"


def test_hull_distance_may_be_unknown() -> None:
    compared, phonons, second = judged()
    unknown = compared.set_column(
        compared.schema.get_field_index("energy_above_hull"), "energy_above_hull", pa.nulls(len(compared), pa.float64())
    )
    rows, _ = survivors(unknown, phonons, second, known())
    assert [row["candidate_id"] for row in rows] == ["t1-Na-Cl", "t2-Mg-O", "t3-Si"]
    assert {row["energy_above_hull"] for row in rows} == {None}
