"""The figures of a whole run: hull, funnel, energies, distributions, agreement of the judges.

A figure is what Plotly reads, as in :mod:`cgwgan_core.results.crystal_figures`. Markers that stand for crystals hold
their identifiers as ``customdata``, by which the page highlights what is selected in its table. A figure without
anything to show is ``None``; the page says why.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from cgwgan_core.crystallography.spacegroups import CRYSTAL_SYSTEMS, crystal_systems
from cgwgan_core.dft.hull import distance
from cgwgan_core.generator.distributions import DENSITY_EDGES, histogram
from cgwgan_core.phonons.phonons import PASSING
from cgwgan_core.results.crystal_figures import BLUE, GREY, ORANGE, RED, Figure
from cgwgan_core.results.crystals import SURVIVOR
from cgwgan_core.results.funnel import Funnel
from cgwgan_core.results.selection_error import SelectionError
from cgwgan_core.results.text import fixed, formula_text, symbol_text
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.refusals import OK

GREEN, PURPLE = "#2f9f8f", "#9a72c4"
Row = Mapping[str, Any]
MOST_POINTS = 6000
"""Of one kind, in a figure; more are thinned out evenly."""
CORNERS = {
    2: np.array([[0.0], [1.0]]),
    3: np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]]),
    4: np.array([[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(3) / 2, 0], [0.5, np.sqrt(3) / 6, np.sqrt(6) / 3]]),
}
"""Where the elements lie in a line, a triangle, a tetrahedron of edge 1."""


# --------------------------------------------------------------------------------------------------- hull


def hull_figures(chemistry: Sequence[str], known: Sequence[Row], crystals: Sequence[Row]) -> dict[str, Figure]:
    """The hull of the known phases, with the crystals of the run over it.

    Two elements: a line (``hull``). Three: a triangle with height (``hull``) and seen from above (``map``). Four: a
    tetrahedron (``hull``). Otherwise there is none. pymatgen computes the hull; crystals are no part of it, wherever
    they lie.

    :param known: rows of ``tables.KNOWN_PHASES``.
    :param crystals: rows with candidate_id, formula, spacegroup, fate, formation_energy_per_atom, energy_above_hull.
    """
    if len(chemistry) not in CORNERS:
        return {}
    elements = sorted(chemistry)
    known = [row for row in known if row["status"] == OK and row["formation_energy_per_atom"] is not None]
    crystals = [row for row in crystals if row["formation_energy_per_atom"] is not None]
    entries = [_entry(row) for row in known]
    entries += [PDEntry(Composition(symbol), 0.0) for symbol in elements]
    diagram = PhaseDiagram(entries)
    draw = {2: _line, 3: _triangle, 4: _tetrahedron}[len(elements)]
    groups = [
        (name, colour, size, _places(rows, elements), rows)
        for name, colour, size, rows in (
            ("known phases", GREY, 5, known),
            ("refused", RED, 3, _thinned([r for r in crystals if r["fate"] != SURVIVOR])),
            ("survivors", BLUE, 6, _thinned([r for r in crystals if r["fate"] == SURVIVOR])),
        )
        if rows
    ]
    return draw(elements, diagram, groups)


Group = tuple[str, str, int, Floats, Sequence[Row]]


def _entry(row: Row) -> PDEntry:
    composition = Composition(row["formula"])
    return PDEntry(composition, row["formation_energy_per_atom"] * composition.num_atoms)


def _thinned(rows: Sequence[Row]) -> Sequence[Row]:
    return rows[:: -(-len(rows) // MOST_POINTS) or 1]


def _places(rows: Sequence[Row], elements: Sequence[str]) -> Floats:
    """Where compositions lie between the corners, (N, number of elements - 1)."""
    shares = [[Composition(row["formula"]).get_atomic_fraction(symbol) for symbol in elements] for row in rows]
    found: Floats = np.reshape(shares, (-1, len(elements))) @ CORNERS[len(elements)]
    return found


def _facets(diagram: PhaseDiagram, elements: Sequence[str]) -> tuple[Floats, Floats, np.ndarray]:
    """The phases on the hull: their places, their energies (eV/atom), and the facets as their indices."""
    stable = sorted({int(i) for facet in diagram.facets for i in facet})
    entries = [diagram.qhull_entries[i] for i in stable]
    places = _places([{"formula": entry.composition.formula.replace(" ", "")} for entry in entries], elements)
    energies = np.array([diagram.get_form_energy_per_atom(entry) for entry in entries])
    facets = np.array([[stable.index(int(i)) for i in facet] for facet in diagram.facets])
    return places, energies, facets


def _told(row: Row) -> str:
    """What is shown of a phase that the reader points at."""
    lines = [f"<b>{formula_text(row['formula'])}</b>"]
    if row.get("spacegroup"):
        lines[0] += f" {symbol_text(row['spacegroup'])}"
    lines.append(row.get("candidate_id") or row.get("material_id") or "")
    lines.append(f"formation energy {fixed(row['formation_energy_per_atom'], 3)} eV/atom")
    if row.get("energy_above_hull") is not None:
        lines.append(f"{fixed(row['energy_above_hull'], 3)} eV/atom from the hull")
    if row.get("second_energy_above_hull") is not None:
        lines.append(f"{fixed(row['second_energy_above_hull'], 3)} by the second judge")
    lines += [str(row[name]) for name in ("fate", "reason", "defect") if row.get(name)]
    return "<br>".join(lines)


def _markers(group: Group, **axes: Any) -> Figure:
    name, colour, size, _, rows = group
    return {
        "mode": "markers",
        "name": f"{name}, {len(rows):,}",
        "marker": {"color": colour, "size": size},
        "text": [_told(row) for row in rows],
        "customdata": [row.get("candidate_id") for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
        **axes,
    }


def _line(elements: Sequence[str], diagram: PhaseDiagram, groups: Sequence[Group]) -> dict[str, Figure]:
    places, energies, _ = _facets(diagram, elements)
    order = np.argsort(places[:, 0])
    x, y = places[order, 0].tolist(), energies[order].tolist()
    data: list[Figure] = [
        {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": "hull of the known phases", "hoverinfo": "skip"}
        | {"line": {"color": GREY, "width": 2}}
    ]
    for group in groups:
        energy = [row["formation_energy_per_atom"] for row in group[4]]
        data.append(_markers(group, type="scatter", x=group[3][:, 0].tolist(), y=energy))
    layout = {
        "xaxis": {"title": {"text": f"Share of {elements[1]} in {elements[0]}–{elements[1]}"}, "range": [-0.02, 1.02]},
        "yaxis": {"title": {"text": "Formation energy (eV/atom)"}},
    }
    return {"hull": {"data": data, "layout": layout}}


def _triangle(elements: Sequence[str], diagram: PhaseDiagram, groups: Sequence[Group]) -> dict[str, Figure]:
    places, energies, facets = _facets(diagram, elements)
    corners = np.vstack([CORNERS[3], CORNERS[3][:1]])
    edges = sorted({tuple(sorted((int(f[i]), int(f[j])))) for f in facets for i, j in ((0, 1), (1, 2), (0, 2))})
    lines = [value for a, b in edges for value in (a, b, None)]
    tie_x, tie_y, tie_z = ([None if i is None else float(v[i]) for i in lines] for v in (*places.T, energies))
    surface = {
        "type": "mesh3d", "x": places[:, 0].tolist(), "y": places[:, 1].tolist(), "z": energies.tolist(),
        **dict(zip("ijk", facets.T.tolist(), strict=True)), "color": GREY, "opacity": 0.22, "hoverinfo": "skip",
        "name": "hull of the known phases", "flatshading": True,
    }  # fmt: skip
    wire = {"mode": "lines", "hoverinfo": "skip", "line": {"color": GREY, "width": 2}, "showlegend": False}
    rim = {"type": "scatter3d", "x": corners[:, 0].tolist(), "y": corners[:, 1].tolist(), "z": [0.0] * 4}
    names = {
        "type": "scatter3d", "mode": "text", "x": CORNERS[3][:, 0].tolist(), "y": CORNERS[3][:, 1].tolist(),
        "z": [0.0] * 3, "text": list(elements), "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip
    solid = [surface, rim | wire, {"type": "scatter3d", "x": tie_x, "y": tie_y, "z": tie_z} | wire, names]
    flat: list[Figure] = [
        {"type": "scatter", "x": corners[:, 0].tolist(), "y": corners[:, 1].tolist()} | wire,
        {"type": "scatter", "x": tie_x, "y": tie_y} | wire | {"line": {"color": GREY, "width": 1}},
    ]
    for group in groups:
        x, y = group[3].T.tolist()
        z = [row["formation_energy_per_atom"] for row in group[4]]
        solid.append(_markers(group, type="scatter3d", x=x, y=y, z=z))
        solid[-1]["marker"]["size"] = group[2] - 1
    best = _best_of_each_composition(groups)
    flat += [_heights(group, showscale=i == len(best) - 1) for i, group in enumerate(best)]
    hidden = {"visible": False}
    energy = {"title": {"text": "eV/atom"}, "showbackground": False}
    scene = {
        "xaxis": hidden, "yaxis": hidden, "zaxis": energy,
        "aspectmode": "manual", "aspectratio": {"x": 1, "y": 1, "z": 0.8},
        "camera": {"eye": {"x": 0.35, "y": -1.6, "z": 0.75}},
    }  # fmt: skip
    labels = [
        {"x": float(x), "y": float(y), "text": symbol, "showarrow": False, "yshift": 14 if y else -14}
        for symbol, (x, y) in zip(elements, CORNERS[3], strict=True)
    ]
    plain = {
        "xaxis": {"visible": False, "range": [-0.06, 1.06]},
        "yaxis": {"visible": False, "scaleanchor": "x", "range": [-0.1, 0.96]},
        "annotations": labels,
    }
    legend = {"orientation": "h", "x": 0, "y": 0}
    return {
        "hull": {"data": solid, "layout": {"scene": scene, "legend": legend}},
        "map": {"data": flat, "layout": plain | {"legend": legend}},
    }


def _best_of_each_composition(groups: Sequence[Group]) -> list[Group]:
    """Of each group, the crystal of each composition that is nearest to the hull."""
    found: list[Group] = []
    for name, colour, size, places, rows in groups:
        best: dict[str, int] = {}
        for i, row in enumerate(rows):
            if _height(row) < _height(rows[best.setdefault(row["formula"], i)]):
                best[row["formula"]] = i
        chosen = list(best.values())
        found.append((name, colour, size, places[chosen], [rows[i] for i in chosen]))
    return found


def _height(row: Row) -> float:
    return float("inf") if row["energy_above_hull"] is None else float(row["energy_above_hull"])


def _heights(group: Group, showscale: bool, **axes: Any) -> Figure:
    """Markers coloured by distance to the hull, their shape by what they are."""
    x, y = group[3].T.tolist()[:2]
    found = _markers(group, **{"type": "scatter", "x": x, "y": y, **axes})
    symbols = {"known phases": "square", "refused": "x-thin-open", "survivors": "circle"}
    found["marker"] = {
        "symbol": symbols[group[0]], "size": 9, "color": [row["energy_above_hull"] for row in group[4]],
        "cmin": 0, "cmax": 0.2, "colorscale": "Viridis", "showscale": showscale,
        "colorbar": {"title": {"text": "eV/atom<br>above"}, "thickness": 12},
        "line": {"width": 1, "color": GREY},
    }  # fmt: skip
    return found


def _tetrahedron(elements: Sequence[str], diagram: PhaseDiagram, groups: Sequence[Group]) -> dict[str, Figure]:
    """Compositions in space; the distance to the hull is a colour."""
    places, _, facets = _facets(diagram, elements)
    pairs = sorted({tuple(sorted((int(a), int(b)))) for f in facets for a in f for b in f if a != b})
    ties = [None if i is None else places[i] for a, b in pairs for i in (a, b, None)]
    sides = [None if i is None else CORNERS[4][i] for a in range(4) for b in range(a) for i in (a, b, None)]
    data = []
    for points, width in ((sides, 3), (ties, 1)):
        x, y, z = ([None if point is None else float(point[k]) for point in points] for k in range(3))
        data.append(
            {"type": "scatter3d", "mode": "lines", "x": x, "y": y, "z": z, "hoverinfo": "skip", "showlegend": False}
            | {"line": {"color": GREY, "width": width}}
        )
    at = dict(zip("xyz", CORNERS[4].T.tolist(), strict=True))
    data.append(
        {"type": "scatter3d", "mode": "text", "text": list(elements), "hoverinfo": "skip", "showlegend": False} | at
    )
    best = _best_of_each_composition(groups)
    for i, group in enumerate(best):
        solid = _heights(group, i == len(best) - 1, type="scatter3d", z=group[3][:, 2].tolist())
        solid["marker"] |= {"size": 5, "symbol": {"refused": "x"}.get(group[0], solid["marker"]["symbol"])}
        data.append(solid)
    hidden = {"visible": False}
    scene = {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"}
    return {"hull": {"data": data, "layout": {"scene": scene, "legend": {"orientation": "h", "x": 0, "y": 0}}}}


# ------------------------------------------------------------------------------------------ how it got there


def funnel_figure(funnel: Funnel) -> Figure:
    """What every stage kept of what entered it, logarithmic; the reasons of the others are told at the bars."""
    names = [stage.name for stage in funnel.stages]
    kept = [stage.kept for stage in funnel.stages]
    refused = [stage.count_in - stage.kept for stage in funnel.stages]
    reasons = ["<br>".join(f"{why}: {n:,}" for why, n in stage.refused.items()) or "nothing" for stage in funnel.stages]
    bar = {"type": "bar", "orientation": "h", "y": names}
    data = [
        bar | {"x": kept, "name": "kept", "marker": {"color": BLUE}, "text": [f"{n:,}" for n in kept]}
        | {"textposition": "auto", "hovertemplate": "%{y}: %{x:,} kept<extra></extra>"},
        bar | {"x": refused, "name": "refused", "marker": {"color": GREY, "opacity": 0.45}, "customdata": reasons}
        | {"meta": "reasons", "hovertemplate": "%{x:,} refused<br>%{customdata}<extra></extra>"},
    ]  # fmt: skip
    layout = {
        "barmode": "stack",
        "xaxis": {
            "type": "log",
            "title": {"text": "Number, logarithmic"},
            "dtick": 1,
            "range": [-0.3, _decades(funnel)],
        },
        "yaxis": {"autorange": "reversed", "automargin": True},
        "height": 60 + 30 * len(names),
    }
    return {"data": data, "layout": layout}


def _decades(funnel: Funnel) -> float:
    return float(np.log10(max([10, *(stage.count_in for stage in funnel.stages)]))) + 0.1


def energies_figure(parts: Mapping[str, ArrayLike]) -> Figure | None:
    """Distances to the hull of each part as counts on a logarithmic scale; the highest hundredth in the last bin.

    :param parts: name -> distances, eV/atom; not-a-number where there is none.
    """
    values = {name: _finite(x) for name, x in parts.items()}
    everything = np.concatenate([*values.values()]) if values else np.empty(0)
    if not everything.size:
        return None
    low, high = float(everything.min()), float(np.percentile(everything, 99))
    edges = np.linspace(low, max(high, low + 0.1), 61)
    colours = (GREY, ORANGE, BLUE, GREEN)
    data = []
    for (name, x), colour in zip(values.items(), colours, strict=False):
        counts = np.histogram(np.clip(x, edges[0], edges[-1]), edges)[0]
        data.append(_steps(edges, counts, f"{name}, {len(x):,}", colour, "%{y:,} at %{x:.3f} eV/atom"))
    layout = {
        "xaxis": {"title": {"text": "Distance to the hull (eV/atom)"}},
        "yaxis": {"type": "log", "title": {"text": "Crystals per bin"}, "dtick": 1},
    }
    return {"data": data, "layout": layout}


def _finite(values: ArrayLike) -> Floats:
    found = np.asarray(values, dtype=float)
    kept: Floats = found[np.isfinite(found)]
    return kept


def _steps(edges: Floats, heights: ArrayLike, name: str, colour: str, told: str) -> Figure:
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    return {
        "type": "scatter", "mode": "lines", "x": middles, "y": np.asarray(heights).tolist(), "name": name,
        "line": {"color": colour, "width": 1.5, "shape": "hvh"}, "fill": "tozeroy",
        "hovertemplate": told + "<extra></extra>",
    }  # fmt: skip


def relaxing_figure(rows: Sequence[Row]) -> Figure | None:
    """Distances to the hull after relaxation over those before.

    :param rows: with candidate_id, formula, before (eV/atom), energy_above_hull, fate.
    """
    rows = [row for row in rows if None not in (row["before"], row["energy_above_hull"])]
    names = (("refused", RED), ("survivors", BLUE))
    parts = [_thinned([row for row in rows if (row["fate"] == "survivor") == wanted]) for wanted in (False, True)]
    pairs = [(name, colour, part) for (name, colour), part in zip(names, parts, strict=True)]
    return _against(pairs, "before", "energy_above_hull", "Before relaxation (eV/atom)", "After relaxation (eV/atom)")


def _against(
    groups: Sequence[tuple[str, str, Sequence[Row]]], first: str, second: str, x_title: str, y_title: str
) -> Figure | None:
    """One column over another, each crystal a marker, with the diagonal."""
    data: list[Figure] = []
    for name, colour, rows in groups:
        if rows:
            x, y = ([row[column] for row in rows] for column in (first, second))
            group = (name, colour, 6, np.empty((0, 1)), rows)
            data.append(_markers(group, type="scatter", x=x, y=y))
            data[-1]["marker"]["opacity"] = 0.75
    if not data:
        return None
    values = [value for trace in data for value in (*trace["x"], *trace["y"])]
    ends = [min(values), max(values)]
    diagonal = {"type": "scatter", "mode": "lines", "x": ends, "y": ends, "hoverinfo": "skip", "showlegend": False}
    data.insert(0, diagonal | {"line": {"color": GREY, "width": 1, "dash": "dot"}})
    return {"data": data, "layout": {"xaxis": {"title": {"text": x_title}}, "yaxis": {"title": {"text": y_title}}}}


def spacegroups_figure(real: ArrayLike, generated: ArrayLike) -> Figure | None:
    """Shares of the 20 space groups that are most frequent in the training set.

    :param real: numbers of the training templates, (N,).
    :param generated: numbers of the generated templates, (M,).
    """
    p, q = (np.bincount(np.asarray(x, int), minlength=231) / max(np.size(x), 1) for x in (real, generated))
    first = [int(g) for g in np.lexsort((np.arange(231), -p))[:20] if p[g] > 0]
    return _pairs([symbol_text(g) for g in first], p[first], q[first])


def systems_figure(real: ArrayLike, generated: ArrayLike) -> Figure | None:
    """Shares of the seven crystal systems; parameters as in :func:`spacegroups_figure`."""
    p, q = (
        np.array([np.sum(crystal_systems(x) == system) for system in CRYSTAL_SYSTEMS]) / max(np.size(x), 1)
        for x in (real, generated)
    )
    return _pairs(CRYSTAL_SYSTEMS, p, q)


def atoms_figure(real: ArrayLike, generated: ArrayLike) -> Figure | None:
    """Shares of the numbers of atoms in the conventional cell, in at most 12 classes of equal width.

    :param real: atoms of the training templates, (N,).
    :param generated: atoms of the generated templates, (M,).
    """
    both = np.concatenate([np.asarray(real, int), np.asarray(generated, int)])
    last = np.percentile(both, 98) if both.size else 1
    step = next(width for width in (2, 4, 6, 8, 10, 12, 16, 20, 30, 40, 10**6) if width * 12 >= last)
    n = max(2, int(np.ceil(last / step)))
    edges = np.arange(n + 1) * step + 0.5  # the last class also holds all beyond it
    labels = [f"{int(a + 0.5)}–{int(b - 0.5)}" for a, b in pairwise(edges)]
    labels[-1] = f"≥ {int(edges[-2] + 0.5)}"
    return _pairs(labels, histogram(real, edges), histogram(generated, edges))


def _pairs(labels: Sequence[str], p: Floats, q: Floats) -> Figure | None:
    if not np.any(p) and not np.any(q):
        return None
    data = [
        {"type": "bar", "x": list(labels), "y": (100 * share).tolist(), "name": name, "marker": {"color": colour}}
        | {"hovertemplate": "%{x}: %{y:.1f} %<extra>" + name + "</extra>"}
        for name, colour, share in (("training", GREY, p), ("generated", BLUE, q))
    ]
    return {
        "data": data,
        "layout": {"yaxis": {"title": {"text": "Share of templates (%)"}}, "xaxis": {"type": "category"}},
    }


def density_figure(real: ArrayLike, generated: ArrayLike) -> Figure | None:
    """Distributions of number density.

    :param real: of the training templates, (N,) 1/Å³.
    :param generated: of the generated templates, (M,) 1/Å³.
    """
    p, q = histogram(real, DENSITY_EDGES), histogram(generated, DENSITY_EDGES)
    used = np.flatnonzero(p + q)
    if not used.size:
        return None
    edges = DENSITY_EDGES[: used[-1] + 2]
    data = [
        _steps(edges, 100 * share[: len(edges) - 1], f"{name}, {np.size(x):,}", colour, "%{y:.2f} % at %{x:.3f} Å⁻³")
        for name, colour, share, x in (("training", GREY, p, real), ("generated", BLUE, q, generated))
    ]
    step = f"{DENSITY_EDGES[1] - DENSITY_EDGES[0]:.3f}"
    titles = {"xaxis": {"title": {"text": "Number density (atoms/Å³)"}}}
    return {"data": data, "layout": titles | {"yaxis": {"title": {"text": f"Share per {step} Å⁻³ (%)"}}}}


def formation_figure(parts: Mapping[str, ArrayLike]) -> Figure | None:
    """Distributions of formation energies, each with area one.

    :param parts: name -> formation energies, eV/atom.
    """
    values = {name: x for name, found in parts.items() if len(x := _finite(found))}
    if not values:
        return None
    everything = np.concatenate([*values.values()])
    low, high = np.percentile(everything, [0, 99.5])
    edges = np.linspace(low, max(high, low + 0.1), 51)
    data = [
        _steps(edges, np.histogram(x, edges)[0] / len(x) * 100, f"{name}, {len(x):,}", colour, "%{y:.1f} % at %{x:.2f}")
        for (name, x), colour in zip(values.items(), (GREY, ORANGE, BLUE, GREEN), strict=False)
    ]
    titles = {"xaxis": {"title": {"text": "Formation energy (eV/atom)"}}}
    return {"data": data, "layout": titles | {"yaxis": {"title": {"text": "Share per bin (%)"}}}}


# ---------------------------------------------------------------------------------------- how far to trust it


def latent_figure(real: Sequence[Sequence[float]], generated: Sequence[Sequence[float]]) -> Figure | None:
    """The critic's latent space in two dimensions, a marker for each template.

    :param real: places of training templates, (N, 2); axes have no unit.
    :param generated: places of generated templates, (M, 2).
    """
    if not len(real) or not len(generated):
        return None
    data = []
    for name, colour, points in (("training", GREY, real), ("generated", BLUE, generated)):
        x, y = np.asarray(points, dtype=float).T.tolist()
        data.append(
            {"type": "scatter", "mode": "markers", "x": x, "y": y, "name": f"{name}, {len(points):,}"}
            | {"marker": {"color": colour, "size": 4, "opacity": 0.8}, "hoverinfo": "skip"}
        )
    axis = {"showticklabels": False}
    layout = {"xaxis": axis | {"title": {"text": "t-SNE 1"}}, "yaxis": axis | {"title": {"text": "t-SNE 2"}}}
    return {"data": data, "layout": layout}


CURVES = {
    "wasserstein": "Wasserstein distance",
    "gradient_penalty": "gradient penalty",
    "coordinates": "velocity of coordinates (Å²)",
    "cell": "velocity of the cell",
    "letters_nll": "-ln p(sites and letters | group)",
}
"""Columns of ``training.csv`` that are drawn, and what they are called."""


def training_figure(curve: Mapping[str, ArrayLike]) -> Figure | None:
    """Losses over the training: of a GAN the critic's, of a flow all.

    :param curve: columns of ``training.csv``.
    """
    names = [name for name in CURVES if name in curve and not (name == "letters_nll" and "wasserstein" in curve)]
    data = []
    for name, colour in zip(names, (BLUE, GREY, ORANGE), strict=False):
        step, value = (np.asarray(curve[column], dtype=float) for column in ("step", name))
        if len(value):
            y = [None if not np.isfinite(v) else float(v) for v in value]
            line = {"color": colour, "width": 1}
            trace = {"type": "scatter", "mode": "lines", "x": step.tolist(), "y": y, "name": CURVES[name], "line": line}
            data.append(trace)
    layout = {"xaxis": {"title": {"text": "Step"}}, "yaxis": {"title": {"text": "Loss"}}}
    return {"data": data, "layout": layout} if data else None


def cascade_figure(error: SelectionError | None) -> Figure | None:
    """How much higher the judge puts candidates than the screening potential, by the latter's rank."""
    if error is None:
        return None
    data = []
    for name, colour, mask in (("selected", BLUE, error.best), ("random", ORANGE, ~error.best)):
        every = slice(None, None, -(-int(mask.sum()) // MOST_POINTS) or 1)
        x, y = error.rank[mask][every].tolist(), error.difference[mask][every].tolist()
        data.append(
            {"type": "scatter", "mode": "markers", "x": x, "y": y, "name": f"{name}, {int(mask.sum()):,}"}
            | {"marker": {"color": colour, "size": 4, "opacity": 0.6}, "hovertemplate": "rank %{x:,}: %{y:.3f} eV/atom"}
        )
    layout = {
        "xaxis": {"type": "log", "title": {"text": "Rank by the screening potential"}},
        "yaxis": {"title": {"text": "Judge less screening (eV/atom)"}, "zeroline": True},
    }
    return {"data": data, "layout": layout}


def judges_figure(rows: Sequence[Row]) -> Figure | None:
    """The second judge's distance to the hull over the first's.

    :param rows: with candidate_id, formula, fate, energy_above_hull, second_energy_above_hull.
    """
    both = [row for row in rows if None not in (row["energy_above_hull"], row["second_energy_above_hull"])]
    groups = [
        ("refused", RED, _thinned([row for row in both if row["fate"] != "survivor"])),
        ("survivors", BLUE, _thinned([row for row in both if row["fate"] == "survivor"])),
    ]
    return _against(
        groups,
        "energy_above_hull",
        "second_energy_above_hull",
        "By the judge (eV/atom)",
        "By the second judge (eV/atom)",
    )


def frequencies_figure(rows: Sequence[Row]) -> Figure | None:
    """The second judge's lowest frequency over the first's, THz.

    :param rows: with min_frequency, second_min_frequency, verdict.
    """
    both = [row for row in rows if None not in (row["min_frequency"], row["second_min_frequency"])]
    groups = [
        ("unstable", RED, [row for row in both if row["verdict"] not in PASSING]),
        ("stable or borderline", BLUE, [row for row in both if row["verdict"] in PASSING]),
    ]
    return _against(groups, "min_frequency", "second_min_frequency", "By the judge (THz)", "By the second judge (THz)")


def known_figure(known: Sequence[Row]) -> Figure | None:
    """The potential's formation energies of the known phases over the database's."""
    rows = [
        row
        for row in known
        if row["status"] == OK and row["lattice"] and row["database_formation_energy_per_atom"] is not None
        and row["formation_energy_per_atom"] is not None
    ]  # fmt: skip
    names = ("database_formation_energy_per_atom", "formation_energy_per_atom")
    groups = [
        ("doubted entries", ORANGE, [row for row in rows if row["defect"]]),
        ("known phases", GREY, [row for row in rows if not row["defect"]]),
    ]
    return _against(groups, *names, "By the database (eV/atom)", "By the judge (eV/atom)")


def dft_figure(rows: Sequence[Row]) -> Figure | None:
    """Distances to the hull by DFT over those by the potential, candidates with the interval that was expected.

    :param rows: of ``tables.DFT``, with hull_low and hull_high where they are known.
    """
    placed = [{**row, "candidate_id": row["crystal_id"], "energy_above_hull": distance(row)} for row in rows]
    shown = [row for row in placed if None not in (row["energy_above_hull"], row["potential_energy_above_hull"])]
    groups = [
        ("known phases", GREY, [row for row in shown if row["kind"] != "candidate"]),
        ("candidates", BLUE, [row for row in shown if row["kind"] == "candidate"]),
    ]
    found = _against(
        groups, "potential_energy_above_hull", "energy_above_hull", "By the potential (eV/atom)", "By DFT (eV/atom)"
    )
    ranged = [row for row in shown if row.get("hull_low") is not None]
    if found is not None and ranged:
        x = [row["potential_energy_above_hull"] for row in ranged for _ in range(3)]
        y = [value for row in ranged for value in (row["hull_low"], row["hull_high"], None)]
        found["data"].insert(
            1,
            {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": "90 % expected", "hoverinfo": "skip"}
            | {"line": {"color": BLUE, "width": 5}, "opacity": 0.25},
        )
    return found
