"""The electrons of a crystal as a figure."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cgwgan_core.results.figures import Electrons, figure_electrons


def draw(row: Mapping[str, Any]) -> str:
    """Bands and densities of states as an SVG by itself.

    :param row: of ``tables.DFT_ELECTRONS``.
    """
    spins, points, bands = row["band_shape"]
    dos = np.reshape(row["dos"], (spins, -1))
    projected = np.reshape(row["dos_projected"], (-1, *dos.shape))
    insulator = row["gap"] > 0
    return figure_electrons(
        Electrons(
            title=row["formula"],
            note=_note(row),
            distances=np.array(row["band_distances"]),
            bands=np.reshape(row["band_energies"], (spins, points, bands)),
            ticks=row["band_ticks"],
            labels=row["band_labels"],
            energies=np.array(row["dos_energies"]),
            dos=dos,
            projected=dict(zip(row["dos_elements"], projected, strict=True)),
            zero="the highest occupied state" if insulator else "the Fermi level",
        )
    )


def _note(row: Mapping[str, Any]) -> str:
    if row["gap"] > 0:
        return f"gap {row['gap']:.2f} eV"
    names = ("up", "down")
    gaps = zip(names, row["spin_gaps"], strict=False)
    half = [f"gap {gap:.2f} eV of spin {name}" for name, gap in gaps if gap > 0] if len(row["spin_gaps"]) == 2 else []
    return f"half-metal, {half[0]}" if len(half) == 1 else "metal"
