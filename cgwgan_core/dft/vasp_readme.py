"""The README beside the VASP inputs: what lies where, how to run it, and what was asked for."""

import shlex
import textwrap

from cgwgan_core.dft.vasp_presets import DFPT, PRESETS, DftOptions

_README = """\
# DFT inputs (VASP)

Two folders per crystal:

- `relax/`: relaxation of cell and atoms (INCAR with KSPACING, no KPOINTS file).
{phonon_folder}
{job_folder}
**Run VASP right here: no rerun of the workflow deletes or overwrites your files.** `inputs.json` records what was
written into a folder. A folder that holds anything else (an OUTCAR, a CONTCAR, an INCAR that you changed) is left
exactly as it is, also when its crystal is no longer among the survivors. If the inputs would now be different,
`dft_inputs.parquet` says `kept`: move the folder away to have them prepared again. Only folders that hold nothing but
what was written are replaced or removed.

{potcar_note}
{phonon_steps}
**Results read back:** run the workflow again, and `dft_results.parquet` has a row for each `relax/vasprun.xml` (or
`vasprun.xml.gz`) with energy, volume and space group, beside those of the potential. {formation}

**custodian** mends the failures of VASP that it knows, and runs it again (`pip install custodian`). In a folder that
is to be run:

    cat > custodian.yaml <<'END'
    jobs:
    - jb: custodian.vasp.jobs.VaspJob
      params: {{vasp_cmd: [{command_list}]}}
    handlers:
    - hdlr: custodian.vasp.handlers.VaspErrorHandler
    - hdlr: custodian.vasp.handlers.UnconvergedErrorHandler
    validators:
    - vldr: custodian.vasp.validators.VasprunXMLValidator
    custodian_params: {{max_errors: 5}}
    END
    cstdn run custodian.yaml

{settings}
{open_points}"""
_SETTINGS = (
    "Settings: {title}, with EDIFF {ediff:g} eV, EDIFFG -0.001 eV/Å, KSPACING {kspacing:g} 1/Å, Gaussian smearing of "
    "0.05 eV, no projection in real space{dispersion}."
)

_DISPLACED_FOLDER = """\
- `phonon/`: displaced supercells `POSCAR-001`, ... made by phonopy, with one INCAR, KPOINTS and {potcar} for
  all of them; `phonopy_disp.yaml` says what was displaced, `SPOSCAR` is the supercell at rest.
"""
_DFPT_FOLDER = """\
- `phonon/`: one supercell at rest (`POSCAR`, made by phonopy of `POSCAR-unitcell`), whose force constants VASP
  computes by density functional perturbation theory (IBRION = 8), with INCAR, KPOINTS and {potcar}.
"""
_JOB_FOLDER = "- `job.sh` in each: your template, filled in. It is to be submitted where the workflow runs.\n"

_POTCAR_NOTE = """\
`POTCAR.spec` names the PAW potentials (VASP's {library} set) in the order of POSCAR: VASP's licence does not let
them be passed on. Concatenate yours as `POTCAR`. Or set PMG_VASP_PSP_DIR before you run anything, and prepare again, by
the command of the run (its `--directory` and `--configfile` included) with this at its end:
`--forcerun dft_inputs -- results/dft_inputs.parquet`.
"""

_DISPLACED_STEPS = """\
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
        cp $poscar $folder/POSCAR{job}
    done

and collect:

    phonopy-init -f disp-*/vasprun.xml
    phonopy-load --band auto
"""
_DISPLACED_JOB = '\n        sed "s|/phonon|/phonon/$folder|g" job.sh > $folder/job.sh'

_DFPT_STEPS = """\
**The supercell in `phonon/` is that of the crystal as the machine-learned potential relaxed it. Phonons must
be computed at the minimum of the DFT energy, so relax first and then make it anew.** In a crystal's folder, once
`relax/` has converged:

    cp relax/CONTCAR phonon/POSCAR-unitcell
    cd phonon
    phonopy-init -d --dim {dim} --pa P -c POSCAR-unitcell
    rm POSCAR-[0-9]*
    mv SPOSCAR POSCAR

(The order of the atoms stays, so INCAR, KPOINTS and POTCAR still fit. Leave NCORE and NPAR unset: VASP's DFPT does not
distribute bands.) Run VASP in `phonon/`, and collect:

    phonopy-init --fc vasprun.xml
    phonopy-load --band auto
"""
_NO_DISPERSION = """\
VASP has no second derivatives of dispersion corrections, so INCAR in `phonon/` has none, and neither have the force
constants. `vasp.phonon_method: displacements` has them.
"""

_DISPERSIONS = {11: "D3 dispersion", 12: "D3 dispersion with Becke-Johnson damping", 13: "D4 dispersion"}
EXAMPLE_COMMAND = "mpirun -np 16 vasp_std"


def readme(options: DftOptions, library: bool) -> str:
    """The text.

    :param library: whether POTCAR files are there.
    """
    preset = PRESETS[options.preset]
    potcar = "POTCAR" if library else "POTCAR.spec"
    dfpt = options.phonon_method == DFPT
    dispersion = preset.dispersions[options.dispersion].get("IVDW")
    steps = (_DFPT_STEPS if dfpt else _DISPLACED_STEPS).format(
        dim=" ".join(map(str, options.supercell)), job=_DISPLACED_JOB if options.job else ""
    )
    settings = _SETTINGS.format(
        title=preset.title,
        ediff=options.ediff,
        kspacing=options.kspacing,
        dispersion=f", {_DISPERSIONS[dispersion]}" if dispersion else "",
    )
    return _README.format(
        phonon_folder=(_DFPT_FOLDER if dfpt else _DISPLACED_FOLDER).format(potcar=potcar).rstrip("\n"),
        job_folder=_JOB_FOLDER if options.job else "",
        potcar_note="" if library else _POTCAR_NOTE.format(library=preset.library),
        phonon_steps=steps + (f"\n{_NO_DISPERSION}" if dfpt and dispersion else ""),
        formation="Formation\nenergies are given, too."
        if options.preset == "mp"
        else "There are no\nformation energies: the Materials Project's elements are PBE(+U) without dispersion.",
        command_list=", ".join(f'"{word}"' for word in shlex.split(options.command or EXAMPLE_COMMAND)),
        settings=textwrap.fill(settings, 118),
        open_points=_open_points(preset.open_points),
    )


def _open_points(points: tuple[str, ...]) -> str:
    if not points:
        return ""
    return "\n**Left open by the source of these settings:**\n\n" + "".join(f"- {point}\n" for point in points)
