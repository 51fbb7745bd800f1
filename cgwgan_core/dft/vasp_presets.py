"""VASP's settings by name: functional, potentials, cutoff and convergence, and the input sets made from them.

Three presets:

``mp``
    The Materials Project's PBE (pymatgen's ``MPRelaxSet``: +U for some oxides and fluorides, 520 eV), so that energies
    compare with that database.
``mp_r2scan``
    Its r2SCAN (``MP24RelaxSet`` and ``MP24StaticSet``: 680 eV), on request with D4 dispersion.
    DOI 10.1021/acs.jpclett.0c02405, 10.1063/5.0041008
``paper``
    CGWGAN's, as far as they are given: PBE with a van der Waals correction, KSPACING 0.2, EDIFF 1e-7, NSW 300.
    DOI 10.20517/jmi.2024.24

All are tightened where phonons ask for it, and spin stays on: many d-metal oxides are magnetic, and a non-magnetic
crystal only loses time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase import Atoms
from pymatgen.core import SETTINGS, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp.inputs import Kpoints, Potcar
from pymatgen.io.vasp.sets import MP24RelaxSet, MP24StaticSet, MPRelaxSet, VaspInputSet

from cgwgan_core.dft.mesh import mesh
from cgwgan_core.workflow.errors import InputError

DISPLACEMENTS, DFPT = PHONON_METHODS = ("displacements", "dfpt")


@dataclass(frozen=True)
class Preset:
    """One level of theory."""

    title: str
    """For people: whose settings, and the functional."""
    relaxation: type[MPRelaxSet | MP24RelaxSet]
    """pymatgen's set for relaxations, and the source of potentials and of U."""
    static: type[MPRelaxSet | MP24RelaxSet]
    """pymatgen's set for energies and forces at a fixed cell."""
    steps: int
    """Most steps of a relaxation (NSW)."""
    dispersions: Mapping[str | None, Mapping[str, Any]]
    """INCAR tags of each choice of ``dispersion``."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """INCAR tags beside those of the set."""
    meta_gga: bool = False
    """Whether the functional hangs on the kinetic energy density, so that VASP has no DFPT of it."""
    open_points: tuple[str, ...] = ()
    """What the source of the settings leaves open, and what is taken here."""

    @property
    def potentials(self) -> Mapping[str, str]:
        """Name of the PAW potential of each element."""
        found: Mapping[str, str] = self.relaxation.CONFIG["POTCAR"]
        return found

    @property
    def library(self) -> str:
        """Release of the potentials, as pymatgen names it."""
        return str(self.relaxation.CONFIG["POTCAR_FUNCTIONAL"])


_R2SCAN_D4 = {"IVDW": 13, "VDW_S6": 1.0, "VDW_S8": 0.60187490, "VDW_A1": 0.51559235, "VDW_A2": 5.77342911}

PRESETS: Mapping[str, Preset] = {
    "mp": Preset(
        title="the Materials Project's (pymatgen MPRelaxSet: PBE(+U), 520 eV, spin-polarised)",
        relaxation=MPRelaxSet,
        static=MPRelaxSet,
        steps=200,
        dispersions={None: {}},
    ),
    "mp_r2scan": Preset(
        title="the Materials Project's (pymatgen MP24RelaxSet and MP24StaticSet: r2SCAN, 680 eV, spin-polarised)",
        relaxation=MP24RelaxSet,
        static=MP24StaticSet,
        steps=200,
        dispersions={None: {}, "D4": _R2SCAN_D4},
        settings={"LAECHG": False, "LVTOT": False},  # files of densities and potentials that nothing here reads
        meta_gga=True,
    ),
    "paper": Preset(
        title="those of the CGWGAN paper (J. Mater. Inf. 2024, 4, 20: PBE, van der Waals, NSW 300), as far as given",
        relaxation=MPRelaxSet,
        static=MPRelaxSet,
        steps=300,
        dispersions={None: {"IVDW": 12}, "D3BJ": {"IVDW": 12}, "D3": {"IVDW": 11}},
        settings={"LDAU": False},
        open_points=(
            "which van der Waals correction: D3 with Becke-Johnson damping here, unless `vasp.dispersion` says D3",
            "potentials and cutoff: the Materials Project's here, 520 eV",
            "U: none here",
            "spin: polarised here, from the Materials Project's starting moments",
            "smearing and the criterion for forces: Gaussian of 0.05 eV and 0.001 eV/Å here",
        ),
    ),
}


@dataclass(frozen=True)
class DftOptions:
    """What VASP is asked for: the config block ``vasp``."""

    preset: str = "mp"
    """Functional, potentials and cutoff: a key of :data:`PRESETS`."""
    dispersion: str | None = None
    """Van der Waals correction; ``None``: the preset's own, which only ``paper`` has."""
    kspacing: float = 0.2
    """1/Å (with 2π), largest distance between k-points: VASP's KSPACING."""
    ediff: float = 1e-7
    """eV, convergence of the electronic energy."""
    phonon_method: str = DISPLACEMENTS
    """Displaced supercells, or density functional perturbation theory (``dfpt``) of one supercell."""
    supercell: tuple[int, int, int] = (2, 2, 2)
    """Repeats of the primitive cell in the phonon inputs."""
    command: str | None = None
    """What runs VASP in a folder of inputs, as a line for the shell."""
    job: str | None = None
    """Template of a job script, which is written into each folder."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "supercell", tuple(self.supercell))
        if len(self.supercell) != 3 or any(not isinstance(n, int) or n < 1 for n in self.supercell):
            raise InputError(f"vasp.supercell: {list(self.supercell)} is not three whole numbers from 1 up; mend it")
        for name in ("kspacing", "ediff"):
            if getattr(self, name) <= 0:
                raise InputError(f"vasp.{name}: {getattr(self, name)} is not above 0; mend it")
        _check_choice("preset", self.preset, list(PRESETS))
        _check_choice("phonon_method", self.phonon_method, PHONON_METHODS)
        preset = PRESETS[self.preset]
        if self.dispersion not in preset.dispersions:
            choices = ", ".join("null" if name is None else name for name in preset.dispersions)
            raise InputError(f"vasp.dispersion: preset {self.preset} has no {self.dispersion}; choose from {choices}")
        if preset.meta_gga and self.phonon_method == DFPT:
            raise InputError(
                f"vasp.phonon_method: VASP has no DFPT of meta-GGAs such as preset {self.preset}'s; "
                f"choose {DISPLACEMENTS}"
            )


def _check_choice(name: str, value: str, choices: list[str] | tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"vasp.{name}: {value} is unknown; choose from {', '.join(choices)}")


_COMMON = {
    "ALGO": "Normal",
    "ISMEAR": 0,  # right for metals and insulators alike; tetrahedra (-5) give wrong forces in metals
    "SIGMA": 0.05,
    "LREAL": False,  # projection in real space makes noise in forces
    "NELM": 200,
    "LCHARG": False,
}
_RELAX = {"ISIF": 3, "IBRION": 2, "EDIFFG": -1e-3}
# ADDGRID stays off: it helps some forces and spoils others, see VASP's manual.
_STATIC = {"ISIF": 2, "IBRION": -1, "NSW": 0, "EDIFFG": None}
_DFPT = {"ISIF": 2, "IBRION": 8, "NSW": 1, "EDIFFG": None}
_NO_DISPERSION = dict.fromkeys(("IVDW", "VDW_S6", "VDW_S8", "VDW_A1", "VDW_A2"))


def relax_set(structure: Structure, options: DftOptions) -> VaspInputSet:
    """Input set of a relaxation of cell and atoms, with KSPACING in place of a mesh.

    :param structure: equal elements together.
    """
    preset = PRESETS[options.preset]
    return preset.relaxation(
        structure, user_incar_settings={**_tags(options), **_RELAX, "NSW": preset.steps, "KSPACING": options.kspacing}
    )


def static_set(structure: Structure, options: DftOptions, kpoints: tuple[int, int, int]) -> VaspInputSet:
    """Input set of energy, forces and stress at rest, with a Γ-centred mesh."""
    return _fixed_cell_set(structure, options, _STATIC, kpoints)


def phonon_set(supercell: Structure, options: DftOptions) -> VaspInputSet:
    """Input set of a supercell with the k-points KSPACING would give: forces, or by DFPT all force constants.

    VASP has no second derivatives of dispersion corrections (its manual on IVDW), so those of DFPT are without.
    """
    settings = {**_DFPT, **_NO_DISPERSION} if options.phonon_method == DFPT else _STATIC
    return _fixed_cell_set(supercell, options, settings, mesh(AseAtomsAdaptor.get_atoms(supercell), options.kspacing))


def _fixed_cell_set(
    structure: Structure, options: DftOptions, settings: Mapping[str, Any], kpoints: tuple[int, int, int]
) -> VaspInputSet:
    return PRESETS[options.preset].static(
        structure,
        user_incar_settings={**_tags(options), **settings, "KSPACING": None},
        user_kpoints_settings=Kpoints.gamma_automatic(kpoints),  # type: ignore[arg-type] # pymatgen takes these, too
    )


def _tags(options: DftOptions) -> dict[str, Any]:
    """INCAR tags that all tasks share."""
    preset = PRESETS[options.preset]
    return {**_COMMON, "EDIFF": options.ediff, **preset.settings, **preset.dispersions[options.dispersion]}


def check_elements(structure: Structure, options: DftOptions) -> None:
    """Refuse elements without a potential.

    :raises InputError: with their names.
    """
    known = PRESETS[options.preset].potentials
    if missing := [e.symbol for e in structure.composition.elements if e.symbol not in known]:
        raise InputError(f"the Materials Project's set has no PBE potential for {', '.join(missing)}")


def has_library() -> bool:
    """Whether pymatgen knows a folder of POTCAR files (PMG_VASP_PSP_DIR)."""
    return bool(SETTINGS.get("PMG_VASP_PSP_DIR"))


def write_potentials(folder: Path, names: Sequence[str], library: str) -> None:
    """Write POTCAR where there is a library, else the names alone, as POTCAR.spec.

    :param names: in the order of POSCAR.
    :param library: pymatgen's name of the release of the potentials.
    """
    if has_library():
        Potcar(names, library).write_file(folder / "POTCAR")
    else:
        (folder / "POTCAR.spec").write_text("\n".join(names) + "\n")


def vasp_order(atoms: Atoms) -> list[int]:
    """Indices of the atoms in the order of POSCAR: equal elements together, from electropositive to electronegative."""
    sites = AseAtomsAdaptor.get_structure(atoms).sites
    return sorted(range(len(sites)), key=sites.__getitem__)
