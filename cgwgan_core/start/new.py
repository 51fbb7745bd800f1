"""A folder for a run: what ``cgwgan new`` makes.

It holds one file, ``config.yaml``, with what differs from the project's own: the chemistry, the database, the scale.
The workflow reads it where the folder is that of the run. Everything is checked before the folder stays.
"""

import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import yaml

import cgwgan_core
from cgwgan_core.database.folder import KINDS
from cgwgan_core.database.kinds import JSON, TEXT, kind
from cgwgan_core.database.read import SOURCES, read_database
from cgwgan_core.database.record import Batch
from cgwgan_core.database.streams import without_compression
from cgwgan_core.generator.scope import scope_of
from cgwgan_core.potentials.roles import JUDGE, SCREENING, SECOND, VARIABLE, assign
from cgwgan_core.relaxation.known_phases import within
from cgwgan_core.start.checks import mistakes
from cgwgan_core.workflow.config import settled
from cgwgan_core.workflow.errors import InputError
from cgwgan_core.workflow.refusals import listed, tally

ROOT = Path(cgwgan_core.__file__).parents[1]
"""The project: Snakefile, ``config.yaml``, ``configs/``."""
EMBEDDED = ("aflow", "mp")
"""Sources without a path."""
PATIENCE = 10.0
"""Seconds that are spent on counting what a database holds."""


@dataclass(frozen=True)
class Request:
    """What a run is to search, and in what."""

    folder: Path
    """Of the run; must not hold anything."""
    chemistry: Sequence[str]
    """Symbols of the elements."""
    database: str
    """Path of a file or folder, or one of :data:`EMBEDDED`."""
    m3gnet: Path | None = None
    """Folder of an M3GNet potential that screens."""
    generator: Path | None = None
    """Checkpoint of a generator; ``None``: the shipped one."""
    quick: bool = False
    """Whether to stay at the scale of the project's ``config.yaml``, minutes."""


@dataclass(frozen=True)
class Database:
    """Where a database is."""

    source: str
    """One of :data:`~cgwgan_core.database.read.SOURCES`."""
    path: Path | None


def new(request: Request) -> str:
    """Make the folder of a run.

    :returns: what was made, and the command that runs it.
    :raises InputError: if the folder holds anything, the database cannot be read, or the configuration cannot run;
        nothing is left behind then.
    """
    folder = request.folder
    if not (ROOT / "Snakefile").exists():
        raise InputError(f"{ROOT}: no Snakefile; run cgwgan from the environment that `make environment` has made")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; give another name, or remove it")
    database = find_database(request.database)
    file = folder / "config.yaml"
    folder.mkdir(parents=True, exist_ok=True)  # Snakemake makes an empty one where a name was mistyped
    try:
        file.write_text(overlay(request, database), encoding="utf-8")
        config = _merged(file)
        m3gnet = os.path.expanduser(os.environ.get(VARIABLE, "")) or None  # noqa: PTH111 - a text, as the workflow's
        with chdir(folder):
            found = mistakes(config, ROOT / "schemas" / "config.schema.yaml", ["config.yaml"], m3gnet)
        if found:
            if request.quick:  # there is no file yet to write a setting into
                found = [line.replace("write tag", "leave out --quick, and all candidates are taken") for line in found]
            raise InputError("\n  ".join(["the configuration cannot run:", *found]))
        holds = [] if database.source == "mp" else contents(database, request.chemistry)
    except BaseException:
        file.unlink(missing_ok=True)
        folder.rmdir()
        raise
    return "\n".join(
        [
            f"{file}: the settings of the run, to read and to edit",
            f"database: {SOURCES[database.source]} ({database.source})",
            *(f"  {line}" for line in holds),
            f"potentials: {_told(config, m3gnet)}",
            "run it:",
            f"  {command(folder)}",
        ]
    )


def find_database(given: str) -> Database:
    """A database's source and path, after its first records have been tried.

    :param given: a path, or one of :data:`EMBEDDED`.
    :raises InputError: if it is not there, or no source has a usable record of it.
    """
    if given in EMBEDDED:
        return Database(given, None)
    path = Path(given).expanduser().resolve()
    if not path.exists():
        raise InputError(f"{given}: no such file or folder; give a database, or {' or '.join(EMBEDDED)}")
    complaints = []
    for source in sources(path):
        database = Database(source, path)
        try:
            first = next(_batches(database))
        except InputError as error:
            complaints.append(str(error))
            continue
        if first.structures.num_rows:
            return database
        refused = tally(first.refused["reason"].to_pylist())
        complaints.append(
            f"{path}: none of its first {refused.total():,} records is usable ({listed(refused, most=3)}); "
            "docs/FORMATS.md says what is read"
        )
    raise InputError(complaints[0])


