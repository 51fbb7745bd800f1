"""The report of a run: one HTML file that needs nothing else, for a scientist to read.

It tells what was found, what became of everything that was tried, how far the potential and the generator can
be trusted, and what it was all made from. It holds no time and no path: the same files give the same bytes.
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files as package_files
from itertools import chain
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from markupsafe import Markup, escape

from . import figures, tables
from .errors import InputError
from .funnel import Funnel, RunFiles
from .quality import METRICS, yields
from .spacegroups import symbol

PACKAGES = (
    "cgwgan-core", "numpy", "torch", "lightning", "matgl", "chgnet", "phonopy", "seekpath", "pymatgen", "ase",
    "moyopy", "pyarrow", "matplotlib", "snakemake",
)  # fmt: skip
"""Packages whose versions the report names."""
MOST_ROWS = 500
"""Rows that a table of the report shows at most; the files hold the others."""
FACTS = ("spacegroup", "n_atoms", "number_density")
SETS = {
    "generator": "generated",
    "held-out": "held-out",
    "training": "training",
    "jittered": "jittered copies",
    "independent": "independent parts",
}
"""Heads of the columns of the generator and its references."""
PANELS = 6
"""Crystals whose bands are drawn."""
BAND_COLUMNS = ("band_distances", "band_frequencies", "band_breaks", "band_ticks", "band_labels")
BULKY = (*BAND_COLUMNS, "lattice", "numbers", "frac_coords", "force_constants", "elastic_tensor")
"""Columns that are not read for the report's tables."""
NEAR_HULL = 0.1
"""eV/atom above the hull within which a survivor is counted as near it."""

Row = dict[str, Any]
NONE = "–"


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str | Markup
    sort: str | float
    """What the reader's browser sorts the column by."""


@dataclass(frozen=True)
class Table:
    """A table of the report, sortable by its heads."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: Sequence[bool]
    left_out: int = 0
    """Rows beyond :data:`MOST_ROWS`."""


@dataclass(frozen=True)
class Findings:
    """What the phonon calculations of a run came to, as rows of the tables."""

    survivors: list[Row]
    """Rows of ``tables.STABLE`` with ``in_training``, by energy above the hull: stable and borderline crystals."""
    judged: list[Row]
    """All rows of ``tables.PHONONS`` with what ``tables.UNIQUE`` knows of the crystal (of a child: of its parent), and
    ``repeats`` of ``tables.STABLE_REFUSED``, in order of phonon_rank."""
    asked: int
    """Crystals whose phonons were asked for."""
    stable: float | None = None
    """Lowest frequency of a stable crystal, THz; ``None`` without phonons."""
    borderline: float | None = None
    """Lowest frequency of a borderline one, THz."""
    potential: str = ""
    """Potential that the verdicts hold for."""


# ------------------------------------------------------------------------------------------------ the page


def _without_folders(config: Any) -> Any:
    """The configuration with absolute paths cut to their last part: where files lie is no one else's concern."""
    if isinstance(config, Mapping):
        return {key: _without_folders(value) for key, value in config.items()}
    return Path(config).name if isinstance(config, str) and Path(config).is_absolute() else config


