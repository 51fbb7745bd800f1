"""One calculation by an ASE calculator: ``python run.py`` beside ``calculation.json`` writes ``outcome.json``.

A copy lies in every such folder. It needs ASE and the calculator's package and nothing else, so that the folder can be
computed on any machine.
"""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

Json = dict[str, Any]


def main() -> None:
    """Read the calculation, run it, write what came of it."""
    calculation = json.loads(Path("calculation.json").read_text())
    try:
        found = compute(calculation)
    except Exception as error:  # noqa: BLE001 - what came of it is told in the outcome
        found = failure(error)
    if is_first():
        temporary = Path(".outcome.part")
        temporary.write_text(json.dumps(found, indent=1))
        temporary.replace("outcome.json")


def compute(calculation: Json) -> Json:
    """Energy, forces, stress and moments."""
    moments, periodic, asked = (calculation[key] for key in ("magnetic_moments", "periodic", "parameters"))
    by_gpaw = calculation["engine"] == "gpaw"
    atoms = Atoms(
        calculation["numbers"],
        positions=calculation["positions"],
        cell=calculation["cell"],
        pbc=periodic or by_gpaw,  # in its box, a molecule has a mesh of k-points
        magmoms=moments if any(moments) else None,
    )
    atoms.calc, version = gpaw(atoms, asked, molecule=not periodic) if by_gpaw else any_calculator(asked)
    found = {
        "status": "converged",
        "energy": float(atoms.get_potential_energy()),
        "forces": atoms.get_forces().tolist(),
        "stress": atoms.get_stress().tolist() if asked["stress"] else None,
        "version": version,
    }
    if any(moments):
        found["magnetic_moment"] = given(atoms.get_magnetic_moment)
        found["magnetic_moments"] = given(atoms.get_magnetic_moments)
    if asked.get("dispersion"):
        add_dispersion(found, Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=periodic), asked["dispersion"])
    if asked.get("keep_density"):
        atoms.calc.write("density.gpw")
    return found


def given(ask: Callable[[], Any]) -> Any:
    """A number or numbers, as JSON; ``None`` if the calculator does not give them."""
    try:
        return np.asarray(ask(), dtype=float).tolist()
    except PropertyNotImplementedError:
        return None


def gpaw(atoms: Any, asked: Json, *, molecule: bool) -> tuple[Any, str]:
    """GPAW with plane waves, and its release."""
    import gpaw  # noqa: PLC0415 - only where it is asked for

    magnetic = bool(atoms.get_initial_magnetic_moments().any())
    chosen: Json = {}  # what GPAW chooses itself unless it is named
    if asked["mixing"]:
        chosen["mixer"] = {"backend": "pulay", "method": "difference" if magnetic else "separate", **asked["mixing"]}
    if asked["eigensolver"]:
        chosen["eigensolver"] = asked["eigensolver"]
    calculator = gpaw.GPAW(
        mode=gpaw.PW(asked["cutoff"]),
        xc=asked["xc"],
        kpts={"size": asked["kpts"], "gamma": not molecule},
        nbands=asked["bands"],
        occupations={
            "name": "fermi-dirac",
            "width": asked["smearing"],
            "fixmagmom": magnetic and molecule,
        },
        convergence=asked["convergence"],
        symmetry={"symmorphic": False, "tolerance": 1e-4},
        maxiter=asked["maxiter"],
        txt="gpaw.txt",
        **chosen,
    )
    return calculator, f"gpaw {gpaw.__version__}"


def any_calculator(asked: Json) -> tuple[Any, str]:
    """What a function of a package gives, named ``package.module:function``, and the package's release."""
    module, _, function = asked["calculator"].partition(":")
    package = importlib.import_module(module.split(".")[0])
    calculator = getattr(importlib.import_module(module), function)(**asked["arguments"])
    return calculator, f"{package.__name__} {getattr(package, '__version__', '')}".strip()


def add_dispersion(found: Json, atoms: Any, name: str) -> None:
    """Add D3(BJ) of pairs, or D4, with the parameters for PBE; a molecule is alone, whatever its box."""
    if name == "D3BJ":
        import dftd3 as package  # noqa: PLC0415 - only where it is asked for
        from dftd3.ase import DFTD3  # noqa: PLC0415

        atoms.calc = DFTD3(params_tweaks={"method": "PBE", "atm": False}, damping="d3bj")
    else:
        import dftd4 as package  # noqa: PLC0415
        from dftd4.ase import DFTD4  # noqa: PLC0415

        atoms.calc = DFTD4(method="PBE")
    found["energy"] += float(atoms.get_potential_energy())
    found["forces"] = (np.array(found["forces"]) + atoms.get_forces()).tolist()
    if found["stress"] is not None and atoms.pbc.all():
        found["stress"] = (np.array(found["stress"]) + atoms.get_stress()).tolist()
    found["version"] += f" + {package.__name__} {package.__version__}"


def failure(error: Exception) -> Json:
    """Why there is no energy, and whether other parameters may mend it."""
    name, lines = type(error).__name__, [line.strip() for line in str(error).splitlines() if line.strip()]
    if name in ("KohnShamConvergenceError", "SCFError", "ConvergenceError"):
        return {"status": "not converged", "repairable": True}
    return {"status": f"{name}: {lines[0] if lines else ''}"[:300]}


def is_first() -> bool:
    """Whether this is the process that writes, of those that MPI may have started."""
    try:
        from gpaw.mpi import world  # noqa: PLC0415 - only where it is installed
    except ImportError:
        return True
    return bool(world.rank == 0)


if __name__ == "__main__":
    main()
