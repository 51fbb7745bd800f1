"""What a second potential says of the relaxed crystals: how far two potentials disagree is how far to trust one.

The crystals are evaluated as the first potential relaxed them, and so are the known phases, from which the second
potential's own hull is made. What both potentials get wrong alike, such as the energy of an element's compounds as a
whole, hence cancels. What is left measures the uncertainty of a distance to the hull. It is no more than a measure:
potentials of the same training data err together.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from ase import Atoms

from cgwgan_core.crystallography.composition import formula_of_atoms
from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.potentials.load import PotentialOptions, choose
from cgwgan_core.potentials.protocol import BATCH_SIZE, Potential
from cgwgan_core.screening.energetics import Hull, formation_energies
from cgwgan_core.screening.energies import evaluate
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.refusals import OK

AUTO = "auto"


def chosen(first: PotentialOptions, second: PotentialOptions | None) -> PotentialOptions | None:
    """Which potential is asked.

    :param second: its options; the name ``auto`` is CHGNet where the first potential is another, and none where it is
        not; ``None``: none.
    """
    if second is None or second.name != AUTO:
        return second
    return None if choose(first)[0] == "chgnet" else PotentialOptions(name="chgnet")


def second_opinions(
    relaxed: Sequence[dict[str, Any]], known_phases: pa.Table, potential: Potential
) -> dict[str, dict[str, Any]]:
    """Distances to the hull by a second potential.

    :param relaxed: rows of ``tables.RELAXED``.
    :param known_phases: a table of ``tables.KNOWN_PHASES``, relaxed with the first potential.
    :returns: candidate_id -> ``second_potential``, ``second_energy_above_hull`` and ``disagreement`` (the second's
        distance less the first's), eV/atom, for each that the second potential can treat.
    """
    phases = [row for row in known_phases.to_pylist() if row["status"] == OK]
    compounds = [row_to_atoms(row) for row in phases if row["lattice"]]
    elements = [row["formula"] for row in phases if not row["lattice"]]
    energies = _formation_energies(compounds, potential)
    known = [(formula_of_atoms(a), e) for a, e in zip(compounds, energies, strict=True) if np.isfinite(e)]
    hull = Hull(known, elements)
    good = [row for row in relaxed if row["status"] == OK]
    found = _formation_energies([row_to_atoms(row) for row in good], potential)
    above = hull.energy_above_hull([row["formula"] for row in good], found)
    return {
        row["candidate_id"]: {
            "second_potential": potential.name,
            "second_energy_above_hull": float(value),
            "disagreement": float(value) - row["energy_above_hull"],
        }
        for row, value in zip(good, above, strict=True)
        if np.isfinite(value)
    }


def _formation_energies(crystals: Sequence[Atoms], potential: Potential) -> Floats:
    energies, _ = evaluate(crystals, potential, BATCH_SIZE)
    return formation_energies(crystals, energies, potential.energy_scale)
