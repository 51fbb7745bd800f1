"""VASP as an engine: a static calculation's inputs into a folder, and its results out of it."""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar
from pymatgen.io.vasp.outputs import Outcar, Vasprun

from cgwgan_core.dft.calculation import CONVERGED, UNFINISHED, Calculation, Outcome, Remedy
from cgwgan_core.dft.job_script import JobTemplate
from cgwgan_core.dft.mesh import is_molecule, mesh
from cgwgan_core.dft.store import OUTPUT
from cgwgan_core.dft.vasp_presets import (
    PRESETS,
    DftOptions,
    check_elements,
    has_library,
    static_set,
    vasp_order,
    write_potentials,
)
from cgwgan_core.dft.vasp_results import load_vasprun
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import InputError, first_line

SORT = "ase-sort.dat"
"""As ASE writes it: for each place in POSCAR the atom's index, and for each atom its place in POSCAR."""
STRESS_CUTOFF = 680.0
"""eV; above 1.3 times the highest cutoff of the Materials Project's potentials (Li_sv, 499 eV), which is VASP's rule
for cells that change."""
FATAL = (
    "BRMIX: very serious problems",
    "EDDDAV: Call to ZHEGV failed",
    "LAPACK: Routine ZPOTRF failed",
    "EDWAV: internal error",
)
"""What VASP says before it stops for want of numerical stability, as custodian knows it (DOI
10.1016/j.commatsci.2012.10.028)."""


class Vasp:
    """VASP as an :class:`~cgwgan_core.dft.calculation.Engine`; the presets give functional and potentials.

    A crystal whose moments are all zero is computed without spin.

    :param command: what runs VASP in a folder, such as ``mpirun -np 16 vasp_std``; ``None``: inputs are only written.
    :param options: settings; a template of job scripts is filled in for each folder, with ``.`` as the folder.
    :raises InputError: if there is a command, but no library of POTCAR files; if the template cannot be used.
    """

    name = "vasp"
    remedies: Sequence[Remedy] = (  # custodian's, in its order; smearing comes last, as it moves the energy
        Remedy("conjugate gradients, more steps", {"ALGO": "All", "ISEARCH": 1, "NELM": 300}),
        Remedy(
            "weaker mixing",
            {
                "ALGO": "Normal",
                "ISEARCH": 0,
                "NELMDL": -6,
                "AMIX": 0.2,
                "BMIX": 0.001,
                "AMIX_MAG": 0.8,
                "BMIX_MAG": 0.001,
            },
        ),
        Remedy("wider smearing", {"SIGMA": 0.1}),
    )

    def __init__(self, command: str | None, options: DftOptions | None = None) -> None:
        if command is not None and not has_library():
            raise InputError(
                "dft.command: VASP needs POTCAR files; set PMG_VASP_PSP_DIR to pymatgen's library of them, or leave "
                "the command out and run the inputs where the files are"
            )
        self._command = None if command is None else shlex.split(command)
        self._options = options or DftOptions()
        job = self._options.job
        self._job = None if job is None else JobTemplate(job, self._options.command)

    def parameters(self, atoms: Atoms, *, stress: bool = False, **changes: Any) -> dict[str, Any]:
        """INCAR's tags, and in lower case ``kpoints``, ``potentials``, their ``library`` and ``molecule``.

        A molecule in a box (no periodic direction) gets a mesh off Γ and keeps its moment.
        """
        crystal = _in_vasp_order(atoms, vasp_order(atoms))
        kpoints = mesh(atoms, self._options.kspacing)
        structure = AseAtomsAdaptor.get_structure(crystal)
        tags = dict(static_set(structure, self._options, kpoints).incar)
        for tag in ("MAGMOM", "ISPIN"):  # the calculation's own moments decide
            tags.pop(tag, None)
        tags["ISIF"] = 2 if stress else 0
        if stress:
            tags["ENCUT"] = max(tags["ENCUT"], STRESS_CUTOFF)
        preset = PRESETS[self._options.preset]
        symbols = dict.fromkeys(crystal.symbols)
        return {
            **tags,
            "kpoints": list(kpoints),
            "potentials": [preset.potentials.get(symbol, symbol) for symbol in symbols],
            "library": preset.library,
            "molecule": is_molecule(atoms),
            **changes,
        }

    def write(self, calculation: Calculation, folder: Path) -> None:
        """Write INCAR, KPOINTS, POSCAR, POTCAR (or the names of its parts) and the order of the atoms.

        :raises InputError: if the preset has no potential for an element.
        """
        order = vasp_order(calculation.atoms)
        structure = AseAtomsAdaptor.get_structure(_in_vasp_order(calculation.atoms, order))
        check_elements(structure, self._options)
        parameters = calculation.parameters
        moments = calculation.atoms.get_initial_magnetic_moments()[order]
        tags = {tag: value for tag, value in parameters.items() if tag.isupper() and value is not None}
        Incar({**tags, **_spin_tags(moments, parameters["molecule"])}).write_file(folder / "INCAR")
        automatic = Kpoints.monkhorst_automatic if parameters["molecule"] else Kpoints.gamma_automatic
        automatic(tuple(parameters["kpoints"])).write_file(folder / "KPOINTS")
        Poscar(structure, sort_structure=False).write_file(folder / "POSCAR", significant_figures=16)
        write_potentials(folder, parameters["potentials"], parameters["library"])
        if self._job is not None:
            self._job.write(folder, f"vasp-{calculation.key}", Path())
        places = np.argsort(order)
        (folder / SORT).write_text("".join(f"{i:5d} {j:5d} \n" for i, j in zip(order, places, strict=True)))

    def command(self) -> list[str] | None:
        """The command, as words."""
        return self._command

    def read(self, folder: Path) -> Outcome:
        """What vasprun.xml says, and of the moments OUTCAR; both may be compressed."""
        try:
            path = _first(folder, "vasprun.xml")
            run = None if path is None else load_vasprun(path)
            return _unfinished(folder) if run is None else _outcome(run, folder)
        except Exception as error:  # noqa: BLE001 - whatever a user's folder holds
            return Outcome(f"failed: {type(error).__name__}: {first_line(error)}".replace(f"{folder}/", ""))