def sources(path: Path) -> list[str]:
    """Sources that may read a file or folder, the likeliest first."""
    found = kind(path)
    if found not in (JSON, TEXT):
        return [found]
    name = without_compression(path.name).lower()
    if name.endswith((".csv", ".tsv")):
        return ["csv"]
    if KINDS["json"].fullmatch(name):
        return ["mp_dump", "ase"]
    return ["folder"] if any(kind.fullmatch(name) for kind in KINDS.values()) else ["mp_dump", "csv"]


def contents(database: Database, chemistry: Sequence[str]) -> list[str]:
    """What a database holds of a chemistry, in lines: of all its records, or those that :data:`PATIENCE` is enough for.

    :param chemistry: symbols of the elements.
    :raises InputError: if no record is usable.
    """
    start, ended = time.monotonic(), True
    parts: list[pa.Table] = []
    refused: Counter[str] = Counter()
    for batch in _batches(database):
        if parts and time.monotonic() - start > PATIENCE:
            ended = False
            break
        parts.append(batch.structures.select(["numbers", "formation_energy_per_atom"]))
        refused += tally(batch.refused["reason"].to_pylist())
    kept = pa.concat_tables(parts)
    records = f"{kept.num_rows + refused.total():,} records"
    inside = within(kept, chemistry)
    compounds = inside.filter(pa.array([len(set(n)) > 1 for n in inside["numbers"].to_pylist()], pa.bool_()))
    told = "" if compounds.num_rows or not ended else "; the hull would be that of the elements alone"
    return [
        f"{records if ended else f'its first {records}'}: {_with_energies(kept, 'read')}"
        + (f"; refused: {listed(refused, most=3)}" if refused else ""),
        f"of {'-'.join(chemistry)}: {_with_energies(compounds, 'compounds')}{told}",
    ]


def _batches(database: Database) -> Iterator[Batch]:
    path = database.path
    return read_database(database.source, path, chunk=1000, threads=os.cpu_count() or 1, download=path or "")


def _with_energies(structures: pa.Table, what: str) -> str:
    energies = structures.num_rows - structures["formation_energy_per_atom"].null_count
    return f"{structures.num_rows:,} {what}, {energies:,} with a formation energy"


def overlay(request: Request, database: Database) -> str:
    """The run's own ``config.yaml``, with comments."""
    generator = request.generator and request.generator.expanduser().resolve()
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("cgwgan_core.start", "."),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters["yaml"] = _yaml
    return pages.get_template("config.yaml.j2").render(
        chemistry=list(request.chemistry),
        command=command(request.folder),
        source=database.source,
        reads=SOURCES[database.source],
        path=database.path,
        generator=generator,
        kind=scope_of(generator).kind if generator and generator.exists() else "wgan",
        m3gnet=request.m3gnet and request.m3gnet.expanduser().resolve(),
        scale=None if request.quick else _scale("workstation"),
    )


def _scale(name: str) -> str:
    """The numbers of one of ``configs/``, without its head."""
    return (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8").partition("\n\n")[2].strip()


def _yaml(value: Path | list[str]) -> str:
    """A path or a list in one line of YAML."""
    plain = str(value) if isinstance(value, Path) else value
    dumped = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=sys.maxsize)
    return dumped.removesuffix("...\n").strip()


def _merged(file: Path) -> dict[str, Any]:
    """The defaults under a run's own settings, as the workflow merges them."""
    defaults, own = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / "config.yaml", file))
    return settled(_under(defaults, own), ROOT / "schemas" / "config.schema.yaml")


def _under(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _under(defaults[key], value)
        if isinstance(value, Mapping) and isinstance(defaults.get(key), Mapping)
        else value
        for key, value in own.items()
    }
    return {**defaults, **both}


def _told(config: Mapping[str, Any], m3gnet: str | None) -> str:
    """Which potential does what."""
    does = {SCREENING: "screens", JUDGE: "judges", SECOND: "judges again"}
    roles = assign(config, m3gnet)
    return ", ".join(f"{role.options['name']} {does[name]}" for name in does if (role := roles[name]))


def command(folder: Path) -> str:
    """What runs a folder, from the working directory."""
    snakemake = Path(sys.executable).parent / "snakemake"
    here = Path.cwd()
    shown = snakemake.relative_to(here) if snakemake.is_relative_to(here) else snakemake
    where = [] if here == ROOT else ["--snakefile", str(ROOT / "Snakefile")]
    return shlex.join([str(shown), "--cores", str(os.cpu_count() or 1), *where, "--directory", str(folder)])
