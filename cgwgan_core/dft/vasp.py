"""VASP: inputs of a relaxation and of a phonon calculation for each survivor; settings are in ``vasp_presets``."""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from phonopy.interface.vasp import write_supercells_with_displacements, write_vasp
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp.sets import VaspInputSet

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.dft.folders import (
    RECORD,
    digest,
    file_digests,
    place_folder,
    read_record,
    remove_written,
    write_record,
)
from cgwgan_core.dft.job_script import NAME as JOB
from cgwgan_core.dft.job_script import JobTemplate
from cgwgan_core.dft.vasp_presets import (
    DFPT,
    PRESETS,
    DftOptions,
    check_elements,
    has_library,
    phonon_set,
    relax_set,
    vasp_order,
    write_potentials,
)
from cgwgan_core.dft.vasp_readme import readme
from cgwgan_core.phonons.force_constants import displaced, displaced_cells
from cgwgan_core.workflow.errors import first_line
from cgwgan_core.workflow.files import write_text
from cgwgan_core.workflow.logs import logger, progress

DISPLACEMENT = 0.01
"""Å, phonopy's own."""
TASKS = ("relax", "phonon")
KEPT = "kept: holds results of other inputs; move it away to prepare again"
"""Status of a folder that was not touched, because something in it is not, or no longer, as it was written."""


def prepare(folder: str | Path, survivors: Sequence[dict[str, Any]], options: DftOptions) -> list[dict[str, Any]]:
    """Write ``<folder>/<candidate_id>/relax`` and ``.../phonon`` for every survivor, and one README.md.

    Each folder appears whole. An earlier one is replaced if it holds nothing but what was written into it, and left
    as it is otherwise. That of a crystal that is no longer a survivor is removed or left in the same way. POTCAR
    files are written where pymatgen knows a library of them (PMG_VASP_PSP_DIR), else their names, as POTCAR.spec.

    :param survivors: rows with the columns candidate_id, lattice, numbers and frac_coords of ``tables.STABLE``.
    :returns: rows of ``tables.DFT_INPUTS``, two for each survivor; the status of one that could not be prepared
        says why.
    :raises InputError: if the template of job scripts cannot be used.
    """
    template = None if options.job is None else JobTemplate(options.job, options.command)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(".*.part"):  # of a job that was killed
        shutil.rmtree(stale, ignore_errors=True)
    write_text(folder / "README.md", readme(options, has_library()))
    rows = []
    for survivor in progress(survivors, len(survivors), "crystals"):
        name = survivor["candidate_id"]
        try:
            rows += _prepare_crystal(folder, survivor, options, template)
        except Exception as error:  # noqa: BLE001 - a crystal's failure is a row
            _remove_crystal(folder / name)
            status = f"not prepared: {first_line(error)}"
            rows += [_row(name, task, status, None, None) for task in TASKS]
    names = {survivor["candidate_id"] for survivor in survivors}
    for other in sorted(path for path in folder.iterdir() if path.name not in names):
        if other.is_dir() and any((other / task / RECORD).is_file() for task in TASKS) and not _remove_crystal(other):
            logger.info(f"{other}: no longer among the survivors; kept, as it holds files that were not written here")
    return rows


def _prepare_crystal(
    folder: Path, survivor: dict[str, Any], options: DftOptions, template: JobTemplate | None
) -> list[dict[str, Any]]:
    name = survivor["candidate_id"]
    temporary = folder / f".{name}.part"
    rows = []
    try:
        for task in TASKS:
            (temporary / task).mkdir(parents=True)
            if template is not None:
                template.write(temporary / task, f"{name}-{task}", folder / name / task)
        _write_inputs(temporary, survivor, options)
        for task in TASKS:
            inputs = read_record(temporary / task)["inputs"]
            status = "prepared" if place_folder(temporary / task, folder / name / task) else KEPT
            rows.append(_row(name, task, status, inputs, f"{folder.name}/{name}/{task}"))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return rows


def _write_inputs(folder: Path, survivor: dict[str, Any], options: DftOptions) -> None:
    """Fill the folders of the tasks."""
    atoms = row_to_atoms(survivor)
    structure = AseAtomsAdaptor.get_structure(atoms[vasp_order(atoms)])
    check_elements(structure, options)

    inputs = relax_set(structure, options)
    inputs.poscar.write_file(folder / "relax" / "POSCAR", significant_figures=16)
    _write_task(folder / "relax", inputs, options)

    # The supercell inherits the order of elements, and with it MAGMOM and POTCAR.
    phonon = folder / "phonon"
    made = displaced(AseAtomsAdaptor.get_atoms(structure), options.supercell, DISPLACEMENT, calculator="vasp")
    write_vasp(phonon / "POSCAR-unitcell", made.unitcell)
    if options.phonon_method == DFPT:
        write_vasp(phonon / "POSCAR", made.supercell)
    else:
        cells = displaced_cells(made)
        write_supercells_with_displacements(
            made.supercell, cells, np.arange(1, len(cells) + 1), pre_filename=phonon / "POSCAR"
        )
    made.save(phonon / "phonopy_disp.yaml", settings={"force_sets": False})
    _write_task(phonon, phonon_set(_to_pymatgen(made.supercell), options), options)


def _to_pymatgen(cell: PhonopyAtoms) -> Structure:
    return Structure(cell.cell, cell.symbols, cell.scaled_positions)


def _write_task(folder: Path, inputs: VaspInputSet, options: DftOptions) -> None:
    """Write all but the crystals, and the record of all."""
    preset = PRESETS[options.preset]
    comments = "".join(f"# Left open by the source of these settings: {point}\n" for point in preset.open_points)
    (folder / "INCAR").write_text(f"{comments}{inputs.incar}")
    if inputs.kpoints is not None:
        inputs.kpoints.write_file(folder / "KPOINTS")
    write_potentials(folder, inputs.potcar_symbols, preset.library)
    # Potentials count by name, whether POTCAR is there or not; phonopy's file adds only its version to the others, and
    # a job script changes no result.
    counted = {
        name: value
        for name, value in file_digests(folder).items()
        if name.split(".")[0] not in ("POTCAR", "phonopy_disp") and name != JOB
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
