"""VASP inputs for the survivors: a relaxation, and the displaced supercells of a phonon calculation.

Settings are the Materials Project's (pymatgen's ``MPRelaxSet``: PBE, +U for some oxides and fluorides, PAW
potentials, 520 eV, spin-polarised from its starting moments), so that energies compare with that database,
tightened where phonons ask for it. Spin stays on: many d-metal oxides are magnetic, and a non-magnetic crystal
only loses time.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from phonopy.interface.vasp import write_supercells_with_displacements, write_vasp
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import SETTINGS, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp.inputs import Kpoints
from pymatgen.io.vasp.sets import MPRelaxSet, VaspInputSet

from .errors import InputError
from .jobs import progress
from .phonons import displaced
from .resume import replacing_folder
from .store import to_ase

DISPLACEMENT = 0.01
"""Å, phonopy's own."""


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

README = """\
# DFT inputs (VASP)

One folder per crystal:

- `relax/`: relaxation of cell and atoms (INCAR with KSPACING, no KPOINTS file).
- `phonon/`: displaced supercells `POSCAR-001`, ... made by phonopy, with one INCAR, KPOINTS and {potcar} for
  all of them; `phonopy_disp.yaml` says what was displaced, `SPOSCAR` is the supercell at rest.

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

Settings: the Materials Project's (pymatgen MPRelaxSet: PBE(+U), 520 eV, spin-polarised), with EDIFF {ediff:g} eV,
EDIFFG -0.001 eV/Å, KSPACING {kspacing:g} 1/Å, Gaussian smearing of 0.05 eV, no projection in real space.
"""


def prepare(folder: str | Path, survivors: Sequence[dict[str, Any]], options: DftOptions) -> list[dict[str, Any]]:
    """Write ``<folder>/<candidate_id>/relax`` and ``.../phonon`` for every survivor, and one README.md.

    The folder appears whole or not at all. POTCAR files are written where pymatgen knows a library of them
    (PMG_VASP_PSP_DIR), else their names, as POTCAR.spec.

    :param survivors: rows of ``tables.STABLE``.
    :returns: rows of ``tables.DFT``, two for each survivor; the status of one that could not be prepared
        says why, and it has no folder.
    """
    folder = Path(folder)
    rows = []
    with replacing_folder(folder) as temporary:
        (temporary / "README.md").write_text(_readme(options))
        for survivor in progress(survivors, len(survivors), "crystals"):
            name = survivor["candidate_id"]
            try:
                _prepare(temporary / name, survivor, options)
                status = "prepared"
            except Exception as error:
                shutil.rmtree(temporary / name, ignore_errors=True)
                status = f"not prepared: {error}".splitlines()[0]
            rows += [
                {
                    "candidate_id": name,
                    "code": "vasp",
                    "task": task,
                    "status": status,
                    "energy_per_atom": None,
                    "path": f"{folder.name}/{name}/{task}" if status == "prepared" else None,
                }
                for task in ("relax", "phonon")
            ]
    return rows


def relax_set(structure: Structure, options: DftOptions) -> MPRelaxSet:
    """Input set of the relaxation; see the module's docstring for the settings."""
    settings = {**_COMMON, **_RELAX, "EDIFF": options.ediff, "KSPACING": options.kspacing}
    return MPRelaxSet(structure, user_incar_settings=settings)


def phonon_set(supercell: Structure, options: DftOptions) -> MPRelaxSet:
    """Input set of the forces of one displaced supercell, with the k-points KSPACING would give."""
    settings = {**_COMMON, **_PHONON, "EDIFF": options.ediff}
    return MPRelaxSet(
        supercell, user_incar_settings=settings, user_kpoints_settings=gamma_mesh(supercell, options.kspacing)
    )


def gamma_mesh(structure: Structure, kspacing: float) -> Kpoints:
    """Γ-centred mesh by VASP's rule for KSPACING: N_i = max(1, ceil(|b_i| / kspacing)), b_i with 2π."""
    lengths = np.array(structure.lattice.reciprocal_lattice.abc)
    return Kpoints.gamma_automatic(tuple(int(n) for n in np.maximum(1, np.ceil(lengths / kspacing))))


def _prepare(folder: Path, survivor: dict[str, Any], options: DftOptions) -> None:
    # VASP wants equal elements together; the supercell inherits the order, and with it MAGMOM and POTCAR.
    structure = AseAtomsAdaptor.get_structure(to_ase(survivor)).get_sorted_structure()
    known = MPRelaxSet.CONFIG["POTCAR"]
    if missing := [e.symbol for e in structure.composition.elements if e.symbol not in known]:
        raise InputError(f"the Materials Project's set has no PBE potential for {', '.join(missing)}")

    relax = folder / "relax"
    relax.mkdir(parents=True)
    inputs = relax_set(structure, options)
    inputs.poscar.write_file(relax / "POSCAR", significant_figures=16)
    _write(relax, inputs)

    phonon = folder / "phonon"
    phonon.mkdir()
    made = displaced(AseAtomsAdaptor.get_atoms(structure), options.supercell, DISPLACEMENT, calculator="vasp")
    write_vasp(phonon / "POSCAR-unitcell", made.unitcell)
    cells = made.supercells_with_displacements
    write_supercells_with_displacements(
        made.supercell, cells, np.arange(1, len(cells) + 1), pre_filename=phonon / "POSCAR"
    )
    made.save(phonon / "phonopy_disp.yaml", settings={"force_sets": False})
    _write(phonon, phonon_set(_to_pymatgen(made.supercell), options))


def _write(folder: Path, inputs: VaspInputSet) -> None:
    inputs.incar.write_file(folder / "INCAR")
    if inputs.kpoints is not None:
        inputs.kpoints.write_file(folder / "KPOINTS")
    if _has_library():
        inputs.potcar.write_file(folder / "POTCAR")
    else:
        (folder / "POTCAR.spec").write_text("\n".join(inputs.potcar_symbols) + "\n")


def _to_pymatgen(cell: PhonopyAtoms) -> Structure:
    return Structure(cell.cell, cell.symbols, cell.scaled_positions)


def _has_library() -> bool:
    return bool(SETTINGS.get("PMG_VASP_PSP_DIR"))


def _readme(options: DftOptions) -> str:
    library = _has_library()
    note = (
        "`POTCAR.spec` names the PAW potentials (VASP's PBE set) in the order of POSCAR: VASP's licence does not "
        "let them be\npassed on. Concatenate yours as `POTCAR`, or set PMG_VASP_PSP_DIR and prepare again.\n"
    )
    return README.format(
        potcar="POTCAR" if library else "POTCAR.spec",
        potcar_note="" if library else note,
        dim=" ".join(map(str, options.supercell)),
        ediff=options.ediff,
        kspacing=options.kspacing,
    )
