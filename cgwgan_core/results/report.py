"""The report of a run: one HTML file that needs nothing else, for a scientist to read.

It tells what was found, what became of everything that was tried, how far the potential and the generator can
be trusted, and what it was all made from. It holds no time and no path: the same files give the same bytes.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from markupsafe import Markup

from cgwgan_core.generator.quality import yields
from cgwgan_core.results import figures
from cgwgan_core.results.dft import by_dft
from cgwgan_core.results.findings import Findings, Row, findings, read_bands, sentence
from cgwgan_core.results.funnel import Funnel, RunFiles
from cgwgan_core.results.report_tables import (
    judged_table,
    potential_facts,
    quality_table,
    refusals_table,
    survivors_table,
)
from cgwgan_core.results.selection_error import SelectionError, selection_error
from cgwgan_core.results.text import NONE, fixed, formula_html, spacegroup_html
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import InputError

PACKAGES = (
    "cgwgan-core", "numpy", "torch", "lightning", "matgl", "chgnet", "sevenn", "phonopy", "seekpath", "pymatgen", "ase",
    "moyopy", "pyarrow", "matplotlib", "snakemake",
)  # fmt: skip
"""Packages whose versions the report names."""
FACTS = ("spacegroup", "n_atoms", "number_density")
"""Columns of templates that the figures compare with the training set's."""
PANELS = 6
"""Crystals whose bands are drawn."""


def render(files: RunFiles, funnel: Funnel, config: Mapping[str, Any]) -> str:
    """The whole report as HTML.

    :param funnel: the counts of the same files, see :func:`cgwgan_core.results.funnel.collect`.
    :param config: the configuration of the run.
    :raises InputError: if a file is missing or is not what its name says.
    """
    found = findings(files)
    generated = tables.read(files.templates, tables.TEMPLATES, [*FACTS, "in_training"])
    draws = funnel["templates"]
    quality = json.loads(Path(files.quality).read_text(encoding="utf-8"))
    both = {name: (np.array(quality["training"][name]), generated[name].to_numpy()) for name in FACTS}
    ranked = tables.read(files.ranked, tables.RANKED, ["energy_above_hull"])
    screened = _column(files.screened, tables.SCREENED, "energy_above_hull")
    drawn = _drawn(found)
    error = selection_error(files.promoted, files.evaluated)
    dft = by_dft(files, found.survivors)
    context = {
        "chemistry": "–".join(config["chemistry"]),
        "sentence": sentence(found),
        "funnel": funnel,
        "found": found,
        "tiles": _tiles(funnel, found, len(quality["training"]["spacegroup"])),
        "potentials": [
            (role, potential_facts(path))
            for role, paths in (
                ("Judge", (files.potential,)),
                ("Screening potential", files.screening_potential),
                ("Second judge", files.second_potential),
            )
            for path in paths
        ],
        "dft": dft,
        "selection": _selection(error, ranked["energy_above_hull"].to_numpy()),
        "yields": yields(draws.count_in, draws.refused, generated["in_training"].to_numpy()),
        "quality": quality_table(quality["figures"]),
        "judged_by": {name: quality[name] for name in ("samples", "seeds")},
        "survivors": survivors_table(found.survivors),
        "judged": judged_table(found.judged),
        "refusals": refusals_table(funnel),
        "n_repeat": sum(row["repeats"] is not None for row in found.judged),
        "n_soft": sum(row["mechanically_stable"] is False for row in found.survivors),
        "n_drawn": len(drawn),
        "figures": {
            name: Markup(svg)
            for name, svg in {
                "funnel": figures.figure_funnel(funnel),
                "spacegroups": figures.figure_spacegroups(*both["spacegroup"]),
                "systems": figures.figure_crystal_systems(*both["spacegroup"]),
                "density": figures.figure_number_density(*both["number_density"]),
                "atoms": figures.figure_n_atoms(*both["n_atoms"]),
                "latent": figures.figure_latent(quality["latent"]["real"], quality["latent"]["generated"]),
                "training": figures.figure_training(_curve(files.training_curve)),
                "energies": figures.figure_energies(screened, ranked["energy_above_hull"].to_numpy()),
                "judges": figures.figure_judges(error.rank, error.difference, error.best) if error else "",
                "dft": figures.figure_dft(dft.distances) if dft else "",
                "bands": figures.figure_bands(read_bands(files.phonons, drawn)),
            }.items()
        },
        "config": yaml.safe_dump(
            _without_folders(config), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
        ),
        "seed": config["seed"],
        "versions": _versions(),
        "digests": _digests(files),
    }
    template = package_files("cgwgan_core.results").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "fixed": fixed,
        "count": "{:,}".format,
        "formula": formula_html,
        "spacegroup": spacegroup_html,
    }
    return environment.from_string(template).render(context) + "\n"


