"""The report of a run: one HTML file that needs nothing else, for a scientist to explore and to send to a colleague.

It tells what was asked and found, shows the best crystals as sheets for the laboratory, the hull, a table of all
crystals, and how far it is to be trusted. Bundles, figures and the table travel packed and are unpacked when they come
into view. It holds no path, and no time but what the run cost (the section ``cost``): all else is the same bytes for
the same files.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
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
from cgwgan_core.results import costs, run_figures
from cgwgan_core.results.agreement import NEAR_HULL
from cgwgan_core.results.cards import Card, Drawings, card
from cgwgan_core.results.costs import RuleFiles
from cgwgan_core.results.crystal_figures import Figure
from cgwgan_core.results.crystal_table import payload
from cgwgan_core.results.crystals import SURVIVOR, cif_files, crystals
from cgwgan_core.results.dft import ByDft, by_dft
from cgwgan_core.results.findings import Findings, Row, findings, recommended, sentence
from cgwgan_core.results.funnel import Funnel, RunFiles
from cgwgan_core.results.packs import coarse, packed, packed_json
from cgwgan_core.results.rediscoveries import rediscoveries
from cgwgan_core.results.rediscoveries import sentence as met_again
from cgwgan_core.results.report_tables import (
    potential_facts,
    quality_by_sites,
    quality_table,
    refusals_table,
)
from cgwgan_core.results.selection_error import SelectionError, selection_error
from cgwgan_core.results.text import NONE, fixed, formula_html, spacegroup_html
from cgwgan_core.workflow import tables
from cgwgan_core.workflow.arrays import Floats
from cgwgan_core.workflow.errors import InputError

PACKAGES = (
    "cgwgan-core", "numpy", "torch", "lightning", "matgl", "chgnet", "sevenn", "phonopy", "seekpath", "pymatgen", "ase",
    "moyopy", "pyarrow", "plotly", "itables", "snakemake",
)  # fmt: skip
"""Packages whose versions the report names."""
FACTS = ("spacegroup", "n_atoms", "number_density")
"""Columns of templates that the figures compare with the training set's."""
GIVEN = 12
"""Most crystals that are named for DFT."""
BEST, NEAREST = 24, 6
"""Survivors with a card in the page; unstable crystals that have one where none survives."""
THIN, ROUGH = 4, 3
"""Of the bands of crystals beyond the best, every fourth point is kept, and so many digits: to 0.1 THz, some pixel."""
ROUNDING = 0.02
"""THz; within it, lowest frequencies of a crystal that is computed twice agree (docs/SCREENING.md)."""
BUNDLES = {
    "plotly": ("plotly", "package_data/plotly.min.js"),
    "datatables": ("itables", "html/dt_bundle.js"),
    "datatables-css": ("itables", "html/dt_bundle.css"),
}
"""Scripts and styles that the page carries: their packages, and where they lie in them."""


