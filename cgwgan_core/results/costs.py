"""What a run cost, rule by rule, and how its rules follow from each other."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx

MIB = 2**20
COLUMN, LINE, BOX = 214, 36, (198, 22)
"""Pixels of the picture: from one box to the next, and a box."""


@dataclass(frozen=True)
class RuleFiles:
    """A rule, with what it reads and writes under ``results/``; names may have wildcards, such as ``{shard}``."""

    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]


@dataclass(frozen=True)
class Picture:
    """Boxes of rules and lines between them, in pixels."""

    width: int
    height: int
    boxes: Sequence[tuple[str, int, int]]
    """Name, left, top."""
    lines: Sequence[tuple[int, int, int, int]]
    """From x, y to x, y."""


def graph_of(rules: Sequence[RuleFiles], last: str = "report") -> nx.DiGraph:
    """The rules that ``last`` needs, each with an arrow to those that read what it writes."""
    graph = nx.DiGraph()
    for rule in rules:
        graph.add_node(rule.name)
        graph.add_edges_from((maker, rule.name) for path in rule.inputs for maker in _makers(path, rules, rule.name))
    return graph.subgraph(nx.ancestors(graph, last) | {last}) if last in graph else graph


def _makers(path: str, rules: Sequence[RuleFiles], reader: str) -> list[str]:
    """The rule that writes a file by this name; if there is none, the rules whose wildcards fit it."""
    exact = [rule.name for rule in rules if path in rule.outputs]
    others = exact or [rule.name for rule in rules if any(re.fullmatch(_regex(out), path) for out in rule.outputs)]
    return [name for name in others if name != reader]


def _regex(path: str) -> str:
    return re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))


def costs(rules: Sequence[RuleFiles], results: Path, last: str = "report") -> list[dict[str, Any]]:
    """What every rule that ``last`` needs took: jobs, minutes in all and of the longest, memory, disk.

    :param results: the run's folder, with Snakemake's ``benchmarks/``.
    """
    graph = graph_of(rules, last)
    spent = {row["rule"]: row for row in benchmarks(results / "benchmarks")}
    exact = {path for rule in rules for path in rule.outputs if "{" not in path}
    order = [name for layer in nx.topological_generations(graph) for name in sorted(layer) if name != last]
    by_name = {rule.name: rule for rule in rules}
    return [{**spent[name], "disk_mib": _disk(by_name[name], results, exact)} for name in order if name in spent]


def _disk(rule: RuleFiles, results: Path, exact: set[str]) -> float:
    total = 0
    for pattern in rule.outputs:
        for path in results.glob(re.sub(r"\{\w+\}", "*", pattern)):
            if "{" in pattern and str(path.relative_to(results)) in exact:
                continue
            files = path.rglob("*") if path.is_dir() else [path]
            total += sum(file.stat().st_size for file in files if file.is_file())
    return round(total / MIB, 1)


def benchmarks(folder: Path) -> list[dict[str, Any]]:
    """What every rule took, from Snakemake's benchmark files: jobs, minutes in all and of the longest, memory.

    :param folder: of ``<rule>.tsv`` and ``<rule>/<shard>.tsv``; there may be none.
    """
    found = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        files = sorted(entry.glob("*.tsv")) if entry.is_dir() else [entry]
        rows = [row for path in files for row in csv.DictReader(path.open(encoding="utf-8"), delimiter="\t")]
        seconds = [float(row["s"]) for row in rows]
        memory = [float(row["max_rss"]) for row in rows if row["max_rss"] not in ("-", "NA")]
        if seconds:
            found.append(
                {
                    "rule": entry.name.removesuffix(".tsv"),
                    "jobs": len(rows),
                    "minutes_in_all": round(sum(seconds) / 60, 1),
                    "longest_minutes": round(max(seconds) / 60, 1),
                    "peak_memory_mib": round(max(memory)) if memory else None,
                }
            )
    return found


def picture(rules: Sequence[RuleFiles], spent: Sequence[Mapping[str, Any]], last: str = "report") -> Picture:
    """The rules that ran from top to bottom, each below all that it needs; lines that others imply are left out.

    :param spent: of :func:`costs`; where it is empty, all rules are drawn.
    """
    ran = {row["rule"]: f"{row['rule']}  {row['minutes_in_all']:,} min" for row in spent}
    graph = graph_of(rules, last)
    graph = nx.transitive_reduction(graph.subgraph({*ran, last} & set(graph)) if ran else graph)
    layers = [list(layer) for layer in nx.topological_generations(graph)]
    widest = max((len(layer) for layer in layers), default=0)
    places: dict[str, tuple[int, int]] = {}
    for i, layer in enumerate(layers):
        for j, name in enumerate(sorted(layer, key=lambda name: (_middle(graph, name, places), name))):
            places[name] = (round((j + (widest - len(layer)) / 2) * COLUMN), i * LINE)
    boxes = [(ran.get(name, name), x, y) for name, (x, y) in places.items()]
    half = BOX[0] // 2
    lines = [
        (places[a][0] + half, places[a][1] + BOX[1], places[b][0] + half, places[b][1]) for a, b in sorted(graph.edges)
    ]
    return Picture(widest * COLUMN, len(layers) * LINE, boxes, lines)


def _middle(graph: nx.DiGraph, name: str, places: Mapping[str, tuple[int, int]]) -> float:
    """Mean place, from left to right, of what a rule follows."""
    places_before = [places[before][0] for before in graph.predecessors(name)]
    return sum(places_before) / len(places_before) if places_before else 0.0