def render(files: RunFiles, funnel: Funnel, config: Mapping[str, Any]) -> str:
    """The whole report as HTML.

    :param funnel: the counts of the same files, see :func:`cgwgan_core.funnel.collect`.
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
    context = {
        "chemistry": "–".join(config["chemistry"]),
        "sentence": sentence(found),
        "funnel": funnel,
        "found": found,
        "tiles": _tiles(funnel, found, len(quality["training"]["spacegroup"])),
        "potential": _potential(files.potential),
        "yields": yields(draws.count_in, draws.refused, generated["in_training"].to_numpy()),
        "quality": quality_table(quality["figures"]),
        "judged_by": {name: quality[name] for name in ("samples", "seeds")},
        "survivors": survivors_table(found.survivors),
        "judged": judged_table(found.judged),
        "refusals": refusals_table(funnel),
        "n_repeat": sum(row["repeats"] is not None for row in found.judged),
        "n_soft": sum(row["mechanically_stable"] is False for row in found.survivors),
        "n_drawn": len(drawn),
        "near_hull": NEAR_HULL,
        "figures": {
            name: Markup(svg)
            for name, svg in {
                "funnel": figures.figure_funnel(funnel),
                "spacegroups": figures.figure_spacegroups(*both["spacegroup"]),
                "systems": figures.figure_crystal_systems(*both["spacegroup"]),
                "density": figures.figure_number_density(*both["number_density"]),
                "atoms": figures.figure_n_atoms(*both["n_atoms"]),
                "latent": figures.figure_latent(quality["latent"]["real"], quality["latent"]["generated"]),
                "training": figures.figure_training(curve(files.training_curve)),
                "energies": figures.figure_energies(screened, ranked["energy_above_hull"].to_numpy()),
                "bands": figures.figure_bands(bands(files.phonons, drawn)),
            }.items()
        },
        "config": yaml.safe_dump(
            _without_folders(config), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
        ),
        "seed": config["seed"],
        "versions": _versions(),
        "digests": _digests(files),
    }
    template = package_files("cgwgan_core").joinpath("report.html.j2").read_text(encoding="utf-8")
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


def sentence(found: Findings) -> str:
    """What the run found, in one or two sentences, without claiming more than was computed."""
    verdicts = [row for row in found.judged if row["verdict"] is not None]
    if not verdicts and not found.asked:
        return "No crystal of this run reached the phonon calculations, so none is known to be dynamically stable."
    if not verdicts:
        crystals = _of(found.asked, "crystal")
        return f"The phonon calculations of all {crystals} failed, so none is known to be dynamically stable."
    computed = f"{_of(len(verdicts), 'crystal')} whose phonons were computed"
    rule = f"no frequency below {fixed(found.borderline, 2)} THz by {found.potential}"
    passing = sum(row["verdict"] != "unstable" for row in verdicts)
    if not found.survivors and passing:
        return (
            f"{passing:,} of the {computed} {'is' if passing == 1 else 'are'} dynamically stable ({rule}), but none "
            "is new: after the tight relaxation, all are phases of the database."
        )
    if not found.survivors:
        nearest = max(verdicts, key=lambda row: row["min_frequency"])
        what = f"{figures.formula_text(nearest['formula'])} ({figures.symbol_text(nearest['spacegroup'])})"
        return (
            f"None of the {computed} is dynamically stable ({rule}). The nearest to it is {what}, "
            f"whose lowest frequency is {fixed(nearest['min_frequency'], 2)} THz."
        )
    best, n = found.survivors[0], len(found.survivors)
    near = sum(_above(row) <= NEAR_HULL for row in found.survivors)
    what = f"{figures.formula_text(best['formula'])} ({figures.symbol_text(best['spacegroup'])})"
    height = best["energy_above_hull"]
    place = f"{fixed(abs(height), 3)} eV/atom {'above' if height >= 0 else 'below'}"
    borderline = sum(row["verdict"] == "borderline" for row in found.survivors)
    doubt = f"; {borderline:,} of them only borderline, below {fixed(found.stable, 2)} THz" if borderline else ""
    others = f", and {passing - n:,} more repeat one of them or a known phase" if passing > n else ""
    return (
        f"{n:,} of the {computed} {'is' if n == 1 else 'are'} dynamically stable ({rule}{doubt}){others}. "
        f"The lowest in energy, {what}, lies {place} the hull of the known phases; "
        f"{near:,} of the {n:,} {'lies' if near == 1 else 'lie'} less than {NEAR_HULL} eV/atom above it."
    )


def _above(row: Row) -> float:
    value = row["energy_above_hull"]
    return math.inf if value is None else value


def _of(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


# ------------------------------------------------------------------------------------------- what was found


def findings(files: RunFiles) -> Findings:
    """Survivors and all judged crystals, joined with what the other tables know of them."""
    unique = {row["candidate_id"]: row for row in _rows(files.unique, tables.UNIQUE)}
    templates = tables.read(files.templates, tables.TEMPLATES, ["template_id", "in_training"]).to_pylist()
    in_training = {row["template_id"]: row["in_training"] for row in templates}
    phonons = list(chain.from_iterable(_rows(path, tables.PHONONS) for path in files.phonons))
    refused = tables.read(files.stable_refused, tables.STABLE_REFUSED).to_pylist()
    repeats = {row["candidate_id"]: f"{row['reason']}: {row['match']}" for row in refused}
    judged = [
        _judged(row, unique[row["parent_id"] or row["candidate_id"]]) | {"repeats": repeats.get(row["candidate_id"])}
        for row in phonons
    ]
    judged.sort(key=lambda row: (row["phonon_rank"], row["parent_id"] is not None))
    survivors = [row | {"in_training": in_training[row["template_id"]]} for row in _rows(files.stable, tables.STABLE)]
    survivors.sort(key=lambda row: (_above(row), row["candidate_id"]))
    asked = sum(row["phonon_rank"] is not None for row in unique.values())
    if not phonons:
        return Findings(survivors, judged, asked)
    first = phonons[0]
    return Findings(survivors, judged, asked, first["stable_from"], first["borderline_from"], first["potential"])


def _judged(row: Row, before: Row) -> Row:
    """A row of ``tables.PHONONS`` with what was known before; energies and space group are the latest there are."""
    energy, group = row["energy_per_atom"], row["spacegroup"]
    # at fixed composition the energy above the hull moves with the energy, as in the table of survivors
    moved = 0.0 if energy is None or before["energy_per_atom"] is None else energy - before["energy_per_atom"]
    height = before["energy_above_hull"]
    latest = {
        "energy_above_hull": None if height is None else height + moved,
        "spacegroup": before["spacegroup"] if group is None else group,
    }
    return {**before, **row, **latest}


def _rows(path: str, schema: pa.Schema) -> list[Row]:
    return tables.read(path, schema, [name for name in schema.names if name not in BULKY]).to_pylist()


def _column(shards: Iterable[str], schema: pa.Schema, name: str) -> np.ndarray:
    parts = [tables.read(path, schema, [name])[name].to_numpy() for path in shards]
    return np.concatenate([np.asarray(part, dtype=float) for part in parts]) if parts else np.empty(0)


def _drawn(found: Findings) -> list[Row]:
    """The crystals whose bands are shown: survivors by energy, then the unstable ones nearest to stability."""
    rows = {row["candidate_id"]: row for row in found.judged if row["verdict"] is not None}
    first = [rows[row["candidate_id"]] for row in found.survivors]
    others = sorted((r for r in rows.values() if r["verdict"] == "unstable"), key=lambda r: -r["min_frequency"])
    return [*first, *others][:PANELS]


def bands(shards: Sequence[str], drawn: Sequence[Row]) -> list[figures.Bands]:
    """Bands of the crystals to be drawn, the only ones that are read.

    :param shards: files of ``tables.PHONONS``.
    :param drawn: rows with ``candidate_id``, ``formula``, ``spacegroup``, ``verdict`` and ``min_frequency``.
    """
    names = pa.array([row["candidate_id"] for row in drawn], pa.string())
    stored: dict[str, Row] = {}
    for path in shards:
        table = tables.read(path, tables.PHONONS, ["candidate_id", *BAND_COLUMNS])
        for row in table.filter(pc.is_in(table["candidate_id"], value_set=names)).to_pylist():
            stored[row["candidate_id"]] = row
    found = []
    for row in drawn:
        path = stored[row["candidate_id"]]
        distances = np.array(path["band_distances"])
        found.append(
            figures.Bands(
                title=f"{figures.formula_text(row['formula'])}  {figures.symbol_text(row['spacegroup'])}",
                verdict=f"{row['verdict']}, lowest {fixed(row['min_frequency'], 2)} THz",
                stable=row["verdict"] != "unstable",
                distances=distances,
                frequencies=np.array(path["band_frequencies"]).reshape(len(distances), -1),
                breaks=path["band_breaks"],
                ticks=path["band_ticks"],
                labels=path["band_labels"],
            )
        )
    return found


def survivors_table(survivors: Sequence[Row]) -> Table:
    """One row for each survivor, lowest energy above the hull first."""
    heads = (
        "formula", "space group", "energy above hull (eV/atom)", "by the second potential", "lowest frequency (THz)",
        "verdict", "elastically stable", "bulk modulus (GPa)", "shear modulus (GPa)", "atoms in primitive cell",
        "volume (Å³/atom)", "formation energy (eV/atom)", "hull there", "nearest known phase (likeness)",
        "nearest survivor (likeness)", "template", "candidate",
    )  # fmt: skip
    rows = [
        (
            Cell(formula_html(row["formula"]), row["formula"]),
            Cell(spacegroup_html(row["spacegroup"]), row["spacegroup"]),
            _number(row["energy_above_hull"], 3),
            _number(row["second_energy_above_hull"], 3),
            _number(row["min_frequency"], 2),
            _verdict(row["verdict"]),
            _any(row["mechanically_stable"]),
            _number(row["bulk_modulus"], 0),
            _number(row["shear_modulus"], 0),
            _number(row["n_atoms"], 0),
            _number(row["volume_per_atom"], 2),
            _number(row["formation_energy_per_atom"], 3),
            _text((row["decomposition"] or NONE).replace(" ", "\u00a0")),
            _alike(row, "nearest_known"),
            _alike(row, "nearest_survivor"),
            _text(f"{row['template_id']} ({'in training' if row['in_training'] else 'new'})"),
            _text(row["candidate_id"]),
        )
        for row in survivors
    ]
    return _table(heads, rows)


def judged_table(judged: Sequence[Row]) -> Table:
    """One row for each crystal whose phonons were asked for, with the verdict and the reason for it."""
    heads = (
        "formula", "space group", "energy above hull (eV/atom)", "lowest frequency (THz)", "verdict", "reason",
        "candidate",
    )  # fmt: skip
    rows = [
        (
            Cell(formula_html(row["formula"]), row["formula"]),
            Cell(spacegroup_html(row["spacegroup"]), row["spacegroup"]),
            _number(row["energy_above_hull"], 3),
            _number(row["min_frequency"], 2),
            _verdict(row["verdict"]),
            _text(reason(row)),
            _text(row["candidate_id"]),
        )
        for row in judged
    ]
    return _table(heads, rows)


def _verdict(verdict: str | None) -> Cell:
    text = Markup('<span class="{}">{}</span>').format(verdict or "none", verdict or NONE)
    return Cell(text, verdict or "")


def _alike(row: Row, column: str) -> Cell:
    """What is nearest in diffraction, with the similarity of the patterns."""
    name = row[column]
    return _text(NONE if name is None else f"{name} ({fixed(row[f'{column}_similarity'], 2)})")


def reason(row: Row) -> str:
    """Why a crystal got its verdict, or none."""
    if row["verdict"] is None:
        return row["status"]
    where = "(" + ", ".join(f"{x:.3g}" for x in row["min_frequency_q"]) + ")"
    bound = {
        "stable": f"not below {fixed(row['stable_from'], 2)}",
        "borderline": f"between {fixed(row['borderline_from'], 2)} and {fixed(row['stable_from'], 2)}",
        "unstable": f"below {fixed(row['borderline_from'], 2)}",
    }[row["verdict"]]
    text = f"{fixed(row['min_frequency'], 2)} THz at q = {where}, {bound} THz"
    if row["energy_gain"] is not None:
        text += f"; {fixed(1000 * row['energy_gain'], 1)} meV/atom below {row['parent_id']}"
    return text if row["repeats"] is None else f"{text}; {row['repeats']}"


def refusals_table(funnel: Funnel) -> Table:
    """One row for each reason at each stage."""
    rows = [
        (Cell(stage.key, i), _text(why), _number(n, 0), _number(100 * n / stage.count_in, 1))
        for i, stage in enumerate(funnel.stages)
        for why, n in stage.refused.items()
    ]
    return _table(("stage", "reason", "refused", "of what entered (%)"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    numeric = [bool(rows) and all(isinstance(row[i].sort, (int, float)) for row in rows) for i in range(len(heads))]
    return Table(heads, rows[:MOST_ROWS], numeric, max(0, len(rows) - MOST_ROWS))


def _number(value: float | None, digits: int) -> Cell:
    missing = value is None or not math.isfinite(value)
    return Cell(fixed(value, digits), 1e99 if missing else value)


def _text(value: str) -> Cell:
    return Cell(value, value)


def _tiles(funnel: Funnel, found: Findings, learned: int) -> list[tuple[str, str]]:
    return [
        (f"{learned:,}", "distinct templates learned from"),
        (f"{funnel['templates'].kept:,}", "distinct templates generated"),
        (f"{funnel['screened'].kept:,}", "candidates with an energy"),
        (f"{funnel['unique'].kept:,}", "new, distinct, relaxed"),
        (f"{sum(row['verdict'] is not None for row in found.judged):,}", "with phonons"),
        (f"{len(found.survivors):,}", "dynamically stable"),
    ]


# ----------------------------------------------------------------------------------------- other sections


def quality_table(found: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Table:
    """One row for each figure, a column for the generator and for each reference.

    :param found: ``figures`` of ``quality.json``.
    """
    rows = [
        (
            _text(metric.name),
            *(_interval(*found[name][key], metric.digits) for name in SETS if name in found),
            _text(metric.meaning),
        )
        for key, metric in METRICS.items()
    ]
    return _table(("figure", *(head for name, head in SETS.items() if name in found), "meaning"), rows)


def _interval(mean: float | None, half: float | None, digits: int) -> Cell:
    """A mean with the half width of its interval."""
    spread = "" if half is None else f" ± {fixed(half, digits)}"
    return Cell(f"{fixed(mean, digits)}{spread}", _number(mean, digits).sort)


def curve(path: str | Path) -> dict[str, np.ndarray]:
    """Columns of ``training.csv``; an empty cell is not-a-number.

    :raises InputError: if a cell is no number.
    """
    with Path(path).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    try:
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in (rows[0] if rows else ())}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: not a table of numbers ({error}); delete it and rerun its rule") from None


def _potential(path: str | Path) -> dict[str, Any]:
    """Facts (name, value) and tables of ``potential.json``, but for where its weights lie."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    facts: dict[str, str] = {}
    lists: list[tuple[str, Table]] = []
    for key, value in content.items():
        if key in ("path", "folder"):
            continue
        if isinstance(value, list) and value and isinstance(value[0], dict):
            heads = list(dict.fromkeys(chain.from_iterable(value)))
            rows = [[_any(row.get(head)) for head in heads] for row in value]
            lists.append((_plain(key), _table([_plain(head) for head in heads], rows)))
        elif isinstance(value, dict):
            facts[_plain(key)] = ", ".join(f"{k} {_any(v).text}" for k, v in value.items())
        else:
            facts[_plain(key)] = str(_any(value).text)
    return {"facts": facts, "tables": lists, "name": content["name"]}


