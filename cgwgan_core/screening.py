"""Energies of many candidates: the potential's, the formation energy, the distance to the hull."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from .crystal import Templates, decorate
from .energetics import Hull, formation_energies
from .potentials import Potential

CHUNK = 256


def screen(
    candidates: pa.Table, templates: pa.Table, potential: Potential, hull: Hull, batch_size: int
) -> Iterator[dict[str, list[object] | np.ndarray]]:
    """Evaluate candidates in the order of their table, as generated, without relaxation.

    :param candidates: a table of ``tables.CANDIDATES``.
    :param templates: a table of ``tables.TEMPLATES`` that holds their templates.
    :param batch_size: crystals in one evaluation.
    :yields: columns of ``tables.SCREENED``, :data:`CHUNK` rows at a time.
    """
    geometry = Templates.from_table(templates)
    places = {name: i for i, name in enumerate(templates["template_id"].to_pylist())}
    for start in range(0, candidates.num_rows, CHUNK):
        part = candidates.slice(start, CHUNK)
        index = np.array([places[name] for name in part["template_id"].to_pylist()])
        crystals = list(decorate(geometry[index], part["elements"].to_pylist(), part["volume_scale"].to_numpy()))
        # crystals of one size fill a batch best
        order = np.argsort([len(atoms) for atoms in crystals], kind="stable")
        found = potential.evaluate([crystals[i] for i in order], batch_size=batch_size)
        energies = np.empty(len(crystals))
        energies[order] = found.energy_per_atom
        status = [""] * len(crystals)
        for i, error in zip(order.tolist(), found.errors, strict=True):
            status[i] = error or "ok"
        formation = formation_energies(crystals, energies, potential.energy_scale)
        formulas = part["formula"].to_pylist()
        yield {
            "candidate_id": part["candidate_id"].to_pylist(),
            "formula": formulas,
            "energy_per_atom": energies,
            "formation_energy_per_atom": formation,
            "energy_above_hull": hull.energy_above_hull(formulas, formation),
            "status": status,
        }
