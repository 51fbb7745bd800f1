"""Quantum ESPRESSO as an engine: inputs of pw.x (and of ph.x) into a folder, results out of pw.x's output.

Settings are those of aiida-quantumespresso's protocol ``balanced`` (arXiv:2504.03962): Γ-centred mesh of 0.15 1/Å, cold
smearing of 0.02 Ry, convergence of 2e-10 Ry per atom, mixing of 0.4. Cutoffs are the pseudopotentials' own.

**Energy.** pw.x's total energy is F = E - TS. With cold smearing F differs from the energy at zero smearing in third
order of the width only (DOI 10.1103/PhysRevLett.82.3296), so F is taken as it is: there is nothing to extrapolate, and
forces and stress are its derivatives.
"""

import math
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.espresso import write_espresso_in, write_espresso_ph
from ase.io.espresso_namelist.keys import pw_keys
from ase.units import create_units

from cgwgan_core.dft.calculation import CONVERGED, UNFINISHED, Calculation, Outcome, Remedy
from cgwgan_core.dft.mesh import is_molecule, mesh
from cgwgan_core.dft.pseudopotentials import Pseudopotential, Pseudopotentials
from cgwgan_core.dft.store import ERRORS, OUTPUT
from cgwgan_core.workflow.errors import InputError, first_line

INPUT, PHONON_INPUT = "pw.in", "ph.in"
KSPACING = 0.15
"""1/Å, with 2π."""
CONVERGENCE = 2e-10
"""Ry per atom."""
MAX_SPECIES = 10
"""pw.x's ``ntypx``: elements, counted once for each starting moment."""
MAX_PATH = 256
"""Characters that pw.x keeps of a folder's name."""

_SECTIONS = ("system", "electrons")
_UNITS = create_units("2006")  # as ASE reads Quantum ESPRESSO
_RY, _BOHR = _UNITS["Ry"], _UNITS["Bohr"]


