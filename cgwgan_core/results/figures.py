"""The figures that stand alone as SVG files: each function takes plain arrays and gives the same bytes every time.

Text is drawn as outlines, on white. The SVG carries no date, no address and no outside reference.
"""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from cgwgan_core.crystallography.spacegroups import CRYSTAL_SYSTEMS, crystal_systems
from cgwgan_core.generator.distributions import DENSITY_EDGES, histogram, overlap
from cgwgan_core.results.funnel import Funnel, Stage
from cgwgan_core.workflow.arrays import Floats

INK, MUTED, GRID = "#1d2733", "#6b7683", "#e3e7eb"
REAL, GENERATED, ACCENT, IMAGINARY = "#a3aebb", "#1b6f93", "#e07b29", "#c2362b"

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same layout everywhere
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "svg.hashsalt": "cgwgan",
    "svg.fonttype": "path",
}
_WIDTH = 7.4  # inches: the width of the report's column


@dataclass(frozen=True)
class Bands:
    """The phonon bands of one crystal, as in the table of phonons."""

    title: str
    """Formula and space group."""
    verdict: str
    """What the title says beside it: the verdict and the lowest frequency."""
    stable: bool
    distances: Floats
    """Distance of each q-point along the path, (p,), 1/Å."""
    frequencies: Floats
    """(p, 3n) THz, imaginary ones negative."""
    breaks: Sequence[int]
    """Index of the first q-point of each segment of the path."""
    ticks: Sequence[float]
    """Distance of each labelled point, 1/Å."""
    labels: Sequence[str]
    """Its label as it is printed, with both names where the path jumps (``X|U``)."""


@dataclass(frozen=True)
class Electrons:
    """Bands and densities of states of one crystal, as in the table of electrons."""

    title: str
    """Formula."""
    note: str
    """What the title says beside it: the gap."""
    distances: Floats
    """Distance of each k-point along the path, (p,), 1/Å."""
    bands: Floats
    """(spins, p, bands) eV."""
    ticks: Sequence[float]
    """Distance of each labelled point, 1/Å."""
    labels: Sequence[str]
    """Its label."""
    energies: Floats
    """(e,) eV, from the same zero as the bands."""
    dos: Floats
    """(spins, e) 1/eV."""
    projected: Mapping[str, Floats]
    """Its part near each element's atoms, of the same shape."""
    zero: str
    """What lies at zero."""


_GROUPS = (
    ("Database", "#7d8b99", ("read", "asu", "training")),
    ("Generator", GENERATED, ("templates", "candidates")),
    (
        "Potential",
        "#2f8f7f",
        ("screened", "promoted", "evaluated", "ranked", "relaxed", "novel", "chosen", "phonons", "followed", "stable"),
    ),
    ("DFT", "#7a4f9a", ("dft", "dft_near", "dft_phonons")),
)


def figure_funnel(funnel: Funnel) -> str:
    """The counts of a run as horizontal bars on a logarithmic scale, what was refused pale and in grey."""
    with _styled():
        row, gap = 1.0, 0.42
        groups = [
            (name, colour, [stage for stage in funnel.stages if stage.key in keys])
            for name, colour, keys in _GROUPS
            if any(stage.key in keys for stage in funnel.stages)
        ]
        height = row * len(funnel.stages) + gap * len(groups)
        figure, axes = _figure(8.6, 0.43 * height + 0.45, left=0.335, right=0.985, bottom=0.075, top=0.995)
        largest = max(1, *(stage.count_in for stage in funnel.stages))
        axes.set(xlim=(0, _log(largest) * 1.02), ylim=(height, 0))
        for power in range(int(np.log10(largest)) + 1):
            axes.axvline(_log(10**power), color=GRID, linewidth=0.7, zorder=0)
        y = 0.0
        for name, colour, stages in groups:
            y += gap
            label = axes.get_yaxis_transform()
            axes.text(-0.5, y - 0.1, name.upper(), transform=label, color=colour, size=7, weight="bold")
            for stage in stages:
                _draw_stage(axes, stage, y, ACCENT if stage.key == "stable" else colour)
                y += row
        powers = range(int(np.log10(largest)) + 1)
        axes.set_xticks([0, *(_log(10**p) for p in powers)], ["0", *(f"{10**p:,}" for p in powers)])
        axes.tick_params(axis="x", length=0, labelcolor=MUTED, labelsize=7)
        axes.set_yticks([])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        what = "Number of crystals at each stage of the run, logarithmic scale"
        axes.text(
            -0.03, -0.005, "logarithmic scale", size=7, color=MUTED, transform=axes.transAxes, ha="right", va="top"
        )
        return _svg(figure, what)


