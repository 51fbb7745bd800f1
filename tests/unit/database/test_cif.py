"""CIFs as people have them: each gives the right crystal, or a refusal that says why."""

import time
from collections import Counter
from fractions import Fraction
from functools import lru_cache

import gemmi
import numpy as np
import pytest
import spglib
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from cgwgan_core.database import space_group_settings
from cgwgan_core.database.cif import from_cif
from cgwgan_core.database.record import Record, check, to_columns

CUBIC = "4.2112 4.2112 4.2112 90 90 90"
ROCKSALT = "Mg 0 0 0\nO 0.5 0.5 0.5"
FULL_ROCKSALT = (
    "Mg1 0 0 0\nMg2 0 0.5 0.5\nMg3 0.5 0 0.5\nMg4 0.5 0.5 0\nO1 0.5 0.5 0.5\nO2 0.5 0 0\nO3 0 0.5 0\nO4 0 0 0.5"
)
MG4O4 = ("Mg4 O4", 225)
XYZ = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z"


def symbol(text: str) -> str:
    return f"_symmetry_space_group_name_H-M '{text}'"


def number(value: int) -> str:
    return f"_symmetry_Int_Tables_number {value}"


def hall(text: str) -> str:
    return f'_space_group_name_Hall "{text}"'


def operators(*triplets: str) -> str:
    return "\n".join(["loop_", "_space_group_symop_operation_xyz", *(f"'{t}'" for t in triplets)])


def every(name: str) -> str:
    """The operators of a setting, by its symbol."""
    return operators(*(op.triplet() for op in gemmi.find_spacegroup_by_name(name).operations()))


def cif(
    symmetry: str = "",
    atoms: str = ROCKSALT,
    cell: str = CUBIC,
    formula: str | None = None,
    z: int | None = None,
    more: str = "",
    columns: str = "label fract_x fract_y fract_z",
) -> str:
    lines = ["data_x"]
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines += [f"_cell_{name} {value}" for name, value in zip(names, cell.split(), strict=True)]
    if formula:
        lines.append(f"_chemical_formula_sum '{formula}'")
    if z:
        lines.append(f"_cell_formula_units_Z {z}")
    lines += [symmetry, more, "loop_", *(f"_atom_site_{column}" for column in columns.split()), atoms, ""]
    return "\n".join(lines)


def one(text: str) -> Record:
    (record,) = from_cif(text, "x")
    return record


def structure(record: Record) -> Structure:
    assert record.reason is None, record.reason
    assert check(to_columns([record])) == [None]
    return Structure(record.lattice.reshape(3, 3), record.numbers.astype(int), record.frac_coords.reshape(-1, 3))


def summary(record: Record) -> tuple[str, int]:
    """Formula of the cell, in the file's order, and space group."""
    found = structure(record)
    counts = Counter(site.specie.symbol for site in found)
    return " ".join(f"{s}{n}" for s, n in counts.items()), found.get_space_group_info(0.02)[1]


# ------------------------------------------------------------------------------------------------- symmetry

SILICON = {"cell": "5.431 5.431 5.431 90 90 90", "formula": "Si", "z": 8}
SALT = {"cell": "5.64 5.64 5.64 90 90 90", "formula": "Na Cl", "z": 4, "atoms": "Na 0 0 0\nCl 0.5 0.5 0.5"}
BISMUTH = {"cell": "4.746 4.746 4.746 57.23 57.23 57.23", "atoms": "Bi 0.234 0.234 0.234"}
BISMUTH_H = {"cell": "4.546 4.546 11.863 90 90 120", "atoms": "Bi 0 0 0.234"}
CORUNDUM = {"cell": "4.757 4.757 12.9877 90 90 120", "atoms": "Al 0 0 0.35228\nO 0.3064 0 0.25", "formula": "Al2 O3"}
PEROVSKITE = {
    "cell": "5.35 5.61 7.67 90 90 90",
    "atoms": "Gd -0.016 0.063 0.25\nFe 0.5 0 0\nO1 0.1 0.467 0.25\nO2 -0.3 0.3 0.05",
    "formula": "Gd Fe O3",
}
HEAZLEWOODITE = {
    "cell": "4.0718 4.0718 4.0718 89.459 89.459 89.459",
    "atoms": "S 0.2521 0.2521 0.2521\nNi 0.5 0.2449 -0.2449",
}
BADDELEYITE = {
    "cell": "5.15 5.21 5.32 90 99.2 90",
    "atoms": "Zr 0.2754 0.0395 0.2083\nO1 0.07 0.3317 0.3447\nO2 0.4496 0.7569 0.4792",
    "formula": "Zr O2",
}
# The same crystal with the third axis unique: a, b, c of the one above are b, c, a here.
BADDELEYITE_C = {
    "cell": "5.32 5.15 5.21 90 90 99.2",
    "atoms": "Zr 0.2083 0.2754 0.0395\nO1 0.3447 0.07 0.3317\nO2 0.4792 0.4496 0.7569",
    "formula": "Zr O2",
}
CUPRITE = {"cell": "4.27 4.27 4.27 90 90 90", "atoms": "O 0 0 0\nCu 0.25 0.25 0.25"}
SCHEELITE = {
    "cell": "5.243 5.243 11.376 90 90 90",
    "atoms": "Ca 0 0.25 0.625\nW 0 0.25 0.125\nO 0.1507 0.0086 0.2106",
}
SPINEL = {
    "cell": "8.08 8.08 8.08 90 90 90",
    "formula": "Mg Al2 O4",
    "atoms": "Mg 0.125 0.125 0.125\nAl 0.5 0.5 0.5\nO 0.2624 0.2624 0.2624",
}

