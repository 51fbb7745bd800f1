"""Make ``wyckoff.csv`` again: ``python -m cgwgan_core.crystallography.make_wyckoff``.

It comes from PyXtal's transcription of International Tables A (standard setting: unique axis b, cell choice 1,
hexagonal axes, origin choice 2; doi:10.1016/j.cpc.2020.107810). PyXtal is a development dependency.
"""

import csv
from pathlib import Path

from pyxtal.symmetry import Group

TABLE = Path(__file__).with_name("wyckoff.csv")


def make_wyckoff() -> None:
    """All 1,731 Wyckoff positions, from the site of highest symmetry (a) to the general position."""
    with TABLE.open("w", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(["number", "letter", "multiplicity", "representative"])
        for number in range(1, 231):
            for position in reversed(Group(number).Wyckoff_positions):
                representative = position.ops[0].as_xyz_str().replace(" ", "")
                out.writerow([number, position.letter, position.multiplicity, representative])


if __name__ == "__main__":
    make_wyckoff()
