"""A second potential's distances to its own hull, and how far they are from the first's."""

from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk

from cgwgan_core.crystallography.structures import atoms_to_row
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.relaxation.second_potential import second_opinions
from cgwgan_core.workflow import tables


def relaxed(name: str, atoms: Atoms, **more: Any) -> dict[str, Any]:
    formula = atoms.get_chemical_formula("metal", empirical=True)
    return {"candidate_id": name, "formula": formula, "energy_above_hull": 0.1, "status": "ok", **more} | (
        atoms_to_row(atoms)
    )


def test_distances_are_those_to_the_second_hull(chgnet: Potential) -> None:
    """Rocksalt is on CHGNet's own hull; caesium chloride as far above it as CHGNet says."""
    rocksalt, other = bulk("NaCl", "rocksalt", a=5.66), bulk("NaCl", "cesiumchloride", a=3.45)
    known = [
        {"material_id": f"element-{e}", "formula": e, "formation_energy_per_atom": 0.0, "status": "ok"}
        for e in ("Cl", "Na")
    ]
    known.append({"material_id": "mp-1", "formula": "NaCl", "status": "ok"} | atoms_to_row(rocksalt))
    # what is not part of the first hull is none of the second either
    known.append({"material_id": "mp-2", "formula": "NaCl3", "status": "too large"} | atoms_to_row(other))
    rows = [relaxed("same", rocksalt), relaxed("other", other), relaxed("lost", other, status="not converged")]
    found = second_opinions(rows, tables.to_table(known, tables.KNOWN_PHASES), chgnet)
    assert set(found) == {"same", "other"}
    assert found["same"]["second_energy_above_hull"] == pytest.approx(0, abs=1e-6)
    assert found["same"]["disagreement"] == pytest.approx(-0.1, abs=1e-6)
    assert found["same"]["second_potential"] == chgnet.name
    on, above = chgnet.evaluate([rocksalt, other]).energy_per_atom
    assert found["other"]["second_energy_above_hull"] == pytest.approx(above - on, abs=1e-5)
    assert 0.02 < above - on < 0.3


def test_what_the_second_cannot_treat_has_no_opinion(emt: Potential) -> None:
    """EMT has no magnesium."""
    known = [
        {"material_id": f"element-{e}", "formula": e, "formation_energy_per_atom": 0.0, "status": "ok"}
        for e in ("Mg", "O")
    ]
    row = relaxed("unknown", bulk("MgO", "rocksalt", a=4.2))
    assert second_opinions([row], tables.to_table(known, tables.KNOWN_PHASES), emt) == {}
