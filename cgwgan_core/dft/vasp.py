"""VASP: settings, inputs of a relaxation and of the displaced supercells of a phonon calculation, and results.

Settings are the Materials Project's (pymatgen's ``MPRelaxSet``: PBE, +U for some oxides and fluorides, PAW
potentials, 520 eV, spin-polarised from its starting moments), so that energies compare with that database,
tightened where phonons ask for it. Spin stays on: many d-metal oxides are magnetic, and a non-magnetic crystal
only loses time.
"""

import gzip
import json
import shutil
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from phonopy.interface.vasp import write_supercells_with_displacements, write_vasp
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import SETTINGS, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp.inputs import Kpoints
from pymatgen.io.vasp.outputs import Vasprun
from pymatgen.io.vasp.sets import MPRelaxSet, VaspInputSet

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.crystallography.symmetry import spacegroup_of
from cgwgan_core.dft.folders import (
    RECORD,
    digest,
    file_digests,
    place_folder,
    read_record,
    remove_written,
    write_record,
)
from cgwgan_core.phonons.bands import SYMPREC
from cgwgan_core.phonons.force_constants import displaced, displaced_cells
from cgwgan_core.screening.energetics import formation_energies
from cgwgan_core.workflow.errors import InputError, first_line
from cgwgan_core.workflow.files import write_text
from cgwgan_core.workflow.logs import logger, progress

DISPLACEMENT = 0.01
"""Å, phonopy's own."""
TASKS = ("relax", "phonon")
KEPT = "kept: holds results of other inputs; move it away to prepare again"
"""Status of a folder that was not touched, because something in it is not, or no longer, as it was written."""


@dataclass(frozen=True)
class DftOptions:
    """What the DFT inputs ask for."""

    kspacing: float = 0.2
    """1/Å (with 2π), largest distance between k-points: VASP's KSPACING."""
    ediff: float = 1e-7
    """eV, convergence of the electronic energy."""
    supercell: tuple[int, int, int] = (2, 2, 2)
    """Repeats of the primitive cell in the phonon inputs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "supercell", tuple(self.supercell))
        if len(self.supercell) != 3 or any(not isinstance(n, int) or n < 1 for n in self.supercell):
            raise InputError(f"dft: supercell: {list(self.supercell)} is not three whole numbers from 1 up; mend it")
        for name in ("kspacing", "ediff"):
            if getattr(self, name) <= 0:
                raise InputError(f"dft: {name}: {getattr(self, name)} is not above 0; mend it")


_COMMON = {
    "ALGO": "Normal",
    "ISMEAR": 0,  # right for metals and insulators alike; tetrahedra (-5) give wrong forces in metals
    "SIGMA": 0.05,
    "LREAL": False,  # projection in real space makes noise in forces
    "NELM": 200,
    "LCHARG": False,
}
_RELAX = {"ISIF": 3, "IBRION": 2, "EDIFFG": -1e-3, "NSW": 200}
# ADDGRID stays off: it helps some forces and spoils others, see VASP's manual.
_PHONON = {"ISIF": 2, "IBRION": -1, "NSW": 0}


def _relax_set(structure: Structure, options: DftOptions) -> MPRelaxSet:
    """Input set of the relaxation; see the module's docstring for the settings."""
    settings = {**_COMMON, **_RELAX, "EDIFF": options.ediff, "KSPACING": options.kspacing}
    return MPRelaxSet(structure, user_incar_settings=settings)


def _phonon_set(supercell: Structure, options: DftOptions) -> MPRelaxSet:
    """Input set of the forces of one displaced supercell, with the k-points KSPACING would give."""
    settings = {**_COMMON, **_PHONON, "EDIFF": options.ediff}
    mesh = _gamma_mesh(supercell, options.kspacing)
    return MPRelaxSet(
        supercell,
        user_incar_settings=settings,
        user_kpoints_settings=mesh,  # type: ignore[arg-type] # pymatgen takes Kpoints, too
    )


def _gamma_mesh(structure: Structure, kspacing: float) -> Kpoints:
    """Γ-centred mesh by VASP's rule for KSPACING: N_i = max(1, ceil(|b_i| / kspacing)), b_i with 2π."""
    lengths = np.array(structure.lattice.reciprocal_lattice.abc)
    a, b, c = (int(n) for n in np.maximum(1, np.ceil(lengths / kspacing)))
    return Kpoints.gamma_automatic((a, b, c))