READ = {
    # Hall symbols only
    "Hall": (cif(hall("-F 4 2 3"), **SALT), ("Na4 Cl4", 225)),
    "Hall, rhombohedral": (cif(hall("-P 3* 2"), **BISMUTH), ("Bi2", 166)),
    "Hall with another origin": (cif(hall("F 4 2 3 -1"), **SALT), ("Na4 Cl4", 225)),
    "Hall in the place of the H-M symbol": (cif(symbol("-F 4 2 3"), **SALT), ("Na4 Cl4", 225)),
    # spellings of one symbol
    **{
        f"symbol {text}": (cif(symbol(text), **SALT), ("Na4 Cl4", 225))
        for text in (
            "F m 3 m",
            "Fm3m",
            "Fm-3m",
            "FM-3M",
            "F M -3 M",
            "f m -3 m",
            "F 4/m -3 2/m",
            "F4/m-32/m",
            "F m -3 m (225)",
            "F_m_-3_m",
            "Fm\\bar{3}m",
            "Fm3\u0305m",
            "Fm-3m #225",
            "F m -3 m, No. 225",
            "F m -3 m :1",
        )
    },
    "several tags": (
        cif("_space_group_name_H-M_alt 'F m -3 m'\n_space_group.IT_number 225\n_space_group_name_Hall ?", **SALT),
        ("Na4 Cl4", 225),
    ),
    "Schoenflies": (cif("_space_group_name_Schoenflies 'Oh.5'", **SALT), ("Na4 Cl4", 225)),
    "Schoenflies in the place of the H-M symbol": (cif(symbol("O_h^5"), **SALT), ("Na4 Cl4", 225)),
    # origins
    **{
        f"origin {text}, atom at {x}": (cif(symbol(text), f"Si {x} {x} {x}", **SILICON), ("Si8", 227))
        for text, x in (
            ("F d -3 m :1", "0"),
            ("F d -3 m :2", "0.125"),
            ("F d -3 m S", "0"),
            ("F d -3 m Z", "1/8"),
            ("Fd-3mZ", "0.125"),
            ("F d 3 m (origin choice 2)", "0.125"),
            ("F d 3 m (origin choice 1)", "0"),
            ("F d -3 m O1", "0"),
            ("F d -3 m (choice 2)", "0.125"),
            ("F d -3 m :2 {origin at -3m}", "0.125"),
            ("F 41/d -3 2/m :2", "0.125"),
            ("F d -3 m", "0"),
            ("F d -3 m", "0.125"),
            ("F d 3 m", "0.125"),
        )
    },
    "origin told by the formula": (cif(symbol("F d -3 m"), **SPINEL), ("Mg8 Al16 O32", 227)),
    "origin told by distances": (cif(symbol("F d -3 m"), "Si 0 0 0", SILICON["cell"]), ("Si8", 227)),
    "origin told by distances, carbon": (
        cif(symbol("F d 3 m"), "C 1/8 1/8 1/8", "3.567 3.567 3.567 90 90 90"),
        ("C8", 227),
    ),
    "origin told by distances between metals": (cif(symbol("I 41/a"), **SCHEELITE), ("Ca4 W4 O16", 88)),
    "origin told by the density": (
        cif(symbol("F d -3 m"), "Si 0 0 0", SILICON["cell"], more="_exptl_crystal_density_diffrn 2.329"),
        ("Si8", 227),
    ),
    "origin told by multiplicities": (
        cif(
            symbol("F d -3 m"),
            "Si 8 0 0 0",
            SILICON["cell"],
            columns="label symmetry_multiplicity fract_x fract_y fract_z",
        ),
        ("Si8", 227),
    ),
    "origin told by the operators": (
        cif(symbol("F d -3 m") + "\n" + every("F d -3 m:2"), "Si 1/8 1/8 1/8", SILICON["cell"]),
        ("Si8", 227),
    ),
    "wrong origin in the symbol": (cif(symbol("F d -3 m :2"), "Si 0 0 0", **SILICON), ("Si8", 227)),
    # rhombohedral and hexagonal axes
    "R axes": (cif(symbol("R -3 m"), **BISMUTH), ("Bi2", 166)),
    "R axes, said": (cif(symbol("R -3 m :R"), **BISMUTH), ("Bi2", 166)),
    "R axes, ICSD": (cif(symbol("R -3 m RS"), **BISMUTH), ("Bi2", 166)),
    "R axes, H said": (cif(symbol("R -3 m :H"), formula="Bi", z=2, **BISMUTH), ("Bi2", 166)),
    "R axes, number": (cif(number(155), **HEAZLEWOODITE), ("S2 Ni3", 155)),
    "H axes": (cif(symbol("R -3 m"), **BISMUTH_H), ("Bi6", 166)),
    "H axes, said": (cif(symbol("R -3 c :H"), z=6, **CORUNDUM), ("Al12 O18", 167)),
    "R axes, in words": (cif(symbol("R -3 2/m (rhombohedral axes)"), **BISMUTH), ("Bi2", 166)),
    "H axes, in words": (cif(symbol("R -3 2/m (hexagonal axes)"), **BISMUTH_H), ("Bi6", 166)),
    "number with the origin": (cif("_symmetry_Int_Tables_number 227:2", "Si 1/8 1/8 1/8", **SILICON), ("Si8", 227)),
    "R axes, HR": (cif(symbol("R -3 m HR"), **BISMUTH), ("Bi2", 166)),
    "H axes, standard setting": (cif(symbol("R -3 c S"), **CORUNDUM), ("Al12 O18", 167)),
    "H axes, HR": (cif(symbol("R -3 c HR"), **CORUNDUM), ("Al12 O18", 167)),
    "H axes, old": (cif(symbol("R-3cH"), **CORUNDUM), ("Al12 O18", 167)),
    "H axes, full": (cif(symbol("R -3 2/c"), **CORUNDUM), ("Al12 O18", 167)),
    "H axes, number": (cif(number(167), **CORUNDUM), ("Al12 O18", 167)),
    "operators of H axes in a cell of R axes": (
        cif(symbol("R -3 m") + "\n" + every("R -3 m:H"), formula="Bi", z=2, **BISMUTH),
        ("Bi2", 166),
    ),
    # settings
    "P b n m": (cif(symbol("P b n m"), z=4, **PEROVSKITE), ("Gd4 Fe4 O12", 62)),
    "full, not standard": (cif(symbol("P 21/b 21/n 21/m"), **PEROVSKITE), ("Gd4 Fe4 O12", 62)),
    **{
        f"monoclinic {text}": (cif(symbol(text), **BADDELEYITE), ("Zr4 O8", 14))
        for text in ("P 21/c", "P21/c", "P 1 21/c 1", "P2(1)/c", "P 2(1)/c", "P 2_1/c", "P 1 21/c 1 (14)", "P 21/c :b1")
    },
    "monoclinic, number": (cif(number(14), **BADDELEYITE), ("Zr4 O8", 14)),
    "monoclinic, c unique": (cif(symbol("P 1 1 21/a"), **BADDELEYITE_C), ("Zr4 O8", 14)),
    "monoclinic, code of the setting": (
        cif(number(14) + "\n_space_group_IT_coordinate_system_code c1", **BADDELEYITE_C),
        ("Zr4 O8", 14),
    ),
    "operators in the place of dots": (
        cif(
            "loop_\n_space_group_symop.id\n_space_group_symop.operation_xyz\n1 x,y,z\n2 -x,1/2+y,1/2-z\n3 -x,-y,-z\n"
            "4 X,1/2-Y,1/2+Z",
            **BADDELEYITE,
        ),
        ("Zr4 O8", 14),
    ),
    "one operator, not in a loop": (cif("_symmetry_equiv_pos_as_xyz x,y,z", FULL_ROCKSALT), MG4O4),
    "operators with decimals": (
        cif(operators("x,y,z", "x+.5,y+0.5,z", "x+.5,y,z+.5", "x,y+0.5,z+0.5")),
        MG4O4,
    ),
    "operators of an origin in no table": (
        cif(operators("x,y,z", "1/3-x,-y,-z"), "Cs 0.16667 0 0\nCl 0.66667 0.5 0.5", "4.12 4.12 4.12 90 90 90"),
        ("Cs1 Cl1", 221),
    ),
    "operators without quotes": (
        cif(
            "loop_\n_symmetry_equiv_pos_as_xyz\nx, y, z\n-x, y+1/2, -z+1/2\n-x, -y, -z\nx, -y+1/2, z+1/2",
            **BADDELEYITE,
        ),
        ("Zr4 O8", 14),
    ),
    # operators that say less than the symbol
    "x,y,z and a symbol": (cif(symbol("F m -3 m") + "\n" + XYZ, formula="Mg O", z=4), MG4O4),
    "x,y,z and a symbol, no Z": (cif(symbol("F m -3 m") + "\n" + XYZ, formula="Mg O"), MG4O4),
    "x,y,z and a number": (cif(number(225) + "\n" + XYZ, formula="Mg O", z=4), MG4O4),
    "a wrong translation in the operators": (
        cif(
            symbol("P 63/m m c") + "\n" + every("P 63/m m c").replace("z+1/2", "z"),
            "Mg 0.3333 0.6667 0.25",
            "3.209 3.209 5.211 90 90 120",
            "Mg",
            2,
        ),
        ("Mg2", 194),
    ),
    "operators without a part of the group": (
        cif(
            symbol("F d -3 m") + "\n" + operators("x,y,z", "x,1/2-y,1/2+z", "y,z,x"), "Si 0.125 0.125 0.125", **SILICON
        ),
        ("Si8", 227),
    ),
    "no operators of the centring": (
        cif(symbol("F m -3 m") + "\n" + every("P m -3 m"), formula="Mg O", z=4),
        MG4O4,
    ),
    "half of the operators": (
        cif(symbol("P 21/c") + "\n" + operators("x,y,z", "-x,1/2+y,1/2-z"), **BADDELEYITE),
        ("Zr4 O8", 14),
    ),
    "an operator that is none": (
        cif(symbol("F m -3 m") + "\n" + operators("x,y,z", "x,y"), formula="Mg O", z=4),
        MG4O4,
    ),
    # all atoms listed, and a symbol
    "all atoms, P 1": (cif(symbol("P 1") + "\n" + XYZ, FULL_ROCKSALT), MG4O4),
    "all atoms, x,y,z, and a stale symbol": (cif(symbol("F m -3 m") + "\n" + XYZ, FULL_ROCKSALT), MG4O4),
    "all atoms, P 1, and a stale number": (
        cif(symbol("P 1") + "\n" + number(225) + "\n" + XYZ, FULL_ROCKSALT, formula="Mg O"),
        MG4O4,
    ),
    "all atoms and a symbol": (cif(symbol("F m -3 m"), FULL_ROCKSALT), MG4O4),
    "all atoms and all operators": (cif(every("F m -3 m"), FULL_ROCKSALT), MG4O4),
    "all atoms of the primitive cell": (cif(symbol("F m -3 m"), cell="2.978 2.978 2.978 60 60 60"), ("Mg1 O1", 225)),
    "all atoms of a hexagonal cell with 60°": (
        cif(symbol("P 63/m m c"), "Mg 1/3 1/3 1/4\nMg 2/3 2/3 3/4", "3.209 3.209 5.211 90 90 60"),
        ("Mg2", 194),
    ),
    "nothing said, atoms that repeat": (cif("", FULL_ROCKSALT), MG4O4),
    "nothing said, all atoms": (cif("", FULL_ROCKSALT, formula="Mg4 O4"), MG4O4),
    "symbol not understood, all atoms": (
        cif(symbol("Q 5") + "\n" + XYZ, FULL_ROCKSALT, formula="Mg O", z=4),
        MG4O4,
    ),
    # symbol and number, or operators, disagree
    "number against symbol": (cif(symbol("F m -3 m") + "\n" + number(221), formula="Mg O", z=4), MG4O4),
    "operators against symbol": (cif(symbol("P m -3 m") + "\n" + every("F m -3 m"), formula="Mg O", z=4), MG4O4),
    "symbol against operators": (cif(symbol("F m -3 m") + "\n" + every("P 4/m m m"), formula="Mg O", z=4), MG4O4),
    "symbol not understood, number": (cif(symbol("Q 5") + "\n" + number(225), formula="Mg O", z=4), MG4O4),
    # magnetic: the nuclear structure
    "magnetic": (
        cif(
            "_parent_space_group.name_H-M_alt 'F m -3 m'\nloop_\n_space_group_symop_magn_operation.id\n"
            "_space_group_symop_magn_operation.xyz\n1 x,y,z,+1\n2 -x,-y,-z,+1\nloop_\n"
            "_space_group_symop_magn_centering.id\n_space_group_symop_magn_centering.xyz\n1 x,y,z,+1\n2 x,y,z+1/2,-1",
            "Ni1 0 0 0\nO1 0.5 0.5 0",
            "4.17 4.17 8.34 90 90 90",
        ),
        ("Ni2 O2", 123),
    ),
}


