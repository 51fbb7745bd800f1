"""Which potential does what."""

from typing import Any

import pytest

from cgwgan_core.potentials.roles import JUDGE, SCREENING, SECOND, assign

AUTO = {"name": "auto", "path": None, "energy_scale": None, "compile": False}


def names(folder: str | None = None, **blocks: Any) -> list[str | None]:
    """Names of judge, screening and second potential."""
    config = {role: {**AUTO, **(blocks.get(role) or {})} for role in (JUDGE, SCREENING, SECOND)}
    config |= {role: None for role, block in blocks.items() if block is None}
    found = assign(config, folder)
    return [role and role.options["name"] for role in found.values()]


@pytest.mark.parametrize(
    ("folder", "blocks", "expected"),
    [
        (None, {}, ["sevennet-l3i5", "chgnet", "chgnet"]),
        ("m3gnet", {}, ["sevennet-l3i5", "m3gnet", "chgnet"]),
        # the paper's way: one cheap potential does all
        ("m3gnet", {JUDGE: {"name": "m3gnet"}}, ["m3gnet", None, "chgnet"]),
        (None, {JUDGE: {"path": "m3gnet"}}, ["m3gnet", None, "chgnet"]),
        (None, {JUDGE: {"name": "chgnet"}}, ["chgnet", None, None]),
        # what is named is taken
        (None, {JUDGE: {"name": "chgnet"}, SECOND: {"name": "sevennet-0"}}, ["chgnet", None, "sevennet-0"]),
        ("m3gnet", {SCREENING: None, SECOND: None}, ["sevennet-l3i5", None, None]),
        (None, {SCREENING: {"name": "sevennet-0"}}, ["sevennet-l3i5", "sevennet-0", "chgnet"]),
    ],
)
def test_roles(folder: str | None, blocks: dict[str, Any], expected: list[str | None]) -> None:
    assert names(folder, **blocks) == expected


def test_the_folder_is_that_of_m3gnet() -> None:
    config = {JUDGE: {**AUTO, "path": "own"}, SCREENING: {**AUTO, "name": "m3gnet"}, SECOND: AUTO}
    judge, screening, second = assign(config, "from the environment").values()
    assert judge is not None
    assert screening is not None
    assert second is not None
    assert (judge.options["path"], screening.options["path"]) == ("own", "from the environment")
    assert second.options["path"] is None
    assert "path" in judge.why
