"""What a second potential says of crystals that the judge has judged: distance to its own hull, phonons, elasticity.

It starts from the judge's minima and relaxes to its own. The distance to the hull is that of the judge's geometries, of
the crystals as of the known phases, so that what both potentials get wrong alike cancels.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from cgwgan_core.crystallography.structures import row_to_atoms
from cgwgan_core.phonons.phonons import PhononOptions
from cgwgan_core.phonons.shards import phonon_rows
from cgwgan_core.potentials.protocol import Potential
from cgwgan_core.screening.energies import energies_above_hull, hull_by
from cgwgan_core.workflow.files import KeptRows


def second_rows(
    judged: pa.Table, known_phases: pa.Table, potential: Potential, options: PhononOptions, kept: KeptRows
) -> Iterator[dict[str, Any]]:
    """Rows of ``tables.SECOND_PHONONS``: one for each crystal that the judge has a verdict on, in the same order.

    :param judged: a table of ``tables.PHONONS``, by the judge.
    :param known_phases: a table of ``tables.KNOWN_PHASES``, relaxed by the judge.
    :param options: without modes to follow.
    :param kept: where finished rows are kept, and taken from after a kill.
    """
    rows = [row for row in judged.to_pylist() if row["verdict"] is not None]
    crystals = [row_to_atoms(row) for row in rows]
    above = energies_above_hull(crystals, potential, hull_by(potential, known_phases))
    started = [{**row, "phonon_rank": i + 1} for i, row in enumerate(rows)]
    for row, distance in zip(phonon_rows(started, potential, options, kept), above, strict=True):
        yield {**row, "energy_above_hull": float(distance) if np.isfinite(distance) else None}
