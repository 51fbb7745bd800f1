"""The AFLOW prototypes inside pymatgen: a small database that needs no download.

Mehl et al., Comput. Mater. Sci. 136, S1 (2017), doi:10.1016/j.commatsci.2017.01.017.
"""

from collections import Counter
from collections.abc import Iterator

from cgwgan_core.database.record import Record, crystal


def read() -> Iterator[Record]:
    """Read the prototypes in the library's order.

    A record is called by its AFLOW label; the second and further ones of a label (other
    materials of the same prototype) get ``-2``, ``-3``, ... Energies are unknown.
    """
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY  # noqa: PLC0415 - takes seconds

    seen: Counter[str] = Counter()
    for prototype in AFLOW_PROTOTYPE_LIBRARY:
        label = prototype["tags"]["aflow"]
        seen[label] += 1
        structure = prototype["snl"].structure
        yield crystal(
            label if seen[label] == 1 else f"{label}-{seen[label]}",
            structure.lattice.matrix,
            [site.species.element_composition.as_dict() for site in structure],
            structure.frac_coords,
        )