def _log(n: int) -> float:
    """Place of a count on the axis: logarithmic from 1 on, with 0 at the origin."""
    return float(np.log10(n) + 0.3) if n else 0.0


def _draw_stage(axes: Axes, stage: Stage, y: float, colour: str) -> None:
    middle = y + 0.3
    if stage.count_in > stage.kept:
        pale = 1 - 0.16 * (1 - np.array(to_rgb(colour)))
        axes.barh(middle, _log(stage.count_in), 0.46, color=pale, linewidth=0)
        if not stage.follows and _log(stage.count_in) - _log(stage.kept) > 0.17 * axes.get_xlim()[1]:
            at = _log(stage.count_in) - 0.06
            axes.text(at, middle, f"of {stage.count_in:,}", ha="right", va="center_baseline", color=colour, size=7.5)
    axes.barh(middle, _log(stage.kept), 0.46, color=colour, linewidth=0)
    inside = _log(stage.kept) > 0.9
    axes.text(
        _log(stage.kept) + (-0.06 if inside else 0.06),
        middle,
        f"{stage.kept:,}",
        ha="right" if inside else "left",
        va="center_baseline",
        color="white" if inside else colour,
        weight="bold",
        size=8.5,
    )
    axes.text(-0.03, middle, stage.name, transform=axes.get_yaxis_transform(), ha="right", va="center_baseline")
    if stage.refused:
        axes.text(0.05, middle + 0.43, "− " + _refusals(stage), size=6.6, color=MUTED, va="center_baseline")


def _refusals(stage: Stage) -> str:
    """What a stage refused in one line: the three most frequent reasons where there is room, the rest as one number."""
    shown: list[str] = []
    rest = dict(stage.refused)
    for reason in list(rest)[:3]:
        text = f"{reason} ({rest[reason]:,})"
        if shown and len(" · ".join([*shown, text])) > 100:
            break
        shown.append(text)
        del rest[reason]
    if rest:
        shown.append(f"other reasons ({sum(rest.values()):,})")
    return " · ".join(shown)


def figure_crystal_systems(real: ArrayLike, generated: ArrayLike) -> str:
    """Shares of the seven crystal systems, as pairs of bars.

    :param real: space groups of the training templates, (N,).
    :param generated: space groups of the generated templates, (M,).
    """
    p, q = (
        np.array([np.sum(crystal_systems(x) == system) for system in CRYSTAL_SYSTEMS]) / max(np.size(x), 1)
        for x in (real, generated)
    )
    with _styled():
        figure, axes = _figure(_WIDTH / 2, 2.9, left=0.14, right=0.985, bottom=0.25, top=0.91)
        x = np.arange(len(CRYSTAL_SYSTEMS))
        axes.bar(x - 0.2, 100 * p, 0.4, color=REAL, linewidth=0)
        axes.bar(x + 0.2, 100 * q, 0.4, color=GENERATED, linewidth=0)
        axes.set_xticks(x, CRYSTAL_SYSTEMS, rotation=45, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="x", length=0, pad=1)
        axes.set(ylabel="Share of templates (%)", xlim=(-0.6, len(CRYSTAL_SYSTEMS) - 0.4))
        axes.set_ylim(0, 130 * max([0.01, *p, *q]))  # room for the names above the bars
        axes.set_title("Crystal systems")
        axes.grid(axis="y")
        _legend(axes, [("training", REAL), ("generated", GENERATED)])
        return _svg(figure, "Crystal systems: shares in the training set and among generated templates")


