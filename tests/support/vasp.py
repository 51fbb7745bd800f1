"""vasprun.xml files as VASP 6 writes them, as far as pymatgen, ASE and phonopy read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

POTCARS = {"Mg": "Mg_pv", "O": "O", "Sr": "Sr_sv", "Fe": "Fe_pv", "Ni": "Ni_pv"}
"""The Materials Project's PAW potential of each element."""


def of_vasp(name: str) -> Path:
    """An output that VASP itself wrote, of ASE's test data, which releases of ASE may leave out."""
    path = Path(ase.__file__).parent / "test" / "testdata" / "vasp" / name
    if not path.is_file():
        pytest.skip(f"this release of ASE has no {name} among its test data")
    return path


def write_relaxation(
    path: Path,
    atoms: Atoms,
    energy: float,
    steps: int = 3,
    forces: float = 1e-4,
    scsteps: int = 5,
    **settings: Any,
) -> None:
    """Write a relaxation with IBRION = 2 that ends at ``atoms``, of at most 200 steps and to forces of 0.001 eV/Å.

    :param energy: of the whole cell at the end, eV; 0.1 eV higher with each step before.
    :param forces: on each atom along x at the end, eV/Å.
    :param scsteps: electronic steps in each ionic step, of 200 allowed.
    :param settings: for :func:`_write`.
    """
    force = _varray("forces", np.tile([forces, 0, 0], (len(atoms), 1)))
    calculations = "".join(
        _calculation(energy + 0.1 * (steps - 1 - step), scsteps, _structure(atoms) + force) for step in range(steps)
    )
    _write(path, atoms, calculations, nsw=200, ibrion=2, **settings)


def write_static(
    path: Path,
    atoms: Atoms,
    energy: float,
    forces: np.ndarray,
    stress: np.ndarray | None = None,
    entropy: float = 0.0,
    scsteps: int = 5,
    **settings: Any,
) -> None:
    """Write energy, forces and stress of a crystal at rest, atoms in the order given.

    :param energy: of the whole cell, extrapolated to zero smearing, eV.
    :param forces: (n_atoms, 3), eV/Å.
    :param stress: (3, 3) as VASP has it: kbar, positive under compression.
    :param entropy: of the electrons (-TS), eV.
    :param settings: for :func:`_write`.
    """
    parts = _structure(atoms) + _varray("forces", forces) + ("" if stress is None else _varray("stress", stress))
    _write(path, atoms, _calculation(energy, scsteps, parts, entropy), nsw=0, ibrion=-1, **settings)


def write_force_constants(path: Path, atoms: Atoms, constants: np.ndarray) -> None:
    """Write force constants (n_atoms, n_atoms, 3, 3) in eV/Å² as IBRION = 8 gives them: over the masses, negative."""
    n, masses = len(atoms), np.sqrt(atoms.get_masses())
    scaled = -constants / (masses[:, None] * masses)[..., None, None]
    hessian = _varray("hessian", scaled.swapaxes(1, 2).reshape(3 * n, 3 * n), digits=14)
    forces = _structure(atoms) + _varray("forces", np.zeros((n, 3)))
    _write(path, atoms, f"{_calculation(0.0, 5, forces)}<dynmat>{hessian}</dynmat>\n", nsw=1, ibrion=8)


def write_outcar(path: Path, total: float, moments: Sequence[float]) -> None:
    """Write what OUTCAR says of moments (μB): of the cell, and of each atom in the order of POSCAR."""
    rows = "".join(f"{i:5d}        0.000   0.000{m:8.3f}{m:8.3f}\n" for i, m in enumerate(moments, start=1))
    path.write_text(
        "   k-points           NKPTS =      1   number of bands    NBANDS=     12\n"
        "   total plane-waves  NPLWV =   4096\n   IBRION =     -1\n\n"
        f" number of electron      20.0000000 magnetization {total:14.7f}\n\n magnetization (x)\n\n"
        "# of ion       s       p       d       tot\n------------------------------------------\n"
        f"{rows}--------------------------------------------------\n"
        f"tot           0.000   0.000{sum(moments):8.3f}{sum(moments):8.3f}\n\n"
    )


