"""What DFT says of made-up survivors of Ba-Ru-O: energies are invented, all that follows from them is computed."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Composition

from cgwgan_core.crystallography.structures import atoms_to_row, row_to_atoms
from cgwgan_core.dft.calculation import CONVERGED
from cgwgan_core.dft.correction import fit, rank_again
from cgwgan_core.dft.crystals import CANDIDATE, ELEMENTAL, CrystalOptions, choose
from cgwgan_core.dft.identity import add_diffraction, identify
from cgwgan_core.dft.verdicts import final_rows
from cgwgan_core.screening.comparison import Library
from cgwgan_core.screening.energetics import anion_correction_per_atom, oxygen_species
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.refusals import OK

Rows = list[dict[str, Any]]
CHEMISTRY = ("Ba", "O", "Ru")
ELEMENTS = {"Ba": -2.0, "O": -5.0, "Ru": -9.0}
"""eV/atom, by an engine made up."""
KNOWN = {"BaO": -2.8, "RuO2": -1.4, "BaO2": -2.3}
"""eV/atom, formation energies by the potential; the database has them 0.02 lower."""
MOST_ATOMS = 30


def grid(formula: str) -> Atoms:
    """Atoms of a formula 3 Å apart: oxides, whatever the formula."""
    symbols = [
        symbol
        for symbol, n in Composition(formula).element_composition.get_el_amt_dict().items()
        for _ in range(int(n))
    ]
    side = int(np.ceil(len(symbols) ** (1 / 3)))
    points = np.array([(i, j, k) for i in range(side) for j in range(side) for k in range(side)])[: len(symbols)]
    return Atoms(symbols, positions=3.0 * points, cell=[3.0 * side] * 3, pbc=True)


def survivor(name: str, formula: str, above: float) -> dict[str, Any]:
    """A row of ``tables.STABLE`` at a distance to the hull of :data:`KNOWN`, eV/atom."""
    return dict.fromkeys(tables.STABLE.names) | {
        "candidate_id": name,
        "formula": formula,
        "spacegroup": 62,
        "elastic_min_eigenvalue": 21.5,
        "potential": "EMT",
        "energy_above_hull": above,
        "formation_energy_per_atom": ground(formula) + above,
        **atoms_to_row(grid(formula)),
    }


def ground(formula: str) -> float:
    """Energy of the hull of :data:`KNOWN` at an oxide of Ba(II) and Ru(IV), eV/atom."""
    amounts = Composition(formula).get_el_amt_dict()
    total = 2 * KNOWN["BaO"] * amounts.get("Ba", 0) + 3 * KNOWN["RuO2"] * amounts.get("Ru", 0)
    return total / sum(amounts.values())


def dft_run(
    stable: Rows,
    error: Callable[[dict[str, Any]], float],
    options: CrystalOptions,
    failing: Mapping[str, str] | None = None,
    relaxed: Mapping[str, float] | None = None,
    phonons: Mapping[str, float] | None = None,
    elastic: Mapping[str, float] | None = None,
) -> tuple[Rows, Rows, Rows, dict[str, Any]]:
    """Rows of ``tables.DFT_CRYSTALS``, ``tables.DFT`` and ``tables.DFT_NEXT``, and the content of ``dft.json``.

    :param stable: rows of ``tables.STABLE``.
    :param error: of a crystal's row: DFT's formation energy less the potential's, eV/atom.
    :param failing: crystal_id -> why there is no energy.
    :param relaxed: crystal_id -> eV/atom gained.
    :param phonons: crystal_id -> lowest frequency, THz.
    :param elastic: crystal_id -> lowest elastic eigenvalue, GPa, of some of these.
    """
    known = [
        dict.fromkeys(tables.KNOWN_PHASES.names)
        | {
            "material_id": f"mp-{formula}",
            "formula": formula,
            "formation_energy_per_atom": energy,
            "energy_above_hull": 0.0,
            "database_formation_energy_per_atom": energy - 0.02,
            "status": OK,
            **atoms_to_row(grid(formula)),
        }
        for formula, energy in KNOWN.items()
    ]
    metals = [
        {"material_id": f"mp-{symbol}", "formation_energy_per_atom": 0.0, **atoms_to_row(bulk(symbol))}
        for symbol in ("Ba", "Ru")
    ]
    crystals = choose(stable, known, metals, CHEMISTRY, options)
    statics = [_static(row, error, failing or {}) for row in crystals]
    energies = {row["crystal_id"]: row["energy_per_atom"] for row in statics}
    cells = {row["crystal_id"]: {key: row[key] for key in ("lattice", "numbers", "frac_coords")} for row in crystals}
    moved = [
        dict.fromkeys(tables.DFT_RELAXED.names)
        | {
            "crystal_id": name,
            "status": CONVERGED,
            "steps": 1,
            "gain": gain,
            "predicted_gain": 1.1 * gain,
            "volume_ratio": 1.01,
            "spacegroup": 74,
            "energy_per_atom": energies[name] - gain,
            **cells[name],
        }
        for name, gain in (relaxed or {}).items()
    ]
    modes = [
        {
            "crystal_id": name,
            "status": CONVERGED,
            "verdict": "unstable" if lowest < 0 else "stable",
            "min_frequency": lowest,
            **_elasticity((elastic or {}).get(name)),
        }
        for name, lowest in (phonons or {}).items()
    ]
    rows, counts = final_rows(crystals, statics, moved, modes, judged=stable)
    identify(rows, moved, Library())
    add_diffraction(rows, moved, known)
    correction = fit(rows)
    asked = {row["crystal_id"] for row in crystals if row["kind"] == CANDIDATE and row["status"] == OK}
    coming = rank_again(stable, rows, correction, asked, options.top, options.max_atoms)
    model = asdict(correction) | {"penalty": str(correction.penalty)}
    return crystals, rows, coming, {"counts": counts, "correction": model}


def _elasticity(lowest: float | None) -> dict[str, Any]:
    """Columns of ``tables.DFT_PHONONS``."""
    if lowest is None:
        return {}
    return {"elasticity": CONVERGED, "elastic_eigenvalues": [lowest, *[100.0] * 5], "mechanically_stable": lowest > 0.1}


def _static(
    crystal: dict[str, Any], error: Callable[[dict[str, Any]], float], failing: Mapping[str, str]
) -> dict[str, Any]:
    """A row of ``tables.DFT_STATICS``."""
    name = crystal["crystal_id"]
    row = dict.fromkeys(tables.DFT_STATICS.names) | {key: crystal[key] for key in ("crystal_id", "kind", "formula")}
    if crystal["status"] != OK:
        return row | {"status": f"not computed: {crystal['status']}"}
    row |= {"starts": ["FM", "NM"], "start_energies": [None, None], "engine": "made up 1.0"}
    if name in failing:
        return row | {"status": failing[name], "remedies": ["wider smearing"]}
    composition = Composition(crystal["formula"]).fractional_composition.get_el_amt_dict()
    energy = sum(ELEMENTS[symbol] * share for symbol, share in composition.items())
    if crystal["kind"] != ELEMENTAL:
        energy += crystal["formation_energy_per_atom"] + error(crystal)
        energy -= anion_correction_per_atom(crystal["formula"], oxygen_species(row_to_atoms(crystal)))
    magnetic = {"magnetic_order": "FM", "magnetic_moment": 4.0}
    return row | {"status": CONVERGED, "energy_per_atom": energy, "start_energies": [energy, energy + 0.01], **magnetic}
