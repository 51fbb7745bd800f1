"""The figures of one crystal: its cell, its phonon bands, its powder diffraction pattern.

A figure is what Plotly reads, a dictionary of ``data`` and ``layout``. It has no template: the page colours axes and
text by the reader's light or dark, a notebook by its own.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from ase.neighborlist import neighbor_list
from pymatgen.core import Element
from scipy.spatial import ConvexHull, QhullError

from cgwgan_core.crystallography.diffraction import Lines
from cgwgan_core.workflow.arrays import Floats

Figure = dict[str, Any]

BLUE, RED, GREY, ORANGE = "#2a8ab8", "#d1453b", "#8f9baa", "#e07b29"
"""Told apart on white and on black."""
BOND = 1.15
"""A bond is no longer than so many times the sum of the covalent radii."""
MOST_BONDS = 8
"""A cation with more neighbours is drawn without bonds: they would hide the crystal."""
ANION, COMPOUND = 2.5, 0.6
"""Electronegativity from which an element is an anion, and that the most electronegative must exceed the others by."""
EDGE = 0.02
"""An atom so near to a face of the cell, as share of an edge, is drawn on the opposite one, too."""
SHOWN_RADIUS = 0.45
"""Å; of an atom with a covalent radius of 1 Å. Others go as the square root, so that oxygen is seen beside barium."""


def cell_figure(atoms: Atoms) -> Figure:
    """A cell with its atoms, bonds, and polyhedra of anions about cations.

    Atoms are markers with their radius (Å) in ``meta``; the page turns these into spheres.
    """
    numbers, places, bonds, polyhedra = drawn_atoms(atoms)
    corners = np.array(list(product((0, 1), repeat=3))) @ atoms.cell.array
    edges = [(corners[i], corners[j]) for i in range(8) for j in range(i) if (i ^ j).bit_count() == 1]
    lines = {"type": "scatter3d", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
    data: list[Figure] = [
        lines | _xyz(_segments(edges)) | {"name": "cell", "line": {"color": GREY, "width": 2}},
        lines
        | _xyz(_segments([(places[i], places[j]) for i, j in bonds]))
        | {"name": "bonds", "line": {"color": "#9a9a9a", "width": 5}},
    ]
    data += [
        _faces(z, [places[list(ring)] for number, ring in polyhedra if number == z])
        for z in dict.fromkeys(z for z, _ in polyhedra)
    ]
    for z in sorted(set(numbers.tolist()), reverse=True):
        at = places[numbers == z]
        data.append(
            {"type": "scatter3d", "mode": "markers", "name": chemical_symbols[z], "hoverinfo": "name+x+y+z"}
            | _xyz(at.tolist())
            | {"marker": {"size": 22 * _radius(z), "color": _colour(z)}, "meta": {"radius": _radius(z)}}
        )
    axis = {"visible": False, "showspikes": False}
    camera = {"projection": {"type": "orthographic"}, "eye": {"x": 0.78, "y": 0.4, "z": 0.25}}
    scene = {"xaxis": axis, "yaxis": axis, "zaxis": axis, "aspectmode": "data", "camera": camera}
    legend = {"orientation": "h", "x": 0, "y": 0}
    return {"data": data, "layout": {"scene": scene, "margin": _margins(0), "legend": legend}}


def drawn_atoms(atoms: Atoms) -> tuple[np.ndarray, Floats, list[tuple[int, int]], list[tuple[int, tuple[int, ...]]]]:
    """The atoms in a cell and on all its faces, and the anions about its cations.

    :returns: atomic numbers (n,); places, (n, 3) Å; bonds, as pairs of atoms; polyhedra, as the number of the central
        atom's element and the atoms at its corners.
    """
    found: dict[tuple[int, ...], int] = {}  # atom and cell -> place in what is drawn
    atoms = atoms.copy()
    atoms.wrap()
    fractional = atoms.get_scaled_positions(wrap=False)
    for i, place in enumerate(fractional):
        images = [[0, *([1] if x < EDGE else []), *([-1] if x > 1 - EDGE else [])] for x in place]
        for shift in product(*images):
            found[i, *shift] = len(found)
    neighbours = _neighbours(atoms)
    bonds, polyhedra = [], []
    for key in list(found):
        around = neighbours.get(key[0], [])
        if not around or len(around) > MOST_BONDS:
            continue
        ring = []
        for j, *offset in around:
            other = (j, *(a + b for a, b in zip(key[1:], offset, strict=True)))
            ring.append(found.setdefault(other, len(found)))
        bonds += [(found[key], other) for other in ring]
        if len(ring) >= 4:
            polyhedra.append((int(atoms.numbers[key[0]]), tuple(ring)))
    index = np.array([key[0] for key in found])
    shifts = np.array([key[1:] for key in found])
    return atoms.numbers[index], (fractional[index] + shifts) @ atoms.cell.array, bonds, polyhedra


def _neighbours(atoms: Atoms) -> dict[int, list[tuple[int, ...]]]:
    """The anions about each cation, as atom and cell; in a metal nothing."""
    chi = {z: _electronegativity(z) for z in set(atoms.numbers.tolist())}
    highest = max(chi.values())
    anions = {z for z, x in chi.items() if x >= ANION or (x == highest and x - min(chi.values()) > COMPOUND)}
    cutoffs = {
        (chemical_symbols[a], chemical_symbols[b]): BOND * float(covalent_radii[a] + covalent_radii[b])
        for a in chi
        for b in anions
        if a not in anions
    }
    found: dict[int, list[tuple[int, ...]]] = {}
    if not cutoffs:
        return found
    for i, j, shift in zip(*neighbor_list("ijS", atoms, cutoffs), strict=True):
        if atoms.numbers[j] in anions and atoms.numbers[i] not in anions:
            found.setdefault(int(i), []).append((int(j), *map(int, shift)))
    return found


def _electronegativity(z: int) -> float:
    value = float(Element.from_Z(z).X)
    return value if np.isfinite(value) else 0.0


def _radius(z: int) -> float:
    return round(SHOWN_RADIUS * float(np.sqrt(covalent_radii[z])), 3)


def _colour(z: int) -> str:
    return "#" + "".join(f"{round(255 * x):02x}" for x in jmol_colors[z])


def _faces(z: int, polyhedra: Sequence[Floats]) -> Figure:
    """All polyhedra about one element as one mesh."""
    places: list[list[float]] = []
    triangles: list[list[int]] = []
    for corners in polyhedra:
        try:
            hull = ConvexHull(corners)
        except QhullError:  # flat: a square, a triangle
            continue
        triangles += (hull.simplices + len(places)).tolist()
        places += corners.tolist()
    sides = dict(zip("ijk", map(list, zip(*triangles, strict=True)), strict=False)) if triangles else {}
    look = {"color": _colour(z), "opacity": 0.28, "flatshading": True, "hoverinfo": "skip", "showlegend": False}
    return {"type": "mesh3d", "name": f"{chemical_symbols[z]} polyhedra"} | _xyz(places) | sides | look


def _segments(pairs: Sequence[tuple[Floats, Floats]]) -> list[list[float | None]]:
    """Points of one line that jumps from pair to pair."""
    gap: list[float | None] = [None] * 3
    return [point for a, b in pairs for point in (a.tolist(), b.tolist(), gap)]


def _xyz(points: Sequence[Sequence[float | None]]) -> Figure:
    return (
        dict(zip("xyz", map(list, zip(*points, strict=True)), strict=True)) if points else {"x": [], "y": [], "z": []}
    )


def _margins(size: int, left: int | None = None, bottom: int | None = None) -> Figure:
    return {"l": size if left is None else left, "r": size, "t": size, "b": size if bottom is None else bottom}


# ------------------------------------------------------------------------------------------ bands, diffraction


def bands_figure(row: Mapping[str, Any], thin: int = 1) -> Figure:
    """Phonon bands along the path of the Brillouin zone, imaginary frequencies below zero and in red.

    :param row: ``band_*`` of ``tables.PHONONS``.
    :param thin: of so many points of the path, one is drawn; ends of legs always.
    """
    distances = np.array(row["band_distances"])
    frequencies = np.reshape(row["band_frequencies"], (len(distances), -1))
    starts = sorted({0, *row["band_breaks"]})
    x: list[float | None] = []
    y: list[float | None] = []
    for begin, end in pairwise([*starts, len(distances)]):
        kept = sorted({*range(begin, end, thin), end - 1})
        for band in frequencies[kept].T:
            x += [*distances[kept].tolist(), None]
            y += [*band.tolist(), None]
    line = {"type": "scatter", "mode": "lines", "showlegend": False, "hovertemplate": "%{y:.2f} THz<extra></extra>"}
    data = [line | {"x": x, "y": y, "name": "bands", "line": {"color": BLUE, "width": 1.2}}]
    below = [(a, b) if b is not None and b < 0 else (None, None) for a, b in zip(x, y, strict=True)]
    runs = [point for point, before in zip(below, [(None, None), *below[:-1]], strict=True) if point != before]
    if len(runs) > 1:
        x_below, y_below = map(list, zip(*runs, strict=True))
        red = {"x": x_below, "y": y_below, "name": "imaginary", "line": {"color": RED, "width": 1.6}}
        data.append(line | red)
    ticks = {"tickvals": row["band_ticks"], "ticktext": row["band_labels"], "range": [distances[0], distances[-1]]}
    layout = {
        "xaxis": ticks | {"showgrid": True},
        "yaxis": {"title": {"text": "Frequency (THz)"}, "zeroline": True},
        "margin": _margins(8, left=48, bottom=28),
        "hovermode": "closest",
    }
    return {"data": data, "layout": layout}


def diffraction_figure(own: Lines, known: Lines | None, names: tuple[str, str]) -> Figure:
    """Lines of two powder patterns, the crystal's upwards and the known phase's downwards.

    :param names: of the crystal and of the known phase.
    """
    data = []
    for lines, name, sign, colour in ((own, names[0], 1, BLUE), (known, names[1], -1, ORANGE)):
        if lines is None:
            continue
        x = [value for angle in lines.angles for value in (angle, angle, None)]
        y = [value for height in lines.heights for value in (0.0, sign * height, None)]
        label = "2θ %{x:.2f}°<extra>" + name + "</extra>"
        line = {"color": colour, "width": 1.6}
        data.append(
            {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": line} | {"hovertemplate": label}
        )
    layout = {
        "xaxis": {"title": {"text": "2θ (°), Cu Kα"}, "range": [10, 80]},
        "yaxis": {
            "title": {"text": "Intensity (%)"},
            "zeroline": True,
            "tickvals": [-100, -50, 0, 50, 100],
            "ticktext": ["100", "50", "0", "50", "100"],
        },
        "margin": _margins(8, left=48, bottom=40),
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    }
    return {"data": data, "layout": layout}