@pytest.mark.parametrize(("text", "expected"), READ.values(), ids=READ)
def test_symmetry_is_understood(text: str, expected: tuple[str, int]) -> None:
    assert summary(one(text)) == expected


SETTLED = {
    "origin": (READ["origin F d -3 m, atom at 0"][0], "setting: read as F d -3 m:1; against F d -3 m:2"),
    "number": (READ["R axes, number"][0], "setting: only the number 155 is given, read as R 3 2:R"),
    "rivals": (READ["number against symbol"][0], "contradictory: the symbol F m -3 m, the number 221; the symbol F m"),
    "full list": (
        READ["all atoms, x,y,z, and a stale symbol"][0],
        "contradictory: the list of operators (P 1), the symbol",
    ),
    "nothing": (READ["nothing said, all atoms"][0], "symmetry: none given, read as P 1"),
    "symbol": (READ["symbol not understood, number"][0], "symbol: 'Q 5' not understood, the number 225 counts"),
    "wrong origin, nothing else said": (
        cif(symbol("F d -3 m :1"), "Si 0.125 0.125 0.125", SILICON["cell"]),
        "distances: some atoms are closer than is usual",
    ),
    "operators": (READ["half of the operators"][0], "contradictory: the list of operators (operators of group 4), the"),
}


