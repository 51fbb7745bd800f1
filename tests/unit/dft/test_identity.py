"""What relaxation by DFT has made of candidates."""

import pytest
from ase.build import bulk

from cgwgan_core.crystallography.structures import atoms_to_row, atoms_to_structure
from cgwgan_core.dft.identity import add_diffraction, identify
from cgwgan_core.screening.comparison import Library


def test_a_relaxed_candidate_is_known_or_repeats_a_better_one() -> None:
    caesium, rocksalt = bulk("NaCl", "cesiumchloride", a=3.4), bulk("NaCl", "rocksalt", a=5.6)
    known = Library()
    known.add("mp-1", atoms_to_structure(caesium))
    rows = [{"crystal_id": name, "kind": "candidate"} for name in ("best", "same", "other", "unmoved")]
    rows.append({"crystal_id": "mp-1", "kind": "known"})
    strained = rocksalt.copy()
    strained.set_cell(strained.cell * 1.02, scale_atoms=True)
    geometries = {"best": rocksalt, "same": strained, "other": caesium, "mp-1": caesium}
    relaxed = [{"crystal_id": name, **atoms_to_row(atoms)} for name, atoms in geometries.items()]
    identify(rows, [*relaxed, {"crystal_id": "unmoved", "lattice": None}], known)
    found = {row["crystal_id"]: (row["known_match"], row["duplicate_of"]) for row in rows}
    assert found == {
        "best": (None, None),
        "same": (None, "best"),
        "other": ("mp-1", None),
        "unmoved": (None, None),
        "mp-1": (None, None),
    }


def test_powder_lines_and_the_nearest_known_phase_are_those_of_the_relaxed_crystal() -> None:
    rocksalt, caesium = bulk("NaCl", "rocksalt", a=5.64), bulk("NaCl", "cesiumchloride", a=3.4)
    rows = [{"crystal_id": name, "kind": "candidate", "formula": "NaCl"} for name in ("moved", "unmoved")]
    rows.append({"crystal_id": "mp-1", "kind": "known", "formula": "NaCl"})
    relaxed = [
        {"crystal_id": "moved", **atoms_to_row(rocksalt)},
        {"crystal_id": "unmoved", "lattice": None},
        {"crystal_id": "mp-1", **atoms_to_row(caesium)},
    ]
    # the potential has its cell a tenth wider: that of DFT counts
    wide = atoms_to_row(bulk("NaCl", "rocksalt", a=6.2))
    phases = [
        {"material_id": name, "formula": formula, **cell}
        for name, formula, cell in (
            ("mp-1", "NaCl", wide),
            ("mp-2", "NaCl", atoms_to_row(bulk("NaCl", "rocksalt", a=5.7))),
            ("mp-3", "KCl", atoms_to_row(rocksalt)),
        )
    ]
    add_diffraction(rows, relaxed, phases)
    moved, unmoved, known = rows
    assert moved["xrd_indices"][:2] == ["2 0 0", "2 2 0"]  # of the conventional cell, though the other was relaxed
    assert moved["xrd_two_theta"][0] == pytest.approx(31.70, abs=0.05)
    assert moved["xrd_intensity"][0] == 100
    assert moved["nearest_known"] == "mp-2"
    assert 0.3 < moved["nearest_known_similarity"] < 1
    assert (unmoved["xrd_two_theta"], unmoved["nearest_known"]) == (None, None)
    assert known["xrd_indices"][0] == "1 1 0"
    assert known["nearest_known"] is None
