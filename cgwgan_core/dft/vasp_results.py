"""Results of VASP: relaxations read back beside what the potential says of the same crystals."""

import gzip
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp.outputs import Vasprun
from pymatgen.io.vasp.sets import MPRelaxSet

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.symmetry import spacegroup_of
from cgwgan_core.dft.folders import read_record
from cgwgan_core.phonons.bands import SYMPREC
from cgwgan_core.screening.energetics import formation_energies
from cgwgan_core.workflow.errors import first_line
from cgwgan_core.workflow.logs import progress


def read_results(
    vaspruns: Sequence[str | Path], prepared: Sequence[dict[str, Any]], survivors: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Results of relaxations beside what the potential says of the same crystals.

    Formation energies are the Materials Project's: PBE or PBE+U with the MP2020 corrections, against its elements.
    There is none where functional, PAW potentials or U are not the Materials Project's, as energies would not compare.

    :param vaspruns: files ``<candidate_id>/relax/vasprun.xml`` or ``.xml.gz``; where a folder has both, the former.
    :param prepared: rows of ``tables.DFT_INPUTS``.
    :param survivors: rows of ``tables.STABLE``; beside results of other inputs than theirs, none of their values are
        set.
    :returns: rows of ``tables.DFT_RESULTS``, one for each folder, in the order of their names; the status of a file
        that cannot be used says why.
    """
    asked = {row["candidate_id"]: row["inputs"] for row in prepared if row["task"] == "relax"}
    potential = {row["candidate_id"]: row for row in survivors}
    # the shorter name comes first, so the uncompressed file is the one that stays
    chosen = {Path(path).parent: Path(path) for path in sorted(map(str, vaspruns), reverse=True)}
    rows = []
    for folder, path in progress(sorted(chosen.items()), len(chosen), "results"):
        name, task = folder.parent.name, folder.name
        inputs = read_record(folder)["inputs"]
        current = inputs is not None and asked.get(name) == inputs
        row = {"candidate_id": name, "code": "vasp", "task": task, "current": current, **_read_vasprun(path)}
        row["path"] = f"{folder.parents[1].name}/{name}/{task}"
        if current:
            row |= _comparison(row, potential[name])
        rows.append(row)
    return rows


def _comparison(row: dict[str, Any], survivor: dict[str, Any]) -> dict[str, Any]:
    """The potential's values of the same crystal, and how far DFT is from them."""
    energies = row.get("formation_energy_per_atom"), survivor["formation_energy_per_atom"]
    volume, before = row.get("volume_per_atom"), survivor["volume_per_atom"]
    return {
        "potential": survivor["potential"],
        "potential_formation_energy_per_atom": energies[1],
        "potential_volume_per_atom": before,
        "potential_spacegroup": survivor["spacegroup"],
        "formation_energy_difference": None if None in energies else energies[0] - energies[1],
        "volume_ratio": None if volume is None else volume / before,
    }


def _read_vasprun(path: Path) -> dict[str, Any]:
    """What one vasprun.xml says: status, and once it is converged the crystal and its energies."""
    try:
        run = load_vasprun(path)
        return {"status": "running, or stopped before its end"} if run is None else _run_columns(run)
    except Exception as error:  # noqa: BLE001 - a file's failure is a row
        reason = first_line(error)
        return {"status": f"failed: {type(error).__name__}: {reason}".replace(str(path.parent), "").strip()}


def load_vasprun(path: Path) -> Vasprun | None:
    """A run that came to its end, without bands and density of states; ``None`` while VASP still writes the file.

    Raises whatever the parsers raise for files that are no vasprun.xml.
    """
    if not _is_whole(path):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is not converged is said by the status
        return Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)


def _is_whole(path: Path) -> bool:
    """Whether VASP wrote the file to its end.

    :raises ValueError: if it is not XML.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as stream:
        head = tail = stream.read(1 << 20)
        while more := stream.read(1 << 20):
            tail = tail[-64:] + more
    if head.strip() and not head.lstrip().startswith(b"<"):
        raise ValueError("it is not XML")
    return tail.rstrip().endswith(b"</modeling>")


def _run_columns(run: Vasprun) -> dict[str, Any]:
    """Status of a run that came to its end, and once it is converged the crystal and its energies."""
    if not run.ionic_steps:
        return {"status": "failed: it ended without an ionic step"}
    steps, last = len(run.ionic_steps), run.ionic_steps[-1]
    fmax = float(np.linalg.norm(last["forces"], axis=1).max()) if "forces" in last else None
    found = {"n_steps": steps, "fmax": fmax, "run_type": run.run_type}
    if not run.converged_electronic:
        return {**found, "status": "not converged: electrons of the last step"}
    ediffg = run.parameters.get("EDIFFG", 0)
    # VASP also ends in order when it is told to (STOPCAR); only the forces tell
    if not run.converged_ionic or (ediffg < 0 and (fmax is None or fmax > 1.01 * -ediffg)):
        return {**found, "status": f"not converged: after {steps} steps"}
    atoms = AseAtomsAdaptor.get_atoms(run.final_structure)
    energy = float(run.final_energy) / len(atoms)
    if not np.isfinite(energy):
        return {**found, "status": "failed: it has no energy"}
    defect, formation = _not_comparable(run), None
    if not defect:
        formation = float(formation_energies([atoms], [energy], "mp_uncorrected")[0])
    return {
        **found,
        "status": f"converged; no formation energy: {defect}" if defect else "converged",
        "formula": formula_of_atoms(atoms),
        "energy_per_atom": energy,
        "formation_energy_per_atom": formation,
        "volume_per_atom": float(atoms.get_volume()) / len(atoms),
        "spacegroup": spacegroup_of(atoms, SYMPREC),
    }


def _not_comparable(run: Vasprun) -> str | None:
    """Why energies of a calculation do not compare with the Materials Project's, or ``None`` if they do.

    As pymatgen's MP2020 scheme judges: PBE, the potentials of its set, and its U, which only oxides and fluorides have.
    """
    pbe = all(title.startswith("PAW_PBE ") for title in run.potcar_symbols)
    if not pbe or run.run_type.removesuffix("+U") not in ("PBE", "GGA"):
        return f"{run.run_type} is not PBE" if pbe else "the POTCARs are not PAW_PBE"
    elements = run.final_structure.composition.elements
    anion = max(elements, key=lambda element: element.X).symbol
    wanted_u = MPRelaxSet.CONFIG["INCAR"]["LDAUU"].get(anion, {})
    for title in run.potcar_symbols:
        name = title.split()[1]
        wanted = MPRelaxSet.CONFIG["POTCAR"].get(name.split("_")[0])
        if name != wanted:
            return f"POTCAR {name} in place of {wanted}"
    for element in elements:
        used, wanted = run.hubbards.get(element.symbol, 0.0), wanted_u.get(element.symbol, 0.0)
        if abs(used - wanted) > 1e-6:
            return f"U of {used:g} eV in place of {wanted:g} on {element.symbol}"
    return None