@pytest.mark.parametrize(("text", "remark"), SETTLED.values(), ids=SETTLED)
def test_what_was_settled_is_remarked(text: str, remark: str) -> None:
    assert (one(text).remark or "").startswith(remark)


def test_plain_files_have_no_remark() -> None:
    for name in (
        "Hall",
        "symbol F m -3 m (225)",
        "P b n m",
        "R axes",
        "H axes, said",
        "all atoms, P 1",
        "monoclinic P 21/c",
    ):
        assert one(READ[name][0]).remark is None, name


REFUSED = {
    "symbol alone, not understood": (
        cif(symbol("Q 5")),
        "symmetry not understood: the symbol 'Q 5'; list the operators",
    ),
    "symbol not understood, x,y,z": (cif(symbol("Q 5") + "\n" + XYZ), "ambiguous"),
    "third axis missing": (cif(symbol("P 31 2"), **CORUNDUM), "symmetry not understood: the symbol 'P 31 2'"),
    "operators are no group, nor the symbol's": (
        cif(symbol("P n -3 m") + "\n" + operators("x,y,z", "y,z,x+1/3"), **CUPRITE),
        "ambiguous",
    ),
    "operators are no group": (
        cif(operators("x,y,z", "y,z,x")),
        "symmetry not understood: the 2 operators listed form no group",
    ),
    "axes left open": (cif(number(62), z=4, **PEROVSKITE), "ambiguous: the file may mean P b n m, P n a m, which are"),
    "origin left open, Cu2O or CuO2": (
        cif(symbol("P n -3 m"), **CUPRITE),
        "ambiguous: the file may mean P n -3 m:1, P n -3 m:2",
    ),
    "nothing said, atoms with neighbours": (
        cif("", "Cs 0 0 0\nCl 0.5 0.5 0.5", "4.12 4.12 4.12 90 90 90"),
        "ambiguous: symmetry: none given, read as P 1",
    ),
    "nothing said, few atoms": (cif(), "ambiguous: symmetry: none given, read as P 1"),
    "nothing said, two sites of tungsten": (
        cif("", "W1 0 0 0\nW2 0.25 0 0.5", "5.05 5.05 5.05 90 90 90"),
        "ambiguous: symmetry: none given, read as P 1",
    ),
    "primitive cell, not all atoms": (
        cif(symbol("F m -3 m"), "Ca 0 0 0\nF 0.25 0.25 0.25", "3.863 3.863 3.863 60 60 60"),
        "contradictory: the cell does not fit F m -3 m",
    ),
    "Z that operators without a centring do not give": (
        cif(every("P m -3 m"), "Fe 0 0 0", "2.866 2.866 2.866 90 90 90", "Fe", 2),
        "contradictory: Z is 2, but in P m -3 m the cell holds 1",
    ),
    "nothing said, against Z": (
        cif(formula="Mg O", z=4),
        "contradictory: Z is 4, but in P 1 the cell holds 1 of Mg1 O1",
    ),
    "P 1 against Z": (cif(symbol("P 1"), formula="Mg O", z=4), "contradictory: Z is 4, but in P 1"),
    "P 1 against the whole formula": (
        cif(symbol("P 1"), formula="Mg4 O4"),
        "contradictory: in P 1 the cell holds 0.25",
    ),
    "cell against symbol": (
        cif(symbol("F m -3 m"), cell="4.2 4.2 5 90 90 90"),
        "contradictory: the cell does not fit F m -3 m",
    ),
    "density": (
        cif(symbol("F m -3 m"), more="_exptl_crystal_density_diffrn 1.79"),
        "contradictory: the density is 1.79, but in F m -3 m",
    ),
    "volume": (cif(symbol("F m -3 m"), more="_cell_volume 80.1"), "contradictory: _cell_volume is 80.1"),
    "symbol against number, both fit": (
        cif(symbol("P 21") + "\n" + number(3), "Fe 0.25 0.1 0.25", "4 4 4 90 95 90"),
        "ambiguous",
    ),
    "twice": (
        cif(symbol("F m -3 m"), "Mg1 0 0 0\nO1 0.5 0.5 0.5\nMg2 0 0.5 0.5\nO2 0 0 0.5"),
        "atoms listed twice: Mg1 and Mg2 are one site of F m -3 m",
    ),
    "twice, x,y,z": (
        cif(symbol("F m -3 m") + "\n" + XYZ, "Mg1 0 0 0\nO1 0.5 0.5 0.5\nMg2 0 0.5 0.5\nO2 0 0 0.5"),
        "atoms listed twice",
    ),
    "twice, same line": (cif(symbol("F m -3 m"), "Mg1 0 0 0\nO1 0.5 0.5 0.5\nO1 0.5 0.5 0.5"), "atoms listed twice"),
    "two lists of operators": (
        cif(every("F m -3 m") + "\n" + XYZ),
        "contradictory: _space_group_symop_operation_xyz and",
    ),
    "x,y,z, a symbol, and a Z that the atoms listed have": (
        cif(symbol("F m -3 m") + "\n" + XYZ, formula="Mg O", z=1),
        "contradictory: Z is 1, but in F m -3 m the cell holds 4",
    ),
    "two elements on one place": (
        cif(symbol("F m -3 m"), ROCKSALT + "\nCa 0 0 0"),
        "atoms on the same place: Mg and Ca",
    ),
    "another setting's symbol": (
        cif(symbol("P n m a"), "Fe 0.05 0.25 0.1\nSi 0.03 0.4 0.1", "4 4 4 90 90 90"),
        "atoms too close: Fe and Si",
    ),
    "modulated": (cif(symbol("F m -3 m"), more="_cell_modulation_dimension 1"), "modulated"),
    "modulated, operators": (cif(more="loop_\n_space_group_ssg_operation_algebraic\nx1,x2,x3,x4"), "modulated"),
    "magnetic, no operators": (
        cif('_space_group_magn.name_BNS "P_I m"\n_space_group_magn.number_BNS 6.22'),
        "symmetry not understood: a magnetic group without its operators",
    ),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_symmetry_left_open_is_refused(text: str, reason: str) -> None:
    assert (one(text).reason or str(summary(one(text)))).startswith(reason)


def test_wrong_z_is_remarked_where_the_density_agrees() -> None:
    record = one(cif(symbol("F m -3 m"), formula="Mg O", z=1, more="_exptl_crystal_density_diffrn 3.585"))
    assert summary(record) == MG4O4
    assert record.remark is not None
    assert record.remark.startswith("contradictory: Z is 1, but in F m -3 m the cell holds 4 of Mg1 O1")


WRONG_Z = {
    "fewer than there are": cif(symbol("F m -3 m"), formula="Mg O", z=1),
    "more than have room": cif(symbol("F m -3 m"), formula="Mg O", z=8),
    "group stated twice": cif(every("F m -3 m") + "\n" + number(225), formula="Mg O", z=5),
}


@pytest.mark.parametrize("text", WRONG_Z.values(), ids=WRONG_Z)
def test_wrong_z_is_remarked_where_the_crystal_makes_sense(text: str) -> None:
    record = one(text)
    assert summary(record) == MG4O4
    assert "but in F m -3 m the cell holds 4 of Mg1 O1" in (record.remark or "")


def test_volume_of_the_primitive_cell_is_no_contradiction() -> None:
    assert one(cif(symbol("F m -3 m"), more="_cell_volume 18.67")).remark is None


def test_formula_of_the_whole_cell_beside_z() -> None:
    assert summary(one(cif(symbol("F m -3 m"), formula="Mg4 O4", z=4))) == MG4O4


# ---------------------------------------------------------------------------------------------------- atoms


def rocksalt(atoms: str, columns: str, **more: str) -> str:
    return cif(symbol("F m -3 m"), atoms, columns=columns, **more)


PLACE = "fract_x fract_y fract_z"
SINGLE = """data_x
_cell_length_a 2.87
_cell_length_b 2.87
_cell_length_c 2.87
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'I m -3 m'
_atom_site_label Fe1
_atom_site_fract_x 0
_atom_site_fract_y 0
_atom_site_fract_z 0
"""
SITES = {
    "occupancy . and ?": (rocksalt("Mg 0 0 0 .\nO 0.5 0.5 0.5 ?", f"label {PLACE} occupancy"), MG4O4),
    "uncertainties": (
        rocksalt("Mg 0.0(0) 0 0 1.000(3)\nO 0.500(1) .5(2) 5.0E-1 1(0)", f"label {PLACE} occupancy"),
        MG4O4,
    ),
    "cell with uncertainties": (cif(symbol("F m -3 m"), cell="4.2112(3) 4.2112(3) 4.2112(3) 90.(0) 90 90.0"), MG4O4),
    "fractions": (rocksalt("Mg 0/1 0 0\nO 1/2 1/2 1/2", f"label {PLACE}"), MG4O4),
    **{
        f"types {mg} and {o}": (rocksalt(f"a {mg} 0 0 0\nb {o} 0.5 0.5 0.5", f"label type_symbol {PLACE}"), MG4O4)
        for mg, o in (
            ("Mg2+", "O2-"),
            ("Mg+2", "O-2"),
            ("MG", "o"),
            ("Mg(II)", "O"),
            ("24Mg", "18O"),
            ("Mgval", "Oval"),
            ("mg", "O1-"),
            ("Mg1", "O1"),
            ("Mg2.00+", "O2.00-"),
        )
    },
    "capital labels and a formula": (
        cif(symbol("F m -3 m"), "CA1 0 0 0\nO1 0.5 0.5 0.5", formula="Ca O"),
        ("Ca4 O4", 225),
    ),
    "capital labels and types": (
        rocksalt("CA1 Ca2+ 0 0 0\nO1 O 0.5 0.5 0.5", f"label type_symbol {PLACE}"),
        ("Ca4 O4", 225),
    ),
    "capital labels, one meaning": (cif(symbol("F m -3 m"), "MG1 0 0 0\nO1 0.5 0.5 0.5"), MG4O4),
    "label of cesium": (cif(symbol("P m -3 m"), "Cs1 0 0 0\nCl1 0.5 0.5 0.5"), ("Cs1 Cl1", 221)),
    "label of carbon": (cif(symbol("P m -3 m"), "Cs1 0 0 0\nTi1 0.5 0.5 0.5", formula="C Ti"), ("C1 Ti1", 221)),
    "labels of places, types": (
        rocksalt("B1 Mg 0 0 0\nX1 O 0.5 0.5 0.5", f"label type_symbol {PLACE}"),
        MG4O4,
    ),
    "no labels": (rocksalt("Mg 0 0 0\nO 0.5 0.5 0.5", f"type_symbol {PLACE}"), MG4O4),
    "deuterium": (
        cif(symbol("F m -3 m"), "Li 0 0 0\nD1 0.5 0.5 0.5", "4.07 4.07 4.07 90 90 90", "Li D", 4),
        ("Li4 H4", 225),
    ),
    "two charges on one site": (
        rocksalt("Fe1 Fe2+ 0 0 0 0.5\nFe2 Fe3+ 0 0 0 0.5\nO O2- 0.5 0.5 0.5 1", f"label type_symbol {PLACE} occupancy"),
        ("Fe4 O4", 225),
    ),
    "dummy": (
        rocksalt("Mg Mg d 0 0 0\nO O d 0.5 0.5 0.5\nX1 X dum 0.1 0.2 0.3", f"label type_symbol calc_flag {PLACE}"),
        MG4O4,
    ),
    "occupancy 0": (
        rocksalt("Mg 0 0 0 1\nO 0.5 0.5 0.5 1\nN 0.25 0.25 0.25 0", f"label {PLACE} occupancy"),
        MG4O4,
    ),
    "rounded twice of a coordinate": (
        cif(symbol("P 62 2 2"), "Si 0.5 0 0\nO 0.207 0.415 0.5", "4.9977 4.9977 5.4601 90 90 120"),
        ("Si3 O6", 180),
    ),
    "rounded thirds": (
        cif(symbol("P 63/m m c"), "Mg 0.333 0.667 0.25", "3.209 3.209 5.211 90 90 120", "Mg", 2),
        ("Mg2", 194),
    ),
    "rounded thirds, two decimals": (
        cif(symbol("P 63/m m c"), "Ga 0.33 0.67 0.25\nSe 0 0 0.1", "9.5 9.5 11 90 90 120"),
        ("Ga2 Se4", 194),
    ),
    "not in a loop": (SINGLE, ("Fe2", 229)),
    "Cartesian, right angles": (
        cif(symbol("F m -3 m"), "Mg 0 0 0\nO 2.1056 2.1056 2.1056", columns="label Cartn_x Cartn_y Cartn_z"),
        MG4O4,
    ),
    "angles missing": (cif(symbol("F m -3 m"), cell="4.2112 4.2112 4.2112 ? ? ?"), MG4O4),
    "uranium": (
        cif(symbol("C m c m"), "U 0 0.1025 0.25", "2.854 5.870 4.955 90 90 90"),
        ("U4", 63),
    ),
    "tungsten and its oxygens": (
        cif(symbol("P m -3 m"), "W1 0 0 0\nOW1 0.5 0 0", "3.8 3.8 3.8 90 90 90"),
        ("W1 O3", 221),
    ),
    "holmium": (cif(symbol("F m -3 m"), "Ho1 0 0 0\nN1 0.5 0.5 0.5"), ("Ho4 N4", 225)),
    "hydroxide, hydrogens listed": (
        cif(
            symbol("P -3 m 1"),
            "Mg 0 0 0\nOH 0.33333 0.66667 0.2203\nH 0.33333 0.66667 0.4303",
            "3.142 3.142 4.766 90 90 120",
            "Mg O2 H2",
        ),
        ("Mg1 O2 H2", 164),
    ),
}


@pytest.mark.parametrize(("text", "expected"), SITES.values(), ids=SITES)
def test_atoms_are_understood(text: str, expected: tuple[str, int]) -> None:
    assert summary(one(text)) == expected


BRUCITE = {"cell": "3.142 3.142 4.766 90 90 120", "symmetry": symbol("P -3 m 1")}
ATOMS_REFUSED = {
    "no position": (rocksalt("Mg 0 0 0\nO 0.5 ? 0.5", f"label {PLACE}"), "no position: site O"),
    "no position, hydrogen": (rocksalt(ROCKSALT + "\nH1 . . .", f"label {PLACE}"), "no position: site H1"),
    "far out": (rocksalt("Mg 1e300 0 0\nO 0.5 0.5 0.5", f"label {PLACE}"), "no position: coordinate 1e300 of atom 1"),
    "comma": (rocksalt("Mg 0 0 0\nO 0,5 0,5 0,5", f"label {PLACE}"), "not a number: coordinate '0,5'"),
    "mixed": (
        rocksalt("Mg 0 0 0 0.5\nFe 0 0 0 0.5\nO 0.5 0.5 0.5 1", f"label {PLACE} occupancy"),
        "disordered: site Mg holds Mg 0.5, Fe",
    ),
    "partial": (
        rocksalt("Mg 0 0 0 0.9\nO 0.5 0.5 0.5 1", f"label {PLACE} occupancy"),
        "disordered: site Mg holds Mg 0.9",
    ),
    "more than whole": (rocksalt("Mg 0 0 0 1.2\nO 0.5 0.5 0.5 1", f"label {PLACE} occupancy"), "disordered: site Mg"),
    "mixed type": (
        rocksalt("M1 '0.75Si + 0.25Al' 0 0 0\nO O 0.5 0.5 0.5", f"label type_symbol {PLACE}"),
        "disordered: site M1 holds 0.75Si",
    ),
    "mixed label": (rocksalt("Mg,Fe 0 0 0\nO 0.5 0.5 0.5", f"label {PLACE}"), "disordered: site Mg,Fe"),
    "disorder group": (
        rocksalt("Mg 0 0 0 .\nO 0.5 0.5 0.5 1", f"label {PLACE} disorder_group"),
        "disordered: site O belongs to a disorder",
    ),
    "no element": (rocksalt("M1 0 0 0\nO 0.5 0.5 0.5", f"label {PLACE}"), "not an element: label 'M1'"),
    "no element in the type": (
        rocksalt("Mg Xx 0 0 0\nO O 0.5 0.5 0.5", f"label type_symbol {PLACE}"),
        "not an element",
    ),
    "calcium or carbon": (
        rocksalt("CA1 0 0 0\nO1 0.5 0.5 0.5", f"label {PLACE}"),
        "ambiguous: label 'CA1' may be Ca or C",
    ),
    "vacancy": (
        rocksalt("Vac1 0 0 0\nO1 0.5 0.5 0.5", f"label {PLACE}"),
        "ambiguous: label 'Vac1' may be V or no atom",
    ),
    "centroid": (rocksalt("Mg 0 0 0\nCg1 0.5 0.5 0.5", f"label {PLACE}"), "ambiguous: label 'Cg1' may be C or no atom"),
    "tetrahedron": (rocksalt("T1 0 0 0\nO1 0.5 0.5 0.5", f"label {PLACE}"), "not an element: label 'T1'"),
    "hydroxide": (
        cif(
            atoms="Mg1 Mg 0 0 0\nOH OH 0.33333 0.66667 0.2203",
            formula="Mg H2 O2",
            columns=f"label type_symbol {PLACE}",
            **BRUCITE,
        ),
        "hydrogens not given",
    ),
    "hydroxide, no formula": (
        cif(atoms="Mg1 0 0 0\nOH1 0.33333 0.66667 0.2203", **BRUCITE),
        "hydrogens not given: site OH1",
    ),
    "water": (rocksalt("Mg 0 0 0\nO1W 0.5 0.5 0.5", f"label {PLACE}"), "hydrogens not given: site O1W"),
    "water, type O": (
        rocksalt("Mg Mg 0 0 0\nOw1 O 0.5 0.5 0.5", f"label type_symbol {PLACE}"),
        "hydrogens not given: site Ow1",
    ),
    "water by name": (rocksalt("Mg 0 0 0\nWat 0.5 0.5 0.5", f"label {PLACE}"), "hydrogens not given: site Wat"),
    "hydrogens in the formula": (
        cif(symbol("F m -3 m"), formula="Mg O H"),
        "hydrogens not given: the formula is Mg O H",
    ),
    "hydrogens in the name": (
        cif(symbol("F m -3 m"), more="_chemical_name_systematic 'Magnesium hydroxide'"),
        "hydrogens not given: the name is Magnesium hydroxide",
    ),
    "hydrogens in the structural formula": (
        cif(symbol("F m -3 m"), more="_chemical_formula_structural 'Mg (O H)2'"),
        "hydrogens not given",
    ),
    "some hydrogens": (
        cif(symbol("P m -3 m"), "N 0 0 0\nH 0.3 0 0", formula="N H8"),
        "incomplete: the CIF's formula is N1 H8, its atoms are N1 H6",
    ),
    "attached hydrogens": (
        rocksalt("Mg 0 0 0 0\nO 0.5 0.5 0.5 1", f"label {PLACE} attached_hydrogens"),
        "hydrogens not given: 1 are attached to O",
    ),
    "incomplete": (
        cif(symbol("F m -3 m"), formula="Mg2 O"),
        "incomplete: the CIF's formula is Mg2 O1, its atoms are Mg4 O4",
    ),
    "Cartesian, oblique": (
        cif(symbol("R -3 m"), "Bi 1 1 1", BISMUTH["cell"], columns="label Cartn_x Cartn_y Cartn_z"),
        "no position: Cartesian",
    ),
    "column too short": (
        cif(symbol("F m -3 m"), more="loop_\n_atom_site_occupancy\n1"),
        "incomplete: _atom_site_occupancy has 1",
    ),
    "no atoms": (cif(symbol("F m -3 m")).split("loop_")[0], "unreadable: CIF not understood (it lists no atoms)"),
    "length missing": (cif(symbol("F m -3 m"), cell="4.2112 ? 4.2112 90 90 90"), "cell: _cell_length_b is missing"),
    "length 0": (cif(symbol("F m -3 m"), cell="4.2112 0 4.2112 90 90 90"), "cell: _cell_length_b is 0 Å"),
    "length no number": (
        cif(symbol("F m -3 m"), cell="4.2112 abc 4.2112 90 90 90"),
        "not a number: _cell_length_b is 'abc'",
    ),
    "length NaN": (cif(symbol("F m -3 m"), cell="nan 4.2 4.2112 90 90 90"), "not a number: _cell_length_a is 'nan'"),
    "angles of no cell": (cif("", cell="4 4 4 30 30 90"), "cell: no cell has the angles 30, 30, 90"),
    "radians": (
        cif(symbol("F m -3 m"), cell="4.2112 4.2112 4.2112 1.5708 1.5708 1.5708"),
        "cell: no cell has the angles",
    ),
    "angle missing and free": (
        cif(symbol("P 21/c"), **(BADDELEYITE | {"cell": "5.15 5.21 5.32 90 ? 90"})),
        "cell: _cell_angle_beta",
    ),
    "nanometres": (cif(symbol("F m -3 m"), cell="0.42112 0.42112 0.42112 90 90 90"), "atoms"),
    "a molecule in a box": (
        cif(symbol("P 1"), "C 0 0 0\nO 0.0564 0 0", "20 20 20 90 90 90"),
        "no crystal: 4000 Å³ per atom",
    ),
    "picometres": (
        cif(symbol("F m -3 m"), cell="421.12 421.12 421.12 90 90 90"),
        "no crystal: no two atoms are closer than 10 Å",
    ),
    "length given twice": (
        cif(symbol("F m -3 m"), more="_cell_length_a 4.3"),
        "contradictory: _cell_length_a is given twice",
    ),
    "too many atoms": (
        cif(symbol("F m -3 m"), "\n".join(f"Mg{i} {i % 97 / 97:.4f} 0.2 0.1" for i in range(11_000))),
        "too large",
    ),
}


@pytest.mark.parametrize(("text", "reason"), ATOMS_REFUSED.values(), ids=ATOMS_REFUSED)
def test_atoms_that_are_not_whole_are_refused(text: str, reason: str) -> None:
    assert (one(text).reason or str(summary(one(text)))).startswith(reason)


def test_rounded_coordinates_are_put_on_their_site() -> None:
    record = one(SITES["rounded thirds"][0])
    assert sorted(record.frac_coords.reshape(-1, 3).tolist()) == pytest.approx(
        [pytest.approx([1 / 3, 2 / 3, 0.25]), pytest.approx([2 / 3, 1 / 3, 0.75])]
    )
    assert "rounded: Ga is put on its site" in (one(SITES["rounded thirds, two decimals"][0]).remark or "")


# --------------------------------------------------------------------------------------------------- syntax

GOOD = cif(symbol("F m -3 m"))
SYNTAX = {
    "CR": GOOD.replace("\n", "\r"),
    "CRLF": GOOD.replace("\n", "\r\n"),
    "BOM": "\ufeff" + GOOD,
    "tabs": GOOD.replace(" ", "\t").replace("F\tm\t-3\tm", "F m -3 m"),
    "capital tags": GOOD.replace("_cell", "_CELL").replace("_atom_site", "_Atom_Site"),
    "no header": GOOD.removeprefix("data_x\n"),
    "text before": "Content-Type: text/plain\n\n" + GOOD,
    "comment before": "# by hand\n" + GOOD,
    "not ASCII": GOOD + "_publ_author 'Plücker, Ångström'\n_title Émile\n",
    "minus of typography": cif(symbol("F m −3 m")),
    "long line": GOOD + "_title '" + "x" * 5000 + "'\n",
    "data_ in a text": GOOD.replace("data_x", "data_x\n_publ_section\n;\ndata_y\n_cell_length_a 3\n;"),
    "frame": GOOD + "save_frame\n_cell_length_a 3\nsave_\n",
    "no quotes": GOOD.replace("'F m -3 m'", "F m -3 m"),
    "CIF 2": "#\\#CIF_2.0\n" + GOOD.replace("data_x", "data_x\n_a.list [1 2 3]\n_b.text '''a\nb'''"),
    "CIF 2, lists in lists": "#\\#CIF_2.0\n" + GOOD.replace("data_x", "data_x\n_a.list [1 [2 3] {'b':4}]"),
    "name of two words": GOOD.replace("data_x", "data_magnesium oxide"),
    "end of file under DOS": GOOD + "\x1a",
    "same value twice": GOOD + "_cell_length_a 4.2112\n",
    "no symbol after its tag": GOOD.replace("'F m -3 m'", "'F m -3 m'\n_symmetry_cell_setting\n_x 1"),
    "empty loop": GOOD + "loop_\n_a\n_b\n",
    "dots in tags": GOOD.replace("_cell_length", "_cell.length").replace("_atom_site_", "_atom_site."),
    "operators after a loop": GOOD.replace("loop_\n_atom", "loop_\n_a\n1 2 3\nloop_\n_atom"),
}


@pytest.mark.parametrize("text", SYNTAX.values(), ids=SYNTAX)
def test_syntax_is_understood(text: str) -> None:
    assert summary(one(text)) == MG4O4


SYNTAX_REFUSED = {
    "empty": "",
    "no CIF": "not a CIF",
    "open quote": GOOD.replace("'F m -3 m'", "'F m -3 m"),
    "open text": GOOD + "_a\n;text\n",
    "values short of a row": GOOD.rstrip()[:-4],
    "null bytes": GOOD.replace("0.5", "0\0.5", 1),
    "only publication": "data_global\n_journal_year 2024\n",
}


@pytest.mark.parametrize("text", SYNTAX_REFUSED.values(), ids=SYNTAX_REFUSED)
def test_bad_syntax_is_refused(text: str) -> None:
    assert (one(text).reason or "read").startswith("unreadable: CIF not understood (")


def test_crystals_of_one_file_are_numbered() -> None:
    both = "data_global\n_journal_year 2024\n" + GOOD + cif(symbol("P m -3 m")) + cif(symbol("Q 5"))
    records = from_cif(both, "x", -1.0, 0.0)
    assert [r.name for r in records] == ["x#1", "x#2", "x#3"]
    assert [summary(r) for r in records[:2]] == [MG4O4, ("Mg1 O1", 221)]
    assert records[2].reason is not None
    assert np.isnan(records[0].formation_energy_per_atom)
    (alone,) = from_cif(GOOD, "x", -1.0, 0.0)
    assert (alone.name, alone.formation_energy_per_atom) == ("x", -1.0)


PIECES = ["", "\n", "loop_", "'", ";", "?", "nan", "-", "1e9", "0", "_cell_length_a", "\x00"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_never_raise(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([t for t, _ in READ.values()]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        piece = data.draw(st.sampled_from(PIECES))
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 12)) :]
    for record in from_cif(text, "x"):
        check(to_columns([record]))


LARGE = {
    "blank lines": "\n" * 10**6,
    "a long symbol": cif(symbol("F " * 10**5)),
    "a long symbol without quotes": GOOD.replace("'F m -3 m'", "F " * 10**5),
    "a long label": cif(symbol("F m -3 m"), "9" * 10**5 + " 0 0 0"),
    "a long number": cif(symbol("F m -3 m"), cell="9" * 10**5 + " 4 4 90 90 90"),
    "open brackets": "#\\#CIF_2.0\ndata_x\n" + "_a [ " * 10**5,
    "a flat cell": cif(symbol("P 1"), cell="5000 5000 0.5 90 90 6"),
    "many operators": cif(operators(*(f"x,y+{i}/24,z+{j}/24" for i in range(24) for j in range(24)))),
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_large_nonsense_is_refused_at_once(text: str) -> None:
    start = time.perf_counter()
    assert one(text).reason is not None
    assert time.perf_counter() - start < 10


# ------------------------------------------------------------------------------------------- the 530 settings

HALL_NUMBERS = range(1, 531)


@lru_cache(maxsize=530)
def setting_of(hall_number: int) -> tuple[object, frozenset[space_group_settings.Operator]]:
    """Spglib's names and operators of a setting."""
    found = spglib.get_symmetry_from_database(hall_number)
    operators = frozenset(
        (tuple(int(v) for v in r.ravel()), tuple(round(24 * v) % 24 for v in t))
        for r, t in zip(found["rotations"], found["translations"], strict=True)
    )
    return spglib.get_spacegroup_type(hall_number), operators


@pytest.mark.parametrize("hall_number", HALL_NUMBERS)
def test_all_settings_are_known_by_their_symbols(hall_number: int) -> None:
    kind, operators = setting_of(hall_number)
    assert space_group_settings.from_hall(kind.hall_symbol).operators == operators
    plain = kind.international_full.replace("_", "")
    for text in (plain, kind.international_full, kind.international, plain.upper(), plain.replace(" ", "")):
        tiers = space_group_settings.from_symbol(text)
        assert operators in [s.operators for tier in tiers for s in tier], text
        assert {s.number for tier in tiers for s in tier} == {kind.number}
        if kind.choice[:1] in ("1", "2", "H", "R"):
            chosen = space_group_settings.from_symbol(f"{text} :{kind.choice[:1]}")
            # C c c e stands for C c c a and C c c b.
            assert [[s.operators for s in tier] for tier in chosen] == [[operators]] or "e" in text.lower()
    short = space_group_settings.from_symbol(kind.international_short)
    assert kind.number in {s.number for tier in short for s in tier}
    numbered = space_group_settings.from_number(kind.number)
    assert operators in [s.operators for tier in numbered for s in tier]


def fitting_cell(hall_number: int) -> tuple[float, ...]:
    """A cell of the setting's symmetry, far from any higher one."""
    _, operators = setting_of(hall_number)
    metric = 1.3 * np.array([[61.0, 4.1, -5.3], [4.1, 83.0, 7.7], [-5.3, 7.7, 104.0]])
    rotations = {r for r, _ in operators}
    matrices = [np.reshape(r, (3, 3)) for r in rotations]
    mean = sum(m.T @ metric @ m for m in matrices) / len(matrices)
    lattice = Lattice(np.linalg.cholesky(mean))
    return (*lattice.abc, *lattice.angles)


def triplet(operator: space_group_settings.Operator) -> str:
    rotation, translation = operator
    parts = []
    for row in range(3):
        signed = zip(rotation[3 * row : 3 * row + 3], "xyz", strict=True)
        terms = "".join(f"{'+' if value > 0 else '-'}{axis}" for value, axis in signed if value)
        shift = Fraction(translation[row], 24)
        parts.append(terms + (f"+{shift}" if shift else ""))
    return ",".join(parts)


@settings(max_examples=60, deadline=None)
@given(
    hall_number=st.sampled_from(HALL_NUMBERS),
    places=st.lists(st.tuples(*[st.integers(1, 999)] * 3), min_size=1, max_size=3),
    told=st.sampled_from(["hall", "symbol", "operators"]),
)
def test_crystals_come_back_from_all_settings(hall_number: int, places: list[tuple[int, ...]], told: str) -> None:
    kind, operators = setting_of(hall_number)
    cell = fitting_cell(hall_number)
    elements = ["N", "O", "F"][: len(places)]
    lattice = Lattice.from_parameters(*cell)
    species, coords = [], []
    for element, place in zip(elements, places, strict=True):
        orbit: list[np.ndarray] = []
        for rotation, translation in operators:
            image = (np.reshape(rotation, (3, 3)) @ np.array(place) / 1000 + np.array(translation) / 24) % 1
            if not any(lattice.get_distance_and_image(image, other)[0] < 1e-3 for other in orbit[:48]):
                orbit.append(image)
        species += [element] * len(orbit)
        coords += orbit
    if told == "hall":
        quote = "'" if '"' in kind.hall_symbol else '"'
        symmetry = f"_space_group_name_Hall {quote}{kind.hall_symbol}{quote}"
    elif told == "symbol":
        ending = f" :{kind.choice}" if kind.choice[:1] in ("1", "2", "H", "R") else ""
        symmetry = symbol(kind.international_full + ending)
    else:
        symmetry = "\n".join(["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{triplet(o)}'" for o in operators)])
    atoms = "\n".join(f"{e} {' '.join(f'{v / 1000:.3f}' for v in p)}" for e, p in zip(elements, places, strict=True))
    expected = Structure(lattice, species, coords)
    record = one(cif(symmetry, atoms, " ".join(f"{v:.6f}" for v in cell)))
    closest = (expected.distance_matrix + np.eye(len(expected)) * 9).min()
    assume(closest > 1.1)  # atoms that near are one site, or refused
    found = structure(record)
    assert found.composition == expected.composition
    assert found.volume == pytest.approx(expected.volume, rel=1e-4)
    # Every atom has its like, and with equal counts that is all of them.
    nearest = np.array(expected.lattice.get_all_distances(found.frac_coords, expected.frac_coords))
    like = np.array([[a.specie == b.specie for b in expected] for a in found])
    assert (np.where(like, nearest, 9).min(axis=1) < 1e-2).all()