def _calculation(energy: float, scsteps: int, parts: str, entropy: float = 0.0) -> str:
    """One ionic step; its free energy lies half of -TS below the extrapolated one, the bare one as much above."""
    values = {"e_fr_energy": energy + entropy / 2, "e_wo_entrp": energy - entropy / 2, "e_0_energy": energy}
    energies = "".join(f'<i name="{name}">{value:.8f}</i>' for name, value in values.items())
    sc = f"<scstep><energy>{energies}</energy></scstep>\n" * scsteps
    return f"<calculation>\n{sc}{parts}<energy>{energies}</energy>\n</calculation>\n"


def _write(
    path: Path,
    atoms: Atoms,
    calculations: str,
    nsw: int,
    ibrion: int,
    gga: str = "PE",
    metagga: str | None = None,
    ivdw: int = 0,
    ispin: int = 1,
    potcars: dict[str, str] = POTCARS,
    u: dict[str, float] | None = None,
) -> None:
    """Write a whole file.

    :param gga: VASP's name of the functional.
    :param metagga: the meta-GGA in its place.
    :param ivdw: VASP's number of the dispersion correction.
    :param u: U of elements, eV.
    """
    symbols = atoms.get_chemical_symbols()
    kinds = list(dict.fromkeys(symbols))
    tags = ""
    if u:
        values = " ".join(f"{u.get(kind, 0.0):.4f}" for kind in kinds)
        zeros = " ".join("0.0000" for _ in kinds)
        tags = f'<i type="logical" name="LDAU">T</i><v name="LDAUU">{values}</v><v name="LDAUJ">{zeros}</v>'
    if metagga:
        tags += f'<i type="string" name="METAGGA">{metagga}</i>'
    if ivdw:
        tags += f'<i type="int" name="IVDW">{ivdw}</i>'
    types = "".join(
        f"<rc><c>{symbols.count(kind)}</c><c>{kind}</c><c>{atomic_masses[atomic_numbers[kind]]}</c><c>2.0</c>"
        f"<c>PAW_PBE {potcars[kind]} x</c></rc>"
        for kind in kinds
    )
    places = "".join(f"<rc><c>{symbol}</c><c>{kinds.index(symbol) + 1}</c></rc>" for symbol in symbols)
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        '<generator><i name="program" type="string">vasp</i><i name="version" type="string">6.4.2</i></generator>\n'
        f'<incar><i type="string" name="ALGO">Normal</i>{tags}</incar>\n'
        '<kpoints><generation param="Gamma"><v type="int" name="divisions">4 4 4</v>'
        '<v name="usershift">0 0 0</v></generation></kpoints>\n'
        f'<parameters><i type="int" name="NELM">200</i><i type="int" name="NSW">{nsw}</i>'
        f'<i type="int" name="IBRION">{ibrion}</i><i type="int" name="ISPIN">{ispin}</i>'
        f'<i name="EDIFFG">-0.001</i><i type="string" name="GGA">{gga}</i><i type="logical" name="LHFCALC">F</i>'
        f'<i name="AEXX">0.0</i><i name="HFSCREEN">0.0</i><i type="logical" name="LDAU">{"T" if u else "F"}</i>'
        "</parameters>\n"
        f'<atominfo><array name="atoms"><set>{places}</set></array>'
        f'<array name="atomtypes"><set>{types}</set></array></atominfo>\n'
        f"{_structure(atoms, 'initialpos')}{calculations}{_structure(atoms, 'finalpos')}</modeling>\n"
    )


def _structure(atoms: Atoms, name: str = "") -> str:
    start = f'<structure name="{name}">' if name else "<structure>"
    cell = _varray("basis", atoms.cell.array)
    positions = _varray("positions", atoms.get_scaled_positions())
    return f"{start}<crystal>{cell}</crystal>{positions}</structure>\n"


def _varray(name: str, rows: np.ndarray, digits: int = 8) -> str:
    lines = (" ".join(f"{x:.{digits}f}" for x in row) for row in rows)
    return "".join([f'<varray name="{name}">', *(f"<v>{line}</v>" for line in lines), "</varray>"])