def render(
    files: RunFiles, funnel: Funnel, config: Mapping[str, Any], results: Path, rules: Sequence[RuleFiles] = ()
) -> str:
    """The whole report as HTML.

    :param funnel: the counts of the same files, see :func:`cgwgan_core.results.funnel.collect`.
    :param config: the configuration of the run.
    :param results: the run's folder, for what its rules cost.
    :param rules: of the workflow, for the same.
    :raises InputError: if a file is missing or is not what its name says.
    """
    found = findings(files)
    rows = crystals(files, found)
    known = tables.read(files.known_phases, tables.KNOWN_PHASES).to_pylist()
    quality = json.loads(Path(files.quality).read_text(encoding="utf-8"))
    in_training = tables.read(files.templates, tables.TEMPLATES, ["in_training"])["in_training"].to_numpy()
    draws = funnel["templates"]
    error = selection_error(files.promoted, files.evaluated)
    dft = by_dft(files, found.survivors)
    drawn = figures(files, funnel, config, rows)
    sheets, sheet_packs = _sheets(files, rows, known, config["hull"]["leave_out"])
    spent = costs.costs(rules, results)
    no_compounds = not any(row["lattice"] and len(set(row["numbers"])) > 1 for row in known)
    potentials = _potentials(files)
    again = rediscoveries(files, found, config["chemistry"])
    context = {
        "style": Markup(_text("report.css")),
        "script": Markup(_text("report.js")),
        "chemistry": "–".join(config["chemistry"]),
        "told": _told(found, funnel, config, potentials, dft, no_compounds, met_again(again)),
        "tiles": _tiles(funnel, found, len(quality["training"]["spacegroup"])),
        "found": found,
        "cards": sheets,
        "figures": drawn,
        "no_compounds": no_compounds,
        "why_no_hull": f"{len(config['chemistry'])} elements; lines, triangles and tetrahedra hold two to four.",
        "n_crystals": len(rows),
        "n_repeat": sum(row["repeats"] is not None for row in found.judged),
        "n_soft": sum(row["mechanically_stable"] is False for row in found.survivors),
        "refusals": refusals_table(funnel),
        "yields": yields(draws.count_in, draws.refused, in_training),
        "potentials": potentials,
        "selection": _selection(error, _finite(files.ranked, tables.RANKED)),
        "calibration": _calibration(rows),
        "rounding": _rounding(found),
        "quality": quality_table(quality["figures"]),
        "quality_by_sites": quality_by_sites(quality["figures"]),
        "judged_by": {name: quality[name] for name in ("samples", "seeds")},
        "dft": dft,
        "costs": spent,
        "longest": max((row["minutes_in_all"] for row in spent), default=0.0) or 1.0,
        "cost_in_words": _cost_in_words(spent),
        "rules": costs.picture(rules, spent),
        "box": costs.BOX,
        "config": yaml.safe_dump(
            _without_folders(config), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
        ),
        "seed": config["seed"],
        "versions": _versions(),
        "digests": _digests(files),
        "packs": [
            ("table", packed_json(payload(rows))),
            ("figures", packed_json(drawn)),
            *sheet_packs,
            *((name, bundle(*where)) for name, where in BUNDLES.items()),
        ],
    }
    return _environment().get_template("report.html.j2").render(context) + "\n"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_text),
    )  # fmt: skip
    environment.filters |= {
        "fixed": fixed,
        "count": "{:,}".format,
        "formula": formula_html,
        "spacegroup": spacegroup_html,
    }
    return environment


def _text(name: str) -> str:
    """A file beside this module: report.html.j2, card.html.j2, report.css or report.js."""
    return package_files("cgwgan_core.results").joinpath(name).read_text(encoding="utf-8")


@cache
def bundle(package: str, path: str) -> str:
    """A script or style as a package ships it, packed; one of :data:`BUNDLES`."""
    return packed(package_files(package).joinpath(path).read_bytes())


# ------------------------------------------------------------------------------------------------ figures


