"""What relaxation by DFT has made of candidates."""

from ase.build import bulk

from cgwgan_core.crystallography.structures import atoms_to_row, atoms_to_structure
from cgwgan_core.dft.identity import identify
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