class Espresso:
    """Quantum ESPRESSO's pw.x as an :class:`~cgwgan_core.dft.calculation.Engine`.

    A crystal whose moments are all zero is computed without spin. Equal atoms with different starting moments are
    different species to pw.x. Parameters have pw.x's names and units, and besides ``kpts``, ``molecule`` and
    ``pseudopotentials`` (file and MD5 sum of each element).

    :param pseudopotentials: folder of UPF files, see :mod:`cgwgan_core.dft.pseudopotentials`.
    :param command: what runs pw.x in a folder, such as ``mpirun -np 16 pw.x -nk 4``; ``None``: ``pw.x`` if it is there.
    :param kspacing: 1/Å, with 2π; ``None``: :data:`KSPACING`.
    :param cutoff: Ry, of wave functions, in place of the pseudopotentials' own; that of the density keeps its ratio.
    :raises InputError: if there is no such folder, or its table cannot be read.
    """

    name = "espresso"
    remedies: Sequence[Remedy] = (  # smearing comes last, as it moves the energy
        Remedy("weaker mixing", {"mixing_beta": 0.2, "mixing_mode": "local-TF"}),
        Remedy("more iterations", {"electron_maxstep": 300}),
        Remedy("conjugate gradients", {"diagonalization": "cg"}),
        Remedy("wider smearing", {"degauss": 0.04}),
    )

    def __init__(
        self, pseudopotentials: Path, command: str | None, kspacing: float | None = None, cutoff: float | None = None
    ) -> None:
        self._pseudopotentials = Pseudopotentials(Path(pseudopotentials))
        if len(str(self._pseudopotentials.folder)) >= MAX_PATH:
            raise InputError(f"{pseudopotentials}: pw.x keeps {MAX_PATH} characters of the path; move the folder")
        self._command = command
        self._kspacing = KSPACING if kspacing is None else kspacing
        self._cutoff = cutoff

    def parameters(self, atoms: Atoms, *, stress: bool = False, **changes: Any) -> dict[str, Any]:
        """Cutoffs (Ry), mesh, smearing and convergence.

        Cutoffs are the same with ``stress``: SSSP's are converged for stress, too, so all energies compare. A molecule
        in a box (no periodic direction) gets a mesh off Γ and keeps its moment.

        :raises InputError: for want of a pseudopotential or a cutoff, or if pw.x has no parameter of a change's name.
        """
        if unknown := sorted(set(changes) - {name for section in _SECTIONS for name in pw_keys[section]} - {"kpts"}):
            raise InputError(f"dft: pw.x has no parameter {unknown[0]} of {' or '.join(_SECTIONS)}; correct its name")
        found = {element: self._pseudopotentials[element] for element in sorted(set(atoms.symbols))}
        ecutwfc, ecutrho = self._cutoffs(found)
        return {
            "ecutwfc": ecutwfc,
            "ecutrho": ecutrho,
            "occupations": "smearing",
            "smearing": "cold",
            "degauss": 0.02,
            "conv_thr": float(f"{CONVERGENCE * len(atoms):.3g}"),
            "mixing_beta": 0.4,
            "electron_maxstep": 80,
            "tstress": stress,
            "kpts": list(mesh(atoms, self._kspacing)),
            "molecule": is_molecule(atoms),
            "pseudopotentials": {element: {"file": p.path.name, "md5": p.md5} for element, p in found.items()},
            **changes,
        }

    def _cutoffs(self, found: Mapping[str, Pseudopotential]) -> tuple[float, float]:
        """Of wave functions and density (Ry), enough for each element."""
        if self._cutoff is not None:
            return self._cutoff, round(self._cutoff * max(p.dual for p in found.values()), 3)
        for element, p in found.items():
            if p.ecutwfc is None:
                raise InputError(
                    f"{p.path.parent}: {p.path.name} suggests no cutoff for {element}; take a library with a table of "
                    "cutoffs, such as SSSP with its JSON file, or set the cutoff"
                )
        known = [(p.ecutwfc, p.ecutwfc * p.dual) for p in found.values() if p.ecutwfc is not None]
        ecutwfc = max(wfc for wfc, _ in known)
        ecutrho = max(4 * ecutwfc, *(rho for _, rho in known))  # pw.x refuses less than 4 times
        return round(ecutwfc, 3), round(ecutrho, 3)

    def write(self, calculation: Calculation, folder: Path) -> None:
        """Write ``pw.in``. Its scratch folder is ``tmp`` beside it, and stays empty.

        :raises InputError: if a pseudopotential is not the one that the calculation means, or there are more than
            :data:`MAX_SPECIES` species.
        """
        self._write_pw(calculation, folder, {"disk_io": "none"})

    def _write_pw(self, calculation: Calculation, folder: Path, control: Mapping[str, Any]) -> None:
        parameters = dict(calculation.parameters)
        named, kpts = parameters.pop("pseudopotentials"), parameters.pop("kpts")
        found = {element: self._pseudopotentials[element] for element in named}
        for element, p in found.items():
            if p.md5 != named[element]["md5"]:
                raise InputError(
                    f"{p.path}: not the pseudopotential of {element} that the calculation was made for "
                    f"({named[element]['file']}, MD5 sum {named[element]['md5']}); put that one back"
                )
        control = {
            "calculation": "scf",
            "pseudo_dir": str(self._pseudopotentials.folder),
            "outdir": "./tmp",
            "tprnfor": True,
            "tstress": parameters.pop("tstress"),
            **control,
        }
        molecule = parameters.pop("molecule")
        crystal, spin = _with_polarisation(calculation.atoms, found, fixed=molecule)
        sections: dict[str, dict[str, Any]] = {"control": control, "system": spin, "electrons": {}}
        for name, value in parameters.items():
            sections[next(section for section in _SECTIONS if name in pw_keys[section])][name] = value
        files = {element: p.path.name for element, p in found.items()}
        off_gamma = (1, 1, 1) if molecule else (0, 0, 0)
        write_espresso_in(
            folder / INPUT, crystal, input_data=sections, pseudopotentials=files, kpts=kpts, koffset=off_gamma
        )
        with (folder / INPUT).open("a") as stream:
            stream.writelines(f"! MD5 sum of {p.path.name}: {p.md5}\n" for p in found.values())

    def command(self) -> list[str] | None:
        """The command on ``pw.in``, or pw.x's name where it is on the path."""
        if self._command is None and shutil.which("pw.x") is None:
            return None
        return [*shlex.split(self._command or "pw.x"), "-in", INPUT]

    def read(self, folder: Path) -> Outcome:
        """What pw.x's output says."""
        try:
            return _outcome(folder)
        except Exception as error:  # noqa: BLE001 - whatever a user's folder holds
            return Outcome(f"pw.x's output is damaged: {type(error).__name__}: {first_line(error)}")

    def write_ph(
        self,
        calculation: Calculation,
        folder: Path,
        q_mesh: tuple[int, int, int] = (1, 1, 1),
        *,
        insulator: bool = False,
    ) -> None:
        """Write inputs of phonons by linear response: ``pw.in``, ``ph.in`` and a ``README.md`` that says how to run.

        :param calculation: as for :meth:`write`, at the minimum of the energy.
        :param q_mesh: of q-points; one point is Γ. ph.x refuses a mesh that breaks the crystal's symmetry: give axes of
            equal length equal numbers.
        :param insulator: whether to compute the dielectric constant and effective charges, which metals have not.
        :raises InputError: as for :meth:`write`; also if a magnetic crystal is to be an insulator: fixed occupations
            want the moment to be known.
        """
        if insulator:
            if np.any(calculation.atoms.get_initial_magnetic_moments()):
                raise InputError("phonons of a magnetic insulator: leave insulator out, and add epsil by hand")
            fixed = {k: v for k, v in calculation.parameters.items() if k not in ("smearing", "degauss")}
            calculation = Calculation(calculation.atoms, calculation.engine, {**fixed, "occupations": "fixed"})
        tight = calculation.with_parameters(conv_thr=1e-2 * calculation.parameters["conv_thr"])
        self._write_pw(tight, folder, {"disk_io": "low"})  # ph.x reads wave functions
        gamma = tuple(q_mesh) == (1, 1, 1)
        data = {"outdir": "./tmp", "fildyn": "dyn", "tr2_ph": 1e-18, "epsil": insulator, "ldisp": not gamma}
        points = {} if gamma else dict(zip(("nq1", "nq2", "nq3"), q_mesh, strict=True))
        with (folder / PHONON_INPUT).open("w") as stream:
            write_espresso_ph(stream, input_data={"inputph": {**data, **points}}, qpts=(0.0, 0.0, 0.0))
        (folder / "README.md").write_text(_README.format(after=_AFTER_GAMMA if gamma else _AFTER_MESH))


