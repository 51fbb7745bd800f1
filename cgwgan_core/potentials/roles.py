"""Which potential does what in a run: one screens, one judges, one gives a second verdict.

Names are resolved once, when the workflow is parsed, so that jobs get a potential's name and never the word auto.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JUDGE, SCREENING, SECOND = ROLES = ("potential", "screening_potential", "second_potential")
"""Blocks of the configuration."""
CHEAP = ("m3gnet", "chgnet")
"""Potentials that evaluate all candidates themselves, unless a cheaper one is named."""
AUTO = "auto"
VARIABLE = "CGWGAN_POTENTIAL"
"""Environment variable that may hold the folder of an M3GNet potential."""


@dataclass(frozen=True)
class Role:
    """The potential of a role."""

    options: dict[str, Any]
    """Keyword arguments of :class:`~cgwgan_core.potentials.load.PotentialOptions`."""
    why: str
    """Why this one."""


def assign(config: Mapping[str, Any], folder: str | None) -> dict[str, Role | None]:
    """The potential of each of :data:`ROLES`; ``None`` where a run has none.

    - ``potential`` judges: it ranks, relaxes and gives phonons. ``auto`` is SevenNet-l3i5, or M3GNet where ``path``
      names its folder.
    - ``screening_potential`` evaluates all candidates. ``auto`` is M3GNet where ``path`` or the environment names its
      folder, else CHGNet, and none where the judge is as cheap.
    - ``second_potential`` judges again. ``auto`` is CHGNet, and none where CHGNet judges already.

    :param config: the configuration.
    :param folder: value of :data:`VARIABLE`.
    """
    judge = _role(config[JUDGE], folder, ("sevennet-l3i5", "auto"))
    found: dict[str, Role | None] = {JUDGE: judge}
    cheap = (
        ("m3gnet", f"auto: ${VARIABLE} gives an M3GNet potential") if folder else ("chgnet", f"auto: no ${VARIABLE}")
    )
    for role, auto, none in (
        (SCREENING, cheap, judge.options["name"] in CHEAP),
        (SECOND, ("chgnet", "auto"), judge.options["name"] == "chgnet"),
    ):
        block = config[role]
        found[role] = None if block is None or (_automatic(block) and none) else _role(block, folder, auto)
    return found


def _automatic(block: Mapping[str, Any]) -> bool:
    return block["name"] == AUTO and not block["path"]


def _role(block: Mapping[str, Any], folder: str | None, auto: tuple[str, str]) -> Role:
    """The potential that a block of the configuration names.

    :param auto: name and reason where it leaves the choice.
    """
    if _automatic(block):
        name, why = auto
    elif block["name"] == AUTO:
        name, why = "m3gnet", "auto: path gives an M3GNet potential"
    else:
        name, why = block["name"], "set by name"
    path = block["path"] or (folder if name == "m3gnet" else None)
    return Role({"name": name, "path": path, **{key: block[key] for key in ("energy_scale", "compile")}}, why)