def figure_number_density(real: ArrayLike, generated: ArrayLike) -> str:
    """Distributions of number density, with their overlap Σ min(p, q).

    :param real: number densities of the training templates, (N,), 1/Å³.
    :param generated: number densities of the generated templates, (M,), 1/Å³.
    """
    with _styled():
        figure, axes = _figure(_WIDTH, 2.7, left=0.095, right=0.985, bottom=0.17, top=0.96)
        edges = DENSITY_EDGES
        p, q = histogram(real, edges), histogram(generated, edges)
        axes.stairs(100 * p, edges, fill=True, color=REAL, alpha=0.75, linewidth=0)
        axes.stairs(100 * q, edges, color=GENERATED, linewidth=1.6)
        axes.stairs(100 * np.minimum(p, q), edges, fill=True, color=GENERATED, alpha=0.18, linewidth=0)
        used = np.flatnonzero(p + q)
        axes.set_xlim(edges[0], edges[min(used[-1] + 2, len(edges) - 1)] if used.size else edges[-1])
        axes.set_ylim(0, None if used.size else 1)
        step = edges[1] - edges[0]
        axes.set(xlabel="Number density (atoms/Å³)", ylabel=f"Share of templates\nper {step:.3f} Å⁻³ (%)")
        names = f"training, {np.size(real):,}", f"generated, {np.size(generated):,}"
        _legend(axes, list(zip(names, (REAL, GENERATED), strict=True)))
        if np.size(real) and np.size(generated):
            text = f"overlap Σ min(p, q) = {overlap(p, q):.3f}"
            axes.text(0.99, 0.74, text, transform=axes.transAxes, ha="right", va="top", size=8.5)
        return _svg(figure, "Distributions of number density, training and generated templates")


