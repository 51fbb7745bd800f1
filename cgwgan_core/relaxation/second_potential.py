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

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.screening.energies import energies_above_hull, hull_by
from cgwgan_core.workflow.refusals import OK


def second_opinions(
    relaxed: Sequence[dict[str, Any]], known_phases: pa.Table, potential: Potential
) -> dict[str, dict[str, Any]]:
    """Distances to the hull by a second potential.

    :param relaxed: rows of ``tables.RELAXED``.
    :param known_phases: a table of ``tables.KNOWN_PHASES``, relaxed with the first potential.
    :returns: candidate_id -> ``second_potential``, ``second_energy_above_hull`` and ``disagreement`` (the second's
        distance less the first's), eV/atom, for each that the second potential can treat.
    """
    good = [row for row in relaxed if row["status"] == OK]
    crystals = [row_to_atoms(row) for row in good]
    above = energies_above_hull(crystals, potential, hull_by(potential, known_phases))
    return {
        row["candidate_id"]: {
            "second_potential": potential.name,
            "second_energy_above_hull": float(value),
            "disagreement": float(value) - row["energy_above_hull"],
        }
        for row, value in zip(good, above, strict=True)
        if np.isfinite(value)
    }
