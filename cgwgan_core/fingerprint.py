"""One canonical key per template: what makes two templates the same crystal."""

import numpy as np

from . import spacegroups as sg
from .crystal import Templates


def coarse_keys(templates: Templates) -> list[str]:
    """Space group and Wyckoff letters, such as ``225:abd``; equal for templates of one prototype."""
    letters = np.sort(np.where(templates.letters < 0, sg.N_LETTERS, templates.letters), axis=1)
    return [
        f"{number}:" + "".join(sg.letter_name(i) for i in row if i < sg.N_LETTERS)
        for number, row in zip(templates.spacegroup.tolist(), letters.tolist(), strict=True)
    ]


def fingerprints(templates: Templates) -> list[str]:
    """Coarse key, binned free coordinates and binned shape of the lattice, as text."""
    coords = np.round(templates.coords * 20).astype(int) % 20
    cell = templates.cell
    shape = np.concatenate(
        [np.round(np.log(cell[:, 1:3] / cell[:, :1]) * 10), np.round(cell[:, 3:] / 5)], axis=1
    )
    out = []
    for i, key in enumerate(coarse_keys(templates)):
        k = int((templates.letters[i] >= 0).sum())
        sites = sorted(zip(templates.letters[i, :k].tolist(), coords[i, :k].tolist(), strict=True))
        text = "|".join(",".join(map(str, x)) for _, x in sites)
        out.append(f"{key};{text};{','.join(str(int(v)) for v in shape[i])}")
    return out
