"""vasprun.xml files as VASP 6 writes them, as far as pymatgen reads them."""

from pathlib import Path

import numpy as np
from ase import Atoms

POTCARS = {"Mg": "Mg_pv", "O": "O", "Sr": "Sr_sv", "Fe": "Fe_pv"}
"""The Materials Project's PAW potential of each element."""


def write_relaxation(
    path: Path,
    atoms: Atoms,
    energy: float,
    steps: int = 3,
    forces: float = 1e-4,
    scsteps: int = 5,
    gga: str = "PE",
    potcars: dict[str, str] = POTCARS,
    u: dict[str, float] | None = None,
) -> None:
    """Write a relaxation with IBRION = 2 that ends at ``atoms``, of at most 200 steps and to forces of 0.001 eV/Å.

    :param energy: of the whole cell at the end, eV; 0.1 eV higher with each step before.
    :param forces: on each atom along x at the end, eV/Å.
    :param scsteps: electronic steps in each ionic step, of 200 allowed.
    :param gga: VASP's name of the functional.
    :param u: U of elements, eV.
    """
    symbols = atoms.get_chemical_symbols()
    kinds = list(dict.fromkeys(symbols))
    final = _structure(atoms)
    force = _varray("forces", np.tile([forces, 0, 0], (len(atoms), 1)))
    calculations = ""
    for step in range(steps):
        now = energy + 0.1 * (steps - 1 - step)
        energies = "".join(f'<i name="{name}">{now:.8f}</i>' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy"))
        sc = f"<scstep><energy>{energies}</energy></scstep>\n" * scsteps
        calculations += f"<calculation>\n{sc}{final}{force}<energy>{energies}</energy>\n</calculation>\n"
    hubbard = ""
    if u:
        values = " ".join(f"{u.get(kind, 0.0):.4f}" for kind in kinds)
        zeros = " ".join("0.0000" for _ in kinds)
        hubbard = f'<i type="logical" name="LDAU">T</i><v name="LDAUU">{values}</v><v name="LDAUJ">{zeros}</v>'
    types = "".join(
        f"<rc><c>{symbols.count(kind)}</c><c>{kind}</c><c>1.0</c><c>2.0</c><c>PAW_PBE {potcars[kind]} x</c></rc>"
        for kind in kinds
    )
    places = "".join(f"<rc><c>{symbol}</c><c>{kinds.index(symbol) + 1}</c></rc>" for symbol in symbols)
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        '<generator><i name="program" type="string">vasp</i><i name="version" type="string">6.4.2</i></generator>\n'
        f'<incar><i type="string" name="ALGO">Normal</i>{hubbard}</incar>\n'
        '<kpoints><generation param="Gamma"><v type="int" name="divisions">4 4 4</v>'
        '<v name="usershift">0 0 0</v></generation></kpoints>\n'
        '<parameters><i type="int" name="NELM">200</i><i type="int" name="NSW">200</i><i type="int" name="IBRION">2</i>'
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


def _varray(name: str, rows: np.ndarray) -> str:
    return "".join([f'<varray name="{name}">', *(f"<v>{x:.8f} {y:.8f} {z:.8f}</v>" for x, y, z in rows), "</varray>"])
