"""What a configuration searches, and whether it can run: asked when the workflow starts, and by `cgwgan new`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cgwgan_core.database.kinds import READS, kind
from cgwgan_core.dft.elements import unserved
from cgwgan_core.screening.possible import impossible
from cgwgan_core.workflow.config import problems, repeated


def mistakes(
    config: Mapping[str, Any], schema: Path, files: Iterable[str | Path], m3gnet: str | None, *, thorough: bool = True
) -> list[str]:
    """Why a configuration cannot run, one line each; empty where all is well.

    Paths are taken from the working directory, which is to be the folder of the run.

    :param config: the merged configuration, :func:`~cgwgan_core.workflow.config.settled`.
    :param schema: ``schemas/config.schema.yaml``.
    :param files: that it was merged from, but for the defaults.
    :param m3gnet: folder of an M3GNet potential, by the environment.
    :param thorough: whether to ask, too, if potentials, generator and DFT can serve the chemistry.
    """
    found = [line for file in files for line in repeated(file)] + problems(config, schema)
    return found or (unlike(config["data"]) + impossible(config, m3gnet) + unserved(config) if thorough else [])


def unlike(data: Mapping[str, Any]) -> list[str]:
    """A database that its source does not read, by its first bytes.

    :param data: a block of the configuration without mistakes.
    """
    source, path = data["source"], data["path"]
    if source not in READS:
        return []
    try:
        found = kind(Path(path))
    except OSError as error:
        return [f"data.path: {path}: {error.strerror}"]
    if found in READS[source]:
        return []
    # what JSON and text hold is not told by their first bytes
    others = [found] if found in READS else [other for other, kinds in READS.items() if found in kinds]
    return [f"data.source: {source} does not read {path}; write {' or '.join(others)}"]


def unset(files: Sequence[str | Path], values: Mapping[str, Any]) -> str | None:
    """Why a run has no settings of its own, such as one in a folder that was mistyped; ``None`` where it has some.

    :param files: as of :func:`mistakes`.
    :param values: of ``--config``.
    """
    if values or files or Path("config.yaml").exists():
        return None
    remedy = "correct --directory, make a folder by cgwgan new, or give --configfile or --config"
    return f"{Path.cwd()} has no config.yaml; {remedy}"


def told(config: Mapping[str, Any], files: Iterable[str | Path], project: Path) -> str:
    """What a run searches, and whose settings it has.

    :param files: as of :func:`mistakes`.
    :param project: folder of the workflow.
    """
    searched = f"{'-'.join(config['chemistry'])} in {config['data']['path'] or config['data']['source']}"
    if names := [str(file) for file in files]:
        return f"{searched}; settings: {', '.join(names)}"
    here = Path.cwd()
    return f"{searched}; the project's own settings" + ("" if here == project else f", as {here} has no config.yaml")