def figure_bands(crystals: Sequence[Bands]) -> str:
    """Phonon bands, one panel a crystal, imaginary frequencies below zero and in red; empty text for none."""
    if not crystals:
        return ""
    columns = min(2, len(crystals))
    rows = -(-len(crystals) // columns)
    with _styled():
        figure = Figure(figsize=(_WIDTH, 2.7 * rows))
        margin = 0.42 / (2.7 * rows)
        figure.subplots_adjust(left=0.075, right=0.985, bottom=0.6 * margin, top=1 - margin, hspace=0.38)
        for place, crystal in enumerate(crystals):
            axes = figure.add_subplot(rows, columns, place + 1)
            _draw_bands(axes, crystal)
            if place % columns == 0:
                axes.set_ylabel("Frequency (THz)")
        names = ", ".join(crystal.title for crystal in crystals)
        return _svg(figure, f"Phonon bands of {names}")


def _draw_bands(axes: Axes, crystal: Bands) -> None:
    """Lines are pixels: they are tens of thousands of points."""
    x, y = crystal.distances, crystal.frequencies
    starts = sorted({0, *crystal.breaks})
    for start, end in zip(starts, [*starts[1:], len(x)], strict=True):
        piece = slice(start, end)
        below = np.where(y[piece] < 0, y[piece], np.nan)
        axes.plot(x[piece], y[piece], color=GENERATED, linewidth=0.8, rasterized=True)
        axes.plot(x[piece], below, color=IMAGINARY, linewidth=1.1, rasterized=True)
    axes.axhline(0, color=INK, linewidth=0.7)
    low, high = float(y.min()), float(y.max())
    axes.set(xlim=(x.min(), x.max()), ylim=(min(1.15 * low, -0.03 * high), 1.04 * high))
    if low < 0:
        axes.axhspan(axes.get_ylim()[0], 0, color=IMAGINARY, alpha=0.06, linewidth=0)
    for tick in crystal.ticks:
        axes.axvline(tick, color=GRID, linewidth=0.7, zorder=0)
    axes.set_xticks(crystal.ticks, _room(crystal.ticks, crystal.labels, 0.03 * float(np.ptp(x))))
    axes.tick_params(axis="x", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_title(crystal.title)
    colour = GENERATED if crystal.stable else IMAGINARY
    axes.set_title(crystal.verdict, loc="right", color=colour, weight="normal", size=8)


_SPINS = (GENERATED, ACCENT)
_ELEMENTS = ("#7a4f9a", "#2f8f7f", IMAGINARY, "#8a6d1d", "#4a62b8", "#6b7683")
_WINDOW = (-8.0, 6.0)  # eV


def figure_electrons(crystal: Electrons) -> str:
    """Electronic bands and, beside them on the same axis, densities of states; an SVG by itself.

    Of two spins the first is drawn to the right and the second, in another colour, to the left.
    """
    with _styled():
        figure = Figure(figsize=(_WIDTH, 3.6))
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.2, 1))
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.12, top=0.92, wspace=0.06)
        for bands, colour in zip(crystal.bands, _SPINS, strict=False):
            left.plot(crystal.distances, bands, color=colour, linewidth=0.8)
        for tick in crystal.ticks:
            left.axvline(tick, color=GRID, linewidth=0.7, zorder=0)
        span = float(np.ptp(crystal.distances))
        left.set_xticks(crystal.ticks, _room(crystal.ticks, crystal.labels, 0.03 * span))
        left.set(
            xlim=(crystal.distances[0], crystal.distances[-1]), ylim=_WINDOW, ylabel=f"Energy from {crystal.zero} (eV)"
        )
        left.set_title(crystal.title)
        left.set_title(crystal.note, loc="right", color=MUTED, weight="normal", size=8)
        if len(crystal.bands) == 2:
            for at, text, colour in zip((0.9, 0.995), ("spin up", "spin down"), _SPINS, strict=True):
                left.text(
                    at, 0.99, text, transform=left.transAxes, ha="right", va="top", color=colour, weight="bold", size=7
                )
        _draw_dos(right, crystal)
        for axes in (left, right):
            axes.axhline(0, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
            axes.tick_params(axis="x", length=0)
        what = f"Electronic bands and density of states of {crystal.title}"
        return _svg(figure, what)


def _draw_dos(axes: Axes, crystal: Electrons) -> None:
    seen = (crystal.energies >= _WINDOW[0]) & (crystal.energies <= _WINDOW[1])
    energies, signs = crystal.energies[seen], (1, -1)
    for sign, total in zip(signs, crystal.dos[:, seen], strict=False):
        axes.fill_betweenx(energies, sign * total, color=REAL, alpha=0.45, linewidth=0)
    names = [("total", REAL)]
    for place, (element, parts) in enumerate(crystal.projected.items()):
        colour = _ELEMENTS[place % len(_ELEMENTS)]
        names.append((element, colour))
        for sign, part in zip(signs, parts[:, seen], strict=False):
            axes.plot(sign * part, energies, color=colour, linewidth=0.9)
    most = 1.05 * max(float(crystal.dos[:, seen].max(initial=0.0)), 0.1)
    axes.set(xlim=(-most if len(crystal.dos) == 2 else 0, most), xlabel="States per eV and cell")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    _legend(axes, names, step=0.06)


_ARMS = {"generated": GENERATED, "random": ACCENT}


def figure_convergence(points: Sequence[Mapping[str, Any]]) -> str:
    """Shares of converged relaxations with 95 % intervals, and median energies below; a column a number of elements.

    :param points: rows of ``tables.CONVERGENCE``.
    """
    numbers = sorted({row["n_elements"] for row in points}) or [1]
    with _styled():
        figure = Figure(figsize=(_WIDTH, 4.2))
        grid = figure.subplots(2, len(numbers), sharex=True, sharey="row", squeeze=False)
        figure.subplots_adjust(left=0.1, right=0.985, bottom=0.11, top=0.93, wspace=0.1, hspace=0.12)
        for (above, below), number in zip(grid.T, numbers, strict=True):
            for place, (arm, colour) in enumerate(_ARMS.items()):
                rows = [row for row in points if row["arm"] == arm and row["n_elements"] == number]
                _draw_arm(above, below, rows, colour, 0.5 * place - 0.25)
            above.set_title({1: "Elements", 2: "Binary", 3: "Ternary"}.get(number, f"{number} elements"))
            below.set_xlabel("Atoms in the conventional cell")
        grid[0, 0].set(ylabel="Converged (%)", ylim=(0, 103))
        floors = sorted({row["above"] for row in points if row["median_above"] is not None})
        grid[1, 0].set(ylabel=f"Median above the {' or '.join(floors) or 'hull'}\n(eV/atom)")
        grid[1, 0].set_ylim(bottom=min(0.0, *(row["median_above"] or 0.0 for row in points), 0.0))
        figure.align_ylabels(grid[:, 0])
        _legend(grid[1, -1], list(_ARMS.items()), step=0.12)
        return _svg(figure, "Shares of converged relaxations and median energies, generated and random crystals")


def _draw_arm(above: Axes, below: Axes, rows: Sequence[Mapping[str, Any]], colour: str, aside: float) -> None:
    """One arm of one number of elements.

    :param aside: atoms by which its points are moved, so that intervals of two arms lie side by side.
    """
    x = np.array([(row["min_atoms"] + row["max_atoms"]) / 2 for row in rows]) + aside
    share, low, high = (100 * np.array([row[name] for row in rows]) for name in ("share", "share_low", "share_high"))
    # rounding may put an end of the interval on the wrong side of the share
    errors = np.clip([share - low, high - share], 0, None)
    look: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 3.5, "linewidth": 1.2}
    above.errorbar(x, share, errors, capsize=2, elinewidth=0.8, **look)
    below.plot(x, [np.nan if row["median_above"] is None else row["median_above"] for row in rows], **look)
    for axes in (above, below):
        axes.grid(visible=True, axis="y")