def _with_polarisation(
    atoms: Atoms, found: Mapping[str, Pseudopotential], *, fixed: bool
) -> tuple[Atoms, dict[str, Any]]:
    """The crystal with what pw.x starts from in place of moments, and the parameters that go with it.

    pw.x takes the polarisation of the valence electrons, from -1 to 1; releases from 7.3 on read larger values as μB.
    Its own number of bands is too small for large moments.
    """
    crystal = Atoms(atoms.numbers, cell=atoms.cell, positions=atoms.positions, pbc=True)
    moments = np.asarray(atoms.get_initial_magnetic_moments(), float)
    valence = np.array([found[symbol].valence for symbol in atoms.symbols])
    polarisation = np.round(np.clip(moments / valence, -0.999, 0.999), 6)
    spin: dict[str, Any] = {}
    if polarisation.any():
        crystal.set_initial_magnetic_moments(polarisation)
        electrons, unpaired = float(valence.sum()), float(np.abs(moments).sum())
        bands = max(0.6 * (electrons + unpaired), (electrons + unpaired) / 2 + 4)
        spin = {"nspin": 2, "nbnd": math.ceil(bands)}
        if fixed:
            spin["tot_magnetization"] = float(moments.sum())
    species = set(zip(crystal.symbols, crystal.get_initial_magnetic_moments(), strict=True))
    if len(species) > MAX_SPECIES:
        raise InputError(
            f"{len(species)} species (elements, starting moments), pw.x takes {MAX_SPECIES}; start from fewer moments"
        )
    return crystal, spin


_START, _END = "Program PWSCF", "JOB DONE"
_ERROR = re.compile(r"%{20,}\s*\n(.*?)\n\s*%{20,}", re.DOTALL)
_ROUTINE = re.compile(r"(?:Error in routine|from)\s+(\S+)")
_UNSTABLE = re.compile(
    r"cholesky|too many bands are not converged|S matrix not positive definite|[cr]diaghg|zhegvd?|"
    r"eigenvectors failed to converge|factorization|[cr]egterg",
    re.IGNORECASE,
)
"""Failures of diagonalisation and mixing, as aiida-quantumespresso's ``PwBaseWorkChain`` mends them."""
_MACHINE = {
    "out of memory": re.compile(
        r"^.*(out of memory|oom-kill|cannot allocate|(not enough|insufficient virtual) memory|error allocating).*$",
        re.IGNORECASE | re.MULTILINE,
    ),
    "no room on the disk": re.compile(
        r"^.*(no space left on device|disk quota exceeded).*$", re.IGNORECASE | re.MULTILINE
    ),
}


def _outcome(folder: Path) -> Outcome:
    """The last run in pw.x's output, if it came to an end."""
    output = _text(folder / OUTPUT)
    run = output[output.rfind(_START) :] if _START in output else ""
    version = f"Quantum ESPRESSO {match[1]}" if (match := re.match(rf"{_START} v\.\s*(\S+)", run)) else None
    if match := re.search(r"convergence NOT achieved after\s+(\d+)", run):
        return Outcome(f"not converged in {match[1]} iterations", repairable=True, version=version)
    if _END not in run:
        return replace(_without_end(folder, run or output), version=version)
    if "convergence has been achieved" not in run:
        return Outcome("pw.x ended before it had converged", version=version)
    if other := _used_pseudopotentials(run) - _asked_pseudopotentials(folder):
        return Outcome(f"pw.x took another pseudopotential, of MD5 sum {min(other)}", version=version)
    return Outcome(CONVERGED, **_results(run), version=version)