def _in_vasp_order(atoms: Atoms, order: list[int]) -> Atoms:
    """The crystal as VASP is to have it: sorted, and without moments, which pymatgen would make its own."""
    bare = Atoms(atoms.numbers, cell=atoms.cell, positions=atoms.positions, pbc=True)
    sorted_atoms: Atoms = bare[order]
    return sorted_atoms


def _spin_tags(moments: Floats, molecule: bool) -> dict[str, Any]:
    if not moments.any():
        return {"ISPIN": 1}
    tags = {"ISPIN": 2, "MAGMOM": [round(float(moment), 4) for moment in moments]}
    return {**tags, "NUPDOWN": round(float(moments.sum()), 4)} if molecule else tags


def _first(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _unfinished(folder: Path) -> Outcome:
    """Why there is no whole vasprun.xml, as far as VASP said so."""
    with suppress(OSError):
        said = (folder / OUTPUT).read_text(errors="replace")
        if fatal := next((message for message in FATAL if message in said), None):
            return Outcome(f"failed: {fatal}", repairable=True)
    return Outcome(UNFINISHED)


def _outcome(run: Vasprun, folder: Path) -> Outcome:
    if defect := _other_calculation(run, folder):
        return Outcome(f"failed: {defect}")
    version = f"VASP {run.vasp_version}"
    if not run.converged_electronic:
        steps = len(run.ionic_steps[-1]["electronic_steps"])
        return Outcome(f"not converged: electrons, {steps} steps", version=version, repairable=True)
    energy = float(run.final_energy)
    if not np.isfinite(energy):
        return Outcome("failed: it has no energy", version=version)
    last = run.ionic_steps[-1]
    places = np.loadtxt(folder / SORT, dtype=int, ndmin=2)[:, 1]
    found = _moments(run, folder)
    if isinstance(found, str):
        return Outcome(f"failed: {found}", version=version)
    moment, moments = found
    return Outcome(
        CONVERGED,
        energy=energy,
        forces=np.array(last["forces"])[places].tolist() if "forces" in last else None,
        stress=_stress(np.array(last["stress"])) if "stress" in last else None,
        magnetic_moment=moment,
        magnetic_moments=moments[places].tolist(),
        version=version,
    )


def _other_calculation(run: Vasprun, folder: Path) -> str | None:
    """What shows that a run is not the static calculation whose inputs lie in the folder; ``None`` if nothing does."""
    if len(run.ionic_steps) != 1:
        return f"{len(run.ionic_steps)} ionic steps in place of one"
    asked, used = Poscar.from_file(folder / "POSCAR", check_for_potcar=False).structure, run.final_structure
    if asked.species != used.species or not np.allclose(asked.lattice.matrix, used.lattice.matrix, atol=1e-4):
        return "its crystal is not that of POSCAR"
    moved = used.frac_coords - asked.frac_coords
    if np.abs((moved - np.round(moved)) @ asked.lattice.matrix).max() > 1e-3:
        return "its atoms are not where POSCAR has them"
    with suppress(FileNotFoundError):
        wanted = (folder / "POTCAR.spec").read_text().split()
        found = [title.split()[1] for title in run.potcar_symbols]
        if found != wanted:
            return f"POTCAR {', '.join(found)} in place of {', '.join(wanted)}"
    return None


def _stress(kbar: Floats) -> list[float]:
    """Stress in ASE's order and sign, eV/Å³, of VASP's tensor, which is positive under compression."""
    tensor = -0.1 * units.GPa * kbar
    return [float(tensor[i, j]) for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]


def _moments(run: Vasprun, folder: Path) -> tuple[float, Floats] | str:
    """Moment of the cell, and of each atom in the order of POSCAR; or why they are unknown.

    vasprun.xml has neither, and an energy of unknown spin order would be taken for that of a crystal without moments.
    """
    n = len(run.final_structure)
    if run.parameters.get("ISPIN", 1) == 1:
        return 0.0, np.zeros(n)
    path = _first(folder, "OUTCAR")
    if path is None:
        return "there is no OUTCAR, which has the moments; put it beside vasprun.xml"
    try:
        outcar = Outcar(path)
    except Exception as error:  # noqa: BLE001 - whatever a user's folder holds
        return f"{path.name} cannot be read ({first_line(error)}), which has the moments"
    moments = np.array([float(site["tot"]) for site in outcar.magnetization])
    if outcar.total_mag is None or len(moments) != n:
        return f"{path.name} does not have the moments of {n} atoms"
    return float(outcar.total_mag), moments