def _plain(key: str) -> str:
    return key.replace("_", " ")


def _any(value: Any) -> Cell:
    if isinstance(value, bool):
        return _text("yes" if value else "no")
    if isinstance(value, int):
        return _number(value, 0)
    if isinstance(value, float):
        return _number(value, 4)
    return _text(NONE if value is None else str(value))


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


# ---------------------------------------------------------------------------------------------- formatting


def fixed(value: float | None, digits: int) -> str:
    """A number with so many decimals, a true minus sign and separated thousands; a dash for none.

    >>> fixed(-1234.567, 1), fixed(None, 2), fixed(-0.0001, 2)
    ('−1,234.6', '–', '0.00')
    """
    if value is None or not math.isfinite(value):
        return NONE
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def formula_html(formula: str) -> Markup:
    """A formula with subscripts: ``BaRuO3`` BaRuO<sub>3</sub>."""
    return Markup(re.sub(r"(\d+)", r"<sub>\1</sub>", str(escape(formula))))


def spacegroup_html(number: int) -> Markup:
    """The Hermann-Mauguin symbol with its bars and screw axes, and the number.

    >>> str(spacegroup_html(227))
    '<i>Fd</i><span class="bar">3</span><i>m</i> (227)'
    """
    text = re.sub(r"([A-Za-z]+)", r"<i>\1</i>", symbol(number))
    text = re.sub(r"-(\d)", r'<span class="bar">\1</span>', text)
    text = re.sub(r"_(\d)", r"<sub>\1</sub>", text)
    return Markup(f"{text} ({number})")