def _without_end(folder: Path, run: str) -> Outcome:
    """Why pw.x did not come to an end: in its own words, the system's, or none."""
    said = "\n".join((run, _text(folder / "CRASH"), _text(folder / ERRORS)))
    for what, pattern in _MACHINE.items():
        if match := pattern.search(said):
            return Outcome(f"{what}: {match[0].strip()}"[:300])
    if block := _ERROR.search(said):
        lines = [line.strip() for line in block[1].splitlines() if line.strip()]
        routine = match[1] if (match := _ROUTINE.search(block[1])) else "?"
        reason = f"pw.x: {routine}: {lines[-1] if lines else ''}"[:300]
        return Outcome(reason, repairable=bool(_UNSTABLE.search(reason)))
    if run.strip() and not run.startswith(_START):
        return Outcome(f"not pw.x's output: {run.strip().splitlines()[0]}"[:300])
    return Outcome(UNFINISHED)


def _used_pseudopotentials(run: str) -> set[str]:
    return set(re.findall(r"MD5 check sum:\s+(\w+)", run))


def _asked_pseudopotentials(folder: Path) -> set[str]:
    """MD5 sums in the input. pw.x looks for a file in other folders, too, and on other machines it may be another."""
    return set(re.findall(r"^! MD5 sum of .*: (\w+)$", _text(folder / INPUT), re.MULTILINE))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _results(run: str) -> dict[str, Any]:
    """Energy, forces, stress and moments of a converged run, in ASE's units.

    ASE's own reader is not used: of pw.x 6.7 it takes a column of zeros for the moments, and it gives up an energy for
    a line of bands that it cannot read.

    :raises ValueError: if something is missing or not a number.
    """
    n_atoms = int(_last(r"number of atoms/cell\s*=\s*(\d+)", run))
    found: dict[str, Any] = {
        "energy": _finite(_last(r"^!\s+total energy\s*=\s*(\S+) Ry", run)) * _RY,
        "forces": (_atoms_table(r"Forces acting on atoms", r"force =(.*)$", n_atoms, run) * _RY / _BOHR).tolist(),
    }
    if rows := re.search(r"total\s+stress\s+\(Ry/bohr\*\*3\).*\n(.*)\n(.*)\n(.*)", run):
        tensor = np.array([[_finite(x) for x in row.split()[:3]] for row in rows.groups()])
        voigt = tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        found["stress"] = (-voigt * _RY / _BOHR**3 + 0.0).tolist()  # pw.x: positive under pressure
    if "total magnetization" in run:
        found["magnetic_moment"] = _finite(_last(r"total magnetization\s*=\s*(\S+) Bohr", run))
        moments = _atoms_table(r"Magnetic moment per site", r"magn[:=]\s*(\S+)", n_atoms, run)
        found["magnetic_moments"] = moments[:, 0].tolist()
    return found


def _last(pattern: str, run: str) -> str:
    matches = re.findall(pattern, run, re.MULTILINE)
    if not matches:
        raise ValueError(f"no line like {pattern}")
    return str(matches[-1])


def _atoms_table(title: str, values: str, n_atoms: int, run: str) -> np.ndarray[Any, Any]:
    """Numbers of each atom, in order, under the last title of this kind: (n_atoms, numbers)."""
    place = max((match.end() for match in re.finditer(title, run)), default=None)
    if place is None:
        raise ValueError(f"no {title!r}")
    rows = re.findall(rf"^\s*atom:?\s+(\d+).*?{values}", run[place:], re.MULTILINE)[:n_atoms]
    if [int(number) for number, _ in rows] != list(range(1, n_atoms + 1)):
        raise ValueError(f"{title}: {len(rows)} of {n_atoms} atoms")
    return np.array([[_finite(x) for x in text.split()] for _, text in rows])


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} where a number should be")
    return value + 0.0  # no negative zero


_README = """\
# Phonons by linear response (Quantum ESPRESSO)

    pw.x -in pw.in > pw.out && ph.x -in ph.in > ph.out

Phonons mean something at the minimum of the energy only: relax the crystal with the same parameters first.
`epsil` (dielectric constant and effective charges, for the splitting of polar modes at Γ) is for insulators: ph.x
refuses it for metals, and wherever occupations are smeared.

{after}
"""
_AFTER_GAMMA = "`dyn` then has the modes at Γ; `dynmat.x` imposes the acoustic sum rule (`asr = 'crystal'`)."
_AFTER_MESH = (
    "`q2r.x` (`fildyn = 'dyn'`) then makes force constants of `dyn1`, `dyn2`, ..., and `matdyn.x` bands of these."
)
