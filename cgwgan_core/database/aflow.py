"""The AFLOW prototypes inside pymatgen: a small database that needs no download.

Mehl et al., Comput. Mater. Sci. 136, S1 (2017), doi:10.1016/j.commatsci.2017.01.017.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from cgwgan_core.database.record import Record, crystal


def read() -> Iterator[Record]:
    """Read the prototypes in the library's order.

    A record is called by its AFLOW label and, where it has one, the name of its mineral or type; further ones of the
    same name get ``-2``, ``-3``, ... Energies are unknown.
    """
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY  # noqa: PLC0415 - takes seconds

    seen: Counter[str] = Counter()
    for prototype in AFLOW_PROTOTYPE_LIBRARY:
        name = _name(prototype["tags"])
        seen[name] += 1
        structure = prototype["snl"].structure
        yield crystal(
            name if seen[name] == 1 else f"{name}-{seen[name]}",
            structure.lattice.matrix,
            [site.species.element_composition.as_dict() for site in structure],
            structure.frac_coords,
        )


def _name(tags: Mapping[str, str]) -> str:
    """Label and mineral.

    >>> _name({"aflow": "A2B_tP12_92_b_a", "mineral": "low (alpha) Cristobalite"})
    'A2B_tP12_92_b_a-low-alpha-cristobalite'
    """
    mineral = re.findall(r"\w+", tags["mineral"].split(",")[0].lower())
    return "-".join([tags["aflow"], *mineral])