def _selection(error: SelectionError | None, shortlist: Floats) -> dict[str, Any] | None:
    """What the report says of the cascade; ``None`` where there is none."""
    if error is None:
        return None
    missed, drawn = error.missed(float(shortlist.max())) if len(shortlist) else (0, 0)
    return {
        "selected": error.quantiles(best=True),
        "random": error.quantiles(best=False),
        "slope": error.slope,
        "fooled": error.fooled,
        "missed": missed,
        "drawn": drawn,
    }


def _column(shards: Sequence[str], schema: pa.Schema, name: str) -> Floats:
    parts = [tables.read(path, schema, [name])[name].to_numpy() for path in shards]
    return np.concatenate([np.asarray(part, dtype=float) for part in parts]) if parts else np.empty(0)


def _drawn(found: Findings) -> list[Row]:
    """The crystals whose bands are shown: survivors by energy, then the unstable ones nearest to stability."""
    rows = {row["candidate_id"]: row for row in found.judged if row["verdict"] is not None}
    first = [rows[row["candidate_id"]] for row in found.survivors]
    others = sorted((r for r in rows.values() if r["verdict"] == "unstable"), key=lambda r: -r["min_frequency"])
    return [*first, *others][:PANELS]


def _tiles(funnel: Funnel, found: Findings, learned: int) -> list[tuple[str, str]]:
    return [
        (f"{learned:,}", "distinct templates learned from"),
        (f"{funnel['templates'].kept:,}", "distinct templates generated"),
        (f"{funnel['screened'].kept:,}", "candidates with an energy"),
        (f"{funnel['novel'].kept:,}", "new, distinct, relaxed"),
        (f"{sum(row['verdict'] is not None for row in found.judged):,}", "with phonons"),
        (f"{len(found.survivors):,}", "dynamically stable"),
        *((f"{stage.kept:,}", "near the hull by DFT, or below") for stage in funnel.stages if stage.key == "dft_near"),
    ]


def _curve(path: str | Path) -> dict[str, Floats]:
    """Columns of ``training.csv``; an empty cell is not-a-number.

    :raises InputError: if a cell is no number.
    """
    with Path(path).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    try:
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in (rows[0] if rows else ())}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: not a table of numbers ({error}); delete it and rerun its rule") from None


def _without_folders(config: Any) -> Any:
    """The configuration with absolute paths cut to their last part: where files lie is no one else's concern."""
    if isinstance(config, Mapping):
        return {key: _without_folders(value) for key, value in config.items()}
    return Path(config).name if isinstance(config, str) and Path(config).is_absolute() else config


def _versions() -> list[tuple[str, str]]:
    found = []
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found


def _digests(files: RunFiles) -> list[tuple[str, str, str, str]]:
    """(table, package version, digest of settings, digests of inputs), from the tables' own metadata."""
    named: list[tuple[str, str]] = []
    for name in files.__dataclass_fields__:
        value = getattr(files, name)
        if isinstance(value, tuple):
            named += [(f"{name} {i}", path) for i, path in enumerate(value) if path.endswith(".parquet")]
        elif value.endswith(".parquet"):
            named.append((name, value))
    rows = []
    for name, path in named:
        metadata = {k.decode(): v.decode() for k, v in (pq.read_metadata(path).metadata or {}).items()}
        inputs = json.loads(metadata.get("cgwgan.inputs", "{}"))
        listed = ", ".join(f"{key} {value}" for key, value in inputs.items())
        rows.append((name, metadata.get("cgwgan.version", NONE), metadata.get("cgwgan.config") or NONE, listed or NONE))
    return rows