README = """\
# DFT inputs (VASP)

Two folders per crystal:

- `relax/`: relaxation of cell and atoms (INCAR with KSPACING, no KPOINTS file).
- `phonon/`: displaced supercells `POSCAR-001`, ... made by phonopy, with one INCAR, KPOINTS and {potcar} for
  all of them; `phonopy_disp.yaml` says what was displaced, `SPOSCAR` is the supercell at rest.

**Run VASP right here: no rerun of the workflow deletes or overwrites your files.** `inputs.json` records what was
written into a folder. A folder that holds anything else (an OUTCAR, a CONTCAR, an INCAR that you changed) is left
exactly as it is, also when its crystal is no longer among the survivors. If the inputs would now be different,
`dft.parquet` says `kept`: move the folder away to have them prepared again. Only folders that hold nothing but what
was written are replaced or removed.

{potcar_note}
**The supercells in `phonon/` are those of the crystal as the machine-learned potential relaxed it. Phonons must
be computed at the minimum of the DFT energy, so relax first and then make them anew.** In a crystal's folder, once
`relax/` has converged:

    cp relax/CONTCAR phonon/POSCAR-unitcell
    cd phonon
    rm POSCAR-[0-9]*
    phonopy-init -d --dim {dim} --pa P -c POSCAR-unitcell

(The order of the atoms stays, so INCAR, KPOINTS and POTCAR still fit.) Then give each supercell its folder, and run
VASP there:

    for poscar in POSCAR-[0-9]*; do
        folder=disp-${{poscar#POSCAR-}}
        mkdir -p $folder
        cp INCAR KPOINTS POTCAR $folder/
        cp $poscar $folder/POSCAR
    done

and collect:

    phonopy-init -f disp-*/vasprun.xml
    phonopy-load --band auto

**Results read back:** run the workflow again, and `dft_results.parquet` has a row for each `relax/vasprun.xml` (or
`vasprun.xml.gz`) with energy, formation energy, volume and space group, beside those of the potential.

Settings: the Materials Project's (pymatgen MPRelaxSet: PBE(+U), 520 eV, spin-polarised), with EDIFF {ediff:g} eV,
EDIFFG -0.001 eV/Å, KSPACING {kspacing:g} 1/Å, Gaussian smearing of 0.05 eV, no projection in real space.
"""


