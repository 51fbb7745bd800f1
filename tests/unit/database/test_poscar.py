"""POSCAR as VASP defines it, beside what pymatgen and ASE write and read."""

from io import StringIO

import numpy as np
import pytest
from ase.io import read as ase_read
from ase.io import write as ase_write
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp.inputs import Poscar

from cgwgan_core.database.poscar import from_poscar

RUTILE = """\
rutile
{scale}
{a} 0 0
0 {a} 0
0 0 {c}
{names}
{counts}
{mode}
0 0 0{end}
.5 .5 .5{end}
.3053 .3053 0
.6947 .6947 0
.8053 .1947 .5
.1947 .8053 .5
{rest}"""
FORM = dict(scale="1.0", a="4.594", c="2.959", names="Ti O", counts="2 4", mode="Direct", end="", rest="")  # noqa: C408


def read(**changes):
    return from_poscar(RUTILE.format(**FORM | changes), "x")


GOOD = {
    "as it is": {},
    "three scales": {"scale": "4.594 4.594 2.959", "a": "1", "c": "1"},
    "the volume": {"scale": f"{-(4.594**2) * 2.959:.6f}", "a": "45.94", "c": "29.59"},
    "a comment behind the scale": {"scale": "1.0  ! no scale"},
    "potentials": {"names": "Ti_pv O_s.GW"},
    "hashes": {"names": "Ti_sv/b25b10f6 O/8f3a1c"},
    "a comment behind the counts": {"counts": "2 4 ! Ti O"},
    "selective": {"mode": "Selective dynamics\nDirect", "end": " T F T"},
    "elements at the ends": {"end": " Ti"},
    "selective, with elements": {"mode": "s\nd", "end": " .TRUE. .FALSE. T Ti"},
    "numbers of Fortran": {"scale": "1.0d0", "a": "45.94D-01"},
    "velocities": {"rest": "\n0 0 0\n" * 6},
    "velocities of the lattice": {"rest": "Lattice velocities and vectors\n1\n0 0 0\n"},
    "no more spaces than needed": {"rest": "   \n"},
}


@pytest.mark.parametrize("case", GOOD)
def test_what_vasp_reads(case):
    found = read(**GOOD[case])
    assert found.reason is None
    assert found.numbers.tolist() == [22, 22, 8, 8, 8, 8]
    assert np.allclose(found.lattice, np.diag([4.594, 4.594, 2.959]).ravel())
    assert np.allclose(found.frac_coords[:6], [0, 0, 0, 0.5, 0.5, 0.5])


BAD = {
    "no names": ({"names": "2 4", "counts": "Direct", "mode": "0 0 0"}, "unreadable"),
    "two scales": ({"scale": "1 2"}, "unreadable: POSCAR not understood (expected one or three scale factors"),
    "scale zero": ({"scale": "0"}, "unreadable: POSCAR not understood (the scale factor is 0"),
    "a negative one of three": ({"scale": "1 -1 1"}, "unreadable: POSCAR not understood (three scale factors must"),
    "a decimal comma": ({"a": "4,594"}, "unreadable: POSCAR not understood ('4,594' is no number; write decimal"),
    "not a number": ({"a": "nan"}, "unreadable: POSCAR not understood ('nan' is no number"),
    "stars": ({"c": "******"}, "unreadable: POSCAR not understood ('******' is no number"),
    "no element": ({"names": "Ti Xx"}, "unreadable: POSCAR not understood ('Xx' is no element"),
    "more names": ({"names": "Ti O N"}, "unreadable: POSCAR not understood (3 names of elements and 2 numbers"),
    "more counts": ({"counts": "2 2 2"}, "unreadable: POSCAR not understood (2 names of elements and 3 numbers"),
    "too few positions": ({"counts": "2 5"}, "unreadable: POSCAR not understood (it ends too early"),
    "too many positions": ({"counts": "2 3"}, "unreadable: POSCAR not understood (more positions than its 5 atoms"),
    "an XDATCAR": (
        {"rest": "Direct configuration=     2\n" + "0 0 0\n" * 6},
        "unreadable: POSCAR not understood (an XDATCAR",
    ),
    "another element": ({"end": " Zr"}, "unreadable: POSCAR not understood (atom 1 is Ti by its block and Zr by its"),
    "no mode": ({"mode": "0 0 0"}, "unreadable: POSCAR not understood (expected Direct or Cartesian, found '0 0 0'"),
    "flat": ({"scale": "-5", "a": "0"}, "unreadable: POSCAR not understood (the cell vectors are not independent"),
    "a million atoms": ({"counts": "2 1000000"}, "too large: 1000002 atoms"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_would_have_to_be_guessed_is_refused(case):
    changes, reason = BAD[case]
    assert read(**changes).reason.startswith(reason)


def test_elements_of_vasp_4():
    lines = RUTILE.format(**FORM).split("\n")
    del lines[5]
    assert from_poscar("\n".join(lines), "x").reason == "not an element: the POSCAR names no elements"
    named = [*lines[:7], *(f"{line} {s}" for line, s in zip(lines[7:13], ["Ti"] * 2 + ["O"] * 4, strict=True))]
    found = from_poscar("\n".join(named), "x")
    assert found.numbers.tolist() == [22, 22, 8, 8, 8, 8]
    assert found.remark == "elements from the ends of the lines of positions"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines(end):
    assert from_poscar(RUTILE.format(**FORM).replace("\n", end), "x").reason is None


numbers = st.floats(0, 0.99).map(lambda x: round(x, 5))
sites = st.tuples(st.sampled_from(["Cl", "Na", "O", "Ti"]), st.tuples(numbers, numbers, numbers))
structures = st.builds(
    lambda edges, sites: Structure(Lattice.from_parameters(*edges, 80, 95, 110), *zip(*sites, strict=True)),
    st.tuples(*[st.floats(3, 20)] * 3),
    st.lists(sites, min_size=1, max_size=6),
)


@given(structures, st.booleans())
def test_what_others_write(structure, cartesian):
    """Blocks of one element may come again (Cl Na Cl)."""
    texts = [Poscar(structure).get_str(direct=not cartesian, significant_figures=12)]
    written = StringIO()
    ase_write(written, AseAtomsAdaptor.get_atoms(structure), format="vasp", direct=not cartesian)
    texts.append(written.getvalue())
    for text in texts:
        found = from_poscar(text, "x")
        assert found.reason is None
        assert found.numbers.tolist() == list(structure.atomic_numbers)
        assert np.allclose(np.abs(np.linalg.det(found.lattice.reshape(3, 3))), structure.volume)
        cart = found.frac_coords.reshape(-1, 3) @ found.lattice.reshape(3, 3)
        peer = ase_read(StringIO(text), format="vasp")
        assert np.allclose(cart, peer.positions, atol=1e-6)