def figures(files: RunFiles, funnel: Funnel, config: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Figure]:
    """The figures of a whole run by name; those that have nothing to show are left out.

    :param rows: of :func:`cgwgan_core.results.crystals.crystals`.
    """
    quality = json.loads(Path(files.quality).read_text(encoding="utf-8"))
    generated = tables.read(files.templates, tables.TEMPLATES, list(FACTS))
    both = {name: (np.array(quality["training"][name]), generated[name].to_numpy()) for name in FACTS}
    known = tables.read(files.known_phases, tables.KNOWN_PHASES).to_pylist()
    survivors = [row for row in rows if row["fate"] == SURVIVOR]
    after = [row["energy_above_hull"] for row in rows]
    formation = "formation_energy_per_atom"
    dft = [row for path in files.dft for row in tables.read(path, tables.DFT).to_pylist()]
    ranges = {row["candidate_id"]: (row["hull_low"], row["hull_high"]) for row in survivors}
    for row in dft:
        row["hull_low"], row["hull_high"] = ranges.get(row["crystal_id"], (None, None))
    drawn = {
        **run_figures.hull_figures(config["chemistry"], known, rows),
        "funnel": run_figures.funnel_figure(funnel),
        "energies": run_figures.energies_figure(
            {
                "all candidates": _column(files.screened, tables.SCREENED, "energy_above_hull"),
                "shortlist": _column([files.ranked], tables.RANKED, "energy_above_hull"),
                "shortlist, relaxed": np.array(after, dtype=float),
            }
        ),
        "relaxing": run_figures.relaxing_figure(rows),
        "spacegroups": run_figures.spacegroups_figure(*both["spacegroup"]),
        "systems": run_figures.systems_figure(*both["spacegroup"]),
        "density": run_figures.density_figure(*both["number_density"]),
        "atoms": run_figures.atoms_figure(*both["n_atoms"]),
        "formation": run_figures.formation_figure(
            {
                "known phases": np.array([row[formation] for row in known if row["lattice"]], dtype=float),
                "all candidates": _column(files.screened, tables.SCREENED, formation),
                "shortlist, relaxed": np.array([row[formation] for row in rows], dtype=float),
                "survivors": np.array([row[formation] for row in survivors], dtype=float),
            }
        ),
        "known": run_figures.known_figure(known),
        "judges": run_figures.judges_figure(rows),
        "frequencies": run_figures.frequencies_figure(rows),
        "dft": run_figures.dft_figure(dft),
        "cascade": run_figures.cascade_figure(selection_error(files.promoted, files.evaluated)),
        "latent": run_figures.latent_figure(quality["latent"]["real"], quality["latent"]["generated"]),
        "training": run_figures.training_figure(_curve(files.training_curve)),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _column(shards: Sequence[str], schema: pa.Schema, name: str) -> Floats:
    parts = [tables.read(path, schema, [name])[name].to_numpy() for path in shards]
    return np.concatenate([np.asarray(part, dtype=float) for part in parts]) if parts else np.empty(0)


def _finite(path: str, schema: pa.Schema) -> Floats:
    found = _column([path], schema, "energy_above_hull")
    kept: Floats = found[np.isfinite(found)]
    return kept


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


# -------------------------------------------------------------------------------------------------- cards


def _sheets(
    files: RunFiles, rows: Sequence[Row], known: Sequence[Row], leave_out: Sequence[str]
) -> tuple[list[Card], list[tuple[str, str]]]:
    """The cards in the page, and the packs of what all cards show: names by pack, then the crystals.

    Survivors beyond the best are whole in their packs, words and all.

    :param leave_out: ``hull.leave_out``.
    """
    by_name = {row["material_id"]: row for row in known}
    shown = _with_cards(rows)
    names = [row["candidate_id"] for row in shown]
    drawings = Drawings(files.phonons, names, by_name)
    cifs = cif_files(files.cifs, names)
    sheet = _environment().get_template("card.html.j2").module.sheet  # type: ignore[attr-defined] # a macro
    first: list[Card] = []
    packs: list[tuple[str, str]] = [("index", packed_json({name: i // BEST for i, name in enumerate(names)}))]
    for start in range(0, len(shown), BEST):
        pack = {}
        for row in shown[start : start + BEST]:
            name = row["candidate_id"]
            drawn = drawings.figures(row, thin=THIN if start else 1)
            words = card(row, by_name, drawn.keys(), name in cifs, leave_out)
            first += [words] if not start else []
            path = cifs.get(name)
            pack[name] = {
                "html": str(sheet(words)),
                "figures": {key: coarse(one, ROUGH if start and key == "bands" else 4) for key, one in drawn.items()},
                "cif": path.read_text(encoding="utf-8") if path else None,
                "file": path.name if path else None,
            }
        packs.append((f"crystals-{start // BEST}", packed_json(pack)))
    return first, packs


def _with_cards(rows: Sequence[Row]) -> Sequence[Row]:
    """All survivors; where there are none, the crystals nearest to stability."""
    survivors = [row for row in rows if row["fate"] == SURVIVOR]
    judged = [row for row in rows if row["min_frequency"] is not None and row["verdict"] == "unstable"]
    return survivors or sorted(judged, key=lambda row: -row["min_frequency"])[:NEAREST]


# -------------------------------------------------------------------------------------------------- words


def _potentials(files: RunFiles) -> list[tuple[str, dict[str, Any]]]:
    roles: Iterable[tuple[str, Sequence[str]]] = (
        ("Judge", (files.potential,)),
        ("Screening potential", files.screening_potential),
        ("Second judge", files.second_potential),
    )
    return [(role, potential_facts(path)) for role, paths in roles for path in paths]


def _told(
    found: Findings,
    funnel: Funnel,
    config: Mapping[str, Any],
    potentials: Sequence[tuple[str, Mapping[str, Any]]],
    dft: ByDft | None,
    no_compounds: bool,
    known: str,
) -> list[tuple[str, str]]:
    """What was asked and found, in six lines.

    :param known: of :mod:`cgwgan_core.results.rediscoveries`.
    """
    *others, last = config["chemistry"]
    elements = f"{', '.join(others)} and {last}" if others else last
    names = {role: potential["name"] for role, potential in potentials}
    judged = f"{names['Judge']} judges"
    if "Screening potential" in names:
        judged = f"{names['Screening potential']} screens, {judged}"
    judged += f", {names['Second judge']} judges again." if "Second judge" in names else "; there is no second judge."
    if dft is not None:
        judged += f" DFT ({config['dft']['engine']}) computes the best."
    database = (
        f"{funnel['read'].kept:,} crystals ({config['data']['source']}), {funnel['training'].kept:,} fit for training; "
        f"{funnel['templates'].kept:,} templates generated, {funnel['screened'].kept:,} candidates with an energy."
    )
    return [
        ("Asked", f"New, dynamically stable crystals that hold {elements}."),
        ("Database", database),
        ("Judged by", judged),
        ("Found", f"{sentence(found, funnel.end)}{f' {dft.sentence}' if dft is not None else ''}"),
        ("Known phases", known),
        ("Next", _next(found, dft, no_compounds, config["dft"]["max_atoms"])),
    ]


def _next(found: Findings, dft: ByDft | None, no_compounds: bool, max_atoms: int) -> str:
    """What to do with this.

    :param max_atoms: ``dft.max_atoms``.
    """
    if no_compounds:
        return (
            "The database holds no compound of this chemistry, so no distance to the hull says anything of stability: "
            "take a database that holds its phases (data.source)."
        )
    if not found.survivors:
        return "Search further: more templates (templates.samples), a longer shortlist (screen.top, phonons.top)."
    if dft is not None:
        return "Read what DFT says of each, and give the engine those that it should see next."
    best = recommended(found.survivors)
    if not best:
        return (
            f"No crystal that every judge calls stable lies at most {NEAR_HULL} eV/atom above the hull; a longer "
            "shortlist searches further."
        )
    given = best[:GIVEN]
    largest = max(row["n_atoms"] for row in given)
    room = f"max_atoms: {largest}, " if largest > max_atoms else ""
    names = ", ".join(row["candidate_id"] for row in given)
    return Markup(
        "Give DFT {}: the inputs are written (dft/). To compute {} here, set "
        "<code>dft: {{engine: gpaw, top: 0, {}also: [{}]}}</code>"
    ).format(
        "this one" if len(best) == 1 else f"these {len(best):,}",
        "just these" if given == best else f"the first {GIVEN}",
        room,
        names,
    )


def _tiles(funnel: Funnel, found: Findings, learned: int) -> list[tuple[str, str]]:
    return [
        (f"{learned:,}", "distinct templates learned from"),
        (f"{funnel['templates'].kept:,}", "distinct templates generated"),
        (f"{funnel['screened'].kept:,}", "candidates with an energy"),
        (f"{funnel['novel'].kept:,}", "new, distinct, relaxed"),
        (f"{sum(row['verdict'] is not None for row in found.judged):,}", "with phonons"),
        (f"{len(found.survivors):,}", "stable or borderline"),
        *((f"{stage.kept:,}", "near the hull by DFT, or below") for stage in funnel.stages if stage.key == "dft_near"),
    ]


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


def _calibration(rows: Sequence[Row]) -> str:
    """How often DFT's distances lie in the intervals that were given before."""
    ranged = [row for row in rows if row["hull_low"] is not None]
    if not ranged:
        return "No survivor has an interval: its potential's errors were not measured, or it falls into elements."
    both = [row for row in ranged if row["dft_energy_above_hull"] is not None]
    told = f"{len(ranged):,} survivors have an interval that is to hold DFT's distance to the database's hull for 90 %"
    if not both:
        return f"{told}; none of these distances is known here."
    within = sum(row["hull_low"] <= row["dft_energy_above_hull"] <= row["hull_high"] for row in both)
    return f"{told}; it holds {within:,} of the {len(both):,} that DFT places."


def _rounding(found: Findings) -> str:
    """How many verdicts are so near to a threshold that rounding decides them."""
    verdicts = [row["min_frequency"] for row in found.judged if row["verdict"] is not None]
    limits = [limit for limit in (found.stable, found.borderline) if limit is not None]
    close = sum(any(abs(lowest - limit) <= ROUNDING for limit in limits) for lowest in verdicts)
    text = f"Of {len(verdicts):,} verdicts, {close:,} rest on a lowest frequency within {ROUNDING} THz of a threshold."
    across = [row["across_cutoff"] for row in found.survivors if row["across_cutoff"]]
    if across:
        text += (
            f" {len(across):,} survivors are minima of kept neighbours alone: a pair of atoms lies across the "
            f"potential's cutoff, by up to {fixed(max(across), 3)} Å."
        )
    return text


def _cost_in_words(spent: Sequence[Mapping[str, Any]]) -> str:
    minutes, disk = (sum(row[name] for row in spent) for name in ("minutes_in_all", "disk_mib"))
    memory = max((row["peak_memory_mib"] or 0 for row in spent), default=0)
    jobs = sum(row["jobs"] for row in spent)
    time = f"{fixed(minutes / 60, 1)} hours" if minutes >= 120 else f"{fixed(minutes, 0)} minutes"
    return f"{jobs:,} jobs took {time} in all, at most {memory:,} MiB of memory, and left {fixed(disk, 0)} MiB on disk."


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