def prepare(folder: str | Path, survivors: Sequence[dict[str, Any]], options: DftOptions) -> list[dict[str, Any]]:
    """Write ``<folder>/<candidate_id>/relax`` and ``.../phonon`` for every survivor, and one README.md.

    Each folder appears whole. An earlier one is replaced if it holds nothing but what was written into it, and left
    as it is otherwise. That of a crystal that is no longer a survivor is removed or left in the same way. POTCAR
    files are written where pymatgen knows a library of them (PMG_VASP_PSP_DIR), else their names, as POTCAR.spec.

    :param survivors: rows with the columns candidate_id, lattice, numbers and frac_coords of ``tables.STABLE``.
    :returns: rows of ``tables.DFT``, two for each survivor; the status of one that could not be prepared
        says why.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(".*.part"):  # of a job that was killed
        shutil.rmtree(stale, ignore_errors=True)
    write_text(folder / "README.md", _readme(options))
    rows = []
    for survivor in progress(survivors, len(survivors), "crystals"):
        name = survivor["candidate_id"]
        try:
            rows += _prepare_crystal(folder, survivor, options)
        except Exception as error:  # noqa: BLE001 - a crystal's failure is a row
            _remove_crystal(folder / name)
            status = f"not prepared: {first_line(error)}"
            rows += [_row(name, task, status, None, None) for task in TASKS]
    names = {survivor["candidate_id"] for survivor in survivors}
    for other in sorted(path for path in folder.iterdir() if path.name not in names):
        if other.is_dir() and any((other / task / RECORD).is_file() for task in TASKS) and not _remove_crystal(other):
            logger.info(f"{other}: no longer among the survivors; kept, as it holds files that were not written here")
    return rows


def _readme(options: DftOptions) -> str:
    library = _has_library()
    note = (
        "`POTCAR.spec` names the PAW potentials (VASP's PBE set) in the order of POSCAR: VASP's licence does not "
        "let them be\npassed on. Concatenate yours as `POTCAR`. Or set PMG_VASP_PSP_DIR before you run anything, and "
        "prepare again:\n`snakemake --cores 1 --forcerun dft_inputs -- results/dft.parquet`.\n"
    )
    return README.format(
        potcar="POTCAR" if library else "POTCAR.spec",
        potcar_note="" if library else note,
        dim=" ".join(map(str, options.supercell)),
        ediff=options.ediff,
        kspacing=options.kspacing,
    )


def _has_library() -> bool:
    return bool(SETTINGS.get("PMG_VASP_PSP_DIR"))


def _prepare_crystal(folder: Path, survivor: dict[str, Any], options: DftOptions) -> list[dict[str, Any]]:
    name = survivor["candidate_id"]
    temporary = folder / f".{name}.part"
    rows = []
    try:
        _write_inputs(temporary, survivor, options)
        for task in TASKS:
            inputs = read_record(temporary / task)["inputs"]
            status = "prepared" if place_folder(temporary / task, folder / name / task) else KEPT
            rows.append(_row(name, task, status, inputs, f"{folder.name}/{name}/{task}"))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return rows


def _write_inputs(folder: Path, survivor: dict[str, Any], options: DftOptions) -> None:
    # VASP wants equal elements together; the supercell inherits the order, and with it MAGMOM and POTCAR.
    structure = AseAtomsAdaptor.get_structure(row_to_atoms(survivor)).get_sorted_structure()
    known = MPRelaxSet.CONFIG["POTCAR"]
    if missing := [e.symbol for e in structure.composition.elements if e.symbol not in known]:
        raise InputError(f"the Materials Project's set has no PBE potential for {', '.join(missing)}")

    relax = folder / "relax"
    relax.mkdir(parents=True)
    inputs = _relax_set(structure, options)
    inputs.poscar.write_file(relax / "POSCAR", significant_figures=16)
    _write_task(relax, inputs)

    phonon = folder / "phonon"
    phonon.mkdir()
    made = displaced(AseAtomsAdaptor.get_atoms(structure), options.supercell, DISPLACEMENT, calculator="vasp")
    write_vasp(phonon / "POSCAR-unitcell", made.unitcell)
    cells = displaced_cells(made)
    write_supercells_with_displacements(
        made.supercell, cells, np.arange(1, len(cells) + 1), pre_filename=phonon / "POSCAR"
    )
    made.save(phonon / "phonopy_disp.yaml", settings={"force_sets": False})
    _write_task(phonon, _phonon_set(_to_pymatgen(made.supercell), options))


def _to_pymatgen(cell: PhonopyAtoms) -> Structure:
    return Structure(cell.cell, cell.symbols, cell.scaled_positions)


def _write_task(folder: Path, inputs: VaspInputSet) -> None:
    """Write all but the crystals, and the record of all."""
    inputs.incar.write_file(folder / "INCAR")
    if inputs.kpoints is not None:
        inputs.kpoints.write_file(folder / "KPOINTS")
    if _has_library():
        inputs.potcar.write_file(folder / "POTCAR")
    else:
        (folder / "POTCAR.spec").write_text("\n".join(inputs.potcar_symbols) + "\n")
    # Potentials count by name, whether POTCAR is there or not; phonopy's file adds only its version to the others.
    counted = {
        name: value
        for name, value in file_digests(folder).items()
        if name.split(".")[0] not in ("POTCAR", "phonopy_disp")
    }
    text = json.dumps([counted, inputs.potcar_symbols], sort_keys=True)
    write_record(folder, digest(text.encode()))


def _row(name: str, task: str, status: str, inputs: str | None, path: str | None) -> dict[str, Any]:
    return {"candidate_id": name, "code": "vasp", "task": task, "status": status, "inputs": inputs, "path": path}


def _remove_crystal(folder: Path) -> bool:
    """Remove what is ours in the folder of one crystal; whether nothing is left."""
    for task in TASKS:
        if (folder / task).is_dir():
            remove_written(folder / task, {})
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def read_results(
    vaspruns: Sequence[str | Path], prepared: Sequence[dict[str, Any]], survivors: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Results of relaxations beside what the potential says of the same crystals.

    Formation energies are the Materials Project's: PBE or PBE+U with the MP2020 corrections, against its elements.
    There is none where functional, PAW potentials or U are not the Materials Project's, as energies would not compare.

    :param vaspruns: files ``<candidate_id>/relax/vasprun.xml`` or ``.xml.gz``; where a folder has both, the former.
    :param prepared: rows of ``tables.DFT``.
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
        if not _is_whole(path):
            return {"status": "running, or stopped before its end"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is not converged is said by the status
            run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
        return _run_columns(run)
    except Exception as error:  # noqa: BLE001 - a file's failure is a row
        reason = first_line(error)
        return {"status": f"failed: {type(error).__name__}: {reason}".replace(str(path.parent), "").strip()}


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