def _room(ticks: Sequence[float], labels: Sequence[str], close: float) -> list[str]:
    """The labels, without those that would run into the one before.

    :param close: the distance at which labels of one letter touch.
    """
    shown: list[str] = []
    end = -np.inf
    for tick, label in zip(ticks, labels, strict=True):
        half = close * (0.2 + 0.25 * len(label))
        free = tick - half >= end
        shown.append(label if free else "")
        end = tick + half if free else end
    return shown


def _styled() -> AbstractContextManager[None]:
    return mpl.rc_context(_STYLE)  # type: ignore[arg-type] # it asks for literal keys


def _figure(width: float, height: float, **margins: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(**margins)
    return figure, figure.add_subplot()


def _legend(axes: Axes, entries: Sequence[tuple[str, str]], step: float = 0.1, top: float = 0.99) -> None:
    """Names in their own colours on the right, instead of a box of lines.

    :param step: from one to the next, as share of the axes' height.
    :param top: where the first begins, as share of the axes' height.
    """
    for i, (text, colour) in enumerate(entries):
        dark = MUTED if colour == REAL else colour
        at = (0.99, top - step * i)
        axes.text(*at, text, transform=axes.transAxes, ha="right", va="top", color=dark, weight="bold")


def _svg(figure: Figure, what: str) -> str:
    """The figure as SVG on white, without date or generator."""
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=nothing, dpi=200)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", stream.getvalue(), flags=re.DOTALL)
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    return head + text[text.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{what}" ', 1)
